"""A finished model as ONNX, through HTTP alone: it runs without torch and answers as ``POST /predict`` does."""

import io
import json
import zipfile

import numpy as np
import onnxruntime
import pytest
from transformers import AutoTokenizer

from tests.road.finished import build
from tests.road.tiny import pairs

pytestmark = pytest.mark.xdist_group("road")

QUESTION = {"question": "the cat", "context": "the dog ran under a tree"}


def export(service, model, **body):
    return service.http.post(f"/models/{model}/export", json={"format": "onnx", **body})


@pytest.fixture(scope="module")
def attached(service):
    """Id of the model of a job that trained an adapter on pairs, which is served on its base."""
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 16, "learning_rate": 2e-2}
    data = {"train": service.upload(pairs(120, seed=6)), "validation": 0.25}
    adapter = {"type": "lora", "r": 4, "merge": False}
    job = service.wait(service.submit(model="tiny-bert", dataset=data, adapter=adapter, training=training))
    return job["model"]["id"]


@pytest.fixture(scope="module")
def exported(service, attached, tmp_path_factory):
    """By model: the job, once it has succeeded, and the folder with what is in its one file."""
    folder = tmp_path_factory.mktemp("exports")
    models = {"pairs": attached}
    for task in ("tags", "answer"):
        service.register(f"export-{task}", build(task, folder / "models" / task))
        models[task] = f"export-{task}"
    answers = {name: export(service, model, metadata={"for": name}) for name, model in models.items()}
    found = {}
    for name, answer in answers.items():
        assert answer.status_code == 201, answer.text
        job = service.wait(answer.json()["id"])
        assert job["status"] == "succeeded", (job["error"], service.logs(job["id"]))
        (file_id,) = job["result_files"]
        content = service.http.get(f"/files/{file_id}/content").raise_for_status()
        assert content.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
            assert archive.testzip() is None
            archive.extractall(folder / name)
        found[name] = job, folder / name
    return found


def run_as_the_readme_says(folder, *texts):
    """The code of the file, with other texts and from another folder."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    before, _, behind = code.partition("batch = tokenizer(")
    given = ", ".join(json.dumps(part) for part in texts)
    code = f"{before}batch = tokenizer({given}, {behind[behind.index('padding=') :]}"
    code = code.replace('("."', f"({str(folder)!r}").replace('"model.onnx"', repr(str(folder / "model.onnx")))
    names = {}
    exec(code, names)
    return names["logits"]


@pytest.mark.parametrize("name", ["pairs", "tags", "answer"])
def test_the_file_holds_what_is_needed_and_the_job_how_near_it_comes(service, exported, name):
    job, folder = exported[name]
    assert (job["kind"], job["metadata"], job["spec"]["format"]) == ("export", {"for": name}, "onnx")
    report = job["report"]
    assert 0 < report["largest_difference"] < report["tolerance"] == 1e-3
    assert report["num_compared"] == job["progress"]["step"] > 10
    assert max(report["num_tokens"]) > 2 * min(report["num_tokens"])
    names = {path.name for path in folder.iterdir()}
    assert {"model.onnx", "tokenizer.json", "config.json", "tunery.json", "README.md"} <= names
    assert not [name for name in names if name.endswith(".safetensors")]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert {tuple(each.shape) for each in session.get_inputs()} == {("batch", "sequence")}
    file = service.http.get(f"/files/{job['result_files'][0]}").json()
    assert (file["purpose"], file["format"], file["num_rows"], file["profile"]) == ("export", "zip", None, None)
    assert file["filename"].endswith("-onnx.zip")


def test_an_attached_adapter_is_exported_merged_and_answers_as_it_is_served(service, attached, exported):
    _, folder = exported["pairs"]
    spec = json.loads((folder / "tunery.json").read_text())
    assert spec["base"] is None
    rows = pairs(9, seed=4)
    logits = run_as_the_readme_says(folder, [row["sentence1"] for row in rows], [row["sentence2"] for row in rows])
    inputs = [{"text": row["sentence1"], "text_pair": row["sentence2"]} for row in rows]
    body = {"model": attached, "inputs": inputs, "parameters": {"function_to_apply": "none"}}
    for found, scores in zip(logits, service.http.post("/predict", json=body).json()["predictions"], strict=True):
        served = {item["label"]: item["score"] for item in scores}
        assert found == pytest.approx([served[label] for label in spec["labels"]], abs=1e-3)


def test_answers_are_found_in_the_logits_of_an_export(service, exported):
    _, folder = exported["answer"]
    start, end = run_as_the_readme_says(folder, [QUESTION["question"]], [QUESTION["context"]])[0].T
    encoding = AutoTokenizer.from_pretrained(folder)(QUESTION["question"], QUESTION["context"])
    context = [place for place, part in enumerate(encoding.sequence_ids()) if part == 1]
    _, first, last = max((start[a] + end[b], a, b) for a in context for b in context if a <= b)
    text = QUESTION["context"][encoding.token_to_chars(first).start : encoding.token_to_chars(last).end]
    answer = service.http.post("/predict", json={"model": "export-answer", "inputs": QUESTION}).json()
    assert answer["predictions"][0][0]["answer"] == text


def test_tags_are_found_in_the_logits_of_an_export(service, exported):
    _, folder = exported["tags"]
    words = ["the", "cat", "sat", "on", "a", "red", "mat"]
    labels = json.loads((folder / "tunery.json").read_text())["labels"]
    logits = run_as_the_readme_says(folder, [" ".join(words)])[0]
    tags = [labels[number] for number in np.argmax(logits, axis=1)][1:-1]
    body = {"model": "export-tags", "inputs": {"tokens": words}}
    (entities,) = service.http.post("/predict", json=body).json()["predictions"]
    within = {word for item in entities for word in item["word"].split()}
    assert within == {word for word, tag in zip(words, tags, strict=True) if tag != "O"}


def test_what_cannot_be_exported_is_refused_at_once(service, exported, tmp_path):
    service.register("export-text", build("text", tmp_path / "text"))
    for model, body, code in (
        ("export-text", {}, "export_not_supported"),
        ("tiny-bert", {}, "model_not_servable"),
        ("nobody/knows-it", {}, "model_not_found"),
        ("tiny-bert", {"format": "tensorrt"}, "invalid_value"),
        ("tiny-bert", {"resources": {"nodes": 2}}, "unknown_parameter"),
    ):
        answer = export(service, model, **body)
        assert (answer.status_code // 100, answer.json()["error"]["code"]) == (4, code)
    job, _ = exported["tags"]
    body = {"model": "export-tags", "file": job["result_files"][0]}
    assert service.http.post("/predict/batch", json=body).json()["error"]["code"] == "not_a_data_file"
