// The start times of a board; mirrors app/availability/start_times.py. Spans are [begin, end) in
// milliseconds.

import { minuteOf } from "./formatting.js";

const ALIGNMENT = 15 * 60_000;

// Whether [begin, end) overlaps any of the spans.
export const overlaps = (begin, end, spans) => spans.some(([from, to]) => from < end && begin < to);

export const spans = (wire) => wire.map(([begin, end]) => [Date.parse(begin), Date.parse(end)]);

// limits: {earliest, latest, busy}. Returns a Map of start → "free" | "held" | "busy", in order.
export function ofDay(free, held, minutes, zone, limits, selected = null) {
  const lesson = minutes * 60_000;
  const states = new Map();
  const freeStarts = grid(free, lesson, zone);
  if (selected !== null && fits(selected, free, minutes, limits)) freeStarts.push(selected);
  for (const start of freeStarts) {
    states.set(start, overlaps(start, start + lesson, limits.busy) ? "busy" : "free");
  }
  const heldStarts = held.map(([begin]) => begin);
  for (const start of [...grid(union([...free, ...held]), lesson, zone), ...heldStarts]) {
    if (!states.has(start) && overlaps(start, start + lesson, held)) states.set(start, "held");
  }
  const inTime = ([start]) => limits.earliest <= start && start <= limits.latest;
  return new Map([...states].filter(inTime).sort(([a], [b]) => a - b));
}

// Whether a lesson can be booked at exactly this start.
export function fits(start, free, minutes, limits) {
  const end = start + minutes * 60_000;
  return start % ALIGNMENT === 0 && limits.earliest <= start && start <= limits.latest
    && free.some(([from, to]) => from <= start && end <= to) && !overlaps(start, end, limits.busy);
}

export const nearest = (start, starts, limit = 5) =>
  [...starts].sort((a, b) => Math.abs(a - start) - Math.abs(b - start) || a - b).slice(0, limit);

// The free and the held ranges of a day for a viewer whose own holds are `holds`: a new hold
// replaces them, so their time counts as free. Returns [free, held].
export function withoutOwnHolds(free, held, holds) {
  const own = held.flatMap(([begin, end]) => holds
    .map(([first, last]) => [Math.max(begin, first), Math.min(end, last)])
    .filter(([first, last]) => first < last));
  let others = held;
  for (const [first, last] of own) {
    others = others
      .flatMap(([begin, end]) => [[begin, Math.min(end, first)], [Math.max(begin, last), end]])
      .filter(([begin, end]) => begin < end)
      .sort((a, b) => a[0] - b[0]);
  }
  return [union([...free, ...own]), others];
}

function grid(spansOfDay, lesson, zone) {
  const starts = [];
  for (const [begin, end] of spansOfDay) {
    const first = Math.ceil(begin / ALIGNMENT) * ALIGNMENT;
    for (let start = first; start + lesson <= end; start += ALIGNMENT) {
      if (start === first || minuteOf(start, zone) % 30 === 0) starts.push(start);
    }
  }
  return starts;
}

function union(list) {
  const merged = [];
  for (const [begin, end] of [...list].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([begin, end]);
  }
  return merged;
}
