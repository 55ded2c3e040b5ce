// The client of the live protocol (docs/live-protocol.md): one socket per page keeps the watched
// boards equal to the server's. Events:
//   state {state}: live · catching up · offline
//   board {instructor, board, altered}: a board changed; `altered` are days, or null for all
//   booking {event, booking}
//   refresh {first}: read the lists again; `first` on the first connection, at once
//   refused {instructor, code}: the server does not show this calendar
//   ended {reason}: the session has expired or was revoked

import { setServerTime } from "./formatting.js";

// Milliseconds.
const CHECK_EVERY = 2_000;
const PROBE_AFTER = 23_000; // of silence; the server sends something every 20 s
const PROBE_TIMEOUT = 7_000; // without an answer by then, the connection is dead
const SILENCE_TIMEOUT = 45_000; // the same for a page that watches nothing, and cannot probe
const WATCH_TIMEOUT = 10_000; // an unanswered watch is sent again
const REFUSED_RETRY = 60_000; // a refused watch is sent again
const GRACE = 3_000; // a connection lost for less than this is not called offline

const NO_RETRY = new Set([1009, 4400]); // the client is at fault, and would be again
const SESSION_ENDED = { 4401: "expired", 4403: "revoked" };

// The wait before reconnecting after a close with this code, in milliseconds: random between 0.5 s
// and a bound that grows with failures, up to 30 s. null: never reconnect. `random` is in [0, 1).
export function delay(code, failures, random, afterMs = null) {
  if (NO_RETRY.has(code) || code in SESSION_ENDED) return null;
  if (afterMs !== null) return Math.max(500, afterMs) + random * Math.max(1_000, afterMs / 2);
  if (code === 4429) return 30_000 + random * 30_000;
  const longest = Math.min(30_000, 1_500 * 2 ** failures);
  return 500 + random * (longest - 500);
}

export class Live extends EventTarget {
  #socket = null;
  // instructor → {first, days, epoch, version, time_zone, min_advance_minutes, boardDays,
  // requestedAt, refusedAt}. A time of 0 means never.
  #watches = new Map();
  #failures = 0;
  #connections = 0; // opened so far
  #isNewPage = false; // the server will answer this page's first resume with a refresh
  #lostAt = Date.now(); // 0 while connected
  #lastMessageAt = 0;
  #probedAt = 0; // 0 if no probe is unanswered
  #afterMs = null;
  #stopped = false;
  #timer = null;
  #state = "";

