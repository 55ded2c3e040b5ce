// The forms that change many days. Each first shows what it will change, except days off and the
// repeating pattern, which replace nothing.

import { plural, shortDay } from "./formatting.js";
import { preview } from "./dialogs.js";
import { endSession } from "./status.js";

const TIMEOUT_MS = 10_000;
const DAY_NAMES =
  ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const TITLES = { presets: "Use this preset?", copy: "Copy this week?", apply: "Apply this week?" };

// Resolves to {content} of the response or to its {error}.
export async function send(method, address, body) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(address, { method, headers, body: text, signal });
    const content = response.status === 204 ? {} : await response.json();
    if (response.ok) return { content };
    if (response.status === 401) endSession();
    return { error: content };
  } catch {
    const detail = "We couldn’t reach the server. Your changes are still here: check your " +
      "connection, then try again.";
    return { error: { code: "UNREACHABLE", detail } };
  }
}

export class Tools {
  #actions;

  // `begin` is called first; `resolveChanges` resolves to whether no unsaved changes are left;
  // `clear` empties the week; `pattern` returns the saved days; `done(tool, sentence)` shows the
  // outcome.
  constructor(root, actions) {
    this.#actions = actions;
    root.addEventListener("submit", (event) => {
      if (!event.target.closest(".tools")) return;
      event.preventDefault();
      this.#submit(event.target);
    });
    root.addEventListener("keydown", ({ key, target }) => {
      const open = target.closest(".tool[open]");
      if (key !== "Escape" || !open) return;
      open.open = false;
      open.querySelector("summary").focus();
    });
    addEventListener("click", ({ target }) => {
      if (target.closest("dialog")) return;
      for (const open of root.querySelectorAll(".tool[open]")) {
        if (!open.contains(target)) open.open = false;
      }
    });
  }

  async #submit(form) {
    const { _method, _page, tool, ...fields } = Object.fromEntries(new FormData(form));
    const body = Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
    this.#actions.begin();
    if (tool === "clear") {
      form.closest(".tool").open = false;
      return this.#actions.clear();
    }
    if (form.matches("[data-reopen]")) return this.#reopen(form);
    if (tool !== "off" && !(await this.#actions.resolveChanges())) return undefined;
    if (tool === "repeat") return this.#repeat(form, _method);
    if (tool === "off") {
      const added = await this.#send(form, "POST", form.action, body);
      return added && this.#done(form, "These days are off. Nobody can book them.");
    }
    const planned = await this.#send(form, "POST", form.action, { ...body, preview: true });
    if (!planned || !(await preview(TITLES[tool], planned.days))) return undefined;
    const applied = await this.#send(form, "POST", form.action, body);
    if (!applied) return undefined;
    const dates = Object.keys(planned.days);
    const span = dates.length > 1
      ? `from ${shortDay(dates[0])} to ${shortDay(dates.at(-1))}` : shortDay(dates[0]);
    return this.#done(form, `${plural(applied.days_changed, "day")} changed: ${span}.`);
  }

  #done(form, sentence) {
    return this.#actions.done(form.closest(".tool"), sentence);
  }

  async #repeat(form, method) {
    const ranges = Object.values(this.#actions.pattern());
    const days = Object.fromEntries(DAY_NAMES.map((name, index) => [name, ranges[index]]));
    const body = method === "PUT" ? { days } : undefined;
    const stored = await this.#send(form, method, form.action, body);
    const sentence = method === "PUT" ? "These hours repeat for the next 12 weeks."
      : "The pattern no longer repeats. Filled weeks stay.";
    return stored && this.#done(form, sentence);
  }

  async #reopen(form) {
    const days = form.dataset.reopen.split(" ");
    for (const day of days) {
      const removed = await this.#send(form, "DELETE", `/api/availability/blackouts/${day}`);
      if (!removed) return undefined;
    }
    return this.#done(form, `${plural(days.length, "day")} open again.`);
  }

  // The content of the response, or null after showing the error at its field.
  async #send(form, method, address, body) {
    form.querySelectorAll(".error").forEach((error) => error.remove());
    form.querySelectorAll("[aria-invalid]").forEach((field) =>
      field.removeAttribute("aria-invalid"));
    const { content, error } = await send(method, address, body);
    if (content) return content;
    const field = form.elements[error.field];
    const paragraph = document.createElement("p");
    Object.assign(paragraph, { className: "error", id: `${form.elements.tool.value}-error` });
    paragraph.setAttribute("role", "alert");
    paragraph.textContent = error.detail;
    form.querySelector("button").before(paragraph);
    field?.setAttribute?.("aria-invalid", "true");
    field?.setAttribute?.("aria-describedby", paragraph.id);
    field?.focus?.();
    return null;
  }
}
