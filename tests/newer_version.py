"""The migrations of a version that comes after this one."""

import shutil
from pathlib import Path
from typing import Final

from app.db.schema import KNOWN, script_location

NEXT: Final = "9001"
ADDS: Final = 'op.add_column("jobs", sa.Column("colour", sa.String(length=8), server_default="red", nullable=False))'
TAKES_AWAY: Final = f"""op.execute("UPDATE schema_support SET oldest_code = '{NEXT}'")"""


def newer_version(folder: Path, *steps: str) -> Path:
    """A folder of this version's migrations and one more, which does these steps."""
    scripts = folder / "alembic"
    shutil.copytree(script_location(), scripts, ignore=shutil.ignore_patterns("__pycache__"))
    body = "\n    ".join(steps)
    (scripts / f"versions/{NEXT}_next.py").write_text(
        f'import sqlalchemy as sa\nfrom alembic import op\n\nrevision = "{NEXT}"\ndown_revision = "{KNOWN}"\n\n\n'
        f"def upgrade():\n    {body}\n"
    )
    return scripts
