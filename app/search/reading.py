"""A search query while the rules of the grammar read it."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any


class Reading:
    """`text` is what no rule has read yet, `values` are the criteria that rules have read, and
    `ignored` are phrases that search cannot follow. `parts` are all parts of the day;
    `excluded_parts` are phrases with the parts that they exclude."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.today = now.date()
        self.text = ""
        self.values: dict[str, Any] = {}
        self.ignored: list[str] = []
        self.parts: list[str] = []
        self.excluded_parts: list[tuple[str, list[str]]] = []

    def skip(self, pattern: re.Pattern[str]) -> None:
        self.text = re.sub(r"\s+", " ", pattern.sub(" | ", self.text))

    def take(self, pattern: str, use: Callable[[re.Match[str]], object]) -> None:
        """Removes the matches that `use` reads; it returns False for one that it does not."""

        def replace(match: re.Match[str]) -> str:
            return match[0] if use(match) is False else " | "

        self.text = re.sub(r"\s+", " ", re.sub(pattern, replace, self.text))

    def set(self, name: str, value: Any) -> None:
        """The first rule to read a criterion decides."""
        self.values.setdefault(name, value)
