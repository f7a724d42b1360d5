"""Encoder-decoders in jobs: they learn to answer, are measured by what they write, and are served as they were measured."""

import json
import math
import random
from itertools import product

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from app.errors import InvalidData, InvalidModel, InvalidRequest
from app.manifest import sha256_of
from app.prediction.wire import Sampling
from app.spec.messages import LogMessage, PhaseMessage, ResolvedMessage, StartedMessage, WarningMessage
from app.spec.run import ExitCode
from tests.decoder import build_decoder
from tests.encoder_decoder import WORDS, build_encoder_decoder
from tests.trainer.conftest import Lab, write_jsonl
from worker.predictor.engine import LoadedModel
from worker.trainer.adapters import FOLDER
from worker.trainer.checkpoints import WEIGHTS
from worker.trainer.examples import Examples
from worker.trainer.metrics import Metrics
from worker.trainer.written import Writer

WRITTEN = {"metrics": ["rouge", "exact_match", "accuracy"]}
LEARNS = {
    "num_train_epochs": 25, "learning_rate": 5e-3, "per_device_train_batch_size": 10, "eval_strategy": "no",
    "save_strategy": "no", "weight_decay": 0.0,
}  # fmt: skip


def reversals(words=WORDS[:4]):
    """One or two words, to be written in reverse: all there are, so that they can be learned by heart."""
    rows = [{"source": word, "target": word} for word in words]
    return rows + [{"source": f"turn {a} {b}", "target": f"{b} {a}"} for a, b in product(words, words)]


@pytest.fixture
def writer(tmp_path):
    """A lab with a small T5 or BART and the reversals."""

    def make(kind="t5", *, rows=None, **changes):
        lab = Lab(tmp_path, model=build_encoder_decoder(tmp_path / kind, kind, **changes))
        rows = reversals() if rows is None else rows
        chosen = random.Random(1).sample(rows, min(10, len(rows)))
        lab.files = {
            "train": write_jsonl(tmp_path / "train.jsonl", rows * 3),
            "validation": write_jsonl(tmp_path / "validation.jsonl", chosen),
        }
        return lab

    return make


def rows_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_answers_are_learned_and_written(writer, kind, tmp_path):
    lab = writer(kind, **{"dropout_rate" if kind == "t5" else "dropout": 0.0})
    attempt = lab.run(**LEARNS, spec=WRITTEN)
    found, spec = attempt.result.metrics, attempt.all_of(ResolvedMessage)[-1].spec
    assert (spec.task, spec.problem_type, spec.prompt_format) == ("text2text-generation", "sequence_to_sequence", None)
    assert (spec.training.max_length, spec.training.max_target_length) == (8, 8)
    assert (spec.training.metric_for_best_model, spec.training.greater_is_better) == ("loss", False)
    assert any("encoder-decoders are not packed" in message.message for message in attempt.all_of(LogMessage))
    losses = list(attempt.points("train/loss").values())
    assert losses[-1] < 0.2 * losses[0]
    assert found["eval/exact_match"] >= 0.9

    rows = rows_in(lab.files["validation"])
    theirs = AutoModelForSeq2SeqLM.from_pretrained(attempt.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(attempt.folder / "model")
    total = count = 0
    written = []
    for row in rows:
        batch = tokenizer(row["source"], text_target=row["target"], return_tensors="pt")
        batch.pop("token_type_ids", None)
        with torch.no_grad():
            total += float(theirs(**batch).loss) * batch["labels"].numel()
        count += batch["labels"].numel()
        ids = theirs.generate(input_ids=batch["input_ids"], max_new_tokens=4, num_beams=1, do_sample=False)[0]
        written.append(tokenizer.decode(ids, skip_special_tokens=True))
    assert found["eval/loss"] == pytest.approx(total / count, abs=1e-5)
    engine = LoadedModel.load(attempt.folder / "model")
    ours = engine.generate(
        engine.encode([(row["source"], None) for row in rows]), Sampling(max_new_tokens=4), stopped=bool
    )
    assert [answer.text for answer in ours] == written
    answers = [row["target"] for row in rows]
    metrics = Metrics(["rouge1", "rougeLsum", "exact_match"], problem_type="sequence_to_sequence", num_labels=0,
                      cache_dir=tmp_path / "again")  # fmt: skip
    for name, value in metrics.compute_texts(written, answers).items():
        assert found[f"eval/{name}"] == pytest.approx(value)
    card = (attempt.folder / "model" / "README.md").read_text()
    assert f"| exact_match | {found['eval/exact_match']:.4f} |" in card
    assert "Labels" not in card


def test_without_a_metric_of_texts_nothing_is_written(writer):
    attempt = writer().run(num_train_epochs=1)
    found = attempt.result.metrics
    assert sorted(found) == ["eval/accuracy", "eval/loss", "eval/perplexity"]
    assert found["eval/perplexity"] == pytest.approx(math.exp(found["eval/loss"]))
    assert attempt.result.report["unigram_baseline"]["perplexity"] > 1


def test_the_best_may_be_chosen_by_what_is_written_and_a_test_split_is_written_for(writer, tmp_path):
    lab = writer()
    lab.files["test"] = write_jsonl(tmp_path / "test.jsonl", reversals()[:6])
    attempt = lab.run(num_train_epochs=2, metric_for_best_model="rougeL", spec=WRITTEN)
    points = attempt.points("eval/rougeL")
    assert attempt.result.metrics["eval/rougeL"] == pytest.approx(max(points.values()))
    assert "test/exact_match" in attempt.result.metrics


@pytest.mark.parametrize(("kind", "bf16"), [("t5", False), ("bart", False), ("t5", True)])
def test_a_stopped_run_ends_with_the_same_weights(writer, kind, bf16):
    options = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "bf16": bf16, "spec": WRITTEN}
    lab = writer(kind)
    whole, stopped = lab.run(**options), lab.run_until(3, **options)
    assert stopped.code is ExitCode.DRAINED
    again = lab.run(checkpoints=stopped.checkpoints, **options)
    assert again.all_of(StartedMessage)[-1].resumed_from_step == 3
    assert again.weights == whole.weights
    assert again.result.metrics == whole.result.metrics


