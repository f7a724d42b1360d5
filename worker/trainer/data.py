"""The examples of a job: read, checked and given class ids."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.dataset.advice import advise, evaluation_advice, overlap_advice
from app.dataset.inference import ResolvedData, data_report, resolve, write_back
from app.dataset.inputs import Inputs
from app.dataset.profile import DatasetProfile
from app.dataset.profiler import profile_rows
from app.dataset.readers import profile_file, read_rows
from app.dataset.resolved import Split, refuse_split_row
from app.dataset.source import Row
from app.spec.job import JobSpec
from app.spec.run import DataFile, RunSpec
from app.spec.words import Span
from worker.trainer.data_checks import find_overlaps, set_aside_report, tokens_report
from worker.trainer.examples import Examples
from worker.trainer.reporting import Reporter
from worker.trainer.tasks import Task, UnfitRowError, task_of
from worker.trainer.tokens import Tokens

VALIDATION_FRACTION: Final = 0.1
"""Set aside where the data has no validation split of its own."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """``splits`` has train and validation, and test if there is one with labels."""

    splits: dict[Split, Examples]
    task: Task
    text_fields: list[str]
    spec: JobSpec
    """With columns, label names and validation split as found."""
    report: dict[str, Any]
    warnings: list[str]
    """What was said of the data; that texts are cut is found later."""

    def with_lengths(self, tokens: Mapping[Split, Tokens]) -> "Data":
        """With the lengths of the splits in tokens in the report."""
        splits = {
            name: facts | ({"tokens": tokens_report(tokens[name])} if name in tokens else {})
            for name, facts in self.report["splits"].items()
        }
        return replace(self, report=self.report | {"splits": splits})

    def with_labels(self, tokens: Mapping[Split, Tokens]) -> "Data":
        """With the labels that came with the tokens, where they are tokens themselves."""
        splits = dict(self.splits)
        for name, found in tokens.items():
            if found.labels is not None and found.words is not None:
                splits[name] = replace(
                    splits[name],
                    labels=found.labels,
                    offsets=found.words.offsets,
                    answers=splits[name].labels,
                    windows=found.windows,
                )
        return replace(self, splits=splits)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A split that has not been read yet. Rows are read twice: to know what they mean, then to keep what matters."""

    profile: Callable[[], DatasetProfile]
    rows: Callable[[], Iterator[Row]]


def read_data(run: RunSpec, *, is_encoder_decoder: bool, report: Reporter) -> Data:
    """Read, check, split; ``is_encoder_decoder`` is the model, which may tell the task. Raises InvalidData or TooLarge, which name the split and the row."""
    spec = run.spec
    if spec.dataset.name is None:
        sources = {split: _from_file(file) for split, file in run.files.items()}
    else:
        sources, spec = _from_hub(spec)
    profiles = {split: source.profile() for split, source in sources.items()}
    resolved = resolve(spec, profiles, is_encoder_decoder=is_encoder_decoder)
    advice = list(resolved.warnings)
    task = task_of(resolved)
    splits, inputs = {}, {}
    for split, source in sources.items():
        if split != "test" or resolved.has_test:
            splits[split], inputs[split] = _read_examples(source.rows(), resolved, split=split, task=task)
            found = inputs[split].profile(source.rows)
            profiles[split] = profiles[split].model_copy(update={"inputs": found})
    facts = data_report(profiles, resolved)
    weighs_classes = spec.training.class_weights is not None
    advice += advise(facts, problem_type=resolved.problem_type, weighs_classes=weighs_classes)
    hashes = {split: np.frombuffer(found.hashes, dtype=np.uint64) for split, found in inputs.items()}
    set_aside = "validation" not in splits
    if set_aside:
        fraction = VALIDATION_FRACTION if spec.dataset.validation == "auto" else float(spec.dataset.validation)
        train, validation = task.set_aside(splits["train"], fraction=fraction, seed=spec.training.seed)
        splits |= {"train": splits["train"].take(train), "validation": splits["train"].take(validation)}
        spec = _with_dataset(spec, validation=fraction)
        report.log(f"set {len(validation)} of {len(validation) + len(train)} training examples aside for validation")
        hashes |= {"train": hashes["train"][train], "validation": hashes["train"][validation]}
        facts["splits"]["validation"] = set_aside_report(task, splits["validation"])
        advice += evaluation_advice("validation", facts["splits"]["validation"], problem_type=resolved.problem_type)
    facts["overlap"] = find_overlaps(hashes, splits)
    for split, overlap in facts["overlap"].items():
        advice += overlap_advice(split, overlap, set_aside=set_aside and split == "validation")
    for warning in advice:
        report.warn(warning["code"], warning["message"])
    if not resolved.has_test:
        spec = _with_dataset(spec, test=None)
    return Data(
        splits=splits,
        task=task,
        text_fields=resolved.text_columns,
        spec=write_back(spec, resolved),
        report=facts | {"num_examples": {name: len(split) for name, split in splits.items()}},
        warnings=[warning["message"] for warning in advice],
    )


def _from_file(file: DataFile) -> _Source:
    path = Path(file.path)
    return _Source(
        profile=lambda: profile_file(path, format=file.format), rows=lambda: read_rows(path, format=file.format)
    )


def _from_hub(spec: JobSpec) -> tuple[dict[Split, _Source], JobSpec]:
    from worker.trainer import hub_data  # noqa: PLC0415 - a second of imports that uploads do not need

    splits, dataset = hub_data.load_splits(spec.dataset)

    def source(split: Any) -> _Source:
        return _Source(
            profile=lambda: profile_rows(hub_data.rows_of(split), class_names=hub_data.class_names_of(split)),
            rows=lambda: hub_data.rows_of(split),
        )

    return {name: source(split) for name, split in splits.items()}, spec.model_copy(update={"dataset": dataset})


def _read_examples(rows: Iterable[Row], resolved: ResolvedData, *, split: Split, task: Task) -> tuple[Examples, Inputs]:
    inputs = Inputs(resolved)
    texts: list[str] = []
    pairs: list[str] | None = None if resolved.text_pair is None else []
    words: list[list[Span]] | None = [] if task.tags_words else None
    labels: list[Any] = []
    for number, row in enumerate(rows, start=1):
        pair = "" if resolved.text_pair is None else row[resolved.text_pair] or ""
        try:
            text, spans, label = task.read(row[resolved.text], None if resolved.label is None else row[resolved.label])
            task.check(label, pair=pair)
        except UnfitRowError as error:
            raise refuse_split_row(
                split, number, str(error), code=error.code, param="columns.label", hint=task.hint
            ) from error
        inputs.add(row)
        texts.append(text)
        labels.append(label)
        if pairs is not None:
            pairs.append(pair)
        if words is not None:
            words.append(spans)
    offsets = None if words is None else np.cumsum([0, *map(len, words)])
    return Examples(texts=texts, pairs=pairs, labels=task.stack(labels), words=words, offsets=offsets), inputs


def _with_dataset(spec: JobSpec, **changes: Any) -> JobSpec:
    return spec.model_copy(update={"dataset": spec.dataset.model_copy(update=changes)})
