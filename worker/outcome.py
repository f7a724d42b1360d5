"""How a trainer ended, committed once: published, failed, cancelled, drained, or to be tried again."""

import signal
from collections import deque
from pathlib import Path
from typing import Final, assert_never

import structlog

from app import failpoints, ids
from app.config import get_settings
from app.db import transaction
from app.file import results
from app.job import events, gathering, lifecycle, repository
from app.job.repository import Claim
from app.model import service as models
from app.spec.job import JobSpec
from app.spec.kinds import JobKind, stored_spec
from app.spec.messages import ErrorMessage, FilesMessage, ResultMessage
from app.spec.run import TRAINER_LOG, ExitCode
from worker import isolation, step_metrics
from worker.patience import GivenUp
from worker.result_files import progress_at_the_end, publish_files

log = structlog.get_logger(__name__)

LAST_LINES = 20


def commit_outcome(
    claim: Claim,
    exit_code: int,
    *,
    result: ResultMessage | FilesMessage | None,
    error: ErrorMessage | None,
    given_up: GivenUp | None = None,
) -> None:
    """``given_up``: why the trainer was killed, if it was. Raises ClaimLost when another attempt owns the job, and DBAPIError when the database is away."""
    if exit_code == ExitCode.SUCCESS and result is not None:
        publish_files(claim, result) if isinstance(result, FilesMessage) else publish(claim, result)
        return
    known = exit_code in {code.value for code in ExitCode}
    with transaction() as session:
        if known:
            match ExitCode(exit_code):
                case ExitCode.DRAINED:
                    lifecycle.drained(session, claim)
                    return
                case ExitCode.CANCELLED:
                    lifecycle.cancelled(session, claim)
                    return
                case ExitCode.USER_ERROR if error is not None:
                    lifecycle.fail(session, claim, error=error.model_dump(exclude={"type"}))
                    return
                case ExitCode.USER_ERROR | ExitCode.SUCCESS:
                    pass  # it kept the reason, or the result, to itself: that is a crash
                case never:
                    assert_never(never)
        if given_up is not None and given_up.for_good:
            failure = {"code": given_up.code, "message": given_up.message, "param": None, "hint": given_up.hint}
            lifecycle.fail(session, claim, error=failure)
            return
        if given_up is not None and given_up.is_loss:
            gathering.node_lost(session, claim, reason=given_up.message)
            return
        job = repository.get(session, claim.job_id)
        assert job is not None
        said = given_up or (None if known else error)
        message, code, hint = _describe(exit_code, said=said, kind=JobKind(job.kind))
        last_lines = _last_log_lines(claim)
        log.warning("the trainer crashed", job_id=claim.job_id, exit_code=exit_code, last_lines=last_lines)
        events.append(session, claim.job_id, message, level="warn", data={"code": code, "last_log_lines": last_lines})
        lifecycle.crashed(session, claim, code=code, message=message, hint=hint)


def publish(claim: Claim, result: ResultMessage) -> None:
    """Move the model where models live, then make it and the metrics of its steps known and end the job in one transaction."""
    with transaction() as session:
        lifecycle.write(session, claim, phase="publishing")
        job = repository.get(session, claim.job_id)
        assert job is not None
        spec = stored_spec(job.kind, job.spec)
        assert isinstance(spec, JobSpec)
    failpoints.reach("publish.announced")
    model_id = ids.fine_tuned_model_id(spec.model, suffix=spec.suffix, job_id=claim.job_id)
    if result.base is not None:
        models.place_base(
            isolation.take_back(Path(result.base.path), job_id=claim.job_id), weights_sha256=result.base.weights_sha256
        )
    folder = models.place(isolation.take_back(Path(result.model_path), job_id=claim.job_id), model_id=model_id)
    failpoints.reach("publish.placed")
    step_metrics_file, step_metrics_folder = step_metrics.write(claim.job_id)
    with transaction() as session:
        attempt = repository.attempt(session, claim)
        assert attempt is not None
        attempt.last_step = result.last_step
        models.publish(
            session,
            model_id=model_id,
            job_id=claim.job_id,
            base_model=spec.model,
            task=spec.task,
            folder=folder,
            metrics=result.metrics,
            base_sha256=result.base.weights_sha256 if result.base else None,
        )
        results.publish(session, step_metrics_file, folder=step_metrics_folder, job_id=claim.job_id)
        lifecycle.succeed(
            session,
            claim,
            model_id=model_id,
            result_files=[step_metrics_file.file_id],
            report=result.report,
            timings=result.timings,
            best_metrics=_best(result),
            progress=progress_at_the_end(job.progress, last_step=result.last_step, num_tokens=result.num_tokens),
        )
        failpoints.reach("publish.written")
    failpoints.reach("publish.stored")


def _best(result: ResultMessage) -> dict[str, float]:
    return {"step": result.best_step, "epoch": result.best_epoch, **result.metrics}


OUT_OF_MEMORY_HINTS: Final[dict[JobKind, str]] = {
    JobKind.TRAINING: "Use a smaller per_device_train_batch_size or max_length, with more gradient_accumulation_steps.",
    JobKind.PREDICTION: "The model needs a worker with more memory.",
    JobKind.EXPORT: "The model and its copy need a worker with more memory.",
}


def _describe(exit_code: int, *, said: GivenUp | ErrorMessage | None, kind: JobKind) -> tuple[str, str, str | None]:
    """What to say of a crash: message, code, hint. It may be known already: why the trainer was killed, or what it said itself."""
    if said is not None:
        return said.message, said.code, said.hint
    if exit_code in {-signal.SIGKILL, 128 + signal.SIGKILL}:
        return (
            "The trainer was killed, most likely because the machine ran out of memory.",
            "out_of_memory",
            OUT_OF_MEMORY_HINTS[kind],
        )
    if exit_code < 0:
        return f"The trainer died of {signal.Signals(-exit_code).name}.", "trainer_crashed", "Its log says more."
    return f"The trainer ended with exit code {exit_code}.", "trainer_crashed", "Its log says more."


def _last_log_lines(claim: Claim) -> list[str]:
    path = get_settings().jobs_dir / claim.job_id / f"attempt-{claim.attempt}" / TRAINER_LOG
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n")[:500].replace("\0", "\ufffd") for line in deque(file, maxlen=LAST_LINES)]
    except OSError:
        return []
