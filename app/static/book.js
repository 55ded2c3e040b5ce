// /book/{id}: counts down to the end of the hold, and keeps the page up to date. The server draws
// every stage; this script replaces what has changed, and keeps what was typed.

import { attempt } from "./attempt.js";
import { hint, now, setServerTime } from "./formatting.js";
import { Live } from "./live.js";
import { Refresh, readPage } from "./refresh.js";
import { announce, follow } from "./status.js";

const URGENT = 60_000; // less than this is left: the countdown turns amber
const BUSY_AFTER_MS = 300; // the button says "Booking…" after this long
const FIELDS = ["location_type", "location", "note"];
const UNREACHABLE = "We couldn’t reach the server. Try again. You won’t be booked twice.";

const readData = (page) => JSON.parse(page.getElementById("page-data").textContent);

let data = readData(document);
let isSending = false;
let isWarned = false; // the last minute was announced
setServerTime(Date.parse(data.now));

const send = attempt();
const live = new Live();
const refresh = new Refresh(read);
const storageKey = `book ${data.id}`;
const element = (id) => document.getElementById(id);
const field = (name) => element("details").elements.namedItem(name);

// ---- drawing what the server says

async function read() {
  if (isSending) return;
  draw(await readPage());
}

function draw(page) {
  const newData = readData(page);
  setServerTime(Date.parse(newData.now));
  const hasForm = element("details") && page.getElementById("details");
  const isNewStage = newData.stage !== data.stage;
  const isExtended = newData.held_until !== data.held_until;
  data = newData;
  if (isExtended) isWarned = false;
  document.title = page.title;
  if (!hasForm) replace("book", page);
  else for (const id of ["state", "actions", "summary"]) replace(id, page);
  if (hasForm && !page.getElementById("give-up")) element("give-up")?.remove();
  showHint();
  element("book").dataset.stage = data.stage;
  if (isNewStage) {
    showError("");
    announce([element("title").textContent, element("reason")?.textContent ?? ""].join(". "));
    if (!hasForm) element("title").focus();
  }
  watch();
  tick();
}

// Replaces an element by the page's, if it is different. The focus stays on the same control.
function replace(id, page) {
  const [old, other] = [element(id), page.getElementById(id)];
  if (served.get(id) === htmlOf(other)) return;
  served.set(id, htmlOf(other));
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const added = document.adoptNode(other);
  old.replaceWith(added);
  if (!focused) return;
  const target = (focused.id && element(focused.id)) || element("alternatives")?.firstElementChild;
  (target ?? element("title")).focus({ preventScroll: true });
}

// The server knows the account's time zone, and the device may be in another.
function showHint() {
  const device = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const own = hint(Date.parse(data.start), data.zone, device);
  if (!own || element("when").querySelector("small")) return;
  const textContent = `${own} your time`;
  element("when").append(Object.assign(document.createElement("small"), { textContent }));
}

// Without the keys of forms, which are always new.
function htmlOf(node) {
  return node?.outerHTML.replaceAll(/ name="_idempotency_key"\s+value="[^"]*"/g, "");
}

// The HTML of these elements as the server drew them.
const served = new Map(["book", "state", "actions", "summary"].map((id) => [
  id, htmlOf(element(id)),
]));

// ---- the countdown

function tick() {
  if (data.undo_until && Date.parse(data.undo_until) <= now()) {
    data.undo_until = null;
    element("undo")?.remove();
  }
  if (data.stage !== "held") return;
  const left = Date.parse(data.held_until) - now();
  const seconds = Math.max(0, Math.ceil(left / 1_000));
  const isUrgent = left <= URGENT;
  element("held-text").textContent = "We’re keeping this time for you:";
  const countdown = element("countdown");
  countdown.hidden = false;
  countdown.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  element("hold").toggleAttribute("data-urgent", isUrgent);
  if (element("extend")) element("extend").hidden = !isUrgent;
  if (isUrgent && left > 0 && !isWarned) warn();
  if (left > 0) return;
  const button = element("confirm");
  if (!isSending && button.type !== "button") {
    Object.assign(button, { type: "button", textContent: "Your hold ran out" });
    button.setAttribute("aria-disabled", "true");
  }
  if (!refresh.isBehind) refresh.now();
}

function warn() {
  isWarned = true;
  const extend = element("extend") ? " You can keep it for longer." : "";
  announce(`We keep this time for you for one more minute.${extend}`);
}

// ---- the viewer's actions

