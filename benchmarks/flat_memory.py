"""Does the service grow with the jobs it has run? A running service, tiny jobs one after the other, its processes' memory.

    tunery up --home FOLDER &
    python benchmarks/flat_memory.py --home FOLDER --data DIR --model FOLDER [--url http://127.0.0.1:8000] [--jobs 2000]

Jobs of two steps on the first rows of ``DIR/train.jsonl`` (sentence1, sentence2 and label). Prints a Markdown table of megabytes
resident in api, worker, nursery and predictor after the first tenth of the jobs and at the end, and what a job adds by a line through
all samples between the two (least squares). Every hundredth job is asked for a prediction. Stopped early (Ctrl-C), it tells of the
jobs that ran.
"""

import argparse
import contextlib
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

PARTS = {"api": "app.cli serve", "worker": "worker.main", "nursery": "worker.nursery", "predictor": "worker.predictor"}
SAMPLED_EVERY = 10
ROWS = 64
TRAINING = {"max_steps": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-5, "max_length": 32,
            "eval_strategy": "no", "save_strategy": "no"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--jobs", type=int, default=2000)
    args = parser.parse_args()
    http = httpx2.Client(base_url=args.url, timeout=120)
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(args.model.iterdir()) if path.is_file()]
    http.post("/models", data={"name": "benchmark-encoder"}, files=parts).raise_for_status()
    rows = (args.data / "train.jsonl").read_bytes().splitlines(keepends=True)[:ROWS]
    file_id = http.post("/files", files={"file": ("a.jsonl", b"".join(rows))}).raise_for_status().json()["id"]
    first = json.loads(rows[0])
    samples: dict[str, list[tuple[int, float]]] = defaultdict(list)
    ran = 0
    with contextlib.suppress(KeyboardInterrupt):
        for ran in range(1, args.jobs + 1):
            job = run(http, file_id)
            if ran % 100 == 0:
                asked = {"text": first["sentence1"], "text_pair": first["sentence2"]}
                http.post("/predict", json={"model": job["id"], "inputs": [asked]}).raise_for_status()
            if ran % SAMPLED_EVERY == 0:
                for name, megabytes in resident(args.home).items():
                    samples[name].append((ran, megabytes))
    print(f"| MB, {ran} jobs | after {ran // 10} | at the end | a job adds, KB |\n|---|---|---|---|")
    for name, seen in samples.items():
        settled = np.array([sample for sample in seen if sample[0] >= ran / 10])
        slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0]) if len(settled) > 1 else float("nan")
        print(f"| {name} | {settled[0, 1]:.0f} | {settled[-1, 1]:.0f} | {1000 * slope:+.1f} |")


def run(http: httpx2.Client, file_id: str) -> dict[str, Any]:
    spec = {"model": "benchmark-encoder", "dataset": {"train": file_id}, "training": TRAINING}
    job: dict[str, Any] = http.post("/jobs", json=spec).raise_for_status().json()
    while job["finished_at"] is None:
        time.sleep(0.1)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    assert job["status"] == "succeeded", job["error"]
    return job


def resident(home: Path) -> dict[str, float]:
    """Megabytes by part, of the processes whose command line names the home."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            status = (folder / "status").read_text()
        except OSError:
            continue
        name = next((name for name, word in PARTS.items() if word in words and str(home) in words), None)
        if name is not None:
            found[name] = int(status.partition("VmRSS:")[2].split()[0]) / 1000
    return found


if __name__ == "__main__":
    main()
