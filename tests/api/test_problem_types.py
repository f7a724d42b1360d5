"""What kind of problem a job is, seen when it is submitted: chosen, written back, or refused with the row."""

import json

import pytest

from tests.hub.builders import bert_folder
from tests.hub.fixtures import fake_hub  # noqa: F401

TAGS = [["joy"], [], ["joy", "anger"], ["anger"]] * 5
SCORES = [0.5, 4, 2.25, 5.0] * 5
STARS = [1, 5, 3, 2] * 5


@pytest.fixture
def submit(client, tmp_path):
    """Uploads labels with a text each and submits a job on them."""
    folder = bert_folder(tmp_path / "tiny")
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    assert client.post("/models", data={"name": "tiny"}, files=parts).status_code == 201

    def post(labels, *, filename="data.jsonl", content=None, **spec):
        rows = [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]
        content = content or "".join(json.dumps(row) + "\n" for row in rows).encode()
        file_id = client.post("/files", files={"file": (filename, content)}).json()["id"]
        return client.post("/jobs", json={"model": "tiny", "dataset": {"train": file_id}, **spec})

    return post


@pytest.mark.parametrize(
    ("labels", "asked", "problem_type", "names", "metrics", "best"),
    [
        (
            TAGS, {}, "multi_label_classification", ["anger", "joy"], ["f1_micro", "f1_macro", "accuracy"], "f1_micro",
        ),
        (SCORES, {}, "regression", ["score"], ["pearson", "spearmanr", "mse", "mae"], "pearson"),
        (STARS, {}, "single_label_classification", ["1", "2", "3", "5"], ["accuracy", "f1"], "accuracy"),
        (
            STARS, {"problem_type": "regression", "metrics": "glue/stsb", "label_names": ["stars"]},
            "regression", ["stars"], "glue/stsb", "pearson",
        ),
    ],
)  # fmt: skip
def test_the_problem_is_told_by_the_labels_and_written_back(submit, labels, asked, problem_type, names, metrics, best):
    answer = submit(labels, **asked)
    assert answer.status_code == 201, answer.text
    spec = answer.json()["spec"]
    assert (spec["problem_type"], spec["label_names"], spec["metrics"]) == (problem_type, names, metrics)
    assert spec["training"]["metric_for_best_model"] == best
    again = submit(labels, **{name: spec[name] for name in ("problem_type", "label_names", "metrics", "training")})
    assert again.json()["spec"]["problem_type"] == problem_type


def test_what_is_known_of_the_labels_is_in_the_data_report(submit, client):
    report = client.get(f"/jobs/{submit(TAGS).json()['id']}").json()["data_report"]["splits"]["train"]
    assert (report["label_counts"], report["num_without_labels"]) == ({"anger": 10, "joy": 10}, 5)
    report = client.get(f"/jobs/{submit(SCORES).json()['id']}").json()["data_report"]["splits"]["train"]
    assert report["label_range"] == {"min": 0.5, "max": 5.0, "mean": sum(SCORES) / 20}


@pytest.mark.parametrize(
    ("labels", "spec", "param", "code", "row"),
    [
        ([*TAGS, "joy"], {}, "columns.label", "label_not_a_list", 21),
        ([*TAGS, ["joy", None]], {}, "columns.label", "null_label", 21),
        ([*SCORES, "high"], {"problem_type": "regression"}, "columns.label", "label_not_a_number", 21),
        (SCORES, {"problem_type": "single_label_classification"}, "columns.label", "label_is_a_fraction", 1),
        ([[1, 0, 0], [1, 1, 0]], {}, "columns.label", "label_vectors", None),
        (SCORES, {"metrics": ["f1"]}, "metrics", "metric_does_not_fit", None),
        (SCORES, {"training": {"label_smoothing_factor": 0.1}}, "training.label_smoothing_factor", "setting_does_not_fit", None),
        (TAGS, {"training": {"metric_for_best_model": "mse"}}, "training.metric_for_best_model", "metric_not_measured", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_a_worker_is_taken(submit, labels, spec, param, code, row):
    answer = submit(labels, **spec)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert [problem.get("row") for problem in answer.json().get("errors", []) if problem.get("row")] == [row] * bool(
        row
    )


def test_csv_has_no_lists_and_the_refusal_says_what_has(submit):
    content = b"text,label\na,joy;anger\nb,joy\n"
    answer = submit([], filename="data.csv", content=content, problem_type="multi_label_classification")
    assert answer.json()["error"]["code"] == "label_not_a_list"
    assert "CSV has no lists" in answer.text


def test_a_csv_of_numbers_is_a_regression(submit):
    content = b"text,label\na,0.5\nb,3.0\nc,2.25\n"
    answer = submit([], filename="data.csv", content=content)
    assert answer.json()["spec"]["problem_type"] == "regression"


def test_an_unknown_problem_type_is_refused(submit):
    answer = submit(STARS, problem_type="ranking")
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "problem_type")


def test_words_with_tags_are_seen_to_be_token_classification(submit):
    rows = [{"tokens": ["Ada", "sings"], "ner_tags": ["B-person", "O"]}] * 20
    answer = submit([], content="".join(json.dumps(row) + "\n" for row in rows).encode())
    assert answer.status_code == 201, answer.text
    spec = answer.json()["spec"]
    assert (spec["task"], spec["problem_type"]) == ("token-classification", "token_classification")
    assert (spec["label_names"], spec["training"]["metric_for_best_model"]) == (["B-person", "O"], "f1")


def test_a_row_with_more_words_than_tags_is_refused_when_the_job_is_submitted(submit):
    rows = [{"tokens": ["Ada", "sings"], "ner_tags": ["B-person", "O"]}] * 3 + [{"tokens": ["Ada"], "ner_tags": []}]
    answer = submit([], content="".join(json.dumps(row) + "\n" for row in rows).encode())
    assert answer.status_code == 422
    error = answer.json()["error"] if "error" in answer.json() else answer.json()
    assert "Row 4 of the train split" in json.dumps(error)
