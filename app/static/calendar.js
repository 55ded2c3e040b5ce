// /teach/calendar: a week's hours, edited in a grid or in a list and saved in one call with the
// version they are based on.

import { Grid, loadLibrary } from "./grid.js";
import { DayList } from "./day_list.js";
import { askToLeave, compare, editRange } from "./dialogs.js";
import { longDay, setServerTime } from "./formatting.js";
import { describer } from "./incoming.js";
import { Live } from "./live.js";
import { Week, proposal } from "./ranges.js";
import { Refresh, readPage } from "./refresh.js";
import { SaveBar } from "./save_bar.js";
import { announce, announceTogether, follow } from "./status.js";
import { Tools, send } from "./tools.js";

const WIDE = matchMedia("(min-width: 700px)");
const DRAFT = "week-draft"; // a week with unsaved changes, and whose it is
const REFRESH_MS = 10 * 60_000; // because no message says that time has passed
const root = document.getElementById("calendar");
const { instructor, zone } = root.dataset;
const live = new Live();
const refresh = new Refresh(async () => update(await readPage()));
const bar = new SaveBar({ onSave: () => save(), onDiscard: discard, onUndo: undo });

let address; // of the shown week
let data;
let week;
let list;
let grid = null;
let undoable = null; // {start, days} before the last save
let isSaving = false;

const find = (selector) => root.querySelector(selector);
const isSignedOut = () => document.documentElement.dataset.session === "ended";
const dataOf = (page) => JSON.parse(page.getElementById("page-data").textContent);

// ---- the page: drawn by the server, also for another week

function begin() {
  data = dataOf(document);
  setServerTime(Date.parse(data.now));
  week = new Week(data.week, find("#view").dataset.today);
  restoreDraft();
  // An address without a week means another one from Monday on.
  address = `${location.pathname}?week=${week.start}`;
  history.replaceState(null, "", address);
  list = new DayList(find("#days"), {
    week, onEdit: draw, onCopy: open, onReopen: edit.reopen,
  });
  grid?.destroy();
  grid = null;
  live.watch(instructor, { first: week.start, days: 7 });
  prepareTools();
  draw();
  showView();
}

// Unsaved changes survive leaving the page to sign in again.
function keepDraft() {
  if (!isSignedOut() || !week.isChanged) return;
  const { start, version, saved, days } = week;
  sessionStorage.setItem(DRAFT, JSON.stringify({ instructor, start, version, saved, days }));
}

function restoreDraft() {
  const draft = JSON.parse(sessionStorage.getItem(DRAFT));
  sessionStorage.removeItem(DRAFT);
  if (draft?.instructor !== instructor || draft.start !== week.start) return;
  const { start, version, saved, days } = draft;
  week = new Week({ start, version, days: saved }, week.today);
  week.days = days;
  week.refresh(data.week);
}

function draw() {
  if (!find("#grid-area").hidden) week.normalize();
  list.draw();
  grid?.draw(data);
  const isEmpty = Object.values(week.days).every((ranges) => !ranges.length);
  find("#no-hours").hidden = !isEmpty || !week.editable.length;
  showState();
}

function showState() {
  bar.show({ week, isSaving, canUndo: undoable?.start === week.start });
}

// Replaces the parts of the page that are not in use by those of a new copy of it. Edits stay.
// `isOwn`: a tool of this page caused the change.
function update(page, { isOwn = false } = {}) {
  const fresh = dataOf(page);
  if (fresh.week.start !== week.start) return;
  data = fresh;
  week.today = page.getElementById("view").dataset.today;
  setServerTime(Date.parse(fresh.now));
  if (week.refresh(fresh.week) && !isOwn) announce("Your hours were changed in another window.");
  for (const item of page.querySelectorAll("#days > [data-day]")) {
    const old = document.getElementById(item.id);
    const isTyping = old.contains(document.activeElement);
    if (!isTyping) old.replaceWith(document.adoptNode(item));
  }
  for (const tool of page.querySelectorAll(".tool")) {
    const old = document.getElementById(tool.id);
    const isInUse = old.open || old.contains(document.activeElement);
    if (!isInUse) old.replaceWith(document.adoptNode(tool));
  }
  prepareTools();
  find("#edited").replaceWith(document.adoptNode(page.getElementById("edited")));
  draw();
}

