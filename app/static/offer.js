// What an instructor's page offers for the selected service and length, from the board, the clock
// and the viewer's own lessons; mirrors app/pages/offer.py. board.js and lesson.js draw it.

import {
  addDays, clock, dayOf, daysBetween, longDay, money, now, price, shortWeekday, wire,
} from "./formatting.js";
import { fits, meets, nearest, ofDay, spans } from "./start_times.js";

const HORIZON = 90 * 86_400_000;
export const WEEK_DAYS = 7;
// The board that the page watches, for the next free time and for turning to the next weeks.
export const BOARD_DAYS = 35;

export class Offer {
  // `pageData`: see app/pages/instructor.py, `_page_data`.
  constructor(pageData) {
    const { service, minutes, first, start } = pageData;
    Object.assign(this, { service, minutes, first, selected: start ? Date.parse(start) : null });
    this.update(pageData.board);
    this.updateBusy(pageData.busy);
    const device = Intl.DateTimeFormat().resolvedOptions().timeZone;
    this.ownZones = [pageData.viewer_zone, device].filter(Boolean);
  }

  // Replaces the board.
  update({ version, days, time_zone: zone, min_advance_minutes: notice }) {
    Object.assign(this, { version, days, zone, notice });
  }

  // Replaces the viewer's own lessons: [begin, end, id], with instants as in the API.
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

  // The first day of the week that shows `day`. Weeks are counted from today.
  weekOf(day) {
    const weeks = Math.floor(daysBetween(this.today, day) / WEEK_DAYS);
    return addDays(this.today, Math.max(0, weeks * WEEK_DAYS));
  }

  // The last day that can be booked.
  get last() {
    return dayOf(this.limits.latest, this.zone);
  }

  // The starts of a day: a Map of start → "free" | "held" | "busy". Empty if it is not loaded.
  starts(day) {
    const board = this.days[day];
    if (!board) return new Map();
    const { minutes, zone, limits, selected } = this;
    return ofDay(spans(board.free), spans(board.held), minutes, zone, limits, selected);
  }

  free(day) {
    return [...this.starts(day)].filter(([, state]) => state === "free").map(([start]) => start);
  }

  // The first free start after a day.
  nextFree(day) {
    const later = Object.keys(this.days).sort().filter((other) => other > day);
    return later.flatMap((other) => this.free(other)).at(0);
  }

  // Whether a lesson can be booked at this start; undefined if the day is not loaded.
  isBookable(start) {
    const day = this.days[dayOf(start, this.zone)];
    return day && fits(start, spans(day.free), this.minutes, this.limits);
  }

  // Why a start cannot be booked. `wasFree`: whether this page has shown it as free.
  obstacle(start, wasFree = false) {
    const { held } = this.days[dayOf(start, this.zone)] ?? { held: [] };
    const end = start + this.minutes * 60_000;
    if (start < this.limits.earliest) return "This time is too soon to book.";
    if (meets(start, end, this.busy)) return "You already have a lesson at that time.";
    if (meets(start, end, spans(held))) return "Someone else is booking this time right now.";
    return wasFree ? "This time was just taken." : "This time isn’t available.";
  }

  // The nearest free starts of the loaded days, nearest first.
  alternatives(start, limit = 5) {
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

  // The viewer's own zone, if its clock differs from the lesson's at that time.
  hintZone(start) {
    const read = (zone) => dayOf(start, zone) + clock(start, zone);
    return this.ownZones.find((own) => read(own) !== read(this.zone));
  }

  // The time in the viewer's own zone if it differs: "6:00 am", "Wed 1:00 am"; else empty.
  hint(start) {
    const own = this.hintZone(start);
    if (!own) return "";
    const day = dayOf(start, own);
    return `${day === dayOf(start, this.zone) ? "" : `${shortWeekday(day)} `}${clock(start, own)}`;
  }

  // The address of this page with another selection.
  address({ first = this.first, minutes = this.minutes, selected = this.selected } = {}) {
    const query = new URLSearchParams({ service: this.service.id, minutes, from: first });
    if (selected !== null) query.set("start", wire(selected));
    return `${location.pathname}?${query}`;
  }
}
