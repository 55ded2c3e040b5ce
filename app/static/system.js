// The charts of /admin/system: the last minutes of each number, as an SVG line.

const POLL_MS = 2000;
const MAX_POINTS = 90;
const WIDTH = 180;
const HEIGHT = 48;
const SVG = "http://www.w3.org/2000/svg";

const status = document.querySelector("[data-status]");
const charts = [...document.querySelectorAll("[data-value]")].map(chartOf);
let failures = 0;

function chartOf(element) {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polyline");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true"); // the number beside it is text
  svg.append(line);
  element.querySelector("dd").append(svg);
  return {
    path: element.dataset.value.split("."),
    unit: element.dataset.unit,
    value: element.querySelector("dd span"),
    line,
    points: [],
    last: null,
  };
}

function text(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

/** The number to draw; null while there is none, as for the first of a rate. */
function current(chart, content, now) {
  const number = chart.path.reduce((part, name) => part?.[name], content) ?? null;
  if (number === null) return null;
  if (chart.unit === "MB") return number / 1e6;
  if (chart.unit !== "per second") return number;
  const last = chart.last;
  chart.last = { number, now };
  return last && Math.max(0, (number - last.number) / ((now - last.now) / 1000));
}

function draw(chart, content, now) {
  const number = current(chart, content, now);
  if (number === null) {
    if (chart.unit !== "per second") chart.value.textContent = "–";
    return;
  }
  chart.value.textContent = text(number);
  chart.points = [...chart.points, number].slice(-MAX_POINTS);
  const top = Math.max(1, ...chart.points);
  const step = WIDTH / (MAX_POINTS - 1);
  const first = MAX_POINTS - chart.points.length;
  const points = chart.points.map((point, index) => {
    const x = (first + index) * step;
    const y = HEIGHT - 2 - (point / top) * (HEIGHT - 4);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  chart.line.setAttribute("points", points.join(" "));
}

function show(sentence, isProblem) {
  if (status.textContent !== sentence) status.textContent = sentence; // announced once
  status.classList.toggle("down", isProblem);
}

async function poll() {
  try {
    const response = await fetch("/api/admin/system", { signal: AbortSignal.timeout(10_000) });
    if (response.status === 401 || response.status === 403) {
      show("Your access has ended. Reload the page to sign in.", true);
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const content = await response.json();
    const now = performance.now();
    for (const chart of charts) draw(chart, content, now);
    for (const part of document.querySelectorAll("[data-part]")) {
      part.hidden = content[part.dataset.part] !== null;
    }
    failures = 0;
    show("Updated every 2 seconds.", false);
  } catch {
    failures += 1;
    show("Couldn’t update. Trying again.", true);
  }
  setTimeout(poll, document.hidden ? 10 * POLL_MS : POLL_MS * Math.min(1 + failures, 5));
}

poll();
