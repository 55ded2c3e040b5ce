// The card "Your lesson" and the form that books it. A selection or a refusal changes the card in
// place, and the form keeps what was typed. Events: "select" with a start, "settled" after an
// attempt to book.

import { clock, dayOf, moment, money, now, plural, soon, wire } from "./formatting.js";
import { announce } from "./status.js";

const BUSY_AFTER_MS = 300; // the button says "Booking…" after this long

export class Lesson extends EventTarget {
  #offer;
  #pageData;
  #card = document.getElementById("lesson");
  #form = document.querySelector("form#book");
  #button = document.getElementById("book-button");
  #sending = false;
  #unavailable = false;
  #freeStart = null; // the last selected start that was free on this page
  #refusal = null; // {start, version}: a refused start, and the calendar version of its refusal
  #key = null; // the Idempotency-Key of #body
  #body = "";
  #bookingId = null; // of this attempt's booking, from the live connection
  #saysUnreachable = false; // the error is that the server cannot be reached

  constructor(offer, pageData) {
    super();
    this.#offer = offer;
    this.#pageData = pageData;
    this.#restoreFields();
    this.#form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#book();
    });
    this.draw();
  }

  get sending() {
    return this.#sending;
  }

  // Shows the selection. Its time may have been taken, or freed again.
  draw() {
    const { selected, zone, minutes, service, cents } = this.#offer;
    const hint = selected !== null && this.#offer.hint(selected);
    text("what", `${service.name}, ${minutes} min`);
    text("when", selected === null ? "Choose a time" : moment(selected, zone));
    if (hint) {
      const note = document.createElement("small");
      note.textContent = `${hint} your time`;
      document.getElementById("when").append(note);
    }
    text("price", money(cents));
    text("policy", selected === null ? "" : this.#policy(selected));
    document.getElementById("policy").hidden = selected === null;
    this.#links();
    if (this.#form) {
      this.#form.hidden = selected === null;
      this.#setFields({
        start: selected === null ? "" : wire(selected),
        duration_minutes: minutes,
        service_id: service.id,
        _page: this.#offer.address(),
      });
    }
    const isBookable = selected === null ? undefined : this.#offer.isBookable(selected);
    const isKnown = selected === null || isBookable !== undefined;
    if (isKnown && !this.#sending) this.#update(isBookable !== false);
    this.#drawLink();
  }

  // The button that leads to the card, which a phone shows below the board.
  #drawLink() {
    const { selected, zone, cents } = this.#offer;
    const link = document.getElementById("to-lesson");
    link.hidden = selected === null;
    if (selected === null) return;
    const when = moment(selected, zone);
    const rest = this.#unavailable ? " isn’t free. Other times" : ` · ${money(cents)}`;
    link.textContent = `${when}${rest} →`;
  }

  // The live connection says that the viewer booked a lesson. It replaces a lost response.
  onBooking({ id, start, service }) {
    const { service: { id: serviceId }, selected } = this.#offer;
    if (!this.#body || service.id !== serviceId || Date.parse(start) !== selected) return;
    this.#bookingId = id;
    if (!this.#sending) this.#leave(id);
  }

  // The card must not say that the server can't be reached while the page is live.
  reconnected() {
    if (this.#saysUnreachable) this.#showError("");
  }

  #policy(start) {
    const { zone } = this.#offer;
    const until = start - this.#pageData.free_cancel_hours * 3_600_000;
    const grace = until <= now() + 5 * 60_000;
    const limit = grace ? "for 5 minutes after booking" : `until ${moment(until, zone)}`;
    return `Free to cancel ${limit}. After that, it counts as late.`;
  }

  // ---- a selected time that cannot be booked

  #update(isBookable) {
    const { selected, version } = this.#offer;
    // A refused start stays unavailable until a newer board arrives.
    if (this.#refusal?.start === selected && version <= this.#refusal.version) return;
    if (isBookable) {
      this.#freeStart = selected;
      if (this.#unavailable) this.#showAvailable();
      return;
    }
    const reason = this.#offer.obstacle(selected, selected === this.#freeStart);
    const starts = this.#offer.alternatives(selected);
    const isShown = this.#unavailable && document.getElementById("reason").textContent === reason;
    if (isShown) this.#showAlternatives(starts);
    else this.#showUnavailable(reason, starts);
  }

  // Says why the selected time cannot be booked, and shows alternatives.
  #showUnavailable(reason, starts, label = reason.replace(/\.$/, "")) {
    const others = starts.length ? `Choose from ${plural(starts.length, "time")} near it.` : "";
    if (!this.#unavailable) announce(`${reason} ${others}`);
    this.#unavailable = true;
    this.#showError("");
    text("reason", reason);
    document.getElementById("unavailable").hidden = false;
    document.getElementById("when").classList.add("unavailable");
    this.#showAlternatives(starts);
    this.#drawButton(label, true);
  }

  #showAvailable() {
    this.#unavailable = false;
    document.getElementById("unavailable").hidden = true;
    document.getElementById("when").classList.remove("unavailable");
    this.#drawButton("Book this time", false);
  }

  #showAlternatives(starts) {
    const list = document.getElementById("alternatives");
    const key = starts.map(wire).join();
    list.hidden = !starts.length;
    if (list.dataset.starts === key) return;
    // Redraw only after the focus has left the list.
    if (list.contains(document.activeElement)) return;
    list.dataset.starts = key;
    list.replaceChildren(...starts.map((start) => {
      const link = Object.assign(document.createElement("a"), {
        className: "time", href: `${this.#offer.address({ selected: start })}#lesson`,
      });
      const day = soon(dayOf(start, this.#offer.zone), this.#offer.today);
      const dayLabel = Object.assign(document.createElement("small"), { textContent: day });
      link.append(dayLabel, ` ${clock(start, this.#offer.zone)}`);
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.dispatchEvent(new CustomEvent("select", { detail: start }));
        (this.#button ?? this.#card).focus({ preventScroll: true });
      });
      return link;
    }));
  }

  // ---- booking

  async #book() {
    if (this.#sending) return;
    if (this.#unavailable) {
      announce(document.getElementById("reason").textContent);
      document.querySelector("#alternatives a")?.focus();
      return;
    }
    this.#sending = true;
    this.#showError("");
    const slow = setTimeout(() => this.#drawButton("Booking…", true), BUSY_AFTER_MS);
    try {
      await this.#send();
    } catch {
      if (this.#bookingId) this.#leave(this.#bookingId);
      else this.#showUnreachable();
    } finally {
      clearTimeout(slow);
      this.#sending = false;
      if (!this.#unavailable) this.#drawButton("Book this time", false);
      this.dispatchEvent(new Event("settled"));
    }
  }

  async #send() {
    const entries = [...new FormData(this.#form)]
      .filter(([name, value]) => value !== "" && !name.startsWith("_"));
    const fields = Object.fromEntries(entries);
    const body = JSON.stringify({ ...fields, duration_minutes: Number(fields.duration_minutes) });
    // The same attempt keeps its key, so that a repeat cannot book twice.
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
      this.#leave(content.id);
      await new Promise(() => {}); // leave the button unchanged until the next page loads
    }
    this.#body = "";
    this.#onRefusal(content);
  }

  #leave(id) {
    sessionStorage.removeItem(this.#storageKey);
    location.assign(`/lessons#booking-${id}`);
  }

  #onRefusal({ code, detail, field, alternatives, version }) {
    if (code === "NOT_SIGNED_IN") {
      this.#saveFields();
      location.assign(`/login?${new URLSearchParams({ next: this.#offer.address() })}`);
    } else if (alternatives) {
      this.#refusal = { start: this.#offer.selected, version };
      const label = `This time ${code === "SLOT_TAKEN" ? "was just taken" : "isn’t available"}`;
      this.#showUnavailable(detail, alternatives.map((start) => Date.parse(start)), label);
      document.getElementById("unavailable").scrollIntoView({ block: "nearest" });
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
    this.#saysUnreachable = false;
    text("form-error", sentence);
    for (const input of this.#form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
    }
  }

  #showUnreachable() {
    this.#showError("We couldn’t reach the server. Try again. You won’t be booked twice.");
    this.#saysUnreachable = true;
  }

  #drawButton(label, disabled) {
    if (!this.#button) return;
    this.#button.textContent = label;
    if (disabled) this.#button.setAttribute("aria-disabled", "true");
    else this.#button.removeAttribute("aria-disabled");
    if (this.#unavailable) this.#button.setAttribute("aria-describedby", "reason");
    else this.#button.removeAttribute("aria-describedby");
  }

  // ---- fields and links

  #setFields(values) {
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

  // The fields are saved while the student signs in again.
  get #storageKey() {
    return `lesson ${this.#pageData.instructor}`;
  }

  #saveFields() {
    const names = ["location_type", "location", "note"];
    const fields = names.map((name) => [name, this.#input(name).value]);
    sessionStorage.setItem(this.#storageKey, JSON.stringify(fields));
  }

  #restoreFields() {
    const fields = this.#form && sessionStorage.getItem(this.#storageKey);
    if (!fields) return;
    sessionStorage.removeItem(this.#storageKey);
    for (const [name, value] of JSON.parse(fields)) this.#input(name).value = value;
  }
}

function text(id, content) {
  const element = document.getElementById(id);
  if (element && element.textContent !== content) element.textContent = content;
}
