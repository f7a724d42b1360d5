"""What the trainer tells of the data before it trains: splits side by side, lengths in tokens, and what to do about it."""

import json

import pytest

from app.spec.messages import DataReportMessage, WarningMessage
from tests.trainer.conftest import TEST_FILE, TRAIN_FILE, reviews, write_jsonl


def told(attempt):
    return {message.code: message.message for message in attempt.all_of(WarningMessage)}


def report_of(attempt):
    return json.loads(attempt.all_of(DataReportMessage)[-1].model_dump_json())["data_report"]  # as it is sent


@pytest.fixture
def marked(lab):
    """Validation rows 3 and 5 stand in train as rows 2 and 61, and train row 60 contradicts row 1."""
    train = reviews(59, seed=5)
    validation = reviews(20, seed=6)
    train.append(train[0] | {"label": "good" if train[0]["label"] == "bad" else "bad"})
    train.append(validation[4])
    validation[2] = train[1]
    write_jsonl(lab.files["train"], train)
    write_jsonl(lab.files["validation"], validation)
    lab.train = train
    return lab


def test_an_overlap_and_conflicting_labels_are_found_with_their_rows(marked):
    attempt = marked.run(num_train_epochs=1)
    report = report_of(attempt)
    assert report["overlap"] == {
        "validation": {
            "num_rows": 2, "share": 0.1, "examples": [{"row": 3, "train_row": 2}, {"row": 5, "train_row": 61}],
        }
    }  # fmt: skip
    train = report["splits"]["train"]
    assert (train["num_rows_compared"], train["num_repeated_inputs"]) == (61, 1)
    (conflict,) = train["conflicts"]
    assert (conflict["rows"], conflict["text"]) == ([1, 60], marked.train[0]["text"])
    assert conflict["labels"] == [marked.train[0]["label"], marked.train[59]["label"]]
    warnings = told(attempt)
    assert "rows 3, 5" in warnings["split_overlap"]
    assert "rows 1 (" in warnings["conflicting_labels"]
    assert {"small_dataset", "small_split"} <= warnings.keys()


def test_tokens_are_reported_as_the_model_reads_them(lab):
    attempt = lab.run(num_train_epochs=1, max_length=8)
    rows = [json.loads(line) for line in lab.files["train"].read_text().splitlines()]
    lengths = sorted(len(row["text"].split()) + 2 for row in rows)  # every word is a token, and two are added
    found = report_of(attempt)["splits"]["train"]["tokens"]
    num_cut = sum(length > 8 for length in lengths)
    assert (found["num_inputs"], found["max"], found["num_truncated"]) == (len(rows), 8, num_cut)
    assert found["share_truncated"] == round(num_cut / len(rows), 4)
    assert found["p50"] == min(8, lengths[len(lengths) // 2])
    assert sum(found["histogram"]) == found["histogram"][0] == len(rows)
    assert "raise it" in told(attempt)["truncated"]
    whole = lab.run(num_train_epochs=1, max_length=64)
    assert report_of(whole)["splits"]["train"]["tokens"]["max"] == lengths[-1]
    assert "truncated" not in told(whole)


def test_what_is_set_aside_is_compared_and_counted_by_the_rows_of_its_file(lab):
    rows = reviews(60, seed=7)
    write_jsonl(lab.files["train"], rows + rows)
    del lab.files["validation"]
    attempt = lab.run(spec={"dataset": {"train": TRAIN_FILE, "validation": 0.3}}, num_train_epochs=1)
    report = report_of(attempt)
    validation = report["splits"]["validation"]
    assert (validation["num_rows"], validation["set_aside_from"]) == (36, "train")
    assert sum(validation["label_counts"].values()) == 36
    overlap = report["overlap"]["validation"]
    assert 0 < overlap["num_rows"] <= 36
    for example in overlap["examples"]:
        assert (rows + rows)[example["row"] - 1]["text"] == (rows + rows)[example["train_row"] - 1]["text"]
        assert example["row"] != example["train_row"]
    assert "Remove repeated texts" in told(attempt)["split_overlap"]
    assert report["num_examples"] == {"train": 84, "validation": 36}


def test_a_test_split_is_compared_too(lab):
    lab.files["test"] = write_jsonl(lab.home / "test.jsonl", reviews(50)[:4])
    spec = {"dataset": {"train": TRAIN_FILE, "validation": 0.2, "test": TEST_FILE}}
    del lab.files["validation"]
    attempt = lab.run(spec=spec, num_train_epochs=1)
    assert report_of(attempt)["overlap"]["test"]["num_rows"] >= 3  # one may have been set aside
