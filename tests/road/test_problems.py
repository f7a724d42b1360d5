"""Several labels a text, and numbers, through HTTP alone: upload, submit, ask."""

import random

import numpy as np
import pytest

from tests.decoder import build_decoder
from tests.road.tiny import BLAME, PRAISE

pytestmark = pytest.mark.xdist_group("road")

TRAINING = {"num_train_epochs": 15, "per_device_train_batch_size": 16, "learning_rate": 2e-3, "seed": 7}


def opinions(count, *, seed):
    """A text may praise, blame, do both or neither; ``stars`` goes up and down with it."""
    choose = random.Random(seed)
    rows = []
    for number in range(count):
        praise, blame = number % 2, number // 2 % 2
        words = [f"the {choose.choice(['film', 'book', 'meal', 'trip'])} was"]
        words += [choose.choice(sorted(PRAISE))] * praise + [choose.choice(sorted(BLAME))] * blame
        labels = ["praise"] * praise + ["blame"] * blame
        rows.append({"text": " ".join(words), "labels": labels, "stars": 2.5 + 1.5 * praise - 1.25 * blame})
    return rows


@pytest.fixture
def train(service):
    def run(label, **spec):
        job_id = service.submit(
            model="tiny-bert",
            dataset={
                "train": service.upload(opinions(240, seed=1)),
                "validation": service.upload(opinions(60, seed=2)),
            },
            columns={"text": "text", "label": label},
            training=TRAINING,
            **spec,
        )
        job = service.wait(job_id)
        assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
        return job

    return run


def ask(service, job, **parameters):
    texts = [row["text"] for row in opinions(60, seed=2)]
    body = {"model": job["id"], "inputs": texts, "parameters": parameters}
    return service.http.post("/predict", json=body).raise_for_status().json()["predictions"]


def test_several_labels_a_text(service, train):
    job = train("labels", metrics=["accuracy", "f1_micro", "roc_auc"])
    assert job["spec"]["problem_type"] == "multi_label_classification"
    best = job["metrics"]["best"]
    assert best["eval/f1_micro"] > 0.9
    chosen = [{item["label"] for item in found} for found in ask(service, job, threshold=0.5)]
    right = [found == set(row["labels"]) for found, row in zip(chosen, opinions(60, seed=2), strict=True)]
    assert np.mean(right) == pytest.approx(best["eval/accuracy"])
    assert all(len(found) == 2 for found in ask(service, job))
    assert [row["label"] for row in job["report"]["per_class"]] == ["blame", "praise"]


def test_numbers(service, train):
    job = train("stars", metrics="glue/stsb")
    assert job["spec"]["problem_type"] == "regression"
    found = [scores for (scores,) in ask(service, job)]
    assert {item["label"] for item in found} == {"score"}
    stars = [row["stars"] for row in opinions(60, seed=2)]
    best = job["metrics"]["best"]
    assert np.corrcoef([item["score"] for item in found], stars)[0, 1] == pytest.approx(best["eval/pearson"], abs=1e-5)
    assert best["eval/pearson"] > 0.9
    assert job["report"]["mean_baseline"]["mse"] > 2 * best["eval/loss"]
    model = service.http.get(f"/models/{job['model']['id']}").json()
    assert model["labels"] == ["score"]


