"""Make examples/support_tickets/{train,validation,test}.jsonl: what does a customer want?

    python examples/make_support_tickets.py [folder]

The same seed gives the same bytes. How the tickets come about stands in examples/README.md. A third of the requests of
validation and test come from phrases that train never sees; the others from phrases it knows, in other words. No
request stands in two splits, whatever is put around it.
"""

# ruff: noqa: INP001 - scripts in a folder, not a package

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from phrasing import SLOT, Dice, choose, read_lines, tidy, write_jsonl

SEED = "tunery support tickets 1"
ROWS = {"train": 1400, "validation": 300, "test": 300}
# The share of each class, out of 100.
CLASSES = {
    "delivery": 17,
    "billing": 16,
    "returns": 13,
    "technical_problem": 13,
    "account_access": 12,
    "product_question": 11,
    "cancellation": 10,
    "feedback": 8,
}
# How many phrases of a class only validation sees, and as many more only test.
HELD_OUT = 3
WITH_OPENER = 0.35
WITH_ASIDE = 0.3
WITH_CLOSER = 0.3
ALL_SMALL = 0.15
WITH_TYPO = 0.2


def read_phrases() -> dict[str, list[str]]:
    """Return the phrases of each section of the lexicon."""
    sections: dict[str, list[str]] = {}
    for line in filter(None, read_lines("ticket_phrases.txt")):
        if heading := re.fullmatch(r"\[([a-z_ ]+)\]", line):
            current = sections.setdefault(heading[1], [])
        else:
            current.append(line)
    return sections


def read_slots() -> dict[str, list[str]]:
    lines = [line.partition(": ") for line in read_lines("ticket_slots.txt")]
    return {name: values.split("; ") for name, _, values in lines}


def phrases_by_split(phrases: Sequence[str], *, dice: Dice) -> dict[str, tuple[list[str], list[str]]]:
    """Return, for each split, the phrases that it alone sees and those that all splits see."""
    shuffled = dice.shuffled(phrases)
    shared = shuffled[2 * HELD_OUT :]
    return {
        "train": (shared, shared),
        "validation": (shuffled[:HELD_OUT], shared),
        "test": (shuffled[HELD_OUT : 2 * HELD_OUT], shared),
    }


def say(phrase: str, *, slots: Mapping[str, Sequence[str]], dice: Dice) -> str:
    """Fill in a phrase; {usd} and {usd2} draw from one pool and never get the same."""
    text = choose(phrase, dice=dice)
    values: dict[str, str] = {}
    for slot in sorted(set(SLOT.findall(text))):
        values[slot] = dice.pick([value for value in slots[slot.rstrip("2")] if value not in values.values()])
    return tidy_if_proper(SLOT.sub(lambda match: values[match[1]], text), proper=phrase[0] != phrase[0].lower())


def tidy_if_proper(text: str, *, proper: bool) -> str:
    """Mend a text; one that was written without a capital keeps its small first letter, for that is its tone."""
    mended = tidy(text)
    return mended if proper else text[:1] + mended[1:]


def mistype(text: str, *, dice: Dice) -> str:
    """Make one slip of the fingers: two letters in the wrong order, one left out or one twice."""
    places = list(re.finditer(r"[A-Za-z]{5,}", text))
    if not places:
        return text
    word = dice.pick(places)
    at = word.start() + 1 + int(dice.pick(range(len(word[0]) - 2)))
    slips = {
        "order": text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        "left out": text[:at] + text[at + 1 :],
        "twice": text[: at + 1] + text[at:],
    }
    return slips[dice.weighted({"order": 2, "left out": 2, "twice": 1})]


def wrap(request: str, *, label: str, phrases: Mapping[str, list[str]], slots: Mapping, dice: Dice) -> str:
    """Put around a request what customers put around it: a greeting, something beside the point, a farewell."""
    parts = [request]
    if dice.chance(WITH_ASIDE):
        other = dice.pick([name for name in CLASSES if name != label])
        aside = say(dice.pick(phrases[f"asides {other}"]), slots=slots, dice=dice)
        parts = [aside, request] if dice.chance(0.5) else [close(request), aside]
    if dice.chance(WITH_OPENER):
        parts.insert(0, say(dice.pick(phrases["openers"]), slots=slots, dice=dice))
    if dice.chance(WITH_CLOSER):
        parts[-1] = close(parts[-1])
        parts.append(say(dice.pick(phrases["closers"]), slots=slots, dice=dice))
    text = " ".join(parts)
    if dice.chance(ALL_SMALL):
        text = text.lower()
    if dice.chance(WITH_TYPO):
        text = mistype(text, dice=dice)
    return text


def close(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def counts(rows: int) -> dict[str, int]:
    """Return the rows of each class; what rounding leaves over goes to the first."""
    by_class = {label: rows * share // 100 for label, share in CLASSES.items()}
    by_class[next(iter(CLASSES))] += rows - sum(by_class.values())
    return by_class


def make(folder: Path) -> None:
    dice = Dice(SEED)
    phrases, slots = read_phrases(), read_slots()
    dealt = {label: phrases_by_split(phrases[label], dice=dice) for label in CLASSES}
    # The requests of the splits made so far, in small letters.
    requests: dict[str, str] = {}
    texts: set[str] = set()
    for split, rows in ROWS.items():
        listed = []
        for label, wanted in counts(rows).items():
            own, shared = dealt[label][split]
            made = 0
            while made < wanted:
                request = say(dice.pick(shared if made % 3 else own), slots=slots, dice=dice)
                text = wrap(request, label=label, phrases=phrases, slots=slots, dice=dice)
                if requests.setdefault(request.lower(), split) == split and text.lower() not in texts:
                    texts.add(text.lower())
                    listed.append({"text": text, "label": label})
                    made += 1
        write_jsonl(folder / f"{split}.jsonl", rows=dice.shuffled(listed))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "support_tickets")
