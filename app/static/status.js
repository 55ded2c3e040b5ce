// The connection dot and polite announcements.

import { clock, now } from "./formatting.js";

const REFRESH_EVERY = 60_000;
const BATCH_MS = 700; // events of one kind within this time make one announcement

// Announces a sentence to screen readers. They read all of several in quick succession.
export function announce(sentence) {
  const paragraph = document.createElement("p");
  paragraph.textContent = sentence;
  document.getElementById("announcements").append(paragraph);
  setTimeout(() => paragraph.remove(), 10_000);
}

const pending = new Map(); // kind → its events: {sentence, isTrue}

// Announces an event, or several of its kind in one sentence: "2 times on Tuesday were just taken."
// `summary` makes that sentence from their number. Events that are no longer true by then are left
// out.
export function announceTogether(kind, sentence, summary, isTrue = () => true) {
  const event = { sentence, isTrue };
  if (pending.has(kind)) {
    pending.get(kind).push(event);
    return;
  }
  pending.set(kind, [event]);
  setTimeout(() => {
    const events = pending.get(kind).filter((other) => other.isTrue());
    pending.delete(kind);
    if (events.length) announce(events.length === 1 ? events[0].sentence : summary(events.length));
  }, BATCH_MS);
}

// The session has ended. On a shared computer, somebody else may be looking. Forms with unsent text
// stay.
export function endSession() {
  document.documentElement.dataset.session = "ended";
  for (const dialog of document.querySelectorAll("dialog[data-personal]")) dialog.close();
  const notice = document.getElementById("session-ended");
  notice.hidden = false;
  // Scripts may have changed the address since the server drew the link.
  const next = location.pathname + location.search;
  notice.querySelector("a").href = `/login?${new URLSearchParams({ next })}`;
}

// Shows the state of the connection. While offline, `refresh` (a Refresh) reads the page each
// minute. While it is behind, the page is not live.
export function follow(live, refresh) {
  const dot = document.getElementById("live");
  const { zone } = dot.dataset;
  let announced = "live";
  let asOf = now();

  const show = () => {
    const state = live.state === "live" && refresh.isBehind ? "catching up" : live.state;
    if (state === "live") asOf = now();
    dot.dataset.state = state;
    const text = state === "offline" ? `offline · as of ${clock(asOf, zone)}` : state;
    document.getElementById("live-text").textContent = text;
    if (state === "offline" && announced === "live" && !live.connected) {
      announced = state;
      announce("Connection lost. This page refreshes every minute, and forms still work.");
    } else if (state === "live" && announced === "offline") {
      announced = state;
      announce("Connected again.");
    }
  };

  const read = async () => {
    if (live.state !== "offline") return;
    if (await refresh.now()) asOf = now();
    show();
  };

  live.addEventListener("state", show);
  refresh.addEventListener("change", show);
  live.addEventListener("ended", ({ detail: { reason } }) => {
    endSession();
    const sentence = reason === "expired" ? "Your session has ended." : "You were signed out.";
    announce(`${sentence} Sign in again.`);
  });
  setInterval(read, REFRESH_EVERY);
  show();
}
