"""`/teach/stats`: an instructor's lessons and earnings in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from starlette.responses import Response

from app import formatting, web
from app.accounts.session import SignedIn
from app.bookings import history
from app.bookings.history import MonthJson
from app.catalog import instructor
from app.web import Request

MONTHS = 12


@dataclass(frozen=True)
class Bar:
    """`percent` of the best month."""

    month: str
    cents: int
    percent: int


@web.may("view_own_analytics")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    profile = await instructor.own(pool, account.account_id)
    stats = await history.stats(pool, account.account_id, now=now)
    today = formatting.local_day(now, profile.time_zone)
    return web.page(
        request,
        "teach_stats.html",
        stats=stats,
        bars=_bars(stats["earnings_by_month"], today),
        percent_cancelled=round(100 * stats["cancellation_rate"]),
    )


def _bars(earnings: Sequence[MonthJson], today: date) -> list[Bar]:
    """The last months, the latest first, back to the first month with earnings."""
    cents = {row["month"]: row["cents"] for row in earnings}
    first = min(cents, default="")
    last = today.year * 12 + today.month - 1
    months = [date(n // 12, n % 12 + 1, 1) for n in range(last, last - MONTHS, -1)]
    months = [month for month in months if f"{month:%Y-%m}" >= first]
    amounts = {month: cents.get(f"{month:%Y-%m}", 0) for month in months}
    best = max(amounts.values(), default=0) or 1
    return [
        Bar(f"{month:%B %Y}", amount, round(100 * amount / best))
        for month, amount in amounts.items()
    ]
