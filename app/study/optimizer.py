"""Optuna, asked anew each time: what its sampler and its pruner say is a function of the trials that the database holds.

Its own storage is not used. A study is rebuilt in memory from rows (24 ms for a hundred trials), so that any process can ask, and none
has to remember. Importing Optuna takes 0.3 s and more, so it is done where it is first needed.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.study.search_space import Parameter
from app.study.spec import PrunerSpec, SamplerSpec
from app.study.states import TrialState

if TYPE_CHECKING:
    import optuna

ENOUGH_FOR_IMPORTANCES: Final = 10
"""Complete trials. PED-ANOVA compares the best tenth of them with the rest (Watanabe et al., 2023)."""


@dataclass(frozen=True, kw_only=True)
class PastTrial:
    """What Optuna is told of a trial. Its number is its place in the list."""

    params: Mapping[str, Any]
    state: TrialState
    value: float | None
    evaluations: Sequence[float]
    """The metric at the first evaluation, the second, and so on."""
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What stays the same from trial to trial."""

    name: str
    space: Sequence[Parameter]
    maximize: bool
    sampler: SamplerSpec
    pruner: PrunerSpec


def propose(problem: Problem, past: Sequence[PastTrial]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters of the next trial, and what Optuna notes of it. The same past gives the same parameters."""
    study = _rebuilt(problem, past)
    trial = study.ask(_distributions(problem.space))
    params = {parameter.path: _from_optuna(parameter, trial.params[parameter.path]) for parameter in problem.space}
    return params, dict(study.trials[trial.number].system_attrs)


def judge(problem: Problem, past: Sequence[PastTrial], number: int, *, num_judged: int) -> tuple[bool, dict[str, Any]]:
    """Whether the trial ``number`` is to be ended, and what Optuna notes of it.

    Each evaluation after the first ``num_judged`` is shown to the pruner once and in order, as if it had been reported.
    """
    shown = [*past]
    shown[number] = replace(past[number], state=TrialState.RUNNING, value=None)  # only of such one Optuna takes notes
    study = _rebuilt(problem, shown)
    evaluations = past[number].evaluations
    for step in range(num_judged + 1, len(evaluations) + 1):
        trial = study.trials[number]
        trial.intermediate_values = dict(enumerate(evaluations[:step], start=1))
        if study.pruner.prune(study, trial):
            return True, dict(study.trials[number].system_attrs)
    return False, dict(study.trials[number].system_attrs)


def importances(problem: Problem, past: Sequence[PastTrial]) -> dict[str, float] | None:
    """How much each parameter matters for being among the best, 1 together; None before there are enough trials.

    By PED-ANOVA, the one of Optuna's evaluators that needs no scikit-learn.
    """
    if sum(trial.state == TrialState.COMPLETE for trial in past) < ENOUGH_FOR_IMPORTANCES or len(problem.space) == 1:
        return None
    study = _rebuilt(problem, past)
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # noqa: PLC0415

    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def _rebuilt(problem: Problem, past: Sequence[PastTrial]) -> "optuna.Study":
    """Its name counts: Hyperband spreads trials over its brackets by name and number."""
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    study = optuna.create_study(
        study_name=problem.name,
        direction="maximize" if problem.maximize else "minimize",
        sampler=_sampler(problem, number=len(past)),
        pruner=_pruner(problem.pruner),
    )
    distributions = _distributions(problem.space)
    study.add_trials(_frozen(trial, problem.space, distributions) for trial in past)
    return study


def _frozen(
    trial: PastTrial, space: Sequence[Parameter], distributions: "dict[str, optuna.distributions.BaseDistribution]"
) -> "optuna.trial.FrozenTrial":
    from optuna.trial import TrialState as State  # noqa: PLC0415
    from optuna.trial import create_trial  # noqa: PLC0415

    states = {TrialState.COMPLETE: State.COMPLETE, TrialState.PRUNED: State.PRUNED, TrialState.RUNNING: State.RUNNING}
    return create_trial(
        state=states.get(trial.state, State.FAIL),
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        params={parameter.path: _to_optuna(parameter, trial.params[parameter.path]) for parameter in space},
        distributions=distributions,
        intermediate_values=dict(enumerate(trial.evaluations, start=1)),
        system_attrs=dict(trial.attrs),
    )


def _distributions(space: Sequence[Parameter]) -> "dict[str, optuna.distributions.BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: PLC0415

    found: dict[str, Any] = {}
    for parameter in space:
        if parameter.choices is not None:
            # Their places: a choice may be a list or an object, which Optuna does not know.
            found[parameter.path] = CategoricalDistribution(tuple(range(len(parameter.choices))))
        elif parameter.is_whole:
            found[parameter.path] = IntDistribution(
                round(parameter.low), round(parameter.high), log=parameter.log, step=round(parameter.step or 1)
            )
        else:
            found[parameter.path] = FloatDistribution(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step
            )
    return found


def _to_optuna(parameter: Parameter, value: Any) -> Any:
    if parameter.choices is None:
        return value
    return [_written(choice) for choice in parameter.choices].index(_written(value))


def _from_optuna(parameter: Parameter, value: Any) -> Any:
    return parameter.typed(value) if parameter.choices is None else parameter.choices[int(value)]


def _written(value: Any) -> bytes:
    """``1``, ``1.0`` and ``true`` are three choices, though equal in Python."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _sampler(problem: Problem, *, number: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import GridSampler, RandomSampler, TPESampler  # noqa: PLC0415

    chosen = problem.sampler
    match chosen.type:
        case "random":
            return RandomSampler(seed=_seed(chosen.seed, number))
        case "grid":
            values = {p.path: list(range(len(p.choices))) if p.choices else p.points() for p in problem.space}
            return GridSampler(values, seed=chosen.seed)  # the order of its points is that of the seed, for all trials
        case "tpe":
            return TPESampler(
                seed=_seed(chosen.seed, number),
                n_startup_trials=chosen.n_startup_trials or 0,
                multivariate=bool(chosen.multivariate),
                constant_liar=True,  # trials that run at the same time keep away from each other
            )


def _seed(seed: int, number: int) -> int:
    """Of 32 bits, for each trial another one: a sampler that is made anew must not repeat itself."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _pruner(chosen: PrunerSpec) -> "optuna.pruners.BasePruner":
    from optuna import pruners  # noqa: PLC0415

    match chosen.type:
        case "median":
            return pruners.MedianPruner(chosen.n_startup_trials or 0, chosen.n_warmup_steps or 0)
        case "percentile":
            return pruners.PercentilePruner(
                chosen.percentile or 25.0, chosen.n_startup_trials or 0, chosen.n_warmup_steps or 0
            )
        case "successive_halving":
            return pruners.SuccessiveHalvingPruner(chosen.min_resource or 1, chosen.reduction_factor or 4)
        case "hyperband":
            return pruners.HyperbandPruner(
                chosen.min_resource or 1, chosen.max_resource or "auto", chosen.reduction_factor or 3
            )
        case _:
            return pruners.NopPruner()
