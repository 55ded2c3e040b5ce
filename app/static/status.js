// The connection dot and polite announcements.

import { clock, now } from "./formatting.js";

const REFRESH_EVERY = 60_000;
const GATHER = 700; // events of one kind within this time make one announcement

// Tells screen readers. Sentences that come close together are all read out.
export function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  document.getElementById("announcements").append(line);
  setTimeout(() => line.remove(), 10_000);
}

const pending = new Map(); // kind → the sentences of its events

// Announces an event, or the sum of several of its kind: "2 times on Tuesday were just taken."
// `summary` words a number of them.
export function announceTogether(kind, sentence, summary) {
  const sentences = pending.get(kind);
  if (sentences) {
    sentences.push(sentence);
    return;
  }
  const first = [sentence];
  pending.set(kind, first);
  setTimeout(() => {
    pending.delete(kind);
    announce(first.length === 1 ? sentence : summary(first.length));
  }, GATHER);
}

// Keeps the dot true. `refresh` (a Refresh) reads the page's data another way: each minute while
// there is no connection. While it is behind, what is shown is not live.
export function follow(live, refresh) {
  const dot = document.getElementById("live");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let announced = "live";
  let asOf = now();

  const show = () => {
    const state = live.state === "live" && refresh.behind ? "catching up" : live.state;
    if (state === "live") asOf = now();
    dot.dataset.state = state;
    const words = state === "offline" ? `offline · as of ${clock(asOf, zone)}` : state;
    document.getElementById("live-words").textContent = words;
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
  live.addEventListener("over", ({ detail: { why } }) => {
    document.getElementById("over").hidden = false;
    const reason = why === "expired" ? "Your session has ended." : "You were signed out.";
    announce(`${reason} Sign in again.`);
  });
  setInterval(read, REFRESH_EVERY);
  show();
}
