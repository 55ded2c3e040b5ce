"""A search query while the rules of the grammar read it."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any


class Reading:
    """`text`: what no rule has read yet. `values`: the criteria that rules have read. `ignored`:
    phrases that search cannot follow. `parts`: the parts of the day that the query names.
    `excluded_parts`: phrases, each with the parts of the day that it excludes."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.today = now.date()
        self.text = ""
        self.values: dict[str, Any] = {}
        self.ignored: list[str] = []
        self.parts: list[str] = []
        self.excluded_parts: list[tuple[str, list[str]]] = []

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Removes the matches."""
        self.text = re.sub(r"\s+", " ", pattern.sub(" | ", self.text))

    def take(self, pattern: str, use: Callable[[re.Match[str]], object]) -> None:
        """Passes each match to `use` and removes it, unless `use` returns False."""

        def replace(match: re.Match[str]) -> str:
            return match[0] if use(match) is False else " | "

        self.text = re.sub(r"\s+", " ", re.sub(pattern, replace, self.text))

    def set(self, name: str, value: Any) -> None:
        """Sets a criterion, unless an earlier rule has set it."""
        self.values.setdefault(name, value)
