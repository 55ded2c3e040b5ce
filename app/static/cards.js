// The cards of the start page and of search results: keeps their times up to date. A time that is
// taken is struck through, and then replaced by the next one, unless the pointer or the focus is on
// the card.

import { isWithin, spread } from "./card_times.js";
import { clock, dayOf, money, now, price, setServerTime, soon, wire } from "./formatting.js";
import { Live } from "./live.js";
import { Refresh, readPage } from "./refresh.js";
import { ofDay, spans } from "./start_times.js";
import { announce, follow } from "./status.js";

const startOf = (time) => Date.parse(time.dataset.start);

const GONE_MS = 3_000; // an unavailable time stays this long, struck through
const MARK_MS = 10_000; // a freed time is marked this long
const REDRAW_EVERY = 10_000;
const HORIZON = 90 * 86_400_000;

class Card {
  #element;
  #card;
  #board;
  #times;
  #holds; // a time is a button that holds it, or else a link to the instructor's page
  #free; // the free starts when the card was last drawn

  constructor(element, card) {
    this.#element = element;
    this.#card = card;
    this.#board = card.board;
    this.#times = element.querySelector(".next");
    this.#holds = this.#times.matches("form");
    this.#free = this.#freeStarts;
    this.#times.addEventListener("click", (event) => {
      const time = event.target.closest(".time[aria-disabled]");
      if (!time) return;
      const isTooSoon = time.dataset.tooSoon !== undefined;
      announce(isTooSoon ? "This time is too soon to book." : "This time has just been taken.");
    });
    for (const event of ["pointerleave", "focusout"]) {
      element.addEventListener(event, () => setTimeout(() => this.draw()));
    }
  }

  update(board) {
    this.#board = board;
    this.draw();
  }

  withdraw() {
    this.update({ ...this.#board, days: {} });
  }

  get #seed() {
    return parseInt(this.#card.service.id.slice(-6), 16);
  }

  get #drawnTimes() {
    return [...this.#times.querySelectorAll(".time")];
  }

  get #earliest() {
    return now() + this.#board.min_advance_minutes * 60_000;
  }

  get #freeStarts() {
    const { minutes, window } = this.#card;
    const { days: board, time_zone: zone } = this.#board;
    const limits = { earliest: this.#earliest, latest: now() + HORIZON, busy: [] };
    const free = [];
    for (const day of Object.keys(board).sort()) {
      const { free: ranges, held } = board[day];
      for (const [start, state] of ofDay(spans(ranges), spans(held), minutes, zone, limits)) {
        if (state !== "free") continue;
        if (!window || isWithin(window, start, minutes, zone)) free.push(start);
      }
    }
    return free;
  }

  draw() {
    const free = this.#freeStarts;
    for (const time of this.#drawnTimes) {
      const start = startOf(time);
      if (!free.includes(start)) this.#strike(time);
      else if (time.dataset.state === "gone") this.#restore(time, start);
      else if (time.getAttribute("aria-label") !== this.#sentence(start)) {
        this.#drawTime(time, start); // tomorrow has become today
      }
    }
    // Move nothing under the pointer or the focus, or while a struck-through time is shown.
    const isShowing = this.#times.querySelector("[data-state=gone]:not([data-removable])");
    if (!this.#isInUse && !isShowing) this.#arrange(free);
    this.#free = free;
  }

  #arrange(free) {
    const starts = spread(free, this.#board.time_zone, this.#seed, times);
    for (const time of this.#drawnTimes) {
      if (!starts.includes(startOf(time))) time.remove();
    }
    for (const start of starts) {
      const next = this.#drawnTimes.find((time) => startOf(time) >= start);
      if (next && startOf(next) === start) continue;
      const name = this.#holds ? "button" : "a";
      const time = Object.assign(document.createElement(name), { className: "time" });
      this.#drawTime(time, start);
      this.#times.insertBefore(time, next ?? null);
      // Mark a freed time, but not one that was free all along.
      if (!this.#free.includes(start)) this.#mark(time);
    }
    this.#element.querySelector(".nothing-free").hidden = this.#drawnTimes.length > 0;
  }

  get #isInUse() {
    return this.#element.matches(":hover") || this.#element.contains(document.activeElement);
  }

  #strike(time) {
    if (time.dataset.state === "gone") return;
    time.dataset.state = "gone";
    time.classList.remove("freed");
    time.setAttribute("aria-disabled", "true");
    if (this.#holds) {
      time.type = "button";
    } else {
      time.removeAttribute("href");
      time.setAttribute("role", "link");
      time.setAttribute("tabindex", "0");
    }
    const isTooSoon = startOf(time) < this.#earliest;
    if (isTooSoon) time.dataset.tooSoon = "";
    const reason = isTooSoon ? "too soon to book" : "just taken";
    time.setAttribute("aria-label", `${this.#sentence(startOf(time))}, ${reason}`);
    setTimeout(() => {
      time.dataset.removable = "";
      this.draw();
    }, GONE_MS);
  }

  #restore(time, start) {
    delete time.dataset.removable;
    delete time.dataset.tooSoon;
    for (const name of ["role", "type", "aria-disabled", "tabindex"]) time.removeAttribute(name);
    this.#drawTime(time, start);
    this.#mark(time);
  }

  #drawTime(time, start) {
    const { instructor, service, minutes } = this.#card;
    Object.assign(time.dataset, { start: wire(start), state: "free" });
    const query = new URLSearchParams({ service: service.id, minutes, start: wire(start) });
    if (this.#holds) Object.assign(time, { name: "start", value: wire(start) });
    else time.href = `/instructors/${instructor}?${query}#lesson`;
    const day = Object.assign(document.createElement("small"), { textContent: this.#day(start) });
    time.replaceChildren(day, ` ${clock(start, this.#board.time_zone)}`);
    time.setAttribute("aria-label", this.#sentence(start));
  }

  #mark(time) {
    time.classList.add("freed");
    setTimeout(() => time.classList.remove("freed"), MARK_MS);
  }

  #day(start) {
    const { time_zone: zone } = this.#board;
    return soon(dayOf(start, zone), dayOf(now(), zone));
  }

  // "Today 5:30 pm, Piano with Sarah Chen, 60 minutes, $75"
  #sentence(start) {
    const { name, service, minutes } = this.#card;
    const when = `${this.#day(start)} ${clock(start, this.#board.time_zone)}`;
    const cost = money(price(service.hourly_rate_cents, minutes));
    return `${when}, ${service.name} with ${name}, ${minutes} minutes, ${cost}`;
  }
}

