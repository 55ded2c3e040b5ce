// What an instructor's page offers for the selected service and length, from the board, the clock
// and the viewer's own lessons; mirrors app/pages/offer.py. board.js and lesson.js draw it.

import {
  addDays, clock, dayOf, daysBetween, hint, longDay, money, now, price, shortDay, soon, wire,
} from "./formatting.js";
import { fits, overlaps, nearest, ofDay, withoutOwnHolds, spans } from "./start_times.js";

// A hold that a new hold with this instructor replaces.
const isReplaced = ({ state, isHere }) => state === "held" && isHere;

const HORIZON = 90 * 86_400_000;
export const WEEK_DAYS = 7;
// The board that the page watches, for the next free time and for turning to the next weeks.
export const BOARD_DAYS = 35;

export class Offer {
  // `pageData`: see app/pages/instructor.py, `_page_data`.
  constructor(pageData) {
    const { service, minutes, first, start } = pageData;
    Object.assign(this, { service, minutes, first, selected: start ? Date.parse(start) : null });
    Object.assign(this, { instructor: pageData.instructor, firstName: pageData.first_name });
    this.updateElsewhere(pageData);
    this.updateOwnTime([]);
    this.update(pageData.board);
    this.updateOwn(pageData.own);
    const device = Intl.DateTimeFormat().resolvedOptions().timeZone;
    this.ownZones = [pageData.viewer_zone, device].filter(Boolean);
  }

  // Replaces the board.
  update({ version, days, time_zone: zone, min_advance_minutes: notice }) {
    Object.assign(this, { version, days, zone, notice });
  }

  // Replaces the free start outside the loaded days; see app/pages/offer.py.
  updateElsewhere({ elsewhere }) {
    this.elsewhere = elsewhere ? Date.parse(elsewhere) : null;
  }

  // Replaces the viewer's own bookings, held or confirmed, as in the API.
  updateOwn(bookings) {
    this.own = bookings.map((booking) => this.#read(booking));
  }

  // Replaces the time that only a lesson which is to be moved occupies.
  updateOwnTime(ranges) {
    this.ownTime = spans(ranges);
  }

  // Adds, changes or removes one of the viewer's own bookings.
  changeOwn(booking) {
    const isActive = ["held", "confirmed"].includes(booking.state);
    const others = this.own.filter(({ id }) => id !== booking.id);
    this.own = isActive ? [...others, this.#read(booking)] : others;
  }

  #read({ id, state, start, end, held_until: until, instructor }) {
    return {
      id,
      state,
      start: Date.parse(start),
      end: Date.parse(end),
      until: until ? Date.parse(until) : Infinity,
      isHere: instructor.id === this.instructor,
    };
  }

  // The viewer's hold with this instructor.
  get hold() {
    return this.own.find((own) => isReplaced(own) && own.until > now()) ?? null;
  }

  // Whether the viewer holds exactly this lesson.
  isHeld(start) {
    const { hold } = this;
    return hold?.start === start && hold.end === start + this.minutes * 60_000;
  }

  // The viewer's lesson with this instructor at this start.
  booked(start) {
    return this.own.find((own) => own.isHere && own.state === "confirmed" && own.start === start);
  }

  get limits() {
    return this.#limits(this.own);
  }

  #limits(own) {
    const busy = own
      .filter((booking) => !isReplaced(booking) && !(booking.until <= now()))
      .map(({ start, end }) => [start, end]);
    return { earliest: now() + this.notice * 60_000, latest: now() + HORIZON, busy };
  }

