"""``fake_hub``: import it into a conftest to have a Hub of your own. Nothing of the real Hub's settings stays in force."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.server import FakeHub

HUB_VARIABLES = ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE")


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A running, empty hub that this process asks, and its children through ``HF_ENDPOINT``, with an empty cache."""
    from huggingface_hub import constants

    cache = tmp_path / "hf-home"
    for name in HUB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with FakeHub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(cache))
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        # huggingface_hub has read its variables when it was imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def hub_environment() -> dict[str, str]:
    """The environment for a child process that is to ask the hub of ``fake_hub``."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
