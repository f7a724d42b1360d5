"""Row A7 of the fault matrix: Schemathesis asks every route of ``/openapi.json``, in all its phases, in three ways.

    python -m tests.contract.fuzz [--examples N] [--seed N]

Each way has a server process and a database of its own. No worker, broker, predictor or Hub is there.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from app.db.migrate import upgrade
from tests.contract.endpoints import ROOT, running_api
from tests.hub.builders import bert_folder

CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
ADMIN: Final = "sk-the-admins"
_FOUND: Final = re.compile(r"^\s*(\d+) generated", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Way:
    """Who asks: with which key, of a server with which settings."""

    settings: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    options: Sequence[str] = ("--exclude-checks", "only_open_routes_answer")
    """Of ``schemathesis run``, for this way alone."""


WAYS: Final[Mapping[str, Way]] = {
    # The first key that is made would lock the others out; keys are made by the next way. The description says which key
    # is asked for once there is one: here none is, so it is nothing to leave out or to get wrong.
    "without keys": Way(
        options=[
            "--exclude-path", "/keys", "--exclude-checks", "only_open_routes_answer,ignored_auth",
            "--generation-with-security-parameters", "false",
        ]
    ),
    "with an admin's key": Way(settings={"TUNERY_FIRST_API_KEY": ADMIN}, key=ADMIN),
    "with a wrong key": Way(settings={"TUNERY_FIRST_API_KEY": ADMIN}, key=f"tk_{'0' * 12}_{'A' * 43}", options=()),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    passed: bool
    num_requests: int
    text: str
    """What Schemathesis has printed."""


def fuzz(way: Way, folder: Path, *, options: Sequence[str], more: str = "") -> Outcome:
    """Ask a server of its own, whose home is made in ``folder``. ``options`` are those of ``schemathesis run``, ``more`` of its configuration."""
    home = folder / "home"
    home.mkdir()
    upgrade(f"sqlite:///{home}/tunery.db")
    with running_api(
        home, f"ipc://{folder}/none.sock", HF_HUB_OFFLINE="1", TUNERY_LOG_LEVEL="error", **way.settings
    ) as url:
        known = _fill(url)
        config, schema = folder / "schemathesis.toml", folder / "openapi.json"
        config.write_text(f"{CONFIG.read_text()}\n{more}\n{_dictionaries(known)}")
        schema.write_text(_asked_by_admin(url).get("/openapi.json").raise_for_status().text)
        command = [
            sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(config), "run", str(schema),
            "--url", url, "--continue-on-failure", "--no-shrink", "--generation-database", "none", *way.options, *options,
            *(["--header", f"Authorization: Bearer {way.key}"] if way.key else []),
        ]  # fmt: skip
        environment = dict(os.environ) | {"SCHEMATHESIS_HOOKS": "tests.contract.fuzz_checks", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )
        still_live = httpx2.get(f"{url}/health/live", timeout=30).status_code == 200
    found = _FOUND.search(done.stdout)
    return Outcome(
        passed=done.returncode == 0 and still_live,
        num_requests=int(found[1]) if found else 0,
        text=done.stdout + done.stderr,
    )


def _asked_by_admin(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers={"authorization": f"Bearer {ADMIN}"}, timeout=60)


def _fill(url: str) -> dict[str, list[str]]:
    """Ids by noun of what is stored, so that not all that is asked for is unknown."""
    with _asked_by_admin(url) as client, tempfile.TemporaryDirectory() as folder:
        files = [
            ("files", (path.name, path.read_bytes())) for path in sorted(bert_folder(Path(folder) / "a").iterdir())
        ]
        model = client.post("/models", data={"name": "acme/tiny"}, files=files).raise_for_status().json()["id"]
        rows = (ROOT / "examples/paraphrase/validation.jsonl").read_bytes()
        file = client.post("/files", files={"file": ("a.jsonl", rows)}).raise_for_status().json()["id"]
        spec = {"model": model, "dataset": {"train": file}}
        jobs = [client.post("/jobs", json=spec).raise_for_status().json()["id"] for _ in range(4)]
        client.post(f"/jobs/{jobs[0]}/pause").raise_for_status()
        client.post(f"/jobs/{jobs[1]}/cancel").raise_for_status()
        space = {"training.learning_rate": {"choices": [1e-5, 2e-5]}}
        sweep = (
            client.post("/sweeps", json={"job": spec, "space": space, "num_trials": 2}).raise_for_status().json()["id"]
        )
    return {"job": jobs, "file": [file], "model": [model, *jobs], "sweep": [sweep]}


def _dictionaries(known: Mapping[str, Sequence[str]]) -> str:
    """The part of the configuration that has every second id be a known one."""
    lines = [f"[dictionaries.{noun}]\nvalues = {json.dumps(ids)}" for noun, ids in known.items()]
    lines += ["[parameters]"]
    lines += [f'"path.{noun}_id" = {{ dictionary = "{noun}", probability = 0.5 }}' for noun in known]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--examples", type=int, default=50, help="requests to a route while fuzzing, and chains of them"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    outcomes = []
    for name, way in WAYS.items():
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tun") as folder:
            outcome = fuzz(
                way, Path(folder), options=["--max-examples", str(given.examples), "--seed", str(given.seed)]
            )
        outcomes.append(outcome)
        sys.stdout.write(outcome.text if not outcome.passed else "")
        verdict = "passed" if outcome.passed else "FAILED"
        sys.stdout.write(f"{name}: {outcome.num_requests} requests, {time.monotonic() - started:.0f} s, {verdict}\n")
        sys.stdout.flush()
    return 0 if all(outcome.passed and outcome.num_requests for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
