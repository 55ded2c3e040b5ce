// The week as a grid, drawn by FullCalendar: hours are dragged, moved, resized and opened; lessons,
// days off and the past are drawn over them. The only file that knows FullCalendar. It is given
// wall-clock times as if they were UTC, so that no zone or clock change can move them.

import {
  addDays, dayNumber, dayOf, hourText, longDay, now, shortWeekday, wallMinutes, wallSpan,
} from "./formatting.js";
import { wall } from "./ranges.js";

const HEIGHT = 640; // pixels
const LESSON_MARK_MS = 30_000; // a lesson that just arrived is marked this long

const scripts = new Map();

// Loads a script once; the library is global.
function load(address) {
  if (!scripts.has(address)) {
    scripts.set(address, new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: address });
      script.addEventListener("load", resolve);
      script.addEventListener("error", () => {
        scripts.delete(address);
        script.remove();
        reject(new Error(`${address} didn't load.`));
      });
      document.head.append(script);
    }));
  }
  return scripts.get(address);
}

// `addresses`: {temporal, fullcalendar, theme}.
export async function loadLibrary({ temporal, fullcalendar, theme }) {
  if (!("Temporal" in globalThis)) await load(temporal);
  await load(fullcalendar);
  await load(theme);
}

const instant = (day, time) => `${time === "24:00" ? addDays(day, 1) : day}T${clockOf(time)}Z`;
const clockOf = (time) => (time === "24:00" ? "00:00:00" : `${time}:00`);
const keyOf = (day, { start }) => `${day} ${start}`;

// {day, start, end} of what was drawn, or null if it is not within one day.
function spanOf(startText, endText) {
  const day = startText.slice(0, 10);
  const [start, end] = [startText.slice(11, 16), endText.slice(11, 16)];
  if (endText.slice(0, 10) === day) return { day, start, end };
  const isMidnight = endText.slice(0, 10) === addDays(day, 1) && end === "00:00";
  return isMidnight ? { day, start, end: "24:00" } : null;
}

export class Grid {
  #calendar;
  #element;
  #week;
  #zone;
  #edit;
  #blackouts = {};
  #lessonIds = null;
  #arrivals = new Set();
  #isDragging = false;
  #postponed = null; // what to draw after the drag
  #elements = new Map(); // key of a range → its element

