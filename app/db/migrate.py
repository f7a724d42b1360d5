"""Bring the database to the newest schema, from a checkout or from an installed wheel."""

from pathlib import Path

from alembic.config import Config

from alembic import command
from app.config import get_settings

_APP = Path(__file__).resolve().parent.parent


def script_location() -> Path:
    """``alembic/`` of the checkout, or its copy inside the wheel."""
    packaged = _APP / "_alembic"
    return packaged if packaged.is_dir() else _APP.parent / "alembic"


def alembic_config(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.attributes["url"] = url or get_settings().database
    return config


def upgrade(url: str | None = None) -> None:
    """Run all missing migrations. Safe to call from several processes: they take turns under a lock."""
    command.upgrade(alembic_config(url), "head")
