// Ranges of one day's wall clock, [{start: "09:00", end: "24:00"}, …], and a week of them that is
// being edited.

export const DAY_END = 24 * 60;
export const STEP = 30; // minutes

export function minutes(text) {
  const [hour, minute] = text.split(":").map(Number);
  return hour * 60 + minute;
}

export function wall(total) {
  const digits = (number) => String(number).padStart(2, "0");
  return `${digits(Math.floor(total / 60))}:${digits(total % 60)}`;
}

// Sorted, with overlapping and adjacent ranges merged, as the server stores them.
export function merged(ranges) {
  const result = [];
  const sorted = ranges.toSorted((one, other) => (one.start < other.start ? -1 : 1));
  for (const { start, end } of sorted) {
    const last = result.at(-1);
    if (!last || start > last.end) result.push({ start, end });
    else if (end > last.end) last.end = end;
  }
  return result;
}

export const same = (one, other) => JSON.stringify(merged(one)) === JSON.stringify(merged(other));

// A range to add to a day: nine to five on an empty day, else after the last range or in the first
// gap; null if the day is full.
export function proposal(ranges) {
  const current = merged(ranges);
  const last = current.at(-1);
  if (!last) return { start: "09:00", end: "17:00" };
  const after = minutes(last.end);
  if (after + STEP <= DAY_END) {
    const start = Math.min(after + 60, DAY_END - STEP);
    return { start: wall(start), end: wall(Math.min(start + 120, DAY_END)) };
  }
  const ends = [0, ...current.map(({ end }) => minutes(end))];
  const gap = current.findIndex(({ start }, index) => minutes(start) - ends[index] >= STEP);
  return gap < 0 ? null : { start: wall(ends[gap]), end: current[gap].start };
}

// `days` and `saved`: {date: ranges}.
export class Week {
  constructor({ start, version, days }, today) {
    this.start = start;
    this.version = version; // on which the edits are based
    this.saved = days;
    this.days = structuredClone(days);
    this.today = today;
    this.isOutdated = false; // somebody else saved this week since
  }

  get editable() {
    return Object.keys(this.days).filter((day) => day >= this.today);
  }

  get changed() {
    return this.editable.filter((day) => !same(this.days[day], this.saved[day]));
  }

  get isChanged() {
    return this.changed.length > 0;
  }

  set(day, ranges) {
    this.days[day] = ranges;
  }

  add(day, range) {
    this.days[day] = merged([...this.days[day], range]);
  }

  normalize() {
    for (const day of this.editable) this.days[day] = merged(this.days[day]);
  }

  discard() {
    this.days = structuredClone(this.saved);
  }

  // What a save sends.
  get body() {
    const days = Object.fromEntries(this.changed.map((day) => [day, merged(this.days[day])]));
    return { start: this.start, days, version: this.version };
  }

  // The week as the server has it now. Days that differ from `sent` keep their newer edits.
  accept({ version, days }, sent = this.days) {
    const edits = this.editable.filter((day) => !same(this.days[day], sent[day]));
    const newer = Object.fromEntries(edits.map((day) => [day, this.days[day]]));
    this.version = version;
    this.saved = days;
    this.days = { ...structuredClone(days), ...newer };
    this.isOutdated = false;
  }

  // Puts the edited days on top of the week that was saved elsewhere.
  rebase({ version, days }) {
    const edits = Object.fromEntries(this.changed.map((day) => [day, this.days[day]]));
    this.days = { ...structuredClone(days), ...edits };
    this.version = version;
    this.saved = days;
    this.isOutdated = false;
  }

  // A week read in the background. Returns whether this page's hours changed.
  refresh(fresh) {
    if (Object.keys(fresh.days).every((day) => same(fresh.days[day], this.saved[day]))) {
      this.version = fresh.version;
      return false;
    }
    if (this.isChanged) this.isOutdated = true;
    else this.accept(fresh);
    return !this.isOutdated;
  }
}
