"""``make faults``: run all rows of the fault matrix, and write what came out into docs/reliability.md.

    python -m tests.faults.report [options of pytest]

Exits as pytest does. With options the page is left alone: it tells of whole runs only.
"""

import datetime as dt
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- results: written by make faults -->", "<!-- end of the results -->"
HERE: Final = "tests/faults"

ELSEWHERE: Final = {
    "P1": ("tests/road/test_crashes.py", "worker, trainer, or all killed; stopped", "the same weights"),
    "P4": ("tests/road/test_processes.py", "a rank of two is killed", "the group is gone at once, one attempt charged"),
    "P5": ("tests/road/test_patience.py", "SIGSTOP of the trainer", "found stalled, killed, resumed"),
    "P10": ("tests/api/test_event_streams.py", "streams of events that break off", "no gap, no repeat"),
    "K4": ("tests/trainer/test_resume.py", "stopped anywhere, with accumulation 1, 2, 4", "the same SHA-256"),
    "K5": ("tests/prediction/test_predict_api.py", "a published model is damaged", "503 artifact_corrupt"),
    "S1": ("tests/job/test_races.py", "cancelling while the job ends, is claimed or lost", "exactly one outcome"),
    "I1": ("tests/dataset/test_refused_files.py", "bad data", "refused with code and row"),
    "I3": ("tests/model/test_hub_checks.py", "unknown, gated, unreachable models", "a code of its own"),
    "A4": (
        "tests/api/test_references.py",
        "paths and addresses in the place of ids",
        "422, nothing is opened or asked",
    ),
    "A5": ("tests/trainer/test_evil_models.py", "pickles, code, kernels, templates in models", "refused or harmless"),
    "A6": ("tests/road/test_canary.py", "a Hub token, looked for everywhere", "found nowhere"),
    "I4": ("tests/api/test_refused_jobs.py", "absurd specs", "422 that names the parameter"),
}
"""Rows whose tests belong to another folder: file, what is done, what is promised."""


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        notes, junit = Path(folder) / "notes.jsonl", Path(folder) / "junit.xml"
        notes.touch()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "faults or not faults",
            "-p",
            "no:cacheprovider",
            f"--junitxml={junit}",
        ]
        files = [HERE, *(file for file, _, _ in ELSEWHERE.values())]
        done = subprocess.run(
            [*command, *(options or ["-q"]), *files], env=dict(os.environ) | {"FAULTS_REPORT": str(notes)}, cwd=ROOT, check=False
        )  # fmt: skip
        rows = [json.loads(line) for line in notes.read_text().splitlines()]
        cases = list(ET.parse(junit).iter("testcase"))
    text = table([*rows, *rows_elsewhere(cases)], failed=failures(cases))
    sys.stdout.write(f"{text}\n")
    if not options:
        write(text)
    return done.returncode


def failures(cases: list[Any]) -> list[str]:
    return [
        f"{case.get('classname')}: {case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]


def rows_elsewhere(cases: list[Any]) -> list[dict[str, str]]:
    by_module: dict[str, list[Any]] = defaultdict(list)
    for case in cases:
        by_module[case.get("classname", "")].append(case)
    found = []
    for row, (file, inject, promise) in ELSEWHERE.items():
        own = by_module[file.removesuffix(".py").replace("/", ".")]
        broken = len(failures(own))
        measured = f"{len(own)} tests, {f'{broken} FAILED' if broken else 'all passed'}"
        found.append({"row": row, "inject": inject, "promise": promise, "measured": measured, "test": file})
    return found


def table(rows: list[dict[str, str]], *, failed: list[str]) -> str:
    day = dt.datetime.now(tz=dt.UTC).date()
    lines = [
        f"{day}, {os.cpu_count()} shared cores. {len(rows)} rows, {len(failed)} failed.",
        "",
        "| row | what is done | promise | measured | test |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["row"][0], int(row["row"][1:]), row["inject"])):
        test = row["test"].partition("::")[0].rpartition("/")[2]
        lines.append(f"| {row['row']} | {row['inject']} | {row['promise']} | {row['measured']} | `{test}` |")
    lines += [f"\n**Failed**: {name}" for name in failed]
    return "\n".join(lines)


def write(text: str) -> None:
    page = PAGE.read_text()
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    assert pattern.search(page), f"{PAGE} has no place for results"
    PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
