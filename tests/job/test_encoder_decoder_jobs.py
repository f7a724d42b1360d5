"""``POST /jobs`` knows what a model is: an encoder-decoder makes prompts with answers its own task, and others are refused."""

import json

import pytest

from app.spec import recipe
from tests.hub.builders import bert_folder, safetensors
from tests.hub.fixtures import fake_hub

__all__ = ["fake_hub"]

ROWS = [{"prompt": f"a question {n}", "completion": f"an answer {n}"} for n in range(20)]
T5 = {
    "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True, "d_model": 512,
    "num_layers": 1, "num_heads": 1, "vocab_size": 20, "decoder_start_token_id": 0, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture
def encoder_decoder(tmp_path):
    """The files of a T5 as far as the API looks at them."""
    folder = bert_folder(tmp_path / "t5")
    (folder / "config.json").write_text(json.dumps(T5))
    (folder / "model.safetensors").write_bytes(safetensors({"shared.weight": [20, 512]}))
    return folder


@pytest.fixture
def submit(client, encoder_decoder, tmp_path):
    """Checks a job without storing it; models ``t5``, ``bert`` and ``decoder``, which looks back only, are there."""
    decoder = bert_folder(tmp_path / "decoder")
    config = json.loads((decoder / "config.json").read_text()) | {"is_decoder": True}
    (decoder / "config.json").write_text(json.dumps(config))
    for name, folder in (("t5", encoder_decoder), ("bert", bert_folder(tmp_path / "bert")), ("decoder", decoder)):
        parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        assert client.post("/models", data={"name": name}, files=parts).status_code == 201

    def post(rows=ROWS, **spec):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file_id = client.post("/files", files={"file": ("data.jsonl", content)}).json()["id"]
        body = {"model": "t5", "dataset": {"train": file_id}} | spec
        return client.post("/jobs", params={"validate_only": True}, json=body)

    return post


def test_the_task_of_an_encoder_decoder_is_found_and_the_rest_chosen(submit):
    answer = submit(metrics="rouge")
    assert answer.status_code == 200, answer.text
    spec = answer.json()["spec"]
    assert (spec["task"], spec["problem_type"], spec["prompt_format"]) == (
        "text2text-generation",
        "sequence_to_sequence",
        None,
    )
    assert spec["columns"] == {"text": "prompt", "text_pair": None, "label": "completion"}
    assert spec["training"]["learning_rate"] == recipe.LEARNING_RATE_OF_T5
    assert (spec["metrics"], spec["training"]["metric_for_best_model"]) == ("rouge", "loss")
    assert "label_counts" not in answer.json()["data_report"]["splits"]["train"]
    chosen = submit(adapter={"r": 4}).json()["spec"]
    assert chosen["training"]["learning_rate"] == recipe.LEARNING_RATE_OF_T5_ADAPTERS
    assert chosen["metrics"] == ["perplexity", "accuracy"]


@pytest.mark.parametrize(
    ("spec", "param", "code"),
    [
        ({"task": "text-generation"}, "model", "model_unsupported"),
        ({"problem_type": "language_modeling"}, "model", "model_unsupported"),
        ({"model": "bert", "task": "text2text-generation"}, "model", "model_unsupported"),
        ({"dataset": {"name": "org/data"}, "model": "bert", "task": "text2text-generation"}, "model", "model_unsupported"),
        ({"prompt_format": "chat"}, "prompt_format", "setting_does_not_fit"),
        ({"metrics": ["f1"]}, "metrics", "metric_does_not_fit"),
        ({"label_names": ["no", "yes"]}, "label_names", "setting_does_not_fit"),
        ({"columns": {"label": None}}, "columns.label", "missing_column"),
        ({"model": "decoder", "metrics": ["rougeL"], "columns": {"text": "prompt", "label": None}}, "metrics",
         "metric_does_not_fit"),
        ({"model": "decoder", "training": {"max_target_length": 9}}, "training.max_target_length", "setting_does_not_fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_refused_at_once(submit, spec, param, code):
    answer = submit(**spec)
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert (body["error"]["param"], body["error"]["code"]) == (param, code)


def test_rows_of_classes_and_chats_are_refused_for_an_encoder_decoder(submit):
    for rows in (
        [{"text": f"t{n}", "label": n % 2} for n in range(9)],
        [{"messages": [{"role": "user", "content": "a"}]}] * 3,
    ):
        body = submit(rows=rows).json()
        assert "text2text-generation" in body["error"]["message"]


@pytest.mark.parametrize("is_there", [True, False])
def test_prompts_for_a_model_that_nobody_can_look_at_wait_for_the_trainer(client, fake_hub, encoder_decoder, is_there):
    """While the hub is silent nobody knows which of the two tasks it is."""
    fake_hub.add_model("org/t5", encoder_decoder)
    if not is_there:
        fake_hub.stop()
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    file_id = client.post("/files", files={"file": ("data.jsonl", content)}).json()["id"]

    def chosen(**more):
        body = {"model": "org/t5", "dataset": {"train": file_id}} | more
        return client.post("/jobs", params={"validate_only": True}, json=body).json()["spec"]

    assert chosen()["task"] == ("text2text-generation" if is_there else "auto")
    if not is_there:
        assert chosen()["columns"] == {"text": "auto", "text_pair": "auto", "label": "auto"}
        assert chosen(task="text2text-generation")["columns"]["label"] == "completion"
        assert chosen(task="text-generation")["task"] == "text-generation"
