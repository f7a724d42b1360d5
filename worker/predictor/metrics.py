"""What the predictor counts of itself. Adding costs about a microsecond; what is dear is done when somebody asks."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.metrics.tally import SECONDS, Tally, exposition, histogram
from app.prediction.wire import Answer, Failure, FailureCode, Prediction

if TYPE_CHECKING:
    from worker.predictor.encoded import EncodedText
    from worker.predictor.scheduler import Scheduler

TEXTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS: Final = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
UnloadReason = Literal["memory", "idle"]


class PredictorCounts:
    """Numbers since the process began. Each method says which thread may call it."""

    def __init__(self) -> None:
        self.queue = Tally(SECONDS)
        self.tokenization = Tally(SECONDS)
        self.inference = Tally(SECONDS)
        self.batch_texts = Tally(TEXTS)
        self.batch_tokens = Tally(TOKENS)
        self.load_seconds = Tally(SECONDS)
        self.num_tokens = 0
        self.num_generated = 0
        self.unloads: Counter[UnloadReason] = Counter()
        self.failures: Counter[FailureCode] = Counter()
        self._lock = threading.Lock()

    def batch(self, encoded: "Sequence[EncodedText]") -> None:
        """These go through their model together. For one thread at a time."""
        self.batch_texts.add(len(encoded))
        self.batch_tokens.add(sum([item.num_tokens for item in encoded]))

    def answered(self, answer: Answer) -> None:
        """Predictions are counted by one thread at a time, one of those that compute; failures by any."""
        if isinstance(answer, Prediction):
            self.queue.add(answer.queue_ms / 1000)
            self.tokenization.add(answer.tokenization_ms / 1000)
            self.inference.add(answer.inference_ms / 1000)
            self.num_tokens += answer.num_tokens
            self.num_generated += sum([found.num_tokens for found in answer.texts])
        elif isinstance(answer, Failure):
            with self._lock:
                self.failures[answer.code] += 1


def metrics_text(scheduler: "Scheduler") -> str:
    """All of it in Prometheus' text format. For any thread."""
    return exposition([*_gauges(scheduler), *_counters(scheduler.counts), *_histograms(scheduler.counts)])


def _gauges(scheduler: "Scheduler") -> Iterator[Metric]:
    for name, about, value in (
        ("waiting_texts", "Texts in the queue", scheduler.num_waiting),
        ("generating_texts", "Texts that are being written", scheduler.num_generating),
        ("loaded_models", "Models in memory", len(scheduler.model_names())),
        ("loaded_bytes", "Memory that the loaded models take", scheduler.used_bytes),
    ):
        yield GaugeMetricFamily(f"tunery_predictor_{name}", about, value=value)


def _counters(counts: PredictorCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("tunery_predictor_tokens", "Tokens read and written", value=counts.num_tokens)
    yield CounterMetricFamily("tunery_predictor_generated_tokens", "Tokens written", value=counts.num_generated)
    unloads = CounterMetricFamily("tunery_predictor_unloads", "Models unloaded, and why", labels=("reason",))
    for reason in get_args(UnloadReason):
        unloads.add_metric((reason,), counts.unloads[reason])
    yield unloads
    failures = CounterMetricFamily("tunery_predictor_failures", "Requests that failed, and how", labels=("code",))
    for code in get_args(FailureCode):
        failures.add_metric((code,), counts.failures[code])
    yield failures


def _histograms(counts: PredictorCounts) -> Iterator[Metric]:
    for name, about, tally in (
        ("batch_texts", "Texts that went through a model together", counts.batch_texts),
        ("batch_tokens", "Tokens that went through a model together", counts.batch_tokens),
        ("load_seconds", "Seconds that loading a model took", counts.load_seconds),
    ):
        yield histogram(f"tunery_predictor_{name}", about, [((), tally)], labels=())
    stages = {"queue": counts.queue, "tokenization": counts.tokenization, "inference": counts.inference}
    yield histogram(
        "tunery_predictor_request_seconds",
        "Seconds that an answered request spent in each stage; loading of its model is queueing",
        [((stage,), tally) for stage, tally in stages.items()],
        labels=("stage",),
    )
