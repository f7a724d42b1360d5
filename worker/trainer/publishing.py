"""The finished model: its folder, and the proof that serving it gives what was measured in training."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from transformers import PreTrainedModel

from app.errors import ServiceError
from app.manifest import Manifest, committed_folder, read_manifest
from app.spec.metrics import CONTINUOUS
from app.spec.serving import SERVING_FILE, ServingSpec
from worker.trainer.adapters import FOLDER, adapter_weights, has_adapter, merged_weights, save_adapter
from worker.trainer.attached import save_attached
from worker.trainer.evaluation import Opened, measure
from worker.trainer.examples import Examples
from worker.trainer.metrics import Metrics
from worker.trainer.ranks import ALONE, Ranks
from worker.trainer.tasks import Task

ROUNDING: Final = {True: 1e-3, False: 1e-9}
"""How far a metric may move, by whether it is continuous: relative to itself where it is above 1."""

_MAX_SHARD: Final = "1TB"
"""One file of weights, whatever its size: its hash is the model's."""


class ServingMismatch(ServiceError):
    """The model answers otherwise when served than it did when evaluated; it is not published."""

    status, code, title = 500, "serving_mismatch", "Serving mismatch"


def build_model_folder(
    folder: Path,
    *,
    model: PreTrainedModel,
    tokenizer: Any,
    serving: ServingSpec,
    ranks: Ranks = ALONE,
) -> Manifest:
    """Write and seal the folder that ``from_pretrained`` and the predictor load. One left by an earlier try is replaced.

    Its card comes when the model has been measured (``worker.trainer.model_card``).

    Of several ``ranks`` that publish, all call it, and the first writes.
    """
    weights = {} if serving.base is not None else ranks.collect(merged_weights(model, ranks=ranks))
    adapter = ranks.collect(adapter_weights(model)) if has_adapter(model) else {}
    if not ranks.is_first:
        ranks.wait()
        return read_manifest(folder)
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.model_max_length = serving.max_length
    with committed_folder(folder, about={"base_model": serving.base_model}) as temporary:
        if serving.base is not None:
            save_attached(model, temporary, base=serving.base, weights=adapter)
        else:
            model.save_pretrained(temporary, state_dict=weights, max_shard_size=_MAX_SHARD)
            if has_adapter(model):
                save_adapter(model, temporary / FOLDER, base_model=serving.base_model, weights=adapter)
        tokenizer.save_pretrained(temporary)
        (temporary / SERVING_FILE).write_text(serving.model_dump_json(indent=2))
    ranks.wait()
    return read_manifest(folder)


def open_engine(
    folder: Path,
    *,
    model: PreTrainedModel,
    tokenizer: Any,
    serving: ServingSpec,
    load: Callable[[Path], Opened],
    ranks: Ranks,
) -> Opened:
    """The predictor's engine on the model as it now is, by way of a folder that is removed again.

    Of several processes the first makes the folder (transformers would not let another one do it), and all read it.
    """
    if (writers := ranks.publishers) is not None:
        build_model_folder(folder, model=model, tokenizer=tokenizer, serving=serving, ranks=writers)
    ranks.wait()
    try:
        engine = load(folder)
        ranks.wait()
    finally:
        if ranks.is_first:
            shutil.rmtree(folder)
    return engine


def refuse_mismatch(
    served: np.ndarray, trained: np.ndarray, examples: Examples, *, task: Task, metrics: Metrics, precision: str
) -> None:
    """Compare logits of one split from the serving engine and from training. Raises ServingMismatch.

    Answers may differ on near ties only, and so every metric may differ by no more than those explain.
    """
    comparison = task.of_split(examples).compare(served, trained, precision=precision)
    differing = comparison.differing
    if len(differing):
        answers = len(examples if examples.windows is not None else examples.labels)
        raise ServingMismatch(
            f"{len(differing)} of {answers} validation answers are others when the model is served "
            f"(first: in example {examples.example_of(differing[0]) + 1})"
        )
    expected, found = (
        measure(logits, examples, task=task, metrics=metrics) for logits in (trained, comparison.explained)
    )
    for name in set(metrics.names) & expected.keys():
        allowed = ROUNDING[name in CONTINUOUS] * max(1, abs(expected[name]))
        if abs(expected[name] - found[name]) > allowed:
            raise ServingMismatch(f"{name} is {found[name]:.6f} when the model is served and was {expected[name]:.6f}")


def split_report(
    logits: np.ndarray, examples: Examples, *, task: Task, guess: Any, metrics: Metrics, written: list[str] | None
) -> dict[str, Any]:
    """The task's report of a split with its ``metrics``; ``guess`` is ``Task.guess`` of the training split."""
    report = task.of_split(examples).report(logits, examples.labels, offsets=examples.label_offsets, guess=guess)
    return report | {"metrics": measure(logits, examples, task=task, metrics=metrics, written=written)}
