"""``POST /jobs``: check the spec against what is known, fill in what can be, store, and only then wake a worker."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app import failpoints, ids
from app.clock import utc_now
from app.dataset import inference
from app.dataset.profile import DatasetProfile
from app.dataset.resolved import SPLITS, Split
from app.db import now, reading, transaction
from app.errors import InvalidRequest, NotFound
from app.file import service as files
from app.job import events, idempotency
from app.job.models import Job
from app.job.presentation import job_out
from app.job.schemas import JobOut, ValidationOut, WarningOut
from app.job.states import JobStatus
from app.model import service as models
from app.spec import recipe
from app.spec.base import TASK_OF, TaskName
from app.spec.fit import check_model_fits, check_parts_fit
from app.spec.job import FILE_ID, JobSpec
from app.spec.metrics import metric_names
from app.task_queue import wake_workers


@dataclass(frozen=True, kw_only=True)
class _Checked:
    spec: JobSpec
    data_report: dict[str, Any] | None
    warnings: list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    job: JobOut
    is_new: bool
    """False: the same request was accepted before, under the same key."""


def submit(requested: JobSpec, *, retry_of: str | None = None, idempotency_key: str | None = None) -> Submitted:
    """The stored job. It is committed before a worker is woken, and waking may fail: workers also look by themselves.

    Raises what ``check`` raises, and InvalidRequest for an idempotency key that was sent with another request.
    """
    digest = idempotency.digest(requested, retry_of=retry_of)
    if idempotency_key is not None and (known := _known(idempotency_key, digest)) is not None:
        return Submitted(job=known, is_new=False)
    checked = check(requested)
    failpoints.reach("job.checked")
    try:
        with transaction() as session:
            job = _insert(session, requested, checked, retry_of=retry_of)
            if idempotency_key is not None:
                idempotency.take(session, idempotency_key, request_sha256=digest, job_id=job.id)
            answer = job_out(session, job)
            failpoints.reach("job.inserted")
    except idempotency.KeyTakenError:
        known = _known(idempotency_key or "", digest)
        assert known is not None, "keys are kept for days"
        return Submitted(job=known, is_new=False)
    failpoints.reach("job.stored")
    wake_workers()
    failpoints.reach("job.woken")
    return Submitted(job=answer, is_new=True)


def _known(idempotency_key: str, digest: str) -> JobOut | None:
    """The job that this very request made before."""
    with reading() as session:
        job_id = idempotency.find(session, idempotency_key, request_sha256=digest)
        return None if job_id is None else job_out(session, session.get_one(Job, job_id))


def validate(requested: JobSpec) -> ValidationOut:
    """What ``submit`` would store, without storing it."""
    checked = check(requested)
    return ValidationOut(
        spec=checked.spec,
        data_report=checked.data_report,
        warnings=[WarningOut.model_validate(warning) for warning in checked.warnings],
    )


def check(requested: JobSpec) -> _Checked:
    """Refuse what cannot succeed; infer and choose what is ``"auto"``. Raises a ServiceError that names the parameter.

    What only the trainer can see (Hub data, the model of an unreachable hub) it checks later by the same rules.
    """
    check_parts_fit(requested)
    reference = models.resolve_reference(requested.model, revision=requested.model_revision)
    pinned = requested.model_copy(update={"model_revision": reference.revision})
    metric_names([] if requested.metrics == "auto" else requested.metrics)
    if requested.dataset.name is not None:
        models.check_hub_dataset(requested.dataset.name, requested.dataset.config, requested.dataset.revision)
        _check_model(requested, reference, task=_asked_task(requested))
        return _Checked(spec=pinned, data_report=None, warnings=[])
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
    return _Checked(spec=spec, data_report=inference.data_report(profiles, resolved), warnings=resolved.warnings)


def _asked_task(spec: JobSpec) -> TaskName | None:
    if spec.task != "auto":
        return spec.task
    return None if spec.problem_type == "auto" else TASK_OF[spec.problem_type]


def _check_model(spec: JobSpec, reference: models.ModelReference, *, task: TaskName | None) -> None:
    """Raise InvalidModel if the model is known and of a kind that does not do the task."""
    if reference.info is not None and task is not None:
        check_model_fits(task, model=spec.model, is_encoder_decoder=reference.info.is_encoder_decoder)


def _profiles(spec: JobSpec) -> dict[Split, DatasetProfile]:
    """Profiles of the uploaded files by split. Raises InvalidRequest naming the split whose file is unknown."""
    profiles: dict[Split, DatasetProfile] = {}
    for split in _file_splits(spec):
        file_id = getattr(spec.dataset, split)
        try:
            profiles[split] = files.profile_of(files.get_file(file_id))
        except NotFound as error:
            raise InvalidRequest(
                f"There is no file {file_id!r}.",
                param=f"dataset.{split}",
                code="file_not_found",
                hint="Upload it with POST /files and use the id of the answer.",
            ) from error
    return profiles


def _file_splits(spec: JobSpec) -> list[Split]:
    """Splits that are uploaded files; a validation split may also be a fraction."""
    return [split for split in SPLITS if FILE_ID.fullmatch(str(getattr(spec.dataset, split)))]


def _num_train_examples(spec: JobSpec, profile: DatasetProfile) -> int:
    """Rows that are left to train on when a fraction is set aside for validation."""
    fraction = spec.dataset.validation
    return profile.num_rows - round(profile.num_rows * fraction) if isinstance(fraction, float) else profile.num_rows


def _insert(session: Session, requested: JobSpec, checked: _Checked, *, retry_of: str | None) -> Job:
    if requested.dataset.name is None:
        files.hold(session, [str(getattr(requested.dataset, split)) for split in _file_splits(requested)])
    moment = utc_now()
    job = Job(
        id=ids.new_id(ids.JOB),
        status=JobStatus.QUEUED,
        spec=checked.spec.model_dump(mode="json"),
        requested_spec=requested.model_dump(mode="json", exclude_unset=True),
        job_metadata=requested.metadata,
        priority=requested.priority,
        retry_of=retry_of,
        created_at=moment,
        not_before=now(session),
        progress={},
        warnings=checked.warnings,
        data_report=checked.data_report,
        timings={},
    )
    session.add(job)
    session.flush()
    events.append(session, job.id, "The job was accepted.", kind="status", data={"status": JobStatus.QUEUED})
    session.refresh(job)
    return job
