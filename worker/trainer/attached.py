"""A finished model that is published as an adapter alone, and a job that starts from one.

The base's weights are kept beside it as the files they came in, so that their hash is the one that their source shows. The files
are linked where the file system can, for they are large and the same for every job; a link stays when the Hub's cache is emptied.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import torch
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from app.errors import InvalidModel
from app.manifest import seal
from app.spec.job import JobSpec
from app.spec.messages import KeptBase
from app.spec.run import RunSpec
from app.spec.serving import BaseIdentity, ServingSpec
from worker.predictor.engine import LoadedModel
from worker.predictor.loading import AUTO_MODELS
from worker.trainer.adapters import save_adapter
from worker.trainer.base_model import BaseModel
from worker.trainer.hub_errors import told_to_the_user

_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_START: Final = "start"
"""In the run directory: the whole of the attached model that the job starts from."""


def started_whole(run: RunSpec, *, run_dir: Path) -> RunSpec:
    """``run`` with a whole model to start from, where it names an attached one: its adapter is merged into its base.

    Raises CorruptArtefactError or ModelLoadError if it cannot be read.
    """
    if run.model_path is None or run.base_path is None:
        return run
    source, unfinished = Path(run.model_path), run_dir / f"{_START}-{uuid4().hex}"
    loaded = LoadedModel.load(source, device="cpu", base=Path(run.base_path))
    assert loaded.attachment is not None
    loaded.attachment.save_merged(unfinished, source=source)
    start = _finish(unfinished, run_dir / _START)
    return run.model_copy(update={"model_path": str(start), "base_path": None})


def keep_base(base: BaseModel, folder: Path) -> KeptBase:
    """Put the weights of ``base`` into a sealed folder of their own below ``folder``, named by their hash.

    Raises InvalidModel if they are not stored as safetensors.
    """
    unnamed = folder / f"unnamed-{uuid4().hex}"
    unnamed.mkdir(parents=True)
    with told_to_the_user(base.name, kind="model"):
        for path in _weight_files(base):
            _link(path, unnamed / path.name)
    weights_sha256 = seal(unnamed, about={}).weights_sha256()
    target = _finish(unnamed, folder / weights_sha256)
    return KeptBase(path=str(target), weights_sha256=weights_sha256)


def identity(kept: KeptBase, spec: JobSpec) -> BaseIdentity:
    return BaseIdentity(model=spec.model, revision=spec.model_revision, weights_sha256=kept.weights_sha256)


def save_attached(
    model: PreTrainedModel, folder: Path, *, base: BaseIdentity, weights: Mapping[str, torch.Tensor]
) -> None:
    """Write the adapter, the head, and the configuration of the model as a whole."""
    save_adapter(model, folder, base_model=base.model, weights=weights)
    config: Any = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def how_to_load(serving: ServingSpec) -> list[str]:
    """For the model's card: lines that give the whole model from the downloaded folder."""
    auto = AUTO_MODELS[serving.task].__name__
    return [
        "## Load it", "",
        "This is an adapter; the download has what it is attached to in the folder `base`.", "",
        "```python",
        "from peft import PeftModel",
        f"from transformers import {auto}, AutoTokenizer", "",
        f'base = {auto}.from_pretrained("FOLDER/base")',
        'model = PeftModel.from_pretrained(base, "FOLDER").merge_and_unload()',
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        "```", "",
    ]  # fmt: skip


def _weight_files(base: BaseModel) -> list[Path]:
    """The files that the weights are in, and the index of several. All have been, or are now, fetched."""
    if whole := _file(base, _WEIGHTS):
        return [whole]
    index = _file(base, _INDEX)
    if index is None:
        raise InvalidModel(
            f"the weights of {base.name} are not stored as {_WEIGHTS}",
            param="adapter.merge",
            code="model_not_safetensors",
            hint="Leave adapter.merge true, which publishes the model whole.",
        )
    names = sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))
    shards = [_file(base, name) for name in names if Path(name).name == name]
    return [index, *(path for path in shards if path is not None)]


def _file(base: BaseModel, name: str) -> Path | None:
    found = cached_file(
        base.source,
        name,
        revision=base.revision,
        local_files_only=base.local_only,
        _raise_exceptions_for_missing_entries=False,
    )
    return None if found is None else Path(found)


def _finish(made: Path, target: Path) -> Path:
    """Give ``made`` its name, unless another process of the same attempt was quicker and made the same."""
    try:
        return made.rename(target)
    except OSError:
        shutil.rmtree(made)
        return target


def _link(source: Path, target: Path) -> None:
    """A link to the file itself, not to its name; a copy where there can be none."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
