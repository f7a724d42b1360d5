"""An export that answers otherwise than what is served is not published."""

import pytest
import torch

from app.errors import InvalidModel, InvalidRequest
from app.manifest import read_manifest
from app.spec.run import ServedFolder
from tests.predictor.tiny_models import make_model
from worker.export import graph
from worker.export.comparison import compare, num_compared, sample_inputs
from worker.predictor.engine import LoadedModel
from worker.predictor.published import load_published_parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny", precision="bfloat16").folder
    served = ServedFolder(id="tiny", path=str(folder), manifest_sha256=read_manifest(folder).sha256)
    return load_published_parts(served, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def exported(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    inputs = graph.inputs_of(parts.model, parts.tokenizer)
    graph.write_graph(parts.model, folder, inputs=inputs, max_length=parts.spec.max_length)
    return folder / graph.MODEL_FILE


@pytest.fixture
def engine(parts):
    return LoadedModel(
        spec=parts.spec, tokenizer=parts.tokenizer, model=parts.model, device=parts.device, attachment=None
    )


def compared(engine, parts, exported):
    inputs = sample_inputs(engine, parts.tokenizer)
    done = []
    found = compare(engine, exported, inputs, pad_id=0, on_compared=done.append)
    assert done[-1] == found.num_compared == num_compared(inputs)
    return found


def test_a_model_that_is_served_in_bfloat16_is_compared_in_float32(engine, parts, exported):
    found = compared(engine, parts, exported)
    assert 0 < found.largest_difference < 1e-4
    assert max(found.num_tokens) == parts.spec.max_length


def test_one_weight_that_differs_is_found_and_told(engine, parts, exported):
    weight = parts.model.classifier.weight
    with torch.no_grad():
        weight[0, 0] += 0.1
    try:
        with pytest.raises(InvalidModel, match="tokens in a batch of 1") as error:
            compared(engine, parts, exported)
    finally:
        with torch.no_grad():
            weight[0, 0] -= 0.1
    assert error.value.code == "export_differs"


def test_a_worker_without_the_packages_says_what_to_install(monkeypatch):
    graph.require_packages()
    monkeypatch.setattr(graph, "PACKAGES", ("onnx", "a_package_that_is_not_there"))
    with pytest.raises(InvalidRequest, match="a_package_that_is_not_there") as error:
        graph.require_packages()
    assert (error.value.code, "tunery[onnx]" in error.value.hint) == ("onnx_not_installed", True)
