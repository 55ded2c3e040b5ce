// /instructors/{id}: connects the board, the lesson card and the live connection.

import { Board } from "./board.js";
import { BoardControls } from "./board_controls.js";
import { dayOf, daysBetween, setServerTime } from "./formatting.js";
import { Lesson } from "./lesson.js";
import { Live } from "./live.js";
import { BOARD_DAYS, Offer, WEEK_DAYS } from "./offer.js";
import { Refresh, readJson, readPage } from "./refresh.js";
import { announce, follow } from "./status.js";

// Times become too soon to book without any message from the server.
const REDRAW_EVERY = 10_000;

const pageData = JSON.parse(document.getElementById("page-data").textContent);
setServerTime(Date.parse(pageData.now));

const offer = new Offer(pageData);
const board = new Board(document.getElementById("board"), offer);
const lesson = new Lesson(offer, pageData);
const live = new Live();
const controls = new BoardControls(offer, board, live, select);

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
  controls.draw();
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
lesson.addEventListener("select", ({ detail: selected }) => select({ selected }));
lesson.addEventListener("attempted", () => redraw());

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
  // The board's own message came first. What the viewer did is no news to them.
  if (!lesson.sending) {
    board.draw(false);
    lesson.draw();
  }
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

watch(pageData.board);
live.start();

// A link to a time opens the page at that time, with the focus on the card.
if (offer.selected !== null) board.showDay(dayOf(offer.selected, offer.zone));
if (offer.selected !== null && location.hash === "#lesson") lesson.focus();
