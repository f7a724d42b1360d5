"""The ``data_report`` of a job: what its user should have seen of the data before training on it."""

from collections.abc import Mapping
from typing import Any

from app.dataset.profile import DatasetProfile
from app.dataset.resolved import SPLITS, ResolvedData, Split


def data_report(profiles: Mapping[Split, DatasetProfile], resolved: ResolvedData) -> dict[str, Any]:
    """By split: rows, labels, text lengths in characters, duplicates and empty texts.

    A length histogram counts texts in [0,16), [16,32), [32,64), …; the last bucket is open.
    """
    return {
        "splits": {
            split: _split_report(profiles[split], resolved)
            for split in SPLITS
            if split in profiles and (split != "test" or resolved.has_test)
        }
    }


def _split_report(profile: DatasetProfile, resolved: ResolvedData) -> dict[str, Any]:
    texts = [column for name in resolved.text_columns if (column := profile.column(name)) is not None]
    labels = profile.column(resolved.label)
    counted = {item.value: item.count for item in (labels.values if labels else None) or ()}
    return {
        "num_rows": profile.num_rows,
        "num_exact_duplicates": profile.num_exact_duplicates,
        "num_empty_texts": sum(column.num_empty for column in texts),
        "label_counts": {
            name: counted.get(value, 0) for name, value in zip(resolved.label_names, resolved.label_values, strict=True)
        },
        "text_chars": {
            column.name: {
                "mean": round(column.mean_chars, 1),
                "max": column.max_chars,
                "histogram": column.length_histogram,
            }
            for column in texts
        },
    }
