"""`/admin/bookings/new`: booking for a student, in three steps: the student, the instructor, the
lesson."""

from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from app import refusal, web
from app.accounts import staff
from app.accounts.session import SignedIn
from app.accounts.staff_routes import AccountsQuery
from app.catalog import instructor
from app.web import Request

MAX_ACCOUNTS = 10
OVERRIDES = [
    ("availability", "outside the instructor’s hours"),
    ("blackout", "on a day that the instructor has blocked"),
    ("notice", "sooner than the instructor’s minimum notice"),
    ("horizon", "more than 90 days ahead"),
]


class BookingQuery(AccountsQuery):
    limit: int = Field(MAX_ACCOUNTS, ge=1, le=100)
    student: UUID | None = None
    instructor: UUID | None = None


@web.may("manage_all_bookings")
async def page(request: Request, _: SignedIn) -> Response:
    pool, sentence = request.state["pool"], ""
    try:
        query = web.query(request, BookingQuery)
    except refusal.ValidationError as error:
        accounts = {
            name: value
            for name, value in request.query_params.items()
            if name in {"student", "instructor"}
        }
        query, sentence = web.check(BookingQuery, accounts), error.detail
    student = await staff.account(pool, query.student) if query.student else None
    profile = await instructor.find(pool, query.instructor) if query.instructor else None
    step = "instructor" if student else "student"
    matching = []
    if not (student and profile) and not sentence:
        matching = await staff.accounts(
            pool,
            text=query.q,
            role="instructor" if student else "student",
            limit=MAX_ACCOUNTS,
        )
    state: web.PerRequest = request.scope["state"]
    problem = state.get("refusal")
    return web.page(
        request,
        "admin_book.html",
        status=422 if sentence else 200,
        student=student,
        instructor=profile,
        step=step,
        accounts=matching,
        text=request.query_params.get("q", ""),
        sentence=sentence,
        necessary=(problem.more.get("override") or []) if problem else [],
        overrides=OVERRIDES,
    )
