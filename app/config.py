"""Settings: read once per process from ``TUNERY_*`` variables; every field documents itself."""

import hashlib
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LONGEST_SOCKET_PATH = 90
"""Unix socket paths end at 108 bytes (104 on macOS); beyond this the sockets move to the temporary directory."""


class Settings(BaseSettings):
    """Where everything lives and how patient the service is. Seconds unless a name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="TUNERY_", extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Path = Field(default=Path("~/.tunery"), description="Folder of all that is kept on this machine")
    host: str = Field(default="127.0.0.1", description="Address the API listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port the API listens on")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; SQLite in the home folder if unset")
    redis_url: str | None = Field(default=None, description="Redis or Valkey URL; an embedded Valkey if unset")
    predictor_url: str | None = Field(
        default=None,
        description="ZeroMQ address of the predictor, or several, comma-separated; a local socket if unset",
    )
    predictor_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Secret that API and predictor share where they meet at a tcp:// address; a file in the home if unset",
    )
    artefacts_url: str | None = Field(
        default=None,
        description="Where files and models are kept for all machines (s3://bucket/prefix); the home if unset",
    )
    cache_bytes: int = Field(
        default=2**37, gt=0, description="Disk that copies of what is at artefacts_url may take in the home"
    )
    presigned_downloads: bool = Field(
        default=False, description="Send clients that download a file to the store at artefacts_url"
    )
    first_api_key: SecretStr | None = Field(default=None, description="An admin's key of the project default")
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="What Hub tokens are encrypted with, at least 32 characters; a file in the home if unset",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Further host names a browser may call the API by, comma-separated"
    )

    min_free_bytes: int = Field(
        default=2**28, ge=0, description="With less free on the disk uploads are refused, and no job is begun"
    )
    max_upload_bytes: int = Field(default=4 * 2**30, gt=0, description="Largest data file")
    max_row_bytes: int = Field(default=4 * 2**20, gt=0, description="Longest row of a data file")
    max_body_bytes: int = Field(default=2 * 2**20, gt=0, description="Largest JSON body")
    max_model_bytes: int = Field(default=64 * 2**30, gt=0, description="Largest model that can be registered")

    max_queued_jobs: int | None = Field(default=None, ge=0, description="Jobs of a project that may wait at a time")
    max_running_jobs: int | None = Field(default=None, ge=0, description="Jobs of a project that may run at a time")
    max_stored_bytes: int | None = Field(
        default=None, ge=0, description="Files and models of a project, beyond which uploads are refused"
    )
    max_predictions_per_minute: int | None = Field(
        default=None, ge=0, description="Requests to models that a project may send to an API process"
    )
    max_event_streams: int | None = Field(
        default=None, ge=0, description="Event streams of a project that an API process keeps open"
    )

    node_address: str = Field(
        default="127.0.0.1", description="Where the other workers of a job with several nodes reach this one"
    )
    gather_seconds: float = Field(
        default=60, gt=0, description="How long a job's first worker waits for the others that the job asks for"
    )
    worker_slots: int = Field(default=1, ge=1, description="Jobs a worker runs at a time")
    worker_takes: Literal["any", "gpu", "cpu"] = Field(
        default="any",
        description="gpu: the worker takes only jobs that ask for GPUs; cpu: only others, on none of its GPUs",
    )
    warm_start: bool = Field(default=True, description="Keep a trainer's libraries loaded, so that jobs start at once")
    trainer_user: str | None = Field(
        default=None, description="User that trainers run as, a name or uid:gid; the worker's own if unset"
    )
    trainer_network: Literal["host", "none"] = Field(
        default="host", description="none: trainers reach nothing but themselves"
    )
    trainer_memory_bytes: int | None = Field(
        default=None, gt=0, description="Memory of each process of a trainer; unbounded if unset"
    )
    lease_seconds: float = Field(default=60, gt=0, description="A running job not heard of for so long is requeued")
    sweep_seconds: float = Field(
        default=10, gt=0, description="How often lost jobs are looked for, and sweeps are seen to"
    )
    poll_seconds: float = Field(default=15, gt=0, description="How often an idle worker looks without a wake-up")
    stop_seconds: float = Field(default=20, gt=0, description="Time a trainer has to stop before it is killed")
    stall_seconds: float = Field(
        default=900, gt=0, description="A trainer that gets no further for so long is killed, and the job tried again"
    )
    max_crashes: int = Field(default=3, ge=1, description="Trainer crashes after which a job fails")
    max_losses: int = Field(default=10, ge=1, description="Lost workers after which a job fails")
    retry_backoff_seconds: float = Field(
        default=10, ge=0, description="Pause before the second retry; doubles each time, up to ten minutes"
    )

    keep_jobs_seconds: float | None = Field(
        default=None,
        ge=0,
        description="Jobs and sweeps are deleted so long after their end, their models and files not; unset: never",
    )
    keep_checkpoints_seconds: float = Field(
        default=7 * 24 * 3600, ge=0, description="Checkpoints are kept for so long after their job's end"
    )

    keep_audit_seconds: float = Field(
        default=365 * 24 * 3600, gt=0, description="Lines of the audit log are kept for so long"
    )

    predict_timeout_seconds: float = Field(default=60, gt=0, description="Longest wait for a prediction")
    predict_queue_size: int = Field(default=2048, gt=0, description="Texts that may wait in the predictor")
    predict_batch_tokens: int = Field(default=16384, gt=0, description="Token budget of one forward of the predictor")
    predict_memory_bytes: int = Field(default=4 * 2**30, gt=0, description="Memory the loaded models may take")
    predict_cache_bytes: int = Field(
        default=2**30, gt=0, description="Memory the texts being generated may take, of all models together"
    )
    hub_timeout_seconds: float = Field(default=3, gt=0, description="Longest wait for the hub while a job is submitted")

    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts, addresses and networks of a private network that webhooks may be sent to, comma-separated",
    )
    webhook_timeout_seconds: float = Field(default=10, gt=0, description="Time a webhook's receiver has to answer")
    webhook_retry_seconds: float = Field(
        default=5, gt=0, description="Pause before a delivery is tried again; four times as long each time, up to 12 h"
    )
    webhook_give_up_seconds: float = Field(
        default=3 * 24 * 3600, gt=0, description="A delivery that was not received for so long is given up"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged")
    log_format: Literal["auto", "json", "console"] = Field(default="auto", description="auto: console on a terminal")

    @field_validator("allowed_hosts", "webhook_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("artefacts_url")
    @classmethod
    def _check_store(cls, url: str | None) -> str | None:
        if url is None:
            return None
        import fsspec  # noqa: PLC0415  commands that know no store need not wait for it

        protocol, separator, _ = url.partition("://")
        if not separator or protocol not in fsspec.available_protocols():
            raise ValueError("it must be a URL such as s3://bucket/prefix or file:///folder")
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            raise ValueError(f"{error}; for s3:// install the extra: pip install 'tunery[s3]'") from error
        return url.rstrip("/")

    @cached_property
    def home_dir(self) -> Path:
        return self.home.expanduser().resolve()

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home_dir / 'tunery.db'}"

    @cached_property
    def run_dir(self) -> Path:
        """Sockets and locks of the running processes. Outside the home if its path is too long for a socket."""
        inside = self.home_dir / "run"
        if len(str(inside)) <= LONGEST_SOCKET_PATH - len("/predictor.sock"):
            return inside
        digest = hashlib.sha256(str(self.home_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"tunery-{digest}"

    @cached_property
    def broker(self) -> str:
        return self.redis_url or f"redis+socket://{self.run_dir / 'valkey.sock'}"

    @cached_property
    def predictor(self) -> str:
        return self.predictor_url or f"ipc://{self.run_dir / 'predictor.sock'}"

    @cached_property
    def predictors(self) -> tuple[str, ...]:
        """The addresses of all that are asked."""
        return tuple(part.strip() for part in self.predictor.split(",") if part.strip())

    @cached_property
    def artefacts_dir(self) -> Path:
        """Uploaded files, registered and finished models, logs of jobs."""
        return self.home_dir / "artefacts"

    @cached_property
    def jobs_dir(self) -> Path:
        """Run directories: ``<job>/attempt-<n>``."""
        return self.home_dir / "jobs"

    @cached_property
    def cache_dir(self) -> Path:
        """Tokenised data and other things that can be made again."""
        return self.home_dir / "cache"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    return Settings()
