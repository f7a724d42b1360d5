"""From a job's spec and the profiles of its splits to what the data means, or to a refusal that names the row.

It works on profiles alone, so the same rules hold when a job is submitted (for uploads) and in the trainer (for Hub data).
"""

from collections.abc import Mapping

from app.dataset.answers import resolve_answers
from app.dataset.class_weights import check_class_weights
from app.dataset.columns import find_columns, missing_column
from app.dataset.generation import resolve_texts
from app.dataset.labels import find_classes, is_hidden
from app.dataset.problem import check_kinds, find_problem_type
from app.dataset.profile import DatasetProfile
from app.dataset.report import data_report
from app.dataset.resolved import SPLITS, ResolvedData, Split
from app.dataset.tagging import resolve_tags
from app.dataset.task import find_task
from app.dataset.text_to_text import resolve_text_to_text
from app.dataset.texts import check_texts
from app.errors import InvalidData
from app.spec.job import ColumnsSpec, JobSpec

__all__ = ["ResolvedData", "Split", "data_report", "resolve", "write_back"]


def resolve(
    spec: JobSpec, profiles: Mapping[Split, DatasetProfile], *, is_encoder_decoder: bool | None = None
) -> ResolvedData:
    """Columns, classes and warnings. ``profiles`` holds ``train`` and those other splits that are files or Hub splits.

    ``is_encoder_decoder``: whether the model is; None where that is not known.

    Raises InvalidData with a code of its own for all that cannot be trained on; ``param`` names the field or split.
    """
    splits = {split: profiles[split] for split in SPLITS if split in profiles}
    _check_rows(splits)
    resolved = _resolve_columns(spec, splits, is_encoder_decoder=bool(is_encoder_decoder))
    check_class_weights(spec, resolved)
    if spec.label_names != "auto" and spec.label_names and not resolved.label_names:
        raise InvalidData(
            f"label_names are for classes and tags, and mean nothing for {resolved.problem_type}",
            param="label_names",
            code="setting_does_not_fit",
            hint="Leave it out.",
        )
    return resolved


def _resolve_columns(spec: JobSpec, splits: dict[Split, DatasetProfile], *, is_encoder_decoder: bool) -> ResolvedData:
    match find_task(splits["train"], spec=spec, is_encoder_decoder=is_encoder_decoder):
        case "token-classification":
            return resolve_tags(spec, splits)
        case "question-answering":
            return resolve_answers(spec, splits)
        case "text-generation":
            return resolve_texts(spec, splits)
        case "text2text-generation":
            return resolve_text_to_text(spec, splits)
        case "text-classification":
            return _resolve_classes(spec, splits)


def _resolve_classes(spec: JobSpec, splits: dict[Split, DatasetProfile]) -> ResolvedData:
    text, text_pair, label = find_columns(splits["train"], columns=spec.columns)
    text_columns = [name for name in (text, text_pair) if name is not None]
    for split, profile in splits.items():
        for name in (*text_columns, label):
            if profile.column(name) is None:
                raise missing_column(name, profile, param=f"dataset.{split}", split=split)
    warnings = []
    if "test" in splits and is_hidden(splits["test"], label=label) and not _has_label(splits["train"], label, value=-1):
        del splits["test"]
        message = "All labels of the test split are -1 (hidden by its makers): it is left out."
        warnings.append({"code": "hidden_test_labels", "message": message})
    problem_type = find_problem_type(splits["train"], label=label, asked=spec.problem_type)
    check_kinds(splits, label=label, problem_type=problem_type)
    for split, profile in splits.items():
        for name in text_columns:
            warnings += check_texts(profile, name, split=split, param=_text_param(split, name, text=text))
    names = None if spec.label_names == "auto" else spec.label_names
    classes = find_classes(splits, label=label, problem_type=problem_type, label_names=names)
    return ResolvedData(
        task="text-classification",
        problem_type=problem_type,
        text=text,
        text_pair=text_pair,
        label=label,
        label_names=classes.names,
        label_values=classes.values,
        has_test="test" in splits,
        warnings=warnings + classes.warnings,
    )


def write_back(spec: JobSpec, resolved: ResolvedData) -> JobSpec:
    """``spec`` with what was found in place of ``"auto"``; resolving it again finds the same."""
    columns = ColumnsSpec(text=resolved.text, text_pair=resolved.text_pair, label=resolved.label)
    return spec.model_copy(
        update={
            "task": resolved.task,
            "problem_type": resolved.problem_type,
            "columns": columns,
            "label_names": resolved.label_names,
        }
    )


def _check_rows(splits: Mapping[Split, DatasetProfile]) -> None:
    for split, profile in splits.items():
        if profile.num_rows == 0:
            raise InvalidData(f"The {split} split has no rows.", param=f"dataset.{split}", code="no_rows")
    if splits["train"].num_rows == 1:
        raise InvalidData("The train split has only one row.", param="dataset.train", code="too_few_rows")


def _has_label(profile: DatasetProfile, label: str, *, value: int) -> bool:
    column = profile.column(label)
    return column is not None and any(counted.value == value for counted in column.values or ())


def _text_param(split: Split, name: str, *, text: str) -> str:
    if split != "train":
        return f"dataset.{split}"
    return "columns.text" if name == text else "columns.text_pair"
