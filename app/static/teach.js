// /teach: bookings arrive on the instructor's open page.

import { moment } from "./clock.js";
import { hours } from "./hours.js";
import { keep } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const { zone, instructor, today } = document.getElementById("teach").dataset;

const sentence = ({ event, booking }) => {
  if (booking.instructor.id !== instructor) return null;
  const what = `${booking.service.name}, ${moment(Date.parse(booking.start), zone)}`;
  if (event === "created" && booking.state === "held") return `Someone is booking ${what}.`;
  if (event === "created" || event === "confirmed") return `${booking.student.name} just booked ${what}.`;
  if (event === "rescheduled") return `${booking.student.name} moved a lesson to ${what}.`;
  if (event === "cancelled") return `${what}, with ${booking.student.name}, was cancelled.`;
  return null;
};

const live = new Live();
follow(live, keep(live, sentence));
live.watch(instructor, { first: today, days: 1 });
live.start();
hours();
