"""Every refusal a user can get. Its docstring is the sentence the user reads; `status` and `code`
are part of the API (docs/api.md). Any other exception is a bug and answers 500."""

from typing import Any, ClassVar, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from app.schema import Id, InstantText


class Refusal(Exception):  # noqa: N818 — an expected response, not an error
    """That didn’t work."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "UNKNOWN"
    # The TypedDict of its further members, for the API's description.
    details: ClassVar[Any] = None

    def __init__(self, detail: str | None = None, *, field: str | None = None, **more: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.field = field
        # Every invalid field with its sentence, for the form; the API names the first.
        self.fields = {field: self.detail} if field else {}
        self.more = more
        # For the security log, if the request has no session: the account that was named.
        self.account_id: UUID | None = None
        super().__init__(self.detail)

    def as_json(self) -> dict[str, Any]:
        """`{"detail", "code", "field"?, …more}`, the shape of every error (docs/api.md)."""
        field = {"field": self.field} if self.field else {}
        return {"detail": self.detail, "code": self.code, **field, **self.more}


class NotSignedIn(Refusal):
    """Sign in to continue."""

    status = 401
    code = "NOT_SIGNED_IN"


class SignInFailed(NotSignedIn):
    """The e-mail address or password is wrong. Try again."""


class CodeRequired(Refusal):
    """Enter the code from your authenticator app."""

    status = 401
    code = "CODE_REQUIRED"
    # For the form, so that the password need not be entered again.
    second_step = ""


class NotAllowed(Refusal):
    """Your account can’t do that."""

    status = 403
    code = "NOT_ALLOWED"


class SecondFactorMissing(NotAllowed):
    """Admins need a second factor on this site. Set it up in your account."""


class NotFound(Refusal):
    """We couldn’t find that. It may have been removed, or it may belong to another account."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(Refusal):
    """This address doesn’t support that kind of request."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class WrongHost(Refusal):
    """This site has another address. An operator can add this one to ALLOWED_HOSTS."""

    status = 400
    code = "VALIDATION_ERROR"


class TooSlow(Refusal):
    """The request took too long to arrive. Nothing was changed. Send it again."""

    status = 408
    code = "TOO_SLOW"


class PayloadTooLarge(Refusal):
    """The request is too large. The limit is 256 kB."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"


class RateLimited(Refusal):
    """Too many attempts. Wait a moment, then try again."""

    status = 429
    code = "RATE_LIMITED"

    def __init__(self, sentence: str = "Too many attempts.", *, retry_after: int = 30) -> None:
        self.retry_after = retry_after
        super().__init__(f"{sentence} Try again in {_duration(retry_after)}.")


class InternalError(Refusal):
    """Something went wrong on our side. We’ve logged it. Try again in a moment."""

    status = 500
    code = "INTERNAL_ERROR"


class Unavailable(Refusal):
    """We couldn’t complete this. Check whether it went through before trying again."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 2


class ValidationError(Refusal):
    """Something in the request isn’t valid."""

    status = 422
    code = "VALIDATION_ERROR"


class IdempotencyMismatch(Refusal):
    """This Idempotency-Key was used for a different request. Use a new key for a new request."""

    status = 422
    code = "IDEMPOTENCY_MISMATCH"


class EmailTaken(Refusal):
    """An account with this e-mail address already exists."""

    status = 409
    code = "EMAIL_TAKEN"


class OfferedDurations(TypedDict):
    durations_minutes: list[int]


class DurationNotOffered(Refusal):
    """The instructor doesn’t offer this service in that length."""

    status = 409
    code = "DURATION_NOT_OFFERED"
    details = OfferedDurations


class Notice(TypedDict):
    min_advance_minutes: NotRequired[int]


class TooSoon(Refusal):
    """That’s too soon. The instructor needs more notice."""

    status = 409
    code = "TOO_SOON"
    details = Notice


class TooFarAhead(Refusal):
    """Lessons can be booked up to 90 days ahead."""

    status = 409
    code = "TOO_FAR_AHEAD"


class OwnLesson(TypedDict):
    booking_id: Id


class StudentBusy(Refusal):
    """You already have a lesson at that time."""

    status = 409
    code = "STUDENT_BUSY"
    details = OwnLesson


class Alternatives(TypedDict):
    """Free times near the requested one, the nearest first, at this version of the calendar."""

    alternatives: list[InstantText]
    version: int


class SlotTaken(Refusal):
    """Someone else just booked that time. These are the nearest free times."""

    status = 409
    code = "SLOT_TAKEN"
    details = Alternatives


class OutsideAvailability(Refusal):
    """The instructor isn’t available at that time. These are the nearest free times."""

    status = 409
    code = "OUTSIDE_AVAILABILITY"
    details = Alternatives


class TooLate(Refusal):
    """The lesson has already started, so it can’t be changed."""

    status = 409
    code = "TOO_LATE"


class HoldExpired(Refusal):
    """Your hold has run out. Choose the time again to see whether it is still free."""

    status = 409
    code = "HOLD_EXPIRED"


class HoldLimit(Refusal):
    """You can hold at most three times at once. Give one up first."""

    status = 409
    code = "HOLD_LIMIT"


class CurrentState(TypedDict):
    state: str


class WrongState(Refusal):
    """That isn’t possible for a lesson in this state."""

    status = 409
    code = "WRONG_STATE"
    details = CurrentState


class VersionConflict(Refusal):
    """This calendar was changed in another window. Review it, then save again."""

    status = 409
    code = "VERSION_CONFLICT"


BY_CODE: dict[str, type[Refusal]] = {refusal.code: refusal for refusal in Refusal.__subclasses__()}

# The constraints a user can run into, and the refusal for each.
BY_CONSTRAINT: dict[str, type[Refusal]] = {
    "account_email_taken": EmailTaken,
    "account_erased_is_anonymous": NotSignedIn,  # it was erased during this call
}


def _duration(seconds: int) -> str:
    """45 seconds, 4 minutes, 3 hours: rounded up, so that nobody comes back too early."""
    number, unit = seconds, "second"
    if seconds >= 2 * 3600:
        number, unit = -(-seconds // 3600), "hour"
    elif seconds >= 60:
        number, unit = -(-seconds // 60), "minute"
    return f"{number} {unit}{'' if number == 1 else 's'}"
