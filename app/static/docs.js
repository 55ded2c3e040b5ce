// /docs: filters the calls as you type, and opens the one in the address.

const input = document.getElementById("filter-text");
const result = document.getElementById("filter-result");
const calls = [...document.querySelectorAll(".call")].map((element) => ({
  element,
  words: element.dataset.terms.toLowerCase(),
}));

function filter() {
  const words = input.value.trim().toLowerCase().split(/\s+/);
  let count = 0;
  for (const call of calls) {
    call.element.hidden = !words.every((word) => call.words.includes(word));
    if (!call.element.hidden) count += 1;
  }
  for (const group of document.querySelectorAll(".docs-group")) {
    group.hidden = group.querySelector(".call:not([hidden])") === null;
  }
  result.textContent = input.value.trim() ? `${count} of ${calls.length}` : "";
}

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (!target?.matches(".call")) return;
  if (target.hidden) {
    input.value = "";
    filter();
  }
  target.open = true;
  target.scrollIntoView();
}

document.getElementById("filter").hidden = false;
input.addEventListener("input", filter);
window.addEventListener("hashchange", open);
filter(); // the browser may have restored the text
open();
