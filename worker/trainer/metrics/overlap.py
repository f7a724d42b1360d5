"""Words that two texts share: the F-measures of ROUGE (Lin, 2004), counted as ROUGE-1.5.5 and the package rouge_score do."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

_WORD: Final = re.compile(r"[a-z0-9]+")

Words = list[str]


def words_of(text: str) -> Words:
    """Runs of a to z and 0 to 9 in lower case; all else separates them."""
    return _WORD.findall(text.lower())


def rouge_n(written: Words, reference: Words, *, n: int) -> float:
    """Of the runs of ``n`` words, each counted as often as it is in both."""
    ours, theirs = (Counter(zip(*(words[skip:] for skip in range(n)), strict=False)) for words in (written, reference))
    return _f_measure((ours & theirs).total(), num_written=ours.total(), num_reference=theirs.total())


def rouge_l(written: Words, reference: Words) -> float:
    """Of the longest sequence of words that is in both, with others between them or not."""
    length = int(_lengths(reference, written)[-1, -1])
    return _f_measure(length, num_written=len(written), num_reference=len(reference))


def rouge_l_sum(written: Sequence[str], reference: Sequence[str]) -> float:
    """Of summaries in sentences (section 3.2).

    Counted are the words of each reference sentence that are in its longest common sequence with any written one, no word more
    often than it is in both summaries.
    """
    ours, theirs = [words_of(line) for line in written], [words_of(line) for line in reference]
    left_of_ours = Counter(word for words in ours for word in words)
    left_of_theirs = Counter(word for words in theirs for word in words)
    num_written, num_reference = left_of_ours.total(), left_of_theirs.total()
    num_shared = 0
    for sentence in theirs:
        places: set[int] = set().union(*(_common_places(sentence, other) for other in ours))
        for place in sorted(places):
            word = sentence[place]
            if left_of_ours[word] > 0 and left_of_theirs[word] > 0:
                num_shared += 1
                left_of_ours[word] -= 1
                left_of_theirs[word] -= 1
    return _f_measure(num_shared, num_written=num_written, num_reference=num_reference)


def _lengths(one: Words, other: Words) -> np.ndarray:
    """``[i, j]``: the length of the longest common subsequence of the first i words and the first j."""
    numbers: dict[str, int] = {}
    row_words = np.array([numbers.setdefault(word, len(numbers)) for word in one], dtype=np.int64)
    column_words = np.array([numbers.setdefault(word, len(numbers)) for word in other], dtype=np.int64)
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=np.int32)
    for row, word in enumerate(row_words, start=1):
        reached = np.where(column_words == word, table[row - 1, :-1] + 1, table[row - 1, 1:])
        table[row, 1:] = np.maximum.accumulate(reached)
    return table


def _common_places(reference: Words, written: Words) -> list[int]:
    """Numbers of the words in ``reference`` of one longest common subsequence; of several the one that rouge_score takes."""
    table = _lengths(reference, written)
    row, column = len(reference), len(written)
    places = []
    while row and column:
        if reference[row - 1] == written[column - 1]:
            row, column = row - 1, column - 1
            places.append(row)
        elif table[row, column - 1] > table[row - 1, column]:
            column -= 1
        else:
            row -= 1
    return places


def _f_measure(num_shared: int, *, num_written: int, num_reference: int) -> float:
    return 2 * num_shared / (num_written + num_reference) if num_shared else 0.0
