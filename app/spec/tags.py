"""Tags of words, as data sets write them: a letter for the place in an entity, and its kind."""

from typing import Final

OUTSIDE: Final = "O"
_LETTERS: Final = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}


def parse_tag(tag: str) -> tuple[str, str]:
    """Letter (B, I, E, S or O) and kind. A tag without a letter, such as NOUN, is a whole entity of that kind."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, dash, kind = tag.partition("-")
    if dash and letter in _LETTERS:
        return _LETTERS[letter], kind
    if tag in _LETTERS:
        return _LETTERS[tag], "entity"
    return "S", tag
