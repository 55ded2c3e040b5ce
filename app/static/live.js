// The client of the live protocol (lesson.v1): one socket per page, that keeps what it watches equal to the server. What to do with
// a board is the pages' business. Events: "state" (live · catching up · offline), "board" {instructor, board, altered},
// "booking" {event, booking}, "refresh" (read the lists again), "over" {why} (the session has ended).

import { serverSays } from "./clock.js";

const SILENCE = 45_000; // nothing heard for so long: the connection is dead, whatever it says
const ANSWER = 10_000; // a watch not answered by then is asked again
const GRACE = 3_000; // a connection that comes back within this is not called offline

const NEVER = new Set([1009, 4400]); // we are a bad client; coming back would not make us a better one
const OVER = { 4401: "expired", 4403: "revoked" };

// How long to stay away, in milliseconds, after a close with this code: random within 0.5–30 s, the more attempts failed the
// longer. null: for good. `random` is in [0, 1).
export function delay(code, failures, random, afterMs = null) {
  if (NEVER.has(code) || code in OVER) return null;
  if (afterMs !== null) return Math.max(500, afterMs) + random * Math.max(1_000, afterMs / 2);
  if (code === 4429) return 30_000 + random * 30_000;
  const most = Math.min(30_000, 1_500 * 2 ** failures);
  return 500 + random * (most - 500);
}

export class Live extends EventTarget {
  #socket = null;
  #watches = new Map(); // instructor → {first, days, epoch, version, time_zone, min_advance_minutes, content, asked}
  #failures = 0;
  #opened = 0; // how often a connection stood
  #lost = Date.now(); // since when there is none
  #heard = 0;
  #afterMs = null;
  #stopped = false;
  #timer = null;
  #state = "";

