"""``POST /jobs`` knows which models there is a head of the task for, and refuses the others with what to take instead."""

import json

import pytest

from tests.hub.builders import bert_folder, safetensors

QUESTIONS = [
    {"question": f"who {n}", "context": f"ada {n} sat", "answers": {"text": ["ada"], "answer_start": [0]}}
    for n in range(20)
]
TAGGED = [{"tokens": ["ada", "sat"], "tags": ["B-PER", "O"]}] * 20
TEXTS = [{"text": f"a text {n}"} for n in range(20)]
ANSWERED = [{"prompt": f"a question {n}", "completion": f"an answer {n}"} for n in range(20)]


@pytest.fixture
def submit(client, tmp_path):
    def post(rows, model_type, architecture, *, is_decoder=False, **spec):
        folder = bert_folder(tmp_path / model_type)
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": model_type, "architectures": [architecture], "is_decoder": is_decoder}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(safetensors({"weight": [20, 16]}))
        parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        assert client.post("/models", data={"name": "given"}, files=parts).status_code == 201
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        file_id = client.post("/files", files={"file": ("data.jsonl", content)}).json()["id"]
        body = {"model": "given", "dataset": {"train": file_id}} | spec
        return client.post("/jobs", params={"validate_only": True}, json=body)

    return post


@pytest.mark.parametrize(
    ("rows", "model_type", "architecture", "spec", "instead"),
    [
        (QUESTIONS, "qwen3", "Qwen3ForCausalLM", {}, "encoder such as BERT"),
        (QUESTIONS, "llama", "LlamaForSequenceClassification", {}, "encoder such as BERT"),
        (QUESTIONS, "gemma2", "Gemma2ForCausalLM", {"task": "question-answering"}, "encoder such as BERT"),
        (QUESTIONS, "nomic_bert", "NomicBertModel", {}, "encoder such as BERT"),
        (TAGGED, "olmo2", "Olmo2ForCausalLM", {}, "encoder such as BERT"),
        (TEXTS, "distilbert", "DistilBertModel", {"task": "text-generation"}, "decoder such as Qwen3"),
        (TEXTS, "bert", "BertForMaskedLM", {"task": "text-generation"}, "decoder such as Qwen3"),
        (ANSWERED, "xlm-roberta", "XLMRobertaModel", {}, "decoder such as Qwen3"),
    ],
)
def test_a_model_without_a_head_of_the_task_is_refused(submit, rows, model_type, architecture, spec, instead):
    answer = submit(rows, model_type, architecture, **spec)
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert (body["error"]["code"], body["error"]["param"]) == ("model_unsupported", "model")
    assert model_type in body["detail"]
    assert instead in body["hint"]


@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [("gpt2", "GPT2LMHeadModel"), ("mistral", "MistralForCausalLM"), ("llama", "LlamaModel"), ("modernbert", "ModernBertForMaskedLM")],
)  # fmt: skip
def test_one_with_such_a_head_is_taken(submit, model_type, architecture):
    answer = submit(QUESTIONS, model_type, architecture)
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["task"] == "question-answering"


def test_a_bert_that_looks_back_only_may_learn_to_write(submit):
    answer = submit(ANSWERED, "bert", "BertLMHeadModel", is_decoder=True)
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["task"] == "text-generation"
