// The card "Your lesson": what is chosen, and booking it. The form works without this; with it, a choice and a refusal change the
// card in place and nothing typed is ever lost.

import { clock, dayOf, moment, money, now, plural, soon, wire } from "./clock.js";
import { announce } from "./status.js";

const SLOW = 300; // a wait shorter than this is not worth a word

export class Lesson extends EventTarget {
  #offer;
  #given;
  #card = document.getElementById("lesson");
  #form = document.querySelector("form#book");
  #button = document.getElementById("book-button");
  #sending = false;
  #dead = false;
  #refusal = null; // {start, version}: what the server refused, and which version of the calendar that was
  #key = null; // the Idempotency-Key, and the body it was made for
  #body = "";
  #made = null; // the lesson this attempt has made, as the live connection tells

  constructor(offer, given) {
    super();
    this.#offer = offer;
    this.#given = given;
    this.#restore();
    this.#form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#book();
    });
    this.draw();
  }

  get sending() {
    return this.#sending;
  }

  // Shows the choice as it now stands; a chosen time may have died under the viewer's hands, or come back.
  draw() {
    const { chosen, zone, minutes, service, cents } = this.#offer;
    const hint = chosen !== null && this.#offer.hint(chosen);
    text("what", `${service.name}, ${minutes} min`);
    text("when", chosen === null ? "Choose a time" : moment(chosen, zone));
    if (hint) document.getElementById("when").append(Object.assign(document.createElement("small"), { textContent: `${hint} your time` }));
    text("price", money(cents));
    text("policy", chosen === null ? "" : this.#policy(chosen));
    document.getElementById("policy").hidden = chosen === null;
    this.#links();
    if (this.#form) {
      this.#form.hidden = chosen === null;
      this.#fields({ start: chosen === null ? "" : wire(chosen), duration_minutes: minutes, service_id: service.id, _page: this.#offer.address() });
    }
    const possible = chosen === null ? undefined : this.#offer.possible(chosen);
    if (!this.#sending && (chosen === null || possible !== undefined)) this.#live(possible !== false);
    this.#way();
  }

  // On a phone the card is below the board: what leads there says what awaits.
  #way() {
    const { chosen, zone, cents } = this.#offer;
    const way = document.getElementById("go");
    way.hidden = chosen === null;
    if (chosen !== null) way.textContent = this.#dead ? `${moment(chosen, zone)} is gone: others →` : `${moment(chosen, zone)} · ${money(cents)} →`;
  }

  // One's own lesson has come about. If the answer to the attempt was lost, this is the answer.
  heardOf({ id, start, service }) {
    if (!this.#body || service.id !== this.#offer.service.id || Date.parse(start) !== this.#offer.chosen) return;
    this.#made = id;
    if (!this.#sending) this.#done(id);
  }

  #policy(start) {
    const hours = this.#given.free_cancel_hours;
    const until = start - hours * 3_600_000;
    if (until <= now() + 5 * 60_000) return "Free to cancel for 5 minutes after booking. After that, it counts as late.";
    return `Free to cancel until ${moment(until, this.#offer.zone)}. After that, it counts as late.`;
  }

  // ---- a time that dies

  #live(possible) {
    const { chosen, version } = this.#offer;
    // What the server refused stays refused until a later board says otherwise.
    if (this.#refusal?.start === chosen && version <= this.#refusal.version) return;
    if (possible) {
      if (this.#dead) this.#revive();
      return;
    }
    const why = this.#offer.whyNot(chosen);
    if (!this.#dead || document.getElementById("why-text").textContent !== why) this.die(why, this.#offer.near(chosen));
    else this.#offerInstead(this.#offer.near(chosen));
  }

  // Says why the chosen time is no more, and offers others. What was typed stays.
  die(why, starts, short = why.replace(/\.$/, "")) {
    if (!this.#dead) announce(`${why} ${starts.length ? `${plural(starts.length, "other time")} near it can be chosen instead.` : ""}`);
    this.#dead = true;
    text("why-text", why);
    document.getElementById("why").hidden = false;
    document.getElementById("when").classList.add("dead");
    this.#offerInstead(starts);
    this.#label(short, true);
  }

  #revive() {
    this.#dead = false;
    document.getElementById("why").hidden = true;
    document.getElementById("when").classList.remove("dead");
    this.#label("Book this time", false);
  }

  #offerInstead(starts) {
    const place = document.getElementById("instead");
    const wanted = starts.map(wire).join();
    place.hidden = !starts.length;
    if (place.dataset.starts === wanted) return;
    // A button with the focus is not taken away under it: the list is drawn anew once the focus has left.
    if (place.contains(document.activeElement)) return;
    place.dataset.starts = wanted;
    place.replaceChildren(...starts.map((start) => {
      const link = Object.assign(document.createElement("a"), {
        className: "time", href: `${this.#offer.address({ chosen: start })}#lesson`,
      });
      const day = soon(dayOf(start, this.#offer.zone), this.#offer.today);
      link.append(Object.assign(document.createElement("small"), { textContent: day }), ` ${clock(start, this.#offer.zone)}`);
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
    if (this.#dead) {
      announce(document.getElementById("why-text").textContent);
      document.querySelector("#instead a")?.focus();
      return;
    }
    this.#sending = true;
    this.#wrong("");
    const slow = setTimeout(() => this.#label("Booking…", true), SLOW);
    try {
      await this.#send();
    } catch {
      if (this.#made) this.#done(this.#made);
      else this.#wrong("We could not reach the server. Press the button again: it books at most once.");
    } finally {
      clearTimeout(slow);
      this.#sending = false;
      if (!this.#dead) this.#label("Book this time", false);
      this.dispatchEvent(new Event("answered"));
    }
  }

  async #send() {
    const fields = Object.fromEntries([...new FormData(this.#form)].filter(([name, value]) => value !== "" && !name.startsWith("_")));
    const body = JSON.stringify({ ...fields, duration_minutes: Number(fields.duration_minutes) });
    // The same attempt keeps its key, so that a repeat after a lost answer is not a second lesson.
    if (body !== this.#body) this.#key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.#body = body;
    const response = await fetch(this.#form.action, {
      method: "POST", body, signal: AbortSignal.timeout(20_000),
      headers: { "content-type": "application/json", accept: "application/json", "idempotency-key": this.#key },
    });
    const answer = await response.json();
    if (response.ok) {
      this.#done(answer.id);
      await new Promise(() => {}); // this page is over; the button stays as it is
    }
    this.#body = "";
    this.#refused(answer);
  }

  #done(id) {
    sessionStorage.removeItem(this.#shelf);
    location.assign(`/lessons#booking-${id}`);
  }

  #refused({ code, detail, field, alternatives, version }) {
    if (code === "NOT_SIGNED_IN") {
      this.#keep();
      location.assign(`/login?${new URLSearchParams({ next: this.#offer.address() })}`);
    } else if (alternatives) {
      this.#refusal = { start: this.#offer.chosen, version };
      this.die(detail, alternatives.map((start) => Date.parse(start)), code === "SLOT_TAKEN" ? "This time has just been taken" : "This time is not free");
      document.getElementById("why").scrollIntoView({ block: "nearest" });
    } else {
      this.#wrong(detail);
      const input = this.#form.elements.namedItem(field ?? "");
      if (input instanceof HTMLElement && input.type !== "hidden") {
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    }
  }

  #wrong(sentence) {
    text("wrong", sentence);
    for (const input of this.#form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }

  #label(words, off) {
    if (!this.#button) return;
    this.#button.textContent = words;
    if (off) this.#button.setAttribute("aria-disabled", "true");
    else this.#button.removeAttribute("aria-disabled");
    if (this.#dead) this.#button.setAttribute("aria-describedby", "why-text");
    else this.#button.removeAttribute("aria-describedby");
  }

  // ---- fields and links

  #fields(values) {
    document.getElementById("other-times")?.replaceWith(Object.assign(document.createElement("input"), { type: "hidden", name: "start" }));
    for (const [name, value] of Object.entries(values)) this.#form.elements.namedItem(name).value = value;
  }

  #links() {
    const next = new URLSearchParams({ next: this.#offer.address() });
    for (const [id, path] of [["sign-in", "/login"], ["join", "/register"]]) {
      const link = document.getElementById(id);
      if (link) link.href = `${path}?${next}`;
    }
  }

  // What was typed outlives having to sign in again.
  get #shelf() {
    return `lesson ${this.#given.instructor}`;
  }

  #keep() {
    const typed = ["location_type", "location", "note"].map((name) => [name, this.#form.elements.namedItem(name).value]);
    sessionStorage.setItem(this.#shelf, JSON.stringify(typed));
  }

  #restore() {
    const kept = this.#form && sessionStorage.getItem(this.#shelf);
    if (!kept) return;
    sessionStorage.removeItem(this.#shelf);
    for (const [name, value] of JSON.parse(kept)) this.#form.elements.namedItem(name).value = value;
  }
}

function text(id, words) {
  const element = document.getElementById(id);
  if (element && element.textContent !== words) element.textContent = words;
}
