// A list of lessons that keeps itself up to date: the server draws it anew, and what has changed
// takes its place. A row that is the same stays the very element it was, with its open details, what
// is typed in it, and the focus.

import { Refresh, readPage } from "./refresh.js";
import { announce } from "./status.js";

const MARKED = 30_000;
const EVERY = 10 * 60_000; // lessons begin and end, and days pass, without anyone telling

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
    document.querySelector("h1").textContent = page.querySelector("h1").textContent; // on /teach it is the day
    if (region.outerHTML === this.#html) return;
    const drawnNow = drawn(region);
    this.#html = region.outerHTML;
    const giveBack = focusIn(this.#region);
    for (const row of rows(region)) {
      const old = document.getElementById(row.id);
      if (old && this.#drawn.get(row.id) === drawnNow.get(row.id)) row.replaceWith(old);
      else if (old?.dataset.state !== row.dataset.state) highlight(row);
    }
    this.#region.replaceWith(region);
    this.#region = region;
    this.#drawn = drawnNow;
    giveBack();
  }
}

// What is new is marked for a while, quietly.
export function highlight(row) {
  const tag = row.querySelector(".tag.confirmed");
  const words = tag?.textContent;
  row.classList.add("new");
  if (tag) tag.textContent = "just booked";
  setTimeout(() => {
    row.classList.remove("new");
    if (tag) tag.textContent = words;
  }, MARKED);
}

const rows = (region) => [...region.querySelectorAll("[data-state]")];
const drawn = (region) => new Map(rows(region).map((row) => [row.id, row.outerHTML]));

// Remembers what has the focus, and gives it back to it, or to what stands in its place.
function focusIn(region) {
  const focused = document.activeElement;
  if (!region.contains(focused)) return () => {};
  const row = focused.closest("[data-state]")?.id;
  return () => {
    const place = row && document.getElementById(row)?.querySelector("summary, a, button");
    (focused.isConnected ? focused : place ?? document.getElementById("main")).focus({ preventScroll: true });
  };
}

// Wires a list to the live connection. `sentence` words a booking message, or gives nothing where it
// needs no words.
export function keep(live, sentence) {
  const list = new List();
  const refresh = new Refresh(() => list.read());
  live.addEventListener("booking", ({ detail }) => {
    const words = sentence(detail);
    if (words) announce(words);
    refresh.now();
  });
  live.addEventListener("refresh", ({ detail }) => (detail.first ? refresh.now() : refresh.soon()));
  setInterval(() => refresh.now(), EVERY);
  return refresh;
}
