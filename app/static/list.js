// A list of lessons that stays up to date: the server draws it again, and changed rows replace the
// old ones. An unchanged row stays the same element, with its open details, typed text and focus.

import { Refresh, readPage } from "./refresh.js";
import { announceTogether } from "./status.js";

const MARK_MS = 30_000; // how long a new lesson is marked
const REFRESH_EVERY = 10 * 60_000; // lessons start and end, and days pass, without a message

class List {
  #region = document.getElementById("lessons");
  #drawn = null; // id → the row as the server drew it, before anyone opened or typed anything
  #html = "";

  constructor() {
    this.#drawn = drawn(this.#region);
    this.#html = this.#region.outerHTML;
  }

  async read() {
    const page = await readPage();
    const region = document.adoptNode(page.getElementById("lessons"));
    // On /teach the heading is the day.
    document.querySelector("h1").textContent = page.querySelector("h1").textContent;
    if (region.outerHTML === this.#html) return;
    const drawnNow = drawn(region);
    this.#html = region.outerHTML;
    const restoreFocus = focusIn(this.#region);
    for (const row of rows(region)) {
      const old = document.getElementById(row.id);
      if (old && this.#drawn.get(row.id) === drawnNow.get(row.id)) row.replaceWith(old);
      else if (old?.dataset.state !== row.dataset.state) highlight(row);
    }
    this.#region.replaceWith(region);
    this.#region = region;
    this.#drawn = drawnNow;
    restoreFocus();
  }
}

// Marks a new lesson for a while.
export function highlight(row) {
  const tag = row.querySelector(".tag.confirmed");
  const words = tag?.textContent;
  row.classList.add("new");
  if (tag) tag.textContent = "just booked";
  setTimeout(() => {
    row.classList.remove("new");
    if (tag) tag.textContent = words;
  }, MARK_MS);
}

const rows = (region) => [...region.querySelectorAll("[data-state]")];
const drawn = (region) => new Map(rows(region).map((row) => [row.id, row.outerHTML]));

// Remembers the focused element. The result gives the focus back to it, or to its row.
function focusIn(region) {
  const focused = document.activeElement;
  if (!region.contains(focused)) return () => {};
  const row = focused.closest("[data-state]")?.id;
  return () => {
    const control = row && document.getElementById(row)?.querySelector("summary, a, button");
    const target = focused.isConnected ? focused : control ?? document.getElementById("main");
    target.focus({ preventScroll: true });
  };
}

// Connects a list to the live connection. `describe` words a booking message as
// {sentence, summary}, or returns null; several messages of a kind are announced as one.
export function keep(live, describe) {
  const list = new List();
  const refresh = new Refresh(() => list.read());
  live.addEventListener("booking", ({ detail }) => {
    const news = describe(detail);
    const kind = `${detail.event} ${detail.booking.state}`;
    if (news) announceTogether(kind, news.sentence, news.summary);
    refresh.now();
  });
  live.addEventListener("refresh", ({ detail }) => (detail.first ? refresh.now() : refresh.soon()));
  setInterval(() => refresh.now(), REFRESH_EVERY);
  return refresh;
}
