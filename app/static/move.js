// Moving a lesson: the board, and the form below it that says what changes. The server draws both
// first (app/pages/move.py). Events: "moved" {booking}, and "ended" {booking} if it can no longer
// be moved.

import { attempt } from "./attempt.js";
import { Board } from "./board.js";
import { BoardControls } from "./board_controls.js";
import {
  GRACE, clock, dayOf, daysBetween, moment, money, now, plural, setServerTime, soon, wire,
} from "./formatting.js";
import { BOARD_DAYS, Offer, WEEK_DAYS } from "./offer.js";
import { Refresh, readPage } from "./refresh.js";
import { announce } from "./status.js";

const BUSY_AFTER_MS = 300; // the button says "Moving…" after this long
// Times become too soon to book without any message from the server.
const REDRAW_EVERY = 10_000;
// After these refusals the lesson can't be moved at all.
const FINAL = ["WRONG_STATE", "TOO_LATE", "NOT_FOUND", "NOT_ALLOWED"];

const element = (id) => document.getElementById(id);
const readData = (root) => JSON.parse(root.querySelector("#page-data").textContent);

class MoveOffer extends Offer {
  lesson;

  constructor(pageData) {
    super(pageData);
    this.updateLesson(pageData);
  }

  updateLesson({ lesson, own_time: ownTime }) {
    this.lesson = { ...lesson, start: Date.parse(lesson.start) };
    this.updateOwnTime(ownTime);
  }

  get isUnchanged() {
    return this.selected === this.lesson.start && this.minutes === this.lesson.minutes;
  }

  // "Move to Wed 1:00 pm", "Move to tomorrow 1:00 pm"
  get action() {
    return `Move to ${this.briefMoment(this.selected).replace(/^To/, "to")}`;
  }

  // What changes with the time: the price, and until when a cancellation is free.
  get consequences() {
    const { lesson, minutes, cents } = this;
    const before = money(lesson.price_cents);
    const price = minutes === lesson.minutes
      ? `The price stays ${before}.`
      : `${minutes} minutes instead of ${lesson.minutes}: ${money(cents)} instead of ${before}.`;
    return `${price} ${this.#policy}`;
  }

  get #policy() {
    const { free_cancel_until: until, free_cancel_hours: hours, created_at: created } = this.lesson;
    if (now() > Date.parse(until)) {
      return "A cancellation still counts as late: a lesson moved late stays late.";
    }
    const latest = Math.max(this.selected - hours * 3_600_000, Date.parse(created) + GRACE);
    const newUntil = Math.min(this.selected, latest);
    if (newUntil <= now()) return "A cancellation will then count as late.";
    return `Free to cancel until ${moment(newUntil, this.zone)}.`;
  }

  ownNote(start) {
    return start === this.lesson.start ? "this lesson" : super.ownNote(start);
  }

  address({ first = this.first, minutes = this.minutes, selected = this.selected } = {}) {
    const query = new URLSearchParams({ minutes, from: first });
    if (selected !== null) query.set("start", wire(selected));
    return `/lessons/${this.lesson.id}/move?${query}`;
  }
}

export class Mover extends EventTarget {
  #live;
  #data;
  #offer;
  #board;
  #controls;
  #send = attempt();
  #sending = false;
  #awaited = null; // the start that was sent
  #freeStart = null; // the last selected start that was free here
  #refusal = null; // {start, version, reason, starts}
  #closed = new AbortController();
  #timer;

