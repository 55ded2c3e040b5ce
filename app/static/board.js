// The live board: days with start times, drawn by the server first and kept true from then on. It knows elements, focus and what
// happens to a time under someone's hand. Events: "choose" (a start), "visit" (a day).

import { clock, dayNumber, dayOf, daysBetween, longDay, shortDay, shortWeekday, wallMinutes, week, weekday, wire, zoneLetters, zoneName } from "./clock.js";
import { News } from "./news.js";
import { announce } from "./status.js";

const STAYS = 3_000; // how long a time that is gone stays, struck, before it leaves
const MARKED = 10_000; // how long one that came back is marked

const WHY = { held: "being booked by someone else", busy: "you’re busy: you have a lesson then", gone: "just taken" };
const TOO_SOON = "too soon to book now";
const SMALL = { held: "being booked", busy: "you’re busy" };

export class Board extends EventTarget {
  #root;
  #offer;
  #columns;
  #pointed = new Set(); // the days the pointer is in
  #news = new News();

  constructor(root, offer) {
    super();
    this.#root = root;
    this.#offer = offer;
    this.#columns = [...root.querySelectorAll(".day")];
    root.addEventListener("click", (event) => this.#clicked(event));
    root.addEventListener("keydown", (event) => this.#pressed(event));
    for (const column of this.#columns) this.#wire(column);
    this.draw(false);
  }

  // Draws the offer. What differs is shown as it happens where that is `live`; otherwise it was the viewer's own doing.
  draw(live) {
    const { week: days } = this.#offer;
    for (const [place, day] of days.entries()) this.#head(this.#columns[place], day);
    for (const [place, day] of days.entries()) this.#fill(this.#columns[place], day, live);
    for (const column of this.#columns) this.#tail(column);
    this.#frame();
  }

  focusDay(day) {
    const column = this.#columns.find((other) => other.dataset.day === day);
    column?.scrollIntoView({ block: "nearest", inline: "start" });
    (column?.querySelector('.time[tabindex="0"]') ?? column?.querySelector(".none a[href]") ?? column)?.focus({ preventScroll: true });
  }

  // ---- drawing

  #head(column, day) {
    const heading = column.querySelector("h3");
    const today = day === this.#offer.today;
    column.classList.toggle("today", today);
    heading.firstChild.data = today ? "Today" : shortWeekday(day);
    if (column.dataset.day === day) return;
    column.dataset.day = day;
    column.id = `day-${day}`;
    heading.lastElementChild.textContent = dayNumber(day);
    for (const named of [heading, column.querySelector(".times")]) named.setAttribute("aria-label", longDay(day));
    column.querySelector(".times").replaceChildren();
  }

  #fill(column, day, live) {
    const wanted = this.#offer.starts(day);
    const times = column.querySelector(".times");
    const present = new Map([...times.children].map((time) => [Date.parse(time.value), time]));
    for (const [start, time] of present) {
      const state = wanted.get(start) ?? (live ? "gone" : null);
      if (state) this.#set(time, start, state, live);
      else this.#remove(time);
    }
    for (const [start, state] of wanted) {
      if (present.has(start)) continue;
      const time = Object.assign(document.createElement("button"), { name: "start", className: "time", value: wire(start) });
      times.insertBefore(time, [...times.children].find((other) => Date.parse(other.value) > start) ?? null);
      this.#set(time, start, state, live);
    }
    this.#rove(column);
  }

  #set(time, start, state, live) {
    const before = time.dataset.state;
    const off = state !== "free";
    time.dataset.state = state;
    // Not `disabled`: a disabled or removed button would throw the keyboard user to the top of the page.
    attribute(time, "aria-disabled", off && "true");
    attribute(time, "type", off && "button");
    attribute(time, "aria-pressed", !off && start === this.#offer.chosen && "true");
    if (live && state !== before) this.#happened(time, start, state);
    this.#name(time, start, state);
  }

  #happened(time, start, state) {
    const { day } = time.closest(".day").dataset;
    const tell = (kind) => this.#news.add(kind, day, clock(start, this.#offer.zone));
    delete time.dataset.due;
    delete time.dataset.late;
    clearTimeout(time.leaving);
    time.classList.toggle("back", state === "free");
    if (state === "free") {
      tell("back");
      setTimeout(() => time.classList.remove("back"), MARKED);
    } else if (state === "held") {
      tell("held");
    } else if (state === "gone") {
      // A time that merely came too near is nobody's news.
      if (start < this.#offer.limits.earliest) time.dataset.late = "";
      else tell("taken");
      time.leaving = setTimeout(() => {
        time.dataset.due = "";
        if (!this.#occupied(time.closest(".day"))) this.#sweep(time.closest(".day"));
      }, STAYS);
    }
  }

  #name(time, start, state) {
    const { zone } = this.#offer;
    const hint = this.#offer.hint(start);
    // On the night the clocks go back an hour comes twice.
    const twice = [3_600_000, -3_600_000].some((hour) => clock(start + hour, zone) === clock(start, zone));
    const text = clock(start, zone) + (twice ? ` ${zoneLetters(start, zone)}` : "");
    const small = SMALL[state];
    let label = this.#offer.sentence(start);
    if (small) label = `${longDay(dayOf(start, zone))}, ${text} ${WHY[state]}`;
    else if (state === "gone") label += `, ${"late" in time.dataset ? TOO_SOON : WHY.gone}`;
    else if (hint) label += `, ${hint} your time`;
    if (time.getAttribute("aria-label") !== label) time.setAttribute("aria-label", label);
    if (hint && !small) time.dataset.hint = hint;
    else delete time.dataset.hint;
    if (time.textContent === (small ? `${text} ${small}` : text)) return;
    time.replaceChildren(text);
    if (small) time.append(" ", Object.assign(document.createElement("small"), { textContent: small }));
  }

  // Below the times: that there are none, and when the next one is.
  #tail(column) {
    const { day } = column.dataset;
    const known = day in this.#offer.days;
    const none = column.querySelector(".none");
    column.classList.toggle("waiting", !known);
    none.hidden = !known || column.querySelector(".time") !== null;
    if (none.hidden) return;
    const link = none.querySelector("a");
    const next = this.#offer.nextAfter(day);
    link.hidden = next === undefined;
    if (link.hidden) return;
    const other = dayOf(next, this.#offer.zone);
    link.textContent = `Next: ${daysBetween(day, other) < 7 ? shortWeekday(other) : `${shortDay(other)},`} ${clock(next, this.#offer.zone)}`;
    link.href = `${this.#offer.address({ first: this.#offer.weekOf(other) })}#day-${other}`;
    link.dataset.day = other;
  }

  // What stands around the days: the week's name, and on a phone the strip of its days.
  #frame() {
    document.getElementById("week").textContent = week(this.#offer.first);
    const own = this.#offer.week.flatMap((day) => [...this.#offer.starts(day).keys()]).map((start) => this.#offer.hintZone(start)).find(Boolean);
    const line = document.getElementById("own-zone");
    line.hidden = !own;
    if (own) line.textContent = `In small, your own: ${zoneName(own)}`;
    for (const [place, link] of [...document.querySelectorAll("#strip a")].entries()) {
      const day = this.#offer.week[place];
      const free = this.#offer.free(day).length > 0;
      link.dataset.day = day;
      link.href = `#day-${day}`;
      link.firstChild.data = `${shortWeekday(day)} `;
      link.querySelector("b").textContent = dayNumber(day);
      link.lastElementChild.textContent = free ? "has free times" : "nothing free";
      link.toggleAttribute("data-free", free);
    }
  }

  // ---- leaving

  #wire(column) {
    column.addEventListener("pointerenter", (event) => event.pointerType === "touch" || this.#pointed.add(column));
    column.addEventListener("pointerleave", () => {
      this.#pointed.delete(column);
      this.#sweep(column);
    });
    column.addEventListener("focusin", ({ target }) => target.matches(".time") && this.#rove(column, target));
    column.addEventListener("focusout", () => setTimeout(() => column.contains(document.activeElement) || this.#sweep(column)));
  }

  #occupied(column) {
    return this.#pointed.has(column) || column.contains(document.activeElement);
  }

  // Lets what is gone, and has been shown as gone long enough, leave a day.
  #sweep(column) {
    for (const time of column.querySelectorAll(".time[data-due]")) this.#remove(time);
    this.#rove(column);
    this.#tail(column);
  }

  #remove(time) {
    if (time === document.activeElement) this.#nearestTo(time).focus();
    time.remove();
  }

  #nearestTo(time) {
    const away = (other) => Math.abs(Date.parse(other.value) - Date.parse(time.value));
    const others = [...this.#root.querySelectorAll(".time")].filter((other) => other !== time && other.dataset.state !== "gone");
    return others.sort((a, b) => away(a) - away(b))[0] ?? time.closest(".day");
  }

  // ---- hands

  #clicked(event) {
    const link = event.target.closest(".none a");
    const time = event.target.closest(".time");
    if (link) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("visit", { detail: link.dataset.day }));
    } else if (time) {
      event.preventDefault();
      const start = Date.parse(time.value);
      if (time.dataset.state === "free") this.dispatchEvent(new CustomEvent("choose", { detail: start }));
      else announce(`${clock(start, this.#offer.zone)} on ${weekday(dayOf(start, this.#offer.zone))}: ${"late" in time.dataset ? TOO_SOON : WHY[time.dataset.state]}.`);
      this.#sweep(time.closest(".day"));
    }
  }

  #pressed(event) {
    const time = event.target.closest(".time");
    if (!time || event.altKey || event.ctrlKey || event.metaKey) return;
    const column = time.closest(".day");
    const times = [...column.querySelectorAll(".time")];
    const place = times.indexOf(time);
    const goal = {
      ArrowDown: () => times[place + 1],
      ArrowUp: () => times[place - 1],
      Home: () => times[0],
      End: () => times.at(-1),
      ArrowRight: () => this.#beside(column, time, 1),
      ArrowLeft: () => this.#beside(column, time, -1),
    }[event.key];
    if (!goal) return;
    event.preventDefault();
    goal()?.focus();
    this.#sweep(column);
  }

  // The time of the next day that has any, at about the same hour.
  #beside(column, time, step) {
    const hour = (other) => wallMinutes(Date.parse(other.value), this.#offer.zone);
    const away = (other) => Math.abs(hour(other) - hour(time));
    for (let place = this.#columns.indexOf(column) + step; this.#columns[place]; place += step) {
      const times = [...this.#columns[place].querySelectorAll(".time")];
      if (times.length) return times.sort((a, b) => away(a) - away(b))[0];
    }
    return undefined;
  }

  // One tab stop per day: the time last visited, the chosen one, or the first free one.
  #rove(column, visited = null) {
    const times = [...column.querySelectorAll(".time")];
    const stop = visited ?? times.find((time) => time === document.activeElement)
      ?? times.find((time) => time.getAttribute("aria-pressed") === "true")
      ?? times.find((time) => time.getAttribute("tabindex") === "0" && time.dataset.state !== "gone")
      ?? times.find((time) => time.dataset.state === "free") ?? times[0];
    for (const time of times) time.tabIndex = time === stop ? 0 : -1;
  }
}

function attribute(element, name, value) {
  if (value) element.setAttribute(name, value);
  else element.removeAttribute(name);
}
