"""Adapters: few weights that are trained beside a model's own, which stay as they are. The names are peft's."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StringConstraints

from app.spec.base import Contract

LayerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,200}$")]


class LoraSpec(Contract):
    """Low-rank updates of linear layers (Hu et al., 2021). The head, and what else starts at random, is trained whole."""

    type: Literal["lora"] = "lora"
    r: Annotated[int, Field(ge=1, le=4096, strict=True)] = 8
    """Rank of the updates."""
    lora_alpha: Annotated[float, Field(gt=0, le=1e6, strict=True)] = 16
    """The updates are scaled by ``lora_alpha / r``."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    """Of what goes into the updates."""
    target_modules: Literal["all-linear"] | Annotated[list[LayerName], Field(min_length=1, max_length=64)] = (
        "all-linear"
    )
    """The layers that get one, by the ends of their names, such as ``["query", "value"]``; ``"all-linear"``: every linear
    layer of the model's blocks."""
    use_rslora: StrictBool = False
    """Scale by ``lora_alpha / sqrt(r)`` (Kalajdzievski, 2023), which large ranks learn better with."""
    use_dora: StrictBool = False
    """Train the magnitude of each row of weights by itself (Liu et al., 2024): slower, often better at small ranks."""
    merge: StrictBool = True
    """Publish the whole model with the updates merged into it; false: the updates and the head alone, which are served on the
    base model that all such models share."""


AdapterSpec = LoraSpec
"""All kinds there are; ``type`` tells them apart."""
