// The bar that says how many days are unsaved, with Save, Discard and Undo.

import { plural } from "./formatting.js";
import { announce } from "./status.js";

const FLOAT_MS = 15_000; // how long a sentence floats over the page

export class SaveBar {
  #element = document.getElementById("save-bar");
  #sentence = "";
  #timer = null;

  constructor({ onSave, onDiscard, onUndo }) {
    this.#part("save").addEventListener("click", onSave);
    this.#part("discard").addEventListener("click", onDiscard);
    this.#part("undo").addEventListener("click", onUndo);
  }

  show({ week, isSaving, canUndo }) {
    const focused = document.activeElement;
    const hadFocus = this.#element.contains(focused);
    const count = week.changed.length;
    if (count) this.#sentence = "";
    const unsaved = `Unsaved changes on ${plural(count, "day")}.`;
    const outdated = week.isOutdated && count
      ? " This week was changed in another window; saving shows both versions." : "";
    const text = isSaving ? "Saving…" : count ? unsaved + outdated : this.#sentence;
    const status = this.#part("status");
    if (status.textContent !== text) status.textContent = text;
    this.#part("save").hidden = !count;
    this.#part("discard").hidden = !count;
    this.#part("undo").hidden = Boolean(count) || !canUndo;
    this.#element.hidden = !text && this.#part("error").hidden && this.#part("undo").hidden;
    this.#element.classList.toggle("unsaved", count > 0);
    if (!hadFocus || !(focused.hidden || this.#element.hidden)) return;
    // The button that had the focus is gone.
    if (this.#element.hidden) document.getElementById("week").focus();
    else status.focus();
  }

  // A sentence that stays until the next edit.
  done(sentence) {
    this.clear();
    this.#sentence = sentence;
    this.#element.classList.remove("quiet");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#element.classList.add("quiet"), FLOAT_MS);
    announce(sentence);
  }

  fail(sentence) {
    const error = this.#part("error");
    error.textContent = sentence;
    error.hidden = false;
    this.#element.hidden = false;
  }

  clear() {
    this.#sentence = "";
    this.#part("error").hidden = true;
  }

  focus() {
    const save = this.#part("save");
    if (!save.hidden) save.focus();
  }

  #part(name) {
    return this.#element.querySelector(`[data-${name}]`);
  }
}
