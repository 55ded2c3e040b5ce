// <instainstru-board>: an instructor's live board on any site (docs/embedding.md). It reads public
// data only. All boards of a page share one connection.

import {
  addDays, clock, dayOf, daysBetween, longDay, money, nearDay, now, price, shortDay, soon,
  wallMinutes, weekday, wire, zoneName,
} from "./formatting.js";
import { Live } from "./live.js";
import { ofDay, spans } from "./start_times.js";

const SITE = new URL(import.meta.url).origin;
const HORIZON = 90 * 86_400_000;
const BOARD_DAYS = 35; // of each board, for the next free time
const DEFAULT_DAYS = 7;
const MAX_DAYS = 14;
const MAX_TIMES = 8; // of a day, until it is expanded
// Milliseconds. Times become too soon to book without any message from the server.
const REDRAW_EVERY = 10_000;
const POLL_EVERY = 30_000; // while the connection is lost
const FETCH_TIMEOUT = 10_000;

const CSS = `
:host {
  --ink: light-dark(#1b1a17, #f5f1e6);
  --ink-2: light-dark(#524e45, #cbc5b6);
  --paper: light-dark(#fff, #201e19);
  --line: light-dark(#d9d2c3, #454137);
  --wash: light-dark(#fff5d6, #3a2f10);
  --good: light-dark(#176b42, #74d6a4);
  --accent: #ffc72c;
  color-scheme: light dark;
  display: block;
  container-type: inline-size;
}
:host([theme=light]) { color-scheme: light; }
:host([theme=dark]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }
section {
  padding: 16px;
  border: 1px solid var(--line);
  border-radius: 16px;
  background: var(--paper);
  color: var(--ink);
  font: 15px/1.4 system-ui, sans-serif;
}
h2, h3, p, ol, ul { margin: 0; padding: 0; font: inherit; list-style: none; }
h2 { font-size: 1.2em; font-weight: 700; }
h3 { margin-bottom: 6px; font-weight: 600; white-space: nowrap; }
a { color: inherit; }
a:focus-visible, button:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.state, .about, .none, .foot { color: var(--ink-2); font-size: .9em; }
.state::before { content: "● "; }
.state[data-state=live]::before { color: var(--good); }
.days { display: grid; gap: 16px; margin: 12px 0; }
.times { display: grid; grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); gap: 6px; }
.time, .more {
  display: flex;
  flex-direction: column;
  align-items: center;
  justify-content: center;
  box-sizing: border-box;
  width: 100%;
  min-height: 44px;
  padding: 4px;
  border: 1.5px solid var(--line);
  border-radius: 8px;
  background: none;
  color: inherit;
  font: inherit;
  font-weight: 600;
  line-height: 1.2;
  font-variant-numeric: tabular-nums;
  text-align: center;
  text-decoration: none;
}
a.time:hover, .more:hover { border-color: var(--ink); background: var(--wash); }
span.time { border-style: dashed; color: var(--ink-2); font-weight: 500; }
.time small { font-size: .75rem; font-weight: 500; }
.more { margin-top: 6px; border: 0; text-decoration: underline; cursor: pointer; }
.book {
  display: inline-block;
  padding: 12px 18px;
  border-radius: 999px;
  background: var(--accent);
  color: #1b1a17;
  font-weight: 700;
  text-decoration: none;
}
.foot { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@container (min-width: 640px) {
  .days { grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 16px 8px; }
  .times { grid-template-columns: 1fr; }
}`;

// A constructed style sheet needs no permission of the page's content security policy.
const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);

