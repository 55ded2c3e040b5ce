// /lessons: the student's lessons, kept up to date while the page is open.

import { moment, now, setServerTime } from "./formatting.js";
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
setServerTime(Date.parse(document.querySelector("h1").dataset.now));

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

// Counts down to the end of each hold. The server says what has become of it.
function tick() {
  for (const countdown of document.querySelectorAll(".countdown[data-until]")) {
    const seconds = Math.ceil((Date.parse(countdown.dataset.until) - now()) / 1_000);
    if (seconds > 0) {
      const rest = String(seconds % 60).padStart(2, "0");
      countdown.textContent = `for ${Math.floor(seconds / 60)}:${rest}`;
    } else if (!refresh.isBehind) refresh.now();
  }
}
tick();
setInterval(tick, 1_000);

// After booking, the address contains the new lesson's id.
const { hash } = location;
const row = hash.startsWith("#booking-") && document.getElementById(hash.slice(1));
if (row && row.dataset.state === "confirmed") {
  highlight(row);
  announce("Your lesson is booked. We’ll e-mail you a confirmation.");
}
