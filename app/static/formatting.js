// Times, days and money as New Yorkers write them, and the server's clock; mirrors
// app/formatting.py. Instants are milliseconds, days are "2026-11-24", zones are IANA names.

const HOUR = 3_600_000;
const formats = new Map();

// The format with these options. A browser creates one in the time of a hundred uses.
function formatOf(Format, options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Format("en-US", options));
  return formats.get(key);
}

const MAX_CLOCKS = 5_000;
const clocks = new Map(); // a minute in a zone → its parts, as a board asks for them repeatedly

function parts(instant, zone) {
  const key = `${Math.floor(instant / 60_000)} ${zone}`;
  if (clocks.has(key)) return clocks.get(key);
  const format = formatOf(Intl.DateTimeFormat, {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const fields = format.formatToParts(instant).map(({ type, value }) => [type, value]);
  if (clocks.size === MAX_CLOCKS) clocks.clear();
  clocks.set(key, Object.fromEntries(fields));
  return clocks.get(key);
}

export const dayOf = (instant, zone) => {
  const { year, month, day } = parts(instant, zone);
  return `${year}-${month}-${day}`;
};

export const minuteOf = (instant, zone) => Number(parts(instant, zone).minute);

// Wall-clock minutes since midnight.
export const wallMinutes = (instant, zone) => {
  const { hour, minute } = parts(instant, zone);
  return Number(hour) * 60 + Number(minute);
};

// Whether the reader prefers a 24-hour clock.
export const hasDayClock = () => document.documentElement.dataset.clock === "24";

const timeOf = (hour, minute) => hasDayClock()
  ? `${String(hour).padStart(2, "0")}:${minute}`
  : `${hour % 12 || 12}:${minute} ${hour < 12 ? "am" : "pm"}`;

const bareClock = (instant, zone) => {
  const { hour, minute } = parts(instant, zone);
  return timeOf(Number(hour), minute);
};

// "9:00 am", or "09:00" with a 24-hour clock; "1:00 am EST" in the hour that occurs twice when the
// clocks go back.
export const clock = (instant, zone) => {
  const text = bareClock(instant, zone);
  const [before, after] = [-3 * HOUR, 3 * HOUR].map((step) => offsetOf(instant + step, zone));
  const occursTwice = before > after && [before - after, after - before]
    .some((step) => bareClock(instant + step, zone) === text);
  return occursTwice ? `${text} ${zoneAbbreviation(instant, zone)}` : text;
};

// From UTC to the zone, in milliseconds.
function offsetOf(instant, zone) {
  const { year, month, day, hour, minute } = parts(instant, zone);
  const local = Date.UTC(year, month - 1, day, hour, minute);
  return local - Math.floor(instant / 60_000) * 60_000;
}

// "9:00 am" for "09:00", "midnight" for "24:00"; unchanged with a 24-hour clock.
export function wallClock(text) {
  const hour = Number(text.slice(0, 2));
  return hour === 24 && !hasDayClock() ? "midnight" : timeOf(hour, text.slice(3));
}

// The label of an hour in a grid: "9 am", "09:00".
export const hourText = (hour) =>
  hasDayClock() ? timeOf(hour, "00") : timeOf(hour, "00").replace(":00", "");

// "9 am–5 pm" for "09:00" and "17:00"; "09:00–17:00" with a 24-hour clock.
export function wallSpan(start, end) {
  if (hasDayClock()) return `${wallClock(start)}–${wallClock(end)}`;
  const [first, last] = [start, end].map((text) => wallClock(text).replace(":00", ""));
  return `${first.slice(-2) === last.slice(-2) ? first.slice(0, -3) : first}–${last}`;
}

const zoneAbbreviation = (instant, zone) =>
  formatOf(Intl.DateTimeFormat, { timeZone: zone, timeZoneName: "short" })
    .formatToParts(instant).find((part) => part.type === "timeZoneName").value;

// "New York time"
export const zoneName = (zone) => `${zone.split("/").at(-1).replaceAll("_", " ")} time`;

// Explains the hints in the viewer's own zone.
export const smallPrint = (zone) =>
  `Times in small print are in your time zone (${zone.split("/").at(-1).replaceAll("_", " ")}).`;

// The time in the viewer's own zone if it differs: "6:00 am", "Wed 1:00 am"; else empty.
export const hint = (instant, zone, own) => {
  const [day, time] = [dayOf(instant, own), bareClock(instant, own)];
  if (day === dayOf(instant, zone) && time === bareClock(instant, zone)) return "";
  return day === dayOf(instant, zone) ? time : `${shortWeekday(day)} ${time}`;
};

const PARTS = ["morning", "afternoon", "evening"];

// One of PARTS. The afternoon begins at noon, the evening at 5 pm.
export const partOfDay = (instant, zone) => {
  const hour = Number(parts(instant, zone).hour);
  return PARTS[Number(hour >= 12) + Number(hour >= 17)];
};

const dayText = (day, options) =>
  formatOf(Intl.DateTimeFormat, { timeZone: "UTC", ...options }).format(Date.parse(day));

export const weekday = (day) => dayText(day, { weekday: "long" });
export const shortWeekday = (day) => dayText(day, { weekday: "short" });
export const longDay = (day) =>
  dayText(day, { weekday: "long", month: "long", day: "numeric" });
export const shortDay = (day) =>
  dayText(day, { weekday: "short", month: "short", day: "numeric" });
export const dayNumber = (day) => String(Number(day.slice(8)));

// "Tue, Nov 24, 9:00 am"; with the year if it is more than half a year away.
export const moment = (instant, zone, at = instant) => {
  const day = dayOf(instant, zone);
  const year = day.slice(0, 4);
  const isFar = Math.abs(instant - at) > 180 * 86_400_000
    && year !== new Date(at).toISOString().slice(0, 4);
  return `${shortDay(day)}${isFar ? `, ${year}` : ""}, ${clock(instant, zone)}`;
};

export const addDays = (day, count) =>
  new Date(Date.parse(day) + count * 86_400_000).toISOString().slice(0, 10);
export const daysBetween = (first, last) =>
  Math.round((Date.parse(last) - Date.parse(first)) / 86_400_000);

// Today, Tomorrow, or empty for any other day.
export const nearDay = (day, today) => ["Today", "Tomorrow"][daysBetween(today, day)] ?? "";

// Today, Tomorrow, Tue, Dec 3: as short as possible without being ambiguous.
export const soon = (day, today) => {
  const near = daysBetween(today, day) < 7;
  const date = near ? shortWeekday(day) : dayText(day, { month: "short", day: "numeric" });
  return nearDay(day, today) || date;
};

// "November 23 – 29", "November 27 – December 3"
export const week = (first) => {
  const last = addDays(first, 6);
  const month = (day) => dayText(day, { month: "long" });
  const end = month(first) === month(last) ? dayNumber(last) : `${month(last)} ${dayNumber(last)}`;
  return `${month(first)} ${dayNumber(first)} – ${end}`;
};

// "2026-11-24T14:00:00Z"
export const wire = (instant) => new Date(instant).toISOString().replace(".000Z", "Z");

export const money = (cents) => {
  const digits = { minimumFractionDigits: cents % 100 ? 2 : 0, maximumFractionDigits: 2 };
  return `$${formatOf(Intl.NumberFormat, digits).format(cents / 100)}`;
};

export const price = (hourlyRateCents, minutes) =>
  Math.floor((hourlyRateCents * minutes + 30) / 60);

// A new lesson can be cancelled for free for as long.
export const GRACE = 5 * 60_000;

// "Free to cancel until Mon, Nov 23, 9:00 pm": for a lesson that is booked now.
export const freeToCancel = (until, zone, at) =>
  until <= at + GRACE
    ? `Free to cancel for ${plural(GRACE / 60_000, "minute")} after booking`
    : `Free to cancel until ${moment(until, zone)}`;

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// The device's clock may be wrong; the server's clock counts.
let offset = 0;

export const now = () => Date.now() + offset;

export function setServerTime(instant) {
  if (Number.isFinite(instant)) offset = instant - Date.now();
}