  // The free and the held ranges of a day, now or as of an earlier {days, own}; undefined if it is
  // not loaded. The viewer's own hold counts as free, and so does the time of a lesson that moves.
  #ranges(day, { days, own } = this) {
    const board = days[day];
    if (!board) return undefined;
    const holds = own.filter(isReplaced).map(({ start, end }) => [start, end]);
    const ownTime = this.ownTime.filter(([begin]) => dayOf(begin, this.zone) === day);
    return withoutOwnHolds(
      spans(board.free), [...spans(board.held), ...ownTime], [...holds, ...ownTime],
    );
  }

  // What the board says about a free time of the viewer's own; else empty.
  ownNote(start) {
    return this.isHeld(start) ? "held for you" : "";
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
    const ranges = this.#ranges(day);
    if (!ranges) return new Map();
    const { minutes, zone, limits, selected } = this;
    return ofDay(...ranges, minutes, zone, limits, selected);
  }

  // Whether the week is loaded and has no times.
  get isEmptyWeek() {
    return this.week.every((day) => day in this.days && this.starts(day).size === 0);
  }

  free(day) {
    return [...this.starts(day)].filter(([, state]) => state === "free").map(([start]) => start);
  }

  // The first free start after a day.
  nextFree(day) {
    const later = Object.keys(this.days).sort().filter((other) => other > day);
    const next = later.flatMap((other) => this.free(other)).at(0);
    if (next !== undefined || this.elsewhere === null) return next;
    const elsewhere = dayOf(this.elsewhere, this.zone);
    return elsewhere > day && !(elsewhere in this.days) ? this.elsewhere : undefined;
  }

  // For an empty week: the first free start after it, or else the soonest of all.
  get otherWeek() {
    return this.nextFree(this.week.at(-1)) ?? this.nextFree(addDays(this.today, -1));
  }

  // Whether a lesson can be booked at this start, now or as of an earlier {days, own}; undefined if
  // the day is not loaded.
  isBookable(start, earlier = this) {
    const limits = this.#limits(earlier.own);
    if (start < limits.earliest || start > limits.latest) return false; // on no board
    const ranges = this.#ranges(dayOf(start, this.zone), earlier);
    return ranges && fits(start, ranges[0], this.minutes, limits);
  }

  // Why a start cannot be booked. `wasFree`: whether this page has shown it as free.
  obstacle(start, wasFree = false) {
    const day = dayOf(start, this.zone);
    const { earliest, latest, busy } = this.limits;
    const end = start + this.minutes * 60_000;
    if (start < now()) return "This time has passed.";
    if (start < earliest) return "This time is too soon to book.";
    if (overlaps(start, end, busy)) {
      const lessons = this.own.filter(({ state }) => state !== "held");
      return overlaps(start, end, lessons.map((own) => [own.start, own.end]))
        ? "You already have a lesson at that time." : "You’re holding another lesson at that time.";
    }
    const [, held] = this.#ranges(day) ?? [[], []];
    if (overlaps(start, end, held)) return "Someone else is booking this time right now.";
    if (wasFree) return "This time has just been taken.";
    const year = day.slice(0, 4);
    const date = year === this.today.slice(0, 4) ? "" : ` (${shortDay(day)}, ${year})`;
    if (start > latest) {
      const days = HORIZON / 86_400_000;
      return `This time is too far ahead${date}. Lessons can be booked up to ${days} days ahead.`;
    }
    // The board does not tell booked time from time without availability.
    return `${this.firstName} isn’t free then${date}.`;
  }

  // The nearest free starts of the loaded days, nearest first.
  alternatives(start, limit = 5) {
    return nearest(start, Object.keys(this.days).flatMap((day) => this.free(day)), limit);
  }

  get cents() {
    return price(this.service.hourly_rate_cents, this.minutes);
  }

  // "Wed 1:00 pm"
  briefMoment(start) {
    return `${soon(dayOf(start, this.zone), this.today)} ${clock(start, this.zone)}`;
  }

  // "Tuesday, November 24, 9:00 am, 60 minutes, $70"
  sentence(start) {
    const when = `${longDay(dayOf(start, this.zone))}, ${clock(start, this.zone)}`;
    return `${when}, ${this.minutes} minutes, ${money(this.cents)}`;
  }

  // The viewer's own zone, if its clock differs from the lesson's at that time.
  hintZone(start) {
    return this.ownZones.find((own) => hint(start, this.zone, own));
  }

  // The time in the viewer's own zone if it differs: "6:00 am", "Wed 1:00 am"; else empty.
  hint(start) {
    const own = this.hintZone(start);
    return own ? hint(start, this.zone, own) : "";
  }

  // The address of this page with another selection.
  address({ first = this.first, minutes = this.minutes, selected = this.selected } = {}) {
    const query = new URLSearchParams({ service: this.service.id, minutes, from: first });
    if (selected !== null) query.set("start", wire(selected));
    return `${location.pathname}?${query}`;
  }
}
