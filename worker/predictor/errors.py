"""What is wrong with a model, or with a request that only the model can tell."""

from typing import Final

OF_ONE_REQUEST: Final = (RuntimeError, MemoryError, ValueError, TypeError, IndexError, OverflowError)
"""What tokenising or a forward may raise for one request's sake (or for lack of memory); the others are tried alone."""


class ModelLoadError(Exception):
    """The folder is whole, but what it holds cannot be served."""


class PromptTooLongError(Exception):
    """The prompt leaves the model no room for an answer."""

    def __init__(self, *, index: int, num_tokens: int, limit: int) -> None:
        super().__init__(f"the prompt has {num_tokens:,} tokens, and the model reads and writes {limit:,} together")
        self.index = index


class UnfitInputError(Exception):
    """The model does not take one of the inputs; ``index`` is its number in what was to be encoded."""

    def __init__(self, problem: str, *, index: int) -> None:
        super().__init__(problem)
        self.index = index
