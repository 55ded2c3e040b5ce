// The dialogs of the calendar: hours of one range, leaving with unsaved changes, two versions of a
// week, and what a change of many days will do.

import { longDay, plural, shortDay, wallSpan, weekday } from "./formatting.js";
import { setTime } from "./day_list.js";
import { STEP, minutes, same, wall, merged } from "./ranges.js";

const dialog = (name) => document.getElementById(`${name}-dialog`);

// Opens a dialog and resolves to the value of the button that closed it, "" after Escape.
function ask(name) {
  const element = dialog(name);
  element.returnValue = "";
  element.showModal();
  return new Promise((resolve) => {
    element.addEventListener("close", () => resolve(element.returnValue), { once: true });
  });
}

const element = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const rangesText = (ranges) =>
  merged(ranges).map(({ start, end }) => wallSpan(start, end)).join(", ") || "No hours";

// ---- one range

// Resolves to {action: "done" or "remove", start, end, days}, or null after Cancel. `days`: those
// that get the range. `isNew`: there is nothing to remove yet.
export async function editRange(week, day, range, { isNew = false } = {}) {
  const form = dialog("range");
  const [start, end] = ["start", "end"].map((edge) => form.querySelector(`[data-edge=${edge}]`));
  form.querySelector("h2").textContent = longDay(day);
  form.querySelector("[data-remove]").hidden = isNew;
  setTime(start, range.start);
  setTime(end, range.end);
  const keepOrder = ({ target }) => {
    if (end.value > start.value) return;
    if (target === start) setTime(end, wall(Math.min(minutes(start.value) + STEP, 24 * 60)));
    else setTime(start, wall(Math.max(0, minutes(end.value) - STEP)));
  };
  start.onchange = keepOrder;
  end.onchange = keepOrder;
  const picks = form.querySelector("[data-days]");
  picks.replaceChildren(...week.editable.map((each) => {
    const box = element("input", { type: "checkbox", value: each, checked: each === day });
    return element("label", { className: "pick" }, box, element("span", {
      textContent: shortDay(each),
    }));
  }));
  const action = await ask("range");
  if (!action) return null;
  const days = [...picks.querySelectorAll(":checked")].map(({ value }) => value);
  return { action, start: start.value, end: end.value, days };
}

// ---- leaving

// Resolves to "save", "discard", or "" to stay.
export function askToLeave(count) {
  dialog("leave").querySelector("[data-count]").textContent = plural(count, "day");
  return ask("leave");
}

// ---- two versions of a week

// Resolves to "mine", "current", or "" to go on editing.
export function compare(week, current) {
  const author = (day) => {
    if (!week.changed.includes(day)) return "changed there";
    return same(week.saved[day], current.days[day]) ? "changed by you" : "changed in both";
  };
  const rows = week.editable.map((day) => {
    const [mine, other] = [week.days[day], current.days[day]];
    const differs = !same(mine, other);
    const head = element("th", { scope: "row", textContent: shortDay(day) });
    if (differs) head.append(" ", element("span", { className: "tag", textContent: author(day) }));
    const row = element("tr", { className: differs ? "differs" : "" }, head);
    for (const ranges of [mine, other]) {
      row.append(element("td", { textContent: rangesText(ranges) }));
    }
    return row;
  });
  dialog("conflict").querySelector("tbody").replaceChildren(...rows);
  return ask("conflict");
}

// ---- what a change of many days will do

// `days`: {date: ranges}, the new content of the days that would change. Resolves to whether to
// apply it.
export async function preview(title, days) {
  const box = dialog("preview");
  const dates = Object.keys(days);
  box.querySelector("h2").textContent = title;
  const summary = dates.length
    ? `${plural(dates.length, "day")} will change, from ${shortDay(dates[0])} to ` +
      `${shortDay(dates.at(-1))}. Booked lessons stay.`
    : "Nothing would change: these days already have these hours.";
  box.querySelector("[data-summary]").textContent = summary;
  box.querySelector("tbody").replaceChildren(...groups(days).map(([name, text, group]) => {
    const dates = group.map((day) => shortDay(day).slice(5)); // without the weekday
    const list = dates.length > 3
      ? `${dates[0]} – ${dates.at(-1)} (${dates.length})` : dates.join(", ");
    return element("tr", {}, element("th", { scope: "row", textContent: name }),
      element("td", { textContent: text }), element("td", { textContent: list }));
  }));
  box.querySelector("table").hidden = !dates.length;
  box.querySelector("[value=apply]").hidden = !dates.length;
  return (await ask("preview")) === "apply";
}

// The days by weekday and new hours: [["Monday", "9 am–5 pm", dates], …], Monday first.
function groups(days) {
  const byHours = new Map();
  for (const [day, ranges] of Object.entries(days)) {
    const key = `${(new Date(day).getUTCDay() + 6) % 7} ${rangesText(ranges)}`;
    byHours.set(key, [...(byHours.get(key) ?? []), day]);
  }
  return [...byHours].toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, dates]) => [weekday(dates[0]), key.slice(2), dates]);
}
