// The live board: the elements and the focus of a week's start times. The server draws them first.
// Events: "select" with a start, "visit" with a day.

import {
  clock, dayNumber, dayOf, longDay, nearDay, partOfDay, shortDay,
  shortWeekday, smallPrint, wallMinutes, week, weekday, wire,
} from "./formatting.js";
import { Refresh, readPage } from "./refresh.js";
import { announce, announceTogether } from "./status.js";

const GONE_MS = 3_000; // an unavailable time stays this long, struck through
const MARK_MS = 10_000; // a freed time is marked this long

const REASONS = {
  held: "being booked by someone else",
  busy: "you have a lesson at that time",
  gone: "just taken",
};
const TOO_SOON = "too soon to book";
const NOTES = { held: "being booked", busy: "you’re busy" };
const ANNOUNCEMENTS = {
  gone: ["was just taken", "were just taken"],
  held: ["is being booked by someone", "are being booked by someone"],
  free: ["just became free", "just became free"],
};

export class Board extends EventTarget {
  #root;
  #offer;
  #columns;
  #hovered = new Set(); // columns under the pointer
  #drawn = null; // {days, own}: the offer as it was last drawn
  #searched; // the state in which the server knew no free time outside the loaded days
  #search = new Refresh(() => this.#readElsewhere());