document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  const action = {
    details: () => (submitter?.name === "start" ? holdOther(submitter.value) : confirm()),
    extend: () => change("POST", `/api/holds/${data.id}/extension`),
    "give-up": () => change("DELETE", `/api/holds/${data.id}`),
    undo: () => change("POST", `/api/bookings/${data.id}/cancellation`),
  }[form.id];
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", ({ target }) => {
  if (target.id !== "confirm" || target.getAttribute("aria-disabled") !== "true") return;
  if (data.stage === "lost") announce(element("reason").textContent);
  element("alternatives")?.firstElementChild.focus();
});

// Runs one call at a time. `call` resolves to what to do next.
async function act(call) {
  if (isSending) return;
  isSending = true;
  showError("");
  let next = onUnreachable;
  try {
    next = await call();
  } catch {
    // The answer may be lost although the call worked; the server knows.
  } finally {
    isSending = false;
  }
  await next();
}

function onUnreachable() {
  showError(UNREACHABLE);
  live.addEventListener("state", retryNotice);
  return refresh.now();
}

// The error must not say that the server can't be reached while the page is live.
function retryNotice({ detail: { state } }) {
  if (state !== "live") return;
  live.removeEventListener("state", retryNotice);
  if (element("form-error")?.textContent === UNREACHABLE) showError("");
}

function confirm() {
  const slow = setTimeout(() => drawButton("Booking…", true), BUSY_AFTER_MS);
  const label = element("confirm").textContent;
  return act(async () => {
    const body = Object.fromEntries(FIELDS.map((name) => [name, field(name).value]));
    const { ok, content } = await send(`/api/bookings/${data.id}/confirmation`, body);
    return ok ? () => refresh.now() : () => onRefusal(content);
  }).finally(() => {
    clearTimeout(slow);
    if (element("confirm")?.type === "submit") drawButton(label, false);
  });
}

// Holds another time, and takes along what was typed.
function holdOther(start) {
  return act(async () => {
    const typed = Object.fromEntries(FIELDS.map((name) => [name, field(name).value]));
    const minutes = Number(field("duration_minutes").value);
    const body = { service_id: field("service_id").value, start, duration_minutes: minutes };
    const { ok, content } = await send("/api/holds", { ...body, ...typed });
    return ok ? () => location.replace(`/book/${content.id}`) : () => onRefusal(content);
  });
}

function change(method, path) {
  return act(async () => {
    const { ok, content } = await send(path, {}, method);
    return ok ? () => refresh.now() : () => onRefusal(content);
  });
}

async function onRefusal({ code, detail, field: name }) {
  if (code === "NOT_SIGNED_IN") {
    save();
    location.assign(`/login?${new URLSearchParams({ next: location.pathname })}`);
    return;
  }
  await refresh.now();
  if (!element("form-error") || ["HOLD_EXPIRED", "WRONG_STATE"].includes(code)) return;
  if (name !== "location") {
    showError(detail);
    return;
  }
  element("location-error").textContent = detail;
  field("location").setAttribute("aria-invalid", "true");
  field("location").focus();
}

function showError(sentence) {
  if (!element("details")) return;
  element("form-error").textContent = sentence;
  element("location-error").textContent = "";
  field("location").removeAttribute("aria-invalid");
}

function drawButton(label, disabled) {
  const button = element("confirm");
  if (!button) return;
  button.textContent = label;
  if (disabled) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

// ---- what was typed

// Each kind of place has its own text.
const typed = new Map();
let currentType = "";

function followPlace() {
  if (!element("details")) return;
  currentType = field("location_type").value;
  element("details").addEventListener("change", ({ target }) => {
    if (target.name !== "location_type") return;
    typed.set(currentType, field("location").value);
    currentType = target.value;
    const remembered = currentType === "student" ? data.address : "";
    field("location").value = typed.get(currentType) ?? remembered;
    showError("");
  });
}

// The fields are saved while the student signs in again.
function save() {
  const fields = FIELDS.map((name) => [name, field(name).value]);
  sessionStorage.setItem(storageKey, JSON.stringify(fields));
}

function restore() {
  const fields = element("details") && sessionStorage.getItem(storageKey);
  sessionStorage.removeItem(storageKey);
  if (!fields) return;
  for (const [name, value] of JSON.parse(fields)) field(name).value = value;
}

// ---- changes from the server

// The calendar matters while the page offers other times.
let isWatching = false;

function watch() {
  if (isWatching || data.stage !== "lost") return;
  isWatching = true;
  live.watch(data.instructor, { first: data.day, days: 7 });
}

live.addEventListener("booking", ({ detail: { booking } }) => {
  if (booking.id === data.id) refresh.now();
});
live.addEventListener("board", () => refresh.soon());
live.addEventListener("refresh", ({ detail: { first } }) => {
  if (first) refresh.now();
  else refresh.soon();
});
follow(live, refresh);

restore();
followPlace();
showHint();
watch();
tick();
setInterval(tick, 1_000);
live.start();
