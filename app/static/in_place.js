// Forms of a list of lessons, sent without leaving the page. A refusal is shown in the form, and
// everything typed stays. Without scripts the same forms post and redirect.

import { attempt } from "./attempt.js";

const DRAFTS = "drafts";
const NOTICE_MS = 10_000; // a notice stays in sight this long; then it stays at the top of the page
const UNREACHABLE = "We couldn’t reach the server. Try again. It won’t be done twice.";

// Sends the forms with `data-done`, the sentence that says what they do, inside `root`. `refresh`
// (a Refresh) reads the list again.
export function sendInPlace(root, refresh) {
  const attempts = new Map(); // form id → its function of attempt.js
  root.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("done" in form.dataset)) return;
    event.preventDefault();
    if (form.hasAttribute("aria-busy")) return;
    form.setAttribute("aria-busy", "true");
    const { done } = form.dataset; // the form may be gone afterwards
    let refusal = "";
    try {
      refusal = await send(form, attempts);
    } catch {
      refusal = UNREACHABLE;
    }
    form.removeAttribute("aria-busy");
    if (!refusal) {
      showNotice(done);
      if (form.isConnected) form.closest("details").open = form.querySelector("textarea") !== null;
    }
    if (refusal !== UNREACHABLE) await refresh.now();
    showRefusal(form.id, refusal);
  });
}

// Text that was typed but not sent survives leaving the page, for example to sign in again.
export function keepDrafts(root) {
  const drafts = JSON.parse(sessionStorage.getItem(DRAFTS) ?? "{}");
  sessionStorage.removeItem(DRAFTS);
  for (const [id, text] of Object.entries(drafts)) {
    const field = root.querySelector(`#${CSS.escape(id)}`);
    if (!field) continue;
    field.value = text;
    for (let box = field.closest("details"); box; box = box.parentElement.closest("details")) {
      box.open = true;
    }
  }
  addEventListener("pagehide", () => {
    const fields = [...root.querySelectorAll("form[data-done] [name][id]")]
      .filter(({ value, defaultValue }) => value !== defaultValue);
    if (!fields.length) return;
    const texts = Object.fromEntries(fields.map(({ id, value }) => [id, value]));
    sessionStorage.setItem(DRAFTS, JSON.stringify(texts));
  });
}

// Resolves to the sentence of a refusal, or "".
async function send(form, attempts) {
  const entries = [...new FormData(form)].filter(([name]) => !name.startsWith("_"));
  if (!attempts.has(form.id)) attempts.set(form.id, attempt());
  const method = form.elements.namedItem("_method")?.value ?? "POST";
  const { ok, content } =
    await attempts.get(form.id)(form.action, Object.fromEntries(entries), method);
  if (ok) return "";
  if (content.code === "NOT_SIGNED_IN") document.getElementById("session-ended").hidden = false;
  return content.detail;
}

// In the form, or above the list if the form is gone, because the lesson has changed.
function showRefusal(id, sentence) {
  const error = document.getElementById(id)?.querySelector("[data-error]");
  if (error) error.textContent = sentence;
  else if (sentence) showNotice(sentence, "bad");
}

function showNotice(sentence, kind = "good") {
  const paragraph = document.createElement("p");
  paragraph.className = `notice ${kind}`;
  paragraph.textContent = sentence;
  document.getElementById("notice").replaceChildren(paragraph);
  setTimeout(() => paragraph.classList.add("old"), NOTICE_MS);
}
