"""What is wrong with a model or a data set, in the user's words; and models that would be served otherwise."""

import json
import os
import shutil

import numpy as np
import pytest
from huggingface_hub import close_session

from app.errors import InvalidData, InvalidModel, InvalidRequest, Unavailable
from app.spec.job import DatasetSpec
from app.spec.run import RunSpec
from tests.hub import builders
from worker.trainer import base_model, hub_data
from worker.trainer.metrics import Metrics
from worker.trainer.publishing import ServingMismatch, refuse_mismatch


def run_for(lab, model="acme/tiny", **changes):
    content = json.loads((lab.write(spec={"model": model}) / "run.json").read_text())
    return RunSpec.model_validate(content | {"model_path": None} | changes)


def copy_of(folder, target):
    shutil.copytree(folder, target)
    return target


def stop(hub):
    """Stop the hub, and with it the connections that this process keeps open."""
    hub.stop()
    close_session()


def refusal_of(call, *arguments):
    with pytest.raises((InvalidModel, InvalidData, InvalidRequest, Unavailable)) as refusal:
        call(*arguments)
    return refusal.value.code


def test_models_that_are_not_there_gated_or_out_of_reach(lab, fake_hub, tiny_model):
    """One test, since huggingface_hub remembers the first hub that a process asks."""
    fake_hub.add_model("acme/tiny", tiny_model)
    fake_hub.add_model("acme/secret", tiny_model, gated_for="hf_other")
    base_model.find(run_for(lab, "acme/tiny"))
    assert refusal_of(base_model.find, run_for(lab, "acme/none")) == "model_not_found"
    assert refusal_of(base_model.find, run_for(lab, "acme/secret")) == "model_gated"
    stop(fake_hub)
    assert refusal_of(base_model.find, run_for(lab, "acme/other")) == "hub_unreachable"
    cached = base_model.find(run_for(lab, "acme/tiny"))
    assert (cached.config.hidden_size, cached.local_only) == (32, True)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no-such-type"},
        {"model_type": "bert", "hidden_size": 0},
        {"model_type": "no-such-type", "auto_map": {"AutoConfig": "evil.Config"}},
        {"model_type": "vit"},
    ],
    ids=["unknown type", "impossible", "code of its own", "no text model"],
)
def test_models_that_are_no_text_classifiers(lab, tmp_path, tiny_model, config):
    folder = copy_of(tiny_model, tmp_path / "other")
    (folder / "config.json").write_text(json.dumps(config))
    canary = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    lab.model = folder
    with pytest.raises(InvalidModel) as refusal:
        lab.run()
    assert refusal.value.code == "model_unsupported"
    assert not canary.exists()


def test_a_model_that_brings_code_for_a_known_type_is_trained_without_it(lab, tmp_path, tiny_model):
    folder = copy_of(tiny_model, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    canary = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    lab.model = folder
    attempt = lab.run(num_train_epochs=1)
    assert "auto_map" not in json.loads((attempt.folder / "model/config.json").read_text())
    assert not canary.exists()


def test_weights_of_another_model_are_not_trained_on(lab, tmp_path, tiny_model):
    from safetensors.numpy import save_file

    folder = copy_of(tiny_model, tmp_path / "other")
    save_file({"something.weight": np.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    lab.model = folder
    with pytest.raises(InvalidModel, match="do not fit"):
        lab.run()


def test_an_input_longer_than_the_model_can_is_refused(lab):
    with pytest.raises(InvalidRequest) as refusal:
        lab.run(max_length=65)
    assert refusal.value.param == "training.max_length"


def test_data_sets_that_are_not_there_or_have_no_such_part(fake_hub, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", os.environ["HF_ENDPOINT"])
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    fake_hub.add_dataset("nyu-mll/glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS)

    def load(**spec):
        return hub_data.load_splits(DatasetSpec(**spec))

    assert refusal_of(lambda: load(name="acme/none")) == "dataset_not_found"
    assert refusal_of(lambda: load(name="nyu-mll/glue", config="none")) == "dataset_unsupported"
    assert refusal_of(lambda: load(name="nyu-mll/glue", config="mrpc", train="no_such")) == "split_not_found"
    splits, spec = load(name="nyu-mll/glue", config="mrpc", train="train[:10]")
    assert {name: len(split) for name, split in splits.items()} == {"train": 10, "validation": 12}
    assert spec.validation == "validation"
    assert hub_data.class_names_of(splits["train"]) == {"label": builders.NAMES}


@pytest.fixture
def accuracy(tmp_path):
    return Metrics(["accuracy"], num_labels=2, cache_dir=tmp_path)


def test_a_model_that_is_served_otherwise_is_not_published(accuracy):
    trained = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    labels = np.array([1, 0])
    refuse_mismatch(trained + 0.1, trained, labels, metrics=accuracy, precision="float32")
    with pytest.raises(ServingMismatch, match="example 2"):
        refuse_mismatch(trained[[0, 0]], trained, labels, metrics=accuracy, precision="float32")


def test_near_ties_may_fall_either_way(accuracy):
    trained = np.array([[0.0, 1e-4], [1.0, 0.0]], dtype=np.float32)
    served, labels = trained * np.float32(-1), np.array([1, 1])
    served[1] = trained[1]
    refuse_mismatch(served, trained, labels, metrics=accuracy, precision="bfloat16")
    with pytest.raises(ServingMismatch):
        refuse_mismatch(served, trained, labels, metrics=accuracy, precision="float32")
