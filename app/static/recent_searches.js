// The recent searches of the start page: removes one in place, and the next one gets the focus.
// Without scripts the same form posts and redirects.

import { readPage } from "./refresh.js";
import { announce } from "./status.js";

const TIMEOUT_MS = 10_000;

const section = document.querySelector(".recent");

section.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  if (section.hasAttribute("aria-busy")) return;
  section.setAttribute("aria-busy", "true");
  try {
    const { ok } = await fetch(form.action, {
      method: "DELETE",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { accept: "application/json" },
    });
    if (!ok) throw new Error("refused");
    draw(form.closest("li"), await readPage());
  } catch {
    form.submit(); // the server explains
  }
  section.removeAttribute("aria-busy");
});

// Replaces the list with that of `page`, which no longer has `entry`.
function draw(entry, page) {
  const list = entry.parentElement;
  const index = [...list.children].indexOf(entry);
  announce(`Removed “${entry.querySelector("a").textContent}”.`);
  const rest = page.querySelector(".recent ul");
  if (rest) {
    list.replaceChildren(...rest.children);
    (list.children[index] ?? list.lastElementChild).querySelector("a").focus();
  } else {
    section.remove();
    document.getElementById("q").focus();
  }
}
