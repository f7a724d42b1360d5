"""What the processes of a job compute together where each holds a part of every weight.

A shard is torch's: along the first dimension, in equal parts rounded up, so that the last ones may be smaller or empty.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from worker.trainer.ranks import Ranks, StepTotals, on_cpu


class ShardedRanks(Ranks):
    """None can go through the model without all others, so each does so as often as they do, and they decide together."""

    @property
    def acts_together(self) -> bool:
        return True

    @property
    def publishers(self) -> Ranks | None:
        return self

    def pieces(self, share: np.ndarray, *, parts: int, of: int) -> list[np.ndarray]:
        """As many as in every other rank, some of which may be empty."""
        largest_share = -(-of // self.size)
        return np.array_split(share, min(parts, largest_share))

    def add_up(
        self,
        parameters: Sequence[nn.Parameter],  # noqa: ARG002 - their gradients were summed on the way
        *,
        loss: torch.Tensor,
        num_tokens: int,
        stop: bool,
        finish: bool,
    ) -> StepTotals:
        """Give all ranks the sums of their losses and tokens; each has its part of the sum of gradients from the backwards."""
        return super().add_up((), loss=loss, num_tokens=num_tokens, stop=stop, finish=finish)

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        own: torch.Tensor = super().norm(gradients)
        total = own.double().square()
        dist.all_reduce(total)
        return total.sqrt().to(own.dtype)

    def collect(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """In the first rank all of each, put together on the CPU one after the other; in the others nothing."""
        places = torch.tensor([own_part(tensor).data_ptr() for tensor in tensors.values()])
        dist.broadcast(places, src=0)  # all must leave out the same ones
        found = on_cpu(tensors, places=places.tolist(), copy=self._whole)
        return found if self.is_first else {}

    def put(self, target: torch.Tensor, whole: torch.Tensor) -> None:
        if not isinstance(target, DTensor):
            super().put(target, whole)
            return
        if target.shape != whole.shape:
            raise RuntimeError(f"a weight of {tuple(target.shape)} is stored as {tuple(whole.shape)}")
        own_part(target).copy_(self._own_rows(whole, like=target))

    def whole_copy(self, module: nn.Module) -> nn.Module:
        whole = {
            id(held): nn.Parameter(held.full_tensor(), requires_grad=held.requires_grad)
            for held in module.parameters()
            if isinstance(held, DTensor)
        }
        return copy.deepcopy(module, memo=whole)

    def part_of(self, whole: torch.Tensor, *, like: torch.Tensor) -> torch.Tensor:
        return as_part(self._own_rows(whole, like=like).clone(), of=like) if isinstance(like, DTensor) else whole

    def _own_rows(self, whole: torch.Tensor, *, like: DTensor) -> torch.Tensor:
        first = min(self.rank * _rows_of_each(like, self.size), len(like))
        return whole[first : first + len(own_part(like))]

    def refuse_unless_same(self, step: int, parameters: Iterable[nn.Parameter]) -> None:
        """Parameters of which each rank has a part are not compared."""
        super().refuse_unless_same(step, [p for p in parameters if not isinstance(p, DTensor)])

    def _whole(self, tensor: torch.Tensor) -> torch.Tensor:
        own = own_part(tensor).cpu()
        if not isinstance(tensor, DTensor):
            return own.contiguous()
        rows = _rows_of_each(tensor, self.size)
        padded = own.new_zeros((rows, *own.shape[1:]))
        padded[: len(own)] = own
        if not self.is_first:
            dist.gather(padded, dst=0)
            return own
        whole = padded.new_empty((rows * self.size, *own.shape[1:]))
        dist.gather(padded, gather_list=list(torch.split(whole, rows)), dst=0)
        return whole[: len(tensor)].clone() if len(whole) > len(tensor) else whole


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a sharded tensor, in the same memory; of any other all."""
    part: Any = tensor.detach()
    own: torch.Tensor = part.to_local() if isinstance(part, DTensor) else part
    return own


def as_part(own: torch.Tensor, *, of: torch.Tensor) -> DTensor:
    """``own`` as this rank's part of a tensor that is divided as the parameter ``of`` is."""
    assert isinstance(of, DTensor)
    return DTensor.from_local(own, of.device_mesh, of.placements, run_check=False, shape=of.shape, stride=of.stride())


def _rows_of_each(tensor: torch.Tensor, size: int) -> int:
    """Of a sharded tensor, in all ranks but the last ones."""
    return -(-len(tensor) // size)
