// The client of the live protocol (lesson.v1): one socket per page keeps the watched boards equal
// to the server's. Pages decide what to do with a board. Events: "state" (live · catching up
// · offline), "board" {instructor, board, altered}, "booking" {event, booking}, "refresh" {first}
// (read the lists again; `first` on the first connection), "refused" {instructor, code} (the server
// does not show this calendar), "over" {why} (the session has ended).

import { serverSays } from "./formatting.js";

const LOOK = 2_000; // how often silence and unanswered watches are looked for
const PROBE = 23_000; // the server speaks every 20 s: after this silence, ask whether it is there
const PROBE_ANSWER = 7_000; // a probe without an answer by then: the connection is dead
const SILENCE = 45_000; // the same for a page that watches nothing, and so has nothing to ask
const ANSWER = 10_000; // a watch not answered by then is asked again
const REFUSED = 60_000; // how often a calendar that was refused is asked for again
const GRACE = 3_000; // a connection that comes back within this is not called offline

const NEVER = new Set([1009, 4400]); // a faulty client stays faulty when it comes back
const OVER = { 4401: "expired", 4403: "revoked" };

// How long to stay away, in milliseconds, after a close with this code: random within 0.5–30 s, the
// more attempts failed the longer. null: for good. `random` is in [0, 1).
export function delay(code, failures, random, afterMs = null) {
  if (NEVER.has(code) || code in OVER) return null;
  if (afterMs !== null) return Math.max(500, afterMs) + random * Math.max(1_000, afterMs / 2);
  if (code === 4429) return 30_000 + random * 30_000;
  const most = Math.min(30_000, 1_500 * 2 ** failures);
  return 500 + random * (most - 500);
}

export class Live extends EventTarget {
  #socket = null;
  // instructor → {first, days, epoch, version, time_zone, min_advance_minutes, content, asked,
  // refused}
  #watches = new Map();
  #failures = 0;
  #opened = 0; // how often a connection stood
  #lost = Date.now(); // since when there is none
  #heard = 0; // when the last message came
  #probed = 0; // when a probe was sent that nothing has come after
  #afterMs = null;
  #stopped = false;
  #timer = null;
  #state = "";

