"""The routes of the API: each carries what app/openapi.py describes of it. Tests compare every
response with that description."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.routing import Route

from app.refusal import Refusal
from app.web.cors import preflight

# A refusal of a call, with a TypedDict of its further members if they differ from `Refusal.more`.
Refused = type[Refusal] | tuple[type[Refusal], Any]


class Call(Route):
    """A route with what it accepts and returns. What most calls have in common (the session,
    limits, an invalid request, an outage) follows from the handler's access and the models.

    `returns`: the type of the JSON, None for an empty body. `form`: it also accepts a form, and
    redirects it. `form_page`: the form's page, if the request names none. `parameters`: the types
    of those in the path that are not UUIDs. `reserved`: a word that has its own path, and so does
    not match `{id}`. `cached`: it has an ETag, and answers a matching If-None-Match with 304."""

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[..., Any],
        summary: str,
        *,
        description: str = "",
        query: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        form: bool = False,
        form_page: str = "",
        returns: Any = None,
        status: int = 200,
        refusals: Sequence[Refused] = (),
        parameters: Mapping[str, Any] | None = None,
        reserved: str | None = None,
        media_type: str = "application/json",
        cached: bool = False,
    ) -> None:
        super().__init__(path, handler, methods=[method])
        if reserved is not None:
            # The other path may not have this method.
            pattern = self.path_regex.pattern.replace("(?P<id>", f"(?!{reserved}$)(?P<id>")
            self.path_regex = re.compile(pattern)
        marks = vars(handler)
        self.method = method
        self.summary = summary
        self.description = description
        self.query = query
        self.body = body
        self.form = form
        self.form_page = form_page
        self.returns = returns
        self.status = status
        self.refusals = refusals
        self.parameters = parameters or {}
        self.media_type = media_type
        self.cached = cached
        # A permission, several ("a or b"), or "signed in", "visitor" or "public".
        self.access: str = marks.get("access", "")
        self.idempotent: bool = marks.get("idempotent", False)
        self.for_any_site: bool = marks.get("for_any_site", False)


def with_preflight(call: Call) -> list[Route]:
    """The routes of a call that pages of any site may make."""
    return [call, Route(call.path, preflight, methods=["OPTIONS"])]
