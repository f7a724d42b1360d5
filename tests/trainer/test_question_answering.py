"""Question answering: from questions with contexts to a model that is served as it was measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from app.dataset.resolved import ResolvedData
from app.errors import InvalidData, InvalidModel, InvalidRequest
from app.spec.messages import ResolvedMessage, StartedMessage, WarningMessage
from app.spec.metrics import METRICS
from app.spec.run import ExitCode
from app.spec.training import TrainingSpec
from tests.decoder import build_decoder
from tests.trainer.conftest import GOOD, NEUTRAL, write_jsonl
from tests.trainer.questions import asked
from worker.predictor.engine import LoadedModel
from worker.trainer.batching import TrainBatches
from worker.trainer.evaluation import measure
from worker.trainer.examples import Examples
from worker.trainer.forward import PackedForward, PaddedForward, choose_forward
from worker.trainer.metrics import Metrics
from worker.trainer.padding import Padding
from worker.trainer.publishing import ServingMismatch, refuse_mismatch
from worker.trainer.question_tokens import END, FIRST, START, tokenize_questions
from worker.trainer.tasks import task_of

SMALL = asked(12, seed=0, num_words=(20, 30))
LEARNS = {
    "num_train_epochs": 60, "learning_rate": 5e-3, "eval_strategy": "no", "save_strategy": "no", "max_length": 24,
    "doc_stride": 6, "per_device_train_batch_size": 16,
}  # fmt: skip


@pytest.fixture
def small(lab):
    """What is learned by heart; contexts of 20 to 34 words are read in windows of 24 tokens with the question."""
    path = write_jsonl(lab.home / "small.jsonl", SMALL)
    lab.files = {"train": path, "validation": path}
    return lab


@pytest.fixture
def questions(lab):
    lab.files = {
        "train": write_jsonl(lab.home / "asked.jsonl", asked(24, seed=0)),
        "validation": write_jsonl(lab.home / "more.jsonl", asked(10, seed=1)),
    }
    return lab


@pytest.fixture
def task():
    return task_of(ResolvedData(
        task="question-answering", problem_type="extractive_question_answering", text="question", text_pair="context",
        label="answers", label_names=[], label_values=[], has_test=False,
    ))  # fmt: skip


def as_examples(rows, task):
    return Examples(
        texts=[row["question"] for row in rows],
        pairs=[row["context"] for row in rows],
        labels=task.stack([task.read_label(row["answers"]) for row in rows]),
    )


@pytest.mark.parametrize("bf16", [False, True])
def test_a_few_rows_are_learned_by_heart_and_served_as_they_were_measured(small, bf16):
    attempt = small.run(**LEARNS, bf16=bf16)
    result, spec = attempt.result, attempt.all_of(ResolvedMessage)[-1].spec
    assert (spec.task, spec.problem_type) == ("question-answering", "extractive_question_answering")
    assert (spec.columns.text, spec.columns.text_pair, spec.columns.label) == ("question", "context", "answers")
    assert spec.metrics == ["squad_f1", "squad_exact_match"]
    assert (spec.training.metric_for_best_model, spec.training.greater_is_better) == ("squad_f1", True)
    assert attempt.all_of(StartedMessage)[-1].num_examples["train"] > 2 * len(SMALL)
    assert result.metrics["eval/squad_exact_match"] == 100 == result.metrics["eval/squad_f1"]
    assert result.report["num_examples"] == len(SMALL) < result.report["num_windows"]
    assert result.report["wrong_answers"] == []
    assert result.report["first_sentence_baseline"]["squad_f1"] < 50


def test_transformers_own_class_finds_the_same_answers(questions):
    attempt = questions.run(num_train_epochs=3)
    folder = attempt.folder / "model"
    tokenizer, theirs = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
    ours = LoadedModel.load(folder)
    for row in asked(5, seed=2):
        inputs = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
        offsets, parts = inputs.pop("offset_mapping")[0].tolist(), inputs.sequence_ids()
        with torch.no_grad():
            output = theirs(**inputs)
        start, end = output.start_logits[0].softmax(-1), output.end_logits[0].softmax(-1)
        inside = [place for place, part in enumerate(parts) if part == 1]
        first, last = max(
            ((i, j) for i in inside for j in inside if i <= j < i + 30), key=lambda pair: start[pair[0]] * end[pair[1]]
        )
        found = answer(ours, row["question"], row["context"])
        assert (found.start, found.end) == (offsets[first][0], offsets[last][1])
        assert found.text == row["context"][found.start : found.end]
        assert found.score == pytest.approx(float(start[first] * end[last]), rel=1e-4)


def answer(model, question, context, **options):
    """As the predictor answers, without its queue."""
    from app.prediction.wire import Predict
    from worker.predictor.questions import found_answers

    request = Predict(
        request_id=1,
        model_id="m",
        folder="f",
        manifest_sha256="",
        inputs=[(question, context)],
        timeout_ms=1,
        **options,
    )
    encoded = model.encode(request.inputs)
    return found_answers(request, encoded, model.forward(encoded), spec=model.spec)[0][0]


def test_an_answer_beyond_the_first_window_is_learned_and_found(small):
    model = LoadedModel.load(small.run(**LEARNS).folder / "model")
    late = [row for row in SMALL if row["answers"]["answer_start"][0] > 100]
    assert late
    for row in late:
        found = answer(model, row["question"], row["context"])
        assert (found.text, found.start) == (row["answers"]["text"][0], row["answers"]["answer_start"][0])


def test_windows_share_tokens_and_learn_whole_answers_only(small, task):
    tokenizer = AutoTokenizer.from_pretrained(small.model)
    tokens = tokenize_questions(tokenizer, as_examples(SMALL, task), max_length=20, doc_stride=4)
    theirs = tokenizer(
        [row["question"] for row in SMALL], [row["context"] for row in SMALL], truncation="only_second", max_length=20,
        stride=4, return_overflowing_tokens=True,
    )  # fmt: skip
    for name in ("input_ids", "token_type_ids"):
        ours = np.split(tokens.columns[name], tokens.offsets[1:-1])
        assert [window.tolist() for window in ours] == theirs[name]
    assert tokens.windows.examples.tolist() == theirs["overflow_to_sample_mapping"]
    num_whole = np.zeros(len(SMALL), dtype=int)
    for number, example in enumerate(tokens.windows.examples):
        rows = slice(*tokens.offsets[number : number + 2])
        labels, spans, row = tokens.labels[rows], tokens.windows.spans[rows], SMALL[example]
        assert labels.sum(axis=0).tolist() == [1, 1, 1]
        assert labels[0, FIRST] == 1
        first, last = labels[:, START].argmax(), labels[:, END].argmax()
        text, start = row["answers"]["text"][0], row["answers"]["answer_start"][0]
        inside = (spans[:, 0] >= start) & (spans[:, 1] <= start + len(text)) & (spans[:, 0] < spans[:, 1])
        if inside.sum() == len(text.split()):
            assert row["context"][spans[first, 0] : spans[last, 1]] == text
            num_whole[example] += 1
        else:
            assert first == last == 0
    assert (num_whole >= 1).all()
    assert num_whole.max() > 1


def test_the_loss_is_that_of_transformers(small, task):
    """On windows of one length, where theirs has no padding to count as tokens."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(small.model),
        AutoModelForQuestionAnswering.from_pretrained(small.model),
    )
    tokens = tokenize_questions(tokenizer, as_examples(SMALL, task), max_length=20, doc_stride=4)
    full = np.flatnonzero(tokens.lengths == 20)[:8]
    padding = Padding.of(tokenizer)
    forward, how = choose_forward(model.eval(), tokens, padding=padding, bf16=False)
    assert isinstance(forward, PackedForward), how
    batches = TrainBatches(
        tokens, tokens.labels, forward=forward, batch_size=8, accumulation=1, seed=0, by_length=False
    )
    assert all(step.num_targets == step.num_examples for step in batches.of_epoch(0))
    labels = torch.from_numpy(tokens.labels[tokens.places_of(full)])
    packed = forward(model, forward.collate(tokens, full), device=torch.device("cpu"))
    ours = task.training_loss(packed, labels, args=TrainingSpec()).item() / len(full)
    measured = task.mean_loss(packed.detach().numpy(), labels.numpy())
    weights, model = model.state_dict(), AutoModelForQuestionAnswering.from_pretrained(small.model).eval()
    model.load_state_dict(weights)
    padded = PaddedForward(padding)(model, PaddedForward(padding).collate(tokens, full), device=torch.device("cpu"))
    by_window = labels.view(len(full), 20, 3)
    theirs = model(
        **padding.batch(tokens, full),
        start_positions=by_window[..., START].int().argmax(1),
        end_positions=by_window[..., END].int().argmax(1),
    )
    assert ours == pytest.approx(theirs.loss.item(), abs=1e-5)
    assert measured == pytest.approx(theirs.loss.item(), abs=1e-5)
    assert torch.allclose(padded, torch.stack([theirs.start_logits, theirs.end_logits], -1).flatten(0, 1), atol=1e-5)
    assert torch.allclose(packed, padded, atol=1e-4)


