// /teach: shows new bookings on the open page and announces them in batches, sends forms in place,
// and moves the current moment.

import { clock, now, setServerTime } from "./formatting.js";
import { keepDrafts, sendInPlace } from "./in_place.js";
import { Changes, describer } from "./incoming.js";
import { followBookings } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const TICK_MS = 15_000;
const { zone, instructor, today, now: drawnAt } = document.getElementById("teach").dataset;
setServerTime(Date.parse(drawnAt));

const live = new Live();
const changes = new Changes(instructor, zone, Date.parse(drawnAt));
const describe = describer(instructor, zone);
const refresh = followBookings(live, (message) => {
  const { event, booking } = message;
  if (booking.instructor.id !== instructor) return null;
  if (["cancelled", "rescheduled"].includes(event)) {
    changes.tell([booking.id]);
    return null;
  }
  changes.forget(booking);
  return describe(message);
}, (ids) => changes.tell(ids));
follow(live, refresh);
live.watch(instructor, { first: today, days: 1 });
live.start();
sendInPlace(document.getElementById("teach"), refresh);
keepDrafts(document.getElementById("teach"));

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-clock]")) {
    time.textContent = clock(now(), zone);
  }
}, TICK_MS);