async function show(target, { push }) {
  const view = find("#view");
  view.setAttribute("aria-busy", "true");
  const focused = document.activeElement?.id;
  try {
    const response = await fetch(target, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok || response.redirected) throw new Error(`${response.status}`);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    view.replaceWith(document.adoptNode(page.getElementById("view")));
  } catch {
    view.removeAttribute("aria-busy");
    return bar.fail("We couldn’t load that week. Check your connection, then try again.");
  }
  if (push) history.pushState(null, "", target);
  bar.clear();
  begin();
  document.getElementById(focused)?.focus();
  return announce(find("#week").textContent);
}

// Asks whether to save or discard unsaved changes. Resolves to whether none are left.
async function resolveChanges() {
  if (!week.isChanged) return true;
  const choice = await askToLeave(week.changed.length);
  if (choice === "save") return save();
  if (choice === "discard") discard();
  return choice === "discard";
}

async function onLink(event) {
  const link = event.target.closest('a[href^="/teach/calendar"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (await resolveChanges()) await show(link.href, { push: true });
}

async function onHistory() {
  const target = location.pathname + location.search;
  if (target === address) return;
  if (week.isChanged) {
    history.pushState(null, "", address);
    if (await resolveChanges()) await show(target, { push: true });
  } else {
    await show(target, { push: false });
  }
}

// ---- saving

// Resolves to whether the week was saved.
async function save() {
  if (isSaving) return false;
  if (!week.isChanged) return true;
  const { body } = week;
  const sent = structuredClone(week.days);
  const before = Object.fromEntries(Object.keys(body.days).map((day) => [day, week.saved[day]]));
  list.clearErrors();
  bar.clear();
  isSaving = true;
  showState();
  const { content, error } = await send("PUT", "/api/availability/week", body);
  isSaving = false;
  if (content) {
    week.accept(content, sent);
    undoable = { start: week.start, days: before };
    bar.done("Saved. Students see your new hours now.");
    draw();
    refresh.now();
    return true;
  }
  showState();
  if (error.code === "VERSION_CONFLICT") return resolveConflict(error.week);
  const [, day, index, edge] = (error.field ?? "").split(".");
  if (day) {
    // The list may have ranges in another order.
    const sentEdge = body.days[day]?.[index]?.[edge];
    const row = week.days[day]?.findIndex((range) => range[edge] === sentEdge);
    list.showError({ day, index: row, edge, detail: error.detail });
  }
  bar.fail(error.detail);
  return false;
}

async function resolveConflict(current) {
  const choice = await compare(week, current);
  if (choice === "mine") {
    week.rebase(current);
    if (week.isChanged) return save();
    bar.done("Both versions are the same now.");
  } else if (choice === "current") {
    week.discard();
    week.accept(current);
    bar.done("This is the week that was saved in the other window.");
  } else {
    week.isOutdated = true;
  }
  draw();
  return choice === "current";
}

function discard() {
  week.discard();
  bar.clear();
  list.clearErrors();
  draw();
  announce("Your changes were discarded.");
}

async function undo() {
  const { days } = undoable;
  undoable = null;
  for (const [day, ranges] of Object.entries(days)) week.set(day, structuredClone(ranges));
  draw();
  if (await save()) {
    undoable = null;
    bar.done("The last save was undone.");
    draw();
  }
}

// ---- editing

const without = (day, range) =>
  week.days[day].filter(({ start, end }) => start !== range.start || end !== range.end);

const edit = {
  add(day, range) {
    week.add(day, range);
    draw();
  },
  replace(day, range, { day: target, start, end }) {
    week.set(day, without(day, range));
    week.add(target, { start, end });
    draw();
  },
  remove(day, range) {
    week.set(day, without(day, range));
    draw();
    announce("Removed. Save the week to keep this change.");
  },
  open: (day, range) => open(day, range),
  create(day) {
    const range = proposal(week.days[day]);
    if (range) open(day, range, { isNew: true });
    else announce("This day is full.");
  },
  // The focus moves to the day, since its button is gone.
  async reopen(day) {
    const { error } = await send("DELETE", `/api/availability/blackouts/${day}`);
    if (error) return bar.fail(error.detail);
    await done(null, `${longDay(day)} is open again.`);
    const adds = [find(`.add-hours[data-of="${day}"]`), find(`#day-${day} [data-add]`)];
    return adds.find((add) => add?.checkVisibility())?.focus();
  },
};

async function open(day, range, options) {
  const result = await editRange(week, day, range, options);
  if (!result) return;
  if (!options?.isNew) week.set(day, without(day, range));
  if (result.action === "done") {
    for (const each of result.days) week.add(each, { start: result.start, end: result.end });
  }
  draw();
  grid?.focus(day, result);
}

function clear() {
  for (const day of week.editable) week.set(day, []);
  draw();
  bar.focus();
}

// ---- grid and list

async function showView() {
  const isGrid = WIDE.matches && localStorage.getItem("calendar-view") !== "list";
  for (const button of root.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String((button.dataset.view === "grid") === isGrid));
  }
  find("#views").hidden = !WIDE.matches;
  const area = find("#grid-area");
  if (isGrid && !grid) {
    try {
      await loadLibrary(root.dataset);
    } catch {
      find("#days").dataset.ready = "";
      return bar.fail("We couldn’t load the grid. The list below does the same.");
    }
    if (!grid && area.isConnected) {
      area.hidden = false;
      grid = new Grid(area.firstElementChild, { week, zone, edit });
      draw();
    }
  }
  area.hidden = !isGrid;
  find("#days").hidden = isGrid && Boolean(grid);
  find("#days").dataset.ready = "";
  return undefined;
}

