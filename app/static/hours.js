// /teach, "When you can be booked": a week of ranges, changed by choosing from and to, saved in one call with the version it was
// based on. Without scripts this part does not show.

import { addDays, longDay, shortDay, week as weekName } from "./clock.js";
import { announce } from "./status.js";

const STEP = 30;
const DAY_ENDS = 24 * 60;

const section = document.getElementById("hours");
const form = section.querySelector("form");
const days = section.querySelector(".hours");
const state = section.querySelector("[data-say]");
const save = section.querySelector("[data-save]");
const conflict = section.querySelector("[data-conflict]");
const { today } = section.dataset;

let start = monday(today);
let version = null;
let saved = {}; // date → [{start, end}], as the server has it
let edited = {};
let theirs = null; // the week someone else has saved meanwhile

// Starts once the page is there; the week comes by itself.
export async function hours() {
  section.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (unsaved()) put(version);
  });
  days.addEventListener("change", changed);
  days.addEventListener("click", pressed);
  for (const [name, step] of [["earlier", -7], ["later", 7]]) {
    section.querySelector(`[data-${name}]`).addEventListener("click", () => turn(step));
  }
  section.querySelector("[data-theirs]").addEventListener("click", () => take(theirs));
  section.querySelector("[data-mine]").addEventListener("click", () => put(null));
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
  await load();
}

const unsaved = () => JSON.stringify(saved) !== JSON.stringify(edited);

async function turn(step) {
  if (addDays(start, step + 6) < today) return undefined;
  if (unsaved()) return say("Save this week first, or load the page again to forget the changes.");
  start = addDays(start, step);
  return load();
}

async function load() {
  const answer = await ask(`/api/availability/week?start=${start}`);
  if (answer) take(answer);
}

async function put(base) {
  const altered = Object.fromEntries(Object.entries(edited).filter(([day, ranges]) => JSON.stringify(ranges) !== JSON.stringify(saved[day])));
  const body = { start, days: altered, ...(base === null ? {} : { version: base }) };
  const sent = JSON.stringify(edited);
  const answer = await ask("/api/availability/week", { method: "PUT", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  if (!answer) return;
  // What was changed while this was on its way is kept, and still to be saved.
  const later = JSON.stringify(edited) === sent ? null : edited;
  take(answer);
  if (later) edited = later;
  draw();
  say("Saved. Everyone who is looking sees it now.");
}

// What the server answers; nothing where it refused, which is said.
async function ask(address, options = {}) {
  try {
    const response = await fetch(address, { ...options, signal: AbortSignal.timeout(10_000) });
    const answer = await response.json();
    if (response.ok) return answer;
    if (answer.code === "VERSION_CONFLICT") disagree(answer.week);
    else say(answer.detail);
  } catch {
    say("We could not reach the server. Nothing was saved; try again in a moment.");
  }
  return null;
}

function disagree(week) {
  theirs = week;
  conflict.hidden = false;
  announce("This week was changed elsewhere in the meantime. Choose which one to keep.");
  conflict.querySelector("button").focus();
}

function take(week) {
  version = week.version;
  saved = week.days;
  edited = structuredClone(saved);
  conflict.hidden = true;
  section.querySelector("[data-week]").textContent = weekName(start);
  say("");
  draw();
}

function say(sentence) {
  state.textContent = sentence || (unsaved() ? "Not saved yet." : "");
  if (sentence) announce(sentence);
  if (unsaved()) save.removeAttribute("aria-disabled");
  else save.setAttribute("aria-disabled", "true");
}

// ---- editing

function changed({ target }) {
  const { day, place, edge } = target.dataset;
  const range = edited[day][place];
  range[edge] = target.value;
  if (range.end <= range.start) range[edge === "start" ? "end" : "start"] = wall(minutes(target.value) + (edge === "start" ? STEP : -STEP));
  redraw(day, `[data-place="${place}"][data-edge="${edge}"]`);
}

function pressed({ target }) {
  const { add, remove, place } = target.dataset;
  if (add) {
    const last = edited[add].at(-1);
    const from = last ? Math.min(minutes(last.end) + 60, DAY_ENDS - STEP) : 9 * 60;
    edited[add].push({ start: wall(from), end: wall(Math.min(from + (last ? 120 : 8 * 60), DAY_ENDS)) });
    redraw(add, `[data-place="${edited[add].length - 1}"][data-edge="start"]`);
  } else if (remove) {
    edited[remove].splice(Number(place), 1);
    redraw(remove, "[data-add]");
  }
}

function redraw(day, focus) {
  draw();
  say("");
  days.querySelector(`[data-of="${day}"] ${focus}`)?.focus();
}

// ---- drawing

// Days that have passed cannot be changed, and are left out.
function draw() {
  days.replaceChildren(...Object.entries(edited).filter(([day]) => day >= today).map(([day, ranges]) => {
    const list = make("div", { className: "ranges" }, ...ranges.map((range, place) => line(day, place, range)));
    if (!ranges.length) list.append(make("p", { className: "tiny", textContent: "Not open" }));
    list.append(make("button", { type: "button", className: "btn small", textContent: "Add hours", ariaLabel: `Add hours on ${longDay(day)}`, dataset: { add: day } }));
    return make("li", { className: "hours-day", dataset: { of: day } }, make("h3", { textContent: day === today ? "Today" : shortDay(day) }), list);
  }));
  const earlier = section.querySelector("[data-earlier]");
  if (start <= today) earlier.setAttribute("aria-disabled", "true");
  else earlier.removeAttribute("aria-disabled");
}

function line(day, place, range) {
  const name = `${read(range.start)} to ${read(range.end)} on ${longDay(day)}`;
  return make("div", { className: "range", role: "group", ariaLabel: name },
    choice(day, place, "start", range.start, "From"), make("span", { textContent: "to", ariaHidden: "true" }), choice(day, place, "end", range.end, "To"),
    make("button", { type: "button", className: "link", textContent: "Remove", ariaLabel: `Remove ${name}`, dataset: { remove: day, place } }));
}

function choice(day, place, edge, value, label) {
  const first = edge === "start" ? 0 : STEP;
  const steps = Array.from({ length: DAY_ENDS / STEP }, (_, count) => wall(first + count * STEP));
  const select = make("select", { ariaLabel: label, dataset: { day, place, edge } });
  for (const step of [...new Set([...steps, value])].sort()) select.append(make("option", { value: step, textContent: read(step), selected: step === value }));
  return select;
}

function make(name, { dataset = {}, role, ...given }, ...children) {
  const element = Object.assign(document.createElement(name), given);
  Object.assign(element.dataset, dataset);
  if (role) element.setAttribute("role", role);
  element.append(...children);
  return element;
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
  return `${String(Math.floor(total / 60)).padStart(2, "0")}:${String(total % 60).padStart(2, "0")}`;
}

function read(text) {
  if (text === "24:00") return "midnight";
  const total = minutes(text);
  const hour = Math.floor(total / 60);
  return `${hour % 12 || 12}:${text.slice(3)} ${hour < 12 ? "am" : "pm"}`;
}
