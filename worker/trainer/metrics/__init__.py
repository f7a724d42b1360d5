"""Metrics as ``evaluate`` modules of our own, loaded by path: the library ships none and would ask the Hub for them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.spec.base import ProblemType
from app.spec.metrics import AVERAGES, WRITTEN
from worker.trainer.metrics.counting import MULTI_LABEL

_OF_ENTITIES: Final = {
    "f1": "overall_f1",
    "precision": "overall_precision",
    "recall": "overall_recall",
    "accuracy": "overall_accuracy",
    "f1_macro": "macro_f1",
}
_OF_ANSWERS: Final = {"squad_f1": "f1", "squad_exact_match": "exact_match"}
_TOGETHER: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "token_classification": ("seqeval", _OF_ENTITIES),
    "extractive_question_answering": ("squad", _OF_ANSWERS),
}
"""By problem: a module that gives all of its metrics at once, and what it calls them."""
_ROUGE: Final = "rouge"
"""Gives all four at once."""
_RANKING = "roc_auc"
"""Looks at scores; all others look at predictions."""


class Metrics:
    """The metrics of a job, computed together."""

    def __init__(self, names: Sequence[str], *, problem_type: ProblemType, num_labels: int, cache_dir: Path) -> None:
        """``cache_dir`` belongs to this process alone: ``evaluate`` copies modules and writes scratch files there."""
        os.environ["HF_MODULES_CACHE"] = str(cache_dir / "modules")
        import evaluate  # noqa: PLC0415 - reads the variable above when it is imported, and takes a second to

        self.names = tuple(names)
        self._plain_average = "binary" if num_labels == 2 and problem_type == "single_label_classification" else "macro"
        self._num_labels = num_labels
        self._together = _TOGETHER.get(problem_type)
        self._measures_tokens = problem_type in {"language_modeling", "sequence_to_sequence"}
        self.of_texts = tuple(name for name in self.names if name in WRITTEN)
        """Those that compare a written text with an answer; all others look at logits."""
        asked = [name for name in self.names if name not in WRITTEN] if self._together is None else [self._together[0]]
        asked += dict.fromkeys(map(_writing, self.of_texts))
        calls = {name: self._call_of(name) for name in asked}
        self._options = {name: options for name, (_, options) in calls.items()}
        self._modules: dict[str, Any] = {
            name: evaluate.load(
                str(Path(__file__).parent / module / f"{module}.py"),
                MULTI_LABEL if problem_type == "multi_label_classification" else None,
                cache_dir=str(cache_dir / "metrics"),
                experiment_id=f"{name}-{os.getpid()}",
                keep_in_memory=True,
            )
            for name, (module, _) in calls.items()
        }

    def compute(self, *, predictions: Any, scores: np.ndarray, references: Any) -> dict[str, float]:
        """One number for each name but those ``of_texts``.

        ``predictions`` and ``references`` are class ids ``[n]``, 0 and 1 for each label ``[n, K]``, numbers ``[n]``, or the
        tags of the words of each example, as lists, the measures of tokens, or texts and lists of right ones; ``scores`` are
        those of the classes or labels, ``[n, K]``.
        """
        if self._measures_tokens:
            return self._of_tokens(predictions)
        if self._together is not None:
            together, called = self._together
            answer = self._modules[together].compute(predictions=predictions, references=references)
            return {name: float(answer[called[name]]) for name in self.names}
        found: dict[str, float] = {}
        for name, module in self._modules.items():
            if name == _RANKING:
                chosen, columns = self._ranked(scores, references)
                answer = module.compute(prediction_scores=chosen, references=columns)
            else:
                answer = module.compute(predictions=predictions, references=references, **self._options[name])
            (found[name],) = map(float, answer.values())
        return found

    def _of_tokens(self, measures: np.ndarray) -> dict[str, float]:
        """From the measures of each token, ``[tokens, (loss, correct)]``."""
        inputs: dict[str, dict[str, Any]] = {
            "perplexity": {"predictions": measures[:, 0]},
            "accuracy": {
                "predictions": measures[:, 1].astype(np.int64),
                "references": np.ones(len(measures), np.int64),
            },
        }
        return {
            name: float(*self._modules[name].compute(**given).values())
            for name, given in inputs.items()
            if name in self.names
        }

    def compute_texts(self, written: list[str], answers: list[str]) -> dict[str, float]:
        """One number for each name in ``of_texts``."""
        found: dict[str, float] = {}
        for module in dict.fromkeys(map(_writing, self.of_texts)):
            found |= self._modules[module].compute(predictions=written, references=answers)
        return {name: float(found[name]) for name in self.of_texts}

    def _call_of(self, name: str) -> tuple[str, dict[str, Any]]:
        """The module of a metric, and what it is called with."""
        if name == "rmse":
            return "mse", {"squared": False}
        module, _, average = name.rpartition("_")
        if average in AVERAGES:
            return module, {"average": average}
        return name, {"average": self._plain_average} if name in {"f1", "precision", "recall"} else {}

    def _ranked(self, scores: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and references with a column for each class; of two classes only class 1, the other says the same."""
        if references.ndim == 2:
            return scores, references
        columns = (references[:, None] == np.arange(self._num_labels)).astype(np.int64)
        first = 1 if self._num_labels == 2 else 0
        return scores[:, first:], columns[:, first:]


def _writing(name: str) -> str:
    """The module of a metric of texts."""
    return _ROUGE if name.startswith(_ROUGE) else name