def test_the_loss_counts_each_window_once_and_no_padding(task):
    """Windows of 2 and of 4 tokens, worked by hand."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.uint8)
    first = np.log(2)
    second = (np.log(np.e + 3) - 1 + np.log(np.exp(2) + 3) - 2) / 2
    loss = task.training_loss(logits, labels, args=TrainingSpec())
    assert loss.item() == pytest.approx(first + second, rel=1e-6)
    assert task.mean_loss(logits.detach().numpy(), labels.numpy()) == pytest.approx((first + second) / 2, rel=1e-6)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.sum(0).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_a_run_that_was_stopped_ends_with_the_same_weights(questions):
    options = {"num_train_epochs": 2, "gradient_accumulation_steps": 2}
    whole = questions.run(**options)
    stopped = questions.run_until(3, **options)
    assert stopped.code is ExitCode.DRAINED
    assert questions.run(checkpoints=stopped.checkpoints, **options).weights == whole.weights


def test_the_loss_of_a_step_does_not_depend_on_how_it_is_cut(without_dropout):
    lab = without_dropout
    path = write_jsonl(lab.home / "small.jsonl", SMALL)
    lab.files = {"train": path, "validation": path}
    losses = [
        lab.run(
            max_steps=2, per_device_train_batch_size=size, gradient_accumulation_steps=8 // size, logging_steps=1,
            max_length=24, doc_stride=6,
        ).points("train/loss")
        for size in (8, 2)
    ]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_questions_without_an_answer_are_learned_and_measured(lab):
    rows = asked(16, seed=3, without=0.4)
    path = write_jsonl(lab.home / "v2.jsonl", rows)
    lab.files = {"train": path, "validation": path}
    attempt = lab.run(**LEARNS)
    report = attempt.result.report
    without = sum(not row["answers"]["text"] for row in rows)
    assert report["no_answer"] == {"num_examples": without, "squad_exact_match": 100, "squad_f1": 100}
    assert report["has_answer"]["num_examples"] == len(rows) - without
    assert report["has_answer"]["squad_exact_match"] == 100
    assert report["no_answer_baseline"]["squad_f1"] == pytest.approx(100 * without / len(rows))
    model = LoadedModel.load(attempt.folder / "model")
    assert model.spec.handle_impossible_answer
    for row in rows[:8]:
        found = answer(model, row["question"], row["context"])
        assert [found.text] == (row["answers"]["text"] or [""])
        if not found.text:
            assert (found.start, found.end) == (0, 0)
            assert answer(model, row["question"], row["context"], handle_impossible_answer=False).text


def test_where_every_question_has_an_answer_nothing_else_is_said(questions):
    model = LoadedModel.load(questions.run(max_steps=1).folder / "model")
    assert not model.spec.handle_impossible_answer
    assert all(answer(model, row["question"], row["context"]).text for row in asked(5, seed=4))


def test_updates_beside_the_weights_are_trained_and_served(questions):
    attempt = questions.run(num_train_epochs=2, spec={"adapter": {"type": "lora", "r": 4}})
    assert attempt.result.report["adapter"]["num_trained"] > 0
    names = json.loads((attempt.folder / "model" / "adapter" / "adapter_config.json").read_text())["modules_to_save"]
    assert names == ["qa_outputs"]


def test_a_model_that_finds_answers_keeps_its_last_layer(questions):
    before = questions.run(num_train_epochs=1)
    questions.model = before.folder / "model"
    after = questions.run(max_steps=1, learning_rate=1e-9, warmup_steps=0)
    assert not {"new_head", "new_weights"} & {warning.code for warning in after.all_of(WarningMessage)}
    assert after.result.metrics["eval/loss"] == pytest.approx(before.result.metrics["eval/loss"], abs=1e-4)


def test_a_part_of_the_training_rows_is_set_aside(questions):
    del questions.files["validation"]
    assert questions.run(num_train_epochs=1).result.report["num_examples"] == 2


GOOD_ROWS = asked(20, seed=5)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"text": ["film"], "answer_start": [40]}, "the answer 'film' at character 40 of a context of 16"),
        ({"text": ["film"], "answer_start": [-1]}, "at character -1 of a context"),
        ({"text": ["film"], "answer_start": [3]}, "where ' fil' stands; it stands at 4"),
        ({"text": ["plot"], "answer_start": [4]}, "the answer 'plot' at character 4, where 'film' stands"),
        ({"text": [" "], "answer_start": [3]}, "an empty answer"),
        ({"text": ["film", "fine"], "answer_start": [4]}, "2 answers but 1 places"),
    ],
)
def test_an_answer_that_does_not_stand_in_its_context_is_named_before_training(questions, answers, message):
    bad = GOOD_ROWS[0] | {"context": "the film is fine", "answers": answers}
    questions.files["train"] = write_jsonl(questions.home / "bad.jsonl", [*GOOD_ROWS, bad])
    with pytest.raises(InvalidData, match="Row 21 of the train split") as refused:
        questions.run()
    assert message in str(refused.value)
    assert (refused.value.code, refused.value.param) == ("invalid_answer", "columns.label")


def test_a_question_that_leaves_no_room_for_its_context_is_named(questions):
    long = {"question": "fine " * 15, "context": " ".join(NEUTRAL), "answers": {"text": ["film"], "answer_start": [4]}}
    questions.files["train"] = write_jsonl(questions.home / "long.jsonl", [*GOOD_ROWS, long])
    with pytest.raises(InvalidData, match="15 tokens: of the 24 that the model reads it leaves 6 to the context"):
        questions.run(max_length=24)


def test_settings_of_other_tasks_are_refused(questions, lab):
    for name, value in (("label_smoothing_factor", 0.1), ("class_weights", "balanced")):
        with pytest.raises(InvalidRequest, match=name):
            questions.run(**{name: value})
    rows = [{"text": word, "label": "good" if word in GOOD else "other"} for word in [*GOOD, *NEUTRAL]]
    lab.files = {"train": write_jsonl(lab.home / "classes.jsonl", rows)}
    with pytest.raises(InvalidRequest, match="doc_stride is for question answering"):
        lab.run(doc_stride=64)


@pytest.fixture
def measured(small, task, tmp_path):
    """A split, and how it is compared; logits that point to the answers but for noise."""
    tokenizer = AutoTokenizer.from_pretrained(small.model)
    tokens = tokenize_questions(tokenizer, as_examples(SMALL, task), max_length=24, doc_stride=6)
    rows = as_examples(SMALL, task)
    examples = replace(
        rows, labels=tokens.labels, offsets=tokens.words.offsets, answers=rows.labels, windows=tokens.windows
    )
    problem = "extractive_question_answering"
    metrics = Metrics(METRICS[problem], problem_type=problem, num_labels=2, cache_dir=tmp_path / "metrics")
    noise = np.random.default_rng(0).normal(size=(len(tokens.labels), 2))
    logits = (10 * tokens.labels[:, [START, END]] + noise).astype(np.float32)
    return examples, logits, {"task": task, "metrics": metrics, "precision": "float32"}


def test_right_logits_score_a_hundred_and_others_are_not_published(measured):
    examples, logits, options = measured
    scores = measure(logits, examples, task=options["task"], metrics=options["metrics"])
    assert scores["squad_exact_match"] == scores["squad_f1"] == 100
    refuse_mismatch(logits + 0.1, logits, examples, **options)
    served = logits.copy()
    last = slice(*examples.offsets[np.searchsorted(examples.windows.examples, [11, 12])])
    served[last] = np.roll(served[last], 1, axis=0)
    with pytest.raises(ServingMismatch, match=r"1 of 12 validation answers .* example 12"):
        refuse_mismatch(served, logits, examples, **options)


def test_two_answers_that_score_alike_may_be_served_either_way(measured):
    examples, logits, options = measured
    rows = slice(*examples.offsets[np.searchsorted(examples.windows.examples, [0, 1])])
    best = rows.start + logits[rows, 0].argmax()
    trained, served = logits.copy(), logits.copy()
    for array, first, second in ((trained, 30, 30 - 1e-6), (served, 30 - 1e-6, 30)):
        array[best], array[best - 1] = [first, first], [second, second]
    of_split = options["task"].of_split(examples)
    refuse_mismatch(served, trained, examples, **options)
    assert len(of_split.compare(served, trained, precision="float32").differing) == 0
    served[best], served[best - 1] = [20, 20], [30, 30]
    trained[best], trained[best - 1] = [30, 30], [20, 20]
    assert of_split.compare(served, trained, precision="float32").differing.tolist() == [rows.start]


def test_a_decoder_without_a_head_that_takes_its_weights_is_refused(questions, tmp_path):
    """As ``POST /jobs`` does, where that could not look at the model."""
    questions.model = build_decoder(tmp_path / "llama")
    with pytest.raises(
        InvalidModel, match="'llama' model, which cannot be fine-tuned for question-answering"
    ) as caught:
        questions.run()
    assert (caught.value.param, caught.value.code) == ("model", "model_unsupported")
