"""The description of the live protocol (AsyncAPI 3.0), generated from its messages. `python -m app
describe` writes it to docs/api/asyncapi.json."""

from typing import Any

from app import schema
from realtime import messages

FROM_CLIENT = {"watch": messages.Watch, "unwatch": messages.Unwatch}
TO_CLIENT: dict[str, Any] = {
    "board": messages.BoardMessage,
    "change": messages.ChangeMessage,
    "booking": messages.BookingMessage,
    "refresh": messages.RefreshMessage,
    "beacon": messages.BeaconMessage,
    "error": messages.ErrorMessage,
    "bye": messages.ByeMessage,
}
# Of bookings, which need a session.
PRIVATE = {"booking", "refresh"}

DESCRIPTION = """\
Live boards of instructors, and the events of one's own bookings: JSON text over a WebSocket with \
the subprotocol `lesson.v1`. docs/live-protocol.md says what a client does with the messages.

Close codes: after 1001, 1006, 1011 and 1012, reconnect after a random 0.5–30 s. 1009 and 4400: \
the client is faulty, do not reconnect. 4401: the session has expired, sign in. 4403: the session \
was revoked. 4429: too many messages, wait at least 30 s.\
"""


def document() -> dict[str, Any]:
    types = FROM_CLIENT | TO_CLIENT
    schemas, components = schema.generate(FROM_CLIENT.values(), TO_CLIENT.values())
    payloads = {name: schemas[str(type_)] for name, type_ in types.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "InstaInstru live",
            "version": messages.SUBPROTOCOL,
            "description": DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "site": {
                "host": "{host}",
                "protocol": "wss",
                "variables": {"host": {"default": "127.0.0.1:8000"}},
            }
        },
        "channels": {
            "live": _channel(
                "/live",
                types,
                "For the site’s own pages and for programs. With a session (the cookie or a bearer "
                "token), messages about its own bookings arrive, too.",
            ),
            "livePublic": _channel(
                "/live/public",
                {name: type_ for name, type_ in types.items() if name not in PRIVATE},
                "For boards on any site. It reads no session.",
            ),
        },
        "operations": {
            f"{action}{channel[0].upper()}{channel[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [
                    {"$ref": f"#/channels/{channel}/messages/{name}"}
                    for name in names
                    if channel == "live" or name not in PRIVATE
                ],
            }
            for channel in ("live", "livePublic")
            # From the server's side.
            for action, names in (("receive", FROM_CLIENT), ("send", TO_CLIENT))
        },
        "components": {
            "messages": {
                name: {"name": name, "summary": _summary(type_), "payload": payloads[name]}
                for name, type_ in types.items()
            },
            "schemas": components,
        },
    }


def _channel(address: str, types: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in types},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {"Sec-WebSocket-Protocol": {"const": messages.SUBPROTOCOL}},
                    "required": ["Sec-WebSocket-Protocol"],
                },
            }
        },
    }


def _summary(type_: Any) -> str:
    return " ".join((type_.__doc__ or "").split())
