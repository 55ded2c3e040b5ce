// /instructors/{id}: puts together the live board, the card with the lesson, and the connection.

import { Board } from "./board.js";
import { addDays, dayOf, daysBetween, serverSays } from "./formatting.js";
import { Lesson } from "./lesson.js";
import { Live } from "./live.js";
import { BOARD_DAYS, Offer, WEEK_DAYS } from "./offer.js";
import { Refresh, readJson, readPage } from "./refresh.js";
import { announce, follow } from "./status.js";

const TICK = 10_000; // the minimum notice passes by the clock, not by a message

const given = JSON.parse(document.getElementById("page-data").textContent);
serverSays(Date.parse(given.now));

const offer = new Offer(given);
const board = new Board(document.getElementById("board"), offer);
const lesson = new Lesson(offer, given);
const live = new Live();

// ---- what the viewer does

function choose(change) {
  const moved = change.first !== undefined && change.first !== offer.first;
  Object.assign(offer, change);
  const kept = change.chosen === undefined && offer.chosen !== null;
  if (kept && offer.possible(offer.chosen) === false) {
    announce(`That time doesn’t fit ${offer.minutes} minutes. Choose another.`);
    offer.chosen = null;
  }
  if (moved) watch();
  board.draw(false);
  lesson.draw();
  frame();
  history.replaceState(null, "", offer.address());
}

board.addEventListener("choose", ({ detail: chosen }) => choose({ chosen }));
board.addEventListener("visit", ({ detail: day }) => visit(day));
lesson.addEventListener("choose", ({ detail: chosen }) => choose({ chosen }));
lesson.addEventListener("answered", () => arrived());

// A day of another week needs its week first.
function visit(day) {
  const first = offer.weekOf(day);
  if (first !== offer.first) choose({ first });
  board.focusDay(day);
}

on("durations", (link) => choose({ minutes: Number(link.dataset.minutes) }));
on("strip", (link) => board.focusDay(link.dataset.day));
for (const [id, step] of [["earlier", -WEEK_DAYS], ["later", WEEK_DAYS]]) {
  document.getElementById(id).addEventListener("click", (event) => {
    if (plain(event)) turn(event, addDays(offer.first, step));
  });
}

function turn(event, first) {
  const last = offer.weekOf(offer.last);
  const exists = first >= offer.today && first <= last;
  // Offline, only loaded weeks can be shown here; the link leads to the server for the others.
  if (exists && live.state === "offline" && !(first in offer.days)) return;
  event.preventDefault();
  if (exists) choose({ first });
}

function on(id, act) {
  document.getElementById(id).addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !plain(event)) return;
    event.preventDefault();
    act(link);
  });
}

const plain = (event) => !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;

// The links around the board say where they lead now.
function frame() {
  for (const link of document.querySelectorAll("#durations a")) {
    const minutes = Number(link.dataset.minutes);
    link.href = offer.address({ minutes });
    if (minutes === offer.minutes) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  point("earlier", addDays(offer.first, -WEEK_DAYS), offer.first > offer.today);
  point("later", addDays(offer.first, WEEK_DAYS), addDays(offer.first, WEEK_DAYS) <= offer.last);
  for (const [name, value] of [["minutes", offer.minutes], ["from", offer.first]]) {
    document.querySelector(`#board input[name=${name}]`).value = value;
  }
}

function point(id, first, possible) {
  const link = document.getElementById(id);
  if (possible) {
    link.href = offer.address({ first });
    for (const name of ["role", "aria-disabled", "tabindex"]) link.removeAttribute(name);
  } else {
    link.removeAttribute("href");
    link.setAttribute("role", "link");
    link.setAttribute("aria-disabled", "true");
    link.setAttribute("tabindex", "0");
  }
}

// ---- what happens elsewhere

// The week shown and those after it, and the chosen time too while it is not too far off.
function watch(known = { days: offer.days }) {
  const chosen = offer.chosen === null ? offer.first : dayOf(offer.chosen, offer.zone);
  const back = daysBetween(chosen, offer.first);
  const first = back > 0 && back + WEEK_DAYS <= BOARD_DAYS ? chosen : offer.first;
  live.watch(given.instructor, { first, days: BOARD_DAYS, known });
}

// Shows the calendar as it now is. While a booking is under way its own doing would look like
// someone else's.
function arrived() {
  if (lesson.sending) return;
  board.draw(true);
  lesson.draw();
}

live.addEventListener("board", ({ detail: { board: fresh } }) => {
  document.getElementById("refused").hidden = true;
  offer.update(fresh);
  arrived();
});

live.addEventListener("refused", () => {
  document.getElementById("refused").hidden = false;
});

live.addEventListener("booking", ({ detail: { booking } }) => {
  if (booking.student.id !== given.viewer) return;
  const standing = ["held", "confirmed"].includes(booking.state);
  offer.busy = offer.busy.filter(([, , id]) => id !== booking.id);
  if (standing) {
    offer.busy.push([Date.parse(booking.start), Date.parse(booking.end), booking.id]);
    lesson.onBooking(booking);
  }
  arrived();
  refresh.repeat();
});

// No board tells the viewer's own lessons. Without a connection the board is read too.
const refresh = new Refresh(() => (live.connected ? readLessons() : readAll()));

async function readLessons() {
  const { items } = await readJson("/api/bookings?as=student&scope=upcoming&limit=100");
  offer.updateBusy(items.map(({ start, end, id }) => [start, end, id]));
  for (const booking of items) lesson.onBooking(booking);
  arrived();
}

async function readAll() {
  const page = await readPage();
  const { board: fresh, busy, now } = JSON.parse(page.getElementById("page-data").textContent);
  serverSays(Date.parse(now));
  offer.updateBusy(busy);
  live.offer(given.instructor, fresh);
  arrived();
}

live.addEventListener("refresh", ({ detail: { first } }) => {
  if (!document.getElementById("book")) return; // who cannot book here has no lessons in the way
  if (first) refresh.now();
  else refresh.soon();
});
follow(live, refresh);
live.addEventListener("state", ({ detail: { state } }) => {
  if (state === "live") lesson.reconnected();
});

setInterval(arrived, TICK);

// The strip marks the days a phone shows.
const seen = new IntersectionObserver((entries) => {
  for (const { target, intersectionRatio } of entries) {
    const link = document.querySelector(`#strip a[data-day="${target.dataset.day}"]`);
    link?.toggleAttribute("data-here", intersectionRatio > 0.9);
  }
}, { root: document.getElementById("board"), threshold: [0, 0.95] });
for (const column of document.querySelectorAll(".day")) seen.observe(column);

frame();
watch(given.board);
live.start();
