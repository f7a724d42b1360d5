"""Which layer of a model a weight belongs to, counted from the input: to freeze the lowest, or to train them more gently."""

from typing import Any, Final

from torch import nn
from transformers import PreTrainedModel

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec

EMBEDDINGS: Final = 0


def depths(model: PreTrainedModel) -> dict[str, int]:
    """By parameter name: 0 for embeddings, 1 for the first layer, and one more than the layers for all that is above."""
    prefix, layers = _layers(model)
    upper = tuple(f"{name}." for name, _ in stacks_of_layers(model)[1:])
    tables = {
        f"{name}.{parameter}"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        for parameter, _ in module.named_parameters()
    }
    found = {}
    for name, _ in model.named_parameters():
        if name.startswith(f"{prefix}."):
            found[name] = 1 + int(name.removeprefix(f"{prefix}.").split(".")[0])
        else:
            is_table = name in tables or "embed" in name
            found[name] = EMBEDDINGS if is_table and not name.startswith(upper) else len(layers) + 1
    return found


def freeze(model: PreTrainedModel, args: TrainingSpec) -> None:
    """Leave the embeddings and the lowest ``args.freeze_layers`` layers as they are. Raises InvalidRequest if there are fewer.

    They take no gradient and no memory for the optimizer; ``0`` freezes nothing.
    """
    if args.freeze_layers == 0:
        return
    _, layers = _layers(model)
    if args.freeze_layers > len(layers):
        raise InvalidRequest(
            f"freeze_layers is {args.freeze_layers}, but the model has {len(layers)} layers",
            param="training.freeze_layers",
        )
    of = depths(model)
    for name, parameter in model.named_parameters():
        if of[name] <= args.freeze_layers:
            parameter.requires_grad = False


def rate_factors(model: PreTrainedModel, args: TrainingSpec) -> dict[str, float]:
    """By parameter name: ``layerwise_lr_decay`` to the power of the layers above it (Howard and Ruder, 2018)."""
    of = depths(model)
    top = max(of.values())
    return {name: args.layerwise_lr_decay ** (top - depth) for name, depth in of.items()}


def stacks_of_layers(model: PreTrainedModel) -> list[tuple[str, nn.ModuleList]]:
    """The longest list of modules with its name, none if there is no list; of an encoder-decoder its encoder's and its decoder's."""
    parts: list[nn.Module] = [model]
    if model.config.is_encoder_decoder:
        halves: Any = model  # their getters are untyped
        parts = [halves.get_encoder(), halves.get_decoder()]
    found = []
    for part in parts:
        stacks = [module for module in part.modules() if isinstance(module, nn.ModuleList)]
        if stacks:
            longest = max(stacks, key=len)
            found.append((next(name for name, module in model.named_modules() if module is longest), longest))
    return found


def _layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The layers that are counted, with their name: an encoder-decoder's are its encoder's, and its decoder is above them all.

    Raises InvalidRequest if there are none.
    """
    stacks = stacks_of_layers(model)
    if not stacks:
        raise InvalidRequest("this model has no layers that can be told apart", param="training.freeze_layers")
    return stacks[0]
