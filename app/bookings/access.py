"""Which bookings an account may see and cancel, and whose outcome it may record."""

from app import refusal, web
from app.accounts.session import SignedIn
from app.bookings import booking
from app.bookings.booking import Booking, Parties
from app.web import Request


async def find(request: Request, account: SignedIn) -> Booking:
    """The booking whose id is in the path. Raises NotFound, and NotAllowed if the account no longer
    has the role that it has in the booking."""
    sees_all = "view_all_bookings" in account.permissions
    lesson = await booking.find(
        request.state["pool"],
        web.path_id(request),
        viewer=account.account_id,
        sees_all=sees_all,
    )
    is_student = account.account_id == lesson.student_id
    permission = "view_own_bookings" if is_student else "view_incoming_bookings"
    if not sees_all and permission not in account.permissions:
        raise refusal.NotAllowed
    return lesson


def check_may_cancel(account: SignedIn, lesson: Parties) -> None:
    """Raises NotFound and NotAllowed."""
    is_student = account.account_id == lesson.student_id
    if is_student or account.account_id == lesson.instructor_id:
        permission = "cancel_own_bookings" if is_student else "cancel_student_bookings"
        if not {permission, "manage_all_bookings"} & account.permissions:
            raise refusal.NotAllowed
    elif "view_all_bookings" not in account.permissions:
        raise refusal.NotFound
    elif "manage_all_bookings" not in account.permissions:
        raise refusal.NotAllowed


def check_may_record_outcome(account: SignedIn, lesson: Parties) -> None:
    """Raises NotFound and NotAllowed."""
    is_instructor = account.account_id == lesson.instructor_id
    if is_instructor and "complete_bookings" in account.permissions:
        return
    if "manage_all_bookings" not in account.permissions:
        is_own = is_instructor or account.account_id == lesson.student_id
        sees_all = "view_all_bookings" in account.permissions
        raise refusal.NotAllowed if is_own or sees_all else refusal.NotFound
