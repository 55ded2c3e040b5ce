"""The words that a search can name: the catalog's services, categories and areas with their terms.
Read once per process and compared with the database every KEEP_SECONDS."""

import asyncio
import re
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from app.db import Db
from app.statements import PUBLIC_SECONDS, statement

KEEP_SECONDS = 60
# More than the catalog has. Further rows are ignored, which bounds the memory of a process.
MAX_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Term:
    """A name that people use for a service, category or area. `group`: a service's category, an
    area's borough."""

    kind: str
    term: str
    slug: str
    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """The services, category and areas that a term names."""

    services: frozenset[str] = frozenset()
    category: str | None = None
    areas: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Vocabulary:
    """The terms by their stemmed words."""

    terms: tuple[Term, ...]
    meanings: dict[tuple[str, ...], Meaning]

    @classmethod
    def of(cls, rows: Iterable[Term]) -> "Vocabulary":
        terms = tuple(rows)[:MAX_ROWS]
        targets: dict[tuple[str, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for row in terms:
            if key := stems_of(row.term):
                targets[key][row.kind].add(row.slug)
        return cls(
            terms,
            {
                key: Meaning(
                    frozenset(kinds["service"]),
                    min(kinds["category"], default=None),
                    frozenset(kinds["area"]),
                )
                for key, kinds in targets.items()
            },
        )

    @cached_property
    def max_words(self) -> int:
        """The number of words of the longest term."""
        return max(map(len, self.meanings), default=0)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The stems of the words of all terms."""
        return frozenset(word for key in self.meanings for word in key)

    @cached_property
    def sorted_terms(self) -> list[tuple[str, Term]]:
        """The words of each term and the term, sorted."""
        entries = ((" ".join(words_of(row.term)), row) for row in self.terms)
        return sorted(
            (entry for entry in entries if entry[0]),
            key=lambda entry: (entry[0], entry[1].kind, entry[1].slug),
        )

    @cached_property
    def category_of(self) -> dict[str, str]:
        """The category of each service."""
        return {row.slug: row.group for row in self.terms if row.kind == "service"}

    @cached_property
    def names(self) -> dict[tuple[str, str], str]:
        """The name by kind and slug."""
        return {(row.kind, row.slug): row.name for row in self.terms}

    @cached_property
    def shared_terms(self) -> dict[frozenset[str], str]:
        """For each group of services with a common term, the shortest one, such as "coding"."""
        terms: dict[frozenset[str], str] = {}
        for row in sorted(self.terms, key=lambda row: (len(row.term), row.term)):
            meaning = self.meanings.get(stems_of(row.term), Meaning())
            if len(meaning.services) > 1:
                terms.setdefault(meaning.services, row.term)
        return terms

    def services_in(self, category: str) -> list[str]:
        return [slug for slug, group in self.category_of.items() if group == category]

    @cached_property
    def _areas(self) -> dict[str, tuple[str, str]]:
        return {row.slug: (row.name, row.group) for row in self.terms if row.kind == "area"}

    @cached_property
    def borough_of(self) -> dict[str, str]:
        """The slug of each neighborhood's borough."""
        boroughs = {name: slug for slug, (name, group) in self._areas.items() if name == group}
        return {
            slug: boroughs[group]
            for slug, (name, group) in self._areas.items()
            if name != group and group in boroughs
        }

    def areas_around(self, area: str) -> list[str]:
        """The areas whose instructors also come to this one: itself and its borough; for a borough,
        all of its areas."""
        if area not in self._areas:
            return [area]
        name, borough = self._areas[area]
        inside = [
            slug
            for slug, (other, group) in self._areas.items()
            if group == borough and borough in {name, other}
        ]
        return sorted({area, *inside})


_vocabulary = statement("search_vocabulary", Term, seconds=PUBLIC_SECONDS)


@dataclass
class _Loaded:
    vocabulary: Vocabulary | None = None
    checked_at: float = float("-inf")


_loaded = _Loaded()
_loading = asyncio.Lock()


async def load_vocabulary(db: Db) -> Vocabulary:
    """The vocabulary of this process. One request at a time compares it with the database; the
    others use the one in memory meanwhile."""
    current = _loaded.vocabulary
    if time.monotonic() < _loaded.checked_at + KEEP_SECONDS and current is not None:
        return current
    if current is not None and _loading.locked():
        return current
    async with _loading:
        current = _loaded.vocabulary
        if time.monotonic() < _loaded.checked_at + KEEP_SECONDS and current is not None:
            return current
        rows = tuple(await _vocabulary.all(db))[:MAX_ROWS]
        if current is None or rows != current.terms:
            current = _loaded.vocabulary = Vocabulary.of(rows)
        _loaded.checked_at = time.monotonic()
        return current


def plain(text: str) -> str:
    """Lower case, without accents and apostrophes."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return re.sub(r"['’‘`´]", "", letters)


def words_of(text: str) -> list[str]:
    """The words of a term, as they are compared with those of a query: "3d" is two words."""
    return re.findall(r"\d+|[a-z]+(?:[+#]+)?", plain(text).replace("&", " and "))


def stems_of(text: str) -> tuple[str, ...]:
    return tuple(map(stem, words_of(text)))


def stem(word: str) -> str:
    """The word without the ending of a plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
