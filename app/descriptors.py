"""File descriptors: each connection takes one, and a process that has none left can neither accept
nor ask its databases."""

import resource

from app.settings import Settings

# "Unlimited" may mean a billion, for which some programs reserve memory.
_MOST = 1 << 20
# For everything that is no client: Redis (app/limits.py opens up to 100), files, listening sockets.
_RESERVED = 170
# The part of the connections that may be live sockets; the others are left for pages and the API.
_LIVE_SHARE = 0.8


def raise_limit() -> None:
    """Lets this process open as many as it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # a kernel may have a lower limit of its own
        return


def max_connections(settings: Settings) -> int:
    """How many clients' connections of all kinds may be open at once."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        limit = _MOST
    return max(1, limit - _RESERVED - settings.database_pool)


def max_sockets(settings: Settings) -> int:
    """How many of them may be live sockets: MAX_SOCKETS, if there are descriptors for so many."""
    return min(settings.max_sockets, max(1, int(_LIVE_SHARE * max_connections(settings))))
