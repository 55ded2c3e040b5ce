// Which free times a card shows; mirrors app/pages/instructor_cards.py. Starts are milliseconds.

import { dayOf, partOfDay, wallMinutes } from "./formatting.js";

const MIN_DISTANCE = 3_600_000;

// A pseudo-random rank. It depends on this start alone, so the selection of a start does not change
// when others are taken.
const rank = (start, seed) => (Math.floor(start / 900_000) * 7919 + seed) % 10007;

// Selects up to `limit` of some free starts in order: the soonest, and one of each later part of a
// day, which varies by `seed`; then the soonest others, first those at least MIN_DISTANCE apart.
export function spread(free, zone, seed, limit) {
  const parts = new Map();
  for (const start of free) {
    const part = `${dayOf(start, zone)} ${partOfDay(start, zone)}`;
    if (!parts.has(part)) parts.set(part, []);
    parts.get(part).push(start);
  }
  const least = (one, other) => (rank(other, seed) < rank(one, seed) ? other : one);
  const selection = [...parts.values()].slice(0, limit)
    .map((starts, number) => (number ? starts.reduce(least) : starts[0]));
  for (const distance of [MIN_DISTANCE, 0]) {
    for (const start of free) {
      const isApart = selection.every((other) => Math.abs(start - other) >= distance);
      if (selection.length < limit && !selection.includes(start) && isApart) selection.push(start);
    }
  }
  return selection.sort((a, b) => a - b);
}

// Whether a lesson lies in the days and hours of a search.
export function isWithin(window, start, minutes, zone) {
  const day = dayOf(start, zone);
  const begin = wallMinutes(start, zone);
  if (!window.days.includes(day)) return false;
  if (window.is_start) return begin === window.from;
  return window.from <= begin && begin + minutes <= window.to;
}
