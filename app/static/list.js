// Keeps a list of lessons up to date. The server draws it again; changed rows are replaced.
// Unchanged rows keep their element, with open details, typed text and focus.

import { Refresh, readPage } from "./refresh.js";
import { announceTogether } from "./status.js";

const MARK_MS = 30_000; // a new lesson is marked this long
// Lessons start and end, and days pass, without a message.
const REFRESH_EVERY = 10 * 60_000;

class List {
  #region = document.getElementById("lessons");
  #serverRows = null; // id → the HTML of a row as the server drew it
  #html = "";

  constructor() {
    this.#serverRows = htmlOf(this.#region);
    this.#html = this.#region.outerHTML;
  }

  async read() {
    const page = await readPage();
    const region = document.adoptNode(page.getElementById("lessons"));
    // On /teach the heading is the day.
    document.querySelector("h1").textContent = page.querySelector("h1").textContent;
    if (region.outerHTML === this.#html) return;
    const newRows = htmlOf(region);
    this.#html = region.outerHTML;
    const restoreFocus = rememberFocus(this.#region);
    for (const row of rows(region)) {
      const old = document.getElementById(row.id);
      if (old && this.#serverRows.get(row.id) === newRows.get(row.id)) row.replaceWith(old);
      else if (old?.dataset.state !== row.dataset.state) highlight(row);
    }
    this.#region.replaceWith(region);
    this.#region = region;
    this.#serverRows = newRows;
    restoreFocus();
  }
}

// Marks a new lesson for a while.
export function highlight(row) {
  const tag = row.querySelector(".tag.confirmed");
  const text = tag?.textContent;
  row.classList.add("new");
  if (tag) tag.textContent = "just booked";
  setTimeout(() => {
    row.classList.remove("new");
    if (tag) tag.textContent = text;
  }, MARK_MS);
}

const rows = (region) => [...region.querySelectorAll("[data-state]")];
const htmlOf = (region) => new Map(rows(region).map((row) => [row.id, row.outerHTML]));

// The result gives the focus back to the focused element, or else to its row.
function rememberFocus(region) {
  const focused = document.activeElement;
  if (!region.contains(focused)) return () => {};
  const row = focused.closest("[data-state]")?.id;
  return () => {
    const control = row && document.getElementById(row)?.querySelector("summary, a, button");
    const target = focused.isConnected ? focused : control ?? document.getElementById("main");
    target.focus({ preventScroll: true });
  };
}

// Connects the list to the live connection. `describe` turns a booking message into
// {sentence, summary} for announceTogether, or returns null.
export function followBookings(live, describe) {
  const list = new List();
  const refresh = new Refresh(() => list.read());
  live.addEventListener("booking", ({ detail }) => {
    const announcement = describe(detail);
    const kind = `${detail.event} ${detail.booking.state}`;
    if (announcement) announceTogether(kind, announcement.sentence, announcement.summary);
    refresh.now();
  });
  live.addEventListener("refresh", ({ detail }) => (detail.first ? refresh.now() : refresh.soon()));
  setInterval(() => refresh.now(), REFRESH_EVERY);
  return refresh;
}
