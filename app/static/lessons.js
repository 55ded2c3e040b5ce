// /lessons: the student's lessons, kept up to date while the page is open.

import { attempt } from "./attempt.js";
import { offerCopy } from "./copy.js";
import { moment, now, setServerTime } from "./formatting.js";
import { followBookings } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const isPlain = ({ ctrlKey, metaKey, shiftKey, button }) =>
  !ctrlKey && !metaKey && !shiftKey && button === 0;

const CHANGES = {
  created: "is booked",
  confirmed: "is booked",
  rescheduled: "was moved",
  cancelled: "was cancelled",
  expired: "is no longer on hold for you",
};
const { zone, student } = document.getElementById("lessons").dataset;
setServerTime(Date.parse(document.querySelector("h1").dataset.now));

// A mail's link names its lesson. The list is read again without it.
const address = new URL(location.href);
if (address.searchParams.has("lesson")) {
  address.searchParams.delete("lesson");
  history.replaceState(null, "", address);
}

const live = new Live();
const refresh = followBookings(live, ({ event, booking }) => {
  const change = booking.state === "held" ? "is on hold for you" : CHANGES[event];
  if (!change || booking.student.id !== student) return null;
  // The server draws a notice about the lesson that the address names.
  if (event === "cancelled") {
    const query = new URLSearchParams(location.search);
    query.set("cancelled", booking.id);
    history.replaceState(null, "", `/lessons?${query}`);
  }
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
      countdown.textContent = `for another ${Math.floor(seconds / 60)}:${rest}`;
    } else if (!refresh.isBehind) refresh.now();
  }
}
tick();
setInterval(tick, 1_000);

// "Move" opens the dialog. What has become of the lesson is said above the list.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a.move");
  if (!link || !isPlain(event)) return;
  event.preventDefault();
  const { id } = link.closest("[data-state]");
  let result;
  try {
    const { openDialog } = await import("./move_dialog.js");
    result = await openDialog(link.href, live);
  } catch {
    location.assign(link.href);
    return;
  }
  document.getElementById(id)?.querySelector(".move, a").focus();
  const { moved, ended } = result;
  if (!moved && !ended) return;
  await showNotice(moved ? { moved: moved.id } : { cancelled: ended.id });
});

// A cancellation is confirmed above the list.
const send = attempt();
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches(".cancel")) return;
  event.preventDefault();
  const { id } = form.dataset;
  const error = form.querySelector(".error");
  error.textContent = "";
  try {
    const body = { reason: form.elements.namedItem("reason").value };
    const { ok, content } = await send(`/api/bookings/${id}/cancellation`, body);
    if (ok) await showNotice({ cancelled: id });
    else if (content.code === "NOT_SIGNED_IN") location.assign("/login?next=/lessons");
    else error.textContent = content.detail;
  } catch {
    error.textContent = "We couldn’t reach the server. Try again.";
  }
});

// Shows the notice about a lesson, which the server draws.
async function showNotice(query) {
  history.replaceState(null, "", `/lessons?${new URLSearchParams(query)}`);
  await refresh.now();
  const notice = document.querySelector("#notices [tabindex]");
  notice?.focus();
  notice?.scrollIntoView({ block: "center" });
}

// ---- the calendar feed

const copy = document.getElementById("copy-feed");
if (copy) {
  offerCopy(copy, document.getElementById("feed-url"), {
    copied: "The address was copied.",
    selected: "The address is selected. Copy it with the keyboard.",
  });
}
