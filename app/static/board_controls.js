// The controls around the board: the length, the week, and on a phone the strip of its days.

import { addDays } from "./formatting.js";
import { WEEK_DAYS } from "./offer.js";

export class BoardControls {
  #offer;
  #board;
  #live;
  #select;

  // `select` changes the offer: {minutes} or {first}.
  constructor(offer, board, live, select) {
    this.#offer = offer;
    this.#board = board;
    this.#live = live;
    this.#select = select;
    board.addEventListener("visit", ({ detail: day }) => this.#visit(day));
    on("durations", (link) => select({ minutes: Number(link.dataset.minutes) }));
    on("strip", (link) => board.focusDay(link.dataset.day));
    for (const [id, step] of [["earlier", -WEEK_DAYS], ["later", WEEK_DAYS]]) {
      document.getElementById(id).addEventListener("click", (event) => {
        if (isPlain(event)) this.#turnTo(event, addDays(offer.first, step));
      });
    }
    markVisibleDays();
    this.draw();
  }

  // Updates the links and fields around the board.
  draw() {
    const offer = this.#offer;
    for (const link of document.querySelectorAll("#durations a")) {
      const minutes = Number(link.dataset.minutes);
      link.href = offer.address({ minutes });
      if (minutes === offer.minutes) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.#drawWeekLink("earlier", addDays(offer.first, -WEEK_DAYS), offer.first > offer.today);
    const later = addDays(offer.first, WEEK_DAYS);
    this.#drawWeekLink("later", later, later <= offer.last);
    for (const [name, value] of [["minutes", offer.minutes], ["from", offer.first]]) {
      document.querySelector(`#board input[name=${name}]`).value = value;
    }
  }

  #drawWeekLink(id, first, enabled) {
    const link = document.getElementById(id);
    if (enabled) {
      link.href = this.#offer.address({ first });
      for (const name of ["role", "aria-disabled", "tabindex"]) link.removeAttribute(name);
    } else {
      link.removeAttribute("href");
      link.setAttribute("role", "link");
      link.setAttribute("aria-disabled", "true");
      link.setAttribute("tabindex", "0");
    }
  }

  // Moves to a day, if need be in another week.
  #visit(day) {
    const first = this.#offer.weekOf(day);
    if (first !== this.#offer.first) this.#select({ first });
    this.#board.focusDay(day);
  }

  #turnTo(event, first) {
    const last = this.#offer.weekOf(this.#offer.last);
    const exists = first >= this.#offer.today && first <= last;
    // Offline, follow the link to a week that is not loaded.
    if (exists && this.#live.state === "offline" && !(first in this.#offer.days)) return;
    event.preventDefault();
    if (exists) this.#select({ first });
  }
}

function on(id, action) {
  document.getElementById(id).addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || !isPlain(event)) return;
    event.preventDefault();
    action(link);
  });
}

const isPlain = ({ ctrlKey, metaKey, shiftKey, button }) =>
  !ctrlKey && !metaKey && !shiftKey && button === 0;

// The strip marks the days that a phone shows.
function markVisibleDays() {
  const visibleDays = new IntersectionObserver((entries) => {
    for (const { target, intersectionRatio } of entries) {
      const link = document.querySelector(`#strip a[data-day="${target.dataset.day}"]`);
      link?.toggleAttribute("data-visible", intersectionRatio > 0.9);
    }
  }, { root: document.getElementById("board"), threshold: [0, 0.95] });
  for (const column of document.querySelectorAll(".day")) visibleDays.observe(column);
}
