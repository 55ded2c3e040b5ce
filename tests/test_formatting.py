"""How pages and mails write things."""

from app import formatting


def test_initials_have_varied_colors_and_a_name_always_the_same() -> None:
    names = [f"Anna {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert {formatting.hue(name) for name in names} == set(range(formatting.HUES))
    assert formatting.hue("Anna Diaz") == formatting.hue("Anna Diaz")
