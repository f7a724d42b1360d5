"""Table of the Hub tokens."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app import caller
from app.db import Base, Instant, Owned


class HubToken(Owned, Base):
    """A project's token of the Hugging Face Hub."""

    __tablename__ = "hub_tokens"

    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=caller.project_id)
    sealed: Mapped[str] = mapped_column(Text)
    """The token, encrypted (``app.sealing``)."""
    last_four: Mapped[str | None] = mapped_column(String(4))
    """By which its owner knows it; unset where it is so short that they would tell much of it."""
    set_at: Mapped[datetime] = mapped_column(Instant)
