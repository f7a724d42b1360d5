"""The ``data_report`` of a job: what its user should have seen of the data before training on it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.dataset.answers import num_without_answer
from app.dataset.problem import label_column
from app.dataset.profile import DatasetProfile
from app.dataset.resolved import SPLITS, ResolvedData, Split


def data_report(profiles: Mapping[Split, DatasetProfile], resolved: ResolvedData) -> dict[str, Any]:
    """By split: rows, labels, text lengths in characters, duplicates and empty texts.

    Labels are counted by name; with several a row, so are the rows without any; of a regression there is the range; of questions
    those without an answer.
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
    return {
        "num_rows": profile.num_rows,
        "num_exact_duplicates": profile.num_exact_duplicates,
        "num_empty_texts": sum(column.num_empty for column in texts),
        **_labels_report(profile, resolved),
        "text_chars": {
            column.name: {
                "mean": round(column.mean_chars, 1),
                "max": column.max_chars,
                "histogram": column.length_histogram,
            }
            for column in texts
            if column.has("string")
        },
    }


def _labels_report(profile: DatasetProfile, resolved: ResolvedData) -> dict[str, Any]:
    if resolved.problem_type == "extractive_question_answering":
        return {"num_without_answer": num_without_answer(profile, str(resolved.label))}
    if resolved.problem_type in {"language_modeling", "sequence_to_sequence"} or resolved.label is None:
        return {}
    column = label_column(profile, label=resolved.label, problem_type=resolved.problem_type)
    if resolved.problem_type == "regression":
        return {"label_range": None if column.numbers is None else column.numbers.model_dump()}
    counted: Counter[Any] = Counter()
    for item in column.values or ():
        counted[item.value] += item.count
    names = dict(zip(resolved.label_names, resolved.label_values, strict=True))
    report: dict[str, Any] = {"label_counts": {name: counted[value] for name, value in names.items()}}
    if resolved.problem_type == "multi_label_classification":
        lists = profile.column(resolved.label)
        report["num_without_labels"] = 0 if lists is None else lists.num_empty_lists
    return report
