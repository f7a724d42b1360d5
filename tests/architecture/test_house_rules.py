"""Rules of the house that a machine can check (CONTRIBUTING.md)."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
FORBIDDEN_NAMES = {
    "utils.py",
    "helpers.py",
    "manager.py",
    "datasets.py",
    "evaluate.py",
    "tokenizers.py",
    "queue.py",
    "logging.py",
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if listed.returncode != 0:  # an unpacked source archive has no git
        return [path for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts]
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_no_file_outgrows_a_readers_head():
    long = {str(p.relative_to(ROOT)): n for p in tracked("*.py") if (n := len(p.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_no_module_has_a_name_that_tells_nothing_or_hides_a_library():
    assert [str(p.relative_to(ROOT)) for p in tracked("*.py") if p.name in FORBIDDEN_NAMES] == []


def test_the_migrations_folder_is_no_package():
    assert not (ROOT / "alembic/__init__.py").exists()


def test_every_setting_is_described():
    from app.config import Settings

    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
