"""Models asked as Hugging Face's clients ask: their parameters, and answers in the shapes that they expect of each task."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from app.errors import InvalidRequest
from app.prediction import service, shapes
from app.prediction.huggingface_schemas import HuggingFaceParameters, HuggingFaceRequest, unfit_parameter
from app.prediction.schemas import PredictParameters, PredictRequest
from app.prediction.serving import look_at
from app.prediction.wire import FoundAnswer, Generated, Piece, Prediction, Token

GENERATING: Final = frozenset({"text-generation", "text2text-generation"})
DRAWING: Final = frozenset({"temperature", "top_p", "top_k"})
NO_ANSWER: Final = FoundAnswer(text="", score=0.0, start=0, end=0)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A body as the client expects it, and the prediction that it was made of."""

    body: Any
    prediction: Prediction


async def ask(model: str, request: HuggingFaceRequest) -> Answered:
    """The answer to every input.

    Raises as ``app.prediction.service.predict`` does, and InvalidRequest for a parameter that is not one of the model's task.
    """
    question, task = await _question(model, request)
    if request.parameters.details and task == "text-generation":
        return await _ask_for_details(question, request)
    _, prediction = await service.predict(question)
    return Answered(body=_shaped(prediction, request, task=task), prediction=prediction)


async def write(model: str, request: HuggingFaceRequest) -> AsyncGenerator[dict[str, Any]]:
    """The tokens behind the one prompt, each as an event of text-generation-inference; the last has the whole text.

    That one is known to be the last only when nothing follows it, so that each token is told when the next one is there.
    Raises as ``ask`` does, before the first event or between any two. Closing it stops the model.
    """
    question, _ = await _question(model, request)
    index, held = 0, None
    answers = service.predict_in_pieces(question)
    async with contextlib.aclosing(answers):
        async for answer in answers:
            if isinstance(answer, Piece):
                for token in answer.tokens:
                    if held is not None:
                        yield _event(held, index=index)
                    index, held = index + 1, token
            else:
                assert held is not None
                yield _last_event(held, answer[1], request, index=index)


async def _question(model: str, request: HuggingFaceRequest) -> tuple[PredictRequest, str]:
    """What is asked in our own words, and the model's task."""
    _, spec = await look_at(model)
    parameters = request.parameters
    if name := unfit_parameter(parameters, spec.task):
        raise InvalidRequest(
            f"parameters.{name}: a model made for {spec.task} takes no such setting.",
            param=f"parameters.{name}",
            code="invalid_input",
        )
    if (parameters.return_full_text or parameters.details) and isinstance(request.inputs, list):
        name = "details" if parameters.details else "return_full_text"
        raise InvalidRequest(
            f"parameters.{name}: is told of one prompt at a time.", param=f"parameters.{name}", code="invalid_input"
        )
    if parameters.return_full_text and not isinstance(request.inputs, str):
        message = "parameters.return_full_text: the prompt must be a text."
        raise InvalidRequest(message, param="parameters.return_full_text", code="invalid_input")
    # Validated already, and a model's id is looked up as it came.
    question = PredictRequest.model_construct(
        model=model,
        inputs=request.inputs,
        parameters=_own_parameters(parameters, task=spec.task),
        stream=request.stream,
    )
    return question, spec.task


def _own_parameters(parameters: HuggingFaceParameters, *, task: str) -> PredictParameters:
    """As text-generation-inference has it, a setting of how tokens are drawn means that they are to be drawn."""
    ours = set(PredictParameters.model_fields)
    values = parameters.model_dump(include=ours, exclude_none=True)
    if parameters.generate_parameters is not None:
        values |= parameters.generate_parameters.model_dump(exclude_none=True)
    if parameters.stop_sequences:
        values["stop"] = [*values.get("stop", ()), *parameters.stop_sequences]
    if task in GENERATING and "do_sample" not in values and not DRAWING.isdisjoint(values):
        values["do_sample"] = True
    return PredictParameters(**values)


async def _ask_for_details(question: PredictRequest, request: HuggingFaceRequest) -> Answered:
    """Tokens are only told of a text that is asked for piece by piece."""
    tokens: list[Token] = []
    answers = service.predict_in_pieces(question)
    async with contextlib.aclosing(answers):
        async for answer in answers:
            if isinstance(answer, Piece):
                tokens += answer.tokens
            else:
                _, prediction = answer
    (found,) = prediction.texts
    details = _details(found, request, last=tokens[-1])
    details |= {"prefill": [], "tokens": [_token(token) for token in tokens]}
    body = [{"generated_text": _full_text(found, request), "details": details}]
    return Answered(body=body, prediction=prediction)


def _shaped(prediction: Prediction, request: HuggingFaceRequest, *, task: str) -> Any:
    """Of a classifier nested even for one input; of the others as transformers' pipelines have it."""
    rows: list[Any]
    match task:
        case "text-classification":
            return [shapes.labels(row) for row in prediction.predictions]
        case "token-classification":
            ignored = request.parameters.ignore_labels or ()
            rows = [shapes.entities(found for found in row if found.kind not in ignored) for row in prediction.entities]
        case "question-answering":
            several = (request.parameters.top_k or 1) > 1
            best = [shapes.answers(row or [NO_ANSWER]) for row in prediction.answers]
            rows = best if several else [row[0] for row in best]
        case "text-generation":
            rows = [[{"generated_text": _full_text(found, request)}] for found in prediction.texts]
        case _:
            return [_answer_of_a_source(found) for found in prediction.texts]
    return rows if isinstance(request.inputs, list) else rows[0]


def _answer_of_a_source(found: Generated) -> dict[str, str]:
    """By the names of text2text generation, summarisation and translation: which of them it is, the client knows."""
    return dict.fromkeys(("generated_text", "summary_text", "translation_text"), found.text)


def _full_text(found: Generated, request: HuggingFaceRequest) -> str:
    prompt = request.inputs if request.parameters.return_full_text and isinstance(request.inputs, str) else ""
    return prompt + found.text


def _token(token: Token) -> dict[str, Any]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def _event(token: Token, *, index: int) -> dict[str, Any]:
    return {"index": index, "token": _token(token), "generated_text": None, "details": None}


def _last_event(token: Token, prediction: Prediction, request: HuggingFaceRequest, *, index: int) -> dict[str, Any]:
    (found,) = prediction.texts
    event = _event(token, index=index) | {"generated_text": _full_text(found, request)}
    if request.parameters.details:
        num_read = prediction.num_tokens - found.num_tokens
        event["details"] = _details(found, request, last=token) | {"input_length": num_read}
    return event


def _details(found: Generated, request: HuggingFaceRequest, *, last: Token) -> dict[str, Any]:
    stops = request.parameters.stop or request.parameters.stop_sequences
    by_itself = "stop_sequence" if stops and not last.special else "eos_token"
    return {
        "finish_reason": "length" if found.finish_reason == "length" else by_itself,
        "generated_tokens": found.num_tokens,
        "seed": request.parameters.seed,
    }
