// /teach, "Your hours": edits a week of availability, and saves it in one call with the version it
// is based on. Hidden without scripts.

import { addDays, longDay, nearDay, shortDay, week as weekName } from "./formatting.js";
import { announce } from "./status.js";

const STEP = 30; // minutes
const DAY_END = 24 * 60;

const section = document.getElementById("hours");
const form = section.querySelector("form");
const days = section.querySelector(".hours");
const statusLine = section.querySelector("[data-status]");
const saveButton = section.querySelector("[data-save]");
const conflict = section.querySelector("[data-conflict]");
const { today } = section.dataset;

let start = monday(today);
let version = null;
let saved = {}; // date → [{start, end}], as on the server
let edited = {};
let conflictingWeek = null; // saved by someone else in the meantime

export async function showHours() {
  section.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isUnsaved()) save(version);
  });
  days.addEventListener("change", onChange);
  days.addEventListener("click", onClick);
  for (const [name, step] of [["earlier", -7], ["later", 7]]) {
    section.querySelector(`[data-${name}]`).addEventListener("click", () => turn(step));
  }
  section.querySelector("[data-theirs]").addEventListener("click", () => show(conflictingWeek));
  section.querySelector("[data-mine]").addEventListener("click", () => save(null));
  addEventListener("beforeunload", (event) => isUnsaved() && event.preventDefault());
  await load();
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const isUnsaved = () => !same(saved, edited);

async function turn(step) {
  if (addDays(start, step + 6) < today) return undefined;
  if (isUnsaved()) return say("Save this week first, or reload the page to discard your changes.");
  start = addDays(start, step);
  return load();
}

async function load() {
  const week = await call(`/api/availability/week?start=${start}`);
  if (week) show(week);
}

// `base`: the version that the edits are based on, or null to overwrite any.
async function save(base) {
  const edits = Object.entries(edited).filter(([day, ranges]) => !same(ranges, saved[day]));
  const content = { start, days: Object.fromEntries(edits) };
  const body = JSON.stringify(base === null ? content : { ...content, version: base });
  const headers = { "content-type": "application/json" };
  const savedEdits = structuredClone(edited);
  const week = await call("/api/availability/week", { method: "PUT", body, headers });
  if (!week) return;
  // Keep edits made during the call; they are not saved yet.
  const newEdits = same(edited, savedEdits) ? null : edited;
  show(week);
  if (newEdits) edited = newEdits;
  draw();
  say("Saved. Students see your new hours now.");
}

// The content of the response, or null after showing an error.
async function call(address, options = {}) {
  try {
    const response = await fetch(address, { ...options, signal: AbortSignal.timeout(10_000) });
    const content = await response.json();
    if (response.ok) return content;
    if (content.code === "VERSION_CONFLICT") showConflict(content.week);
    else say(content.detail);
  } catch {
    say("We couldn’t reach the server. Check your connection, then save again.");
  }
  return null;
}

function showConflict(week) {
  conflictingWeek = week;
  conflict.hidden = false;
  announce("This week was changed in another window. Choose which version to keep.");
  conflict.querySelector("button").focus();
}

function show(week) {
  version = week.version;
  saved = week.days;
  edited = structuredClone(saved);
  conflict.hidden = true;
  section.querySelector("[data-week]").textContent = weekName(start);
  say("");
  draw();
}

function say(sentence) {
  statusLine.textContent = sentence || (isUnsaved() ? "Not saved yet." : "");
  if (sentence) announce(sentence);
  if (isUnsaved()) saveButton.removeAttribute("aria-disabled");
  else saveButton.setAttribute("aria-disabled", "true");
}

// ---- editing

function onChange({ target }) {
  const { day, index, edge } = target.dataset;
  const range = edited[day][index];
  range[edge] = target.value;
  if (range.end <= range.start) {
    const [other, step] = edge === "start" ? ["end", STEP] : ["start", -STEP];
    range[other] = wall(minutes(target.value) + step);
  }
  redraw(day, `[data-index="${index}"][data-edge="${edge}"]`);
}

