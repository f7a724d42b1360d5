"""What one run computes, against the same computed plainly."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup

from app.errors import InvalidData, InvalidRequest
from app.spec.messages import (
    CheckpointMessage,
    ProgressMessage,
    ResolvedMessage,
    ResultMessage,
    WarningMessage,
)
from tests.trainer.conftest import reviews, write_jsonl
from worker.trainer.randomness import Stream, generator, seed_torch


@pytest.fixture
def still_model(tmp_path, tiny_model):
    """The small model without dropout: its training can be repeated with other batches."""
    from transformers import BertModel

    folder = tmp_path / "still"
    model = BertModel.from_pretrained(tiny_model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model.save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_model / name).read_bytes())
    return folder


def test_training_is_what_a_plain_loop_over_whole_accumulated_batches_gives(lab, still_model):
    """Accumulation with a short last group, clipping, warm-up, schedule and decay, each in its plainest form."""
    lab.model = still_model
    options = {"gradient_accumulation_steps": 3, "max_grad_norm": 0.5, "weight_decay": 0.1, "warmup_steps": 2,
               "label_smoothing_factor": 0.1}  # fmt: skip
    attempt = lab.run(eval_strategy="no", logging_steps=1, **options)

    seed_torch(42, stream=Stream.HEAD)
    model = BertForSequenceClassification.from_pretrained(still_model, num_labels=2)
    tokenizer = AutoTokenizer.from_pretrained(still_model)
    rows = reviews(50)
    decayed = [p for n, p in model.named_parameters() if not n.endswith("bias") and "LayerNorm" not in n]
    others = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3
    )
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 6)
    losses = []
    for epoch in range(2):
        order = generator(42, stream=Stream.ORDER, index=epoch).permutation(50)
        for start in range(0, 50, 24):
            batch = [rows[i] for i in order[start : start + 24]]
            logits = model(**tokenizer([row["text"] for row in batch], padding=True, return_tensors="pt")).logits
            labels = torch.tensor([int(row["label"] == "good") for row in batch])
            loss = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())

    assert list(attempt.points("train/loss").values()) == pytest.approx(losses, abs=1e-5)
    rates = [0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4]
    assert list(attempt.points("train/learning_rate").values()) == pytest.approx(rates)
    trained = load_file(attempt.folder / "model/model.safetensors")
    for name, expected in model.state_dict().items():
        torch.testing.assert_close(trained[name], expected, atol=2e-4, rtol=1e-3)


def test_a_job_learns_and_reports_what_it_learned(lab):
    attempt = lab.run(num_train_epochs=12, learning_rate=3e-3)
    report, metrics = attempt.result.report, attempt.result.metrics
    assert metrics["eval/accuracy"] > report["majority_baseline"]["accuracy"]
    assert report["labels"] == ["bad", "good"]
    assert np.sum(report["confusion_matrix"]) == report["num_examples"] == 20
    assert np.trace(report["confusion_matrix"]) / 20 == metrics["eval/accuracy"]
    best = max(attempt.points("eval/f1").items(), key=lambda point: (point[1], -point[0]))
    assert (attempt.result.best_step, metrics["eval/f1"]) == best
    assert [m.is_best for m in attempt.all_of(CheckpointMessage) if m.step == attempt.result.best_step] == [True]


def test_everything_left_open_is_chosen_and_written_back(lab):
    spec = {"training": {"num_train_epochs": 1}}
    resolved = lab.run(spec=spec).all_of(ResolvedMessage)[0].spec
    assert "auto" not in str(resolved.model_dump())
    assert resolved.columns.model_dump() == {"text": "text", "text_pair": None, "label": "label"}
    assert resolved.training.max_length % 8 == 0
    assert resolved.training.metric_for_best_model == "f1"


def test_without_a_validation_split_a_tenth_of_the_training_split_is_set_aside(lab):
    del lab.files["validation"]
    attempt = lab.run(num_train_epochs=1)
    assert attempt.result.report["num_examples"] == 5
    assert attempt.all_of(ResolvedMessage)[0].spec.dataset.validation == 0.1


def test_a_test_split_is_measured_on_the_chosen_checkpoint(lab):
    lab.files["test"] = write_jsonl(lab.home / "test.jsonl", reviews(15, seed=2))
    attempt = lab.run()
    assert attempt.result.report["test"]["num_examples"] == 15
    assert attempt.result.metrics["test/accuracy"] == attempt.result.report["test"]["metrics"]["accuracy"]


def test_a_learning_rate_that_ruins_the_model_is_told_with_its_step(lab):
    with pytest.raises(InvalidData, match=r"at step \d+") as refusal:
        lab.run(learning_rate=1e6, warmup_steps=0, max_grad_norm=0, num_train_epochs=100, eval_strategy="no")
    assert refusal.value.code == "loss_nan"


def test_early_stopping_ends_the_run_after_evaluations_that_bring_nothing(lab):
    attempt = lab.run(
        num_train_epochs=50, learning_rate=1e-9, early_stopping_patience=2, metric_for_best_model="accuracy"
    )
    assert len(attempt.points("eval/accuracy")) == 3
    assert attempt.result.best_step == 7


def test_fractional_epochs_and_max_steps_bound_the_run(lab):
    assert lab.run(num_train_epochs=0.5).all_of(ProgressMessage)[-1].step == 4
    assert lab.run(max_steps=3).all_of(ProgressMessage)[-1].step == 3


def test_new_weights_and_cut_inputs_are_warned_of(lab):
    attempt = lab.run(max_length=8, num_train_epochs=1)
    warnings = {message.code: message.message for message in attempt.all_of(WarningMessage)}
    assert "classifier.weight" in warnings["new_weights"]
    assert "longer than 8 tokens" in warnings["truncated"]


def test_gradient_checkpointing_does_not_change_what_is_learned(lab):
    plain, checkpointed = lab.run(num_train_epochs=1), lab.run(num_train_epochs=1, gradient_checkpointing=True)
    ours, theirs = (load_file(a.folder / "model/model.safetensors") for a in (plain, checkpointed))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial", "inverse_sqrt", "constant", "constant_with_warmup"])
def test_every_schedule_runs(lab, name):
    rates = lab.run(lr_scheduler_type=name, max_steps=2, logging_steps=1, warmup_steps=1).points("train/learning_rate")
    assert all(0 <= rate <= 1e-3 for rate in rates.values())
    assert rates[2] == pytest.approx(1e-3)


def test_arguments_that_a_schedule_does_not_know_are_refused(lab):
    with pytest.raises(InvalidRequest) as refusal:
        lab.run(lr_scheduler_kwargs={"no_such": 1})
    assert refusal.value.param == "training.lr_scheduler_kwargs"


def test_bf16_trains_and_is_served_as_it_was_measured(lab):
    attempt = lab.run(bf16=True)
    assert isinstance(attempt.messages[-1], ResultMessage)
    assert math.isfinite(attempt.result.metrics["eval/loss"])


def test_training_in_bfloat16_goes_where_training_in_float32_goes(without_dropout):
    """Every weight, not the head alone: what is multiplied must be what was updated."""
    lab = without_dropout
    base = load_file(lab.model / "model.safetensors")
    exact, rounded = (
        load_file(lab.run(bf16=bf16, num_train_epochs=4, eval_strategy="no").folder / "model/model.safetensors")
        for bf16 in (False, True)
    )
    for name, before in base.items():
        way, other = (weights[f"bert.{name}"] - before for weights in (exact, rounded))
        if before.ndim == 2 and "key" not in name:
            likeness = torch.nn.functional.cosine_similarity(way.flatten(), other.flatten(), dim=0)
            assert likeness > 0.9, (name, float(likeness))


def test_balanced_weights_make_the_rarer_class_count(lab):
    rows = [row for row in reviews(120) if row["label"] == "good"] + [
        row for row in reviews(60) if row["label"] == "bad"
    ][:8]
    lab.files["train"] = write_jsonl(lab.home / "skewed.jsonl", rows)

    good, bad = len(rows) - 8, 8

    def first_loss(class_weights):
        """Of all examples, before anything is learned, when each has a loss of nearly log 2."""
        attempt = lab.run(
            class_weights=class_weights, max_steps=1, per_device_train_batch_size=len(rows), logging_steps=1
        )
        return attempt.points("train/loss")[1]

    plain = first_loss(None)
    assert first_loss({"bad": 100.0}) / plain == pytest.approx((good + 100 * bad) / len(rows), rel=0.1)
    assert first_loss({"good": 0.5, "bad": 0.5}) / plain == pytest.approx(0.5, rel=1e-5)
    share = {"good": len(rows) / 2 / good, "bad": len(rows) / 2 / bad}
    assert lab.run(class_weights="balanced").weights == lab.run(class_weights=share).weights
    assert lab.run(class_weights="balanced").weights != lab.run().weights


def test_a_weight_for_a_class_that_is_not_there_is_refused(lab):
    with pytest.raises(InvalidRequest, match="'neutral'") as refusal:
        lab.run(class_weights={"neutral": 2.0})
    assert refusal.value.param == "training.class_weights"
