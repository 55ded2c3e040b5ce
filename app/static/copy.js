// Buttons that copy a text. Without scripts they stay hidden.

import { announce } from "./status.js";

// `source` is a field, or a list of codes. `sentences`: {copied, selected}; the text is selected if
// the browser does not let the page copy it.
export function offerCopy(button, source, { copied, selected }) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    try {
      await navigator.clipboard.writeText(textOf(source));
      button.textContent = "Copied";
      announce(copied);
    } catch {
      announce(selected);
    }
  });
}

const textOf = (source) =>
  source.value ?? [...source.querySelectorAll("code")].map((code) => code.textContent).join("\n");
