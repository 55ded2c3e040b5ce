// The card "Your lesson": the choice, and booking it. The form works without this; with it, a
// choice or a refusal changes the card in place, and everything typed stays.

import { clock, dayOf, moment, money, now, plural, soon, wire } from "./formatting.js";
import { announce } from "./status.js";

const SLOW = 300; // milliseconds before the button says that it is booking

export class Lesson extends EventTarget {
  #offer;
  #given;
  #card = document.getElementById("lesson");
  #form = document.querySelector("form#book");
  #button = document.getElementById("book-button");
  #sending = false;
  #taken = false;
  #refusal = null; // {start, version}: the start the server refused, at this calendar version
  #key = null; // the Idempotency-Key of #body
  #body = "";
  #booking = null; // the id of this attempt's booking, if the live connection brought it
  #unreachable = false; // the card says that the server could not be reached

  constructor(offer, given) {
    super();
    this.#offer = offer;
    this.#given = given;
    this.#restoreTyped();
    this.#form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#book();
    });
    this.draw();
  }

  get sending() {
    return this.#sending;
  }

  // Shows the choice. A chosen time may have been taken, or may have become free again.
  draw() {
    const { chosen, zone, minutes, service, cents } = this.#offer;
    const hint = chosen !== null && this.#offer.hint(chosen);
    text("what", `${service.name}, ${minutes} min`);
    text("when", chosen === null ? "Choose a time" : moment(chosen, zone));
    if (hint) {
      const note = document.createElement("small");
      note.textContent = `${hint} your time`;
      document.getElementById("when").append(note);
    }
    text("price", money(cents));
    text("policy", chosen === null ? "" : this.#policy(chosen));
    document.getElementById("policy").hidden = chosen === null;
    this.#links();
    if (this.#form) {
      this.#form.hidden = chosen === null;
      this.#fields({
        start: chosen === null ? "" : wire(chosen),
        duration_minutes: minutes,
        service_id: service.id,
        _page: this.#offer.address(),
      });
    }
    const possible = chosen === null ? undefined : this.#offer.possible(chosen);
    const loaded = chosen === null || possible !== undefined;
    if (loaded && !this.#sending) this.#update(possible !== false);
    this.#shortcut();
  }

  // On a phone the card is below the board; this button leads there.
  #shortcut() {
    const { chosen, zone, cents } = this.#offer;
    const link = document.getElementById("go");
    link.hidden = chosen === null;
    if (chosen === null) return;
    const when = moment(chosen, zone);
    link.textContent = `${when} ${this.#taken ? "is taken: other times" : `· ${money(cents)}`} →`;
  }

  // The viewer's own lesson was booked. If the response to this attempt was lost, this replaces it.
  onBooking({ id, start, service }) {
    const { service: { id: chosenService }, chosen } = this.#offer;
    if (!this.#body || service.id !== chosenService || Date.parse(start) !== chosen) return;
    this.#booking = id;
    if (!this.#sending) this.#done(id);
  }

  // The connection is back, so the card no longer says that the server can't be reached.
  reconnected() {
    if (this.#unreachable) this.#showError("");
  }

  #policy(start) {
    const { zone } = this.#offer;
    const until = start - this.#given.free_cancel_hours * 3_600_000;
    const grace = until <= now() + 5 * 60_000;
    const limit = grace ? "for 5 minutes after booking" : `until ${moment(until, zone)}`;
    return `Free to cancel ${limit}. After that, it counts as late.`;
  }

  // ---- a chosen time that is taken

  #update(possible) {
    const { chosen, version } = this.#offer;
    // A refused start stays refused until a newer board arrives.
    if (this.#refusal?.start === chosen && version <= this.#refusal.version) return;
    if (possible) {
      if (this.#taken) this.#restoreTime();
      return;
    }
    const why = this.#offer.whyNot(chosen);
    const shown = this.#taken && document.getElementById("why-text").textContent === why;
    if (shown) this.#offerInstead(this.#offer.near(chosen));
    else this.#take(why, this.#offer.near(chosen));
  }

  // Says why the chosen time is unavailable, and offers others. Everything typed stays.
  #take(why, starts, short = why.replace(/\.$/, "")) {
    const others = starts.length ? `Choose from ${plural(starts.length, "time")} near it.` : "";
    if (!this.#taken) announce(`${why} ${others}`);
    this.#taken = true;
    this.#showError("");
    text("why-text", why);
    document.getElementById("why").hidden = false;
    document.getElementById("when").classList.add("unavailable");
    this.#offerInstead(starts);
    this.#label(short, true);
  }

  #restoreTime() {
    this.#taken = false;
    document.getElementById("why").hidden = true;
    document.getElementById("when").classList.remove("unavailable");
    this.#label("Book this time", false);
  }

  #offerInstead(starts) {
    const list = document.getElementById("instead");
    const key = starts.map(wire).join();
    list.hidden = !starts.length;
    if (list.dataset.starts === key) return;
    // A button keeps its focus: the list is redrawn once the focus has left it.
    if (list.contains(document.activeElement)) return;
    list.dataset.starts = key;
    list.replaceChildren(...starts.map((start) => {
      const link = Object.assign(document.createElement("a"), {
        className: "time", href: `${this.#offer.address({ chosen: start })}#lesson`,
      });
      const day = soon(dayOf(start, this.#offer.zone), this.#offer.today);
      const dayLabel = Object.assign(document.createElement("small"), { textContent: day });
      link.append(dayLabel, ` ${clock(start, this.#offer.zone)}`);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.dispatchEvent(new CustomEvent("choose", { detail: start }));
        (this.#button ?? this.#card).focus({ preventScroll: true });
      });
      return link;
    }));
  }

  // ---- booking

  async #book() {
    if (this.#sending) return;
    if (this.#taken) {
      announce(document.getElementById("why-text").textContent);
      document.querySelector("#instead a")?.focus();
      return;
    }
    this.#sending = true;
    this.#showError("");
    const slow = setTimeout(() => this.#label("Booking…", true), SLOW);
    try {
      await this.#send();
    } catch {
      if (this.#booking) this.#done(this.#booking);
      else this.#showUnreachable();
    } finally {
      clearTimeout(slow);
      this.#sending = false;
      if (!this.#taken) this.#label("Book this time", false);
      this.dispatchEvent(new Event("answered"));
    }
  }

  async #send() {
    const entries = [...new FormData(this.#form)]
      .filter(([name, value]) => value !== "" && !name.startsWith("_"));
    const fields = Object.fromEntries(entries);
    const body = JSON.stringify({ ...fields, duration_minutes: Number(fields.duration_minutes) });
    // A repeat of the same attempt keeps its key, so that it never books twice.
    if (body !== this.#body) this.#key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.#body = body;
    const response = await fetch(this.#form.action, {
      method: "POST",
      body,
      signal: AbortSignal.timeout(20_000),
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "idempotency-key": this.#key,
      },
    });
    const content = await response.json();
    if (response.ok) {
      this.#done(content.id);
      await new Promise(() => {}); // the browser leaves this page; the button stays as it is
    }
    this.#body = "";
    this.#refused(content);
  }

  #done(id) {
    sessionStorage.removeItem(this.#storageKey);
    location.assign(`/lessons#booking-${id}`);
  }

  #refused({ code, detail, field, alternatives, version }) {
    if (code === "NOT_SIGNED_IN") {
      this.#saveTyped();
      location.assign(`/login?${new URLSearchParams({ next: this.#offer.address() })}`);
    } else if (alternatives) {
      this.#refusal = { start: this.#offer.chosen, version };
      const reason = code === "SLOT_TAKEN" ? "was just taken" : "isn’t available";
      const short = `This time ${reason}`;
      this.#take(detail, alternatives.map((start) => Date.parse(start)), short);
      document.getElementById("why").scrollIntoView({ block: "nearest" });
    } else {
      this.#showError(detail);
      const input = this.#input(field ?? "");
      if (input instanceof HTMLElement && input.type !== "hidden") {
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    }
  }

  #showError(sentence) {
    if (!this.#form) return;
    this.#unreachable = false;
    text("wrong", sentence);
    for (const input of this.#form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
    }
  }

  #showUnreachable() {
    this.#showError("We couldn’t reach the server. Try again. You won’t be booked twice.");
    this.#unreachable = true;
  }

  #label(words, disabled) {
    if (!this.#button) return;
    this.#button.textContent = words;
    if (disabled) this.#button.setAttribute("aria-disabled", "true");
    else this.#button.removeAttribute("aria-disabled");
    if (this.#taken) this.#button.setAttribute("aria-describedby", "why-text");
    else this.#button.removeAttribute("aria-describedby");
  }

  // ---- fields and links

  #fields(values) {
    const input = Object.assign(document.createElement("input"), { type: "hidden" });
    input.name = "start";
    document.getElementById("other-times")?.replaceWith(input);
    for (const [name, value] of Object.entries(values)) this.#input(name).value = value;
  }

  #input(name) {
    return this.#form.elements.namedItem(name);
  }

  #links() {
    const next = new URLSearchParams({ next: this.#offer.address() });
    for (const [id, path] of [["sign-in", "/login"], ["join", "/register"]]) {
      const link = document.getElementById(id);
      if (link) link.href = `${path}?${next}`;
    }
  }

  // What was typed is kept while the student signs in again.
  get #storageKey() {
    return `lesson ${this.#given.instructor}`;
  }

  #saveTyped() {
    const names = ["location_type", "location", "note"];
    const typed = names.map((name) => [name, this.#input(name).value]);
    sessionStorage.setItem(this.#storageKey, JSON.stringify(typed));
  }

  #restoreTyped() {
    const typed = this.#form && sessionStorage.getItem(this.#storageKey);
    if (!typed) return;
    sessionStorage.removeItem(this.#storageKey);
    for (const [name, value] of JSON.parse(typed)) this.#input(name).value = value;
  }
}

function text(id, words) {
  const element = document.getElementById(id);
  if (element && element.textContent !== words) element.textContent = words;
}
