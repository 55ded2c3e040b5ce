"""`/`: search, instructors with their next free times, and the visitor's next lessons."""

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.bookings import booking
from app.catalog import category
from app.pages import instructor_cards
from app.web import Request

FILTERS = ("q", "category", "service")
MAX_FILTER_LENGTH = 200
NEXT_LESSONS = 2


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    query = request.query_params
    filters = {name: query.get(name, "").strip()[:MAX_FILTER_LENGTH] for name in FILTERS}
    cards = await instructor_cards.cards(
        pool,
        words=filters["q"],
        category=filters["category"] or None,
        service=filters["service"] or None,
        now=now,
    )
    lessons = []
    if account and "view_own_bookings" in account.permissions:
        lessons = await booking.list_of(
            pool,
            account.account_id,
            role="student",
            scope="upcoming",
            now=now,
            limit=NEXT_LESSONS,
        )
    return web.page(
        request,
        "home.html",
        filters=filters,
        is_filtered=any(filters.values()),
        cards=cards,
        categories=await category.categories(pool),
        services=await category.services(pool) if query.get("show") == "services" else [],
        lessons=lessons,
        page_data=instructor_cards.page_data(cards, now),
    )
