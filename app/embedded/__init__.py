"""Postgres and Redis for a laptop, and `up`, which supervises them and the product's processes."""


class EmbeddedError(Exception):
    """An embedded server cannot be used; the message says why and what to do."""
