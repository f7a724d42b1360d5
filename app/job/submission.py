"""``POST /jobs``: check the spec against what is known, and fill in what can be."""

from dataclasses import dataclass
from typing import Any

from app.dataset import inference
from app.dataset.advice import advise
from app.dataset.profile import DatasetProfile
from app.dataset.resolved import SPLITS, Split
from app.job.acceptance import NewJob, Submitted, accept
from app.job.data_files import data_file
from app.job.schemas import ValidationOut, WarningOut
from app.model import service as models
from app.spec import recipe
from app.spec.base import TASK_OF, TaskName
from app.spec.fit import check_model_fits, check_parts_fit
from app.spec.job import FILE_ID, JobSpec
from app.spec.kinds import JobKind
from app.spec.metrics import metric_names


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A job that can be done."""

    spec: JobSpec
    data_report: dict[str, Any] | None
    warnings: list[dict[str, str]]


def submit(requested: JobSpec, *, retry_of: str | None = None, idempotency_key: str | None = None) -> Submitted:
    """The stored job. Raises what ``check`` and ``accept`` raise."""
    return accept(requested, lambda: prepare(requested), retry_of=retry_of, idempotency_key=idempotency_key)


def prepare(requested: JobSpec) -> NewJob:
    """A job that can be stored. Raises what ``check`` raises."""
    return _new_job(requested, check(requested))


def _new_job(requested: JobSpec, checked: Checked) -> NewJob:
    uploads = [] if requested.dataset.name is not None else _file_splits(requested)
    return NewJob(
        kind=JobKind.TRAINING,
        spec=checked.spec,
        requested=requested,
        files=[str(getattr(requested.dataset, split)) for split in uploads],
        data_report=checked.data_report,
        warnings=checked.warnings,
    )


def validate(requested: JobSpec) -> ValidationOut:
    """What ``submit`` would store, without storing it."""
    checked = check(requested)
    return ValidationOut(
        spec=checked.spec,
        data_report=checked.data_report,
        warnings=[WarningOut.model_validate(warning) for warning in checked.warnings],
    )


def check(requested: JobSpec) -> Checked:
    """Refuse what cannot succeed; infer and choose what is ``"auto"``. Raises a ServiceError that names the parameter.

    What only the trainer can see (Hub data, the model of an unreachable hub) it checks later by the same rules.
    """
    check_parts_fit(requested)
    reference = models.resolve_reference(requested.model, revision=requested.model_revision)
    pinned = requested.model_copy(update={"model_revision": reference.revision})
    metric_names([] if requested.metrics == "auto" else requested.metrics)
    if requested.dataset.name is not None:
        commit = models.check_hub_dataset(requested.dataset.name, requested.dataset.config, requested.dataset.revision)
        pinned = pinned.model_copy(update={"dataset": requested.dataset.model_copy(update={"revision": commit})})
        _check_model(requested, reference, task=_asked_task(requested))
        return Checked(spec=pinned, data_report=None, warnings=[])
    profiles = _profiles(requested)
    is_encoder_decoder = None if reference.info is None else reference.info.is_encoder_decoder
    resolved = inference.resolve(requested, profiles, is_encoder_decoder=is_encoder_decoder)
    _check_model(requested, reference, task=resolved.task)
    spec = inference.write_back(pinned, resolved)
    if reference.info is None and _asked_task(requested) is None and resolved.task == "text-generation":
        spec = pinned  # of an encoder-decoder it is text2text-generation: the trainer sees which the model is
    if reference.info is not None:
        spec = recipe.fill(
            spec,
            num_examples=_num_train_examples(spec, profiles["train"]),
            num_labels=len(resolved.label_names),
            model_config={"hidden_size": reference.info.hidden_size, "model_type": reference.info.model_type},
        )
    report = inference.data_report(profiles, resolved)
    advice = advise(
        report, problem_type=resolved.problem_type, weighs_classes=requested.training.class_weights is not None
    )
    return Checked(spec=spec, data_report=report, warnings=resolved.warnings + advice)


def _asked_task(spec: JobSpec) -> TaskName | None:
    if spec.task != "auto":
        return spec.task
    return None if spec.problem_type == "auto" else TASK_OF[spec.problem_type]


def _check_model(spec: JobSpec, reference: models.ModelReference, *, task: TaskName | None) -> None:
    """Raise InvalidModel if the model is known and of a kind that does not do the task."""
    if reference.info is not None and task is not None:
        check_model_fits(
            task,
            model=spec.model,
            model_type=reference.info.model_type,
            architectures=reference.info.architectures,
            is_encoder_decoder=reference.info.is_encoder_decoder,
            is_decoder=reference.info.is_decoder,
        )


def _profiles(spec: JobSpec) -> dict[Split, DatasetProfile]:
    """Profiles of the uploaded files by split. Raises InvalidRequest naming the split whose file is unknown."""
    profiles: dict[Split, DatasetProfile] = {}
    for split in _file_splits(spec):
        file_id = getattr(spec.dataset, split)
        _, profiles[split] = data_file(file_id, param=f"dataset.{split}")
    return profiles


def _file_splits(spec: JobSpec) -> list[Split]:
    """Splits that are uploaded files; a validation split may also be a fraction."""
    return [split for split in SPLITS if FILE_ID.fullmatch(str(getattr(spec.dataset, split)))]


def _num_train_examples(spec: JobSpec, profile: DatasetProfile) -> int:
    """Rows that are left to train on when a fraction is set aside for validation."""
    fraction = spec.dataset.validation
    return profile.num_rows - round(profile.num_rows * fraction) if isinstance(fraction, float) else profile.num_rows
