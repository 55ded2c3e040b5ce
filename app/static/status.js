// What the page says about itself: the connection dot and polite announcements.

import { clock, now } from "./clock.js";

const EVERY = 60_000;

// Says a sentence to whoever listens instead of looking. Sentences that come close together are all heard.
export function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  document.getElementById("announcements").append(line);
  setTimeout(() => line.remove(), 10_000);
}

// Keeps the dot true. `refresh` (a Refresh) reads the page's data another way: each minute while
// there is no connection. While it is behind, what is shown is not live.
export function follow(live, refresh) {
  const dot = document.getElementById("live");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let told = "live";
  let asOf = now();

  const show = () => {
    const state = live.state === "live" && refresh.behind ? "catching up" : live.state;
    if (state === "live") asOf = now();
    dot.dataset.state = state;
    const words = state === "offline" ? `offline · as of ${clock(asOf, zone)}` : state;
    document.getElementById("live-words").textContent = words;
    if (state === "offline" && told === "live" && !live.connected) {
      told = state;
      announce("The connection is lost. What you see is read again every minute, and forms still work.");
    } else if (state === "live" && told === "offline") {
      told = state;
      announce("Live again.");
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
    const how = why === "expired" ? "Your session has ended." : "You were signed out.";
    announce(`${how} Please sign in again.`);
  });
  setInterval(read, EVERY);
  show();
}
