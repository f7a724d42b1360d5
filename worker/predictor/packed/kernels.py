"""The parts of a model give way to those that are made for serving."""

import torch
from torch import nn
from transformers import PreTrainedModel

from worker.packing.parts import output_blocks, projections, widening_blocks
from worker.predictor.packed.linears import HALF, Head, JointProjections, OutputBlock, PackedLinear


@torch.no_grad()
def put_kernels(model: PreTrainedModel, *, threads: int) -> list[PackedLinear]:
    """Replace every linear layer, with what follows it where that is known, and put the rest into bfloat16."""
    head_name, head = [
        (name, part)
        for name, part in model.named_modules()
        if type(part) is nn.Linear and part.out_features == model.config.num_labels
    ][-1]
    replace(model, head_name, Head(head))
    made = []
    for name, module, layers in [*projections(model)]:
        linear = PackedLinear({f"{name}.{layer}": getattr(module, layer) for layer in layers}, threads=threads)
        joint = JointProjections(linear)
        for number, layer in enumerate(layers):
            setattr(module, layer, joint.part(number))
        made.append(linear)
    for name, block in [*output_blocks(model)]:
        linear = PackedLinear({f"{name}.dense": block.dense}, threads=threads, adds=True)
        replace(model, name, OutputBlock(linear, block.LayerNorm))
        made.append(linear)
    for name, block in [*widening_blocks(model)]:
        linear = PackedLinear({f"{name}.dense": block.dense}, threads=threads, activation="gelu")
        replace(model, name, linear)
        made.append(linear)
    for name, plain in [(name, part) for name, part in model.named_modules() if type(part) is nn.Linear]:
        linear = PackedLinear({name: plain}, threads=threads)
        replace(model, name, linear)
        made.append(linear)
    for name, part in model.named_modules():
        if name != head_name:
            for parameter in part.parameters(recurse=False):
                parameter.data = parameter.data.to(HALF)
    return made


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the part ``name``."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
