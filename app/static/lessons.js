// /lessons: the student's lessons, kept true while the page is open.

import { moment } from "./clock.js";
import { highlight, keep } from "./list.js";
import { Live } from "./live.js";
import { announce, follow } from "./status.js";

const words = { created: "is booked", confirmed: "is booked", rescheduled: "was moved", cancelled: "was cancelled", expired: "is no longer kept for you" };
const { zone } = document.getElementById("lessons").dataset;

const live = new Live();
const refresh = keep(live, ({ event, booking }) =>
  words[event] && `${booking.service.name} with ${booking.instructor.name}, ${moment(Date.parse(booking.start), zone)}, ${words[event]}.`);
follow(live, refresh);
live.start();

// The way here from booking: the new lesson is named in the address.
const booked = location.hash.startsWith("#booking-") && document.getElementById(location.hash.slice(1));
if (booked && booked.dataset.state === "confirmed") {
  highlight(booked);
  announce("The lesson is yours. A mail is on its way to you.");
}
