"""What the benchmarks ask of a running service, as its users do: a model registered, two files uploaded, a job followed."""

import time
from pathlib import Path
from typing import Any

import httpx2


def train(http: httpx2.Client, *, data: Path, model: Path, **spec: Any) -> dict[str, Any]:
    """The job, succeeded, of the folder ``model`` on ``data``'s train.jsonl and validation.jsonl, with the rest of its ``spec``."""
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(model.iterdir()) if path.is_file()]
    http.post("/models", data={"name": "benchmark-encoder"}, files=parts).raise_for_status()
    files = {
        split: http.post("/files", files={"file": (f"{split}.jsonl", (data / f"{split}.jsonl").read_bytes())})
        .raise_for_status().json()["id"]
        for split in ("train", "validation")
    }  # fmt: skip
    body = {"model": "benchmark-encoder", "dataset": files, **spec}
    job_id = http.post("/jobs", json=body).raise_for_status().json()["id"]
    while True:
        job: dict[str, Any] = http.get(f"/jobs/{job_id}").raise_for_status().json()
        if job["finished_at"] is not None:
            assert job["status"] == "succeeded", job["error"]
            return job
        time.sleep(1)
