// /teach: shows new bookings on the open page, and announces them in batches.

import { moment } from "./formatting.js";
import { followBookings } from "./list.js";
import { Live } from "./live.js";
import { follow } from "./status.js";

const { zone, instructor, today } = document.getElementById("teach").dataset;

const describe = ({ event, booking }) => {
  if (booking.instructor.id !== instructor) return null;
  const lesson = `${booking.service.name}, ${moment(Date.parse(booking.start), zone)}`;
  const { name } = booking.student;
  const booked = {
    sentence: `${name} just booked ${lesson}.`,
    summary: (count) => `${count} lessons were just booked.`,
  };
  const held = {
    sentence: `Someone is booking ${lesson}.`,
    summary: (count) => `${count} lessons are being booked.`,
  };
  return {
    created: booking.state === "held" ? held : booked,
    confirmed: booked,
    rescheduled: {
      sentence: `${name} moved a lesson to ${lesson}.`,
      summary: (count) => `${count} lessons were moved.`,
    },
    cancelled: {
      sentence: `${lesson}, with ${name}, was cancelled.`,
      summary: (count) => `${count} lessons were cancelled.`,
    },
  }[event] ?? null;
};

const live = new Live();
follow(live, followBookings(live, describe));
live.watch(instructor, { first: today, days: 1 });
live.start();
