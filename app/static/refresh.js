// Reads a page's data from the server again: one read at a time, repeated after a failure. When all
// pages must read, each waits for a random time.

// Milliseconds.
const SPREAD = 5_000; // a new epoch or a restart tells every open page to read again at once
const FIRST_RETRY = 2_000;
const LAST_RETRY = 60_000;
const READ_TIMEOUT = 10_000;

// The wait after a number of failures in a row, in milliseconds. `random` is in [0, 1).
export function retryDelay(failures, random) {
  const longest = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** (failures - 1));
  return longest * (0.5 + random / 2);
}

// Event "change": `isBehind` may have changed.
export class Refresh extends EventTarget {
  #read;
  #running = null;
  #repeat = false;
  #failures = 0;
  #timer = null;
  #due = Infinity;

  // `read` reads and draws; it throws if the server cannot be reached or refuses.
  constructor(read) {
    super();
    this.#read = read;
  }

  // Whether the page may be outdated, because a read is still to come.
  get isBehind() {
    return this.#timer !== null;
  }

  // Reads at a random moment within SPREAD.
  soon() {
    this.#schedule(Math.random() * SPREAD);
  }

  // Reads at once, and resolves to whether it worked. Calls during a read cause one more.
  now() {
    this.#cancel();
    if (this.#running) this.#repeat = true;
    else this.#running = this.#run();
    return this.#running;
  }

  // Reads once more if a read is running, since it may miss the latest change.
  repeat() {
    if (this.#running) this.#repeat = true;
  }

  async #run() {
    try {
      do {
        this.#repeat = false;
        await this.#read();
      } while (this.#repeat);
      this.#failures = 0;
      return true;
    } catch {
      this.#failures += 1;
      this.#schedule(retryDelay(this.#failures, Math.random()));
      return false;
    } finally {
      this.#running = null;
      this.dispatchEvent(new Event("change"));
    }
  }

  // Of two scheduled reads, the earlier one counts.
  #schedule(wait) {
    const due = Date.now() + wait;
    if (due >= this.#due) return;
    this.#cancel();
    this.#due = due;
    this.#timer = setTimeout(() => this.now(), wait);
    this.dispatchEvent(new Event("change"));
  }

  #cancel() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#due = Infinity;
  }
}

// A page, by default this one, as the server draws it now.
export async function readPage(address = location.href) {
  const text = await (await read(address, "text/html")).text();
  return new DOMParser().parseFromString(text, "text/html");
}

export async function readJson(path) {
  return (await read(path, "application/json")).json();
}

async function read(address, accept) {
  const signal = AbortSignal.timeout(READ_TIMEOUT);
  const response = await fetch(address, { headers: { accept }, signal });
  if (!response.ok || response.redirected) throw new Error(`${address}: ${response.status}`);
  return response;
}
