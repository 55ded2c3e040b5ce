"""File descriptors. Each connection takes one; without free ones a process can neither accept
clients nor connect to its databases."""

import resource

from app.settings import Settings

# A hard limit of "unlimited" may mean a billion, and some programs reserve memory per descriptor.
_MAX = 1 << 20
# For everything but clients: Redis (app/limits.py opens up to 100), files, listening sockets.
_RESERVED = 170
# The share of connections for live sockets; the rest is for pages and the API.
_LIVE_SHARE = 0.8


def raise_limit() -> None:
    """Raises the soft limit to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = _MAX if hard == resource.RLIM_INFINITY else min(hard, _MAX)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError):  # the kernel may have a lower limit
        return


def max_connections(settings: Settings) -> int:
    """The maximum number of client connections of all kinds."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        limit = _MAX
    return max(1, limit - _RESERVED - settings.database_pool)


def max_sockets(settings: Settings) -> int:
    """The maximum number of live sockets: MAX_SOCKETS, or less if descriptors are short."""
    return min(settings.max_sockets, max(1, int(_LIVE_SHARE * max_connections(settings))))