function onClick({ target }) {
  const { add, remove, index } = target.dataset;
  if (add) {
    const last = edited[add].at(-1);
    const from = last ? Math.min(minutes(last.end) + 60, DAY_END - STEP) : 9 * 60;
    const to = Math.min(from + (last ? 120 : 8 * 60), DAY_END);
    edited[add].push({ start: wall(from), end: wall(to) });
    redraw(add, `[data-index="${edited[add].length - 1}"][data-edge="start"]`);
  } else if (remove) {
    edited[remove].splice(Number(index), 1);
    redraw(remove, "[data-add]");
  }
}

function redraw(day, focus) {
  draw();
  say("");
  days.querySelector(`[data-of="${day}"] ${focus}`)?.focus();
}

// ---- drawing

// Past days can't be changed, so they are not shown.
function draw() {
  const editable = Object.entries(edited).filter(([day]) => day >= today);
  days.replaceChildren(...editable.map(([day, ranges]) => dayItem(day, ranges)));
  const earlier = section.querySelector("[data-earlier]");
  if (start <= today) earlier.setAttribute("aria-disabled", "true");
  else earlier.removeAttribute("aria-disabled");
}

function dayItem(day, ranges) {
  const list = element("div", { className: "ranges" });
  list.append(...ranges.map((range, index) => rangeGroup(day, index, range)));
  if (!ranges.length) list.append(element("p", { className: "tiny", textContent: "Not open" }));
  list.append(element("button", {
    type: "button",
    className: "btn small",
    textContent: "Add hours",
    ariaLabel: `Add hours on ${longDay(day)}`,
    dataset: { add: day },
  }));
  const heading = element("h3", { textContent: nearDay(day, today) || shortDay(day) });
  return element("li", { className: "hours-day", dataset: { of: day } }, heading, list);
}

function rangeGroup(day, index, range) {
  const name = `${read(range.start)} to ${read(range.end)} on ${longDay(day)}`;
  const remove = element("button", {
    type: "button",
    className: "link",
    textContent: "Remove",
    ariaLabel: `Remove ${name}`,
    dataset: { remove: day, index },
  });
  return element("div", { className: "range", role: "group", ariaLabel: name },
    edgeSelect(day, index, "start", range.start, "From"),
    element("span", { textContent: "to", ariaHidden: "true" }),
    edgeSelect(day, index, "end", range.end, "To"), remove);
}

function edgeSelect(day, index, edge, value, label) {
  const first = edge === "start" ? 0 : STEP;
  const steps = Array.from({ length: DAY_END / STEP }, (_, count) => wall(first + count * STEP));
  const select = element("select", { ariaLabel: label, dataset: { day, index, edge } });
  for (const step of [...new Set([...steps, value])].sort()) {
    const selected = step === value;
    select.append(element("option", { value: step, textContent: read(step), selected }));
  }
  return select;
}

function element(name, { dataset = {}, role, ...properties }, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  Object.assign(node.dataset, dataset);
  if (role) node.setAttribute("role", role);
  node.append(...children);
  return node;
}

// ---- wall-clock times, "09:00" to "24:00"

function monday(day) {
  const weekday = (new Date(Date.parse(day)).getUTCDay() + 6) % 7;
  return addDays(day, -weekday);
}

function minutes(text) {
  const [hour, minute] = text.split(":").map(Number);
  return hour * 60 + minute;
}

function wall(total) {
  const digits = (number) => String(number).padStart(2, "0");
  return `${digits(Math.floor(total / 60))}:${digits(total % 60)}`;
}

function read(text) {
  if (text === "24:00") return "midnight";
  const total = minutes(text);
  const hour = Math.floor(total / 60);
  return `${hour % 12 || 12}:${text.slice(3)} ${hour < 12 ? "am" : "pm"}`;
}
