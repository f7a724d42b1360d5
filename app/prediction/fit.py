"""Which parameters a model takes, told by what it does: what the predictor refuses, before a job is made of it."""

from collections.abc import Iterator

from app.errors import InvalidRequest
from app.prediction.sampling import sampling_of
from app.prediction.schemas import PredictParameters
from app.spec.base import TaskName

_OF_LABELS = ("function_to_apply", "threshold")
_OF_ENTITIES = ("top_k", "function_to_apply")
_OF_ANSWERS = ("max_answer_len", "handle_impossible_answer")


def check_parameters(parameters: PredictParameters, *, task: TaskName) -> None:
    """Raises InvalidRequest, naming a parameter that a model of the task does not take."""
    for name, why in _unfit(parameters, task):
        if getattr(parameters, name) is not None:
            param = f"parameters.{name}"
            raise InvalidRequest(f"{param}: {why}", param=param, code="invalid_input")


def _unfit(parameters: PredictParameters, task: TaskName) -> Iterator[tuple[str, str]]:
    """Names of what it does not take, with the reason."""
    asked = sampling_of(parameters)
    of_sampling = [] if asked is None else [name for name in asked.__struct_fields__ if name != "top_k"]
    match task:
        case "question-answering":
            why = "the model finds answers in a context, and takes no such setting"
            yield from ((name, why) for name in (*_OF_LABELS, *of_sampling))
            return
        case "text-generation" | "text2text-generation":
            yield from ((name, "the model generates texts, not labels") for name in _OF_LABELS)
        case "token-classification":
            yield from ((name, "the model finds entities, which have one label each") for name in _OF_ENTITIES)
            yield from ((name, "the model generates no text, and takes no settings for it") for name in of_sampling)
        case "text-classification":
            yield from ((name, "the model generates no text, and takes no settings for it") for name in of_sampling)
    yield from ((name, "the model does not find answers in a context") for name in _OF_ANSWERS)
