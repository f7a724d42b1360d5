"""Does POST /predict reproduce a job's report? Through HTTP alone, against a running service.

    tunery up &
    python benchmarks/served_equals_evaluated.py --data DIR --model FOLDER [--url http://127.0.0.1:8000]

``DIR`` holds train.jsonl and validation.jsonl with sentence1, sentence2 and label (GLUE's MRPC); ``FOLDER`` is a model to
register. Trains 3 epochs, asks for every validation pair alone, in batches of 8 and of 64, and asks the downloaded folder
with transformers. Prints a Markdown table; exits 1 if an answer differs where it may not (1e-5 between the two best scores).
"""

import argparse
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import httpx2
from service import train

NEAR_TIE = 1e-5
TRAINING = {"num_train_epochs": 3, "per_device_train_batch_size": 32, "learning_rate": 5e-5, "warmup_steps": 0,
            "weight_decay": 0.0, "max_length": 128}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    http = httpx2.Client(base_url=args.url, timeout=120)
    job = train(http, data=args.data, model=args.model, training=TRAINING | {"seed": args.seed}, metrics="glue/mrpc")
    report, best = job["report"], job["metrics"]["best"]
    rows = [
        json.loads(line) for line in (args.data / "validation.jsonl").read_text(encoding="utf-8").split("\n") if line
    ]
    truth = [str(row["label"]) for row in rows]
    print(f"job {job['id']}: {job['status']}, {json.dumps(job['timings'])}\n")
    print("| asked | accuracy | F1 | labels unlike the batches of 64 | largest score difference |")
    print("|---|---|---|---|---|")
    print(f"| the job's report | {best['eval/accuracy']:.6f} | {best['eval/f1']:.6f} | | |")
    by_way = {f"POST /predict, {size} a request": ask(http, job["id"], rows, size=size) for size in (64, 8, 1)}
    by_way["the downloaded folder, with transformers"] = ask_transformers(http, job["model"]["id"], rows)
    reference = by_way["POST /predict, 64 a request"]
    failed = False
    for way, scores in by_way.items():
        accuracy, f1 = measure([max(s, key=s.__getitem__) for s in scores], truth)
        unlike = sum(
            max(a, key=a.__getitem__) != max(b, key=b.__getitem__)
            for a, b in zip(scores, reference, strict=True)
            if lead(b) > NEAR_TIE
        )
        difference = max(abs(a[k] - b[k]) for a, b in zip(scores, reference, strict=True) for k in a)
        print(f"| {way} | {accuracy:.6f} | {f1:.6f} | {unlike} | {difference:.1e} |")
        failed |= unlike > 0 or abs(accuracy - best["eval/accuracy"]) > 1e-9 or abs(f1 - best["eval/f1"]) > 1e-9
    print(f"\n{sum(map(sum, report['confusion_matrix']))} pairs; {'DIFFERENT' if failed else 'the same'}")
    return int(failed)


def ask(http: httpx2.Client, model: str, rows: list[dict[str, Any]], *, size: int) -> list[dict[str, float]]:
    """Scores by label for each row, ``size`` rows to a request."""
    found = []
    for start in range(0, len(rows), size):
        inputs = [{"text": row["sentence1"], "text_pair": row["sentence2"]} for row in rows[start : start + size]]
        answer = http.post("/predict", json={"model": model, "inputs": inputs}).raise_for_status().json()
        found += [{s["label"]: s["score"] for s in scores} for scores in answer["predictions"]]
    return found


def ask_transformers(http: httpx2.Client, model: str, rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """What a user gets who loads the downloaded folder."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        content = http.get(f"/models/{model}/download").raise_for_status().content
        zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        inside = next(Path(folder).rglob("config.json")).parent
        classifier = AutoModelForSequenceClassification.from_pretrained(inside).eval()
        tokenizer = AutoTokenizer.from_pretrained(inside)
    found = []
    with torch.inference_mode():
        for row in rows:
            encoded = tokenizer(
                row["sentence1"], row["sentence2"], truncation=True, max_length=128, return_tensors="pt"
            )
            scores = classifier(**encoded).logits.softmax(-1)[0].tolist()
            found.append({classifier.config.id2label[number]: score for number, score in enumerate(scores)})
    return found


def lead(scores: dict[str, float]) -> float:
    """How far the best score is from the next."""
    best, second = sorted(scores.values(), reverse=True)[:2]
    return best - second


def measure(predicted: list[str], truth: list[str]) -> tuple[float, float]:
    """Accuracy, and F1 of class 1."""
    pairs = list(zip(predicted, truth, strict=True))
    hits = sum(p == t == "1" for p, t in pairs)
    f1 = 2 * hits / (sum(p == "1" for p, _ in pairs) + sum(t == "1" for _, t in pairs))
    return sum(p == t for p, t in pairs) / len(pairs), f1


if __name__ == "__main__":
    sys.exit(main())
