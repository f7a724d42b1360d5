"""Adapters from peft: put into a model, merged for serving, saved small.

A model with adapters keeps its class and its forward; some of its linear layers have become peft's. What is evaluated and
served is the model without them that answers the same, made anew from copies, so that the weights in training are not
touched. peft takes a second to import, which only jobs with an adapter pay.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from app.errors import InvalidRequest
from app.manifest import Manifest
from app.spec.adapter import AdapterSpec
from worker.predictor.attached import ADAPTER_WEIGHTS, PREFIX
from worker.trainer.layers import stacks_of_layers
from worker.trainer.randomness import Stream, seed_torch
from worker.trainer.ranks import Ranks

FOLDER: Final = "adapter"
"""Of a finished model that is whole: the adapter alone, as peft's ``from_pretrained`` takes it."""
_NAME: Final = "default"
_LINEAR: Final = (nn.Linear, Conv1D)


def add_adapter(model: PreTrainedModel, adapter: AdapterSpec, *, new: set[str], seed: int) -> None:
    """Freeze the model but for its head and its ``new`` weights (which start at random), and put the adapter into it.

    Raises InvalidRequest if the model has none of the layers that are asked for.
    """
    from peft import LoraConfig, TaskType, inject_adapter_in_model  # noqa: PLC0415

    targets, head = _targets(model, adapter), _head(model)
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=targets,
        use_rslora=adapter.use_rslora,
        use_dora=adapter.use_dora,
        task_type=TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else None,
    )
    seed_torch(seed, stream=Stream.ADAPTER)
    inject_adapter_in_model(config, model, _NAME)
    whole = sorted({*head, *(name.rpartition(".")[0] for name in new if not name.startswith(_dotted(head)))})
    config.modules_to_save = whole or None  # they are trained in place, and loaded as peft's own would be
    outside = _dotted(head)
    for name, parameter in model.named_parameters():
        if name in new or name.startswith(outside):
            parameter.requires_grad = True


def has_adapter(model: nn.Module) -> bool:
    return hasattr(model, "peft_config")


@torch.no_grad()
def merged_weights(model: nn.Module, *, ranks: Ranks) -> Mapping[str, torch.Tensor]:
    """The state dict of the model without adapters that answers the same; ``model`` itself is not changed.

    Where ``ranks`` hold a part of each weight, so do they of these.
    """
    if not has_adapter(model):
        return model.state_dict()
    from peft.tuners.tuners_utils import BaseTunerLayer  # noqa: PLC0415

    layers = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    inside = tuple(f"{name}." for name in layers)
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
    for name, layer in layers.items():
        merged: Any = ranks.whole_copy(layer)
        merged.merge()
        held = layer.get_base_layer().state_dict()
        weights |= {
            f"{name}.{part}": ranks.part_of(tensor, like=held[part])
            for part, tensor in merged.get_base_layer().state_dict().items()
        }
    return weights


def save_adapter(model: PreTrainedModel, folder: Path, *, base_model: str, weights: Mapping[str, torch.Tensor]) -> None:
    """Write the adapter and the head alone, ``adapter_weights``, as ``PeftModel.from_pretrained(base, folder)`` takes them."""
    folder.mkdir(exist_ok=True)
    config: Any = copy.copy(model.peft_config[_NAME])
    config.base_model_name_or_path, config.inference_mode = base_model, True
    config.save_pretrained(folder)
    path = folder / ADAPTER_WEIGHTS
    stored = {f"{PREFIX}{name}": tensor for name, tensor in weights.items()}
    save_file(stored, path)


@torch.no_grad()
def adapter_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The updates, and the parts that are trained whole, by the names that peft's files give them after their prefix."""
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    adapted: Any = model
    state = model.state_dict()
    heads = _dotted(adapted.peft_config[_NAME].modules_to_save or ())
    weights = get_peft_model_state_dict(model, state_dict=state, adapter_name=_NAME, save_embedding_layers=False)
    return {**weights, **{name: tensor for name, tensor in state.items() if name.startswith(heads)}}


def adapter_report(model: PreTrainedModel, manifest: Manifest) -> dict[str, Any]:
    """How small it is, for the job's report; nothing for a model without."""
    if not has_adapter(model):
        return {}
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    stored = manifest.files.get(f"{FOLDER}/{ADAPTER_WEIGHTS}") or manifest.files[ADAPTER_WEIGHTS]
    return {"adapter": {"num_trained": trained, "size_bytes": stored["bytes"]}}


def _targets(model: PreTrainedModel, adapter: AdapterSpec) -> list[str]:
    """Names of the layers in the model's blocks that get an update."""
    blocks = _dotted(name for name, _ in stacks_of_layers(model))
    found = [name for name, module in model.named_modules() if name.startswith(blocks) and isinstance(module, _LINEAR)]
    if adapter.target_modules == "all-linear":
        chosen = found
    else:
        ends = [f".{name}" for name in adapter.target_modules]
        chosen = [name for name in found if f".{name}".endswith(tuple(ends))]
        if missing := [end[1:] for end in ends if not any(f".{name}".endswith(end) for name in found)]:
            names = sorted({name.rsplit(".", 1)[-1] for name in found})
            raise InvalidRequest(
                f"the model has no linear layer {missing[0]!r} in its blocks",
                param="adapter.target_modules",
                code="layer_not_found",
                hint=f"Its layers are called {', '.join(names)}.",
            )
    if not chosen:
        raise InvalidRequest("this model has no linear layers that an adapter can be put on", param="adapter")
    return chosen


def _dotted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names)


def _head(model: PreTrainedModel) -> list[str]:
    """The parts of the model beside its encoder that have weights of their own; one tied to the encoder's table has not.

    None of an encoder-decoder, whose last layer is its own.
    """
    if model.config.is_encoder_decoder:
        return []
    encoder: Any = model.base_model
    inside = set() if encoder is model else set(encoder.parameters())
    return [
        name
        for name, part in model.named_children()
        if part is not encoder and any(parameter not in inside for parameter in part.parameters())
    ]