const readData = (page) => JSON.parse(page.getElementById("page-data").textContent);

const pageData = readData(document);
const { days, times } = pageData;
setServerTime(Date.parse(pageData.now));

const live = new Live();
// An instructor may have several cards.
const cards = Map.groupBy(pageData.cards, ({ instructor }) => instructor);
for (const [instructor, all] of cards) {
  cards.set(instructor, all.map((card) => {
    const element = document.querySelector(`[data-service="${card.service.id}"]`);
    return new Card(element, card);
  }));
}

live.addEventListener("board", ({ detail: { instructor, board } }) => {
  for (const card of cards.get(instructor) ?? []) card.update(board);
});
// The instructor is no longer public.
live.addEventListener("refused", ({ detail: { instructor } }) => {
  for (const card of cards.get(instructor) ?? []) card.withdraw();
});
follow(live, new Refresh(async () => {
  const page = await readPage();
  const { now: serverTime, cards: newCards } = readData(page);
  setServerTime(Date.parse(serverTime));
  for (const { instructor, board } of newCards) live.update(instructor, board);
}));
for (const { instructor, first, board } of pageData.cards) {
  live.watch(instructor, { first, days, board });
}
setInterval(() => [...cards.values()].flat().forEach((card) => card.draw()), REDRAW_EVERY);
live.start();
