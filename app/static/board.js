// The live board: days with start times, first drawn by the server, then kept up to date here. It
// handles elements and focus. Events: "choose" (a start), "visit" (a day).

import {
  clock, dayNumber, dayOf, daysBetween, longDay, nearDay, partOfDay, shortDay, shortWeekday,
  smallPrint, wallMinutes, week, weekday, wire, zoneLetters,
} from "./formatting.js";
import { announce, announceTogether } from "./status.js";

const GONE_MS = 3_000; // how long a time that is gone stays, struck through
const MARK_MS = 10_000; // how long a time that came back is marked
const HOUR = 3_600_000;

const WHY = {
  held: "being booked by someone else",
  busy: "you have a lesson at that time",
  gone: "just taken",
};
const TOO_SOON = "too soon to book";
const SMALL = { held: "being booked", busy: "you’re busy" };
const NEWS = {
  taken: ["was just taken", "were just taken"],
  held: ["is being booked by someone", "are being booked by someone"],
  back: ["just became free", "just became free"],
};

export class Board extends EventTarget {
  #root;
  #offer;
  #columns;
  #hovered = new Set(); // the days the pointer is in

  constructor(root, offer) {
    super();
    this.#root = root;
    this.#offer = offer;
    this.#columns = [...root.querySelectorAll(".day")];
    root.addEventListener("click", (event) => this.#onClick(event));
    root.addEventListener("keydown", (event) => this.#onKey(event));
    for (const column of this.#columns) this.#wire(column);
    this.draw(false);
  }

  // Draws the offer. With `live`, differences are shown as news; otherwise the viewer caused them.
  draw(live) {
    const { week: days } = this.#offer;
    for (const [index, day] of days.entries()) this.#head(this.#columns[index], day);
    for (const [index, day] of days.entries()) this.#fill(this.#columns[index], day, live);
    for (const column of this.#columns) this.#tail(column);
    this.#labels();
    this.#frame();
  }

  focusDay(day) {
    const column = this.#columns.find((other) => other.dataset.day === day);
    column?.scrollIntoView({ block: "nearest", inline: "start" });
    const target = column?.querySelector('.time[tabindex="0"]')
      ?? column?.querySelector(".none a[href]") ?? column;
    target?.focus({ preventScroll: true });
  }

  // ---- drawing

  #head(column, day) {
    const heading = column.querySelector("h3");
    const { today } = this.#offer;
    column.classList.toggle("today", day === today);
    heading.firstChild.data = nearDay(day, today) || shortWeekday(day);
    if (column.dataset.day === day) return;
    column.dataset.day = day;
    column.id = `day-${day}`;
    heading.lastElementChild.textContent = dayNumber(day);
    heading.setAttribute("aria-label", longDay(day));
    for (const times of column.querySelectorAll(".times")) {
      times.setAttribute("aria-label", `${longDay(day)}, ${times.dataset.part}`);
      times.replaceChildren();
    }
  }

  #fill(column, day, live) {
    const starts = this.#offer.starts(day);
    const present = new Map(timesOf(column).map((time) => [Date.parse(time.value), time]));
    for (const [start, time] of present) {
      const state = starts.get(start) ?? (live ? "gone" : null);
      if (state) this.#set(time, start, state, live);
      else this.#remove(time);
    }
    for (const [start, state] of starts) {
      if (present.has(start)) continue;
      const part = partOfDay(start, this.#offer.zone);
      const times = column.querySelector(`.times[data-part=${part}]`);
      const next = [...times.children].find((other) => Date.parse(other.value) > start);
      const time = document.createElement("button");
      Object.assign(time, { name: "start", className: "time", value: wire(start) });
      times.insertBefore(time, next ?? null);
      this.#set(time, start, state, live);
    }
    this.#rove(column);
  }

  #set(time, start, state, live) {
    const before = time.dataset.state;
    const off = state !== "free";
    time.dataset.state = state;
    // Not `disabled`: a disabled button loses focus and sends the keyboard user to the page's top.
    attribute(time, "aria-disabled", off && "true");
    attribute(time, "type", off && "button");
    attribute(time, "aria-pressed", !off && start === this.#offer.chosen && "true");
    if (live && state !== before) this.#changed(time, start, state);
    this.#name(time, start, state);
  }

  #changed(time, start, state) {
    const { day } = time.closest(".day").dataset;
    const tell = (kind) => {
      const [one, many] = NEWS[kind];
      const sentence = `${clock(start, this.#offer.zone)} on ${weekday(day)} ${one}.`;
      const summary = (count) => `${count} times on ${weekday(day)} ${many}.`;
      announceTogether(`${kind} ${day}`, sentence, summary);
    };
    delete time.dataset.due;
    delete time.dataset.late;
    clearTimeout(time.leaving);
    time.classList.toggle("back", state === "free");
    if (state === "free") {
      tell("back");
      setTimeout(() => time.classList.remove("back"), MARK_MS);
    } else if (state === "held") {
      tell("held");
    } else if (state === "gone") {
      // A start that passed the minimum notice was not taken by anyone.
      if (start < this.#offer.limits.earliest) time.dataset.late = "";
      else tell("taken");
      time.leaving = setTimeout(() => {
        time.dataset.due = "";
        if (!this.#occupied(time.closest(".day"))) this.#sweep(time.closest(".day"));
      }, GONE_MS);
    }
  }

  #name(time, start, state) {
    const { zone } = this.#offer;
    const hint = this.#offer.hint(start);
    // On the night the clocks go back, one hour occurs twice.
    const twice = [HOUR, -HOUR].some((hour) => clock(start + hour, zone) === clock(start, zone));
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
    if (!small) return;
    const note = Object.assign(document.createElement("small"), { textContent: small });
    time.append(" ", note);
  }

  // For a day without times, when the next one is.
  #tail(column) {
    const { day } = column.dataset;
    const loaded = day in this.#offer.days;
    const none = column.querySelector(".none");
    column.classList.toggle("waiting", !loaded);
    none.hidden = !loaded || column.querySelector(".time") !== null;
    if (none.hidden) return;
    const link = none.querySelector("a");
    const next = this.#offer.nextAfter(day);
    link.hidden = next === undefined;
    if (link.hidden) return;
    const other = dayOf(next, this.#offer.zone);
    const name = daysBetween(day, other) < 7 ? shortWeekday(other) : `${shortDay(other)},`;
    link.textContent = `Next: ${name} ${clock(next, this.#offer.zone)}`;
    link.href = `${this.#offer.address({ first: this.#offer.weekOf(other) })}#day-${other}`;
    link.dataset.day = other;
  }

  // "Morning" stands above the mornings of a week that has any.
  #labels() {
    for (const label of this.#root.querySelectorAll(".part")) {
      const times = `.times[data-part=${label.dataset.part}] .time`;
      label.hidden = this.#root.querySelector(times) === null;
    }
  }

  // Around the days: the week's name, and on a phone the strip of its days.
  #frame() {
    document.getElementById("week").textContent = week(this.#offer.first);
    const starts = this.#offer.week.flatMap((day) => [...this.#offer.starts(day).keys()]);
    const ownZone = starts.map((start) => this.#offer.hintZone(start)).find(Boolean);
    const line = document.getElementById("own-zone");
    line.hidden = !ownZone;
    if (ownZone) line.textContent = smallPrint(ownZone);
    for (const [index, link] of [...document.querySelectorAll("#strip a")].entries()) {
      const day = this.#offer.week[index];
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
    column.addEventListener("pointerenter", ({ pointerType }) => {
      if (pointerType !== "touch") this.#hovered.add(column);
    });
    column.addEventListener("pointerleave", () => {
      this.#hovered.delete(column);
      this.#sweep(column);
    });
    column.addEventListener("focusin", ({ target }) => {
      if (target.matches(".time")) this.#rove(column, target);
    });
    column.addEventListener("focusout", () => setTimeout(() => {
      if (!column.contains(document.activeElement)) this.#sweep(column);
    }));
  }

  #occupied(column) {
    return this.#hovered.has(column) || column.contains(document.activeElement);
  }

  // Removes the times of a day that have been shown as gone for long enough.
  #sweep(column) {
    for (const time of column.querySelectorAll(".time[data-due]")) this.#remove(time);
    this.#rove(column);
    this.#tail(column);
    this.#labels();
  }

  #remove(time) {
    if (time === document.activeElement) this.#nearestTo(time).focus();
    time.remove();
  }

  #nearestTo(time) {
    const distance = (other) => Math.abs(Date.parse(other.value) - Date.parse(time.value));
    const others = [...this.#root.querySelectorAll(".time:not([data-state=gone])")]
      .filter((other) => other !== time);
    return others.sort((a, b) => distance(a) - distance(b))[0] ?? time.closest(".day");
  }

  // ---- pointer and keyboard

  #onClick(event) {
    const link = event.target.closest(".none a");
    const time = event.target.closest(".time");
    if (link) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("visit", { detail: link.dataset.day }));
    } else if (time) {
      event.preventDefault();
      const start = Date.parse(time.value);
      const column = time.closest(".day");
      if (time.dataset.state === "free") {
        this.dispatchEvent(new CustomEvent("choose", { detail: start }));
      } else {
        const why = "late" in time.dataset ? TOO_SOON : WHY[time.dataset.state];
        announce(`${clock(start, this.#offer.zone)} on ${weekday(column.dataset.day)}: ${why}.`);
      }
      this.#sweep(column);
    }
  }

  #onKey(event) {
    const time = event.target.closest(".time");
    if (!time || event.altKey || event.ctrlKey || event.metaKey) return;
    const column = time.closest(".day");
    const times = timesOf(column);
    const index = times.indexOf(time);
    const target = {
      ArrowDown: () => times[index + 1],
      ArrowUp: () => times[index - 1],
      Home: () => times[0],
      End: () => times.at(-1),
      ArrowRight: () => this.#beside(column, time, 1),
      ArrowLeft: () => this.#beside(column, time, -1),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target()?.focus();
    this.#sweep(column);
  }

  // The time of the next day that has any, at about the same hour.
  #beside(column, time, step) {
    const hour = (other) => wallMinutes(Date.parse(other.value), this.#offer.zone);
    const distance = (other) => Math.abs(hour(other) - hour(time));
    let index = this.#columns.indexOf(column) + step;
    for (; this.#columns[index]; index += step) {
      const times = timesOf(this.#columns[index]);
      if (times.length) return times.sort((a, b) => distance(a) - distance(b))[0];
    }
    return undefined;
  }

  // One tab stop per day: the time last visited, the chosen one, or the first free one.
  #rove(column, visited = null) {
    const times = timesOf(column);
    const stop = visited ?? times.find((time) => time === document.activeElement)
      ?? times.find((time) => time.getAttribute("aria-pressed") === "true")
      ?? times.find((time) => time.matches('[tabindex="0"]:not([data-state=gone])'))
      ?? times.find((time) => time.dataset.state === "free") ?? times[0];
    for (const time of times) time.tabIndex = time === stop ? 0 : -1;
  }
}

const timesOf = (column) => [...column.querySelectorAll(".time")];

function attribute(element, name, value) {
  if (value) element.setAttribute(name, value);
  else element.removeAttribute(name);
}
