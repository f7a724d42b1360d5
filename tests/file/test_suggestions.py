"""An uploaded file is answered with what it could be trained on, and with what a newcomer should know of it."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.builders import bert_folder

ROWS = [{"id": n, "review": f"text {n % 110}", "stars": n % 2} for n in range(120)]


def upload(client, rows, *, kind="jsonl"):
    if kind == "jsonl":
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    elif kind == "csv":
        data = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()
    else:
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), out)
        data = out.getvalue()
    answer = client.post("/files", files={"file": (f"train.{kind}", data)})
    assert answer.status_code == 201, answer.text
    assert client.get(f"/files/{answer.json()['id']}").json() == answer.json()
    return answer.json()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_the_columns_are_suggested_as_a_job_would_find_them(client, kind):
    rows = [*ROWS, {"id": 120, "review": "text 0", "stars": 1}]
    file = upload(client, rows, kind=kind)
    assert file["suggestion"] == {
        "task": "text-classification",
        "problem_type": "single_label_classification",
        "columns": {"text": "review", "text_pair": None, "label": "stars"},
        "label_names": ["0", "1"],
    }
    assert file["no_suggestion"] is None
    report = file["data_report"]
    assert report["label_counts"] == {"0": 60, "1": 61}
    assert (report["num_exact_duplicates"], report["num_repeated_inputs"], report["num_conflicting_rows"]) == (0, 11, 3)
    assert report["conflicts"] == [
        {"rows": [1, 111, 121], "num_rows": 3, "labels": ["0", "0", "1"], "text": "text 0"},
    ]
    assert sum(report["text_chars"]["review"]["histogram"]) == 121
    assert [warning["code"] for warning in file["warnings"]] == ["duplicate_rows", "conflicting_labels"]


def test_the_suggestion_is_what_a_job_finds_and_its_report_the_same(client, tmp_path):
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(bert_folder(tmp_path / "tiny").iterdir())]
    assert client.post("/models", data={"name": "tiny"}, files=parts).status_code == 201
    file = upload(client, [*ROWS, {"id": 120, "review": "text 0", "stars": 1}])
    job = {"model": "tiny", "dataset": {"train": file["id"]}}
    answer = client.post("/jobs?validate_only=true", json=job).json()
    found = answer["spec"]
    assert {name: found[name] for name in file["suggestion"]} == file["suggestion"]
    assert answer["data_report"]["splits"]["train"] == file["data_report"]
    assert answer["warnings"] == file["warnings"]
    other = job | {"columns": {"text": "review", "label": "id"}, "problem_type": "regression"}
    report = client.post("/jobs?validate_only=true", json=other).json()["data_report"]["splits"]["train"]
    assert "conflicts" not in report  # these columns were not compared


@pytest.mark.parametrize(
    ("rows", "code", "param"),
    [
        ([{"a": f"words {n}", "b": f"others {n}", "c": n % 2} for n in range(9)], "ambiguous_columns", "columns.text"),
        ([{"text": f"words {n}", "label": "x"} for n in range(9)], "single_class", "columns.label"),
    ],
)
def test_a_file_that_does_not_tell_says_what_is_missing(client, rows, code, param):
    file = upload(client, rows)
    assert file["suggestion"] is None
    assert (file["no_suggestion"]["code"], file["no_suggestion"]["param"]) == (code, param)
    assert file["data_report"]["num_rows"] == 9
    assert file["data_report"]["text_chars"]


def test_other_tasks_are_suggested_too(client):
    words = [{"tokens": ["Ada", "sings"], "ner_tags": ["B-p", "O"]}, {"tokens": ["no", "one"], "ner_tags": ["O", "O"]}]
    assert upload(client, words)["suggestion"]["task"] == "token-classification"
    chats = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Hello {n}"}]}
        for n in range(3)
    ]
    assert upload(client, chats)["suggestion"] == {
        "task": "text-generation",
        "problem_type": "language_modeling",
        "columns": {"text": "messages", "text_pair": None, "label": None},
        "label_names": [],
    }
