"""What the Hugging Face libraries raise about a model or data set, in the user's words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final, Literal

import httpx2
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from app.errors import InvalidData, InvalidModel, ServiceError, Unavailable

Kind = Literal["model", "dataset"]

HUB_TIMEOUT_SECONDS: Final = 10.0


def hub_answers(model: str, *, revision: str | None) -> bool:
    """Whether the Hub can be asked for ``model``. Asked once: the libraries ask again and again for each file.

    Raises InvalidModel if it answers that there is no such model.
    """
    with told_to_the_user(model, kind="model"):
        try:
            HfApi().model_info(model, revision=revision, timeout=HUB_TIMEOUT_SECONDS)
        except (httpx2.TransportError, OfflineModeIsEnabled):
            return False
        except HfHubHTTPError as error:
            if error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return False
            raise
    return True


@contextmanager
def told_to_the_user(name: str, *, kind: Kind) -> Iterator[None]:
    """Turn what the Hugging Face libraries raise about ``name`` (a "model" or a "dataset") into a ServiceError."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        told = _translate(error, name=name, kind=kind)
        if told is None:
            raise
        raise told from error


def _translate(error: Exception, *, name: str, kind: Kind) -> ServiceError | None:
    causes = list(_causes(error))

    def any_is(*classes: type[BaseException]) -> bool:
        return any(isinstance(cause, classes) for cause in causes)

    refused = InvalidModel if kind == "model" else InvalidData
    names = {type(cause).__name__ for cause in causes}
    if any_is(GatedRepoError):
        return refused(
            f"{name} is gated: the Hub gives it only to accounts that were granted access",
            param=kind,
            code=f"{kind}_gated",
            hint="ask for access on its page, and set a token of yours that may read it (tunery hub-token set)",
        )
    if any_is(LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError, TimeoutError) or names & {
        "ConnectError", "ConnectTimeout", "ReadTimeout", "ProxyError", "OfflineModeIsEnabled",
    }:  # fmt: skip
        return Unavailable(
            f"the Hugging Face Hub cannot be reached, and {name} is not in its cache",
            param=kind,
            code="hub_unreachable",
        )
    if any_is(RepositoryNotFoundError, RevisionNotFoundError) or names & {
        "DatasetNotFoundError",
        "DataFilesNotFoundError",
    }:
        return refused(
            f"there is no {kind} {name} on the Hugging Face Hub, or it is private", param=kind, code=f"{kind}_not_found"
        )
    if any_is(HfHubHTTPError):
        return Unavailable(
            f"the Hugging Face Hub did not answer for {name}: {error}", param=kind, code="hub_unreachable"
        )
    is_shortage = (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or getattr(error, "errno", None) == errno.ENOSPC
    )
    if kind == "model" and not is_shortage:  # a configuration can be wrong in ways that end in any kind of error
        return InvalidModel(
            f"{name} cannot be loaded: {_first_line(error)}", param="model", code="model_unsupported",
            hint="it must be an encoder, a decoder or both, as transformers knows them, with safetensors weights and no code of its own",
        )  # fmt: skip
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
