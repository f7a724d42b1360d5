"""What "auto" becomes."""

import math

import pytest

from app.errors import InvalidRequest
from app.spec.adapter import AdapterSpec
from app.spec.job import JobSpec
from app.spec.recipe import fill
from worker.trainer.plan import Plan


def spec_of(metrics="auto", problem_type="single_label_classification", **training):
    dataset = {"train": f"file-{'0' * 32}"}
    return JobSpec.model_validate({
        "model": "acme/tiny", "dataset": dataset, "training": training, "metrics": metrics, "problem_type": problem_type,
    })  # fmt: skip


def filled(num_examples=5000, num_labels=2, hidden_size=384, **options):
    return fill(
        spec_of(**options), num_examples=num_examples, num_labels=num_labels, model_config={"hidden_size": hidden_size}
    )


def test_nothing_is_left_open_but_what_the_trainer_alone_can_know():
    training = filled().training.model_dump()
    assert {name for name, value in training.items() if value == "auto"} == {
        "bf16",
        "max_length",
        "per_device_eval_batch_size",
    }


def test_what_the_user_gave_stays():
    given = {"learning_rate": 1e-4, "num_train_epochs": 7.0, "per_device_train_batch_size": 5, "warmup_steps": 0.0,
             "weight_decay": 0.0, "logging_steps": 11.0, "metric_for_best_model": "loss", "greater_is_better": True}  # fmt: skip
    assert given.items() <= filled(**given).training.model_dump().items()


def test_small_data_gets_small_batches_and_wide_models_a_small_rate():
    assert [filled(num_examples=n).training.per_device_train_batch_size for n in (1999, 2000)] == [16, 32]
    rates = {size: filled(hidden_size=size).training.learning_rate for size in (384, 512, 513, 768, 1024, 0)}
    assert rates == {384: 2e-4, 512: 2e-4, 513: 5e-5, 768: 5e-5, 1024: 2e-5, 0: 5e-5}
    assert filled(hidden_size=384, num_examples=1999).training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("num_examples", "hidden_size", "rate"),
    [(1000, 384, 1e-3), (5000, 384, 1e-3), (5000, 768, 5e-4), (5000, 1024, 2e-4)],
)
def test_an_adapter_learns_at_ten_times_the_rate_but_not_at_more_than_it_bears(num_examples, hidden_size, rate):
    spec = spec_of().model_copy(update={"adapter": AdapterSpec(type="lora")})
    chosen = fill(spec, num_examples=num_examples, num_labels=2, model_config={"hidden_size": hidden_size})
    assert chosen.training.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("num_labels", "metrics", "best"),
    [(2, "auto", "f1"), (3, "auto", "accuracy"), (2, "glue/cola", "matthews_correlation")],
)
def test_the_best_is_chosen_by_a_metric_that_is_measured(num_labels, metrics, best):
    training = filled(num_labels=num_labels, metrics=metrics).training
    assert (training.metric_for_best_model, training.greater_is_better) == (best, True)
    assert filled(metric_for_best_model="eval_loss").training.greater_is_better is False


@pytest.mark.parametrize(
    ("problem_type", "metrics", "measured", "best"),
    [
        ("multi_label_classification", "auto", ["f1_micro", "f1_macro", "accuracy"], "f1_micro"),
        ("multi_label_classification", ["roc_auc", "f1"], ["roc_auc", "f1"], "roc_auc"),
        ("regression", "auto", ["pearson", "spearmanr", "mse", "mae"], "pearson"),
        ("regression", "glue/stsb", "glue/stsb", "pearson"),
        ("regression", ["mae"], ["mae"], "mae"),
    ],
)
def test_each_kind_of_problem_has_metrics_of_its_own(problem_type, metrics, measured, best):
    spec = filled(problem_type=problem_type, metrics=metrics)
    assert spec.metrics == measured
    assert spec.training.metric_for_best_model == best
    assert spec.training.greater_is_better is (best != "mae")


def test_the_best_can_be_named_as_other_libraries_do():
    training = filled(problem_type="regression", metric_for_best_model="eval_spearman").training
    assert training.metric_for_best_model == "spearmanr"


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"problem_type": "regression", "metrics": ["accuracy"]}, "metrics", "metric_does_not_fit"),
        ({"problem_type": "multi_label_classification", "metrics": "glue/cola"}, "metrics", "metric_does_not_fit"),
        ({"metrics": "glue/stsb"}, "metrics", "metric_does_not_fit"),
        (
            {"problem_type": "regression", "label_smoothing_factor": 0.1},
            "training.label_smoothing_factor",
            "setting_does_not_fit",
        ),
        (
            {"problem_type": "multi_label_classification", "class_weights": "balanced"},
            "training.class_weights",
            "setting_does_not_fit",
        ),
    ],
)
def test_what_means_nothing_for_the_problem_is_refused(options, param, code):
    with pytest.raises(InvalidRequest) as refusal:
        filled(**options)
    assert (refusal.value.param, refusal.value.code) == (param, code)


def test_a_metric_that_is_not_measured_cannot_choose():
    with pytest.raises(InvalidRequest) as refusal:
        filled(metrics=["accuracy"], metric_for_best_model="f1")
    assert refusal.value.param == "training.metric_for_best_model"


def plan_of(num_examples, **training):
    return Plan.of(filled(num_examples=num_examples, **training).training, num_examples=num_examples)


def test_a_short_last_group_is_a_step():
    plan = plan_of(50, per_device_train_batch_size=8, gradient_accumulation_steps=3)
    assert (plan.steps_per_epoch, plan.max_steps) == (3, 9)


def test_fractions_count_of_all_steps():
    plan = plan_of(3668, warmup_steps=0.1, eval_strategy="steps", eval_steps=0.25, save_strategy="steps", save_steps=7)
    assert plan.max_steps == 3 * math.ceil(3668 / 32) == 345
    assert (plan.warmup_steps, plan.evaluate_every, plan.save_every) == (35, 87, 7)


def test_the_last_step_is_always_evaluated_and_saved_only_if_asked():
    plan = plan_of(100, eval_strategy="no", save_strategy="no")
    assert [step for step in range(1, plan.max_steps + 1) if plan.evaluates_at(step)] == [plan.max_steps]
    assert not plan.saves_at(plan.max_steps)
    assert plan_of(100, save_strategy="steps", save_steps=1000).saves_at(plan.max_steps)


def test_a_multiplier_is_of_the_recipes_rate_and_is_applied_once():
    once = filled(learning_rate_multiplier=0.5)
    assert once.training.learning_rate == pytest.approx(filled().training.learning_rate / 2)
    again = fill(once, num_examples=5000, num_labels=2, model_config={"hidden_size": 384})
    assert again.training.learning_rate == once.training.learning_rate
