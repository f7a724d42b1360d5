"""Measuring a model on a split, as it will be served: every example once, one number per metric over all of them.

Evaluation runs in the predictor's engine, not in the training forward: in bfloat16 the two differ by more than near ties
can explain, so the checkpoint that is best in training would not be the best that can be served.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import nn

from app.spec.metrics import LOSS
from worker.predictor.encoded import EncodedText
from worker.predictor.engine import LoadedModel, row_places
from worker.trainer.adapters import adapter_weights, merged_weights
from worker.trainer.examples import Examples
from worker.trainer.metrics import Metrics
from worker.trainer.ranks import ALONE, Ranks
from worker.trainer.tasks import Task
from worker.trainer.written import Writer

_EXAMPLES_AT_ONCE: Final = 256
"""Between two looks at whether to stop."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    logits: np.ndarray
    """``[targets, K]``, float32, in the order of the split."""
    metrics: dict[str, float]
    """``loss`` and the job's metrics, without a prefix."""


def measure(
    logits: np.ndarray, examples: Examples, *, task: Task, metrics: Metrics, written: list[str] | None = None
) -> dict[str, float]:
    """``loss`` and the metrics, each one number over the whole split; those of texts where there are ``written`` ones."""
    task, offsets = task.of_split(examples), examples.label_offsets
    found = {LOSS: task.mean_loss(logits, examples.labels)} | metrics.compute(
        predictions=task.for_metrics(task.predict(logits), offsets=offsets),
        scores=task.scores(logits),
        references=task.references(examples),
    )
    if written is not None:
        assert examples.answers is not None
        found |= metrics.compute_texts(written, examples.answers.tolist())
    return found


class Pace:
    """How the processes of a job go through an evaluation: each at its own."""

    def begin(self, interrupted: Callable[[], bool]) -> Callable[[], bool]:
        """What to ask in place of ``interrupted`` on the way."""
        return interrupted

    def end(self, forward: Callable[[], object]) -> bool:  # noqa: ARG002 - here nobody waits for anyone
        """To be called behind the last forward; whether all were interrupted on the way. ``forward`` makes one more, for nothing."""
        return False


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An engine, and how the processes of the job go through it."""

    engine: LoadedModel
    pace: Pace


class Evaluator:
    """Evaluates the weights of the training model on one split. Draws no random numbers and leaves that model alone."""

    def __init__(
        self,
        examples: Examples,
        *,
        encode: Callable[[LoadedModel], list[EncodedText]],
        task: Task,
        metrics: Metrics,
        writer: Writer | None,
        max_tokens: int,
        open_engine: Callable[[], Opened],
        ranks: Ranks = ALONE,
    ) -> None:
        """``open_engine`` gives an engine for a model of the same shape; it is called at the first evaluation.

        ``encode`` gives the inputs of ``examples`` for it, ``writer`` texts for them where a metric is of texts.
        """
        self._examples, self._encode, self._max_tokens = examples, encode, max_tokens
        self._task, self._metrics, self._writer = task, metrics, writer
        self._open_engine, self._ranks = open_engine, ranks
        self._opened: Opened | None = None
        self._encoded: list[EncodedText] = []

    def evaluate(self, model: nn.Module, *, interrupted: Callable[[], bool]) -> Evaluation | None:
        """None if ``interrupted`` became true on the way."""
        if self._opened is None:
            self._opened = self._open_engine()
            self._encoded = self._encode(self._opened.engine)
        engine, pace = self._opened.engine, self._opened.pace
        attached = engine.attachment is not None
        engine.take_weights(adapter_weights(model) if attached else merged_weights(model, ranks=self._ranks))
        logits = shared_logits(
            self._opened, self._encoded, max_tokens=self._max_tokens, interrupted=interrupted, ranks=self._ranks
        )
        if logits is None:
            return None
        written = None
        if self._writer is not None:
            written = self._writer.write(engine, self._examples, interrupted=pace.begin(interrupted))
            if written is None:
                return None
        metrics = measure(logits, self._examples, task=self._task, metrics=self._metrics, written=written)
        return Evaluation(logits=logits, metrics=metrics)


def shared_logits(
    opened: Opened,
    encoded: Sequence[EncodedText],
    *,
    max_tokens: int,
    interrupted: Callable[[], bool] = lambda: False,
    ranks: Ranks,
) -> np.ndarray | None:
    """``engine_logits``, of which each process of the job computes its share and gets all."""
    engine = opened.engine
    if ranks.size == 1:
        return engine_logits(engine, encoded, max_tokens=max_tokens, interrupted=interrupted)
    places = row_places(encoded)
    logits = np.zeros((places[-1], engine.num_outputs), dtype=np.float32)
    share = ranks.share(np.arange(len(encoded)), lengths=np.array([item.num_tokens for item in encoded]))
    interrupted = opened.pace.begin(interrupted)
    found = engine_logits(engine, [encoded[index] for index in share], max_tokens=max_tokens, interrupted=interrupted)
    shortest = min((part for item in encoded for part in item.parts), key=lambda part: part.num_tokens)
    if opened.pace.end(lambda: engine.forward([shortest])) or found is None:
        return None
    if len(share):
        logits[np.concatenate([np.arange(places[index], places[index + 1]) for index in share])] = found
    return ranks.fill_up(logits)


def engine_logits(
    engine: LoadedModel,
    encoded: Sequence[EncodedText],
    *,
    max_tokens: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> np.ndarray | None:
    """Logits ``[rows, K]`` in the order given, the same bits whenever it is called; None if interrupted."""
    longest_first = sorted(range(len(encoded)), key=lambda index: -encoded[index].num_tokens)
    places = row_places(encoded)
    logits = np.empty((places[-1], engine.num_outputs), dtype=np.float32)
    for start in range(0, len(encoded), _EXAMPLES_AT_ONCE):
        if interrupted():
            return None
        indices = longest_first[start : start + _EXAMPLES_AT_ONCE]
        rows = np.concatenate([np.arange(places[index], places[index + 1]) for index in indices])
        logits[rows] = engine.forward([encoded[index] for index in indices], max_tokens=max_tokens)
    return logits