  constructor(root, offer) {
    super();
    this.#root = root;
    this.#offer = offer;
    this.#columns = [...root.querySelectorAll(".day")];
    root.addEventListener("click", (event) => this.#onClick(event));
    root.addEventListener("keydown", (event) => this.#onKey(event));
    for (const column of this.#columns) this.#listen(column);
    // The server has searched only for an empty week.
    if (offer.isEmptyWeek) this.#searched = this.#searchState;
    this.draw(false);
  }

  // Draws the offer. `live`: changes came from the server and are announced.
  draw(live) {
    const { week: days } = this.#offer;
    for (const [index, day] of days.entries()) this.#drawHeading(this.#columns[index], day);
    for (const [index, day] of days.entries()) this.#drawTimes(this.#columns[index], day, live);
    const wasEmptyWeek = !document.getElementById("empty-week").hidden;
    this.#drawNothingFree();
    if (live && !wasEmptyWeek && this.#offer.isEmptyWeek) this.#announceEmptyWeek();
    this.#searchElsewhere();
    this.#drawFrame();
    const { days: drawnDays, own } = this.#offer;
    this.#drawn = { days: drawnDays, own };
  }

  focusDay(day) {
    const column = this.#columns.find((other) => other.dataset.day === day);
    column?.scrollIntoView({ block: "nearest", inline: "start" });
    const target = column?.querySelector('.time[tabindex="0"]')
      ?? column?.querySelector(".nothing-free a[href]") ?? column;
    target?.focus({ preventScroll: true });
  }

  // Scrolls a day into view where a phone shows three of them.
  showDay(day) {
    const column = this.#columns.find((other) => other.dataset.day === day);
    if (column) this.#root.scrollTo({ left: column.offsetLeft - this.#root.offsetLeft - 6 });
  }

  // ---- drawing

  #drawHeading(column, day) {
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

  #drawTimes(column, day, live) {
    const starts = this.#offer.starts(day);
    const present = new Map(timesOf(column).map((time) => [Date.parse(time.value), time]));
    for (const [start, time] of present) {
      // A start between the half-hours is no longer shown once the time before it is free.
      const isOffGrid = this.#offer.isBookable(start);
      const state = starts.get(start) ?? (live && !isOffGrid ? "gone" : null);
      if (state) this.#drawTime(time, start, state, live);
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
      this.#drawTime(time, start, state, live);
    }
    this.#updateTabStop(column);
  }

  #drawTime(time, start, state, live) {
    const before = time.dataset.state;
    const disabled = state !== "free";
    time.dataset.state = state;
    // Not `disabled`: a disabled button loses focus and sends the keyboard user to the page's top.
    attribute(time, "aria-disabled", disabled && "true");
    attribute(time, "type", disabled && "button");
    const pressed = !disabled && start === this.#offer.selected;
    attribute(time, "aria-pressed", pressed && "true");
    if (live && state !== before) this.#showChange(time, start, before, state);
    this.#drawText(time, start, state);
  }

  #showChange(time, start, before, state) {
    const { day } = time.closest(".day").dataset;
    const tell = () => {
      const [one, many] = ANNOUNCEMENTS[state];
      const sentence = `${clock(start, this.#offer.zone)} on ${weekday(day)} ${one}.`;
      const summary = (count) => `${count} times on ${weekday(day)} ${many}.`;
      const isTrue = () => time.dataset.state === state;
      announceTogether(`${state} ${day}`, sentence, summary, isTrue);
    };
    delete time.dataset.removable;
    delete time.dataset.tooSoon;
    clearTimeout(time.removal);
    // A time is announced as freed only if the page showed that it could not be booked.
    const isFreed = state === "free" && this.#offer.isBookable(start, this.#drawn) === false;
    time.classList.toggle("freed", isFreed);
    if (isFreed) {
      tell();
      setTimeout(() => time.classList.remove("freed"), MARK_MS);
    } else if (state === "held") {
      tell();
    } else if (state === "gone") {
      // A start within the minimum notice was not taken by anyone.
      if (start < this.#offer.limits.earliest) time.dataset.tooSoon = "";
      else if (before === "free") tell();
      time.removal = setTimeout(() => {
        time.dataset.removable = "";
        const column = time.closest(".day"); // null if the time was removed
        if (column && !this.#isInUse(column)) this.#removeGone(column);
      }, GONE_MS);
    }
  }

  #drawText(time, start, state) {
    const { zone } = this.#offer;
    const hint = this.#offer.hint(start);
    const text = clock(start, zone);
    const ownNote = state === "free" ? this.#offer.ownNote(start) : "";
    const note = ownNote || NOTES[state];
    let label = this.#offer.sentence(start);
    if (ownNote) label = label.replace(text, `${text} ${ownNote}`);
    if (note && !ownNote) label = `${longDay(dayOf(start, zone))}, ${text} ${REASONS[state]}`;
    else if (state === "gone") label += `, ${"tooSoon" in time.dataset ? TOO_SOON : REASONS.gone}`;
    else if (hint) label += `, ${hint} your time`;
    if (time.getAttribute("aria-label") !== label) time.setAttribute("aria-label", label);
    if (hint && (!note || ownNote)) time.dataset.hint = hint;
    else delete time.dataset.hint;
    if (time.textContent === (note ? `${text} ${note}` : text)) return;
    time.replaceChildren(text);
    if (!note) return;
    const small = Object.assign(document.createElement("small"), { textContent: note });
    time.append(" ", small);
  }

  // A week without times says so in one sentence, and a day in a column of its own. Both link to
  // the next free time. The week does not wait until its last struck-through times are removed.
  #drawNothingFree() {
    const { days, first, week: shown, isEmptyWeek, otherWeek } = this.#offer;
    const sentence = document.getElementById("empty-week");
    sentence.hidden = !isEmptyWeek;
    if (isEmptyWeek) {
      sentence.firstElementChild.textContent = `Nothing is free ${week(first)}.`;
      this.#drawNextFree(sentence.querySelector("a"), "Next free", shown.at(-1), otherWeek);
    }
    for (const column of this.#columns) {
      const { day } = column.dataset;
      const loaded = day in days;
      const note = column.querySelector(".nothing-free");
      column.classList.toggle("waiting", !loaded);
      note.hidden = isEmptyWeek || !loaded || column.querySelector(".time") !== null;
      const link = note.querySelector("a");
      if (!note.hidden) this.#drawNextFree(link, "Next", day, this.#offer.nextFree(day));
    }
    this.#drawPartLabels();
  }

  get #searchState() {
    return `${this.#offer.version} ${this.#offer.minutes}`;
  }

  // Asks the server for the next free time if the loaded days have none. All open pages may do so
  // at once, so each waits for a moment.
  #searchElsewhere() {
    const { isEmptyWeek, otherWeek } = this.#offer;
    const state = this.#searchState;
    if (!isEmptyWeek || otherWeek !== undefined || state === this.#searched) return;
    this.#searched = state;
    this.#search.soon();
  }

