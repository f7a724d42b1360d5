"""Texts that a model writes for the examples of a split, to be compared with their answers."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.predictor.encoded import EncodedText
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import PromptTooLongError
from worker.trainer.examples import Examples


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Asks a model as ``POST /predict`` does: the most probable token each time, up to ``max_new_tokens`` of them."""

    batch_size: int
    """Examples of like length that are written for together."""
    max_new_tokens: int

    def write(
        self, engine: LoadedModel, examples: Examples, *, interrupted: Callable[[], bool] = lambda: False
    ) -> list[str] | None:
        """A text for each example, ``""`` where the prompt leaves no room for one. None if ``interrupted`` became true."""
        prompts = engine.encode(examples.as_pairs())
        texts = [""] * len(prompts)
        longest_first = sorted(range(len(prompts)), key=lambda index: -prompts[index].num_tokens)
        for start in range(0, len(prompts), self.batch_size):
            indices = longest_first[start : start + self.batch_size]
            answers = self._answers(engine, [prompts[index] for index in indices], interrupted=interrupted)
            if interrupted():
                return None
            for index, answer in zip(indices, answers, strict=True):
                texts[index] = answer
        return texts

    def _answers(
        self, engine: LoadedModel, prompts: list[EncodedText], *, interrupted: Callable[[], bool]
    ) -> list[str]:
        if not prompts:
            return []
        try:
            return engine.write(prompts, max_new_tokens=self.max_new_tokens, stopped=interrupted)
        except PromptTooLongError:  # it is the first, which is the longest
            return ["", *self._answers(engine, prompts[1:], interrupted=interrupted)]
