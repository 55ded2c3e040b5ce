// What happened to times, told in as few sentences as it takes: "2 times on Tuesday were just taken."

import { weekday } from "./clock.js";
import { announce } from "./status.js";

const GATHER = 700; // what comes within this is told together

const WORDS = {
  taken: ["was just taken", "were just taken"],
  held: ["is being booked by someone", "are being booked by someone"],
  back: ["just became free", "just became free"],
};

export class News {
  #gathered = new Map(); // "taken 2026-11-24" → the clock times
  #timer = null;

  add(kind, day, time) {
    const key = `${kind} ${day}`;
    this.#gathered.set(key, [...(this.#gathered.get(key) ?? []), time]);
    this.#timer ??= setTimeout(() => this.#tell(), GATHER);
  }

  #tell() {
    this.#timer = null;
    const sentences = [...this.#gathered].map(([key, times]) => {
      const [kind, day] = key.split(" ");
      const [one, many] = WORDS[kind];
      return times.length === 1 ? `${times[0]} on ${weekday(day)} ${one}.` : `${times.length} times on ${weekday(day)} ${many}.`;
    });
    this.#gathered.clear();
    announce(sentences.join(" "));
  }
}
