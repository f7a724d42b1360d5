"""An answer that stands in a context."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForQuestionAnswering

from app.dataset.answers import STARTS, TEXT
from app.dataset.resolved import ResolvedData
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.job import JobSpec
from app.spec.mistakes import Mistake
from app.spec.training import DOC_STRIDE, TrainingSpec
from worker.predictor.answers import FoundAnswer, find_answers
from worker.predictor.errors import UnfitInputError
from worker.trainer.answer_report import answer_report
from worker.trainer.answer_scores import score_answers
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes, cut, shown, worst
from worker.trainer.question_tokens import END, FIRST, START, Answer, tokenize_questions
from worker.trainer.tasks.task import Comparison, Task, UnfitRowError
from worker.trainer.tokens import Tokens

NEAR_TIE: Final = {"float32": 1e-4, "bfloat16": 2e-2}
"""Two answers may fall either way between two ways to compute a model if the logarithms of their scores differ by no more."""
_SHOWN: Final = 80
"""Characters of a text that an error shows."""


class QuestionAnswering(Task):
    """A target is a window of a context, as much of it as fits beside the question; each of its tokens has a row of logits.

    Logits are ``[tokens, (start, end)]``, labels ``[tokens, 3]`` uint8 as ``tokenize_questions`` makes them. The loss of a
    window is the mean of two cross entropies over its tokens, of where the answer starts and where it ends (Devlin et al.,
    2019, section 4.2). What is measured is the best answer over all windows of a context, by what also serves: ``predict``
    and what follows from it are for a task ``of_split``.
    """

    problem_type: ClassVar[ProblemType] = "extractive_question_answering"
    auto_model: ClassVar[Any] = AutoModelForQuestionAnswering
    has_fixed_outputs: ClassVar[bool] = True
    hint: ClassVar[str | None] = "answer_start counts the characters of the context from 0."

    def __init__(self, data: ResolvedData) -> None:
        super().__init__(data)
        self.label_names = ["start", "end"]
        self._may_be_none = data.may_have_no_answer
        self._doc_stride = DOC_STRIDE
        self._split: Examples | None = None

    def read_label(self, value: Any) -> list[Answer]:
        """From an object of two lists, or a list of objects."""
        if isinstance(value, dict):
            texts, starts = value.get(TEXT) or [], _start_of(value) or []
            if len(texts) != len(starts):
                raise UnfitRowError(f"has {len(texts)} answers but {len(starts)} places", code="invalid_answer")
            answers = list(zip(texts, starts, strict=True))
        else:
            answers = [
                (answer.get(TEXT), _start_of(answer)) if isinstance(answer, dict) else (answer, None)
                for answer in value
            ]
        for text, start in answers:
            if not isinstance(text, str) or not isinstance(start, int) or isinstance(start, bool):
                raise UnfitRowError("has an answer that is not a text with a place", code="invalid_answer")
        return answers

    def check(self, label: Any, *, pair: str) -> None:
        for text, start in label:
            if not text.strip():
                raise UnfitRowError("has an empty answer; without one both lists are empty", code="invalid_answer")
            where = f"has the answer {_shown(text)} at character {start:,}"
            if not 0 <= start <= len(pair) - len(text):
                raise UnfitRowError(f"{where} of a context of {len(pair):,}", code="invalid_answer")
            if (standing := pair[start : start + len(text)]) != text:
                found = pair.find(text)
                instead = f"; it stands at {found:,}" if found >= 0 else ""
                raise UnfitRowError(f"{where}, where {_shown(standing)} stands{instead}", code="invalid_answer")

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        """The answers, until windows take their place."""
        stacked = np.empty(len(labels), dtype=object)
        for number, answers in enumerate(labels):
            stacked[number] = answers
        return stacked

    def settle(self, spec: JobSpec, *, tokenizer: Any, limit: int) -> JobSpec:  # noqa: ARG002
        self._doc_stride = spec.training.doc_stride
        return spec

    def tokenize(self, tokenizer: Any, examples: Examples, *, max_length: int, cache_dir: Path) -> Tokens:  # noqa: ARG002
        try:
            return tokenize_questions(tokenizer, examples, max_length=max_length, doc_stride=self._doc_stride)
        except UnfitInputError as error:
            raise InvalidData(
                f"{error}: {_shown(examples.texts[error.index])}", param="training.max_length", code="input_too_long"
            ) from error

    def needed_length(self, splits: Sequence[Tokens], *, limit: int) -> int:  # noqa: ARG002
        """All that there is: contexts that come later may be longer than those of the training data."""
        return limit

    def serving(self, args: TrainingSpec) -> dict[str, Any]:
        return {"doc_stride": args.doc_stride, "handle_impossible_answer": self._may_be_none}

    def of_split(self, examples: Examples) -> "QuestionAnswering":
        bound = copy.copy(self)
        bound._split = examples  # noqa: SLF001 - of its own class
        return bound

    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:  # noqa: ARG002
        begins = labels[:, FIRST].nonzero()[:, 0]
        lengths = torch.diff(begins, append=begins.new_tensor([len(labels)])).tolist()
        windows = pad_sequence(list(torch.split(logits.float(), lengths)), batch_first=True, padding_value=-torch.inf)
        total = logits.new_zeros((), dtype=torch.float32)
        for output, column in enumerate((START, END)):
            places = labels[:, column].nonzero()[:, 0] - begins
            total = total + functional.cross_entropy(windows[..., output], places, reduction="sum")
        return total / 2

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        values = logits.astype(np.float64)
        normalizers = np.logaddexp.reduceat(values, np.flatnonzero(labels[:, FIRST]), axis=0)
        right = np.stack([values[labels[:, column] == 1, output] for output, column in enumerate((START, END))], axis=1)
        return float((normalizers - right).mean())

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def predict(self, logits: np.ndarray) -> np.ndarray:
        """The text of the best answer to each question, ``[examples]``; "": there is none."""
        return np.array([found[0].text for found in self._answers(logits)], dtype=object)

    def references(self, examples: Examples) -> list[list[str]]:
        assert examples.answers is not None
        return [[text for text, _ in answers] for answers in examples.answers]

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        differing, explained = [], served.copy()
        rows = self._rows()
        for number, (ours, theirs) in enumerate(
            zip(self._answers(served, num_best=1), self._answers(trained, num_best=2), strict=True)
        ):
            is_tie = len(theirs) > 1 and _log(theirs[0]) - _log(theirs[1]) <= NEAR_TIE[precision]
            if is_tie:
                explained[rows[number] : rows[number + 1]] = trained[rows[number] : rows[number + 1]]
            elif (ours[0].start, ours[0].end) != (theirs[0].start, theirs[0].end):
                differing.append(rows[number])
        return Comparison(differing=np.array(differing, dtype=np.int64), explained=explained)

    def guess(self, labels: np.ndarray) -> None:
        """What can be said without looking at a question is in its context: the report guesses there."""

    def report(
        self,
        logits: np.ndarray,
        labels: np.ndarray,  # noqa: ARG002
        *,
        offsets: np.ndarray,
        guess: None,  # noqa: ARG002
    ) -> dict[str, Any]:
        assert self._split is not None
        return answer_report(
            self.predict(logits).tolist(),
            self.references(self._split),
            questions=self._split.texts,
            contexts=self._split.pairs or [],
        ) | {"num_windows": len(offsets) - 1}

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes:
        """Questions whose answer is no right one by the rules of SQuAD, those first of which the model is most certain."""
        answers = [found[0] for found in self.of_split(examples)._answers(logits)]  # noqa: SLF001 - of its own class
        references = self.references(examples)
        exact = score_answers([answer.text for answer in answers], references).exact
        numbers = np.flatnonzero(exact == 0)
        certainty = np.array([answers[number].score for number in numbers])
        kinds = [(not answers[number].text, not references[number]) for number in numbers]
        kept = []
        for number in numbers[worst(certainty, kinds)].tolist():
            assert examples.answers is not None
            true = examples.answers[number]
            start = true[0][1] if true else answers[number].start
            kept.append(
                Mistake(
                    **shown(examples, number, answer_start=start),
                    label=[cut(text) for text, _ in true],
                    predicted=cut(answers[number].text),
                    score=float(answers[number].score),
                )
            )
        return Mistakes(num_wrong=len(numbers), kept=kept)

    def _answers(self, logits: np.ndarray, *, num_best: int = 1) -> list[list[FoundAnswer]]:
        """To each question of the split, best first."""
        split = self._split
        assert split is not None, "of_split comes first"
        assert split.windows is not None
        rows, of_window = self._rows(), np.split(split.windows.spans, split.label_offsets[1:-1])
        first = self._first_windows()
        return [
            find_answers(
                logits[rows[number] : rows[number + 1]],
                of_window[first[number] : first[number + 1]],
                context or "",
                may_be_none=self._may_be_none,
                num_best=num_best,
            )
            for number, (_, context) in enumerate(split.as_pairs())
        ]

    def _first_windows(self) -> np.ndarray:
        """By example, and behind the last."""
        assert self._split is not None
        assert self._split.windows is not None
        return np.searchsorted(self._split.windows.examples, np.arange(len(self._split) + 1))

    def _rows(self) -> np.ndarray:
        """Where the logits of each example begin, and behind the last."""
        assert self._split is not None
        rows: np.ndarray = self._split.label_offsets[self._first_windows()]
        return rows


def _start_of(members: dict[str, Any]) -> Any:
    return next((members[name] for name in STARTS if name in members), None)


def _log(answer: FoundAnswer) -> float:
    return float(np.log(max(answer.score, np.finfo(np.float64).tiny)))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
