// /lessons: the student's lessons, kept up to date while the page is open.

import { moment } from "./formatting.js";
import { followBookings, highlight } from "./list.js";
import { Live } from "./live.js";
import { announce, follow } from "./status.js";

const CHANGES = {
  created: "is booked",
  confirmed: "is booked",
  rescheduled: "was moved",
  cancelled: "was cancelled",
  expired: "is no longer on hold for you",
};
const { zone } = document.getElementById("lessons").dataset;

const live = new Live();
const refresh = followBookings(live, ({ event, booking }) => {
  const change = CHANGES[event];
  if (!change) return null;
  const when = moment(Date.parse(booking.start), zone);
  return {
    sentence: `${booking.service.name} with ${booking.instructor.name}, ${when}, ${change}.`,
    summary: (count) => `${count} of your lessons changed.`,
  };
});
follow(live, refresh);
live.start();

// After booking, the address contains the new lesson's id.
const { hash } = location;
const row = hash.startsWith("#booking-") && document.getElementById(hash.slice(1));
if (row && row.dataset.state === "confirmed") {
  highlight(row);
  announce("Your lesson is booked. We’ll e-mail you a confirmation.");
}
