"""`/robots.txt` and `/sitemap.xml`: the pages that search engines may list. The sitemap is split
into parts of PART_SIZE instructors, at most MAX_PARTS of them."""

from collections.abc import Iterable
from uuid import UUID
from xml.sax.saxutils import escape

from starlette.responses import Response

from app import formatting, refusal, web
from app.catalog import category
from app.statements import PUBLIC_SECONDS, statement
from app.web import Request

PART_SIZE = 1_000
MAX_PARTS = 100
FIRST = UUID(int=0)
CACHED = {"Cache-Control": "public, max-age=3600"}
# Pages of accounts, the API, and corrected searches, whose links never end.
NOT_CRAWLED = (
    *("/api/", "/account", "/admin/", "/book/", "/dev/", "/lessons", "/login", "/teach"),
    "/search?refined=",
)

_sitemap_parts = statement("sitemap_parts", UUID, seconds=PUBLIC_SECONDS)
_sitemap_instructors = statement("sitemap_instructors", UUID, seconds=PUBLIC_SECONDS)


@web.public
async def robots(request: Request) -> Response:
    lines = [
        "User-agent: *",
        *(f"Disallow: {path}" for path in NOT_CRAWLED),
        f"Sitemap: {_site(request)}/sitemap.xml",
    ]
    return Response("\n".join(lines) + "\n", headers=CACHED, media_type="text/plain")


@web.public
async def index(request: Request) -> Response:
    site = _site(request)
    parts = await _sitemap_parts.all(request.state["pool"], size=PART_SIZE, max_parts=MAX_PARTS)
    addresses = [
        f"{site}/sitemap/pages.xml",
        *(
            formatting.address(f"{site}/sitemap/instructors.xml", after=after)
            for after in [FIRST, *parts]
        ),
    ]
    return _xml("sitemapindex", "sitemap", addresses)


@web.public
async def pages(request: Request) -> Response:
    """The start page, the services, and the results of each category and service."""
    site, pool = _site(request), request.state["pool"]
    paths = [
        "/",
        "/services",
        *(f"/search?category={each.slug}" for each in await category.categories(pool)),
        *(f"/search?service={each.slug}" for each in await category.services(pool)),
    ]
    return _xml("urlset", "url", [site + path for path in paths])


@web.public
async def instructors(request: Request) -> Response:
    try:
        after = UUID(request.query_params.get("after", str(FIRST)))
    except ValueError:
        raise refusal.NotFound from None
    ids = await _sitemap_instructors.all(request.state["pool"], after=after, limit=PART_SIZE)
    return _xml("urlset", "url", [f"{_site(request)}/instructors/{each}" for each in ids])


def _site(request: Request) -> str:
    return request.state["settings"].site_url


def _xml(root: str, element: str, addresses: Iterable[str]) -> Response:
    """The XML of https://www.sitemaps.org/protocol.html."""
    rows = "".join(f"<{element}><loc>{escape(each)}</loc></{element}>" for each in addresses)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</{root}>\n'
    )
    return Response(text, headers=CACHED, media_type="application/xml")
