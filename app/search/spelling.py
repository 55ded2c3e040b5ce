"""Typing mistakes in single words. A word is replaced only by one that is clearly meant: one or two
letters away, and closer than any other."""

from functools import lru_cache

from app.search.vocabulary import Vocabulary, stem

SHORTEST = 4
# From this length on, two letters may be wrong.
LONG = 7


def corrected(word: str, vocabulary: Vocabulary, known: frozenset[str]) -> str | None:
    """The vocabulary's or the grammar's word that is meant, or None."""
    if len(word) < SHORTEST:
        return None
    return _nearest(word, vocabulary.words, known)


@lru_cache(maxsize=2048)
def _nearest(word: str, words: frozenset[str], known: frozenset[str]) -> str | None:
    limit = 2 if len(word) >= LONG else 1
    best: list[tuple[int, float, str]] = []
    for other in _candidates(words, known).get(len(word), ()):
        # The first letter is nearly always right, or swapped with the second.
        if other[0] not in word[:2]:
            continue
        edits = distance(word, other, limit)
        if edits <= limit and edits < len(other) / 2:
            best.append((edits, -similarity(word, other), other))
    best.sort()
    if not best or (len(best) > 1 and best[0][:2] == best[1][:2]):
        return None
    return best[0][2]


@lru_cache(maxsize=4)
def _candidates(words: frozenset[str], known: frozenset[str]) -> dict[int, tuple[str, ...]]:
    """The words by the lengths of the words that may mean them."""
    by_length: dict[int, set[str]] = {}
    for word in words | {stem(each) for each in known} | known:
        if len(word) >= SHORTEST and word.isalpha():
            for length in range(len(word) - 2, len(word) + 3):
                by_length.setdefault(length, set()).add(word)
    return {length: tuple(sorted(group)) for length, group in by_length.items()}


def distance(word: str, other: str, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbors (optimal string alignment);
    `limit + 1` if there are more."""
    if abs(len(word) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, target in enumerate(other, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == target:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, previous = previous, row
    return previous[-1]


def similarity(word: str, other: str) -> float:
    """The share of common trigrams, as in pg_trgm."""
    first, second = _trigrams(word), _trigrams(other)
    return len(first & second) / len(first | second)


def _trigrams(word: str) -> set[str]:
    padded = f"  {word} "
    return {padded[n : n + 3] for n in range(len(padded) - 2)}