  constructor(address = `${location.origin.replace("http", "ws")}/live`) {
    super();
    this.address = address;
    setInterval(() => this.#look(), LOOK);
    addEventListener("offline", () => this.#socket && this.#closed(1006));
    addEventListener("online", () => this.#socket || this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
    // A page in the back-forward cache may keep no socket; it catches up when it is shown again.
    addEventListener("pagehide", () => this.#socket && this.#closed(1001));
    addEventListener("pageshow", (event) => event.persisted && (this.#socket || this.#connect()));
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get state() {
    if (!this.connected) {
      const brief = !this.#stopped && navigator.onLine && Date.now() - this.#lost < GRACE;
      return brief ? "catching up" : "offline";
    }
    const watches = [...this.#watches.values()];
    if (watches.length && watches.every((watch) => watch.refused)) return "offline";
    if (Date.now() - this.#heard > PROBE) return "catching up";
    return watches.some((watch) => watch.asked && !watch.refused) ? "catching up" : "live";
  }

  start() {
    this.#connect();
    return this;
  }

  // Follows a calendar from a first day on. `known` is a board to go on from, if there is one.
  watch(instructor, { first, days, known = {} }) {
    const watch = { first, days, content: known.days ?? {}, asked: 0, refused: 0, ...pick(known) };
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

  // A board read another way, such as from a page fetched while the socket was away. Older ones are
  // ignored.
  offer(instructor, board) {
    const watch = this.#watches.get(instructor);
    if (!watch || (watch.epoch === board.epoch && board.version <= watch.version)) return;
    const { refused } = watch;
    this.#replace(instructor, watch, board);
    if (refused) this.#ask(instructor, true);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const socket = new WebSocket(this.address, "lesson.v1");
    this.#socket = socket;
    this.#heard = Date.now();
    this.#probed = 0;
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
    for (const [instructor, watch] of this.#watches) {
      this.#ask(instructor, watch.epoch !== undefined);
    }
    // What was said since the page was drawn, or since the last connection, was said to nobody.
    this.#emit("refresh", { first: this.#opened === 1 });
    this.#announce();
  }

  #closed(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#lost = this.#lost || Date.now();
    for (const watch of this.#watches.values()) Object.assign(watch, { asked: 0, refused: 0 });
    const wait = delay(code, this.#failures, Math.random(), this.#afterMs);
    this.#failures += 1;
    if (code in OVER) this.#emit("over", { why: OVER[code] });
    if (wait === null) this.#stopped = true;
    else this.#timer = setTimeout(() => this.#connect(), wait);
    setTimeout(() => this.#announce(), GRACE + 50);
    this.#announce();
  }

  #look() {
    const past = (since) => Date.now() - since;
    const dead = this.#probed ? past(this.#probed) > PROBE_ANSWER : past(this.#heard) > SILENCE;
    if (this.#socket && dead) this.#closed(1006);
    else if (this.connected && !this.#probed && past(this.#heard) > PROBE) this.#probe();
    for (const [instructor, watch] of this.#watches) {
      const patience = watch.refused ? REFUSED : ANSWER;
      if (watch.asked && past(watch.asked) > patience) this.#ask(instructor, false);
    }
    this.#announce();
  }

  // A half-open connection looks open from here. A resume is always answered, and costs nothing
  // where nothing was missed.
  #probe() {
    for (const [instructor, watch] of this.#watches) {
      if (watch.epoch === undefined) continue;
      this.#probed = Date.now();
      this.#ask(instructor, true);
      return;
    }
  }

  #ask(instructor, resume) {
    const watch = this.#watches.get(instructor);
    const from = resume ? { epoch: watch.epoch, version: watch.version } : {};
    const { first, days } = watch;
    watch.asked = this.#send({ type: "watch", instructor, first, days, ...from }) ? Date.now() : 0;
    this.#announce();
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #received(text) {
    this.#heard = Date.now();
    this.#probed = 0;
    this.#lost = 0;
    this.#failures = 0;
    const message = JSON.parse(text);
    const watch = this.#watches.get(message.instructor);
    if (message.type === "board" && watch) this.#replace(message.instructor, watch, message);
    else if (message.type === "change" && watch) this.#change(message, watch);
    else if (message.type === "beacon") this.#beacon(message);
    else if (["booking", "refresh"].includes(message.type)) this.#emit(message.type, message);
    else if (message.type === "bye") this.#afterMs = message.after_ms;
    else if (message.type === "error" && watch) this.#refused(message, watch);
    this.#announce();
  }

  // LIMIT is about this message, UNAVAILABLE about this moment: the watch stays in force.
  #refused({ instructor, code }, watch) {
    if (["LIMIT", "UNAVAILABLE"].includes(code)) return;
    if (!watch.refused) this.#emit("refused", { instructor, code });
    watch.refused = Date.now();
  }

  #replace(instructor, watch, board) {
    // The answer to an earlier watch may still come after the days wanted have moved on.
    const meant = watch.first in board.days;
    const content = meant ? board.days : { ...watch.content, ...board.days };
    Object.assign(watch, pick(board), { content, asked: meant ? 0 : watch.asked, refused: 0 });
    this.#emit("board", { instructor, board: this.board(instructor), altered: null });
  }

  #change({ instructor, epoch, version, days }, watch) {
    if (epoch !== watch.epoch) return this.#gap(instructor, watch, false);
    if (version <= watch.version) return undefined;
    if (version !== watch.version + 1) return this.#gap(instructor, watch, true);
    watch.version = version;
    watch.content = { ...watch.content, ...days };
    const altered = Object.keys(days);
    return this.#emit("board", { instructor, board: this.board(instructor), altered });
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
    if (this.connected) this.#lost = 0;
    if (this.state === this.#state) return;
    this.#state = this.state;
    this.#emit("state", { state: this.#state });
  }
}

const pick = ({ epoch, version, time_zone, min_advance_minutes }) =>
  ({ epoch, version, time_zone, min_advance_minutes });
