"""The report of a split with tagged words: what was found of each kind of entity."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from worker.predictor.entities import find_entities
from worker.trainer.metrics.counting import Counts, ratio

Tags = Sequence[Sequence[str]]


def count_entities(predictions: Tags, references: Tags) -> tuple[list[str], Counts]:
    """The kinds of entities in either, and how many of each were found, answered and true.

    An entity counts as found if its kind and both its ends are right.
    """
    predicted, true = ({(n, *entity) for n, row in enumerate(tags) for entity in find_entities(row)} for tags in (predictions, references))  # fmt: skip
    counted = [Counter(kind for _, kind, _, _ in entities) for entities in (predicted & true, predicted, true)]
    kinds = sorted(counted[1].keys() | counted[2].keys())
    hits, answered, support = (np.array([counts[kind] for kind in kinds], dtype=np.int64) for counts in counted)
    return kinds, Counts(hits=hits, answered=answered, support=support)


def entity_report(predictions: Tags, references: Tags, *, majority: str) -> dict[str, Any]:
    """``per_class`` by kind of entity, and the accuracy of always answering the tag ``majority``."""
    kinds, counts = count_entities(predictions, references)
    columns = {
        "precision": ratio(counts.hits, counts.answered),
        "recall": ratio(counts.hits, counts.support),
        "f1": ratio(2 * counts.hits, counts.answered + counts.support),
    }
    tags = Counter(tag for row in references for tag in row)
    return {
        "num_examples": len(references),
        "num_words": tags.total(),
        "per_class": [
            {"label": kind, "support": int(counts.support[number])}
            | {name: float(values[number]) for name, values in columns.items()}
            for number, kind in enumerate(kinds)
        ],
        "majority_baseline": {"label": majority, "accuracy": tags[majority] / max(1, tags.total())},
    }
