"""``POST /predict`` of models that find answers in contexts."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

PROBLEM = "extractive_question_answering"
OPTIONS = {"problem_type": PROBLEM, "text_fields": ("question", "context"), "max_length": 24, "doc_stride": 6}
CONTEXT = "Ein 😀 Märchen: the happy cat sat on the red mat, the sad dog ran under a blue tree; never quickly"


def ask(client, model, inputs, **parameters):
    return client.post("/predict", json={"model": model, "inputs": inputs, "parameters": parameters})


def problem(response):
    body = response.json()
    return response.status_code, body["error"]["code"], body["error"]["param"]


@pytest.fixture
def reader(client, predictor, publish):
    """Id of a model's job, and its folder."""
    job_id, _, folder = publish("reader", **OPTIONS)
    return job_id, folder


def best_span(folder, question, context):
    """By transformers alone: each window by itself, every span of 30 tokens at most."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForQuestionAnswering.from_pretrained(folder)
    batch = tokenizer(
        question, context, truncation="only_second", max_length=24, stride=6, return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )  # fmt: skip
    found = []
    for number, ids in enumerate(batch["input_ids"]):
        types = [int(part == 1) for part in batch.sequence_ids(number)]
        with torch.no_grad():
            output = model(input_ids=torch.tensor([ids]))
        start, end = output.start_logits[0].softmax(-1).numpy(), output.end_logits[0].softmax(-1).numpy()
        offsets = batch["offset_mapping"][number]
        inside = np.flatnonzero(types)
        found += [(start[i] * end[j], offsets[i][0], offsets[j][1]) for i in inside for j in inside if i <= j < i + 30]
    return len(batch["input_ids"]), max(found)


def test_answers_are_cut_from_the_context_as_it_was_sent(client, reader):
    job_id, folder = reader
    num_windows, (score, start, end) = best_span(folder, "a dog?", CONTEXT)
    assert num_windows > 1
    answer = ask(client, job_id, {"question": "a dog?", "context": CONTEXT}).json()
    assert answer["predictions"] == [
        [{"answer": CONTEXT[start:end], "score": pytest.approx(float(score), rel=1e-4), "start": start, "end": end}]
    ]
    assert answer["usage"]["truncated"] == [False]
    assert answer["usage"]["tokens"] > 24


def test_a_pair_is_another_way_to_write_a_question(client, reader):
    job_id, _ = reader
    short = {"question": "the cat", "context": "a red mat"}
    inputs = [{"question": "a dog?", "context": CONTEXT}, short, {"text": "a dog?", "text_pair": CONTEXT}]
    first, other, again = ask(client, job_id, inputs).json()["predictions"]
    assert first == [again[0] | {"score": pytest.approx(again[0]["score"], rel=1e-4)}]
    assert short["context"][other[0]["start"] : other[0]["end"]] == other[0]["answer"]


def test_parameters_ask_for_more_or_shorter_answers_or_none(client, reader):
    job_id, _ = reader
    question = {"question": "a dog?", "context": CONTEXT}
    (found,) = ask(client, job_id, question, top_k=30, handle_impossible_answer=True).json()["predictions"]
    scores = [item["score"] for item in found]
    assert len(found) == 30
    assert scores == sorted(scores, reverse=True)
    assert all(CONTEXT[item["start"] : item["end"]] == item["answer"] for item in found)
    (answered,) = ask(client, job_id, question, top_k=30).json()["predictions"]
    assert all(item["answer"] for item in answered)
    (short,) = ask(client, job_id, question, top_k=30, max_answer_len=1).json()["predictions"]
    assert all(" " not in item["answer"] for item in short)


def test_a_model_that_was_shown_questions_without_an_answer_may_say_so(client, predictor, publish):
    job_id, _, _ = publish("reader-2", **OPTIONS, handle_impossible_answer=True)
    question = {"question": "a dog?", "context": CONTEXT}
    (found,) = ask(client, job_id, question, top_k=1000).json()["predictions"]
    (none,) = [item for item in found if not item["answer"]]
    assert (none["start"], none["end"]) == (0, 0)
    (without,) = ask(client, job_id, question, top_k=1000, handle_impossible_answer=False).json()["predictions"]
    assert [item["start"] for item in without] == [item["start"] for item in found if item != none]


@pytest.mark.parametrize(
    ("inputs", "parameters", "param"),
    [
        ("a dog?", {}, "inputs[0]"),
        ([{"question": "a", "context": "b"}, {"text": "a"}], {}, "inputs[1]"),
        ({"question": "a", "context": " "}, {}, "inputs[0]"),
        ([{"question": "a", "context": "b"}, {"question": "cat " * 20, "context": "dog " * 20}], {}, "inputs[1]"),
        ({"question": "a", "context": "dog " * 20_000}, {}, "inputs[0]"),
        ([{"question": "a", "context": "dog " * 10_000}] * 2, {}, "inputs"),
        ({"question": "a", "context": "b"}, {"threshold": 0.5}, "parameters.threshold"),
        ({"question": "a", "context": "b"}, {"function_to_apply": "softmax"}, "parameters.function_to_apply"),
        ({"question": "a", "context": "b"}, {"max_new_tokens": 3}, "parameters"),
    ],
)
def test_what_such_a_model_does_not_take_is_refused(client, reader, inputs, parameters, param):
    assert problem(ask(client, reader[0], inputs, **parameters)) == (422, "invalid_input", param)


def test_others_take_neither_its_parameters_nor_half_a_question(client, predictor, publish):
    job_id, _, _ = publish()
    for parameters in ({"max_answer_len": 3}, {"handle_impossible_answer": True}):
        (name,) = parameters
        assert problem(ask(client, job_id, "a", **parameters)) == (422, "invalid_input", f"parameters.{name}")
    assert ask(client, job_id, {"question": "a", "context": "b"}).status_code == 200
    assert problem(ask(client, job_id, {"question": "a"}))[::2] == (422, "inputs.context")
    assert problem(ask(client, job_id, [{"question": "a", "context": "b", "top": 1}]))[::2] == (422, "inputs.0.top")
