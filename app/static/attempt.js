// Sends a changing call to the API with an Idempotency-Key. A repeat of the same attempt keeps its
// key, so that it has no second effect.

const TIMEOUT = 20_000;

// A function that sends `body` as JSON to a path, and resolves to {ok, content}. It rejects if the
// server cannot be reached; sending the same again is then safe.
export function attempt() {
  let last = "";
  let key = null;

  return async (path, body = {}, method = "POST") => {
    const text = JSON.stringify(body);
    const current = `${method} ${path} ${text}`;
    if (current !== last) key = crypto.getRandomValues(new Uint32Array(4)).join("-");
    last = current;
    const response = await fetch(path, {
      method,
      body: text,
      signal: AbortSignal.timeout(TIMEOUT),
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "idempotency-key": key,
      },
    });
    const content = response.status === 204 ? null : await response.json();
    if (response.status < 500) last = ""; // otherwise the call may have worked
    return { ok: response.ok, content };
  };
}
