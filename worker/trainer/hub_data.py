"""A data set of the Hub: its splits by name, and their rows."""

from collections.abc import Iterator
from typing import Any, Final

import datasets

from app.dataset.resolved import Split
from app.dataset.source import Row
from app.errors import InvalidData
from app.spec.job import DatasetSpec
from worker.trainer.hub_errors import told_to_the_user

VALIDATION_SPLITS: Final = ("validation", "dev", "valid", "validation_matched")
"""What ``validation: "auto"`` looks for, in this order."""

_ROWS_AT_ONCE: Final = 1_000


def load_splits(spec: DatasetSpec) -> tuple[dict[Split, Any], DatasetSpec]:
    """The splits of a Hub data set by their part, and ``spec`` with the validation split found in place of ``"auto"``.

    Raises InvalidData for what is not there, Unavailable if the Hub does not answer.
    """
    assert spec.name is not None
    datasets.disable_progress_bars()
    with told_to_the_user(spec.name, kind="dataset"):
        try:
            found = datasets.load_dataset(spec.name, spec.config, revision=spec.revision)
        except (ValueError, RuntimeError) as error:
            if isinstance(error, FileNotFoundError | ConnectionError):
                raise
            raise _refusal(spec, error) from error
    if spec.validation == "auto":
        name = next((name for name in VALIDATION_SPLITS if name in found), None)
        spec = spec.model_copy(update={"validation": name}) if name else spec
    names: dict[Split, str] = {"train": spec.train or "train"}
    if isinstance(spec.validation, str) and spec.validation != "auto":
        names["validation"] = spec.validation
    if spec.test is not None:
        names["test"] = spec.test
    return {part: _split(found, name, spec=spec, part=part) for part, name in names.items()}, spec


def rows_of(split: Any) -> Iterator[Row]:
    for batch in split.iter(batch_size=_ROWS_AT_ONCE):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))


def class_names_of(split: Any) -> dict[str, list[str]]:
    """Names of the classes of the columns that declare them, for single ones or for lists of them."""
    return {
        name: list(inner.names)
        for name, feature in split.features.items()
        if isinstance(inner := getattr(feature, "feature", feature), datasets.ClassLabel) and inner.names
    }


def _split(found: Any, name: str, *, spec: DatasetSpec, part: str) -> Any:
    """A split by name, or a slice of one such as ``train[:10%]``."""
    base = name.partition("[")[0]
    if base not in found:
        raise InvalidData(
            f"{spec.name} has no split {base!r}; it has {', '.join(found)}",
            param=f"dataset.{part}",
            code="split_not_found",
        )
    if base == name:
        return found[name]
    try:
        return datasets.load_dataset(spec.name, spec.config, revision=spec.revision, split=name)
    except ValueError as error:
        raise InvalidData(
            f"{name!r} is no part of a split: {error}", param=f"dataset.{part}", code="split_not_found"
        ) from error


def _refusal(spec: DatasetSpec, error: Exception) -> InvalidData:
    """``datasets`` raises plain errors for a configuration that is missing or unknown and for data sets with own code."""
    param = "dataset.config" if "onfig" in str(error) else "dataset"
    return InvalidData(f"{spec.name} cannot be loaded: {error}"[:1000], param=param, code="dataset_unsupported")
