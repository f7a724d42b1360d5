"""A model in shards, by torch's ``fully_shard`` (FSDP): each process holds a part of every weight, gradient and moment.

A block of layers is put together in all processes just before it computes, and taken apart again behind it. What computes with
it, in all processes equally often, is the model as it was; what is trained are the shards, as plain tensors, so that optimizer,
schedule and clipping are those of every other job.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel

from worker.allocator import give_back_free_memory, give_back_large_tensors_at_once
from worker.predictor.bases import Bases
from worker.predictor.engine import LoadedModel
from worker.predictor.loading import load_parts
from worker.trainer.evaluation import Opened, Pace
from worker.trainer.holding import Holding
from worker.trainer.layers import stacks_of_layers
from worker.trainer.optim import optimizer_tensors
from worker.trainer.ranks import Ranks
from worker.trainer.sharded_ranks import ShardedRanks, as_part, own_part
from worker.trainer.trained_weights import Weights, rows_in_use

__all__ = ["ShardedHolding", "ShardedRanks"]

ONE_FORWARD: Final = 2**40
"""Places of padding that are cheaper than a second forward: any number, for others may not have one."""
_MOMENTS: Final = ("exp_avg", "exp_avg_sq")


class ShardedHolding(Holding):
    """Each process has a part of every weight on its device."""

    def receive(self, model: PreTrainedModel, *, device: torch.device) -> None:
        """It stays where it is: on the device it need not fit."""
        if device.type == "cpu":
            give_back_large_tensors_at_once()
        self.ranks.refuse_unless_same(0, model.parameters())

    def forward_options(self, *, bf16: bool, device: torch.device) -> dict[str, Any]:  # noqa: ARG002
        """Without linear layers that keep a rounded copy of their weights."""
        return {"bf16": False, "device": device, "forward_cost": ONE_FORWARD}

    def weights(
        self,
        model: PreTrainedModel,
        *,
        token_ids: np.ndarray,
        decay: Callable[[int], float],  # noqa: ARG002 - every row is decayed by the optimizer
        bf16: bool,
        device: torch.device,
    ) -> Weights:
        rows = rows_in_use(model, token_ids=token_ids)
        shard(model, device=device, bf16=bf16)
        return ShardedWeights(model, rows=rows, ranks=self.ranks)

    def load(self, folder: Path, *, base: Path | None, expected_manifest_sha256: str | None = None) -> Opened:
        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        parts = load_parts(
            folder, expected_manifest_sha256=expected_manifest_sha256, device="cpu", bases=Bases(), base=base
        )
        shard(parts.model, device=device, bf16=False)
        engine = LoadedModel(spec=parts.spec, tokenizer=parts.tokenizer, model=parts.model, device=device)
        return Opened(engine=engine, pace=CommonPace(parts.model))


class ShardedWeights:
    """The shards that this process trains, by the names of the parameters that they are parts of."""

    def __init__(self, model: PreTrainedModel, *, rows: torch.Tensor | None, ranks: Ranks) -> None:
        """``rows`` of the token table are those that a process with the whole of it would update: checkpoints hold no others."""
        names = {parameter: name for name, parameter in model.named_parameters()}
        self._whole = {nn.Parameter(own_part(p)): p for p in names if p.requires_grad}
        self.names = {own: names[parameter] for own, parameter in self._whole.items()}
        self._ranks, self._rows = ranks, rows
        self._table = None if rows is None else names[model.get_input_embeddings().weight]  # type: ignore[index]

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.names)

    def take_gradients(self) -> None:
        for own, parameter in self._whole.items():
            own.grad = None if parameter.grad is None else own_part(parameter.grad)
            parameter.grad = None

    def write_back(self, step: int) -> None:
        """The shards are the model's own memory."""

    def read(self) -> None:
        """As above."""

    def store(self, optimizer: torch.optim.Optimizer, *, ranks: Ranks) -> dict[str, torch.Tensor]:
        whole = {self.names[own]: parameter for own, parameter in self._whole.items()}
        tensors = optimizer_tensors(optimizer, self.names)
        for key, tensor in tensors.items():
            name, _, kind = key.rpartition("/")
            if kind in _MOMENTS:
                tensors[key] = as_part(tensor, of=whole[name])
        stored = ranks.collect(tensors)
        for key in (f"{self._table}/{kind}" for kind in _MOMENTS):
            if key in stored:
                stored[key] = stored[key][self._rows]
        return stored

    def restore(self, optimizer: torch.optim.Optimizer, stored: Mapping[str, torch.Tensor]) -> None:
        for own, parameter in self._whole.items():
            name = self.names[own]
            state = {"step": stored[f"{name}/step"].to(own.device)}
            for kind in _MOMENTS:
                moment = stored[f"{name}/{kind}"]
                if name == self._table:
                    moment = moment.new_zeros(parameter.shape).index_copy(0, self._rows, moment)  # type: ignore[arg-type]
                state[kind] = torch.zeros_like(own, requires_grad=False)
                self._ranks.put(as_part(state[kind], of=parameter), moment)
            optimizer.state[own] = state