  constructor(address = `${location.origin.replace("http", "ws")}/live`) {
    super();
    this.address = address;
    setInterval(() => this.#check(), CHECK_EVERY);
    addEventListener("offline", () => this.#socket && this.#onClose(1006));
    addEventListener("online", () => this.#socket || this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#check());
    // The back-forward cache keeps no page with an open socket.
    addEventListener("pagehide", () => this.#socket && this.#onClose(1001));
    addEventListener("pageshow", (event) => event.persisted && (this.#socket || this.#connect()));
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get state() {
    if (!this.connected) {
      const isBrief = !this.#stopped && navigator.onLine && Date.now() - this.#lostAt < GRACE;
      return isBrief ? "catching up" : "offline";
    }
    const watches = [...this.#watches.values()];
    if (watches.length && watches.every((watch) => watch.refusedAt)) return "offline";
    if (Date.now() - this.#lastMessageAt > PROBE_AFTER) return "catching up";
    return watches.some((watch) => watch.requestedAt && !watch.refusedAt) ? "catching up" : "live";
  }

  start() {
    this.#connect();
    return this;
  }

  // Watches `days` days of a calendar from `first` on. With a `board`, resumes from its version.
  watch(instructor, { first, days, board = {} }) {
    const times = { requestedAt: 0, refusedAt: 0 };
    const watch = { first, days, boardDays: board.days ?? {}, ...times, ...header(board) };
    this.#watches.set(instructor, watch);
    this.#request(instructor, board.epoch !== undefined);
  }

  unwatch(instructor) {
    if (this.#watches.delete(instructor)) this.#send({ type: "unwatch", instructor });
    this.#emitState();
  }

  board(instructor) {
    const watch = this.#watches.get(instructor);
    return watch && { ...header(watch), days: watch.boardDays };
  }

  // Replaces a board by one read another way, such as from a page fetched while offline. Older ones
  // are ignored.
  update(instructor, board) {
    const watch = this.#watches.get(instructor);
    if (!watch || (watch.epoch === board.epoch && board.version <= watch.version)) return;
    const { refusedAt } = watch;
    this.#replace(instructor, watch, board);
    if (refusedAt) this.#request(instructor, true);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const socket = new WebSocket(this.address, "lesson.v1");
    this.#socket = socket;
    this.#lastMessageAt = Date.now();
    this.#probedAt = 0;
    // Ignore events of an abandoned socket.
    const ifCurrent = (handle) => (event) => socket === this.#socket && handle(event);
    socket.addEventListener("open", ifCurrent(() => this.#onOpen()));
    socket.addEventListener("message", ifCurrent((event) => this.#onMessage(event.data)));
    socket.addEventListener("close", ifCurrent((event) => this.#onClose(event.code)));
    this.#emitState();
  }

  #onOpen() {
    this.#lastMessageAt = Date.now();
    this.#afterMs = null;
    this.#connections += 1;
    const resumes = [...this.#watches.values()].some(({ epoch }) => epoch !== undefined);
    this.#isNewPage = this.#connections === 1 && resumes;
    for (const [instructor, watch] of this.#watches) {
      this.#request(instructor, watch.epoch !== undefined);
    }
    // Messages may have been missed since the page was drawn or the last connection was lost.
    this.#emit("refresh", { first: this.#connections === 1 });
    this.#emitState();
  }

  #onClose(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#lostAt = this.#lostAt || Date.now();
    for (const watch of this.#watches.values()) {
      Object.assign(watch, { requestedAt: 0, refusedAt: 0 });
    }
    const wait = delay(code, this.#failures, Math.random(), this.#afterMs);
    this.#failures += 1;
    if (code in SESSION_ENDED) this.#emit("ended", { reason: SESSION_ENDED[code] });
    if (wait === null) this.#stopped = true;
    else this.#timer = setTimeout(() => this.#connect(), wait);
    setTimeout(() => this.#emitState(), GRACE + 50);
    this.#emitState();
  }

  #check() {
    const since = (time) => Date.now() - time;
    const silence = since(this.#lastMessageAt);
    const isDead = this.#probedAt
      ? since(this.#probedAt) > PROBE_TIMEOUT
      : silence > SILENCE_TIMEOUT;
    if (this.#socket && isDead) this.#onClose(1006);
    else if (this.connected && !this.#probedAt && silence > PROBE_AFTER) this.#probe();
    for (const [instructor, watch] of this.#watches) {
      const timeout = watch.refusedAt ? REFUSED_RETRY : WATCH_TIMEOUT;
      if (watch.requestedAt && since(watch.requestedAt) > timeout) this.#request(instructor, false);
    }
    this.#emitState();
  }

  // A half-open connection looks open. The server answers every resume, and cheaply if nothing was
  // missed.
  #probe() {
    for (const [instructor, watch] of this.#watches) {
      if (watch.epoch === undefined) continue;
      this.#probedAt = Date.now();
      this.#request(instructor, true);
      return;
    }
  }

  #request(instructor, resume) {
    const watch = this.#watches.get(instructor);
    const position = resume ? { epoch: watch.epoch, version: watch.version } : {};
    const { first, days } = watch;
    const sent = this.#send({ type: "watch", instructor, first, days, ...position });
    watch.requestedAt = sent ? Date.now() : 0;
    this.#emitState();
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #onMessage(text) {
    this.#lastMessageAt = Date.now();
    this.#probedAt = 0;
    this.#lostAt = 0;
    this.#failures = 0;
    const message = JSON.parse(text);
    const watch = this.#watches.get(message.instructor);
    if (message.type === "board" && watch) this.#replace(message.instructor, watch, message);
    else if (message.type === "change" && watch) this.#onChange(message, watch);
    else if (message.type === "beacon") this.#onBeacon(message);
    else if (message.type === "booking") this.#emit("booking", message);
    else if (message.type === "refresh") this.#onRefresh();
    else if (message.type === "bye") this.#afterMs = message.after_ms;
    else if (message.type === "error" && watch) this.#onError(message, watch);
    this.#emitState();
  }

  // Pages that were just opened need not wait for each other.
  #onRefresh() {
    const first = this.#isNewPage;
    this.#isNewPage = false;
    this.#emit("refresh", { first });
  }

  // After LIMIT and UNAVAILABLE, the watch stays as it was.
  #onError({ instructor, code }, watch) {
    if (["LIMIT", "UNAVAILABLE"].includes(code)) return;
    if (!watch.refusedAt) this.#emit("refused", { instructor, code });
    watch.refusedAt = Date.now();
  }

  #replace(instructor, watch, board) {
    // A board for an earlier watch may arrive when the page already shows other days.
    const isCurrent = watch.first in board.days;
    const boardDays = isCurrent ? board.days : { ...watch.boardDays, ...board.days };
    const requestedAt = isCurrent ? 0 : watch.requestedAt;
    Object.assign(watch, header(board), { boardDays, requestedAt, refusedAt: 0 });
    this.#emit("board", { instructor, board: this.board(instructor), altered: null });
  }

  #onChange({ instructor, epoch, version, days }, watch) {
    if (epoch !== watch.epoch) return this.#gap(instructor, watch, false);
    if (version <= watch.version) return undefined;
    if (version !== watch.version + 1) return this.#gap(instructor, watch, true);
    watch.version = version;
    watch.boardDays = { ...watch.boardDays, ...days };
    const altered = Object.keys(days);
    return this.#emit("board", { instructor, board: this.board(instructor), altered });
  }

  #onBeacon({ now, epoch, versions }) {
    setServerTime(Date.parse(now));
    for (const [instructor, watch] of this.#watches) {
      const version = versions[instructor];
      if (epoch === watch.epoch && version === watch.version) watch.requestedAt = 0;
      else this.#gap(instructor, watch, epoch === watch.epoch && version > watch.version);
    }
  }

  // A message was missed. The answer to a pending watch fills the gap, too.
  #gap(instructor, watch, resume) {
    if (!watch.requestedAt) this.#request(instructor, resume);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #emitState() {
    if (this.connected) this.#lostAt = 0;
    if (this.state === this.#state) return;
    this.#state = this.state;
    this.#emit("state", { state: this.#state });
  }
}

const header = ({ epoch, version, time_zone, min_advance_minutes }) =>
  ({ epoch, version, time_zone, min_advance_minutes });
