// What others do with the lessons on an instructor's open pages, in words.

import { moment } from "./formatting.js";
import { readJson } from "./refresh.js";
import { announceTogether } from "./status.js";

const MAX_NOTICES = 3; // in sight at once, the newest first
const MAX_LESSONS = 20; // for which one call reads what happened
const NOTICE_MS = 10_000; // a notice stays in sight this long; then it stays at the top of the page

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
      summary: SUMMARIES.rescheduled,
    },
    cancelled: {
      sentence: `${lesson}, with ${name}, was cancelled.`,
      summary: SUMMARIES.cancelled,
    },
  }[event] ?? null;
};

// Says in a visible notice, and to screen readers, which lessons others have cancelled or moved,
// and who did. What the instructor did is no news to them.
export class Changes {
  #region = document.getElementById("changes");
  #instructor;
  #zone;
  #since;
  #announced = new Set(); // audit entries: "id at"

  // Changes before `since` (an instant) are already on the page.
  constructor(instructor, zone, since) {
    this.#instructor = instructor;
    this.#zone = zone;
    this.#since = since;
  }

  // Looks for what has happened to these lessons.
  async tell(ids) {
    for (const id of ids.slice(0, MAX_LESSONS)) {
      try {
        const { items } = await readJson(`/api/bookings/${id}/history?limit=100`);
        await this.#tellOf(id, items);
      } catch {
        // The list shows the lesson without a notice.
      }
    }
  }

  async #tellOf(id, entries) {
    const index = entries.findLastIndex(({ event }) => event in SENTENCES);
    if (index < 0) return;
    const { at, event, actor, start } = entries[index];
    const key = `${id} ${at}`;
    if (Date.parse(at) < this.#since || this.#announced.has(key)) return;
    this.#announced.add(key);
    if (actor?.id === this.#instructor) return;
    const booking = await readJson(`/api/bookings/${id}`);
    const when = (instant) => moment(Date.parse(instant), this.#zone);
    const before = entries.slice(0, index).findLast((entry) => entry.start)?.start;
    const sentence = SENTENCES[event]({
      name: actor?.name ?? "InstaInstru",
      lesson: actor?.id === booking.student.id ? "" : `${booking.student.name}’s lesson, `,
      service: booking.service.name,
      before: before ? when(before) : "",
      after: when(start),
    });
    announceTogether(`told ${event}`, sentence, SUMMARIES[event]);
    this.#show(sentence, booking);
  }

  // "The time is free again" is no longer true once it is booked.
  forget({ start, end }) {
    for (const notice of [...this.#region.children]) {
      if (start < notice.dataset.end && notice.dataset.start < end) notice.remove();
    }
  }

  #show(sentence, { id, state, start, end }) {
    const notice = document.createElement("p");
    notice.className = "notice";
    if (state === "cancelled") Object.assign(notice.dataset, { start, end });
    const words = Object.assign(document.createElement("span"), { textContent: `${sentence} ` });
    const href = `/teach?lesson=${id}#booking-${id}`;
    words.append(Object.assign(document.createElement("a"), { href, textContent: "See details" }));
    notice.append(words);
    this.#region.prepend(notice);
    for (const old of [...this.#region.children].slice(MAX_NOTICES)) old.remove();
    setTimeout(() => notice.classList.add("old"), NOTICE_MS);
  }
}

const SENTENCES = {
  cancelled: ({ name, lesson, after, service }) =>
    `${name} cancelled ${lesson}${after}, ${service}. The time is free again.`,
  rescheduled: ({ name, lesson, before, after, service }) =>
    `${name} moved ${lesson}${service}${before && ` from ${before}`} to ${after}.`,
};

const SUMMARIES = {
  cancelled: (count) => `${count} lessons were cancelled.`,
  rescheduled: (count) => `${count} lessons were moved.`,
};
