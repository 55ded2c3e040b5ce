"""Typing mistakes in single words. A word is replaced only by a word that is one or two mistakes
away, and nearer than any other. An English word or name is never replaced."""

from functools import cache, lru_cache
from pathlib import Path

from app.search.vocabulary import Vocabulary, stem
from app.search.words import COMMON_WORDS, RARE_WORDS

# Letters of the shortest word that is corrected, and of the shortest that may have two mistakes.
SHORTEST = 4
LONG = 8
# Costs: swapped letters are the most common mistake, a wrong letter the rarest.
_SWAP, _MISSING, _OTHER = 0.6, 0.8, 1.0


@cache
def _real_words() -> frozenset[str]:
    """English words and names that resemble a word of the catalog or of the grammar."""
    lines = (Path(__file__).parent / "real_words.txt").read_text().splitlines()
    return frozenset(word for line in lines if line[:1] != "#" for word in line.split())


def respelled(token: str, vocabulary: Vocabulary) -> str:
    """The known word that this word of a query probably means, or the word itself."""
    is_grammar = token in COMMON_WORDS or stem(token) in COMMON_WORDS or token in RARE_WORDS
    if is_grammar or not token.isalpha() or stem(token) in vocabulary.stems:
        return token
    corrections = (correction(word, vocabulary) for word in (token, stem(token)))
    return next(filter(None, corrections), token)


def correction(word: str, vocabulary: Vocabulary) -> str | None:
    """The word of the vocabulary or the grammar that was probably meant, or None."""
    if len(word) < SHORTEST or word in _real_words():
        return None
    return _nearest(word, vocabulary.stems)


@lru_cache(maxsize=2048)
def _nearest(word: str, stems: frozenset[str]) -> str | None:
    """The nearest word; None if several are equally near."""
    limit = 2 if len(word) >= LONG else 1
    best: list[tuple[float, float, str]] = []
    for other in _candidates(stems).get(len(word), ()):
        # The first letter is nearly always right, or swapped with the second.
        if other[0] not in word[:2]:
            continue
        cost = distance(word, other, limit)
        # A word of four letters with a wrong one could be too many others.
        if cost <= limit and not (len(word) == SHORTEST and cost == _OTHER):
            best.append((cost, -similarity(word, other), other))
    best.sort()
    if not best or (len(best) > 1 and best[0][:2] == best[1][:2]):
        return None
    return best[0][2]


@lru_cache(maxsize=4)
def _candidates(stems: frozenset[str]) -> dict[int, tuple[str, ...]]:
    """The words to which a word may be corrected, by the length of the latter."""
    by_length: dict[int, set[str]] = {}
    for word in stems | {stem(word) for word in COMMON_WORDS} | COMMON_WORDS:
        if len(word) >= SHORTEST and word.isalpha():
            for length in range(len(word) - 2, len(word) + 3):
                by_length.setdefault(length, set()).add(word)
    return {length: tuple(sorted(group)) for length, group in by_length.items()}


def distance(word: str, other: str, limit: int) -> float:
    """The cost of the mistakes: missing, additional and other letters, and swaps of neighbors
    (optimal string alignment). More than `limit` if there are more mistakes than that."""
    if abs(len(word) - len(other)) > limit:
        return limit + 1
    before: list[float] = []
    previous = [_MISSING * n for n in range(len(other) + 1)]
    for i, letter in enumerate(word, 1):
        row = [_MISSING * i]
        for j, target in enumerate(other, 1):
            cost = min(
                previous[j] + _MISSING,
                row[j - 1] + _MISSING,
                previous[j - 1] + (0 if letter == target else _OTHER),
            )
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == target:
                cost = min(cost, before[j - 2] + _SWAP)
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
