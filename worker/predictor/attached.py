"""A model that is a base model and an adapter: built from tensors of the base, which stay where they are.

It is a model of its task like any other, with modules of its own and a head of its own; only the memory of the weights below
is the base's. So adapters of one base with other labels, or of other tasks, are served side by side, and nothing is switched.
"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, GenerationConfig, PreTrainedModel

from app.manifest import MANIFEST
from worker.predictor.bases import ADAPTER_CONFIG, LoadedBase
from worker.predictor.errors import ModelLoadError
from worker.predictor.low_rank import LowRank

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
PREFIX: Final = "base_model.model."
"""Before the names of weights in peft's files."""
_DOWN: Final = ".lora_A.weight"
_NAMED: Final = 5
"""Weights in one message."""


class Attachment:
    """What makes a base model this model: the updates, and the weights that it has of its own."""

    def __init__(self, model: PreTrainedModel, *, base: LoadedBase, scaling: float) -> None:
        self.model = model
        self.base = base
        self._scaling = scaling

    @property
    def own_bytes(self) -> int:
        """What it takes beside its base."""
        shared = {tensor.data_ptr() for tensor in self.base.tensors.values()}
        tensors = {tensor.data_ptr(): tensor for tensor in [*self.model.parameters(), *self.model.buffers()]}
        return sum(t.numel() * t.element_size() for place, t in tensors.items() if place not in shared)

    def insert(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put a layer of low rank wherever ``weights`` have an update. Raises ModelLoadError."""
        for name in [name.removesuffix(_DOWN) for name in weights if name.endswith(_DOWN)]:
            parent, _, child = name.rpartition(".")
            try:
                layer = LowRank(self.model.get_submodule(name), scaling=self._scaling)
                layer.put(weights, layer=name)
            except (AttributeError, KeyError, RuntimeError, ValueError) as error:
                raise ModelLoadError(f"the adapter does not fit its base: {name}: {error}") from error
            setattr(self.model.get_submodule(parent), child, layer)

    @torch.no_grad()
    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Replace all that is not the base's, by peft's names: what another step of the same training gave."""
        own = self.model.state_dict()
        for name, layer in self._layers().items():
            layer.put(weights, layer=name)
        for name in _whole(weights):
            own[name].copy_(weights[name])

    def save_merged(self, folder: Path, *, source: Path) -> None:
        """Write the whole model, without an adapter, beside the other files of the attached one in ``source``."""
        layers = self._layers()
        weights = {
            name.replace(".base.", ".") if name.rpartition(".base.")[0] in layers else name: tensor
            for name, tensor in self.model.state_dict().items()
        }
        weights |= {f"{name}.weight": layer.merged_weight() for name, layer in layers.items()}
        self.model.save_pretrained(folder, state_dict=weights)
        for path in source.iterdir():
            if path.is_file() and path.suffix != ".safetensors" and path.name not in {MANIFEST, ADAPTER_CONFIG}:
                shutil.copyfile(path, folder / path.name)

    def _layers(self) -> dict[str, LowRank]:
        return {name: module for name, module in self.model.named_modules() if isinstance(module, LowRank)}


def read_config(folder: Path) -> Any:
    """The configuration of the model as a whole, labels included."""
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # a library's loading code: any class may come out of it
        raise ModelLoadError(f"{type(error).__name__}: {error}") from error


def attach(folder: Path, *, base: LoadedBase, config: Any, auto_model: Any, dtype: torch.dtype) -> Attachment:
    """The model in ``folder`` on ``base``, where the base is. Raises ModelLoadError if the two do not fit."""
    weights, scaling = _read_adapter(folder)
    try:
        with init_empty_weights(include_buffers=False):
            model: Any = auto_model.from_config(config, trust_remote_code=False)
        shared = base.tensors_of(model)
        device = next((tensor.device for tensor in base.tensors.values()), torch.device("cpu"))
        whole = {name: weights[name].to(device=device, dtype=dtype) for name in _whole(weights)}
        unknown = sorted(whole.keys() - model.state_dict().keys())
        model.load_state_dict(shared | whole, strict=False, assign=True)
        model.tie_weights()
        if model.can_generate() and (folder / "generation_config.json").exists():
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise ModelLoadError(f"{type(error).__name__}: {error}") from error
    missing = sorted(name for name, parameter in model.named_parameters() if parameter.is_meta)
    if missing or unknown:
        what = f"weights are missing: {_some(missing)}" if missing else f"the model has no {_some(unknown)}"
        raise ModelLoadError(what)
    attachment = Attachment(model.to(device).requires_grad_(requires_grad=False), base=base, scaling=scaling)
    attachment.insert(weights)
    return attachment


def _read_adapter(folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    """Weights by name, and what updates are scaled by. Raises ModelLoadError."""
    try:
        settings = orjson.loads((folder / ADAPTER_CONFIG).read_bytes())
        rank, alpha = int(settings["r"]), float(settings["lora_alpha"])
        scaling = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
        stored = load_file(folder / ADAPTER_WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, SafetensorError) as error:
        raise ModelLoadError(f"the adapter cannot be read: {type(error).__name__}: {error}") from error
    return {name.removeprefix(PREFIX): tensor for name, tensor in stored.items()}, scaling


def _whole(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of weights that replace those of the base, or that the base lacks."""
    return [name for name in weights if ".lora_" not in name]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED])
