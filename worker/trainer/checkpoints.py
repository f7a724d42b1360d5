"""Checkpoints: written whole or not at all, verified before use, rotated when a newer one is safe.

``model.safetensors``, ``optimizer.safetensors`` and ``trainer_state.json``; no pickle. The best one also holds the logits
of its evaluation, so that what is served can be compared with what was measured. A best one that falls on a step where
nothing is saved holds no optimizer: it is not resumable.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import nn

from app import failpoints
from app.manifest import CorruptArtefactError, Manifest, committed_folder, read_manifest, verify
from app.spec.messages import CheckpointMessage, CorruptMessage
from worker.trainer.evaluation import Evaluation
from worker.trainer.full_disk import written_when_there_is_room
from worker.trainer.ranks import ALONE, Ranks
from worker.trainer.reporting import Reporter
from worker.trainer.state import Best, TrainState
from worker.trainer.trained_weights import Weights

WEIGHTS: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
STATE: Final = "trainer_state.json"
_OF_A_JOB: Final = 3
"""Parts of a path that say which checkpoint of a job it is: attempt, ``checkpoints``, step."""
LOGITS: Final = "eval_logits.safetensors"


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """When old checkpoints go."""

    limit: int
    """So many of the newest stay, beside the best."""
    recorded_step: Callable[[], float]
    """Of the newest checkpoint that the database knows: nothing goes before the one that replaces it stands there."""


class Checkpoints:
    """The checkpoints of a job, as far as this attempt knows them."""

    def __init__(
        self,
        folder: Path,
        *,
        model: nn.Module,
        weights: Weights,
        optimizer: torch.optim.Optimizer,
        fingerprint: str,
        rotation: Rotation,
        report: Reporter,
        ranks: Ranks = ALONE,
    ) -> None:
        """``fingerprint`` stands for data and settings: a checkpoint with another is not resumed from.

        Of several ``ranks`` the first writes; all must call ``save``, and those that are needed for it take part.
        """
        self._folder, self._model, self._optimizer = folder, model, optimizer
        self._weights = weights
        self._fingerprint, self._rotation, self._report = fingerprint, rotation, report
        self._ranks = ranks
        self._resumable: list[Path] = []
        self._best_only: list[Path] = []
        self._to_remove: list[tuple[int, list[Path]]] = []
        """What the checkpoint of a step has replaced."""

    def save(self, state: TrainState, *, epoch: float, resumable: bool, best: tuple[float, Evaluation] | None) -> None:
        """Commit a checkpoint of the current step and tell the worker. ``best``: value and evaluation if it is the best."""
        self._weights.write_back(state.step)
        target = self._folder / f"step-{state.step:08d}"
        if best is not None:
            state.best = Best(step=state.step, value=best[0], metrics=best[1].metrics)
        publishers = self._ranks.publishers
        if publishers is None:
            return
        weights = publishers.collect(weights_of(self._model))
        tensors = self._weights.store(self._optimizer, ranks=publishers) if resumable else {}
        if not publishers.is_first:
            if state.best is not None and best is not None:
                state.best = state.best.model_copy(update={"path": str(target)})
            return
        contents = {WEIGHTS: weights} | ({OPTIMIZER: tensors} if resumable else {})
        logits = None if best is None else best[1].logits
        written_when_there_is_room(
            lambda: self._write(target, state, contents=contents, logits=logits),
            what=f"the checkpoint of step {state.step}",
            report=self._report,
        )
        failpoints.reach("checkpoint.committed")
        manifest = read_manifest(target)
        if best is not None:
            assert state.best is not None
            state.best = state.best.model_copy(update={"path": str(target), "manifest_sha256": manifest.sha256})
        (self._resumable if resumable else self._best_only).append(target)
        self._report.send(
            CheckpointMessage(
                path=str(target),
                step=state.step,
                epoch=epoch,
                is_best=best is not None,
                resumable=resumable,
                metrics={} if best is None else {f"eval/{name}": value for name, value in best[1].metrics.items()},
                manifest_sha256=manifest.sha256,
                size_bytes=manifest.size_bytes,
                deleted=self._rotate(state.best, step=state.step),
            )
        )
        failpoints.reach("checkpoint.told")

    def _write(
        self,
        target: Path,
        state: TrainState,
        *,
        contents: Mapping[str, dict[str, torch.Tensor]],
        logits: np.ndarray | None,
    ) -> None:
        """``contents``: the tensors of each file. With an optimizer among them it can be resumed from."""
        self.remove_old()
        shutil.rmtree(target, ignore_errors=True)  # only where a run directory is used again by hand
        resumable = OPTIMIZER in contents
        about = {"step": state.step, "fingerprint": self._fingerprint, "resumable": resumable}
        with committed_folder(target, about=about) as temporary:
            save_file(contents[WEIGHTS], temporary / WEIGHTS)
            failpoints.reach("checkpoint.weights")
            if logits is not None:
                save_arrays({"logits": logits}, temporary / LOGITS)
            if resumable:
                save_file(contents[OPTIMIZER], temporary / OPTIMIZER)
                (temporary / STATE).write_text(state.model_dump_json(indent=2))

    def restore(self, candidates: Sequence[Path]) -> TrainState:
        """Go on from the first of ``candidates`` (newest first) that is whole; a fresh state if there is none.

        One whose best checkpoint is damaged is passed over too: from an older one the lost weights are trained again.
        """
        found: TrainState | None = None
        for path in candidates:
            try:
                manifest = self._verify(path)
                if not manifest.about["resumable"]:
                    self._best_only.insert(0, path)
                    continue
                if found is None:
                    found = self._restore(path, manifest, candidates=candidates)
                self._resumable.insert(0, path)
            except CorruptArtefactError as error:
                self._report.send(CorruptMessage(path=str(path), message=str(error)))
        return found or TrainState()

    def remove_old(self) -> None:
        """Remove what recorded checkpoints have replaced, those of earlier attempts too."""
        recorded = self._rotation.recorded_step()
        for step, paths in self._to_remove:
            for path in paths if step <= recorded else ():
                shutil.rmtree(path, ignore_errors=True)
        self._to_remove = [(step, paths) for step, paths in self._to_remove if step > recorded]
        failpoints.reach("checkpoint.rotated")

    def _verify(self, path: Path) -> Manifest:
        manifest = verify(path)
        if manifest.about.get("fingerprint") != self._fingerprint:
            raise CorruptArtefactError(f"{path.name}: it was made from other data or with other settings")
        return manifest

    def _restore(self, path: Path, manifest: Manifest, *, candidates: Sequence[Path]) -> TrainState:
        try:
            state = TrainState.model_validate_json((path / STATE).read_bytes())
            if state.best is not None and state.best.path is None:
                state.best = state.best.model_copy(update={"path": str(path), "manifest_sha256": manifest.sha256})
            elif state.best is not None and state.best.path is not None:
                lies_at = _found_again(Path(state.best.path), candidates)
                verify(lies_at, expected_sha256=state.best.manifest_sha256)
                state.best = state.best.model_copy(update={"path": str(lies_at)})
            load_weights(self._model, path / WEIGHTS, ranks=self._ranks)
            self._weights.read()
            self._weights.restore(self._optimizer, StoredTensors(path / OPTIMIZER))
        except (ValueError, KeyError, OSError, SafetensorError) as error:
            raise CorruptArtefactError(f"{path.name}: {error}") from error
        return state

    def _rotate(self, best: Best | None, *, step: int) -> list[str]:
        """Choose what goes. It is removed at a later save, when this one is recorded."""
        kept = {*self._resumable[-self._rotation.limit :], *([Path(best.path)] if best and best.path else [])}
        gone = [path for path in (*self._resumable, *self._best_only) if path not in kept]
        self._resumable = [path for path in self._resumable if path in kept]
        self._best_only = [path for path in self._best_only if path in kept]
        self._to_remove.append((step, gone))
        return [str(path) for path in gone]


def _found_again(path: Path, candidates: Sequence[Path]) -> Path:
    """The checkpoint that another machine wrote at ``path``, where this one has it: below a home of its own."""
    same = (each for each in candidates if each.parts[-_OF_A_JOB:] == path.parts[-_OF_A_JOB:])
    return next(same, path)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters that are trained (tied ones once) and stored buffers by name. The others are the base model's."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    buffers = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    return {name: tensor.detach() for name, tensor in {**parameters, **buffers}.items()}


def load_weights(model: nn.Module, path: Path, *, ranks: Ranks) -> None:
    """Put stored weights into ``model``, in place. Raises KeyError if a name is missing, RuntimeError for another shape."""
    stored = StoredTensors(path)
    for name, target in weights_of(model).items():
        ranks.put(target, stored[name])


class StoredTensors(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file by name, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Raises SafetensorError or OSError."""
        self._file: Any = safe_open(path, framework="pt")
        self._names = dict.fromkeys(self._file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: torch.Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_logits(best: Best) -> np.ndarray:
    """The logits of the best checkpoint's evaluation, ``[targets, K]``."""
    logits: np.ndarray = load_arrays(Path(best.path or "") / LOGITS)["logits"]
    return logits
