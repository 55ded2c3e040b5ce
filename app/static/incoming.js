// Bookings that arrive on the instructor's open pages, in words.

import { moment } from "./formatting.js";

// `instructor` is an id; the result describes a booking message for announceTogether.
export const describer = (instructor, zone) => ({ event, booking }) => {
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