// Parses no HTML, which a page's Trusted Types could forbid.
function element(name, properties = {}, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

const link = (properties, text) =>
  element("a", { target: "_blank", rel: "noopener", ...properties }, text);

function skeleton() {
  const state = element("p", { className: "state", role: "status" });
  const log = element("p", { className: "hidden", role: "log" });
  const zone = element("span", { className: "zone" });
  const book = link({ className: "book" }, "Book on InstaInstru");
  return element("section", {},
    element("h2", { hidden: true }),
    element("p", { className: "about", hidden: true }),
    state,
    element("ol", { className: "days" }),
    element("p", { className: "none", hidden: true }),
    element("p", { className: "foot", hidden: true }, book, zone),
    log);
}

// ---- the shared connection

let connection = null;
const boards = new Map(); // instructor → the number of elements that show it

function connect() {
  connection ??= new Live(`${SITE.replace("http", "ws")}/live/public`).start();
  return connection;
}

function follow(instructor, first) {
  boards.set(instructor, (boards.get(instructor) ?? 0) + 1);
  if (!connect().board(instructor)) watch(instructor, first);
}

function watch(instructor, first) {
  const board = connect().board(instructor) ?? {};
  connect().watch(instructor, { first, days: BOARD_DAYS, board });
}

function unfollow(instructor) {
  boards.set(instructor, boards.get(instructor) - 1);
  if (boards.get(instructor) > 0) return;
  boards.delete(instructor);
  connect().unwatch(instructor);
}

// ---- public data

async function readJson(path, signal) {
  const limit = AbortSignal.timeout(FETCH_TIMEOUT);
  const response = await fetch(SITE + path, { signal: AbortSignal.any([signal, limit]) });
  if ([404, 422].includes(response.status)) return null;
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// The instant of a wall-clock time such as "09:30" or "24:00".
function instantOf(day, time, zone) {
  const [hours, minutes] = time.split(":").map(Number);
  const wall = Date.parse(day) + (hours * 60 + minutes) * 60_000;
  let instant = wall;
  for (let round = 0; round < 2; round += 1) {
    instant += wall - Date.parse(dayOf(instant, zone)) - wallMinutes(instant, zone) * 60_000;
  }
  return instant;
}

// The public availability as a board. It leaves out times inside the minimum notice, and does not
// know which times are held. null if the site publishes no ranges.
function boardOf({ time_zone: zone, days }) {
  const entries = Object.entries(days ?? {});
  if (entries.some(([, day]) => !day.ranges) || !days) return null;
  const free = (day, ranges) => ranges.map((range) => [range.start_time, range.end_time]
    .map((time) => wire(instantOf(day, time, zone))));
  return {
    time_zone: zone,
    min_advance_minutes: 0,
    days: Object.fromEntries(
      entries.map(([day, { ranges }]) => [day, { free: free(day, ranges), held: [] }]),
    ),
  };
}

// ---- the element

class InstaInstruBoard extends HTMLElement {
  static observedAttributes = ["instructor", "service", "duration", "days"];

  #abort = null;
  #instructor = ""; // followed
  #profile = null;
  #service = null;
  #minutes = 0;
  #board = null;
  #readAt = 0; // when the board was read while the connection was lost
  #first = ""; // the first day of the watched board
  #expanded = new Set(); // days
  #isPolling = false;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(skeleton());
  }

  connectedCallback() {
    this.#start();
  }

  disconnectedCallback() {
    this.#stop();
  }

  attributeChangedCallback(_name, before, after) {
    if (!this.#abort || before === after) return;
    this.#stop();
    this.#start();
  }

  #find(selector) {
    return this.shadowRoot.querySelector(selector);
  }

  #stop() {
    this.#abort?.abort();
    this.#abort = null;
    if (this.#instructor) unfollow(this.#instructor);
    this.#instructor = "";
    this.#profile = null;
    this.#board = null;
    this.#readAt = 0;
    this.#expanded.clear();
    this.#find(".days").replaceChildren();
    for (const part of ["h2", ".about", ".none", ".foot"]) this.#find(part).hidden = true;
  }

  async #start() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const id = (this.getAttribute("instructor") ?? "").trim().toLowerCase();
    this.#say("loading", "Loading free times…");
    while (!signal.aborted) {
      try {
        const profile = await readJson(`/api/instructors/${encodeURIComponent(id)}`, signal);
        if (!signal.aborted) this.#open(profile, signal);
        return;
      } catch {
        if (signal.aborted) return;
        this.#say("offline", "We can’t reach InstaInstru. Trying again…");
        await new Promise((resolve) => setTimeout(resolve, 5_000 + Math.random() * 5_000));
      }
    }
  }

  #open(profile, signal) {
    if (profile === null) {
      this.#say("unknown", "We couldn’t find this instructor on InstaInstru.");
      return;
    }
    this.#profile = profile;
    this.#select();
    this.#drawFrame();
    if (!this.#service) {
      this.#say("empty", `${profile.name} isn’t offering lessons right now.`);
      return;
    }
    const live = connect();
    const ifOwn = (draw) => ({ detail }) => detail.instructor === profile.id && draw(detail);
    live.addEventListener("board", ifOwn(() => this.#update(live.board(profile.id))), { signal });
    live.addEventListener("refused", ifOwn(({ code }) => {
      if (code === "NOT_FOUND") this.#close();
    }), { signal });
    live.addEventListener("state", () => {
      const board = live.board(profile.id);
      // Unchanged boards are not sent again, but the public availability knows no held times.
      const isBehind = live.state === "live" && this.#readAt && board?.version !== undefined;
      if (isBehind) this.#update(board);
      else this.#drawState();
    }, { signal });
    const redraw = setInterval(() => this.#tick(), REDRAW_EVERY);
    const poll = setInterval(() => this.#poll(signal), POLL_EVERY);
    signal.addEventListener("abort", () => [redraw, poll].forEach(clearInterval));
    this.#instructor = profile.id;
    this.#first = this.#today;
    follow(profile.id, this.#first);
    if (live.board(profile.id)?.version !== undefined) this.#update(live.board(profile.id));
    else this.#drawState();
  }

  // The instructor has stopped teaching.
  #close() {
    this.#board = null;
    this.#find(".days").replaceChildren();
    this.#find(".none").hidden = true;
    this.#say("unknown", "This instructor isn’t taking bookings on InstaInstru anymore.");
  }

  #select() {
    const { services } = this.#profile;
    const name = this.getAttribute("service");
    this.#service = services.find(({ id, catalog_service: slug }) => [id, slug].includes(name))
      ?? services[0] ?? null;
    const lengths = this.#service?.durations_minutes ?? [];
    const duration = Number(this.getAttribute("duration"));
    this.#minutes = [duration, 60].find((minutes) => lengths.includes(minutes)) ?? lengths[0];
  }

  get #zone() {
    return this.#board?.time_zone ?? this.#profile.time_zone;
  }

  get #today() {
    return dayOf(now(), this.#zone);
  }

  get #days() {
    const days = Math.floor(Number(this.getAttribute("days"))) || DEFAULT_DAYS;
    const count = Math.max(1, Math.min(MAX_DAYS, days));
    return Array.from({ length: count }, (_, index) => addDays(this.#today, index));
  }

  // ---- changes

  #update(board) {
    this.#readAt = 0;
    this.#board = board;
    this.#draw();
  }

  #tick() {
    if (this.#first !== this.#today) {
      this.#first = this.#today;
      watch(this.#instructor, this.#first);
    }
    if (this.#board) this.#draw();
    else this.#drawState();
  }

  // Reads the public availability while the connection is lost.
  async #poll(signal) {
    if (connect().state !== "offline" || document.hidden) return;
    const last = addDays(this.#today, BOARD_DAYS - 1);
    const path = `/api/public/instructors/${this.#instructor}/availability?end_date=${last}`;
    try {
      const answer = await readJson(path, signal);
      if (signal.aborted || connect().state !== "offline") return;
      if (answer === null) return void this.#close();
      const board = boardOf(answer);
      if (!board) return;
      this.#board = board;
      this.#readAt = now();
      this.#draw();
    } catch {
      this.#drawState();
    }
  }

  // ---- drawing

  #say(state, text) {
    const paragraph = this.#find(".state");
    this.dataset.state = state;
    paragraph.dataset.state = state;
    if (paragraph.textContent !== text) paragraph.textContent = text;
  }

  #drawFrame() {
    const { name } = this.#profile;
    const heading = this.#find("h2");
    heading.textContent = name;
    heading.hidden = false;
    this.#find("section").setAttribute("aria-label", `Free times of ${name}`);
    this.#find(".foot").hidden = false;
    this.#find(".book").href = this.#address();
    this.#find(".zone").textContent = zoneName(this.#zone);
    if (!this.#service) return;
    const about = this.#find(".about");
    const cost = money(price(this.#service.hourly_rate_cents, this.#minutes));
    about.textContent = `${this.#service.name} · ${this.#minutes} min · ${cost}`;
    about.hidden = false;
  }

  #drawState() {
    const { state } = connect();
    if (this.dataset.state === "unknown") return;
    if (state === "live" && this.#board) this.#say("live", "Live");
    else if (state !== "offline") {
      this.#say("loading", this.#board ? "Updating…" : "Loading free times…");
    } else if (this.#readAt) this.#say("polling", `As of ${clock(this.#readAt, this.#zone)}`);
    else if (this.#board) this.#say("offline", "Offline. These times may have changed.");
    else this.#say("offline", "We can’t reach InstaInstru. Trying again…");
    if (state === "offline" && !this.#readAt) this.#pollSoon();
  }

  // The first read after a lost connection does not wait for its interval.
  #pollSoon() {
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#poll(this.#abort.signal).finally(() => setTimeout(() => {
      this.#isPolling = false;
    }, 5_000));
  }

  #starts(day) {
    const board = this.#board.days[day];
    if (!board) return new Map();
    const limits = {
      earliest: now() + this.#board.min_advance_minutes * 60_000, latest: now() + HORIZON, busy: [],
    };
    return ofDay(spans(board.free), spans(board.held), this.#minutes, this.#zone, limits);
  }

  #draw() {
    if (this.dataset.state === "unknown") this.dataset.state = "";
    this.#drawState();
    const list = this.#find(".days");
    const days = this.#days;
    for (const item of [...list.children]) if (!days.includes(item.dataset.day)) item.remove();
    for (const [index, day] of days.entries()) {
      if (list.children[index]?.dataset.day !== day) {
        list.insertBefore(this.#newDay(day), list.children[index] ?? null);
      }
      this.#drawDay(list.children[index], day);
    }
    const isEmpty = list.querySelector("a.time") === null;
    const none = this.#find(".none");
    none.hidden = !isEmpty;
    if (isEmpty) this.#drawNone(none, days);
  }

  #newDay(day) {
    const times = element("ul", { className: "times", ariaLabel: longDay(day) });
    const more = element("button", { className: "more", hidden: true });
    const item = element("li", {}, element("h3"), times, more);
    item.dataset.day = day;
    more.addEventListener("click", () => {
      this.#expanded.add(day);
      this.#drawDay(item, day);
      const first = [...times.children].slice(MAX_TIMES).find((entry) => entry.querySelector("a"));
      (first ?? times).querySelector("a")?.focus();
    });
    return item;
  }

  #drawDay(item, day) {
    const all = [...this.#starts(day)];
    const name = nearDay(day, this.#today) || shortDay(day);
    const heading = item.querySelector("h3");
    if (heading.textContent !== name) heading.textContent = name;
    item.hidden = all.length === 0;
    const shown = new Map(this.#expanded.has(day) ? all : all.slice(0, MAX_TIMES));
    const list = item.querySelector("ul");
    for (const entry of [...list.children]) {
      if (shown.get(Number(entry.dataset.start)) !== entry.dataset.state) this.#remove(entry, day);
    }
    for (const [index, [start, state]] of [...shown].entries()) {
      if (Number(list.children[index]?.dataset.start) === start) continue;
      list.insertBefore(this.#newTime(start, state), list.children[index] ?? null);
    }
    const button = item.querySelector("button");
    button.hidden = shown.size === all.length;
    button.textContent = `${all.length - shown.size} more`;
    button.setAttribute("aria-label", `${all.length - shown.size} more times on ${longDay(day)}`);
  }

  #newTime(start, state) {
    const text = clock(start, this.#zone);
    const day = longDay(dayOf(start, this.#zone));
    const time = state === "free"
      ? link(
        { href: this.#address(start), ariaLabel: `Book ${day}, ${text}, on InstaInstru` },
        text,
      )
      : element("span", {}, text, element("small", {}, "being booked"));
    time.className = "time";
    const entry = element("li", {}, time);
    Object.assign(entry.dataset, { start, state });
    return entry;
  }

  // A time that was taken. The focus moves to the nearest one.
  #remove(entry, day) {
    const isFocused = entry.contains(this.shadowRoot.activeElement);
    const next = entry.nextElementSibling ?? entry.previousElementSibling;
    const start = Number(entry.dataset.start);
    const isTaken = entry.dataset.state === "free" && start > now();
    entry.remove();
    if (isFocused) (next?.querySelector("a") ?? this.#find("a.time, .book")).focus();
    if (isTaken && isFocused) {
      const text = `${clock(start, this.#zone)} on ${weekday(day)} was just taken.`;
      this.#find("[role=log]").textContent = text;
    }
  }

  #drawNone(none, days) {
    const later = Object.keys(this.#board.days).sort().filter((day) => !days.includes(day));
    const isFree = ([, state]) => state === "free";
    const [next] = later.flatMap((day) => [...this.#starts(day)].filter(isFree)).at(0) ?? [];
    none.textContent = `Nothing free in the next ${days.length} days. `;
    if (next === undefined) return;
    const day = dayOf(next, this.#zone);
    const name = daysBetween(this.#today, day) < 7 ? soon(day, this.#today) : shortDay(day);
    none.append(link({ href: this.#address(next) }, `Next: ${name}, ${clock(next, this.#zone)}`));
  }

  // The instructor's page, with the service and the time chosen.
  #address(start = null) {
    const query = new URLSearchParams();
    if (this.#service) query.set("service", this.#service.id);
    if (this.#minutes) query.set("minutes", this.#minutes);
    if (start !== null) query.set("start", wire(start));
    return `${SITE}/instructors/${this.#profile.id}?${query}`;
  }
}

customElements.get("instainstru-board")
  ?? customElements.define("instainstru-board", InstaInstruBoard);
