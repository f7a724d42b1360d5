"""An encoder-decoder through HTTP alone: upload, submit, watch what it writes, ask."""

import pytest

from tests.encoder_decoder import WORDS, build_encoder_decoder

pytestmark = pytest.mark.xdist_group("road")


def test_answers_are_learned_and_given(service, tmp_path):
    service.register("tiny-t5", build_encoder_decoder(tmp_path / "tiny-t5", "t5", dropout_rate=0.0))
    rows = [{"document": f"turn {a} {b}", "summary": f"{b} {a}"} for a in WORDS[:4] for b in WORDS[:4]]
    job_id = service.submit(
        model="tiny-t5",
        dataset={"train": service.upload(rows * 4), "validation": service.upload(rows[:10])},
        metrics=["exact_match", "rougeL"],
        training={
            "num_train_epochs": 25, "learning_rate": 5e-3, "per_device_train_batch_size": 8, "weight_decay": 0.0,
            "eval_strategy": "steps", "eval_steps": 100,
        },
    )  # fmt: skip
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    assert job["spec"]["task"] == "text2text-generation"
    assert job["spec"]["training"]["max_target_length"] == 8
    best = job["metrics"]["best"]
    assert best["eval/exact_match"] >= 0.9
    body = {
        "model": job["id"],
        "inputs": [row["document"] for row in rows[:10]],
        "parameters": {"max_new_tokens": 5},
    }
    found = service.http.post("/predict", json=body).raise_for_status().json()["predictions"]
    right = [item["generated_text"] == row["summary"] for (item,), row in zip(found, rows, strict=False)]
    assert sum(right) / len(right) == pytest.approx(best["eval/exact_match"])
    assert {item["finish_reason"] for (item,) in found} == {"stop"}
    (drawn,) = service.http.post(
        "/predict",
        json={"model": job["id"], "inputs": {"text": "turn one", "text_pair": "two"},
              "parameters": {"do_sample": True, "seed": 3, "temperature": 0.1, "max_new_tokens": 1}},
    ).json()["predictions"]  # fmt: skip
    assert (drawn[0]["finish_reason"], drawn[0]["num_tokens"]) == ("length", 1)
    chat = {"model": job["id"], "inputs": {"messages": [{"role": "user", "content": "one"}]}}
    refused = service.http.post("/predict", json=chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_input")
    for parameters in ({"threshold": 0.5}, {"function_to_apply": "softmax"}):
        refused = service.http.post("/predict", json=body | {"parameters": parameters})
        assert refused.status_code == 422, parameters
    assert service.http.get(f"/models/{job['model']['id']}").json()["task"] == "text2text-generation"
