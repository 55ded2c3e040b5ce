"""How pages and mails write things."""

import pytest

from app import formatting


def test_initials_have_varied_colors_and_a_name_always_the_same() -> None:
    names = [f"Anna {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert {formatting.hue(name) for name in names} == set(range(formatting.HUES))
    assert formatting.hue("Anna Diaz") == formatting.hue("Anna Diaz")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (1, "1 minute"),
        (60, "60 minutes"),
        (90, "90 minutes"),
        (120, "2 hours"),
        (1_440, "24 hours"),
        (4_320, "3 days"),
    ],
)
def test_a_length_uses_the_largest_unit_that_fits_at_least_twice(minutes: int, text: str) -> None:
    assert formatting.length(minutes) == text
