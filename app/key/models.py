"""Tables of the key noun. They are the service's own: no project owns them, and only admins ask for them."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Instant, Json


class Project(Base):
    """Who owns jobs, files, models, sweeps and webhooks: a team, or one person. It is never deleted."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    limits: Mapped[dict[str, int]] = mapped_column(Json)
    """By the name of a limit; what is not named is as the settings say."""
    created_at: Mapped[datetime] = mapped_column(Instant)


class ApiKey(Base):
    """What a caller shows to act for a project. The key itself is nowhere stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    """For people."""
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    """The part of the key by which its row is found."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the whole key."""
    scopes: Mapped[list[str]] = mapped_column(Json)
    """``app.key.scopes.Scope``."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)
    last_used_at: Mapped[datetime | None] = mapped_column(Instant)
    """To the minute."""
