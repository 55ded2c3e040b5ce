"""The metadata of a page for search engines and link previews. A page without it is not indexed."""

from dataclasses import dataclass
from typing import Any

from app import formatting
from app.catalog.instructor import Instructor

MAX_DESCRIPTION = 160
MAX_OFFERS = 30


@dataclass(frozen=True, slots=True)
class Meta:
    """`path` is the canonical one, `data` is schema.org's (JSON-LD)."""

    description: str
    path: str
    type: str = "website"
    data: dict[str, Any] | None = None
    is_indexed: bool = True


def home(site_url: str) -> Meta:
    return Meta(
        "In-person lessons across New York: music, languages, sport and more. See which "
        "instructors are really free, and book in seconds.",
        "/",
        data={
            "@context": "https://schema.org",
            "@type": "WebSite",
            "name": "InstaInstru",
            "url": f"{site_url}/",
            "potentialAction": {
                "@type": "SearchAction",
                "target": f"{site_url}/search?q={{search_term_string}}",
                "query-input": "required name=search_term_string",
            },
        },
    )


def profile(instructor: Instructor, areas: list[str], site_url: str) -> Meta:
    path = f"/instructors/{instructor.id}"
    services = instructor.services
    subjects = ", ".join(service.name for service in services[:3])
    places = f" in {', '.join(areas[:3])}" if areas else ""
    sentence = f"{subjects} with {instructor.name}{places}. " if services else ""
    text = f"{sentence}{instructor.headline or 'Book a time that is really free.'}"
    return Meta(
        shortened(text),
        path,
        type="profile",
        data={
            "@context": "https://schema.org",
            "@type": "Person",
            "name": instructor.name,
            "url": site_url + path,
            "description": instructor.headline,
            "jobTitle": "Instructor",
            "makesOffer": [
                {
                    "@type": "Offer",
                    "itemOffered": {
                        "@type": "Service",
                        "name": f"{service.name} lessons",
                        "areaServed": areas or ["New York City"],
                    },
                    "priceSpecification": {
                        "@type": "UnitPriceSpecification",
                        "price": f"{service.hourly_rate_cents / 100:.2f}",
                        "priceCurrency": "USD",
                        "unitCode": "HUR",
                    },
                }
                for service in services[:MAX_OFFERS]
            ],
        },
    )


def item_list(addresses: list[str], site_url: str) -> dict[str, Any]:
    """A list of pages."""
    return {
        "@context": "https://schema.org",
        "@type": "ItemList",
        "itemListElement": [
            {"@type": "ListItem", "position": position, "url": site_url + address}
            for position, address in enumerate(addresses, 1)
        ],
    }


def shortened(text: str) -> str:
    """At most as long as search engines show."""
    line = " ".join(text.split())
    if len(line) <= MAX_DESCRIPTION:
        return line
    return f"{line[: MAX_DESCRIPTION - 1].rpartition(' ')[0]}…"


def search_address(**criteria: object) -> str:
    return formatting.address("/search", **criteria)
