"""What the processes of a job compute together. Alone, all of it does nothing and costs nothing.

Each has the whole model and sees a share of every micro-batch. Since a step's loss is divided by the targets of the whole step,
the sum of the processes' gradients is the gradient that one process would have; everything after that sum (clipping, the
optimizer, early stopping) is the same computation on the same numbers in each of them.
"""

import copy
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from app.errors import InvalidRequest
from worker.trainer.group import RENDEZVOUS, Place

BUCKET_BYTES: Final = 32 * 2**20
"""Gradients that are summed at once: one copy of so many bytes, instead of an exchange for each of hundreds of tensors."""

LONGEST_WAIT: Final = timedelta(hours=2)
"""A rank may wait for another that tokenises, or whose disk is slow. A dead one is not waited for (``worker.trainer.group``)."""


class StepTotals(NamedTuple):
    """Of all ranks."""

    loss: torch.Tensor
    num_tokens: int
    stop: bool
    """One of them was asked to stop."""
    finish: bool
    """One of them was asked to make this step the last."""


class Ranks:
    """The processes of this job, seen from one of them."""

    def __init__(self, place: Place) -> None:
        self.rank: Final = place.rank
        self.size: Final = place.size

    @property
    def is_first(self) -> bool:
        """The one that writes and speaks."""
        return self.rank == 0

    @property
    def seed(self) -> tuple[int, ...]:
        """What makes this rank's dropout its own."""
        return () if self.size == 1 else (self.rank,)

    def own(self, path: Path) -> Path:
        """``path``, or beside it one for this rank alone."""
        return path if self.is_first else path.with_name(f"{path.name}-{self.rank}")

    @property
    def acts_together(self) -> bool:
        """Each needs all others for whatever it does with the weights: none may stop, save or begin anew by itself."""
        return False

    @property
    def publishers(self) -> "Ranks | None":
        """Those that write down the weights and publish the model, seen from this one; None if it is none of them."""
        return ALONE if self.is_first else None

    def share(self, indices: np.ndarray, *, lengths: np.ndarray) -> np.ndarray:
        """This rank's part of ``indices``, in their order: as many as any other's, or one less, and about as many tokens.

        ``lengths`` are theirs. From the longest to the shortest they are dealt out, forth and back.
        """
        if self.size == 1:
            return indices
        rounds, places = np.divmod(np.arange(len(indices)), self.size)
        dealt_to = np.empty(len(indices), dtype=np.int64)
        dealt_to[np.argsort(-lengths, kind="stable")] = np.where(rounds % 2, self.size - 1 - places, places)
        share: np.ndarray = indices[dealt_to == self.rank]
        return share

    def pieces(self, share: np.ndarray, *, parts: int, of: int) -> list[np.ndarray]:  # noqa: ARG002 - of no matter alone
        """``share`` of a micro-batch of ``of`` examples in so many ``parts``, none of them empty."""
        return np.array_split(share, min(parts, len(share))) if len(share) else []

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """The first rank goes through the block alone, and then the others, who find what it has left."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def wait(self) -> None:
        """Until all ranks have come here."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))

    def add_up(
        self, parameters: Sequence[nn.Parameter], *, loss: torch.Tensor, num_tokens: int, stop: bool, finish: bool
    ) -> StepTotals:
        """Give all ranks the sums of their gradients, losses and tokens.

        A parameter has no gradient afterwards only if it had none in any rank.
        """
        if self.size == 1:
            return StepTotals(loss, num_tokens, stop, finish)
        flags = [parameter.grad is not None for parameter in parameters]
        counts = torch.tensor([num_tokens, stop, finish, *flags], dtype=torch.float64, device=loss.device)
        totals = torch.cat([loss.double()[None], counts])
        dist.all_reduce(totals)
        total_tokens, total_stops, total_finishes, *used = totals[1:].tolist()
        gradients = []
        for parameter, is_used in zip(parameters, used, strict=True):
            if is_used:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            _sum_together(bucket)
        return StepTotals(totals[0].to(loss.dtype), int(total_tokens), total_stops > 0, total_finishes > 0)

    def norm(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of the step's whole gradient (L2), once it is added up."""
        return torch.nn.utils.get_total_norm(gradients)

    def collect(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """``tensors`` on the CPU, in one piece each; those that share their memory still do. To be called by ``publishers``."""
        return on_cpu(tensors, places=[tensor.data_ptr() for tensor in tensors.values()])

    def put(self, target: torch.Tensor, whole: torch.Tensor) -> None:
        """Copy ``whole`` into ``target``, or as much of it as this rank holds. Raises RuntimeError for another shape."""
        target.copy_(whole)

    def whole_copy(self, module: nn.Module) -> nn.Module:
        """A copy that is no part of a model, with all of each weight."""
        return copy.deepcopy(module)

    def part_of(self, whole: torch.Tensor, *, like: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - it is held whole
        """``whole`` as this rank holds ``like``, a tensor of the same shape."""
        return whole

    def fill_up(self, rows: np.ndarray) -> np.ndarray:
        """``rows`` with the rows of all ranks, each of which must be zero in all ranks but one."""
        if self.size > 1:
            dist.all_reduce(torch.from_numpy(rows))
        return rows

    def refuse_unless_same(self, step: int, parameters: Iterable[nn.Parameter]) -> None:
        """Raises RuntimeError unless all ranks begin with the same step and the same bits of the weights."""
        if self.size == 1:
            return
        sums = [parameter.detach().view(torch.int32).sum(dtype=torch.int64).cpu() for parameter in parameters]
        mine = torch.stack([torch.tensor(step), torch.stack([torch.tensor(0), *sums]).sum()])
        least, most = mine.clone(), mine.clone()
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise RuntimeError(
                f"the processes of the job do not begin alike: steps {int(least[0])} to {int(most[0])}, "
                f"weights {'differ' if least[1] != most[1] else 'are the same'}"
            )


ALONE: Final = Ranks(Place())


def join(place: Place, *, run_dir: Path, ranks: type[Ranks] = Ranks) -> Ranks:
    """Meet the other ranks: gloo for what is in memory, NCCL for what is on GPUs, of which each rank takes its own.

    Raises InvalidRequest if there are too few GPUs.
    """
    if place.size == 1:
        return ALONE
    backend = "gloo"
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # gloo knows no other, such as Apple's
    if torch.cuda.is_available():
        _refuse_too_few(torch.cuda.device_count(), place)
        torch.cuda.set_device(place.local_rank)
        os.environ["ACCELERATE_TORCH_DEVICE"] = f"cuda:{place.local_rank}"
        backend = "cpu:gloo,cuda:nccl"
    if place.is_launched:
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
        return ranks(place)
    torch.set_num_threads(max(1, torch.get_num_threads() // place.num_local))
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"  # nobody else is to reach it
    store = dist.FileStore(str(run_dir / RENDEZVOUS), place.size)  # type: ignore[attr-defined] # torch lists no exports
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.size, timeout=LONGEST_WAIT)
    return ranks(place)


def on_cpu(
    tensors: Mapping[str, torch.Tensor],
    *,
    places: Sequence[int],
    copy: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor.detach().cpu().contiguous(),
) -> dict[str, torch.Tensor]:
    """A ``copy`` of each, and one of those that lie at the same of ``places`` in the same shape."""
    copies: dict[tuple[int, torch.Size], torch.Tensor] = {}
    found = {}
    for (name, tensor), place in zip(tensors.items(), places, strict=True):
        known = copies.get((place, tensor.shape)) if place else None
        found[name] = copy(tensor) if known is None else known
        copies[place, tensor.shape] = found[name]
    return found


def _refuse_too_few(num_gpus: int, place: Place) -> None:
    if num_gpus < place.num_local:
        raise InvalidRequest(
            f"the job asks for {place.num_local} processes, and there are {num_gpus} GPUs for it on this machine",
            param="resources.processes",
            code="too_few_gpus",
            hint="Ask for as many processes as there are GPUs at most.",
        )


def _buckets(gradients: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    num_bytes = 0
    for gradient in gradients:
        size = gradient.numel() * gradient.element_size()
        if bucket and num_bytes + size > BUCKET_BYTES:
            yield bucket
            bucket, num_bytes = [], 0
        bucket.append(gradient)
        num_bytes += size
    if bucket:
        yield bucket


def _sum_together(bucket: list[torch.Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in bucket])
    dist.all_reduce(flat)
    for gradient, total in zip(bucket, torch.split(flat, [gradient.numel() for gradient in bucket]), strict=True):
        gradient.copy_(total.view_as(gradient))
