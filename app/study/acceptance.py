"""``POST /sweeps``: check every end of the space as a job would be, fill in what is ``"auto"``, and store the study."""

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import failpoints, ids
from app.audit import made
from app.clock import utc_now
from app.db import reading, transaction
from app.errors import InvalidRequest, ServiceError
from app.file import service as files
from app.job import submission
from app.spec.job import FILE_ID, JobSpec
from app.spec.metrics import KNOWN, LOSS, canonical, is_greater_better, metric_names
from app.study import driver, repository, search_space
from app.study.models import Study
from app.study.presentation import sweeps_out
from app.study.schemas import SweepOut, SweepValidationOut
from app.study.search_space import Parameter
from app.study.spec import MOST_TRIALS, PrunerSpec, SweepSpec, pruner_filled, sampler_filled
from app.study.states import StudyStatus

NUM_TRIALS: Final = 20
MOST_CORNERS: Final = 100
"""That are checked against data and model, a few milliseconds each; a choice beyond them may fail as a trial."""
_FOUND_IN_THE_DATA: Final = ("task", "problem_type", "columns", "label_names", "metrics")
"""Of the job: found once, so that it is the same for all trials."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    sweep: SweepOut
    is_new: bool
    """False: the same request was accepted before, under the same key."""


@dataclass(frozen=True, kw_only=True)
class _Checked:
    spec: SweepSpec
    base: dict[str, Any]
    """What all trials have in common, as it would be sent."""
    warnings: list[dict[str, str]]


def accept(requested: SweepSpec, *, idempotency_key: str | None = None) -> Accepted:
    """The stored study; its first trials are begun a moment later.

    Raises a ServiceError that names the parameter, and InvalidRequest for a key that was sent with another request.
    """
    digest = hashlib.sha256(requested.model_dump_json(exclude_unset=True).encode()).hexdigest()
    if idempotency_key is not None and (known := _known(idempotency_key, digest)) is not None:
        made.tell(known.id)
        return Accepted(sweep=known, is_new=False)
    checked = _check(requested)
    try:
        with transaction() as session:
            study = _insert(session, requested, checked, digest=digest, idempotency_key=idempotency_key)
            (answer,) = sweeps_out(session, [study])
    except IntegrityError:
        known = None if idempotency_key is None else _known(idempotency_key, digest)
        if known is None:
            raise
        made.tell(known.id)
        return Accepted(sweep=known, is_new=False)
    made.tell(answer.id)
    failpoints.reach("study.stored")
    driver.wake()
    return Accepted(sweep=answer, is_new=True)


def validate(requested: SweepSpec) -> SweepValidationOut:
    """What ``accept`` would store, without storing it."""
    checked = _check(requested)
    return SweepValidationOut.model_validate({"spec": checked.spec, "warnings": checked.warnings})


def _known(key: str, digest: str) -> SweepOut | None:
    with reading() as session:
        study = repository.by_key(session, key)
        if study is None:
            return None
        if study.request_sha256 != digest:
            raise InvalidRequest(
                "This Idempotency-Key was sent before with another request.",
                param="Idempotency-Key",
                code="idempotency_key_reused",
                hint=f"It made the sweep {study.id}. A new request needs a new key.",
            )
        (answer,) = sweeps_out(session, [study])
        return answer


def _insert(
    session: Session, requested: SweepSpec, checked: _Checked, *, digest: str, idempotency_key: str | None
) -> Study:
    data = requested.job.dataset
    names = [str(name) for name in (data.train, data.validation, data.test)]
    files.hold(session, [name for name in names if FILE_ID.fullmatch(name)])
    study = Study(
        id=ids.new_id(ids.SWEEP),
        status=StudyStatus.QUEUED,
        spec=checked.spec.model_dump(mode="json"),
        requested_spec=requested.model_dump(mode="json", exclude_unset=True),
        base_spec=checked.base,
        study_metadata=requested.metadata,
        created_at=utc_now(),
        idempotency_key=idempotency_key,
        request_sha256=digest,
    )
    session.add(study)
    session.flush()
    session.refresh(study)
    return study


def _check(requested: SweepSpec) -> _Checked:
    space = search_space.parameters(requested.space)
    sent = requested.job.model_dump(mode="json", exclude_unset=True)
    search_space.check_values(sent, space)
    _refuse_moving_splits(requested)
    job, warnings = _check_corners(sent, space)
    metric = _metric(requested, job)
    maximize = _maximize(requested, metric=metric)
    base = _base(sent, requested, job, metric=metric, maximize=maximize)
    filled = requested.model_copy(
        update={
            "job": JobSpec.model_validate(base),
            "metric": metric,
            "direction": requested.direction if maximize is None else ("maximize" if maximize else "minimize"),
            "num_trials": _num_trials(requested, space),
            "sampler": sampler_filled(requested.sampler),
            "pruner": _pruner(requested),
        }
    )
    return _Checked(spec=filled, base=base, warnings=warnings)


def _check_corners(sent: dict[str, Any], space: list[Parameter]) -> tuple[JobSpec, list[dict[str, str]]]:
    """The first corner as a job with everything filled in, and the warnings of all. Raises for a corner that is refused."""
    first, *others = itertools.islice(search_space.corners(space), MOST_CORNERS)
    checked = _check_corner(sent, first)
    warnings = {warning["message"]: warning for warning in checked.warnings}
    common = _with_what_was_found(sent, checked.spec)
    for params in others:
        warnings |= {warning["message"]: warning for warning in _check_corner(common, params).warnings}
    return checked.spec, list(warnings.values())


def _check_corner(base: dict[str, Any], params: dict[str, Any]) -> submission.Checked:
    try:
        return submission.check(JobSpec.model_validate(search_space.applied(base, params)))
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        shown = orjson.dumps(params).decode()
        message = f"space: with {shown} the job is none: {reason}"
        raise InvalidRequest(message, param="space", code="invalid_value") from error
    except ServiceError as error:
        if error.param is not None:
            error.param = f"space.{error.param}" if error.param in params else f"job.{error.param}"
        raise


def _with_what_was_found(sent: dict[str, Any], job: JobSpec) -> dict[str, Any]:
    filled = job.model_dump(mode="json")
    return search_space.applied(sent, {name: filled[name] for name in _FOUND_IN_THE_DATA if filled[name] != "auto"})


def _refuse_moving_splits(requested: SweepSpec) -> None:
    validation = requested.job.dataset.validation
    if "training.seed" in requested.space and (validation == "auto" or not isinstance(validation, str)):
        raise InvalidRequest(
            "space.training.seed: the seed also draws the validation split, which must be the same for all trials",
            param="space.training.seed",
            code="parameter_cannot_vary",
            hint="Give job.dataset.validation a file, or the name of a split.",
        )


def _metric(requested: SweepSpec, job: JobSpec) -> str:
    """As jobs report it, such as ``eval/f1``; ``auto`` where only a trainer can tell. Raises InvalidRequest."""
    if requested.metric == "auto":
        best = job.training.metric_for_best_model
        return best if best == "auto" else f"eval/{best}"
    if requested.metric.startswith(("test/", "test_")):
        raise InvalidRequest(
            "metric: the test split must not be chosen by, or it tells nothing in the end",
            param="metric",
            code="metric_not_measured",
            hint="Take the same metric of the validation split, such as eval/loss.",
        )
    name = canonical(requested.metric.removeprefix("eval/").removeprefix("eval_"))
    # Of Hub data only the trainer knows what it measures if it is not told: then any metric may be.
    measured = KNOWN if job.metrics == "auto" else metric_names(job.metrics)
    if name not in (*measured, LOSS):
        raise InvalidRequest(
            f"metric is {requested.metric!r}, which is not among what the job measures ({', '.join(measured)}, {LOSS})",
            param="metric",
            code="metric_not_measured",
            hint="Add it to job.metrics, or take another.",
        )
    return f"eval/{name}"


def _maximize(requested: SweepSpec, *, metric: str) -> bool | None:
    """None where the metric is not known yet, and with it the direction."""
    if requested.direction != "auto":
        return requested.direction == "maximize"
    if metric == "auto":
        return None
    asked = requested.job.training
    name = metric.removeprefix("eval/")
    if asked.greater_is_better != "auto" and asked.metric_for_best_model in {name, "auto"}:
        return asked.greater_is_better
    return is_greater_better(name)


def _base(
    sent: dict[str, Any], requested: SweepSpec, job: JobSpec, *, metric: str, maximize: bool | None
) -> dict[str, Any]:
    """What was sent, with what was found in the data. The checkpoint of a trial is chosen as the trials are, unless told otherwise."""
    base = _with_what_was_found(sent, job)
    if "model" not in requested.space and job.model_revision is not None:
        base["model_revision"] = job.model_revision
    if metric != "auto" and requested.job.training.metric_for_best_model == "auto":
        chosen: dict[str, Any] = {"training.metric_for_best_model": metric.removeprefix("eval/")}
        if requested.job.training.greater_is_better == "auto":
            chosen["training.greater_is_better"] = maximize
        base = search_space.applied(base, chosen)
    return base


def _num_trials(requested: SweepSpec, space: list[Parameter]) -> int:
    if requested.sampler.type != "grid":
        return NUM_TRIALS if requested.num_trials == "auto" else requested.num_trials
    size = search_space.grid_size(space)
    asked = size if requested.num_trials == "auto" else requested.num_trials
    if size > MOST_TRIALS:
        raise InvalidRequest(
            f"the grid has {size} points, and at most {MOST_TRIALS} can be tried",
            param="space",
            code="invalid_value",
            hint="Take fewer values, or the sampler tpe or random.",
        )
    if asked > size:
        raise InvalidRequest(
            f"num_trials is {asked}, but the grid has {size} points", param="num_trials", code="invalid_value"
        )
    return asked


def _pruner(requested: SweepSpec) -> PrunerSpec:
    asked = requested.pruner
    is_evaluated = requested.job.training.eval_strategy != "no"
    if asked.type == "auto":
        asked = PrunerSpec(type="median" if is_evaluated else "none")
    if asked.type != "none" and not is_evaluated:
        raise InvalidRequest(
            f"pruner {asked.type}: the job is not evaluated before its end, so there is nothing to prune by",
            param="pruner",
            code="invalid_value",
            hint='Give job.training an eval_strategy of "epoch" or "steps", or take the pruner none.',
        )
    return pruner_filled(asked)
