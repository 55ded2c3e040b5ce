// The card "Your lesson" and the form that holds its time. A selection or a refusal changes the
// card in place. Events: "select" with a start, "attempted" after an attempt to hold.

import {
  clock, dayOf, freeToCancel, moment, money, now, plural, soon, week, wire,
} from "./formatting.js";
import { attempt } from "./attempt.js";
import { announce } from "./status.js";

const BUSY_AFTER_MS = 300; // the button says "Holding…" after this long
const LABEL = "Review and book";

export class Lesson extends EventTarget {
  #offer;
  #pageData;
  #card = document.getElementById("lesson");
  #form = document.querySelector("form#hold");
  #button = document.getElementById("hold-button");
  #sending = false;
  #unavailable = false;
  #drawn = null; // the start that is drawn
  #freeStart = null; // the last selected start that was free on this page
  #refusal = null; // {start, version}: a refused start, and the calendar version of its refusal
  #send = attempt();
  #awaited = null; // the start whose response has not arrived
  #holdId = null; // of this attempt's hold, from the live connection
  #saysUnreachable = false; // the error is that the server cannot be reached
  #isVisible = false;

  constructor(offer, pageData) {
    super();
    this.#offer = offer;
    this.#pageData = pageData;
    this.#form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#hold();
    });
    // The card counts as visible once enough of it can be noticed.
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.#isVisible = isIntersecting;
      this.#drawLink();
    }, { rootMargin: "0px 0px -120px 0px" }).observe(this.#card);
    this.draw();
  }

  get sending() {
    return this.#sending;
  }

  focus() {
    this.#card.focus();
  }

  // Shows the selection. Its time may have been taken, or freed again.
  draw() {
    const { selected, zone, minutes, service, cents } = this.#offer;
    const hint = selected !== null && this.#offer.hint(selected);
    text("what", `${service.name}, ${minutes} min`);
    text("when", selected === null ? this.#invitation : moment(selected, zone, now()));
    if (hint) {
      const note = document.createElement("small");
      note.textContent = `${hint} your time`;
      document.getElementById("when").append(note);
    }
    text("price", money(cents));
    this.#drawLinks();
    if (selected !== this.#drawn) this.#clearMessages();
    this.#drawn = selected;
    const isOwn = this.#drawOwn();
    const isOpen = selected !== null && !isOwn;
    text("policy", isOpen ? this.#policy(selected) : "");
    document.getElementById("policy").hidden = !isOpen;
    if (this.#form) {
      this.#form.hidden = !isOpen;
      this.#setFields({
        start: selected === null ? "" : wire(selected),
        duration_minutes: minutes,
        service_id: service.id,
        _page: this.#returnAddress,
      });
      this.#drawOtherHold();
    }
    const isBookable = isOpen ? this.#offer.isBookable(selected) : true;
    if (isBookable !== undefined && !this.#sending) this.#update(isBookable);
    this.#drawLink();
    const guest = document.getElementById("guest");
    if (guest) guest.hidden = this.#unavailable || (selected === null && this.#offer.isEmptyWeek);
  }

  get #invitation() {
    const { isEmptyWeek, first } = this.#offer;
    const days = week(first).replaceAll(" ", "\u00a0");
    return isEmptyWeek ? `Nothing free ${days}` : "Choose a time";
  }

  // Messages about another time no longer apply.
  #clearMessages() {
    this.#showError("");
    this.#refusal = null;
    if (this.#drawn === null) return;
    const notice = document.getElementById("refusal");
    if (notice) notice.hidden = true;
  }

  // A lesson that the viewer has booked or holds leads to its own page.
  #drawOwn() {
    const { selected, zone, hold } = this.#offer;
    const booked = selected !== null && this.#offer.booked(selected);
    const held = selected !== null && this.#offer.isHeld(selected) ? hold : null;
    const own = booked || held;
    document.getElementById("own").hidden = !own;
    if (!own) return false;
    const until = held && clock(held.until, zone);
    const holding = `You’re holding this time until ${until}.`;
    text("own-text", booked ? "You booked this lesson." : holding);
    text("own-link", booked ? "See your lesson" : "Continue booking");
    document.getElementById("own-link").href = `/book/${own.id}`;
    return true;
  }

  #drawOtherHold() {
    const { hold, selected, zone } = this.#offer;
    const other = hold && selected !== null && !this.#offer.isHeld(selected);
    document.getElementById("other-hold").hidden = !other;
    const when = other && moment(hold.start, zone, now());
    if (other) text("other-hold", `This replaces the time you’re holding, ${when}.`);
  }

  // The button that leads to the card while the card is out of sight.
  #drawLink() {
    const { selected, cents } = this.#offer;
    const link = document.getElementById("to-lesson");
    link.hidden = selected === null || this.#isVisible;
    link.toggleAttribute("data-away", !this.#isVisible);
    if (selected === null) return;
    const when = this.#offer.briefMoment(selected);
    if (this.#offer.booked(selected)) link.textContent = `You booked ${when}`;
    else if (this.#unavailable) link.textContent = `${when} isn’t free. Other times →`;
    else link.textContent = `Review and book · ${when} · ${money(cents)}`;
  }

  // The live connection says that the viewer holds a time. It replaces a lost response.
  onBooking({ id, state, start }) {
    if (state !== "held" || Date.parse(start) !== this.#awaited) return;
    this.#holdId = id;
    if (!this.#sending) this.#leave(id);
  }

  // The card must not say that the server can't be reached while the page is live.
  reconnected() {
    if (this.#saysUnreachable) this.#showError("");
  }

  #policy(start) {
    const { zone } = this.#offer;
    const until = start - this.#pageData.free_cancel_hours * 3_600_000;
    return `${freeToCancel(until, zone, now())}. After that, it counts as late.`;
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
  #showUnavailable(reason, starts) {
    const others = starts.length ? `Choose from ${plural(starts.length, "time")} near it.` : "";
    if (!this.#unavailable) announce(`${reason} ${others}`);
    this.#unavailable = true;
    this.#showError("");
    text("reason", reason);
    document.getElementById("unavailable").hidden = false;
    document.getElementById("when").classList.add("unavailable");
    this.#showAlternatives(starts);
    this.#drawButton(reason.replace(/\..*/, ""), true);
    this.#drawLink();
  }

  #showAvailable() {
    this.#unavailable = false;
    document.getElementById("unavailable").hidden = true;
    document.getElementById("when").classList.remove("unavailable");
    this.#drawButton(LABEL, false);
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

  // ---- holding

  async #hold() {
    if (this.#sending) return;
    if (this.#unavailable) {
      announce(document.getElementById("reason").textContent);
      document.querySelector("#alternatives a")?.focus();
      return;
    }
    this.#sending = true;
    this.#showError("");
    const slow = setTimeout(() => this.#drawButton("Holding this time…", true), BUSY_AFTER_MS);
    try {
      await this.#request();
    } catch {
      if (this.#holdId) this.#leave(this.#holdId);
      else this.#showUnreachable();
    } finally {
      clearTimeout(slow);
      this.#sending = false;
      if (!this.#unavailable) this.#drawButton(LABEL, false);
      this.dispatchEvent(new Event("attempted"));
    }
  }

  async #request() {
    const { service, selected: start, minutes } = this.#offer;
    const body = {
      service_id: service.id,
      start: wire(start),
      duration_minutes: minutes,
      location_type: this.#form.elements.namedItem("location_type").value,
    };
    this.#awaited = start;
    const { ok, content } = await this.#send("/api/holds", body);
    if (ok) {
      this.#leave(content.id);
      await new Promise(() => {}); // leave the button unchanged until the next page loads
    }
    this.#awaited = null;
    this.#onRefusal(content);
  }

  #leave(id) {
    location.assign(`/book/${id}`);
  }

  #onRefusal({ code, detail, field, alternatives, version, booking_id: id }) {
    if (code === "NOT_SIGNED_IN") {
      location.assign(`/login?${new URLSearchParams({ next: this.#returnAddress })}`);
    } else if (field === "location_type") {
      location.reload(); // the service is offered at other places now
    } else if (alternatives) {
      this.#refusal = { start: this.#offer.selected, version };
      // The time was free on this screen.
      const reason = code === "SLOT_TAKEN" ? "This time has just been taken." : detail;
      this.#showUnavailable(reason, alternatives.map((start) => Date.parse(start)));
      document.getElementById("unavailable").scrollIntoView({ block: "nearest" });
    } else {
      this.#showError(detail);
      if (code === "HOLD_LIMIT") this.#addLink("/lessons", "See the times you hold");
      if (id) this.#addLink(`/book/${id}`, "See that lesson");
    }
  }

  #addLink(href, textContent) {
    const link = Object.assign(document.createElement("a"), { href, textContent });
    document.getElementById("form-error").append(" ", link);
  }

  #showError(sentence) {
    if (!this.#form) return;
    this.#saysUnreachable = false;
    text("form-error", sentence);
  }

  #showUnreachable() {
    this.#showError("We couldn’t reach the server. Try again. You won’t hold it twice.");
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
    const { elements } = this.#form;
    for (const [name, value] of Object.entries(values)) elements.namedItem(name).value = value;
  }

  // Where a visitor returns to after signing in.
  get #returnAddress() {
    return this.#offer.address() + (this.#offer.selected === null ? "" : "#lesson");
  }

  #drawLinks() {
    const next = new URLSearchParams({ next: this.#returnAddress });
    for (const [id, path] of [["sign-in", "/login"], ["join", "/register"]]) {
      const link = document.getElementById(id);
      if (link) link.href = `${path}?${next}`;
    }
    const fields = document.getElementById("become-student")?.elements;
    if (fields) fields._page.value = fields.next.value = this.#returnAddress;
  }
}

function text(id, content) {
  const element = document.getElementById(id);
  if (element && element.textContent !== content) element.textContent = content;
}
