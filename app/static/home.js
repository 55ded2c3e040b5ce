// /: the cards of "Free next", kept true. A time that goes is struck and makes room for the next one after a moment, unless someone
// is just there with pointer or focus.

import { clock, dayOf, money, now, price, serverSays, soon, wire } from "./clock.js";
import { Live } from "./live.js";
import { Refresh, readPage } from "./refresh.js";
import { ofDay, spans } from "./start_times.js";
import { announce, follow } from "./status.js";

const at = (time) => Date.parse(time.dataset.start);

const STAYS = 3_000;
const MARKED = 10_000;
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
    for (const left of ["pointerleave", "focusout"]) element.addEventListener(left, () => setTimeout(() => this.draw()));
  }

  update(board) {
    this.#board = board;
    this.draw();
  }

  withdraw() {
    this.update({ ...this.#board, days: {} });
  }

  get #next() {
    const limits = { earliest: now() + this.#board.min_advance_minutes * 60_000, latest: now() + HORIZON, busy: [] };
    const free = [];
    for (const day of Object.keys(this.#board.days).sort()) {
      const { free: ranges, held } = this.#board.days[day];
      for (const [start, state] of ofDay(spans(ranges), spans(held), this.#given.minutes, this.#board.time_zone, limits)) {
        if (state === "free") free.push(start);
      }
    }
    return free;
  }

  draw() {
    const free = this.#next;
    for (const time of this.#times.children) {
      const start = at(time);
      if (!free.includes(start)) this.#strike(time);
      else if (time.dataset.state === "gone") this.#comeBack(time, start);
    }
    // Nothing moves under a hand, or while what is gone is still being shown as gone.
    if (!this.#occupied && !this.#times.querySelector("[data-state=gone]:not([data-due])")) this.#arrange(free);
    this.#free = free;
  }

  #arrange(free) {
    const wanted = free.slice(0, times);
    for (const time of [...this.#times.children]) {
      if (!wanted.includes(at(time))) time.remove();
    }
    for (const start of wanted) {
      const after = [...this.#times.children].find((time) => at(time) >= start);
      if (after && at(after) === start) continue;
      const time = Object.assign(document.createElement("a"), { className: "time" });
      this.#dress(time, start);
      this.#times.insertBefore(time, after ?? null);
      // One that came back is marked; one that is merely the next is not.
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
    for (const [name, value] of [["role", "link"], ["aria-disabled", "true"], ["tabindex", "0"]]) time.setAttribute(name, value);
    time.setAttribute("aria-label", `${this.#sentence(at(time))}, just taken`);
    setTimeout(() => {
      time.dataset.due = "";
      this.draw();
    }, STAYS);
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
    time.href = `/instructors/${instructor}?${new URLSearchParams({ service: service.id, minutes, start: wire(start) })}`;
    time.replaceChildren(Object.assign(document.createElement("small"), { textContent: this.#day(start) }), ` ${clock(start, this.#board.time_zone)}`);
    time.setAttribute("aria-label", this.#sentence(start));
  }

  #mark(time) {
    time.classList.add("back");
    setTimeout(() => time.classList.remove("back"), MARKED);
  }

  #day(start) {
    const { time_zone: zone } = this.#board;
    return soon(dayOf(start, zone), dayOf(now(), zone));
  }

  // "Today 5:30 pm, Piano with Sarah Chen, 60 minutes, $75"
  #sentence(start) {
    const { name, service, minutes } = this.#given;
    const cost = money(price(service.hourly_rate_cents, minutes));
    return `${this.#day(start)} ${clock(start, this.#board.time_zone)}, ${service.name} with ${name}, ${minutes} minutes, ${cost}`;
  }
}

const given = JSON.parse(document.getElementById("page-data").textContent);
const { days, times } = given;
serverSays(Date.parse(given.now));

const live = new Live();
const cards = new Map(given.cards.map((card) => [
  card.instructor, new Card(document.querySelector(`[data-instructor="${card.instructor}"]`), card),
]));

live.addEventListener("board", ({ detail: { instructor, board } }) => cards.get(instructor)?.update(board));
// Who is not shown any more offers nothing.
live.addEventListener("refused", ({ detail: { instructor } }) => cards.get(instructor)?.withdraw());
follow(live, new Refresh(async () => {
  const fresh = JSON.parse((await readPage()).getElementById("page-data").textContent);
  serverSays(Date.parse(fresh.now));
  for (const { instructor, board } of fresh.cards) live.offer(instructor, board);
}));
for (const { instructor, first, board } of given.cards) live.watch(instructor, { first, days, known: board });
setInterval(() => cards.forEach((card) => card.draw()), 10_000);
live.start();
