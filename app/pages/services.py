"""`/services`: everything that can be learned, by category. app/static/services.js filters it as
you type."""

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.catalog import category
from app.pages import meta
from app.pages.meta import Meta
from app.web import Request

MAX_INSTRUCTORS = 5


@web.visitor
async def page(request: Request, _: SignedIn | None) -> Response:
    pool, site_url = request.state["pool"], request.state["settings"].site_url
    categories = await category.categories(pool)
    return web.page(
        request,
        "services.html",
        meta=Meta(
            "Everything you can learn in person in New York, from piano to SAT prep: all services "
            "by category.",
            "/services",
            data=meta.item_list(
                [meta.search_address(category=each.slug) for each in categories], site_url
            ),
        ),
        categories=categories,
        services=await category.listed_services(pool, max_instructors=MAX_INSTRUCTORS),
        max_instructors=MAX_INSTRUCTORS,
    )
