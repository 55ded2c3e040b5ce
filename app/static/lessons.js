// /lessons: the student's lessons, kept true while the page is open.

import { moment } from "./clock.js";
import { keep } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const words = { created: "is booked", confirmed: "is booked", rescheduled: "was moved", cancelled: "was cancelled", expired: "is no longer kept for you" };
const { zone } = document.getElementById("lessons").dataset;

const live = new Live();
const refresh = keep(live, ({ event, booking }) =>
  words[event] && `${booking.service.name} with ${booking.instructor.name}, ${moment(Date.parse(booking.start), zone)}, ${words[event]}.`);
follow(live, refresh);
live.start();
