"""The README of a finished model: complete, harmless whatever users write, and the same when it is made again."""

import json

import pytest
from huggingface_hub import ModelCard, metadata_load

from app.manifest import add_file, committed_folder, read_manifest, verify
from tests.trainer.conftest import TRAIN_FILE, reviews, write_jsonl
from worker.trainer.model_card import plain

EVIL = 'a|b*c*<img src=x onerror="x()">[link](javascript:x)`code`\n# head\n---\nlicense: mit'


@pytest.fixture
def card_of():
    def read(attempt):
        folder = attempt.folder / "model"
        verify(folder)
        return folder / "README.md"

    return read


def test_the_card_tells_data_training_and_results(lab, card_of):
    lab.files["test"] = write_jsonl(lab.home / "test.jsonl", reviews(30, seed=2))
    attempt = lab.run(spec={"model": "acme/tiny", "suffix": "films"}, class_weights="balanced")
    path = card_of(attempt)
    text, front = path.read_text(), metadata_load(path)
    assert {name: front[name] for name in ("base_model", "library_name", "pipeline_tag")} == {
        "base_model": "acme/tiny", "library_name": "transformers", "pipeline_tag": "text-classification",
    }  # fmt: skip
    ModelCard.load(path).validate  # noqa: B018 - it parses
    (index,) = front["model-index"]
    found = {
        (result["dataset"]["split"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    result = attempt.result
    assert found["validation", "accuracy"] == pytest.approx(result.metrics["eval/accuracy"], abs=1e-6)
    assert found["test", "f1"] == pytest.approx(result.metrics["test/f1"], abs=1e-6)
    assert f"| accuracy | {result.metrics['eval/accuracy']:.4f} | {result.metrics['test/accuracy']:.4f} |" in text
    for row in result.report["test"]["per_class"]:
        assert (
            f"| {row['label']} | {row['support']} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} |"
            in text
        )
    rows = [json.loads(line) for line in lab.files["train"].read_text().splitlines()]
    good = sum(row["label"] == "good" for row in rows)
    assert f"| good | {good / len(rows):.1%} | {good} |" in text
    assert "| `class\\_weights` |" not in text
    assert "| `class_weights` | balanced |" in text
    assert '"model": "ft:acme/tiny:tunery:films:1"' in text
    assert "only 50 rows" in text  # what was noticed of the data is a limitation
    assert "There was no test split" not in text


def test_the_code_of_the_card_gives_what_the_service_gives(lab, card_of):
    path = card_of(lab.run(num_train_epochs=1))
    code = path.read_text().split("```python\n")[1].split("```")[0].replace("FOLDER", str(path.parent))
    known = {}
    exec(code.replace('"A text"', '"the film was fine"'), known)
    assert {item["label"] for item in known["answer"]} == {"good", "bad"}
    assert sum(item["score"] for item in known["answer"]) == pytest.approx(1)


def test_names_of_users_mean_nothing_in_markdown_or_yaml(lab, card_of):
    rows = [row | {EVIL[:60]: row["text"]} for row in reviews(60)]
    for row in rows:
        del row["text"]
        row["label"] = EVIL if row["label"] == "bad" else "good"
    lab.files = {"train": write_jsonl(lab.home / "evil.jsonl", rows)}
    attempt = lab.run(spec={"dataset": {"train": TRAIN_FILE, "validation": 0.3}}, num_train_epochs=1)
    path = card_of(attempt)
    text, front = path.read_text(), metadata_load(path)
    assert front.get("license") is None
    body = text.split("---\n", 2)[2]
    assert plain(EVIL) in body
    for raw in ("<img", "[link](", "`code`", "\n# head", "a|b"):
        assert raw not in body
    tables = [line for line in body.splitlines() if line.startswith("| ") and plain(EVIL) in line]
    assert [line.replace("\\|", "").count("|") for line in tables] == [5, 6]  # labels by split, scores by class


def test_what_the_base_says_of_its_license_is_kept_and_broken_cards_are_left_aside(lab, card_of):
    (lab.model / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en, de]\ntags: [secret]\n---\n# Base\n")
    try:
        front = metadata_load(card_of(lab.run(num_train_epochs=1)))
        assert (front["license"], front["language"], "secret" in front["tags"]) == ("apache-2.0", ["en", "de"], False)
        (lab.model / "README.md").write_text("---\nlicense: [a: {\n---\n")
        assert "license" not in metadata_load(card_of(lab.run(num_train_epochs=1)))
    finally:
        (lab.model / "README.md").unlink()


def test_a_card_that_is_made_again_has_the_same_bytes(lab, card_of):
    folder = lab.write(num_train_epochs=1)
    first = card_of(lab.run_folder(folder)).read_bytes()
    sealed = read_manifest(folder / "model").sha256
    again = lab.run_folder(folder)
    assert card_of(again).read_bytes() == first
    assert read_manifest(folder / "model").sha256 == sealed == again.result.manifest_sha256


def test_a_file_is_added_to_a_committed_folder(tmp_path):
    with committed_folder(tmp_path / "folder", about={"step": 1}) as folder:
        (folder / "b.txt").write_text("b")
    before = read_manifest(tmp_path / "folder")
    after = add_file(tmp_path / "folder", "a.txt", b"a")
    assert verify(tmp_path / "folder") == after
    assert (list(after.files), after.about) == (["a.txt", "b.txt"], {"step": 1})
    assert after.sha256 != before.sha256
    with pytest.raises(FileExistsError):
        add_file(tmp_path / "folder", "a.txt", b"c")
    assert verify(tmp_path / "folder") == after
