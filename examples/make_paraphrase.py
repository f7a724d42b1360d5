"""Make examples/paraphrase/{train,validation,test}.jsonl: do two sentences mean the same?

    python examples/make_paraphrase.py [folder]

The same seed gives the same bytes. How the sentences come about stands in examples/README.md. Two things matter for
the task to be an honest one: no frame (and no name) of one split occurs in another, and pairs with a different
meaning are drawn beside twins with the same meaning, from the same frame and with the same share of common words.
"""

# ruff: noqa: INP001 - scripts in a folder, not a package

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from phrasing import SLOT, Dice, choose, read_lines, tidy, words, write_jsonl

SEED = "tunery paraphrase 1"
ROWS = {"train": 1200, "validation": 300, "test": 300}
# The share of the frames (and of the names) that a split gets.
SHARES = {"train": 0.64, "validation": 0.18, "test": 0.18}
FRAME_FILES = ("pair_frames_1.txt", "pair_frames_2.txt", "pair_frames_3.txt")
POSITIVE_SHARE = 0.58
# How the second sentence of a pair with a different meaning comes about.
DIFFERENCES = {"values": 0.6, "meaning and values": 0.23, "meaning": 0.12, "swap": 0.05}
# How many values change. With one alone, MiniLM learns nothing in three epochs: it answers "same" to every pair.
CHANGED_VALUES = (2, 3, 4)
# How often both sentences say a value in the same way, rather than perhaps "two weeks" here and "a fortnight" there.
SAID_ALIKE = 0.6
# Two pairs have the same overlap if it falls into the same one of this many equal steps.
OVERLAP_STEPS = 20
CONTRACTIONS = {
    r"\b(is|are|was|were|did|does|do|had|has|could|should|would|need) not\b": r"\1n't",
    r"\bcannot\b": "can't",
    r"\bwill not\b": "won't",
}

# A value is the list of the ways to say it: ("two weeks", "14 days", "a fortnight").
Value = tuple[str, ...]
Pools = Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Meaning:
    """Sentences that all say the same, once their slots are filled alike."""

    lines: tuple[str, ...]
    # Two slots that may be exchanged without a change of meaning, as in "{person} met {person2}".
    symmetric: tuple[str, ...] = ()


# What a frame tells in two or three meanings with nearly the same words.
Frame = tuple[Meaning, ...]


@dataclass(frozen=True, order=True)
class Pair:
    sentence1: str
    sentence2: str
    label: int

    @property
    def overlap(self) -> float:
        """The share of the words of both sentences that stand in both (the Jaccard index)."""
        first, second = set(words(self.sentence1)), set(words(self.sentence2))
        return len(first & second) / len(first | second)


def read_frames() -> list[Frame]:
    frames = []
    for name in FRAME_FILES:
        for filled, block in groupby(read_lines(name), key=bool):
            if filled:
                meanings = "\n".join(block).split("\n--\n")
                frames.append(tuple(_read_meaning(meaning.split("\n")) for meaning in meanings))
    return frames


def _read_meaning(lines: list[str]) -> Meaning:
    if lines[0].startswith("symmetric:"):
        return Meaning(lines=tuple(lines[1:]), symmetric=tuple(lines[0].split()[1:]))
    return Meaning(lines=tuple(lines))


def deal(items: Sequence[object], *, dice: Dice) -> dict[str, list]:
    """Deal items out over the splits, each to one split."""
    shuffled = dice.shuffled(items)
    train_end = round(len(shuffled) * SHARES["train"])
    validation_end = train_end + round(len(shuffled) * SHARES["validation"])
    return {
        "train": shuffled[:train_end],
        "validation": shuffled[train_end:validation_end],
        "test": shuffled[validation_end:],
    }


def read_pools(*, dice: Dice) -> dict[str, dict[str, list[Value]]]:
    """Return the values of each slot for each split; the slots with a '*' are dealt out, all others are shared."""
    pools: dict[str, dict[str, list[Value]]] = {split: {} for split in SHARES}
    for line in filter(None, read_lines("pair_slots.txt")):
        name, _, listed = line.partition(": ")
        values = [tuple(way.strip() for way in value.split("|")) for value in listed.split(";")]
        dealt = deal(values, dice=dice) if name.endswith("*") else dict.fromkeys(SHARES, values)
        for split, share in dealt.items():
            pools[split][name.rstrip("*")] = share
    return pools


def slots_of(line: str) -> list[str]:
    return sorted(set(SLOT.findall(line)))


def fill_slots(frame: Frame, *, pools: Pools, dice: Dice) -> dict[str, Value]:
    """Choose a value for every slot of a frame; {city} and {city2} draw from one pool and never get the same."""
    values: dict[str, Value] = {}
    for slot in slots_of(" ".join(line for meaning in frame for line in meaning.lines)):
        value = another_value(slot, values=values, pools=pools, dice=dice)
        values[slot] = (dice.pick(value),) if dice.chance(SAID_ALIKE) else value
    return values


def another_value(slot: str, *, values: Mapping[str, Value], pools: Pools, dice: Dice) -> Value:
    taken = {way for value in values.values() for way in value}
    return dice.pick([value for value in pools[slot.rstrip("2")] if not taken.intersection(value)])


