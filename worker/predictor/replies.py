"""How the predictor's threads answer: through ``reply``, which may be called from any of them."""

from collections.abc import Callable

import structlog

from app.prediction.wire import Answer, Failure, FailureCode
from worker.predictor.pending import Pending

log = structlog.get_logger(__name__)

Reply = Callable[[Pending, Answer], None]


def failure(pending: Pending, code: FailureCode, message: str, *, param: str | None = None) -> Failure:
    return Failure(request_id=pending.request.request_id, code=code, message=message, param=param)


def refuse(pending: Pending, error: Exception, *, reply: Reply) -> None:
    """Answer that the prediction failed, and log why."""
    log.error("prediction failed", model=pending.request.model_id, exc_info=error)
    reply(pending, failure(pending, "prediction_failed", f"{type(error).__name__}: {error}"))
