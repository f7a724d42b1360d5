"""What Optuna is asked, and that it can be asked anew each time."""

import subprocess
import sys

import pytest

from app.study import optimizer, search_space
from app.study.optimizer import PastTrial, Problem
from app.study.spec import ParameterSpec, PrunerSpec, SamplerSpec, pruner_filled, sampler_filled
from app.study.states import TrialState

SPACE = {
    "adapter.r": ParameterSpec(low=2, high=16, step=2),
    "training.class_weights": ParameterSpec(choices=[None, "balanced", {"yes": 2.0}]),
    "training.learning_rate": ParameterSpec(low=1e-5, high=1e-3, log=True),
    "training.weight_decay": ParameterSpec(low=0, high=0.3, step=0.1),
}


def problem(*, pruner="none", **sampler):
    return Problem(
        name="sweep-1",
        space=search_space.parameters(SPACE),
        maximize=True,
        sampler=sampler_filled(SamplerSpec(**sampler)),
        pruner=pruner_filled(PrunerSpec(type=pruner)),
    )


def run(asked, *, count, value):
    past = []
    for _ in range(count):
        params, attrs = optimizer.propose(asked, past)
        past.append(
            PastTrial(
                params=params, state=TrialState.COMPLETE, value=value(params), evaluations=[value(params)], attrs=attrs
            )
        )
    return past


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_every_value_is_one_that_the_space_has(sampler):
    for trial in run(problem(type=sampler), count=15, value=lambda params: params["adapter.r"]):
        assert trial.params["adapter.r"] in range(2, 17, 2)
        assert isinstance(trial.params["adapter.r"], int)
        assert trial.params["training.class_weights"] in (None, "balanced", {"yes": 2.0})
        assert 1e-5 <= trial.params["training.learning_rate"] <= 1e-3
        assert trial.params["training.weight_decay"] in (0.0, 0.1, 0.2, 0.3)


def test_the_same_past_gives_the_same_proposal_and_another_seed_another():
    def chosen(seed):
        return [
            trial.params for trial in run(problem(seed=seed), count=14, value=lambda p: p["training.learning_rate"])
        ]

    assert chosen(1) == chosen(1) != chosen(2)


def test_tpe_comes_to_where_the_good_trials_are():
    def distance(params):
        return -abs(params["adapter.r"] - 12) - 100 * abs(params["training.weight_decay"] - 0.3)

    late = run(problem(seed=3), count=40, value=distance)[25:]
    by_chance = run(problem(type="random", seed=3), count=40, value=distance)[25:]
    mean = lambda trials: sum(trial.value for trial in trials) / len(trials)  # noqa: E731
    assert mean(late) > mean(by_chance) / 2


def test_hyperband_ends_trials_and_remembers_its_rungs():
    asked = problem(pruner="hyperband")
    past = [
        PastTrial(params=trial.params, state=TrialState.COMPLETE, value=0.9, evaluations=[0.9] * 9, attrs={})
        for trial in run(asked, count=4, value=lambda _: 0.9)
    ]
    judged = []
    for number in range(4):
        _, attrs = optimizer.judge(asked, past, number, num_judged=0)
        judged.append(PastTrial(**(vars(past[number]) | {"attrs": attrs})))
    assert any("completed_rung_0" in trial.attrs for trial in judged)
    params, _ = optimizer.propose(asked, judged)
    ended = []
    for number in range(4, 12):
        late = [
            *judged,
            *[PastTrial(params=params, state=TrialState.FAILED, value=None, evaluations=[])] * (number - 4),
        ]
        late.append(PastTrial(params=params, state=TrialState.RUNNING, value=None, evaluations=[0.1] * 4))
        ended.append(optimizer.judge(asked, late, number, num_judged=0)[0])
    assert any(ended), "a bad trial is ended in one of the brackets at least"


def test_neither_the_server_nor_the_worker_imports_optuna_at_its_start():
    code = "import app.main, worker.main, sys; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
