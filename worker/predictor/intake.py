"""What is done with requests that were taken from the queue before they are computed: some are refused, the others tokenised."""

import time
from typing import TYPE_CHECKING

from app.prediction.wire import Failure
from worker.predictor.errors import OF_ONE_REQUEST, UnfitInputError
from worker.predictor.pending import Pending
from worker.predictor.questions import too_long, unfit_for_answers, unfit_for_others
from worker.predictor.replies import Reply, failure, refuse

if TYPE_CHECKING:
    from worker.predictor.engine import LoadedModel


def ready(requests: list[Pending], model: "LoadedModel", *, reply: Reply) -> list[Pending]:
    """Those of ``requests`` that are still wanted and that the model takes, with ``encoded``. The others are answered."""
    now = time.monotonic()
    wanted = []
    for pending in requests:
        if pending.is_late(now):
            pending.is_cancelled = True
            reply(pending, failure(pending, "deadline_exceeded", "nobody waits for it any more"))
        elif pending.encoded is None and (problem := _unfit(pending, model)):
            reply(pending, problem)
        else:
            wanted.append(pending)
    return _tokenize(wanted, model, reply=reply)


def _unfit(pending: Pending, model: "LoadedModel") -> Failure | None:
    request = pending.request
    unfit = unfit_for_answers(request) if model.finds_answers else unfit_for_others(request)
    if unfit is not None:
        return failure(pending, "invalid_input", unfit.message, param=unfit.param)
    if not model.generates and (request.sampling is not None or request.stream):
        message = "the model generates no text, and takes no settings for it"
        return failure(pending, "invalid_input", message, param="stream" if request.stream else "parameters")
    if model.generates:
        return _unfit_to_generate(pending, model)
    if not model.tags_words and request.words is not None:
        index = next(index for index, words in enumerate(request.words) if words is not None)
        return failure(pending, "invalid_input", "the model takes texts, not words", param=f"inputs[{index}].tokens")
    if model.tags_words:
        for name in ("top_k", "function_to_apply"):
            if getattr(request, name) is not None:
                message = "the model finds entities, which have one label each"
                return failure(pending, "invalid_input", message, param=f"parameters.{name}")
    if len(model.spec.text_fields) > 1:
        return None
    for index, (_, pair) in enumerate(request.inputs):
        if pair is not None:
            message = "the model was trained on single texts and takes no text_pair"
            return failure(pending, "invalid_input", message, param=f"inputs[{index}].text_pair")
    return None


def _unfit_to_generate(pending: Pending, model: "LoadedModel") -> Failure | None:
    request = pending.request
    for name in ("function_to_apply", "threshold"):
        if getattr(request, name) is not None:
            return failure(
                pending, "invalid_input", "the model generates texts, not labels", param=f"parameters.{name}"
            )
    if request.stream and model.writes_answers:
        message = "the answers of an encoder-decoder come whole: leave out stream"
        return failure(pending, "invalid_input", message, param="stream")
    if request.words is not None:
        return failure(pending, "invalid_input", "the model takes prompts, not words", param="inputs.tokens")
    return None


def _tokenize(requests: list[Pending], model: "LoadedModel", *, reply: Reply) -> list[Pending]:
    """Fill in ``encoded`` where it is missing, all in one call. Returns those that have it."""
    fresh = [pending for pending in requests if pending.encoded is None]
    if not fresh:
        return requests
    started = time.monotonic()
    try:
        encoded = model.encode(
            [text for pending in fresh for text in pending.request.inputs],
            words=[words for pending in fresh for words in pending.request.words or [None] * pending.num_texts],
        )
    except (*OF_ONE_REQUEST, UnfitInputError) as error:
        if len(requests) > 1:
            return [done for pending in requests for done in _tokenize([pending], model, reply=reply)]
        if isinstance(error, UnfitInputError):
            reply(requests[0], failure(requests[0], "invalid_input", str(error), param=f"inputs[{error.index}]"))
            return []
        refuse(requests[0], error, reply=reply)
        return []
    seconds = time.monotonic() - started
    position = 0
    refused = set()
    for pending in fresh:
        pending.encoded = encoded[position : position + pending.num_texts]
        pending.tokenization_seconds = seconds
        position += pending.num_texts
        if problem := too_long(pending.encoded):
            reply(pending, failure(pending, "invalid_input", problem, param="inputs"))
            refused.add(pending)
    return [pending for pending in requests if pending not in refused]
