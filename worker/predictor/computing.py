"""The two threads that do the work: one loads models, one tokenises and computes, turn by turn. Both answer through ``reply``."""

import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import structlog

from app import storage
from app.manifest import CorruptArtefactError
from app.prediction.wire import FailureCode
from app.storage import StoreUnavailable
from worker.predictor.classifying import classify
from worker.predictor.errors import ModelLoadError
from worker.predictor.fetching import discard_copies, fetch_model
from worker.predictor.intake import ready
from worker.predictor.pending import ModelKey
from worker.predictor.replies import Reply, failure
from worker.predictor.scheduler import Scheduler, Turn
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
    """Answer requests until the scheduler stops: a token of each text of a generator's at each turn, of a classifier's what came.

    ``max_cache_bytes`` bounds what is remembered of all texts that are being written.
    """
    writers: dict[ModelKey, GenerationRequests] = {}
    while (turn := scheduler.next_turn()) is not None:
        if turn.model.generator is not None:
            if turn.key not in writers:
                writers[turn.key] = _new_writer(turn.model, max_tokens=max_tokens, reply=reply)
            _write(turn, writers, scheduler=scheduler, max_cache_bytes=max_cache_bytes, reply=reply)
        elif turn.model.writes_answers:
            for pending in ready(scheduler.take(turn.key, at_most=1), turn.model, reply=reply):
                scheduler.counts.batch(pending.encoded or ())
                answer_sources(pending, turn.model, reply=reply)
        else:
            classify(turn, scheduler, max_tokens=max_tokens, reply=reply)
    for writer in writers.values():
        writer.shut_down()


def _new_writer(model: "LoadedModel", *, max_tokens: int, reply: Reply) -> "GenerationRequests":
    from worker.predictor.generation_requests import GenerationRequests  # noqa: PLC0415  it imports torch

    assert model.generator is not None
    return GenerationRequests(model.generator, max_tokens=max_tokens, reply=reply)


def _write(
    turn: Turn,
    writers: "dict[ModelKey, GenerationRequests]",
    *,
    scheduler: Scheduler,
    max_cache_bytes: int,
    reply: Reply,
) -> None:
    """Take requests in, and give each text of the model its next token."""
    writer = writers[turn.key]
    for pending in ready(scheduler.take_prompts(turn.key), turn.model, reply=reply):
        writer.add(pending)
    others = sum(other.reserved_bytes for key, other in writers.items() if key != turn.key)
    writer.turn(max_bytes=max_cache_bytes - others)
    if not writer.pending:
        del writers[turn.key]
    scheduler.turn_ended(turn.key, generating=writer.pending, num_wanted=writer.num_wanted)
