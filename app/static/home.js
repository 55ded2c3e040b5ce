// /: the cards of "Free next", kept up to date. A time that is taken is struck through, then makes
// room for the next one, unless the pointer or the focus is on the card.

import { clock, dayOf, money, now, price, serverSays, soon, wire } from "./formatting.js";
import { Live } from "./live.js";
import { Refresh, readPage } from "./refresh.js";
import { ofDay, spans } from "./start_times.js";
import { announce, follow } from "./status.js";

const startOf = (time) => Date.parse(time.dataset.start);

const GONE_MS = 3_000; // how long a time that is gone stays, struck through
const MARK_MS = 10_000; // how long a time that came back is marked
const HORIZON = 90 * 86_400_000;

class Card {
  #element;
  #given;
  #board;
  #times;
  #free; // what was free when the card was last drawn

  constructor(element, given) {
    this.#element = element;
    this.#given = given;
    this.#board = given.board;
    this.#times = element.querySelector(".next");
    this.#free = this.#next;
    this.#times.addEventListener("click", (event) => {
      const time = event.target.closest(".time:not([href])");
      if (time) announce("This time was just taken.");
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

  get #next() {
    const { minutes } = this.#given;
    const { days: board, min_advance_minutes: notice, time_zone: zone } = this.#board;
    const limits = { earliest: now() + notice * 60_000, latest: now() + HORIZON, busy: [] };
    const free = [];
    for (const day of Object.keys(board).sort()) {
      const { free: ranges, held } = board[day];
      for (const [start, state] of ofDay(spans(ranges), spans(held), minutes, zone, limits)) {
        if (state === "free") free.push(start);
      }
    }
    return free;
  }

  draw() {
    const free = this.#next;
    for (const time of this.#times.children) {
      const start = startOf(time);
      if (!free.includes(start)) this.#strike(time);
      else if (time.dataset.state === "gone") this.#comeBack(time, start);
    }
    // Nothing moves under the pointer or the focus, or while a time is being shown as gone.
    const showing = this.#times.querySelector("[data-state=gone]:not([data-due])");
    if (!this.#occupied && !showing) this.#arrange(free);
    this.#free = free;
  }

  #arrange(free) {
    const starts = free.slice(0, times);
    for (const time of [...this.#times.children]) {
      if (!starts.includes(startOf(time))) time.remove();
    }
    for (const start of starts) {
      const after = [...this.#times.children].find((time) => startOf(time) >= start);
      if (after && startOf(after) === start) continue;
      const time = Object.assign(document.createElement("a"), { className: "time" });
      this.#dress(time, start);
      this.#times.insertBefore(time, after ?? null);
      // Only a time that came back is marked, not one that is merely next.
      if (!this.#free.includes(start)) this.#mark(time);
    }
    this.#element.querySelector(".none").hidden = this.#times.childElementCount > 0;
  }

  get #occupied() {
    return this.#element.matches(":hover") || this.#element.contains(document.activeElement);
  }

  #strike(time) {
    if (time.dataset.state === "gone") return;
    time.dataset.state = "gone";
    time.classList.remove("back");
    time.removeAttribute("href");
    time.setAttribute("role", "link");
    time.setAttribute("aria-disabled", "true");
    time.setAttribute("tabindex", "0");
    time.setAttribute("aria-label", `${this.#sentence(startOf(time))}, just taken`);
    setTimeout(() => {
      time.dataset.due = "";
      this.draw();
    }, GONE_MS);
  }

  #comeBack(time, start) {
    delete time.dataset.due;
    for (const name of ["role", "aria-disabled", "tabindex"]) time.removeAttribute(name);
    this.#dress(time, start);
    this.#mark(time);
  }

  #dress(time, start) {
    const { instructor, service, minutes } = this.#given;
    Object.assign(time.dataset, { start: wire(start), state: "free" });
    const query = new URLSearchParams({ service: service.id, minutes, start: wire(start) });
    const day = Object.assign(document.createElement("small"), { textContent: this.#day(start) });
    time.href = `/instructors/${instructor}?${query}`;
    time.replaceChildren(day, ` ${clock(start, this.#board.time_zone)}`);
    time.setAttribute("aria-label", this.#sentence(start));
  }

  #mark(time) {
    time.classList.add("back");
    setTimeout(() => time.classList.remove("back"), MARK_MS);
  }

  #day(start) {
    const { time_zone: zone } = this.#board;
    return soon(dayOf(start, zone), dayOf(now(), zone));
  }

  // "Today 5:30 pm, Piano with Sarah Chen, 60 minutes, $75"
  #sentence(start) {
    const { name, service, minutes } = this.#given;
    const when = `${this.#day(start)} ${clock(start, this.#board.time_zone)}`;
    const cost = money(price(service.hourly_rate_cents, minutes));
    return `${when}, ${service.name} with ${name}, ${minutes} minutes, ${cost}`;
  }
}

const given = JSON.parse(document.getElementById("page-data").textContent);
const { days, times } = given;
serverSays(Date.parse(given.now));

const live = new Live();
const cards = new Map(given.cards.map((card) => [
  card.instructor, new Card(document.querySelector(`[data-instructor="${card.instructor}"]`), card),
]));

live.addEventListener("board", ({ detail: { instructor, board } }) => {
  cards.get(instructor)?.update(board);
});
// An instructor who is no longer public offers nothing.
live.addEventListener("refused", ({ detail: { instructor } }) => cards.get(instructor)?.withdraw());
follow(live, new Refresh(async () => {
  const fresh = JSON.parse((await readPage()).getElementById("page-data").textContent);
  serverSays(Date.parse(fresh.now));
  for (const { instructor, board } of fresh.cards) live.offer(instructor, board);
}));
for (const { instructor, first, board } of given.cards) {
  live.watch(instructor, { first, days, known: board });
}
setInterval(() => cards.forEach((card) => card.draw()), 10_000);
live.start();
