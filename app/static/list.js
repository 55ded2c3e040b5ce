// Keeps a list of lessons up to date. The server draws it again; changed rows are replaced.
// Unchanged rows keep their element. Changed ones keep open details, typed text and the focus.

import { now, plural } from "./formatting.js";
import { Refresh, readPage } from "./refresh.js";
import { announce, announceTogether } from "./status.js";

const MARK_MS = 30_000; // a new lesson is marked this long
const REFRESH_EVERY = 10 * 60_000;
const TICK_MS = 15_000;

// The notices about the last change, as long as they apply, and the hours of the next days.
const ASIDES = ["notices", "hours"];

class List {
  #region = document.getElementById("lessons");
  #serverRows = null; // id → the HTML of a row as the server drew it
  #html = "";
  #asides = new Map(); // id → the HTML of a part beside the list, as the server drew it
  #pages = 1; // shown so far
  #isGrowing = false;
  #onLost;

  constructor(onLost) {
    this.#onLost = onLost;
    this.#serverRows = htmlOf(this.#region);
    this.#html = html(this.#region);
    for (const id of ASIDES) this.#asides.set(id, html(document.getElementById(id)));
  }

  // Reads one more page of the list. `refresh` runs `read`.
  async grow(refresh) {
    this.#pages += 1;
    this.#isGrowing = true;
    const worked = await refresh.now();
    this.#isGrowing = false;
    if (!worked) this.#pages -= 1;
    return worked;
  }

