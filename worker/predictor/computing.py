"""The two threads that do the work: one loads models, one tokenises and computes, turn by turn. Both answer through ``reply``."""

import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog

from app import storage
from app.manifest import CorruptArtefactError
from app.prediction.wire import Failure, FailureCode
from app.storage import StoreUnavailable
from worker.predictor.answering import answer
from worker.predictor.errors import ModelLoadError, UnfitInputError
from worker.predictor.fetching import discard_copies, fetch_model
from worker.predictor.questions import too_long, unfit_for_answers, unfit_for_others
from worker.predictor.replies import OF_ONE_REQUEST, Reply, failure, refuse
from worker.predictor.scheduler import ModelKey, Pending, Scheduler, Turn
from worker.predictor.written_answers import answer_sources

if TYPE_CHECKING:
    from worker.predictor.bases import Bases
    from worker.predictor.engine import LoadedModel
    from worker.predictor.generation_requests import GenerationRequests

log = structlog.get_logger(__name__)
Returned = TypeVar("Returned")


def load_models(scheduler: Scheduler, *, reply: Reply) -> None:
    """Load what is asked for, one model at a time, until the scheduler stops. Imports torch, which takes seconds."""
    from worker.predictor.bases import Bases  # noqa: PLC0415  the socket answers meanwhile
    from worker.predictor.loading import default_device  # noqa: PLC0415

    scheduler.device = default_device()
    gc.freeze()  # what was imported stays: looking through it again and again would halt everybody
    bases = Bases()
    while (key := scheduler.next_load()) is not None:
        code: FailureCode
        try:
            started = time.monotonic()
            model = _in_thread_of_its_own(lambda: _loaded_and_tried(key, bases=bases))
        except CorruptArtefactError as error:
            code, problem = "artifact_corrupt", error
        except StoreUnavailable as error:
            code, problem = "storage_unavailable", error  # type: ignore[assignment]
        except (ModelLoadError, MemoryError, RuntimeError, OSError) as error:
            code, problem = "model_load_failed", error  # type: ignore[assignment]
        else:
            scheduler.num_base_loads = bases.num_loads
            scheduler.counts.load_seconds.add(time.monotonic() - started)
            _announce(scheduler, key, model, seconds=time.monotonic() - started)
            del model  # how long it stays is the scheduler's to say
            continue
        log.error("model could not be loaded", folder=str(key.folder), code=code, error=str(problem))
        for pending in scheduler.load_failed(key):
            reply(pending, failure(pending, code, str(problem)))


def _in_thread_of_its_own(function: Callable[[], Returned]) -> Returned:
    """What ``function`` returns or raises.

    The threads with which OpenMP helps a thread end with it. Did they stay, they would be counted, and with more of them than
    processors none of the process spins while it waits for work: a text alone would then take half as long again.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        return thread.submit(function).result()


def _loaded_and_tried(key: ModelKey, *, bases: "Bases") -> "LoadedModel":
    model = _load(key, bases=bases)
    if model.generator is not None:
        model.generator.try_out()
    return model


def _load(key: ModelKey, *, bases: "Bases") -> "LoadedModel":
    """From this machine's copy. One that is damaged is fetched again, once, where there is a store."""
    from worker.predictor.engine import LoadedModel  # noqa: PLC0415

    with storage.held():
        fetch_model(key)
        try:
            return LoadedModel.load(key.folder, expected_manifest_sha256=key.manifest_sha256, bases=bases)
        except CorruptArtefactError:
            if not discard_copies(key.folder):
                raise
        fetch_model(key)
        return LoadedModel.load(key.folder, expected_manifest_sha256=key.manifest_sha256, bases=bases)


def _announce(scheduler: Scheduler, key: ModelKey, model: "LoadedModel", *, seconds: float) -> None:
    name = key.folder.name
    unloaded = scheduler.loaded(key, model=model, name=name)
    log.info("model loaded", model=name, seconds=round(seconds, 3), bytes=model.memory_bytes, unloaded=unloaded)


def take_turns(scheduler: Scheduler, *, max_tokens: int, max_cache_bytes: int, reply: Reply) -> None:
    """Answer requests until the scheduler stops: a batch of a classifier's at each turn, a token of each text of a generator's.

    ``max_cache_bytes`` bounds what is remembered of all texts that are being written.
    """
    writers: dict[ModelKey, GenerationRequests] = {}
    while (turn := scheduler.next_turn()) is not None:
        wanted = []
        for pending in turn.requests:
            if pending.is_late():
                reply(pending, failure(pending, "deadline_exceeded", "nobody waits for it any more"))
            elif problem := _unfit(pending, turn.model):
                reply(pending, problem)
            else:
                wanted.append(pending)
        ready = _tokenize(wanted, turn.model, reply=reply)
        if turn.model.generator is not None:
            if turn.key not in writers:
                writers[turn.key] = _new_writer(turn.model, max_tokens=max_tokens, reply=reply)
            _write(turn, ready, writers, scheduler=scheduler, max_cache_bytes=max_cache_bytes)
            continue
        most = min(max_tokens, turn.model.tokens_at_once or max_tokens)
        batch, rest = (ready[:1], ready[1:]) if turn.model.writes_answers else _cut(ready, max_tokens=most)
        scheduler.put_back(rest)
        if batch:
            scheduler.counts.batch(batch)
        if batch and turn.model.writes_answers:
            answer_sources(batch[0], turn.model, reply=reply)
        elif batch:
            answer(batch, turn.model, max_tokens=max_tokens, reply=reply)
    for writer in writers.values():
        writer.shut_down()


def _new_writer(model: "LoadedModel", *, max_tokens: int, reply: Reply) -> "GenerationRequests":
    from worker.predictor.generation_requests import GenerationRequests  # noqa: PLC0415  it imports torch

    assert model.generator is not None
    return GenerationRequests(model.generator, max_tokens=max_tokens, reply=reply)


def _write(
    turn: Turn,
    requests: list[Pending],
    writers: "dict[ModelKey, GenerationRequests]",
    *,
    scheduler: Scheduler,
    max_cache_bytes: int,
) -> None:
    """Take the requests in, and give each text of the model its next token."""
    writer = writers[turn.key]
    for pending in requests:
        writer.add(pending)
    others = sum(other.reserved_bytes for key, other in writers.items() if key != turn.key)
    writer.turn(max_bytes=max_cache_bytes - others)
    if not writer.pending:
        del writers[turn.key]
    scheduler.turn_ended(turn.key, generating=writer.pending, num_wanted=writer.num_wanted)


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
    for pending in fresh:
        pending.encoded = encoded[position : position + pending.num_texts]
        pending.tokenization_seconds = seconds
        position += pending.num_texts
        if problem := too_long(pending.encoded):
            reply(pending, failure(pending, "invalid_input", problem, param="inputs"))
    return [pending for pending in requests if not too_long(pending.encoded or ())]


def _cut(requests: list[Pending], *, max_tokens: int) -> tuple[list[Pending], list[Pending]]:
    """Split into whole requests of ``max_tokens`` together (one at least) and the rest."""
    total = 0
    for position, pending in enumerate(requests):
        total += sum(item.num_tokens for item in pending.encoded or ())
        if position and total > max_tokens:
            return requests[:position], requests[position:]
    return requests, []