  async #readElsewhere() {
    if (!this.#root.isConnected) return; // its dialog closed
    const page = await readPage(this.#offer.address());
    const data = page.getElementById("page-data");
    if (!data) return;
    this.#offer.updateElsewhere(JSON.parse(data.textContent));
    this.#drawNothingFree();
    if (this.#offer.isEmptyWeek && this.#offer.otherWeek !== undefined) this.#announceEmptyWeek();
  }

  #announceEmptyWeek() {
    const [sentence, link] = document.getElementById("empty-week").children;
    const next = link.hidden ? "" : ` ${link.textContent}.`;
    announce(`${sentence.textContent}${next}`);
  }

  #drawNextFree(link, label, after, next) {
    link.hidden = next === undefined;
    if (link.hidden) return;
    const day = dayOf(next, this.#offer.zone);
    // A weekday alone would be taken for the one that the page shows.
    const isNear = day > after && day <= this.#offer.week.at(-1);
    const name = isNear ? shortWeekday(day) : `${shortDay(day)},`;
    link.textContent = `${label}: ${name} ${clock(next, this.#offer.zone)}`;
    link.href = `${this.#offer.address({ first: this.#offer.weekOf(day) })}#day-${day}`;
    link.dataset.day = day;
  }

  // A part of the day has a label if the week has times in it.
  #drawPartLabels() {
    for (const label of this.#root.querySelectorAll(".part")) {
      const times = `.times[data-part=${label.dataset.part}] .time`;
      label.hidden = this.#root.querySelector(times) === null;
    }
  }

  // The week's name, and on a phone the strip of its days.
  #drawFrame() {
    document.getElementById("week").textContent = week(this.#offer.first);
    const starts = this.#offer.week.flatMap((day) => [...this.#offer.starts(day).keys()]);
    const ownZone = starts.map((start) => this.#offer.hintZone(start)).find(Boolean);
    const note = document.getElementById("own-zone");
    note.hidden = !ownZone;
    if (ownZone) note.textContent = smallPrint(ownZone);
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

  // ---- times that are removed

  #listen(column) {
    column.addEventListener("pointerenter", ({ pointerType }) => {
      if (pointerType !== "touch") this.#hovered.add(column);
    });
    column.addEventListener("pointerleave", () => {
      this.#hovered.delete(column);
      this.#removeGone(column);
    });
    column.addEventListener("focusin", ({ target }) => {
      if (target.matches(".time")) this.#updateTabStop(column, target);
    });
    column.addEventListener("focusout", () => setTimeout(() => {
      if (!column.contains(document.activeElement)) this.#removeGone(column);
    }));
  }

  #isInUse(column) {
    return this.#hovered.has(column) || column.contains(document.activeElement);
  }

  // Removes the times of a day that were struck through for GONE_MS.
  #removeGone(column) {
    if (!column.isConnected) return; // another week is shown, or its dialog closed
    for (const time of column.querySelectorAll(".time[data-removable]")) this.#remove(time);
    this.#updateTabStop(column);
    this.#drawNothingFree();
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
    const link = event.target.closest(".nothing-free a");
    const time = event.target.closest(".time");
    if (link) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("visit", { detail: link.dataset.day }));
    } else if (time) {
      event.preventDefault();
      const start = Date.parse(time.value);
      const column = time.closest(".day");
      if (time.dataset.state === "free") {
        this.dispatchEvent(new CustomEvent("select", { detail: start }));
      } else {
        const { tooSoon, state } = time.dataset;
        const reason = tooSoon === undefined ? REASONS[state] : TOO_SOON;
        announce(`${clock(start, this.#offer.zone)} on ${weekday(column.dataset.day)}: ${reason}.`);
      }
      this.#removeGone(column);
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
      ArrowRight: () => this.#inNextColumn(column, time, 1),
      ArrowLeft: () => this.#inNextColumn(column, time, -1),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target()?.focus();
    this.#removeGone(column);
  }

  // The time at about the same hour of the next day that has any.
  #inNextColumn(column, time, step) {
    const hour = (other) => wallMinutes(Date.parse(other.value), this.#offer.zone);
    const distance = (other) => Math.abs(hour(other) - hour(time));
    let index = this.#columns.indexOf(column) + step;
    for (; this.#columns[index]; index += step) {
      const times = timesOf(this.#columns[index]);
      if (times.length) return times.sort((a, b) => distance(a) - distance(b))[0];
    }
    return undefined;
  }

  // One tab stop per day: the time last visited, the selected one, or the first free one.
  #updateTabStop(column, visited = null) {
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
