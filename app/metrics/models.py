"""Table of what is counted for all processes together."""

from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class StoredTally(Base):
    """A number that only grows, since the database was made."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    labels: Mapped[str] = mapped_column(String(160), primary_key=True)
    """Joined by a slash; of a histogram the bound of the bucket comes last."""
    value: Mapped[float] = mapped_column(Float)
