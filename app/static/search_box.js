// The search box as a combobox with suggestions (the ARIA Authoring Practices' list autocomplete
// with manual selection). Choosing one searches for it.

import { announce } from "./status.js";

const WAIT_MS = 120; // after a key, before the request
const TIMEOUT_MS = 3_000;
const KINDS = { service: "Service", category: "Category", area: "Area" };

const input = document.getElementById("q");
const form = input.form;
const list = Object.assign(document.createElement("ul"), {
  id: "suggestions", className: "suggestions", hidden: true,
});
list.setAttribute("role", "listbox");
list.setAttribute("aria-label", "Suggestions");
form.after(list);
for (const [name, value] of Object.entries({
  role: "combobox",
  "aria-autocomplete": "list",
  "aria-controls": list.id,
  "aria-expanded": "false",
})) input.setAttribute(name, value);

let timer = null;
let request = null;
let typed = ""; // the text that the suggestions complete

const options = () => [...list.children];
const selected = () => options().findIndex((option) => option.ariaSelected === "true");

function close() {
  clearTimeout(timer);
  request?.abort();
  list.hidden = true;
  list.replaceChildren();
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function select(index) {
  for (const [number, option] of options().entries()) {
    option.setAttribute("aria-selected", String(number === index));
  }
  const option = options()[index];
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
  input.value = option ? option.dataset.text : typed;
}

function show(items) {
  list.replaceChildren(...items.map(({ text, kind }, index) => {
    const option = document.createElement("li");
    option.id = `suggestion-${index}`;
    option.dataset.text = text;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    const label = Object.assign(document.createElement("span"), { textContent: text });
    const note = Object.assign(document.createElement("small"), { textContent: KINDS[kind] ?? "" });
    option.append(label, " ", note);
    return option;
  }));
  list.hidden = items.length === 0;
  input.setAttribute("aria-expanded", String(!list.hidden));
  if (items.length) announce(items.length === 1 ? "1 suggestion." : `${items.length} suggestions.`);
}

// Without a response there are no suggestions, and the form works as before.
async function suggest() {
  typed = input.value;
  if (!typed.trim()) return close();
  request?.abort();
  request = new AbortController();
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const query = new URLSearchParams({ q: typed });
    const response = await fetch(`/api/search/suggestions?${query}`, { signal });
    const { items } = response.ok ? await response.json() : { items: [] };
    if (typed === input.value && document.activeElement === input) show(items);
  } catch {
    // Aborted, too late or offline.
  }
  return undefined;
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, WAIT_MS);
});
input.addEventListener("keydown", (event) => {
  const count = options().length;
  if (event.key === "Escape" && !list.hidden) {
    event.preventDefault(); // which would empty the field
    input.value = typed;
    close();
  } else if (count && ["ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    // Before the first and after the last option comes the text as typed.
    const step = event.key === "ArrowDown" ? 1 : -1;
    select((selected() + 1 + step + count + 1) % (count + 1) - 1);
  }
});
input.addEventListener("blur", () => setTimeout(close));
// Before the field loses the focus.
list.addEventListener("pointerdown", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (!option) return;
  input.value = option.dataset.text;
  form.requestSubmit();
});
