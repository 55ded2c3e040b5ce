// The starts that an instructor's page offers for the chosen service and duration, from the board,
// the clock and the viewer's own lessons. No elements: board.js draws it, lesson.js books from it.

import {
  addDays, clock, dayOf, daysBetween, longDay, money, now, price, shortWeekday, wire,
} from "./formatting.js";
import { fits, meets, nearest, ofDay, spans } from "./start_times.js";

const HORIZON = 90 * 86_400_000;
export const WEEK_DAYS = 7; // days of a week
export const BOARD_DAYS = 35; // days watched, for the next weeks and the next free time

export class Offer {
  // given: what the server says of the page (app/pages/instructor.py, `_page_data`).
  constructor(given) {
    Object.assign(this, {
      service: given.service, minutes: given.minutes, first: given.first,
      chosen: given.start ? Date.parse(given.start) : null,
    });
    this.update(given.board);
    this.updateBusy(given.busy);
    const device = Intl.DateTimeFormat().resolvedOptions().timeZone;
    this.ownZones = [given.viewer_zone, device].filter(Boolean);
  }

  // The calendar as the server says it is now.
  update({ version, days, time_zone: zone, min_advance_minutes: notice }) {
    Object.assign(this, { version, days, zone, notice });
  }

  // The viewer's own lessons: [begin, end, id] as instants on the wire.
  updateBusy(lessons) {
    this.busy = lessons.map(([begin, end, id]) => [Date.parse(begin), Date.parse(end), id]);
  }

  get limits() {
    return { earliest: now() + this.notice * 60_000, latest: now() + HORIZON, busy: this.busy };
  }

  get today() {
    return dayOf(now(), this.zone);
  }

  get week() {
    return Array.from({ length: WEEK_DAYS }, (_, count) => addDays(this.first, count));
  }

  // The first day of the week, counted from today, in which a day is shown.
  weekOf(day) {
    const weeks = Math.floor(daysBetween(this.today, day) / WEEK_DAYS);
    return addDays(this.today, Math.max(0, weeks * WEEK_DAYS));
  }

  get last() {
    return dayOf(this.limits.latest, this.zone);
  }

  // start → "free" | "held" | "busy" of a day; empty for a day that is not loaded.
  starts(day) {
    const board = this.days[day];
    if (!board) return new Map();
    const { minutes, zone, limits, chosen } = this;
    return ofDay(spans(board.free), spans(board.held), minutes, zone, limits, chosen);
  }

  free(day) {
    return [...this.starts(day)].filter(([, state]) => state === "free").map(([start]) => start);
  }

  nextAfter(day) {
    const later = Object.keys(this.days).sort().filter((other) => other > day);
    return later.flatMap((other) => this.free(other)).at(0);
  }

  // Whether a lesson can (still) be booked at this start; undefined for a day that is not loaded.
  possible(start) {
    const day = this.days[dayOf(start, this.zone)];
    return day && fits(start, spans(day.free), this.minutes, this.limits);
  }

  // Why a start is unavailable, for the viewer. Mirrors app/pages/offer.py.
  whyNot(start) {
    const { held } = this.days[dayOf(start, this.zone)] ?? { held: [] };
    const end = start + this.minutes * 60_000;
    if (start < this.limits.earliest) return "This time is too soon to book.";
    if (meets(start, end, this.busy)) return "You already have a lesson at that time.";
    if (meets(start, end, spans(held))) return "Someone else is booking this time right now.";
    return "This time was just taken.";
  }

  // The free starts of all known days, nearest to this one first.
  near(start, limit = 5) {
    return nearest(start, Object.keys(this.days).flatMap((day) => this.free(day)), limit);
  }

  get cents() {
    return price(this.service.hourly_rate_cents, this.minutes);
  }

  // "Tuesday, November 24, 9:00 am, 60 minutes, $70"
  sentence(start) {
    const when = `${longDay(dayOf(start, this.zone))}, ${clock(start, this.zone)}`;
    return `${when}, ${this.minutes} minutes, ${money(this.cents)}`;
  }

  // The viewer's own zone, where its wall clock differs from the lesson's at that time.
  hintZone(start) {
    const read = (zone) => dayOf(start, zone) + clock(start, zone);
    return this.ownZones.find((own) => read(own) !== read(this.zone));
  }

  // What that clock says: "6:00 am", "Wed 1:00 am"; else nothing.
  hint(start) {
    const own = this.hintZone(start);
    if (!own) return "";
    const day = dayOf(start, own);
    return `${day === dayOf(start, this.zone) ? "" : `${shortWeekday(day)} `}${clock(start, own)}`;
  }

  // This page with this choice.
  address({ first = this.first, minutes = this.minutes, chosen = this.chosen } = {}) {
    const query = new URLSearchParams({ service: this.service.id, minutes, from: first });
    if (chosen !== null) query.set("start", wire(chosen));
    return `${location.pathname}?${query}`;
  }
}
