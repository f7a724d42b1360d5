"""How the processes of a job hold its model: each of them whole, or each its part (``worker.trainer.sharding``)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from app.spec.resources import ResourcesSpec
from worker.predictor.engine import LoadedModel
from worker.trainer.evaluation import Opened, Pace
from worker.trainer.group import Place
from worker.trainer.ranks import Ranks, join
from worker.trainer.trained_weights import TrainedWeights, Weights


class Holding:
    """Each process has the whole model on its device."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def receive(self, model: PreTrainedModel, *, device: torch.device) -> None:
        """To be called with the model as it was read, on the CPU, before anything is computed with it."""
        model.to(device)  # type: ignore[arg-type]

    def forward_options(self, *, bf16: bool, device: torch.device) -> dict[str, Any]:  # noqa: ARG002 - the model is there
        """For ``choose_forward``."""
        return {"bf16": bf16}

    def weights(
        self,
        model: PreTrainedModel,
        *,
        token_ids: np.ndarray,
        decay: Callable[[int], float],
        bf16: bool,  # noqa: ARG002 - autocast does it
        device: torch.device,  # noqa: ARG002
    ) -> Weights:
        """What is to be trained, which is settled by now; from here on the model is held as it is trained."""
        return TrainedWeights(model, token_ids=token_ids, decay=decay)

    def load(self, folder: Path, *, base: Path | None, expected_manifest_sha256: str | None = None) -> Opened:
        """An engine for the model in ``folder``, held in the same way."""
        engine = LoadedModel.load(folder, base=base, expected_manifest_sha256=expected_manifest_sha256)
        return Opened(engine=engine, pace=Pace())


def meet(place: Place, *, run_dir: Path, resources: ResourcesSpec) -> Holding:
    """Join the other processes of the job (``worker.trainer.ranks.join``), to hold its model as it asks for."""
    if not resources.fsdp or place.size == 1:
        return Holding(join(place, run_dir=run_dir))
    from worker.trainer.sharding import ShardedHolding, ShardedRanks  # noqa: PLC0415 - imports much of torch, for these jobs alone

    ranks = join(place, run_dir=run_dir, ranks=ShardedRanks)
    assert isinstance(ranks, ShardedRanks)
    return ShardedHolding(ranks)