def say(line: str, *, values: Mapping[str, Value], dice: Dice) -> str:
    """Make a sentence of a line: choose among its alternatives and among the ways to say each value."""
    text = choose(line, dice=dice)
    text = SLOT.sub(lambda match: dice.pick(values[match[1]]), text)
    for pattern, short in CONTRACTIONS.items():
        if dice.chance(0.4):
            text = re.sub(pattern, short, text)
    return tidy(text)


def swapped(values: Mapping[str, Value], *, first: str, second: str) -> dict[str, Value]:
    return {**values, first: values[second], second: values[first]}


def same_meaning(frame: Frame, *, pools: Pools, dice: Dice) -> Pair:
    values = fill_slots(frame, pools=pools, dice=dice)
    meaning = dice.pick(frame)
    second_values = values
    if meaning.symmetric and dice.chance(0.5):
        second_values = swapped(values, first=meaning.symmetric[0], second=meaning.symmetric[1])
    first = say(dice.pick(meaning.lines), values=values, dice=dice)
    return Pair(first, say(dice.pick(meaning.lines), values=second_values, dice=dice), 1)


def different_meaning(frame: Frame, *, pools: Pools, dice: Dice) -> Pair | None:
    """Return a pair that says two things, or None where the line drawn does not allow the difference drawn."""
    values = second_values = fill_slots(frame, pools=pools, dice=dice)
    meaning = second_meaning = dice.pick(frame)
    line = dice.pick(meaning.lines)
    difference = dice.weighted(DIFFERENCES)
    if "meaning" in difference:
        second_meaning = dice.pick([other for other in frame if other is not meaning])
    second_line = dice.pick(second_meaning.lines)
    if "values" in difference:
        shared = dice.shuffled(slot for slot in slots_of(line) if slot in slots_of(second_line))
        if not shared:
            return None
        second_values = dict(values)
        for slot in shared[: dice.pick(CHANGED_VALUES)]:
            taken = {"was": values[slot], **second_values}
            second_values[slot] = another_value(slot, values=taken, pools=pools, dice=dice)
    if difference == "swap":
        twins = [slot for slot in slots_of(line) if slot + "2" in slots_of(line) and slot not in meaning.symmetric]
        if not twins:
            return None
        second_values = swapped(values, first=twins[0], second=twins[0] + "2")
    first = say(line, values=values, dice=dice)
    return Pair(first, say(second_line, values=second_values, dice=dice), 0)


def candidates(frame: Frame, *, label: int, pools: Pools, dice: Dice) -> dict[int, list[Pair]]:
    """Draw many pairs of one label from a frame, grouped by the step that their overlap falls into."""
    make = same_meaning if label else different_meaning
    drawn = dict.fromkeys(make(frame, pools=pools, dice=dice) for _ in range(400))
    by_step: dict[int, list[Pair]] = {}
    for pair in drawn:
        if pair is not None and words(pair.sentence1) != words(pair.sentence2):
            by_step.setdefault(int(pair.overlap * OVERLAP_STEPS), []).append(pair)
    return by_step


def pairs_of_frame(frame: Frame, *, pairs: int, pools: Pools, dice: Dice) -> list[Pair]:
    """Draw the pairs of one frame, so that their overlap tells nothing about their label."""
    positive = candidates(frame, label=1, pools=pools, dice=dice)
    negative = candidates(frame, label=0, pools=pools, dice=dice)
    chosen: dict[Pair, None] = {}
    sentences: set[str] = set()

    def take(among: list[Pair]) -> bool:
        # No sentence occurs twice: that would make rows of one frame give each other away.
        fresh = [pair for pair in among if not {pair.sentence1, pair.sentence2} & sentences]
        if fresh:
            pair = dice.pick(fresh)
            chosen[pair] = None
            sentences.update((pair.sentence1, pair.sentence2))
        return bool(fresh)

    for _ in range(40 * pairs):
        if len(chosen) >= pairs:
            break
        step = dice.pick(sorted(positive.keys() & negative.keys()))
        if take(negative[step]):
            take(positive[step])
            if dice.chance(POSITIVE_SHARE / (1 - POSITIVE_SHARE) - 1):
                take(positive[step])
    return list(chosen)


def make_split(frames: Sequence[Frame], *, rows: int, pools: Pools, dice: Dice) -> list[Pair]:
    per_frame = -(-rows // len(frames)) + 2
    drawn = [pair for frame in frames for pair in pairs_of_frame(frame, pairs=per_frame, pools=pools, dice=dice)]
    shuffled = dice.shuffled(drawn)
    positives = round(rows * POSITIVE_SHARE)
    kept = [pair for pair in shuffled if pair.label == 1][:positives]
    kept += [pair for pair in shuffled if pair.label == 0][: rows - positives]
    if len(kept) != rows:
        raise SystemExit(f"{len(kept)} pairs of {rows}: the frames give too few, add some")
    return dice.shuffled(kept)


def make(folder: Path) -> None:
    dice = Dice(SEED)
    frames = deal(read_frames(), dice=dice)
    pools = read_pools(dice=dice)
    for split, rows in ROWS.items():
        pairs = make_split(frames[split], rows=rows, pools=pools[split], dice=dice)
        listed = [{"sentence1": p.sentence1, "sentence2": p.sentence2, "label": p.label} for p in pairs]
        write_jsonl(folder / f"{split}.jsonl", rows=listed)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "paraphrase")
