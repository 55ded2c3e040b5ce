"""Between HTTP and the domains: who is asking and whether they may, what they sent, and answers as JSON or as a page.

Every handler is decorated with who may call it (`may`, `signed_in`, `visitor`, `public`); tests/test_routes.py finds one that is
not. Checks run in the contract's order: 401, 403, then the handler reads the body (422), looks things up (404) and acts (409)."""

from app.web.auth import bearer, forget, may, origin_allowed, public, remember, signed_in, token, visitor
from app.web.errors import render_refusal
from app.web.middleware import MAX_BODY, SECURITY_HEADERS, Body, SecurityHeaders
from app.web.parsing import check, form_fields, is_form, path_id, query, read
from app.web.responses import done, json, local_path, page, static_files, templates
from app.web.state import Handler, PerRequest, Request, State, utc_now

__all__ = [
    "MAX_BODY",
    "SECURITY_HEADERS",
    "Body",
    "Handler",
    "PerRequest",
    "Request",
    "SecurityHeaders",
    "State",
    "bearer",
    "check",
    "done",
    "forget",
    "form_fields",
    "is_form",
    "json",
    "local_path",
    "may",
    "origin_allowed",
    "page",
    "path_id",
    "public",
    "query",
    "read",
    "remember",
    "render_refusal",
    "signed_in",
    "static_files",
    "templates",
    "token",
    "utc_now",
    "visitor",
]
