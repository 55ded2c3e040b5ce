"""Every "no" a person can meet. A refusal's docstring is the sentence the person reads; `status` and `code` are the contract's.
Anything else that is raised is a bug and answers 500."""

from typing import Any, ClassVar


class Refusal(Exception):  # noqa: N818 — a refusal is an answer, not an error
    """That did not work."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "UNKNOWN"

    def __init__(self, detail: str | None = None, *, field: str | None = None, **more: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.field = field
        self.more = more
        super().__init__(self.detail)

    def as_json(self) -> dict[str, Any]:
        """`{"detail", "code", "field"?, …more}`, the shape of every error (contract.md)."""
        field = {"field": self.field} if self.field else {}
        return {"detail": self.detail, "code": self.code, **field, **self.more}


class NotSignedIn(Refusal):
    """Please sign in first."""

    status = 401
    code = "NOT_SIGNED_IN"


class SignInFailed(NotSignedIn):
    """This e-mail address and password do not belong together. Please try again."""


class NotAllowed(Refusal):
    """Your account may not do that."""

    status = 403
    code = "NOT_ALLOWED"


class NotFound(Refusal):
    """There is nothing here by that name. It may have been removed, or it is not yours to see."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(Refusal):
    """This address does not take that kind of request."""

    status = 405
    code = "METHOD_NOT_ALLOWED"


class TooSlow(Refusal):
    """The request took too long to arrive. Nothing was changed; please send it again."""

    status = 408
    code = "TOO_SLOW"


class PayloadTooLarge(Refusal):
    """That is too much at once: a request may be up to 256 kB."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"


class RateLimited(Refusal):
    """That was a lot of requests in a short time. Please wait a moment and try again."""

    status = 429
    code = "RATE_LIMITED"

    def __init__(self, *, retry_after: int = 30) -> None:
        self.retry_after = retry_after
        super().__init__()


class Broken(Refusal):
    """Something broke on our side. It has been noted; please try again."""

    status = 500
    code = "INTERNAL_ERROR"


class Unavailable(Refusal):
    """We cannot do that right now. Please look whether it was done all the same, and try again in a few seconds."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 2


class ValidationError(Refusal):
    """Something in the request is not as it should be."""

    status = 422
    code = "VALIDATION_ERROR"


class IdempotencyMismatch(Refusal):
    """This Idempotency-Key was used for a different request. Use a new key for a new request."""

    status = 422
    code = "IDEMPOTENCY_MISMATCH"


class EmailTaken(Refusal):
    """There is already an account with this e-mail address. Sign in instead?"""

    status = 409
    code = "EMAIL_TAKEN"


class DurationNotOffered(Refusal):
    """The instructor does not offer this service in that length."""

    status = 409
    code = "DURATION_NOT_OFFERED"


class TooSoon(Refusal):
    """That is too soon: the instructor needs more notice."""

    status = 409
    code = "TOO_SOON"


class TooFarAhead(Refusal):
    """Lessons can be booked up to 90 days ahead."""

    status = 409
    code = "TOO_FAR_AHEAD"


class StudentBusy(Refusal):
    """You already have a lesson at that time."""

    status = 409
    code = "STUDENT_BUSY"


class SlotTaken(Refusal):
    """Someone else was quicker: that time has just been taken. These are the nearest free times."""

    status = 409
    code = "SLOT_TAKEN"


class OutsideAvailability(Refusal):
    """The instructor does not teach at that time. These are the nearest free times."""

    status = 409
    code = "OUTSIDE_AVAILABILITY"


class TooLate(Refusal):
    """The lesson has already begun, so it can no longer be cancelled or moved."""

    status = 409
    code = "TOO_LATE"


class WrongState(Refusal):
    """That cannot be done with this lesson as it stands."""

    status = 409
    code = "WRONG_STATE"


class VersionConflict(Refusal):
    """The calendar was changed elsewhere in the meantime. Look at the fresh week, then save again."""

    status = 409
    code = "VERSION_CONFLICT"


BY_CODE: dict[str, type[Refusal]] = {refusal.code: refusal for refusal in Refusal.__subclasses__()}

# A constraint a person can meet, and what it means to them.
BY_CONSTRAINT: dict[str, type[Refusal]] = {
    "account_email_taken": EmailTaken,
}