  constructor(address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`) {
    super();
    this.address = address;
    setInterval(() => this.#look(), 5_000);
    addEventListener("offline", () => this.#socket && this.#closed(1006));
    addEventListener("online", () => this.#socket || this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
    // A page in the back-forward cache may keep no socket; it catches up when it is shown again.
    addEventListener("pagehide", () => this.#socket && this.#closed(1001));
    addEventListener("pageshow", (event) => event.persisted && (this.#socket || this.#connect()));
  }

  get state() {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      return [...this.#watches.values()].some((watch) => watch.asked) ? "catching up" : "live";
    }
    return !this.#stopped && navigator.onLine && Date.now() - this.#lost < GRACE ? "catching up" : "offline";
  }

  start() {
    this.#connect();
    return this;
  }

  // Follows a calendar from a first day on. `known` is a board to go on from, if there is one.
  watch(instructor, { first, days, known = {} }) {
    const watch = { first, days, content: known.days ?? {}, asked: 0, ...pick(known) };
    this.#watches.set(instructor, watch);
    this.#ask(instructor, known.epoch !== undefined);
  }

  unwatch(instructor) {
    if (this.#watches.delete(instructor)) this.#send({ type: "unwatch", instructor });
  }

  board(instructor) {
    const watch = this.#watches.get(instructor);
    return watch && { ...pick(watch), days: watch.content };
  }

  // A board read another way, such as from a page fetched while the socket was away. Older ones are ignored.
  offer(instructor, board) {
    const watch = this.#watches.get(instructor);
    if (!watch || (watch.epoch === board.epoch && board.version <= watch.version)) return;
    this.#replace(instructor, watch, board);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const socket = new WebSocket(this.address, "lesson.v1");
    this.#socket = socket;
    this.#heard = Date.now();
    // An abandoned socket must not speak for its successor.
    const own = (act) => (event) => socket === this.#socket && act(event);
    socket.addEventListener("open", own(() => this.#connected()));
    socket.addEventListener("message", own((event) => this.#received(event.data)));
    socket.addEventListener("close", own((event) => this.#closed(event.code)));
    this.#announce();
  }

  #connected() {
    this.#heard = Date.now();
    this.#afterMs = null;
    this.#opened += 1;
    for (const [instructor, watch] of this.#watches) this.#ask(instructor, watch.epoch !== undefined);
    // What was said between the drawing of the page, or the last connection, and now was said to nobody.
    this.#emit("refresh", { again: this.#opened > 1 });
    this.#announce();
  }

  #closed(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#lost = this.#lost || Date.now();
    for (const watch of this.#watches.values()) watch.asked = 0;
    const wait = delay(code, this.#failures, Math.random(), this.#afterMs);
    this.#failures += 1;
    if (code in OVER) this.#emit("over", { why: OVER[code] });
    if (wait === null) this.#stopped = true;
    else this.#timer = setTimeout(() => this.#connect(), wait);
    setTimeout(() => this.#announce(), GRACE + 50);
    this.#announce();
  }

  #look() {
    if (this.#socket && Date.now() - this.#heard > SILENCE) this.#closed(1006);
    for (const [instructor, watch] of this.#watches) {
      if (watch.asked && Date.now() - watch.asked > ANSWER) this.#ask(instructor, false);
    }
    this.#announce();
  }

  #ask(instructor, resume) {
    const watch = this.#watches.get(instructor);
    const from = resume ? { epoch: watch.epoch, version: watch.version } : {};
    watch.asked = this.#send({ type: "watch", instructor, first: watch.first, days: watch.days, ...from }) ? Date.now() : 0;
    this.#announce();
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #received(text) {
    this.#heard = Date.now();
    this.#lost = 0;
    this.#failures = 0;
    const message = JSON.parse(text);
    const watch = this.#watches.get(message.instructor);
    if (message.type === "board" && watch) this.#replace(message.instructor, watch, message);
    else if (message.type === "change" && watch) this.#change(message, watch);
    else if (message.type === "beacon") this.#beacon(message);
    else if (message.type === "booking" || message.type === "refresh") this.#emit(message.type, message);
    else if (message.type === "bye") this.#afterMs = message.after_ms;
    // LIMIT is about this message, UNAVAILABLE about this moment: the watch stands, and is answered when it can be.
    else if (message.type === "error" && watch && !["LIMIT", "UNAVAILABLE"].includes(message.code)) this.#watches.delete(message.instructor);
    this.#announce();
  }

  #replace(instructor, watch, board) {
    // The answer to an earlier watch may still come after the days wanted have moved on.
    const meant = watch.first in board.days;
    Object.assign(watch, pick(board), { content: meant ? board.days : { ...watch.content, ...board.days }, asked: meant ? 0 : watch.asked });
    this.#emit("board", { instructor, board: this.board(instructor), altered: null });
  }

  #change({ instructor, epoch, version, days }, watch) {
    if (epoch !== watch.epoch) return this.#gap(instructor, watch, false);
    if (version <= watch.version) return undefined;
    if (version !== watch.version + 1) return this.#gap(instructor, watch, true);
    watch.version = version;
    watch.content = { ...watch.content, ...days };
    return this.#emit("board", { instructor, board: this.board(instructor), altered: Object.keys(days) });
  }

  #beacon({ now, epoch, versions }) {
    serverSays(Date.parse(now));
    for (const [instructor, watch] of this.#watches) {
      const version = versions[instructor];
      if (epoch === watch.epoch && version === watch.version) watch.asked = 0;
      else this.#gap(instructor, watch, epoch === watch.epoch && version > watch.version);
    }
  }

  // Something was missed. While a watch is being answered that is what it is for.
  #gap(instructor, watch, resume) {
    if (!watch.asked) this.#ask(instructor, resume);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #announce() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#lost = 0;
    if (this.state === this.#state) return;
    this.#state = this.state;
    this.#emit("state", { state: this.#state });
  }
}

const pick = ({ epoch, version, time_zone, min_advance_minutes }) => ({ epoch, version, time_zone, min_advance_minutes });
