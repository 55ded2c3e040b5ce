// /search: reports which results were shown, hovered and clicked, each once, to evaluate the
// ranking. Nothing waits for the reports.

const HOVER_MS = 500;

const { search_id: search, cards } =
  JSON.parse(document.getElementById("page-data").textContent);
const instructorOf = new Map(cards.map(({ service, instructor }) => [service.id, instructor]));
const reported = new Set();

function report(element, kind) {
  const instructor = instructorOf.get(element.dataset.service);
  const key = `${kind} ${instructor}`;
  if (!instructor || reported.has(key)) return;
  reported.add(key);
  const body = JSON.stringify({ search_id: search, instructor_id: instructor, kind });
  navigator.sendBeacon(
    "/api/search/interactions", new Blob([body], { type: "application/json" }),
  );
}

if (search) {
  const visible = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) report(target, "shown");
  }, { threshold: 0.5 });
  for (const card of document.querySelectorAll("article[data-service]")) {
    visible.observe(card);
    let timer = null;
    card.addEventListener("pointerenter", () => {
      timer = setTimeout(() => report(card, "hovered"), HOVER_MS);
    });
    card.addEventListener("pointerleave", () => clearTimeout(timer));
    card.addEventListener("click", (event) => {
      if (event.target.closest("a, button")) report(card, "clicked");
    });
  }
}
