"""The web layer between HTTP and the domains: authentication, parsing, responses, errors.

A decorator on every handler says who may call it (`may`, `signed_in`, `visitor`, `public`);
tests/test_routes.py fails for a handler without one. Checks run in the order of docs/api.md: 401,
403, then the handler parses the body (422), looks rows up (404) and acts (409)."""

from app.web import recovery_cookie
from app.web.auth import (
    bearer,
    class_of,
    clear_session_cookie,
    identify,
    may,
    origin_allowed,
    public,
    rate_class,
    set_device_cookie,
    set_session_cookie,
    signed_in,
    token,
    visitor,
)
from app.web.cors import for_any_site
from app.web.errors import render_refusal
from app.web.middleware import (
    MAX_BODY,
    AllowedHosts,
    RequestBody,
    RequestMetrics,
    SecurityHeaders,
    security_headers,
)
from app.web.operation import Call, Refused, with_preflight
from app.web.parsing import (
    check,
    form_fields,
    form_rows,
    internal_field,
    is_form,
    path_id,
    query,
    read,
)
from app.web.responses import (
    done,
    json,
    local_path,
    page,
    static_files,
    templates,
)
from app.web.security_log import record as record_security_event
from app.web.security_log import record_refusal
from app.web.state import Handler, PerRequest, Request, State, utc_now

__all__ = [
    "MAX_BODY",
    "AllowedHosts",
    "Call",
    "Handler",
    "PerRequest",
    "Refused",
    "Request",
    "RequestBody",
    "RequestMetrics",
    "SecurityHeaders",
    "State",
    "bearer",
    "check",
    "class_of",
    "clear_session_cookie",
    "done",
    "for_any_site",
    "form_fields",
    "form_rows",
    "identify",
    "internal_field",
    "is_form",
    "json",
    "local_path",
    "may",
    "origin_allowed",
    "page",
    "path_id",
    "public",
    "query",
    "rate_class",
    "read",
    "record_refusal",
    "record_security_event",
    "recovery_cookie",
    "render_refusal",
    "security_headers",
    "set_device_cookie",
    "set_session_cookie",
    "signed_in",
    "static_files",
    "templates",
    "token",
    "utc_now",
    "visitor",
    "with_preflight",
]