  // `edit`: what the grid reports: add(day, range), replace(day, range, {day, start, end}),
  // open(day, range), create(day), remove(day, range), reopen(day).
  constructor(element, { week, zone, edit }) {
    this.#element = element;
    this.#week = week;
    this.#zone = zone;
    this.#edit = edit;
    const isEditable = (span) => span && span.day >= week.today && this.#endsLater(span);
    const changed = ({ event, oldEvent, revert }) => {
      const span = spanOf(event.startStr, event.endStr);
      if (!isEditable(span)) return revert();
      return edit.replace(oldEvent.extendedProps.day, oldEvent.extendedProps.range, span);
    };
    this.#calendar = new globalThis.FullCalendar.Calendar(element, {
      initialView: "timeGridWeek",
      initialDate: week.start,
      firstDay: 1,
      timeZone: "UTC",
      now: () => this.#now,
      nowIndicator: true,
      headerToolbar: false,
      allDaySlot: false,
      height: HEIGHT,
      scrollTime: "08:00",
      slotMinHeight: 22,
      slotDuration: "00:30",
      snapDuration: "00:30",
      slotHeaderInterval: "01:00",
      slotHeaderContent: ({ date }) => hourText(date.getUTCHours()),
      editable: true,
      eventResizableFromStart: true,
      selectable: true,
      selectMirror: true,
      unselectAuto: true,
      slotEventOverlap: false,
      longPressDelay: 350,
      eventMinHeight: 18,
      selectAllow: ({ startStr, endStr }) => isEditable(spanOf(startStr, endStr)),
      eventAllow: ({ startStr, endStr }) => isEditable(spanOf(startStr, endStr)),
      select: ({ startStr, endStr }) => {
        this.#calendar.unselect();
        const { day, ...range } = spanOf(startStr, endStr);
        edit.add(day, range);
      },
      eventDragStart: () => this.#onDrag(true),
      eventDragStop: () => this.#onDrag(false),
      eventResizeStart: () => this.#onDrag(true),
      eventResizeStop: () => this.#onDrag(false),
      eventDrop: changed,
      eventResize: changed,
      eventClick: ({ event, jsEvent }) => {
        jsEvent.preventDefault();
        const { day, range } = event.extendedProps;
        if (range) edit.open(day, range);
      },
      eventClass: ({ isMirror }) => (isMirror ? "mirror" : ""),
      eventContent: ({ event }) => content(event),
      backgroundEventContent: ({ event }) => content(event),
      eventDidMount: ({ event, el }) => this.#onMount(event, el),
      dayLaneClass: "lane",
      dayHeaderContent: (info) => this.#header(info),
      // The headers contain buttons here, so they must not be hidden.
      dayHeaderDidMount: ({ el }) =>
        el.querySelectorAll("[aria-hidden]").forEach((part) => part.removeAttribute("aria-hidden")),
    });
    this.#calendar.render();
    this.#repair();
  }

  // FullCalendar's table roles lack required children, and its scrolling element cannot be reached
  // by keyboard. Named groups replace the roles; the list is the table for screen readers.
  #repair() {
    const named = "[role=grid], [role$=cell], [role$=header]";
    for (const part of this.#element.querySelectorAll(named)) {
      const isNamed = part.hasAttribute("aria-label") && part.getAttribute("role") !== "rowheader";
      if (isNamed) part.setAttribute("role", "group");
      else for (const name of ["role", "aria-label", "aria-current"]) part.removeAttribute(name);
      part.removeAttribute("aria-colcount");
      part.removeAttribute("aria-colspan");
    }
    for (const part of this.#element.querySelectorAll("[role=row], [role=rowgroup]")) {
      part.removeAttribute("role");
    }
    for (const part of this.#element.querySelectorAll("div")) {
      if (!["auto", "scroll"].includes(getComputedStyle(part).overflowY)) continue;
      Object.assign(part, { tabIndex: 0, role: "group", ariaLabel: "Hours of the day" });
    }
  }

  get #now() {
    const instantNow = now();
    return `${dayOf(instantNow, this.#zone)}T${wall(wallMinutes(instantNow, this.#zone))}:00Z`;
  }

  #endsLater({ day, start, end }) {
    const [today, time] = [this.#now.slice(0, 10), this.#now.slice(11, 16)];
    const isKnown = this.#week.days[day].some((range) => range.start === start);
    return day > today || end > time || isKnown;
  }

  // `lessons` and `blackouts` as in the page's data. Nothing is drawn under a drag.
  draw(data) {
    if (this.#isDragging) {
      this.#postponed = data;
      return;
    }
    const { lessons, blackouts } = data;
    this.#mark(lessons);
    const focused = document.activeElement;
    const [focusedKey] = [...this.#elements].find(([, element]) => element === focused) ?? [];
    const isInHeader = this.#element.contains(focused) && focused.matches(".day-button");
    const isHeaderStale = JSON.stringify(blackouts) !== JSON.stringify(this.#blackouts);
    this.#blackouts = blackouts;
    this.#elements.clear();
    this.#calendar.batchRendering(() => {
      this.#calendar.removeAllEvents();
      for (const event of this.#events(lessons, blackouts)) this.#calendar.addEvent(event);
      if (isHeaderStale) {
        this.#calendar.setOption("dayHeaderContent", (info) => this.#header(info));
      }
    });
    this.#repair();
    if (focusedKey) this.#focus(focusedKey);
    // A stale header was drawn again, with new buttons.
    if (isInHeader && !focused.isConnected) this.#focusDay(focused.dataset.of, focused.className);
  }

  // Focuses a range, or if it is gone, the day's button.
  focus(day, range) {
    this.#focus(keyOf(day, range));
  }

  #focus(key) {
    const element = this.#elements.get(key);
    if (element) element.focus({ preventScroll: true });
    else this.#focusDay(key.slice(0, 10));
  }

  // Focuses a day's button of this class, or else the one that adds hours.
  #focusDay(day, className = "") {
    const buttons = [...this.#element.querySelectorAll(`.day-button[data-of="${day}"]`)];
    const same = buttons.find((button) => button.className === className);
    (same ?? buttons.at(-1))?.focus({ preventScroll: true });
  }

  destroy() {
    this.#calendar.destroy();
  }

  // FullCalendar reports the drop after the end of the drag.
  #onDrag(isDragging) {
    this.#isDragging = isDragging;
    setTimeout(() => {
      if (this.#isDragging || !this.#postponed) return;
      const data = this.#postponed;
      this.#postponed = null;
      this.draw(data);
    });
  }

  #mark(lessons) {
    const ids = new Set(lessons.map(({ id }) => id));
    for (const id of ids) {
      if (!this.#lessonIds || this.#lessonIds.has(id)) continue;
      this.#arrivals.add(id);
      setTimeout(() => this.#arrivals.delete(id), LESSON_MARK_MS);
    }
    this.#lessonIds = ids;
  }

  #events(lessons, blackouts) {
    const { days, saved, today } = this.#week;
    const events = [];
    for (const [day, ranges] of Object.entries(days)) {
      for (const range of ranges) {
        const isSaved = saved[day].some(({ start, end }) =>
          start === range.start && end === range.end);
        events.push({
          id: keyOf(day, range),
          start: instant(day, range.start),
          end: instant(day, range.end),
          editable: day >= today,
          interactive: day >= today,
          extendedProps: { day, range, isSaved },
          className: [
            "hours-range",
            ...(isSaved ? [] : ["unsaved"]),
            ...(day < today ? ["past"] : []),
            ...(day in blackouts ? ["closed"] : []),
          ].join(" "),
        });
      }
      if (day in blackouts) {
        events.push(background(day, "00:00", "24:00", "off-day"));
      }
      const [current, time] = [this.#now.slice(0, 10), this.#now.slice(11, 16)];
      const end = day < current ? "24:00" : time;
      if (day <= current && end > "00:00") events.push(background(day, "00:00", end, "past-time"));
    }
    for (const { id, title, state, start, end } of lessons) {
      const [first, last] = [Date.parse(start), Date.parse(end)];
      const day = dayOf(first, this.#zone);
      const until = dayOf(last, this.#zone) === day ? wall(wallMinutes(last, this.#zone)) : "24:00";
      const span = { start: wall(wallMinutes(first, this.#zone)), end: until };
      const mark = this.#arrivals.has(id) ? " arrived" : "";
      const lesson = background(day, span.start, span.end, `lesson ${state}${mark}`);
      events.push({ ...lesson, extendedProps: { lesson: title } });
    }
    return events;
  }

  #onMount(event, element) {
    const { day, range } = event.extendedProps;
    if (!range) return;
    this.#elements.set(keyOf(day, range), element);
    if (day < this.#week.today) return;
    element.setAttribute("aria-label", `${longDay(day)}, ${wallSpan(range.start, range.end)}`);
    element.addEventListener("keydown", (keyEvent) => {
      if (!["Delete", "Backspace"].includes(keyEvent.key)) return;
      keyEvent.preventDefault();
      this.#edit.remove(day, range);
    });
  }

  #reopenButton(day) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: "Reopen" });
    button.className = "day-button reopen-day";
    button.dataset.of = day;
    button.setAttribute("aria-label", `Reopen ${longDay(day)}`);
    button.addEventListener("click", () => this.#edit.reopen(day));
    return button;
  }

  #header({ date }) {
    const day = date.toISOString().slice(0, 10);
    const name = document.createElement("span");
    name.className = "day-name";
    name.textContent = `${shortWeekday(day)} ${dayNumber(day)}`;
    const nodes = [name];
    if (day in this.#blackouts) {
      const off = document.createElement("span");
      off.className = "off tiny";
      off.textContent = this.#blackouts[day] || "Day off";
      off.title = `Day off: ${off.textContent}`;
      nodes.push(off);
      if (day >= this.#week.today) nodes.push(this.#reopenButton(day));
    }
    if (day >= this.#week.today) {
      const add = document.createElement("button");
      Object.assign(add, { type: "button", className: "day-button add-hours", textContent: "+" });
      add.dataset.of = day;
      add.setAttribute("aria-label", `Add hours on ${longDay(day)}`);
      add.addEventListener("click", () => this.#edit.create(day));
      nodes.push(add);
    }
    return { domNodes: nodes };
  }
}

const background = (day, start, end, className) => ({
  start: instant(day, start),
  end: instant(day, end),
  display: "background",
  className,
});

// While a range is dragged, the times are those under the pointer.
function content(event) {
  const { lesson } = event.extendedProps;
  const text = document.createElement("span");
  const span = event.end && spanOf(event.startStr, event.endStr);
  const isNamed = lesson || event.display !== "background";
  if (span && isNamed) {
    text.textContent = `${wallSpan(span.start, span.end)} ${lesson ?? ""}`.trim();
  }
  return { domNodes: [text] };
}
