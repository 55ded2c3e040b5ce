"""Suggestions while a search is typed: terms that begin with its last words, from the vocabulary in
memory."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from app.search import spelling
from app.search.vocabulary import Term, Vocabulary, plain, words_of

# The most words at the end of a query that are completed together.
LONGEST_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A query whose last words were completed to a term of this kind: `service`, `category` or
    `area`."""

    text: str
    kind: str


def of(query: str, vocabulary: Vocabulary, *, limit: int) -> list[Suggestion]:
    """Completions of the query, best first. Completes the longest run of last words that begins a
    term. If none does, the last word may have a typing mistake. Mistakes in the words before it are
    corrected."""
    typed = query.split()
    for count in range(min(LONGEST_PREFIX, len(typed)), 0, -1):
        end = " ".join(words_of(" ".join(typed[-count:])))
        if end and (matches := list(_beginning_with(end, vocabulary))):
            return _suggestions(_respelled(typed[:-count], vocabulary), matches, limit)
    if typed and (word := words_of(typed[-1])):
        before = _respelled(typed[:-1], vocabulary)
        if correction := spelling.correction(word[-1], vocabulary):
            return _suggestions(before, list(_beginning_with(correction, vocabulary)), limit)
        if nearest := list(_nearly_beginning_with(word[-1], vocabulary)):
            return _suggestions(before, nearest, limit)
    return []


def _respelled(typed: list[str], vocabulary: Vocabulary) -> list[str]:
    """The words as typed, without typing mistakes."""
    pairs = ((word, spelling.respelled(plain(word), vocabulary)) for word in typed)
    return [word if other == plain(word) else other for word, other in pairs]


def _suggestions(before: list[str], terms: list[Term], limit: int) -> list[Suggestion]:
    """Each service, category and area once, by its name: first those whose name matches, short
    names first."""
    order = {"service": 0, "category": 1, "area": 2}
    best: dict[tuple[str, str], tuple[bool, int, int, str]] = {}
    for row in terms:
        is_synonym = words_of(row.term) != words_of(row.name)
        rank = (is_synonym, order[row.kind], len(row.name), row.name)
        target = (row.kind, row.slug)
        best[target] = min(best.get(target, rank), rank)
    ranked = sorted(best.items(), key=lambda entry: entry[1])
    return [Suggestion(" ".join([*before, rank[3]]), kind) for (kind, _), rank in ranked[:limit]]


def _beginning_with(prefix: str, vocabulary: Vocabulary) -> Iterator[Term]:
    terms = vocabulary.sorted_terms
    position = bisect_left(terms, (prefix,))
    while position < len(terms) and terms[position][0].startswith(prefix):
        yield terms[position][1]
        position += 1


def _nearly_beginning_with(word: str, vocabulary: Vocabulary) -> Iterator[Term]:
    """Terms whose beginning is one mistake away from the word."""
    if len(word) < spelling.SHORTEST:
        return
    terms = [entry for entry in vocabulary.sorted_terms if entry[0][0] == word[0]]
    for length in range(len(word) - 1, len(word) + 2):
        beginnings = {term[:length] for term, _ in terms}
        near = {each for each in beginnings if spelling.distance(word, each, 1) <= 1}
        yield from (row for term, row in terms if term[:length] in near)
