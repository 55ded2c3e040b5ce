// /teach/profile: finds areas as one types, and guards unsaved changes.

const DRAFT = "profile-draft"; // a form that was sent: its action, its fields and whose they are
const { instructor } = document.getElementById("profile").dataset;
const forms = [...document.querySelectorAll("form[data-guarded]")];
const saved = new Map(forms.map((form) => [form, content(form)]));
let submitted = null;

for (const form of forms) {
  form.addEventListener("input", () => showState(form));
  form.addEventListener("submit", () => {
    submitted = form;
    const draft = { instructor, action: form.getAttribute("action"), fields: fieldsOf(form) };
    sessionStorage.setItem(DRAFT, JSON.stringify(draft));
  });
  showState(form);
}

addEventListener("beforeunload", (event) => {
  if (forms.some((form) => form !== submitted && isUnsaved(form))) event.preventDefault();
  submitted = null; // the visitor may stay
});

function fieldsOf(form) {
  return [...new FormData(form)];
}

function content(form) {
  return new URLSearchParams(fieldsOf(form)).toString();
}

// Restores a form that was sent after the session had ended. After a refusal, the server has filled
// in the form.
function restoreDraft() {
  const draft = JSON.parse(sessionStorage.getItem(DRAFT));
  sessionStorage.removeItem(DRAFT);
  const isSaved = new URLSearchParams(location.search).has("saved");
  if (draft?.instructor !== instructor || isSaved || forms.some(isUnsaved)) return;
  const form = forms.find((other) => other.getAttribute("action") === draft.action);
  if (!form) return;
  const values = Map.groupBy(draft.fields, ([name]) => name);
  for (const field of form.elements) {
    if (!field.name || field.type === "hidden") continue;
    const texts = (values.get(field.name) ?? []).map(([, text]) => text);
    if (field.type === "checkbox") field.checked = texts.includes(field.value);
    else if (texts.length) [field.value] = texts;
  }
  showState(form);
}

// A form that was refused is unsaved from the start.
function isUnsaved(form) {
  return "unsaved" in form.dataset || content(form) !== saved.get(form);
}

function showState(form) {
  const text = isUnsaved(form) ? "Unsaved changes" : "";
  const line = form.querySelector("[data-status]");
  if (line.textContent !== text) line.textContent = text;
}

const find = document.getElementById("find-area");
const areas = document.querySelector(".areas");
const selected = document.getElementById("areas-selected");

find.closest("[hidden]").hidden = false;
find.addEventListener("input", (event) => {
  event.stopPropagation(); // a search changes nothing
  showMatches(find.value.trim().toLowerCase());
});
find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault(); // does not submit
});
areas.addEventListener("change", showSelected);

function showMatches(text) {
  for (const borough of areas.querySelectorAll(".borough")) {
    const isWhole = borough.getAttribute("aria-label").toLowerCase().includes(text);
    let matches = 0;
    for (const label of borough.querySelectorAll(".check")) {
      label.hidden = !isWhole && !label.textContent.toLowerCase().includes(text);
      matches += !label.hidden;
    }
    borough.hidden = matches === 0;
  }
  const hasMatch = areas.querySelector(".borough:not([hidden])") !== null;
  document.getElementById("no-area").hidden = hasMatch;
}

function showSelected() {
  const names = [...areas.querySelectorAll(":checked")].map(({ parentElement }) =>
    parentElement.textContent.trim());
  selected.textContent = names.length ? `Selected: ${names.join(", ")}` : "";
}

restoreDraft();
showSelected();