  // `root`: the part of the page that is #mover, in the document.
  constructor(root, live) {
    super();
    this.#live = live;
    this.#data = readData(root);
    setServerTime(Date.parse(this.#data.now));
    this.#offer = new MoveOffer(this.#data);
    this.#board = new Board(element("board"), this.#offer);
    this.#controls = new BoardControls(
      this.#offer, this.#board, live, (changes) => this.#select(changes),
    );
    this.refresh = new Refresh(() => this.#read());
    this.#board.addEventListener("select", ({ detail: selected }) => {
      this.#select({ selected });
      announce(`${element("change-title").textContent}. ${element("consequences").textContent}`);
    });
    element("change").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#move();
    });
    element("move-button").addEventListener("click", () => this.#explain());
    this.#listen();
    this.#watch();
    this.#draw();
    this.#board.showDay(dayOf(this.#offer.selected ?? this.#offer.lesson.start, this.#offer.zone));
  }

  // Stops following the calendar.
  close() {
    this.#closed.abort();
    clearInterval(this.#timer);
    this.#live.unwatch(this.#data.instructor);
  }

  // ---- the viewer's choice

  #select(changes) {
    const offer = this.#offer;
    const isOtherWeek = changes.first !== undefined && changes.first !== offer.first;
    Object.assign(offer, changes);
    const keepsStart = changes.selected === undefined && offer.selected !== null;
    if (keepsStart && offer.isBookable(offer.selected) === false) {
      announce(`That time doesn’t fit ${offer.minutes} minutes. Choose another.`);
      offer.selected = null;
    }
    this.#refusal = null;
    this.#showError("");
    if (isOtherWeek) this.#watch();
    this.#board.draw(false);
    this.#controls.draw();
    this.#draw();
  }

  // Shows the selection, what changes with it, or why it is not possible.
  #draw() {
    const offer = this.#offer;
    const { selected, zone } = offer;
    if (this.#refusal && offer.version > this.#refusal.version) this.#refusal = null;
    const isFree = selected === null || offer.isBookable(selected);
    if (isFree === undefined) return; // the day is not loaded yet
    const reason = this.#refusal?.reason
      ?? (isFree ? "" : offer.obstacle(selected, selected === this.#freeStart));
    if (isFree) this.#freeStart = selected;
    const isPossible = selected !== null && !reason && !offer.isUnchanged;
    const title = offer.isUnchanged ? "This is its current time. Choose another." : "Choose a time";
    const hasTitle = selected === null || (offer.isUnchanged && !reason);
    text("change-title", hasTitle ? title : moment(selected, zone, now()));
    text("consequences", isPossible ? offer.consequences : "");
    this.#drawObstacle(reason);
    const form = element("change").elements;
    form.namedItem("start").value = selected === null ? "" : wire(selected);
    form.namedItem("duration_minutes").value = offer.minutes;
    if (!this.#sending) {
      this.#drawButton(isPossible ? offer.action : "Move", !isPossible);
    }
  }

  #drawObstacle(reason) {
    const isNew = reason && element("reason").textContent.trim() !== reason;
    element("unavailable").hidden = !reason;
    text("reason", reason);
    const starts = reason
      ? this.#refusal?.starts ?? this.#offer.alternatives(this.#offer.selected)
      : [];
    this.#drawAlternatives(starts);
    if (!isNew) return;
    announce(`${reason} ${starts.length ? `Choose from ${plural(starts.length, "time")}.` : ""}`);
  }

  #drawAlternatives(starts) {
    const list = element("alternatives");
    const key = starts.map(wire).join();
    // Redraw only after the focus has left the list.
    if (list.dataset.starts === key || list.contains(document.activeElement)) return;
    list.dataset.starts = key;
    list.replaceChildren(...starts.map((start) => {
      const { zone, today } = this.#offer;
      const link = Object.assign(document.createElement("a"), {
        className: "time", href: this.#offer.address({ selected: start }),
      });
      const day = dayOf(start, zone);
      const small = Object.assign(document.createElement("small"), {
        textContent: soon(day, today),
      });
      link.append(small, ` ${clock(start, zone)}`);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        element("move-button").focus();
        this.#select({ selected: start, first: this.#offer.weekOf(day) });
      });
      return link;
    }));
  }

  // Why the button does nothing.
  #explain() {
    if (element("move-button").getAttribute("aria-disabled") !== "true" || this.#sending) return;
    announce(element("reason").textContent || element("change-title").textContent);
    element("alternatives").querySelector("a")?.focus();
  }

  #drawButton(label, disabled) {
    const button = element("move-button");
    button.textContent = label;
    button.type = disabled ? "button" : "submit";
    if (disabled) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  }

  #showError(sentence) {
    text("move-error", sentence);
  }

  // ---- moving

  async #move() {
    if (this.#sending) return;
    this.#sending = true;
    this.#showError("");
    const slow = setTimeout(() => this.#drawButton("Moving…", true), BUSY_AFTER_MS);
    const { selected, minutes, lesson } = this.#offer;
    this.#awaited = selected;
    try {
      const body = { start: wire(selected), duration_minutes: minutes };
      const { ok, content } = await this.#send(`/api/bookings/${lesson.id}/time`, body, "PUT");
      if (ok) this.#emit("moved", content);
      else this.#onRefusal(content);
    } catch {
      this.#showError("We couldn’t reach the server. Try again. It won’t be moved twice.");
    } finally {
      clearTimeout(slow);
      this.#sending = false;
      if (!this.#closed.signal.aborted) this.#redraw();
    }
  }

  #onRefusal({ code, detail, alternatives, version }) {
    this.#awaited = null;
    if (code === "NOT_SIGNED_IN") {
      location.assign(`/login?${new URLSearchParams({ next: this.#offer.address() })}`);
    } else if (FINAL.includes(code)) {
      this.#showError(detail);
      this.refresh.now();
    } else if (alternatives) {
      // The time was free on this screen.
      const reason = code === "SLOT_TAKEN" ? "This time has just been taken." : detail;
      const starts = alternatives.map((start) => Date.parse(start));
      this.#refusal = { start: this.#offer.selected, version, reason, starts };
    } else {
      this.#showError(detail);
    }
  }

  // ---- changes from the server

  #listen() {
    const on = (name, handle) =>
      this.#live.addEventListener(name, handle, { signal: this.#closed.signal });
    on("board", ({ detail: { instructor, board, altered } }) => {
      if (instructor !== this.#data.instructor) return;
      this.#offer.update(board);
      this.#redraw();
      // The lesson's own time may have changed, too.
      const { lesson, zone } = this.#offer;
      if (!altered || altered.includes(dayOf(lesson.start, zone))) this.refresh.now();
    });
    on("booking", ({ detail: { booking } }) => this.#onBooking(booking));
    on("refresh", ({ detail: { first } }) => first || this.refresh.soon());
    this.#timer = setInterval(() => this.#redraw(), REDRAW_EVERY);
  }

  #onBooking(booking) {
    const { lesson } = this.#offer;
    if (booking.student.id !== this.#data.viewer) return;
    if (booking.id !== lesson.id) {
      this.#offer.changeOwn(booking);
      this.#redraw();
    } else if (booking.state !== "confirmed") {
      this.#emit("ended", booking);
    } else if (Date.parse(booking.start) !== lesson.start && !this.#sending) {
      // The answer was lost, or another window moved the lesson.
      if (Date.parse(booking.start) === this.#awaited) this.#emit("moved", booking);
      else this.refresh.now();
    }
  }

  // Not while the move is being sent: its own change would look like someone else's.
  #redraw() {
    if (this.#sending) return;
    this.#board.draw(true);
    this.#draw();
  }

  // Reads the lesson and its own time again. Offline, the board is read, too.
  async #read() {
    const page = await readPage(this.#offer.address());
    if (this.#closed.signal.aborted || this.#sending) return;
    const root = page.getElementById("mover");
    if (!root.querySelector("#page-data")) {
      this.#emit("ended", { id: this.#offer.lesson.id });
      return;
    }
    const data = readData(root);
    setServerTime(Date.parse(data.now));
    this.#offer.updateLesson(data);
    this.#offer.updateOwn(data.own);
    this.#live.update(this.#data.instructor, data.board);
    text("moving", root.querySelector("#moving").textContent.replaceAll(/\s+/g, " ").trim());
    this.#redraw();
  }

  #watch() {
    const { first: week, selected, zone } = this.#offer;
    const day = selected === null ? week : dayOf(selected, zone);
    const back = daysBetween(day, week);
    const first = back > 0 && back + WEEK_DAYS <= BOARD_DAYS ? day : week;
    const isFirst = !this.#live.board(this.#data.instructor);
    const board = isFirst ? this.#data.board : { days: this.#offer.days };
    this.#live.watch(this.#data.instructor, { first, days: BOARD_DAYS, board });
  }

  #emit(name, detail) {
    if (!this.#closed.signal.aborted) this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function text(id, content) {
  if (element(id).textContent !== content) element(id).textContent = content;
}
