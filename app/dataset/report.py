"""The ``data_report`` of a job: what its user should have seen of the data before training on it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from app.dataset.answers import num_without_answer
from app.dataset.problem import label_column
from app.dataset.profile import ColumnProfile, DatasetProfile, InputsProfile
from app.dataset.resolved import SPLITS, ResolvedData, Split


def data_report(profiles: Mapping[Split, DatasetProfile], resolved: ResolvedData) -> dict[str, Any]:
    """By split: rows, labels, text lengths in characters, duplicates, conflicting labels and empty texts.

    Labels are counted by name; with several a row, so are the rows without any; of a regression there is the range; of questions
    those without an answer. Duplicates of texts and conflicts are there where the texts were compared (``profile.inputs``).
    A length histogram counts texts in [0,16), [16,32), [32,64), …; the last bucket is open.
    """
    return {
        "splits": {
            split: split_report(profiles[split], resolved)
            for split in SPLITS
            if split in profiles and (split != "test" or resolved.has_test)
        }
    }


def split_report(profile: DatasetProfile, resolved: ResolvedData) -> dict[str, Any]:
    """One split of ``data_report``."""
    texts = [column for name in resolved.text_columns if (column := profile.column(name)) is not None]
    return {
        "num_rows": profile.num_rows,
        "num_exact_duplicates": profile.num_exact_duplicates,
        **_inputs_report(profile, resolved),
        "num_empty_texts": sum(column.num_empty for column in texts),
        **_labels_report(profile, resolved),
        "text_chars": text_chars(texts),
    }


def text_chars(columns: Iterable[ColumnProfile]) -> dict[str, Any]:
    """How long the texts of these columns are, by name."""
    return {
        column.name: {
            "mean": round(column.mean_chars, 1),
            "max": column.max_chars,
            "histogram": column.length_histogram,
        }
        for column in columns
        if column.has("string")
    }


def label_balance(counts: Mapping[str, int]) -> dict[str, Any]:
    """How often each label occurs, as numbers and as shares of all, and those that do not occur."""
    total = sum(counts.values())
    return {
        "label_counts": dict(counts),
        "label_shares": {name: round(count / max(1, total), 4) for name, count in counts.items()},
        "missing_labels": [name for name, count in counts.items() if not count],
    }


def _inputs_report(profile: DatasetProfile, resolved: ResolvedData) -> dict[str, Any]:
    inputs = profile.inputs
    if inputs is None or not _fits(inputs, resolved):
        return {}
    return {
        "num_rows_compared": inputs.num_rows,
        "num_repeated_inputs": inputs.num_repeated,
        "num_conflicting_inputs": inputs.num_conflicting_inputs,
        "num_conflicting_rows": inputs.num_conflicting_rows,
        "conflicts": [conflict.model_dump(mode="json", exclude_none=True) for conflict in inputs.conflicts],
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
    report = label_balance({name: counted[value] for name, value in names.items()})
    if resolved.problem_type == "multi_label_classification":
        lists = profile.column(resolved.label)
        report["num_without_labels"] = 0 if lists is None else lists.num_empty_lists
    return report


def _fits(found: InputsProfile, resolved: ResolvedData) -> bool:
    """Whether it was found for these columns, read in this way."""
    return (found.text, found.text_pair, found.label, found.problem_type) == (
        resolved.text, resolved.text_pair, resolved.label, resolved.problem_type,
    )  # fmt: skip
