"""What is wrong with a model or a data set, in the user's words; and models that would be served otherwise."""

import json
import os
import shutil

import numpy as np
import pytest
from huggingface_hub import close_session

from app.errors import InvalidData, InvalidModel, InvalidRequest, Unavailable
from app.spec.job import DatasetSpec
from app.spec.metrics import METRICS
from app.spec.run import RunSpec
from tests.hub import builders
from tests.trainer.conftest import task_for
from worker.trainer import base_model, hub_data
from worker.trainer.data import Examples
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
def check(tmp_path):
    """Compares served and trained logits of a kind of problem, by its first metric."""

    def compare(problem_type, served, trained, labels, *, precision="float32", metric=None):
        names = [metric or METRICS[problem_type][0]]
        width = trained.shape[1]
        metrics = Metrics(names, problem_type=problem_type, num_labels=width, cache_dir=tmp_path)
        task = task_for(problem_type, num_outputs=width)
        examples = Examples(texts=[""] * len(labels), pairs=None, labels=labels)
        refuse_mismatch(served, trained, examples, task=task, metrics=metrics, precision=precision)

    return compare


SINGLE, MULTI, NUMBER, *_ = METRICS


def test_a_model_that_is_served_otherwise_is_not_published(check):
    trained = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    labels = np.array([1, 0])
    check(SINGLE, trained + 0.1, trained, labels)
    with pytest.raises(ServingMismatch, match="example 2"):
        check(SINGLE, trained[[0, 0]], trained, labels)


def test_near_ties_may_fall_either_way(check):
    trained = np.array([[0.0, 1e-4], [1.0, 0.0]], dtype=np.float32)
    served, labels = trained * np.float32(-1), np.array([1, 1])
    served[1] = trained[1]
    check(SINGLE, served, trained, labels, precision="bfloat16")
    with pytest.raises(ServingMismatch):
        check(SINGLE, served, trained, labels)


def test_of_several_labels_each_may_fall_either_way_near_the_threshold(check):
    trained = np.array([[2.0, 1e-4, -2.0], [1.0, 1.0, -1.0]], dtype=np.float32)
    served, labels = trained.copy(), np.array([[1, 1, 0], [1, 1, 1]], dtype=np.uint8)
    served[0, 1] *= -1
    check(MULTI, served, trained, labels, precision="bfloat16")
    with pytest.raises(ServingMismatch, match="example 1"):
        check(MULTI, served, trained, labels)
    served[1, 2] = 1.0
    with pytest.raises(ServingMismatch, match="example 2"):
        check(MULTI, served, trained, labels, precision="bfloat16")


def test_numbers_may_differ_by_rounding_and_no_more(check):
    trained = np.array([[0.5], [200.0]], dtype=np.float32)
    labels = np.array([0.0, 190.0], dtype=np.float32)
    check(NUMBER, trained * np.float32(1 + 1e-6), trained, labels, metric="mse")
    with pytest.raises(ServingMismatch, match="example 1"):
        check(NUMBER, trained + np.float32(0.001), trained, labels)
    with pytest.raises(ServingMismatch, match="example 2"):
        check(NUMBER, np.array([[0.5], [np.nan]], dtype=np.float32), trained, labels)
