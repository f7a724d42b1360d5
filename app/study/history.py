"""A study's rows as Optuna is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.job import records
from app.job.models import Job
from app.study import repository, search_space
from app.study.models import Study, Trial
from app.study.optimizer import PastTrial, Problem
from app.study.spec import SweepSpec
from app.study.states import TrialState


@dataclass(frozen=True, kw_only=True)
class History:
    """A study with its trials in the order of their numbers, as they were at one moment."""

    study: Study
    spec: SweepSpec
    rows: Sequence[tuple[Trial, Job | None]]
    evaluations: Mapping[str, Sequence[tuple[int, float, float]]]
    """By job: step, epoch and value of the study's metric."""

    @property
    def problem(self) -> Problem:
        return Problem(
            name=self.study.id,
            space=search_space.parameters(self.spec.space),
            maximize=self.spec.direction != "minimize",
            sampler=self.spec.sampler,
            pruner=self.spec.pruner,
        )

    @property
    def past(self) -> list[PastTrial]:
        return [
            PastTrial(
                params=trial.params,
                state=TrialState.PRUNED if trial.pruned_at and trial.value is None else TrialState(trial.state),
                value=trial.value,
                evaluations=self.values_of(trial),
                attrs=trial.optuna_attrs,
            )
            for trial, _ in self.rows
        ]

    def values_of(self, trial: Trial) -> list[float]:
        return [value for _, _, value in self.evaluations.get(trial.job_id or "", ())]


def read(session: Session, study: Study) -> History:
    rows = repository.trials(session, study.id)
    spec = SweepSpec.model_validate(study.spec)
    job_ids = [job.id for _, job in rows if job is not None]
    return History(study=study, spec=spec, rows=rows, evaluations=records.values_of(session, job_ids, spec.metric))


def is_better(value: float, than: float, spec: SweepSpec) -> bool:
    return value < than if spec.direction == "minimize" else value > than