  async read() {
    const page = await readPage();
    const region = document.adoptNode(page.getElementById("lessons"));
    for (let count = 1; count < this.#pages && region.querySelector("#more"); count += 1) {
      append(region, await readPage(region.querySelector("#more").href));
    }
    // On /teach the heading is the day.
    document.querySelector("h1").textContent = page.querySelector("h1").textContent;
    for (const id of ASIDES) this.#drawAside(id, page.getElementById(id));
    if (html(region) === this.#html) return;
    const newRows = htmlOf(region);
    this.#html = html(region);
    const restoreFocus = rememberFocus(this.#region);
    const lost = rows(this.#region).filter((row) => isLost(row, region));
    for (const row of rows(region)) {
      const old = document.getElementById(row.id);
      if (old && this.#serverRows.get(row.id) === newRows.get(row.id)) {
        row.replaceWith(old);
        continue;
      }
      if (old) keepState(old, row);
      if (this.#isGrowing) continue;
      if (old?.dataset.state !== row.dataset.state) highlight(row);
      else if (startOf(old) !== startOf(row)) highlight(row, "just moved");
    }
    this.#region.replaceWith(region);
    this.#region = region;
    this.#serverRows = newRows;
    restoreFocus();
    if (lost.length) this.#onLost(lost.map(({ id }) => id.replace("booking-", "")));
  }

  #drawAside(id, aside) {
    if (!aside || html(aside) === this.#asides.get(id)) return;
    this.#asides.set(id, html(aside));
    const old = document.getElementById(id);
    const restoreFocus = old ? rememberFocus(old) : () => {};
    old?.replaceWith(document.adoptNode(aside));
    restoreFocus();
  }
}

// Appends the next page of the list to a region.
function append(region, page) {
  region.querySelector("#more").parentElement.remove();
  for (const part of page.getElementById("lessons").querySelectorAll(".group, .more-lessons")) {
    const { group } = part.dataset;
    const same = group && region.querySelector(`[data-group="${group}"] .rows`);
    if (same) same.append(...part.querySelector(".rows").children);
    else region.append(document.adoptNode(part));
  }
}

// Gives a row that is drawn again the open details and the typed text of the old one.
function keepState(old, row) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = row.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  for (const field of old.querySelectorAll("input[id], textarea[id]")) {
    const same = row.querySelector(`#${CSS.escape(field.id)}`);
    if (same && field.value !== field.defaultValue) same.value = field.value;
  }
}

// Whether a confirmed lesson is no longer in the list at its time.
function isLost(row, region) {
  if (row.dataset.state !== "confirmed") return false;
  const same = region.querySelector(`#${CSS.escape(row.id)}`);
  return !same || same.dataset.state === "cancelled" || startOf(same) !== startOf(row);
}

const startOf = (row) => row.querySelector("time")?.dateTime;

// Marks a new or changed lesson for a while.
export function highlight(row, words = "just booked") {
  const tag = row.querySelector(".tag.confirmed");
  const text = tag?.textContent;
  row.classList.add("new");
  if (tag) tag.textContent = words;
  setTimeout(() => {
    row.classList.remove("new");
    if (tag) tag.textContent = text;
  }, MARK_MS);
}

const rows = (region) => [...region.querySelectorAll("[data-state]")];
const htmlOf = (region) => new Map(rows(region).map((row) => [row.id, html(row)]));
// Without the keys of forms, which are always new, and without what the viewer has opened.
const html = (element) =>
  element?.outerHTML.replaceAll(/name="_idempotency_key"\s+value="[^"]*"| open=""/g, "");

// The result gives the focus back to the focused element, or else to its row.
function rememberFocus(region) {
  const focused = document.activeElement;
  if (!region.contains(focused)) return () => {};
  const row = focused.closest("[data-state]")?.id;
  return () => {
    const same = focused.id && document.getElementById(focused.id);
    const control = row && document.getElementById(row)?.querySelector("summary, a, button");
    const other = same || control || document.getElementById("main");
    const target = focused.isConnected ? focused : other;
    target.focus({ preventScroll: true });
  };
}

// Connects the list to the live connection. `describe` turns a booking message into
// {sentence, summary} for announceTogether, or returns null. `onLost` gets the ids of lessons that
// are no longer in the list at their time.
export function followBookings(live, describe, onLost = () => {}) {
  showLinkedLesson();
  const list = new List(onLost);
  const refresh = new Refresh(() => list.read());
  live.addEventListener("booking", ({ detail }) => {
    const announcement = describe(detail);
    const kind = `${detail.event} ${detail.booking.state}`;
    if (announcement) announceTogether(kind, announcement.sentence, announcement.summary);
    refresh.now();
  });
  live.addEventListener("refresh", ({ detail }) => (detail.first ? refresh.now() : refresh.soon()));
  setInterval(() => refresh.now(), REFRESH_EVERY);
  // Lessons start and end, and days begin, without any message from the server.
  setInterval(() => {
    const { changesAt } = document.getElementById("lessons").dataset;
    // Pages that share a moment, such as midnight, do not share the phase of this timer.
    if (Date.parse(changesAt) <= now() && !refresh.isBehind) refresh.now();
  }, TICK_MS);
  showMore(list, refresh);
  return refresh;
}

// A link to a lesson that is not in the list: the server shows what has become of it.
function showLinkedLesson() {
  const { hash, pathname, search } = location;
  if (!hash.startsWith("#booking-") || document.getElementById(hash.slice(1))) return;
  const lesson = hash.replace("#booking-", "");
  if (!new URLSearchParams(search).has("lesson")) {
    location.replace(`${pathname}?${new URLSearchParams({ lesson })}${hash}`);
  }
}

// "Show more" appends the next page in place, and the focus goes to its first lesson.
function showMore(list, refresh) {
  document.addEventListener("click", async (event) => {
    const { target, ctrlKey, metaKey, shiftKey } = event;
    if (target.id !== "more" || ctrlKey || metaKey || shiftKey) return;
    event.preventDefault();
    const before = new Set([...document.querySelectorAll("#lessons [data-state]")].map(idOf));
    if (!await list.grow(refresh)) {
      location.assign(target.href);
      return;
    }
    const added = [...document.querySelectorAll("#lessons [data-state]")]
      .filter((row) => !before.has(row.id));
    added[0]?.querySelector("a, summary").focus();
    announce(`${plural(added.length, "more lesson")}.`);
  });
}

const idOf = ({ id }) => id;
