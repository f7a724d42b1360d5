"""How soon does a job take its first optimizer step? Through HTTP alone, against a running, idle service.

    tunery up &
    python benchmarks/first_step.py --data DIR --model FOLDER [--url http://127.0.0.1:8000] [--jobs 10]

``DIR`` holds train.jsonl and validation.jsonl with sentence1, sentence2 and label (GLUE's MRPC); ``FOLDER`` is a model to
register. Runs jobs of two steps, one after the other, and prints a Markdown table of seconds from each job's timings:

- queued: from the stored job to the claim
- claim → trainer: the run directory, and a process that speaks
- claim → ready: the same, and everything imported; from here on the model is loaded
- claim → first step: model and data loaded, tokens made (the first job) or found, and one optimizer step done
- POST → first step: the request's answer counted too

Start the service with TUNERY_WARM_START=false to measure trainers that are started cold.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2

TRAINING = {"max_steps": 2, "per_device_train_batch_size": 32, "learning_rate": 5e-5, "max_length": 128,
            "eval_strategy": "no", "save_strategy": "no"}  # fmt: skip

REST_SECONDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--jobs", type=int, default=10)
    args = parser.parse_args()
    http = httpx2.Client(base_url=args.url, timeout=120)
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(args.model.iterdir()) if path.is_file()]
    http.post("/models", data={"name": "benchmark-encoder"}, files=parts).raise_for_status()
    dataset = {
        split: http.post("/files", files={"file": (f"{split}.jsonl", (args.data / f"{split}.jsonl").read_bytes())})
        .raise_for_status().json()["id"]
        for split in ("train", "validation")
    }  # fmt: skip
    measured = [run(http, dataset) for _ in range(args.jobs)]
    print(f"| seconds, {args.jobs} jobs | median | min | max |")
    print("|---|---|---|---|")
    for name in measured[0]:
        values = [one[name] for one in measured]
        print(f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {max(values):.3f} |")


def run(http: httpx2.Client, dataset: dict[str, str]) -> dict[str, float]:
    """The seconds of one job, submitted once the service has come to rest."""
    time.sleep(REST_SECONDS)
    spec = {"model": "benchmark-encoder", "dataset": dataset, "training": TRAINING, "metrics": "glue/mrpc"}
    asked_at = time.monotonic()
    submitted = http.post("/jobs", json=spec).raise_for_status().json()
    answered_at = time.monotonic()
    job: dict[str, Any] = submitted
    while job["finished_at"] is None:
        time.sleep(0.2)
        job = http.get(f"/jobs/{submitted['id']}").raise_for_status().json()
    assert job["status"] == "succeeded", job["error"]
    timings = job["timings"]
    return {
        "POST": answered_at - asked_at,
        "queued": timings["queued_seconds"],
        "claim → trainer": timings["trainer_seconds"],
        "claim → ready": timings["trainer_seconds"] + timings["import_seconds"],
        "claim → first step": timings["first_step_seconds"],
        "POST → first step": answered_at - asked_at + timings["queued_seconds"] + timings["first_step_seconds"],
        "whole run": timings["run_seconds"],
    }


if __name__ == "__main__":
    main()
