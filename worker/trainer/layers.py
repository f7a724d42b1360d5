"""Which layer of a model a weight belongs to, counted from the input: to freeze the lowest, or to train them more gently."""

from typing import Final

from torch import nn
from transformers import PreTrainedModel

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec

EMBEDDINGS: Final = 0


def depths(model: PreTrainedModel) -> dict[str, int]:
    """By parameter name: 0 for embeddings, 1 for the first layer, and one more than the layers for all that is above."""
    prefix, layers = _layers(model)
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
            found[name] = EMBEDDINGS if name in tables or "embed" in name else len(layers) + 1
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


def _layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The encoder's stack of layers: the longest list of modules, with its name. Raises InvalidRequest if there is none."""
    stacks = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise InvalidRequest("this model has no layers that can be told apart", param="training.freeze_layers")
    return max(stacks, key=lambda stack: len(stack[1]))