def test_entities_in_a_text(service):
    """Words and tags are recognised; what is asked over HTTP in words is what evaluation answered, in text it is found too."""
    choose = random.Random(3)

    def tagged(count):
        rows = []
        for _ in range(count):
            praised = choose.sample(sorted(PRAISE), 1) + choose.sample(["film", "book"], 1)
            tokens = ["the", "meal", "was", *praised, "."]
            rows.append({"tokens": tokens, "ner_tags": ["O", "O", "O", "B-praise", "I-praise", "O"]})
        return rows

    rows = tagged(40)
    job_id = service.submit(
        model="tiny-bert",
        dataset={"train": service.upload(tagged(160)), "validation": service.upload(rows)},
        training=TRAINING,
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    assert job["spec"]["task"] == "token-classification"
    assert job["metrics"]["best"]["eval/f1"] > 0.9
    inputs = [{"tokens": row["tokens"]} for row in rows]
    answer = service.http.post("/predict", json={"model": job["id"], "inputs": inputs}).raise_for_status().json()
    found = [[item["word"] for item in entities] for entities in answer["predictions"]]
    true = [[" ".join(row["tokens"][3:5])] for row in rows]
    right = sum(one == other for one, other in zip(found, true, strict=True))
    assert right / len(rows) == pytest.approx(job["metrics"]["best"]["eval/recall"], abs=0.05)
    text = " ".join(rows[0]["tokens"][:-1]) + "."
    (entities,) = service.http.post("/predict", json={"model": job["id"], "inputs": text}).json()["predictions"]
    assert [text[item["start"] : item["end"]] for item in entities] == [item["word"] for item in entities] == true[0]
    refused = service.http.post("/predict", json={"model": job["id"], "inputs": text, "parameters": {"top_k": 1}})
    assert refused.status_code == 422


def test_text_is_generated(service, tmp_path):
    """Prompts with answers are recognised; the finished model answers them over HTTP as it was trained to."""
    service.register("tiny-llama", build_decoder(tmp_path / "tiny-llama"))
    answers = {"one": "red", "two": "green"}
    rows = [{"prompt": number, "completion": f" {colour}"} for number, colour in answers.items()] * 40
    job_id = service.submit(
        model="tiny-llama",
        dataset={"train": service.upload(rows), "validation": service.upload(rows[:10])},
        prompt_format="plain",
        training={"num_train_epochs": 10, "learning_rate": 1e-2, "per_device_train_batch_size": 8},
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    assert job["spec"]["task"] == "text-generation"
    assert job["metrics"]["best"]["eval/perplexity"] < 1.2
    body = {"model": job["id"], "inputs": ["one", "two"], "parameters": {"max_new_tokens": 5}}
    found = service.http.post("/predict", json=body).raise_for_status().json()["predictions"]
    assert [(item["generated_text"].strip(), item["finish_reason"]) for (item,) in found] == [
        ("red", "stop"),
        ("green", "stop"),
    ]
    for parameters in ({"threshold": 0.5}, {"function_to_apply": "softmax"}, {"temperature": 0}):
        refused = service.http.post("/predict", json=body | {"parameters": parameters})
        assert refused.status_code == 422, parameters


def test_an_answer_is_found_in_its_context(service):
    """Answers are recognised by their places; a context longer than the model reads is asked over HTTP as it was evaluated."""
    choose = random.Random(5)

    def asked(count):
        rows = []
        for _ in range(count):
            before, behind = (
                choose.choices(["film", "book", "was", "very", "to", "me"], k=choose.randint(2, 30)) for _ in "ab"
            )
            answer = choose.choice(sorted(PRAISE))
            context = " ".join([*before, answer, *behind])
            place = len(" ".join(before)) + 1
            answers = {"text": [answer], "answer_start": [place]}
            rows.append({"question": "was it good", "context": context, "answers": answers})
        return rows

    rows = asked(30)
    job_id = service.submit(
        model="tiny-bert",
        dataset={"train": service.upload(asked(100)), "validation": service.upload(rows)},
        training=TRAINING | {"max_length": 32, "doc_stride": 8, "num_train_epochs": 10},
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    assert (job["spec"]["task"], job["spec"]["columns"]["label"]) == ("question-answering", "answers")
    best = job["metrics"]["best"]["eval/squad_exact_match"]
    assert best > 90
    assert job["report"]["num_windows"] > job["report"]["num_examples"] == 30
    inputs = [{"question": row["question"], "context": row["context"]} for row in rows]
    answer = service.http.post("/predict", json={"model": job["id"], "inputs": inputs}).raise_for_status().json()
    found = [(item["answer"], item["start"]) for (item,) in answer["predictions"]]
    right = [
        item == (row["answers"]["text"][0], row["answers"]["answer_start"][0])
        for item, row in zip(found, rows, strict=True)
    ]
    assert 100 * np.mean(right) == pytest.approx(best)
    assert not any(answer["usage"]["truncated"])
    refused = service.http.post("/predict", json={"model": job["id"], "inputs": "was it good"})
    assert refused.status_code == 422
