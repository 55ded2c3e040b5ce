// The hours of a week as a list of days, for keyboards, phones and screen readers. It edits the
// rows of the forms that work without scripts.

import { longDay, wallClock, wallSpan } from "./formatting.js";
import { STEP, minutes, proposal, wall, DAY_END } from "./ranges.js";
import { announce } from "./status.js";

export class DayList {
  #element;
  #week;
  #onEdit;
  #onCopy;
  #blank; // a row without times, from the server

  // `onEdit` is called after each edit; `onCopy(day, range)` opens a dialog that copies a range to
  // other days; `onReopen(day)` ends a day off.
  constructor(element, { week, onEdit, onCopy, onReopen }) {
    this.#element = element;
    this.#week = week;
    this.#onEdit = onEdit;
    this.#onCopy = onCopy;
    this.#blank = [...element.querySelectorAll(".range")].at(-1)?.cloneNode(true);
    element.addEventListener("change", (event) => this.#onChange(event));
    element.addEventListener("click", (event) => this.#onClick(event));
    element.addEventListener("submit", (event) => {
      event.preventDefault();
      const { reopen } = event.target.dataset;
      if (reopen) onReopen(reopen);
    });
  }

  draw() {
    const restoreFocus = this.#rememberFocus();
    const changed = this.#week.changed;
    for (const item of this.#element.querySelectorAll("[data-day]")) {
      const { day } = item.dataset;
      const rows = item.querySelector(".ranges");
      item.classList.toggle("changed", changed.includes(day));
      if (!rows) continue;
      const ranges = this.#week.days[day];
      // An open list of times would close if it were drawn again.
      const key = JSON.stringify(ranges);
      if (rows.dataset.key !== key) {
        rows.replaceChildren(...ranges.map((range, index) => this.#row(day, range, index)));
        rows.dataset.key = key;
      }
      for (const plain of item.querySelectorAll("[data-plain]")) plain.hidden = true;
      const add = item.querySelector("[data-add]");
      add.hidden = false;
      add.setAttribute("aria-label", `Add hours on ${longDay(day)}`);
      item.querySelector(".none")?.remove();
      if (!ranges.length) rows.after(emptyNote());
    }
    restoreFocus();
  }

  // Shows an error at a day, and at an edge of one of its ranges if it is known.
  showError({ day, index, edge, detail }) {
    this.clearErrors();
    const item = this.#item(day);
    if (!item) return;
    const error = document.createElement("p");
    Object.assign(error, { className: "error", id: "day-error", textContent: detail });
    item.querySelector(".ranges")?.after(error);
    const select = item.querySelectorAll(".range")[index]?.querySelector(`[data-edge="${edge}"]`);
    select?.setAttribute("aria-invalid", "true");
    select?.setAttribute("aria-describedby", error.id);
  }

  clearErrors() {
    this.#element.querySelectorAll(".error").forEach((error) => error.remove());
    for (const select of this.#element.querySelectorAll("[aria-invalid]")) {
      select.removeAttribute("aria-invalid");
      select.removeAttribute("aria-describedby");
    }
  }

  #item(day) {
    return this.#element.querySelector(`[data-day="${day}"]`);
  }

  #row(day, range, index) {
    const row = this.#blank.cloneNode(true);
    const name = `${wallSpan(range.start, range.end)} on ${longDay(day)}`;
    row.setAttribute("aria-label", name);
    row.dataset.index = index;
    for (const select of row.querySelectorAll("select")) {
      const { edge } = select.dataset;
      setTime(select, range[edge]);
      select.removeAttribute("name");
    }
    for (const button of row.querySelectorAll("button")) {
      button.hidden = false;
      button.setAttribute("aria-label", `${button.textContent.trim()}: ${name}`);
    }
    return row;
  }

  #onChange({ target }) {
    const { edge } = target.dataset;
    const [day, index] = positionOf(target);
    const range = this.#week.days[day][index];
    range[edge] = target.value;
    if (range.end <= range.start) {
      const other = edge === "start" ? "end" : "start";
      const length = edge === "start" ? STEP : -STEP;
      range[other] = wall(Math.max(0, Math.min(minutes(target.value) + length, DAY_END)));
    }
    this.#onEdit();
  }

  #onClick({ target }) {
    const button = target.closest("[data-add], [data-remove], [data-spread]");
    if (!button) return;
    const [day, index] = positionOf(button);
    const ranges = this.#week.days[day];
    if (button.matches("[data-spread]")) {
      this.#onCopy(day, ranges[index]);
    } else if (button.matches("[data-remove]")) {
      ranges.splice(index, 1);
      this.#onEdit();
      this.#item(day).querySelector("[data-add]").focus();
    } else {
      const range = proposal(ranges);
      if (!range) return announce("This day is full.");
      ranges.push(range);
      this.#onEdit();
      [...this.#item(day).querySelectorAll(".range")].at(-1).querySelector("select").focus();
    }
    return undefined;
  }

  #rememberFocus() {
    const focused = document.activeElement;
    if (!this.#element.contains(focused) || !focused.closest(".range")) return () => {};
    const [day, index] = positionOf(focused);
    const selector = focused.dataset.edge
      ? `[data-edge="${focused.dataset.edge}"]` : focused.matches("[data-remove]")
        ? "[data-remove]" : "[data-spread]";
    return () => {
      const row = this.#item(day)?.querySelectorAll(".range")[index];
      (row?.querySelector(selector) ?? this.#item(day)?.querySelector("[data-add]"))?.focus();
    };
  }
}

// Selects a time, which may be a quarter of an hour that the list doesn't offer.
export function setTime(select, time) {
  if (select.options[0].value === "") select.options[0].remove();
  if (![...select.options].some(({ value }) => value === time)) {
    const next = [...select.options].find(({ value }) => value > time) ?? null;
    select.add(new Option(wallClock(time), time), next);
  }
  select.value = time;
}

// The day and the index of an element's range.
const positionOf = (element) => [
  element.closest("[data-day]").dataset.day,
  Number(element.closest(".range")?.dataset.index ?? -1),
];

function emptyNote() {
  const note = document.createElement("p");
  Object.assign(note, { className: "tiny none", textContent: "No hours" });
  return note;
}
