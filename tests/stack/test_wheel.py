"""What an installed Tunery has with it: migrations, examples and the dashboard's files are no packages, and must not be left behind."""

import subprocess
import sys
import zipfile

from tests.stack.processes import ROOT


def test_the_wheel_carries_all_code_migrations_and_examples(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tunery-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())

    def expected(folder, pattern, *, as_folder):
        return {f"{as_folder}/{path.relative_to(ROOT / folder).as_posix()}" for path in (ROOT / folder).rglob(pattern)}

    for folder, pattern, as_folder in [
        ("app", "*.py", "app"),
        ("worker", "*.py", "worker"),
        ("alembic", "*.py", "app/_alembic"),
        ("examples", "*.jsonl", "app/_examples"),
        *(("app/dashboard", pattern, "app/dashboard") for pattern in ("*.html", "*.js", "*.css", "*.svg")),
    ]:
        files = expected(folder, pattern, as_folder=as_folder)
        assert files, folder
        assert files <= packed, files - packed
    assert "app/_alembic/script.py.mako" in packed
    assert not any(name.startswith(("tests/", "alembic/", "benchmarks/")) for name in packed)
