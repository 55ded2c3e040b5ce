// What the page says about itself: the connection dot, polite announcements, and its own data read again while offline.

import { clock, now } from "./clock.js";

const EVERY = 60_000;

// Says a sentence to whoever listens instead of looking. Sentences that come close together are all heard.
export function announce(sentence) {
  const line = document.createElement("p");
  line.textContent = sentence;
  document.getElementById("announcements").append(line);
  setTimeout(() => line.remove(), 10_000);
}

// Keeps the dot true. `refresh` reads the page's data another way; it is called each minute while there is no connection.
export function follow(live, refresh) {
  const dot = document.getElementById("live");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  let told = "live";
  let asOf = now();

  const show = () => {
    const { state } = live;
    if (state === "live") asOf = now();
    dot.dataset.state = state;
    document.getElementById("live-words").textContent = state === "offline" ? `offline · as of ${clock(asOf, zone)}` : state;
    if (state === "offline" && told === "live") {
      told = state;
      announce("The connection is lost. What you see is read again every minute, and forms still work.");
    } else if (state === "live" && told === "offline") {
      told = state;
      announce("Live again.");
    }
  };

  const read = async () => {
    if (live.state !== "offline") return;
    try {
      await refresh();
      asOf = now();
    } catch {
      // Still unreachable: the dot says so, and the next minute tries again.
    }
    show();
  };

  live.addEventListener("state", show);
  live.addEventListener("over", ({ detail: { why } }) => {
    document.getElementById("over").hidden = false;
    announce(why === "expired" ? "Your session has ended. Please sign in again." : "You were signed out. Please sign in again.");
  });
  setInterval(read, EVERY);
  show();
}

// This page as the server would draw it now. Throws where the server cannot be reached or refuses.
export async function again(signal = AbortSignal.timeout(10_000)) {
  const response = await fetch(location.href, { headers: { accept: "text/html" }, signal });
  if (!response.ok || response.redirected) throw new Error(`the page answered ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}
