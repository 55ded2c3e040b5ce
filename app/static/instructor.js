// /instructors/{id}: connects the board, the lesson card and the live connection.

import { Board } from "./board.js";
import { addDays, dayOf, daysBetween, setServerTime } from "./formatting.js";
import { Lesson } from "./lesson.js";
import { Live } from "./live.js";
import { BOARD_DAYS, Offer, WEEK_DAYS } from "./offer.js";
import { Refresh, readJson, readPage } from "./refresh.js";
import { announce, follow } from "./status.js";

// Times become too soon to book as time passes, without a message.
const REDRAW_EVERY = 10_000;

const pageData = JSON.parse(document.getElementById("page-data").textContent);
setServerTime(Date.parse(pageData.now));

const offer = new Offer(pageData);
const board = new Board(document.getElementById("board"), offer);
const lesson = new Lesson(offer, pageData);
const live = new Live();

// ---- the viewer's actions

function select(changes) {
  const isOtherWeek = changes.first !== undefined && changes.first !== offer.first;
  Object.assign(offer, changes);
  const keepsStart = changes.selected === undefined && offer.selected !== null;
  if (keepsStart && offer.isBookable(offer.selected) === false) {
    announce(`That time doesn’t fit ${offer.minutes} minutes. Choose another.`);
    offer.selected = null;
  }
  if (isOtherWeek) watch();
  board.draw(false);
  lesson.draw();
  drawLinks();
  history.replaceState(null, "", offer.address());
}

board.addEventListener("select", ({ detail: selected }) => {
  select({ selected });
  announce(`${offer.sentence(selected)}. Press Tab to review and book.`);
});
// From the chosen time, the next Tab reaches the card.
document.getElementById("board").addEventListener("keydown", (event) => {
  if (event.key !== "Tab" || event.shiftKey || !event.target.matches("[aria-pressed=true]")) return;
  event.preventDefault();
  lesson.focus();
});
document.getElementById("to-lesson").addEventListener("click", (event) => {
  event.preventDefault();
  lesson.focus();
});
board.addEventListener("visit", ({ detail: day }) => visit(day));
lesson.addEventListener("select", ({ detail: selected }) => select({ selected }));
lesson.addEventListener("settled", () => redraw());

// Moves to a day, if need be in another week.
function visit(day) {
  const first = offer.weekOf(day);
  if (first !== offer.first) select({ first });
  board.focusDay(day);
}

on("durations", (link) => select({ minutes: Number(link.dataset.minutes) }));
on("strip", (link) => board.focusDay(link.dataset.day));
for (const [id, step] of [["earlier", -WEEK_DAYS], ["later", WEEK_DAYS]]) {
  document.getElementById(id).addEventListener("click", (event) => {
    if (isPlain(event)) turnTo(event, addDays(offer.first, step));
  });
}

function turnTo(event, first) {
  const last = offer.weekOf(offer.last);
  const exists = first >= offer.today && first <= last;
  // Offline, follow the link to a week that is not loaded.
  if (exists && live.state === "offline" && !(first in offer.days)) return;
  event.preventDefault();
  if (exists) select({ first });
}

function on(id, action) {
  document.getElementById(id).addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !isPlain(event)) return;
    event.preventDefault();
    action(link);
  });
}

const isPlain = ({ ctrlKey, metaKey, shiftKey, button }) =>
  !ctrlKey && !metaKey && !shiftKey && button === 0;

// Updates the links and fields around the board.
function drawLinks() {
  for (const link of document.querySelectorAll("#durations a")) {
    const minutes = Number(link.dataset.minutes);
    link.href = offer.address({ minutes });
    if (minutes === offer.minutes) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  drawWeekLink("earlier", addDays(offer.first, -WEEK_DAYS), offer.first > offer.today);
  const later = addDays(offer.first, WEEK_DAYS);
  drawWeekLink("later", later, later <= offer.last);
  for (const [name, value] of [["minutes", offer.minutes], ["from", offer.first]]) {
    document.querySelector(`#board input[name=${name}]`).value = value;
  }
}

function drawWeekLink(id, first, enabled) {
  const link = document.getElementById(id);
  if (enabled) {
    link.href = offer.address({ first });
    for (const name of ["role", "aria-disabled", "tabindex"]) link.removeAttribute(name);
  } else {
    link.removeAttribute("href");
    link.setAttribute("role", "link");
    link.setAttribute("aria-disabled", "true");
    link.setAttribute("tabindex", "0");
  }
}

// ---- changes from the server

// Watches from the first day of the week, or from the selected day if that is shortly before it.
function watch(knownBoard = { days: offer.days }) {
  const { first: week, selected } = offer;
  const day = selected === null ? week : dayOf(selected, offer.zone);
  const back = daysBetween(day, week);
  const first = back > 0 && back + WEEK_DAYS <= BOARD_DAYS ? day : week;
  live.watch(pageData.instructor, { first, days: BOARD_DAYS, board: knownBoard });
}

// Not while a hold is being sent: its own change would look like someone else's.
function redraw() {
  if (lesson.sending) return;
  board.draw(true);
  lesson.draw();
}

live.addEventListener("board", ({ detail: { board: newBoard } }) => {
  document.getElementById("not-public").hidden = true;
  offer.update(newBoard);
  redraw();
});

live.addEventListener("refused", () => {
  document.getElementById("not-public").hidden = false;
});

live.addEventListener("booking", ({ detail: { booking } }) => {
  if (booking.student.id !== pageData.viewer) return;
  offer.changeOwn(booking);
  lesson.onBooking(booking);
  redraw();
  refresh.repeat();
});

// Boards don't contain the viewer's own lessons. Offline, the board is read, too.
const refresh = new Refresh(() => (live.connected ? readLessons() : readAll()));

async function readLessons() {
  const { items } = await readJson("/api/bookings?as=student&scope=upcoming&limit=100");
  offer.updateOwn(items);
  for (const booking of items) lesson.onBooking(booking);
  redraw();
}

async function readAll() {
  const page = await readPage();
  const { board: newBoard, own, now } = JSON.parse(page.getElementById("page-data").textContent);
  setServerTime(Date.parse(now));
  offer.updateOwn(own);
  live.update(pageData.instructor, newBoard);
  redraw();
}

live.addEventListener("refresh", ({ detail: { first } }) => {
  if (!document.getElementById("hold")) return; // a viewer who can't book needs no own lessons
  if (first) refresh.now();
  else refresh.soon();
});
follow(live, refresh);
live.addEventListener("state", ({ detail: { state } }) => {
  if (state === "live") lesson.reconnected();
});

setInterval(redraw, REDRAW_EVERY);

// The strip marks the days that a phone shows.
const visibleDays = new IntersectionObserver((entries) => {
  for (const { target, intersectionRatio } of entries) {
    const link = document.querySelector(`#strip a[data-day="${target.dataset.day}"]`);
    link?.toggleAttribute("data-visible", intersectionRatio > 0.9);
  }
}, { root: document.getElementById("board"), threshold: [0, 0.95] });
for (const column of document.querySelectorAll(".day")) visibleDays.observe(column);

drawLinks();
watch(pageData.board);
live.start();

// A link to a time opens the page at that time, with the focus on the card.
if (offer.selected !== null) board.showDay(dayOf(offer.selected, offer.zone));
if (offer.selected !== null && location.hash === "#lesson") lesson.focus();
