"""Tables of the model noun."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Instant, Json, OwnedOrShared


class Model(OwnedOrShared, Base):
    """A model that can be fine-tuned further; one that a job made can also be asked."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    """A registered name, or ``ft:<base>:<org>:<suffix>:<job>``."""
    kind: Mapped[str] = mapped_column(String(16))
    """registered or fine-tuned."""
    base_model: Mapped[str | None] = mapped_column(Text)
    job_id: Mapped[str | None] = mapped_column(String(64), index=True)
    task: Mapped[str | None] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    """Relative to the artefacts folder."""
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    weights_sha256: Mapped[str] = mapped_column(String(64))
    base_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of an adapter that is served on a base: the hash of the base's weights, which names its folder."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    config: Mapped[dict[str, Any]] = mapped_column(Json)
    """The model's config.json."""
    metrics: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(Instant)

    __table_args__ = (Index("ix_models_project", "project_id", "created_at", "id"),)