def test_evaluating_more_often_and_writing_changes_no_weight(writer):
    lab = writer()
    plain = lab.run(num_train_epochs=1, eval_strategy="no")
    often = lab.run(num_train_epochs=1, eval_strategy="steps", eval_steps=2, metric_for_best_model="loss", spec=WRITTEN)
    assert len(often.points("eval/exact_match")) > len(plain.points("eval/loss")) == 1
    plain_last, often_last = (max((run.folder / "checkpoints").glob("step-*")) for run in (plain, often))
    assert sha256_of(plain_last / WEIGHTS) == sha256_of(often_last / WEIGHTS)


def test_a_stop_interrupts_the_writing(writer):
    lab = writer()

    def stop(message, control):
        if isinstance(message, PhaseMessage) and message.phase == "evaluating":
            control.requested = ExitCode.DRAINED

    stopped = lab.run(num_train_epochs=1, spec=WRITTEN, on_message=stop)
    assert stopped.code is ExitCode.DRAINED
    whole, again = lab.run(num_train_epochs=1, spec=WRITTEN), lab.run(
        num_train_epochs=1, spec=WRITTEN, checkpoints=stopped.checkpoints
    )  # fmt: skip
    assert again.result.metrics == whole.result.metrics


def test_an_adapter_is_in_both_halves_and_loads_with_peft(writer):
    lab = writer()
    attempt = lab.run(**(LEARNS | {"num_train_epochs": 8}), spec={"adapter": {"r": 8}})
    losses = list(attempt.points("train/loss").values())
    assert losses[-1] < losses[0] - 0.3
    folder = attempt.folder / "model"
    config = json.loads((folder / FOLDER / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_2_SEQ_LM"
    with safe_open(folder / FOLDER / "adapter_model.safetensors", framework="pt") as file:
        names = {name.removeprefix("base_model.model.") for name in file.keys()}  # noqa: SIM118 - it is no mapping
    assert {name.partition(".")[0] for name in names} == {"encoder", "decoder"}
    assert all("lora_" in name for name in names)
    assert config["modules_to_save"] is None
    base = AutoModelForSeq2SeqLM.from_pretrained(lab.model)
    merged = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    batch = {"input_ids": torch.tensor([[4, 5, 1]]), "labels": torch.tensor([[5, 4, 1]])}
    with torch.no_grad():
        found = PeftModel.from_pretrained(base, folder / FOLDER).eval()(**batch).logits
        torch.testing.assert_close(found, merged(**batch).logits, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(found, AutoModelForSeq2SeqLM.from_pretrained(lab.model).eval()(**batch).logits)


def test_the_lowest_layers_can_be_frozen(writer):
    lab = writer()
    attempt = lab.run(num_train_epochs=1, freeze_layers=1, layerwise_lr_decay=0.9)
    before, after = (
        AutoModelForSeq2SeqLM.from_pretrained(path).state_dict() for path in (lab.model, attempt.folder / "model")
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith(("encoder.block.0", "shared"))]
    assert [name for name in changed if name.startswith("encoder.block.1")]
    assert [name for name in changed if name.startswith("decoder.block.0")]


def test_what_a_source_is_about_is_read_behind_it(writer):
    rows = [{"question": f"{a} :", "context": b, "answer": b} for a, b in product(WORDS[:4], WORDS[4:8])]
    lab = writer(rows=rows)
    attempt = lab.run(num_train_epochs=1)
    assert attempt.all_of(ResolvedMessage)[-1].spec.columns.text_pair == "context"
    engine = LoadedModel.load(attempt.folder / "model")
    (apart,) = engine.encode([("one :", "five")])
    (joined,) = engine.encode([("one : five", None)])
    assert apart.input_ids == joined.input_ids


def test_long_sources_and_answers_are_cut_and_it_is_said(writer):
    rows = [{"source": " ".join(WORDS[:9]), "target": " ".join(WORDS[:n])} for n in (7, 8, 9)] * 4
    attempt = writer(rows=rows).run(num_train_epochs=1, max_length=6, max_target_length=5, spec=WRITTEN)
    told = [w.message for w in attempt.all_of(WarningMessage) if w.code == "truncated"]
    assert any("answers" in message and "5 tokens" in message and "max_target_length" in message for message in told)
    assert any("examples" in message and "6 tokens" in message for message in told)
    assert attempt.result.report["num_tokens"] == 5 * 10
    engine = LoadedModel.load(attempt.folder / "model")
    assert [item.truncated for item in engine.encode([("one", None), (rows[0]["source"], None)])] == [False, True]


def test_a_text_generation_job_with_answers_is_measured_by_what_it_writes(tmp_path):
    lab = Lab(tmp_path, model=build_decoder(tmp_path / "llama"))
    rows = [{"prompt": a, "completion": f" {b}"} for a, b in (("one", "red"), ("two", "green"))] * 30
    lab.files = {
        "train": write_jsonl(tmp_path / "t.jsonl", rows),
        "validation": write_jsonl(tmp_path / "v.jsonl", rows[:8]),
    }
    spec = {"prompt_format": "plain", "metrics": ["exact_match", "rouge1"]}
    attempt = lab.run(num_train_epochs=8, learning_rate=1e-2, eval_strategy="no", save_strategy="no", spec=spec)
    assert attempt.all_of(ResolvedMessage)[-1].spec.task == "text-generation"
    assert attempt.result.metrics["eval/exact_match"] == 1.0
    engine = LoadedModel.load(attempt.folder / "model")
    long = " ".join(["one"] * 70)
    examples = Examples(texts=["two", long, "one", long], pairs=None, labels=torch.zeros(4).numpy())
    written = Writer(batch_size=3, max_new_tokens=3).write(engine, examples)
    assert [text.strip() for text in written] == ["green", "", "red", ""]
    assert Writer(batch_size=3, max_new_tokens=3).write(engine, examples, interrupted=lambda: True) is None


def test_models_of_the_other_kind_are_refused(writer, tmp_path):
    lab = writer()
    for task in ("text-generation", "text-classification"):
        columns = {"text": "source", "label": "target"}
        with pytest.raises(InvalidModel, match=f"encoder-decoder, which cannot be fine-tuned for {task}") as refused:
            lab.run(spec={"task": task, "columns": columns})
        assert (refused.value.code, "text2text-generation" in refused.value.hint) == ("model_unsupported", True)
    lab.model = build_decoder(tmp_path / "llama")
    with pytest.raises(
        InvalidModel, match="no encoder-decoder, and text2text-generation is for those alone"
    ) as refused:
        lab.run(spec={"task": "text2text-generation"})
    assert "text-generation" in refused.value.hint


@pytest.mark.parametrize(
    ("training", "spec", "told", "param"),
    [
        ({"max_target_length": 65}, {}, "at most 64 tokens", "training.max_target_length"),
        ({}, {"prompt_format": "instruction"}, "reads its source as it is", "prompt_format"),
        ({"class_weights": "balanced"}, {}, "class_weights", "training.class_weights"),
        ({}, {"metrics": ["f1"]}, "not a metric", "metrics"),
    ],
)
def test_settings_that_mean_nothing_are_refused(writer, training, spec, told, param):
    with pytest.raises(InvalidRequest, match=told) as refused:
        writer().run(**training, spec=spec)
    assert refused.value.param == param


def test_a_model_that_does_not_say_how_answers_begin_is_refused(writer):
    with pytest.raises(InvalidModel, match="decoder_start_token_id"):
        writer(decoder_start_token_id=None).run()


def test_texts_without_answers_are_refused(writer):
    with pytest.raises(InvalidData, match="no column can be the answer"):
        writer(rows=[{"text": "one two"}, {"text": "two three"}] * 4).run()
