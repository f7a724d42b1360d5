"""How a text is to be generated, from the parameters of a request."""

from typing import Any, Final

from app.prediction.schemas import PredictParameters
from app.prediction.wire import Sampling

_OF_SAMPLING: Final = {*Sampling.__struct_fields__} - {"top_k"}
"""``top_k`` means something for other models too."""


def sampling_of(parameters: PredictParameters) -> Sampling | None:
    """What was asked of a model that generates; None: nothing was."""
    given: dict[str, Any] = parameters.model_dump(include=_OF_SAMPLING, exclude_none=True)
    if given and parameters.top_k is not None:
        given["top_k"] = parameters.top_k
    return Sampling(**given) if given else None