// Shows what a tool has changed, or a button of a day.
async function done(tool, sentence) {
  if (tool) tool.open = false;
  document.activeElement.blur();
  try {
    update(await readPage(), { isOwn: true });
  } catch {
    refresh.soon();
  }
  const summary = tool && document.getElementById(tool.id).querySelector("summary");
  if (document.activeElement === document.body) summary?.focus();
  bar.done(sentence);
  showState();
}

function prepareTools() {
  find("#views").hidden = !WIDE.matches;
  for (const button of root.querySelectorAll("[data-preview] button")) {
    button.textContent = "Preview";
  }
  for (const form of root.querySelectorAll("[data-reopen][hidden]")) form.hidden = false;
}

root.addEventListener("click", (event) => {
  const { view } = event.target.closest("[data-view]")?.dataset ?? {};
  if (!view) return onLink(event);
  localStorage.setItem("calendar-view", view);
  return showView();
});
addEventListener("popstate", onHistory);
addEventListener("beforeunload", (event) => {
  if (week.isChanged && !isSignedOut()) event.preventDefault();
});
addEventListener("pagehide", keepDraft);
WIDE.addEventListener("change", showView);
new Tools(root, {
  begin: () => {
    bar.clear();
    showState();
  },
  resolveChanges,
  clear,
  pattern: () => week.saved,
  done,
});
live.addEventListener("booking", ({ detail }) => {
  const announcement = describer(instructor, zone)(detail);
  const kind = `${detail.event} ${detail.booking.state}`;
  if (announcement) announceTogether(kind, announcement.sentence, announcement.summary);
  refresh.now();
});
live.addEventListener("board", ({ detail: { board, altered } }) => {
  const isKnown = !isSaving && board.version === week.version;
  if (!isKnown && altered?.length !== 0) refresh.now();
});
live.addEventListener("refresh", ({ detail }) => (detail.first ? refresh.now() : refresh.soon()));
follow(live, refresh);
setInterval(() => refresh.now(), REFRESH_MS);
begin();
live.start();
