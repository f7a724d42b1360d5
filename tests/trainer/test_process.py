"""The trainer as a process that starts cold: how it is stopped, how it dies, and what it leaves."""

import json
import os
import subprocess
import sys

from app.manifest import sha256_of, verify
from app.spec.run import ExitCode
from tests.hub import builders
from tests.trainer.conftest import ROOT

LONG = {
    "num_train_epochs": 400,
    "eval_strategy": "no",
    "save_strategy": "steps",
    "save_steps": 5,
    "save_total_limit": 2,
}


def test_a_run_by_hand_prints_its_messages_and_seals_its_model(lab):
    folder = lab.write(num_train_epochs=1)
    done = subprocess.run(
        [sys.executable, "-m", "worker.trainer", str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    result = messages[-1]
    assert result["type"] == "result"
    assert [m["phase"] for m in messages if m["type"] == "phase"][:4] == [
        "preparing",
        "validating",
        "tokenizing",
        "training",
    ]
    assert verify(folder / "model").sha256 == result["manifest_sha256"]
    assert sha256_of(folder / "model/model.safetensors") == result["weights_sha256"]
    assert {path.name for path in folder.iterdir()} <= {"run.json", "checkpoints", "model", "evaluate", "empty"}


def test_it_dies_with_its_worker(lab, start_trainer):
    trainer = start_trainer(lab.write(**LONG))
    trainer.wait_for("progress")
    os.close(trainer.control)
    assert trainer.process.wait(timeout=5) not in {int(code) for code in ExitCode}
    trainer.control = os.open(os.devnull, os.O_WRONLY)


def test_model_and_data_of_a_hub_are_trained_on(lab, tiny_model, fake_hub, start_trainer):
    """A pair task, named classes, a validation split that is found, and a test split whose labels are hidden."""
    fake_hub.add_model("acme/tiny", tiny_model)
    fake_hub.add_dataset("nyu-mll/glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS)
    spec = {"dataset": {"name": "nyu-mll/glue", "config": "mrpc", "test": "test"}, "metrics": "glue/mrpc"}
    folder = lab.write(spec=spec)
    run = json.loads((folder / "run.json").read_text()) | {"model_path": None, "files": {}}
    (folder / "run.json").write_text(json.dumps(run))
    trainer = start_trainer(folder)
    assert trainer.finish() == 0, (folder / "trainer.log").read_text()
    result = trainer.seen[-1]
    assert result["report"]["labels"] == ["not_equivalent", "equivalent"]
    assert "test" not in result["report"]
    resolved = next(message["spec"] for message in trainer.seen if message["type"] == "resolved")
    assert resolved["dataset"]["validation"] == "validation"
    assert resolved["columns"] == {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    assert {m["code"] for m in trainer.seen if m["type"] == "warning"} >= {"hidden_test_labels", "new_weights"}
    config = json.loads((folder / "model/config.json").read_text())
    assert config["id2label"] == {"0": "not_equivalent", "1": "equivalent"}
