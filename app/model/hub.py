"""What the Hugging Face Hub says of a model or data set, while a job is being submitted.

A definite answer (unknown, gated, unfit) refuses the job. No answer refuses nothing: a hub that cannot be reached is not
the client's fault, and the trainer, which may have the files in its cache, looks again. The token is the caller's project's, else
the server's own. ``HF_ENDPOINT``, ``HF_TOKEN``,
``HF_HOME`` and ``HF_HUB_OFFLINE`` mean what they mean to huggingface_hub, which is imported on first use.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from app import caller
from app.config import get_settings
from app.errors import InvalidData, InvalidModel, ServiceError
from app.hub_token import service as hub_tokens
from app.model.inspection import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    TOKENIZER_CONFIG_FILE,
    ModelInfo,
    inspect_config,
    inspect_file_names,
    parse_config,
)

log = structlog.get_logger(__name__)

_FORBIDDEN: Final = (401, 403)
_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """A Hub repository that can be fine-tuned."""

    info: ModelInfo
    commit: str | None
    """The commit that ``revision`` stood for when it was asked; ``None`` when it was read from the cache."""


class HubUnreachableError(Exception):
    """The hub gave no definite answer: no connection, too slow, an error of its own, or offline mode."""


def inspect_model(name: str, *, revision: str | None) -> HubModel | None:
    """What the model is; ``None`` if the hub cannot be reached and the model is not in the local cache.

    Raises InvalidModel with the code ``model_not_found``, ``model_revision_not_found``, ``model_gated`` or one of
    ``app.model.inspection``. Takes about ``hub_timeout_seconds`` at most, beside the resolution of the hub's name.
    """
    try:
        try:
            with _answers(name, kind="model"):
                return _ask_for_model(_Hub(), name, revision=revision)
        except HubUnreachableError as error:
            log.warning("the hub cannot be reached", model=name, reason=str(error))
            return _cached_model(name, revision=revision)
    except InvalidModel as error:
        if error.param != _REVISIONS["model"]:
            error.param = _PARAMS["model"]  # the fault may lie in a file, but what the client can change is the name
        raise


def check_dataset(name: str, *, config: str | None, revision: str | None) -> str | None:
    """The commit that ``revision`` stands for; ``revision`` itself if the hub cannot be reached.

    Raises InvalidData with the code ``dataset_not_found``, ``dataset_revision_not_found``, ``dataset_gated``,
    ``dataset_config_not_found`` or ``dataset_config_missing``.
    """
    try:
        with _answers(name, kind="dataset"):
            return _ask_for_dataset(_Hub(), name, config=config, revision=revision)
    except HubUnreachableError as error:
        log.warning("the hub cannot be reached", dataset=name, reason=str(error))
        return revision


def _ask_for_model(hub: "_Hub", name: str, *, revision: str | None) -> HubModel:
    repository = hub.api.model_info(name, revision=revision, timeout=hub.seconds_left())
    names = [sibling.rfilename for sibling in repository.siblings or ()]
    inspect_file_names(names)
    commit = repository.sha
    config = hub.read(name, CONFIG_FILE, revision=commit)
    tokenizer = hub.read(name, TOKENIZER_CONFIG_FILE, revision=commit) if TOKENIZER_CONFIG_FILE in names else None
    return HubModel(info=_inspect(config, tokenizer), commit=commit)


def _ask_for_dataset(hub: "_Hub", name: str, *, config: str | None, revision: str | None) -> str | None:
    repository = hub.api.dataset_info(name, revision=revision, timeout=hub.seconds_left())
    if repository.gated:
        hub.check_access(name)
    declared = getattr(repository.card_data, "configs", None) or []
    entries = [entry for entry in declared if isinstance(entry, dict) and isinstance(entry.get("config_name"), str)]
    names = [str(entry["config_name"]) for entry in entries]
    if not names:
        return repository.sha
    hint = "It has " + ", ".join(names[:20]) + (", …" if len(names) > 20 else "") + "."
    if config is not None and config not in names:
        message = f"The data set {name} has no configuration {config!r}."
        raise InvalidData(message, param="dataset.config", code="dataset_config_not_found", hint=hint)
    has_default = len(names) == 1 or "default" in names or any(entry.get("default") for entry in entries)
    if config is None and not has_default:
        message = f"The data set {name} has several configurations; choose one."
        raise InvalidData(message, param="dataset.config", code="dataset_config_missing", hint=hint)
    return repository.sha


def _cached_model(name: str, *, revision: str | None) -> HubModel | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - see the module

    contents = []
    for file in (CONFIG_FILE, TOKENIZER_CONFIG_FILE):
        path = try_to_load_from_cache(name, file, revision=revision)
        contents.append(Path(path).read_bytes() if isinstance(path, str) else None)
    config, tokenizer = contents
    return None if config is None else HubModel(info=_inspect(config, tokenizer), commit=None)


def _inspect(config: bytes, tokenizer: bytes | None) -> ModelInfo:
    return inspect_config(
        parse_config(config, name=CONFIG_FILE),
        source="hub",
        tokenizer_config=None if tokenizer is None else parse_config(tokenizer, name=TOKENIZER_CONFIG_FILE),
    )


class _Hub:
    """The calls huggingface_hub has no bounded form of, under one deadline for all of them."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi  # noqa: PLC0415 - see the module

        own = hub_tokens.token_of(caller.project_id())
        self._token = None if own is None else own.get_secret_value()  # None: the server's, if it has one
        self.api = HfApi(token=self._token)
        self._deadline = time.monotonic() + get_settings().hub_timeout_seconds

    def seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise HubUnreachableError("it is too slow")
        return left

    def read(self, name: str, file: str, *, revision: str | None) -> bytes:
        """The content of a small file. ``hf_hub_download`` retries for a minute and has no limit of size."""
        from huggingface_hub import get_session, hf_hub_url  # noqa: PLC0415 - see the module
        from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415
        from huggingface_hub.utils._http import hf_raise_for_status  # noqa: PLC0415

        url = hf_hub_url(name, file, revision=revision, endpoint=self.api.endpoint)
        content = bytearray()
        with get_session().stream(
            "GET", url, headers=build_hf_headers(token=self._token), timeout=self.seconds_left()
        ) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                content += chunk
                self.seconds_left()
                if len(content) > MAX_CONFIG_BYTES:
                    raise InvalidModel(f"{file} is longer than {MAX_CONFIG_BYTES} bytes.", code="model_config_invalid")
        return bytes(content)

    def check_access(self, name: str) -> None:
        """Raise GatedRepoError unless our token may read the data set. ``auth_check`` takes no timeout."""
        from huggingface_hub import get_session  # noqa: PLC0415 - see the module
        from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415
        from huggingface_hub.utils._http import hf_raise_for_status  # noqa: PLC0415

        url = f"{self.api.endpoint}/api/datasets/{name}/auth-check"
        hf_raise_for_status(
            get_session().get(url, headers=build_hf_headers(token=self._token), timeout=self.seconds_left())
        )