class CommonPace(Pace):
    """No process can make a forward without the others: before each they meet, and who has none to make joins in those of others."""

    def __init__(self, model: nn.Module) -> None:
        self._interrupted: Callable[[], bool] = lambda: False
        self._stops = self._is_over = False
        model.register_forward_pre_hook(self._before_forward, prepend=True)  # before the shards are put together

    def begin(self, interrupted: Callable[[], bool]) -> Callable[[], bool]:
        """True from the forward on at which any process was interrupted, in all of them."""
        self._interrupted, self._stops = interrupted, False
        return lambda: self._stops

    def end(self, forward: Callable[[], object]) -> bool:
        self._is_over = True
        while self._meet(goes_on=False):
            forward()
        self._is_over = False
        return self._stops

    def _before_forward(self, *_: object) -> None:
        if not self._is_over:
            self._meet(goes_on=True)

    def _meet(self, *, goes_on: bool) -> bool:
        """Whether any process goes on."""
        counts = torch.tensor([goes_on, self._interrupted()], dtype=torch.int32)
        dist.all_reduce(counts)
        self._stops = self._stops or bool(counts[1])
        return bool(counts[0])


def shard(model: PreTrainedModel, *, device: torch.device, bf16: bool) -> None:
    """Leave on ``device`` this process's part of every weight, in float32, from a model that all have whole on the CPU.

    With ``bf16`` the blocks are put together, and compute, in bfloat16; gradients are summed in float32.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy()
    if bf16:  # autocast casts what goes in
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for module in [*_units(model), model]:
        fully_shard(module, mesh=mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):  # a sum: the loss is divided by the targets of all processes
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(enable=True)
            if isinstance(module, nn.Embedding):
                module.set_unshard_in_backward(unshard_in_backward=False)  # its gradient does not depend on its rows
    give_back_free_memory()


def _units(model: PreTrainedModel) -> Iterator[nn.Module]:
    """What is put together at a time: each block, and the token table, if nothing else uses their weights. The model has the rest."""
    users = Counter(parameter for _, parameter in model.named_parameters(remove_duplicate=False))
    blocks = [block for _, stack in stacks_of_layers(model) for block in _blocks(stack)]
    for module in [*blocks, model.get_input_embeddings()]:
        own = Counter(parameter for _, parameter in module.named_parameters(remove_duplicate=False))
        if own and all(users[parameter] == count for parameter, count in own.items()):
            yield module


def _blocks(stack: nn.ModuleList) -> Iterator[nn.Module]:
    """Of a list of lists (Funnel) the blocks in those."""
    for module in stack:
        if isinstance(module, nn.ModuleList):
            yield from _blocks(module)
        else:
            yield module
