"""Row I3 of the fault matrix at submission: the hub's definite answers refuse a job, its silence does not."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.config import get_settings
from app.errors import InvalidData, InvalidModel
from app.model import hub
from app.model.service import check_hub_dataset, resolve_reference
from tests.hub.builders import BERT_CONFIG, GLUE_CONFIGS, bert_folder, glue_files
from tests.hub.fixtures import hub_environment
from tests.hub.server import FakeHub

pytestmark = pytest.mark.usefixtures("sqlite_home")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return bert_folder(tmp_path / "bert")


def refused_model(name: str, *, revision: str | None = None) -> InvalidModel:
    with pytest.raises(InvalidModel) as caught:
        resolve_reference(name, revision=revision)
    return caught.value


def refused_dataset(name: str, config: str | None = None, revision: str | None = None) -> InvalidData:
    with pytest.raises(InvalidData) as caught:
        check_hub_dataset(name, config, revision)
    return caught.value


def test_a_model_is_known_by_its_config_and_pinned_to_its_commit(fake_hub: FakeHub, bert: Path):
    repository = fake_hub.add_model("org/bert", bert)
    reference = resolve_reference("org/bert", revision=None)
    assert (reference.kind, reference.folder, reference.revision) == ("hub", None, repository.commit)
    assert reference.info is not None
    assert (reference.info.hidden_size, reference.info.max_length) == (16, 64)
    assert not any("safetensors" in line for line in fake_hub.requests)


def test_each_definite_answer_has_its_code(fake_hub: FakeHub, bert: Path):
    fake_hub.add_model("org/bert", bert)
    fake_hub.add_model("org/gated", bert, gated_for="hf_right")
    (bert / "config.json").write_text(json.dumps({"model_type": "vit"}))
    fake_hub.add_model("org/vit", bert)
    (bert / "config.json").write_text(json.dumps(BERT_CONFIG | {"auto_map": {"AutoModel": "m.Evil"}}))
    fake_hub.add_model("org/evil", bert)
    (bert / "model.safetensors").rename(bert / "pytorch_model.bin")
    fake_hub.add_model("org/pickled", bert)

    assert (refused_model("org/none").code, refused_model("org/none").param) == ("model_not_found", "model")
    assert refused_model("org/bert", revision="v9").code == "model_revision_not_found"
    assert refused_model("org/gated").code == "model_gated"
    assert refused_model("org/vit").code == "model_unsupported"
    assert refused_model("org/vit").param == refused_model("org/pickled").param == "model"
    assert refused_model("org/evil").code == "model_has_remote_code"
    assert refused_model("org/pickled").code == "model_not_safetensors"
    assert refused_model("ft:org/bert:tunery:x:0123").code == "model_not_found"


def test_a_gated_model_can_be_used_with_the_right_token(fake_hub: FakeHub, bert: Path, monkeypatch: pytest.MonkeyPatch):
    fake_hub.add_model("org/gated", bert, gated_for="hf_right")
    fake_hub.add_dataset("org/secret", files={"train.csv": b"text,label\na,0\n"}, gated_for="hf_right")
    assert refused_dataset("org/secret").code == "dataset_gated"
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert resolve_reference("org/gated", revision=None).info is not None
    check_hub_dataset("org/secret", None, None)


def test_an_unreachable_hub_refuses_nothing(fake_hub: FakeHub):
    fake_hub.stop()
    assert resolve_reference("org/bert", revision="main").info is None
    check_hub_dataset("nyu-mll/glue", "mrpc", None)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_hub_with_an_error_of_its_own_refuses_nothing(fake_hub: FakeHub, status: int):
    fake_hub.failure = status
    assert resolve_reference("org/bert", revision=None).info is None
    check_hub_dataset("nyu-mll/glue", "mrpc", None)


def test_a_slow_hub_is_given_up_on(fake_hub: FakeHub, bert: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNERY_HUB_TIMEOUT_SECONDS", "0.5")
    get_settings.cache_clear()
    fake_hub.add_model("org/bert", bert)
    fake_hub.delay_seconds = 0.3
    started = time.monotonic()
    assert resolve_reference("org/bert", revision=None).info is None
    assert time.monotonic() - started < 1.5


def test_a_cached_model_is_known_while_the_hub_is_away(fake_hub: FakeHub, bert: Path):
    fake_hub.add_model("org/bert", bert)
    download = "from huggingface_hub import snapshot_download; snapshot_download('org/bert')"
    subprocess.run([sys.executable, "-c", download], env=hub_environment(), check=True, timeout=60)
    fake_hub.stop()
    reference = resolve_reference("org/bert", revision=None)
    assert reference.info is not None
    assert reference.info.hidden_size == 16


def test_offline_mode_asks_nobody(fake_hub: FakeHub, bert: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    fake_hub.add_model("org/bert", bert)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.inspect_model("org/bert", revision=None) is None
    assert fake_hub.requests == []


def test_data_sets_are_checked_by_name_configuration_and_revision(fake_hub: FakeHub):
    repository = fake_hub.add_dataset("nyu-mll/glue", files=glue_files(), configs=GLUE_CONFIGS)
    assert check_hub_dataset("nyu-mll/glue", "mrpc", None) == repository.commit
    assert check_hub_dataset("nyu-mll/glue", "mrpc", repository.commit) == repository.commit
    assert refused_dataset("nyu-mll/none").code == "dataset_not_found"
    assert refused_dataset("nyu-mll/glue", "mrpc", "v9").code == "dataset_revision_not_found"
    unknown = refused_dataset("nyu-mll/glue", "mrcp")
    assert (unknown.code, unknown.param) == ("dataset_config_not_found", "dataset.config")
    assert "mrpc" in (unknown.hint or "")
    assert refused_dataset("nyu-mll/glue").code == "dataset_config_missing"


def test_a_data_set_without_configurations_needs_none(fake_hub: FakeHub):
    fake_hub.add_dataset("org/plain", files={"train.csv": b"text,label\na,0\n"})
    check_hub_dataset("org/plain", None, None)
