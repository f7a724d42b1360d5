"""What a model answers to many inputs: the same as ``POST /predict`` to each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.prediction import shapes
from app.prediction.sampling import sampling_of
from app.prediction.schemas import PredictParameters
from app.prediction.wire import Sampling
from worker.batch_prediction.rows import Input
from worker.predictor.answers import MAX_ANSWER_LEN, find_answers
from worker.predictor.choosing import NotFiniteError
from worker.predictor.decode import FUNCTIONS, label_scores, scores_of
from worker.predictor.encoded import EncodedText
from worker.predictor.engine import LoadedModel
from worker.predictor.entities import served_entities
from worker.predictor.errors import PromptTooLongError, UnfitInputError
from worker.predictor.prompts import PromptError

TOKENS_AT_A_TIME: Final = 32_768
"""Between two signs of life; the engine itself cuts them into forwards."""
TEXTS_AT_A_TIME: Final = 16
"""That are written together: what is remembered of each takes memory."""

OF_THE_INPUT: Final = (UnfitInputError, PromptError, PromptTooLongError)
OF_ONE_ROW: Final = (
    *OF_THE_INPUT, NotFiniteError, RuntimeError, MemoryError, ValueError, TypeError, IndexError, OverflowError,
)  # fmt: skip
"""What tokenising, a forward, or lack of memory may raise for the sake of one row; the others are asked without it."""

Asked = tuple[Input, EncodedText]
_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """To one row: a prediction in the shape of ``POST /predict``, or why there is none."""

    row: int
    prediction: list[dict[str, Any]] | None = None
    truncated: bool = False
    num_tokens: int = 0
    code: str | None = None
    problem: str | None = None


class Asker:
    """Asks one model, with the same parameters each time. ``goes_on`` is called whenever there is a sign of life."""

    def __init__(self, model: LoadedModel, parameters: PredictParameters, *, goes_on: Callable[[], None]) -> None:
        self._model, self._parameters, self._goes_on = model, parameters, goes_on
        self._sampling = sampling_of(parameters) or Sampling()

    def ask(self, inputs: Sequence[Input], *, on_done: Callable[[int], None]) -> list[Answer]:
        """The answers in the order of ``inputs``; ``on_done`` hears how many rows more are done.

        Raises what the model raised where it did so for every single row: then the rows are not to blame.
        """
        refused = [Answer(row=item.row, code="invalid_input", problem=item.problem) for item in inputs if item.problem]
        fit = [item for item in inputs if not item.problem]
        failures: list[Exception] = []
        encoded, unfit = _one_by_one_if_need_be(fit, self._encode, failures)
        answers = [*refused, *unfit]
        on_done(len(answers))
        for asked in self._at_a_time(encoded):
            found, failed = _one_by_one_if_need_be(asked, self._answer, failures)
            answers += [*found, *failed]
            on_done(len(asked))
            self._goes_on()
        if failures and len(failures) == len(fit) > 1:
            raise failures[-1]
        return sorted(answers, key=lambda answer: answer.row)

    def _encode(self, inputs: Sequence[Input]) -> list[Asked]:
        words = [item.words for item in inputs] if self._model.tags_words else None
        encoded = self._model.encode([(item.text, item.text_pair) for item in inputs], words=words)
        self._goes_on()
        return list(zip(inputs, encoded, strict=True))

    def _at_a_time(self, encoded: Sequence[Asked]) -> list[list[Asked]]:
        """Those of like length together, longest first: if memory does not do, that is known at once."""
        slices: list[list[Asked]] = []
        num_tokens = 0
        for item in sorted(encoded, key=lambda asked: -asked[1].num_tokens):
            tokens = item[1].num_tokens
            full = len(slices[-1]) >= TEXTS_AT_A_TIME if slices and self._model.generates else False
            if not slices or full or num_tokens + tokens > TOKENS_AT_A_TIME:
                slices.append([])
                num_tokens = 0
            slices[-1].append(item)
            num_tokens += tokens
        return slices

    def _answer(self, asked: Sequence[Asked]) -> list[Answer]:
        encoded = [item for _, item in asked]
        if self._model.generates:
            return self._write(asked, encoded)
        logits = self._model.forward(encoded)
        rows = np.split(logits, np.cumsum([item.num_rows for item in encoded])[:-1])
        return [self._read(*item, own) for item, own in zip(asked, rows, strict=True)]

    def _write(self, asked: Sequence[Asked], encoded: Sequence[EncodedText]) -> list[Answer]:
        written = self._model.generate(encoded, self._sampling, stopped=self._is_not_stopped)
        return [
            Answer(
                row=item.row,
                prediction=shapes.text(text),
                truncated=seen.truncated,
                num_tokens=seen.num_tokens + text.num_tokens,
            )
            for (item, seen), text in zip(asked, written, strict=True)
        ]

    def _is_not_stopped(self) -> bool:
        """Asked before every token: a stop interrupts the process itself."""
        self._goes_on()
        return False

    def _read(self, item: Input, encoded: EncodedText, logits: NDArray[np.float32]) -> Answer:
        unseen = np.array(encoded.first_tokens or (), dtype=np.int64) < 0 if self._model.tags_words else ()
        if not np.isfinite(np.delete(logits, unseen, axis=0)).all():
            problem = "the model's outputs are not finite numbers"
            return Answer(row=item.row, code="prediction_failed", problem=problem)
        return Answer(
            row=item.row,
            prediction=self._prediction(item, encoded, logits),
            truncated=encoded.truncated,
            num_tokens=encoded.num_tokens,
        )

    def _prediction(self, item: Input, encoded: EncodedText, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
        spec, parameters = self._model.spec, self._parameters
        if self._model.finds_answers:
            may_be_none = parameters.handle_impossible_answer
            answers = find_answers(
                logits,
                [part.spans for part in encoded.parts if part.spans is not None],
                item.text_pair or "",
                may_be_none=spec.handle_impossible_answer if may_be_none is None else may_be_none,
                num_best=parameters.top_k or 1,
                max_answer_len=parameters.max_answer_len or MAX_ANSWER_LEN,
            )
            return shapes.answers(answers)
        if self._model.tags_words:
            entities = served_entities(
                scores_of(logits, function_to_apply=FUNCTIONS[spec.problem_type]),
                text=item.text,
                words=encoded.words or [],
                labels=spec.labels,
                threshold=parameters.threshold,
            )
            return shapes.entities(entities)
        (row,) = label_scores(
            logits,
            labels=spec.labels,
            function_to_apply=parameters.function_to_apply or FUNCTIONS[spec.problem_type],
            top_k=parameters.top_k,
            threshold=parameters.threshold,
        )
        return shapes.labels(row)


def _one_by_one_if_need_be(
    items: Sequence[Any], do: Callable[[Sequence[Any]], list[_Item]], failures: list[Exception]
) -> tuple[list[_Item], list[Answer]]:
    """What ``do`` gives for all items, and answers for those for which it raises: found by halves, so that few are tried alone.

    ``failures`` hears what it raised for an item that need not be the item's fault.
    """
    if not items:
        return [], []
    try:
        return do(items), []
    except OF_ONE_ROW as error:
        if len(items) > 1:
            middle = len(items) // 2
            done, failed = _one_by_one_if_need_be(items[:middle], do, failures)
            more_done, more_failed = _one_by_one_if_need_be(items[middle:], do, failures)
            return done + more_done, failed + more_failed
        item = items[0] if isinstance(items[0], Input) else items[0][0]
        if isinstance(error, OF_THE_INPUT):
            return [], [Answer(row=item.row, code="invalid_input", problem=str(error))]
        failures.append(error)
        problem = f"{type(error).__name__}: {error}"
        return [], [Answer(row=item.row, code="prediction_failed", problem=problem)]
