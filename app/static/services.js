// /services: filters the list as you type, also by the other names of a service.

const input = document.getElementById("filter-text");
const result = document.getElementById("filter-result");
const none = document.getElementById("no-service");
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const services = [...document.querySelectorAll(".groups li")].map((element) => ({
  element,
  words: plain(`${element.firstChild.firstChild.data}|${element.dataset.terms}`),
}));

function filter() {
  const text = plain(input.value.trim());
  let count = 0;
  for (const { element, words } of services) {
    element.hidden = !words.includes(text);
    if (!element.hidden) count += 1;
  }
  for (const section of document.querySelectorAll(".services")) {
    section.hidden = section.querySelector("li:not([hidden])") === null;
  }
  none.hidden = count > 0;
  const query = new URLSearchParams({ q: input.value });
  document.getElementById("search-instead").href = `/search?${query}`;
  result.textContent = text ? `${count} of ${services.length} services` : "";
}

document.getElementById("filter").hidden = false;
input.addEventListener("input", filter);
filter(); // the browser may have restored the text