@contextmanager
def _answers(name: str, *, kind: Literal["model", "dataset"]) -> Iterator[None]:
    """Turn the hub's refusals into ours, and everything that is no answer into HubUnreachableError."""
    import httpx2  # noqa: PLC0415 - see the module
    from huggingface_hub import errors  # noqa: PLC0415

    noun = "model" if kind == "model" else "data set"
    try:
        yield
    except ServiceError:
        raise
    except errors.GatedRepoError as error:
        hint = "Accept its terms on the Hub, and set a token of yours that may read it (tunery hub-token set)."
        raise _refusal(f"The {noun} {name} is gated.", kind=kind, reason="gated", hint=hint) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError, errors.DisabledRepoError) as error:
        hint = "Check its spelling; a private one needs a token that may read it (tunery hub-token set)."
        raise _refusal(f"There is no {noun} {name}.", kind=kind, reason="not_found", hint=hint) from error
    except errors.RevisionNotFoundError as error:
        message = f"The {noun} {name} has no such revision."
        raise _refusal(message, kind=kind, reason="revision_not_found", param=_REVISIONS[kind]) from error
    except errors.HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in _FORBIDDEN:
            message = f"The {noun} {name} may not be read with the Hub token that is set."
            raise _refusal(message, kind=kind, reason="gated") from error
        raise HubUnreachableError(_short(error)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        raise HubUnreachableError(_short(error)) from error


_REVISIONS: Final = {"model": "model_revision", "dataset": "dataset.revision"}
_PARAMS: Final = {"model": "model", "dataset": "dataset.name"}


def _refusal(
    message: str, *, kind: Literal["model", "dataset"], reason: str, param: str | None = None, hint: str | None = None
) -> ServiceError:
    error: type[Any] = InvalidModel if kind == "model" else InvalidData
    refusal = error(message, param=param or _PARAMS[kind], code=f"{kind}_{reason}", hint=hint)
    assert isinstance(refusal, ServiceError)
    return refusal


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
