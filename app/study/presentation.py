"""Rows into answers."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.job.models import Job
from app.job.states import JobStatus
from app.study import repository
from app.study.models import Study, Trial
from app.study.schemas import BestOut, CountsOut, EvaluationOut, SweepOut, SweepRequestOut, TrialOut
from app.study.spec import SweepSpec
from app.study.states import StudyRequest, StudyStatus, TrialState


def sweeps_out(session: Session, studies: Sequence[Study]) -> list[SweepOut]:
    """With as many queries for a hundred studies as for one."""
    ids = [study.id for study in studies]
    counted: dict[str, Counter[str]] = {study_id: Counter() for study_id in ids}
    for study_id, state in repository.states(session, ids):
        counted[study_id][state] += 1
    best = repository.best_trials(session, ids)
    return [_out(study, counted=counted[study.id], best=best.get(study.id)) for study in studies]


def _out(study: Study, *, counted: Counter[str], best: tuple[Trial, str | None] | None) -> SweepOut:
    spec = SweepSpec.model_validate(study.spec)
    assert isinstance(spec.num_trials, int)
    return SweepOut(
        id=study.id,
        status=StudyStatus(study.status),
        created_at=study.created_at,
        started_at=study.started_at,
        finished_at=study.finished_at,
        request=_request(study),
        counts=CountsOut(total=spec.num_trials, **counted),
        best=None if best is None else _best(*best),
        importances=study.importances,
        error=study.error,
        metadata=study.study_metadata,
        spec=spec,
    )


def _request(study: Study) -> SweepRequestOut | None:
    if study.request is None or study.requested_at is None:
        return None
    return SweepRequestOut(action=StudyRequest(study.request), requested_at=study.requested_at)


def _best(trial: Trial, model_id: str | None) -> BestOut:
    assert trial.job_id is not None
    assert trial.value is not None
    return BestOut(trial=trial.number, job_id=trial.job_id, params=trial.params, value=trial.value, model=model_id)


def trial_out(trial: Trial, job: Job | None, evaluations: Sequence[tuple[int, float, float]]) -> TrialOut:
    return TrialOut(
        number=trial.number,
        state=TrialState(trial.state),
        job_id=trial.job_id,
        job_status=None if job is None else JobStatus(job.status),
        params=trial.params,
        value=trial.value,
        intermediate_values=[EvaluationOut(step=step, epoch=epoch, value=value) for step, epoch, value in evaluations],
        error=trial.error,
        created_at=trial.created_at,
        finished_at=trial.finished_at,
    )
