"""Does POST /predict reproduce the entity F1 of a job's report? Through HTTP alone, against a running service.

    tunery up &
    python benchmarks/served_entities.py --data DIR --model FOLDER [--url http://127.0.0.1:8000] [--epochs 3]

``DIR`` holds train.jsonl and validation.jsonl with tokens and ner_tags (WNUT-17); ``FOLDER`` is a model to register. Trains, asks
for the entities of every validation row in batches of 64 and one by one, writes them as tags again, and has seqeval (the package)
score those. Prints a Markdown table; exits 1 if an F1 is not the report's.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
from seqeval.metrics import f1_score
from service import train

TRAINING = {"per_device_train_batch_size": 32, "learning_rate": 2e-4, "warmup_steps": 0, "weight_decay": 0.0,
            "max_length": 128}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    http = httpx2.Client(base_url=args.url, timeout=120)
    training = TRAINING | {"seed": args.seed, "num_train_epochs": args.epochs}
    job = train(http, data=args.data, model=args.model, training=training)
    lines = (args.data / "validation.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    truth = [tags_by_name(row["ner_tags"], job["spec"]["label_names"]) for row in rows]
    expected = job["report"]["metrics"]["f1"]
    print(f"| asked | entity F1 |\n|---|---|\n| the job's report | {expected:.6f} |")
    failed = False
    for size in (64, 1):
        found = [
            tags for start in range(0, len(rows), size) for tags in ask(http, job["id"], rows[start : start + size])
        ]
        f1 = f1_score(truth, found)
        print(f"| POST /predict, {size} a request | {f1:.6f} |")
        failed |= abs(f1 - expected) > 1e-9
    print(f"\n{len(rows)} rows; {'DIFFERENT' if failed else 'the same'}")
    return int(failed)


def tags_by_name(tags: list[Any], names: list[str]) -> list[str]:
    return [names[tag] if isinstance(tag, int) else tag for tag in tags]


def ask(http: httpx2.Client, model: str, rows: list[dict[str, Any]]) -> list[list[str]]:
    """The tags of each row's words, from the entities that were found in it."""
    inputs = [{"tokens": row["tokens"]} for row in rows]
    answer = http.post("/predict", json={"model": model, "inputs": inputs}).raise_for_status().json()
    found = []
    for row, entities in zip(rows, answer["predictions"], strict=True):
        starts = [0]
        for word in row["tokens"]:
            starts.append(starts[-1] + len(word) + 1)
        tags = ["O"] * len(row["tokens"])
        for entity in entities:
            inside = [n for n in range(len(tags)) if entity["start"] <= starts[n] < entity["end"]]
            for number, place in enumerate(inside):
                tags[place] = f"{'B' if number == 0 else 'I'}-{entity['entity_group']}"
        found.append(tags)
    return found


if __name__ == "__main__":
    sys.exit(main())
