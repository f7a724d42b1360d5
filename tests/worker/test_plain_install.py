"""A service runs on the packages that it asks for, without those of its tests."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.trainer.conftest import ROOT
from worker.nursery.__main__ import STACK

PLAIN = {"worker": ("worker.main", "worker.tasks"), "api": ("app.main", "app.cli")}
WITH_TORCH = {
    "nursery": STACK,
    "trainer": ("worker.trainer.__main__", "worker.trainer.attempt", "evaluate"),
    "jobs of finished models": ("worker.batch_prediction.attempt", "worker.export.attempt"),
    "predictor": ("worker.predictor.__main__", "worker.predictor.server", "worker.predictor.engine"),
}

IMPORT_ALL = """
import importlib, sys
for part, names in {parts!r}.items():
    try:
        for name in names:
            importlib.import_module(name)
    except ImportError as error:
        sys.exit(f"{{part}} does not start: {{error!r}}")
"""


def packages_of(extras: set[str]) -> set[str]:
    """The distributions that installing the service brings, by their canonical names."""
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    waiting = [("tunery", extra) for extra in {"", *extras}]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for line in lines:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                waiting += [(needed, also) for also in {"", *requirement.extras}]
    return found


def link_modules(folder: Path, packages: set[str]) -> None:
    """Fill ``folder`` as a directory of installed modules that has those of ``packages`` and no others."""
    kept: set[str] = set()
    for distribution in metadata.distributions():
        if canonicalize_name(distribution.metadata["Name"]) in packages:
            for file in distribution.files or ():
                top = file.parts[0]
                if top != ".." and top not in kept and (place := Path(str(distribution.locate_file(top)))).exists():
                    kept.add(top)
                    (folder / top).symlink_to(place)


@pytest.mark.parametrize(
    ("parts", "extras"),
    [(PLAIN, set()), (WITH_TORCH, {"train"})],
    ids=["plain", "with torch"],
)
def test_each_part_starts_without_the_packages_of_the_tests(parts, extras, tmp_path):
    link_modules(tmp_path, packages_of(extras))
    assert not (tmp_path / "pytest").exists()

    result = subprocess.run(
        [sys.executable, "-S", "-c", IMPORT_ALL.format(parts=parts)],
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr[-2000:]
