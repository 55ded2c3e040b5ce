// /teach/profile: finds areas as one types, and guards unsaved changes.

const forms = [...document.querySelectorAll("form[data-guarded]")];
const saved = new Map(forms.map((form) => [form, content(form)]));
let submitted = null;

for (const form of forms) {
  form.addEventListener("input", () => showState(form));
  form.addEventListener("submit", () => {
    submitted = form;
  });
  showState(form);
}

addEventListener("beforeunload", (event) => {
  if (forms.some((form) => form !== submitted && isUnsaved(form))) event.preventDefault();
  submitted = null; // the visitor may stay
});

function content(form) {
  return new URLSearchParams(new FormData(form)).toString();
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
