"""AdamW and its learning-rate schedule, counted in optimizer steps."""

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from transformers import get_scheduler

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec
from worker.trainer.ranks import ALONE, Ranks

FACTOR: Final = "rate_factor"
"""Key of a group of parameters: the fraction of the schedule's rate that it learns at."""


def make_optimizer(
    names: Mapping[nn.Parameter, str], args: TrainingSpec, *, factors: Mapping[str, float]
) -> torch.optim.AdamW:
    """Fused AdamW. Biases and the weights of norms (all parameters with one dimension) are not decayed.

    ``factors``: by name, what a parameter's learning rate is of the schedule's.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, name in names.items():
        groups.setdefault((factors[name], parameter.ndim >= 2), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": members, "weight_decay": args.weight_decay if decays else 0.0, FACTOR: factor}
            for (factor, decays), members in groups.items()
        ],
        lr=float(args.learning_rate),
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        fused=True,
    )


class Schedule:
    """The learning rate of a step. It has no state: the rate is a function of the step, so a resume is exact."""

    def __init__(self, args: TrainingSpec, *, warmup_steps: int, max_steps: int) -> None:
        """Raises InvalidRequest for ``lr_scheduler_kwargs`` the schedule does not know."""
        try:
            scheduler = get_scheduler(
                args.lr_scheduler_type,
                optimizer=torch.optim.SGD(
                    [torch.zeros(1, requires_grad=True)], lr=1.0
                ),  # it is asked for factors alone
                num_warmup_steps=warmup_steps,
                num_training_steps=max_steps,
                scheduler_specific_kwargs=dict(args.lr_scheduler_kwargs),
            )
        except TypeError as error:
            raise InvalidRequest(
                f"the {args.lr_scheduler_type} schedule does not take these arguments: {error}",
                param="training.lr_scheduler_kwargs",
            ) from error
        self._factor = scheduler.lr_lambdas[0]
        self._peak, self._weight_decay = float(args.learning_rate), float(args.weight_decay)

    def rate(self, step: int) -> float:
        """What the update after ``step`` finished steps uses."""
        return self._peak * float(self._factor(step))

    def set_rate(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Set that rate, and return it."""
        rate = self.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group[FACTOR]
        return rate

    def decay(self, num_steps: int, *, factor: float) -> float:
        """What ``num_steps`` updates decay a weight to that has no gradient; ``factor`` is that of its rate."""
        if self._weight_decay == 0.0:
            return 1.0
        return math.prod(1.0 - self.rate(step) * factor * self._weight_decay for step in range(num_steps))


def clip(optimizer: torch.optim.Optimizer, *, max_norm: float, ranks: Ranks = ALONE) -> torch.Tensor:
    """Have the next step take the gradient as if its norm were at most ``max_norm`` (0: as it is); return the norm it has.

    As ``torch.nn.utils.clip_grad_norm_``, without passes over memory of its own: a fused optimizer divides by
    ``grad_scale`` as it reads the gradient.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = ranks.norm(gradients)
    fused: Any = optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer
    fused.grad_scale = ((norm + 1e-6) / max_norm).clamp_(min=1.0) if max_norm else None
    return norm


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]) -> dict[str, torch.Tensor]:
    """AdamW's moments and step counts by parameter name: ``encoder.weight/exp_avg`` and so on."""
    return {
        f"{names[parameter]}/{key}": value
        for group in optimizer.param_groups
        for parameter in group["params"]
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], names: Mapping[nn.Parameter, str]
) -> None:
    """Put back what ``optimizer_tensors`` gave. Raises KeyError for a parameter without its state."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            optimizer.state[parameter] = {
                key: tensors[f"{name}/{key}"].to(parameter.device) for key in ("step", "exp_avg", "exp_avg_sq")
            }
