"""``SweepSpec``: the body of ``POST /sweeps``. Names and meanings of samplers and pruners are Optuna's."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictBool, StringConstraints, model_validator

from app.spec.base import Auto, Contract, Metadata, Submission
from app.spec.job import JobSpec

MOST_TRIALS: Final = 1000
MOST_PARAMETERS: Final = 32
MOST_CHOICES: Final = 100

Count = Annotated[int, Field(ge=0, le=MOST_TRIALS, strict=True)]
Resource = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Number = Annotated[float, Field(strict=True)]
ParameterPath = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ParameterSpec(Contract):
    """Values that a field of the job may have: one of ``choices``, or a number from ``low`` to ``high``, both included."""

    choices: Annotated[list[Any], Field(min_length=1, max_length=MOST_CHOICES)] | None = None
    low: Number | None = None
    high: Number | None = None
    log: StrictBool = False
    """Equally likely on a logarithmic scale, as for learning rates."""
    step: Annotated[float, Field(gt=0, strict=True)] | None = None
    """Only ``low``, ``low + step``, ``low + 2 * step`` and so on; unset: 1 where the field takes whole numbers alone."""

    @model_validator(mode="after")
    def _consistent(self) -> "ParameterSpec":
        if self.choices is not None:
            if {self.low, self.high, self.step} != {None} or self.log:
                raise ValueError("give choices, or low and high, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give choices, or low and high")
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("on a logarithmic scale low must be above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic scale has no step")
        return self


class SamplerSpec(Contract):
    """Who chooses the parameters of the next trial."""

    type: Literal["tpe", "random", "grid"] = "tpe"
    """``tpe``: by what the trials so far gave (Bergstra et al., 2011); ``random``; ``grid``: every combination once."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] = 42
    n_startup_trials: Count | None = None
    """Of ``tpe``: so many trials are chosen at random first."""
    multivariate: StrictBool | None = None
    """Of ``tpe``: parameters are looked at together rather than each by itself (Falkner et al., 2018)."""

    @model_validator(mode="after")
    def _consistent(self) -> "SamplerSpec":
        _refuse_others(self, of=_OF_SAMPLERS)
        return self


class PrunerSpec(Contract):
    """Who ends trials that promise little. Steps and resources count a trial's evaluations, the first one being 1."""

    type: Literal["auto", "none", "median", "percentile", "successive_halving", "hyperband"] = "auto"
    """auto: ``median``, or ``none`` if the job is not evaluated before its end."""
    n_startup_trials: Count | None = None
    """Of ``median`` and ``percentile``: no trial is ended before so many are complete."""
    n_warmup_steps: Count | None = None
    """Of ``median`` and ``percentile``: no trial is ended before this evaluation."""
    percentile: Annotated[float, Field(gt=0, lt=100, strict=True)] | None = None
    """Of ``percentile``: the best that go on, in per cent."""
    min_resource: Resource | None = None
    """Of ``successive_halving`` and ``hyperband``: the first evaluation at which a trial may be ended."""
    max_resource: Resource | Auto | None = None
    """Of ``hyperband``: evaluations of a whole trial; auto: those of the first that is complete."""
    reduction_factor: Annotated[int, Field(ge=2, le=100, strict=True)] | None = None
    """Of ``successive_halving`` and ``hyperband``: one trial in so many goes on from each level."""

    @model_validator(mode="after")
    def _consistent(self) -> "PrunerSpec":
        _refuse_others(self, of=_OF_PRUNERS)
        return self


_OF_SAMPLERS: Final[dict[str, dict[str, Any]]] = {
    "tpe": {"n_startup_trials": 10, "multivariate": True},
    "random": {},
    "grid": {},
}
_OF_PRUNERS: Final[dict[str, dict[str, Any]]] = {
    "auto": {},
    "none": {},
    "median": {"n_startup_trials": 5, "n_warmup_steps": 0},
    "percentile": {"percentile": 25.0, "n_startup_trials": 5, "n_warmup_steps": 0},
    "successive_halving": {"min_resource": 1, "reduction_factor": 4},
    "hyperband": {"min_resource": 1, "max_resource": "auto", "reduction_factor": 3},
}
"""What each takes, and what is filled in: Optuna's own defaults, but for ``multivariate``, which its authors recommend, and
for the ``min_resource`` of successive halving, which Optuna estimates from trials without pruning."""


def sampler_filled(chosen: SamplerSpec) -> SamplerSpec:
    return SamplerSpec.model_validate(_OF_SAMPLERS[chosen.type] | chosen.model_dump(exclude_none=True))


def pruner_filled(chosen: PrunerSpec) -> PrunerSpec:
    """``auto`` must have been decided."""
    return PrunerSpec.model_validate(_OF_PRUNERS[chosen.type] | chosen.model_dump(exclude_none=True))


def _refuse_others(chosen: SamplerSpec | PrunerSpec, *, of: dict[str, dict[str, Any]]) -> None:
    common = {"type", "seed"}
    for name in sorted(set(chosen.model_dump(exclude_none=True)) - common - set(of[chosen.type])):
        takers = " and ".join(kind for kind, taken in of.items() if name in taken)
        raise ValueError(f"{name} is for {takers}, and means nothing for {chosen.type}")


class SweepSpec(Submission):
    """Which job to vary, in what, and by which number to judge it."""

    job: JobSpec
    """As for ``POST /jobs``; what ``space`` names takes the place of what stands here."""
    space: Annotated[dict[ParameterPath, ParameterSpec], Field(min_length=1, max_length=MOST_PARAMETERS)]
    """By the path of a field of the job, such as ``training.learning_rate``."""
    metric: Annotated[str, Field(min_length=1, max_length=64)] = "auto"
    """What is compared, such as ``eval/f1``; auto: the job's ``metric_for_best_model``."""
    direction: Literal["auto", "maximize", "minimize"] = "auto"
    """auto: losses and errors are to be small, all else large."""
    num_trials: Annotated[int, Field(ge=1, le=MOST_TRIALS, strict=True)] | Auto = "auto"
    """auto: 20, of a grid all of its points."""
    max_parallel: Annotated[int, Field(ge=1, le=64, strict=True)] = 1
    """Trials that are under way at a time, if there are workers for them."""
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()
    keep_models: Literal["best", "all"] = "best"
    """``best``: the model of any other trial is deleted as soon as another is better."""
    max_runtime_seconds: Annotated[float, Field(gt=0, strict=True)] | None = None
    """So long after its start no further trial is begun; those under way are finished."""
    metadata: Metadata = Field(default_factory=dict)
