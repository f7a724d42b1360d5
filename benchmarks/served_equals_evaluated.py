"""Does POST /predict reproduce a job's report? Through HTTP alone, against a running service.

    tunery up &
    python benchmarks/served_equals_evaluated.py --data DIR --model FOLDER --data-set mrpc [--url http://127.0.0.1:8000]

Data sets: mrpc (classes), stsb (numbers), go_emotions (several labels a text); that of words is served_entities.py. ``DIR`` holds a
folder for each, ``FOLDER`` is a model to register. Trains (``--epochs``), asks for every validation row alone, in batches of 8 and
of 64, and asks the downloaded folder with transformers, in float32. Prints a Markdown table; exits 1 if a metric is not the
report's or a score of ours differs between ways to ask.
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
import numpy as np
from arms import DATA_SETS, DataSet
from scipy.stats import pearsonr, spearmanr
from service import train
from sklearn.metrics import accuracy_score, f1_score

Scores = list[dict[str, float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data-set", choices=["mrpc", "stsb", "go_emotions"], default="mrpc")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    http = httpx2.Client(base_url=args.url, timeout=120)
    data_set, folder = DATA_SETS[args.data_set], args.data / args.data_set
    columns = dict(zip(("text", "text_pair"), data_set.texts, strict=False)) | {"label": data_set.label}
    training = {"num_train_epochs": args.epochs, "per_device_train_batch_size": data_set.batch_size, "seed": args.seed,
                "learning_rate": data_set.learning_rate, "max_length": data_set.max_length}  # fmt: skip
    job = train(http, data=folder, model=args.model, training=training, columns=columns,
                problem_type=data_set.problem_type, metrics=list(data_set.metrics))  # fmt: skip
    rows = [json.loads(line) for line in (folder / "validation.jsonl").read_text(encoding="utf-8").split("\n") if line]
    report = [job["metrics"]["best"][f"eval/{name}"] for name in data_set.metrics]
    print(f"{args.data_set}, job {job['id']}: {json.dumps(job['timings'])}\n")
    print(
        f"| asked | {' | '.join(data_set.metrics)} | largest difference of a score |\n|---|{'---|' * len(report)}---|"
    )
    print(f"| the job's report | {' | '.join(f'{value:.6f}' for value in report)} | |")
    by_way = {
        f"POST /predict, {size} a request": ask(http, job["id"], rows, data_set, size=size) for size in (64, 8, 1)
    }
    reference = by_way["POST /predict, 64 a request"]
    failed = False
    for way, scores in by_way.items():
        failed |= tell(way, scores, rows, data_set, report=report, reference=reference)
    way = "the downloaded folder, with transformers in float32"
    theirs = ask_transformers(http, job["model"]["id"], rows, data_set)
    tell(way, theirs, rows, data_set, report=report, reference=reference)
    print(f"\n{len(rows)} rows; {'DIFFERENT' if failed else 'the same'}")
    return int(failed)


def tell(
    way: str, scores: Scores, rows: list[dict[str, Any]], data_set: DataSet, *, report: list[float], reference: Scores
) -> bool:
    """Print a line; whether it differs from the report, or in any bit from ``reference``."""
    found = measure(scores, rows, data_set)
    difference = max(abs(a[k] - b[k]) for a, b in zip(scores, reference, strict=True) for k in a)
    print(f"| {way} | {' | '.join(f'{value:.6f}' for value in found)} | {difference:.1e} |")
    return difference > 0 or any(abs(a - b) > 1e-9 for a, b in zip(found, report, strict=True))


def ask(http: httpx2.Client, model: str, rows: list[dict[str, Any]], data_set: DataSet, *, size: int) -> Scores:
    """Scores by label for each row, ``size`` rows to a request."""
    found = []
    for start in range(0, len(rows), size):
        inputs = [
            dict(zip(("text", "text_pair"), (row[name] for name in data_set.texts), strict=False))
            for row in rows[start : start + size]
        ]
        answer = http.post("/predict", json={"model": model, "inputs": inputs}).raise_for_status().json()
        found += [{s["label"]: s["score"] for s in scores} for scores in answer["predictions"]]
    return found


def ask_transformers(http: httpx2.Client, model: str, rows: list[dict[str, Any]], data_set: DataSet) -> Scores:
    """What a user gets who loads the downloaded folder."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        content = http.get(f"/models/{model}/download").raise_for_status().content
        zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        inside = next(Path(folder).rglob("config.json")).parent
        classifier = AutoModelForSequenceClassification.from_pretrained(inside).eval()
        tokenizer = AutoTokenizer.from_pretrained(inside)
    functions = {"regression": lambda x: x, "multi_label_classification": torch.sigmoid}
    function = functions.get(data_set.problem_type, lambda x: x.softmax(-1))
    found = []
    with torch.inference_mode():
        for row in rows:
            texts = [row[name] for name in data_set.texts]
            encoded = tokenizer(*texts, truncation=True, max_length=data_set.max_length, return_tensors="pt")
            scores = function(classifier(**encoded).logits)[0].tolist()
            found.append({classifier.config.id2label[number]: score for number, score in enumerate(scores)})
    return found


def measure(scores: Scores, rows: list[dict[str, Any]], data_set: DataSet) -> list[float]:
    """The data set's metrics, by scikit-learn and scipy."""
    truth = [row[data_set.label] for row in rows]
    if data_set.problem_type == "regression":
        values = [next(iter(row.values())) for row in scores]
        return [float(pearsonr(values, truth)[0]), float(spearmanr(values, truth)[0])]
    if data_set.problem_type == "multi_label_classification":
        labels = sorted(scores[0])
        has = np.array([[row[label] >= 0.5 for label in labels] for row in scores])
        should = np.array([[label in {str(one) for one in own} for label in labels] for own in truth])
        return [float(f1_score(should, has, average=name, zero_division=0)) for name in ("micro", "macro")]
    chosen = [max(row, key=row.__getitem__) for row in scores]
    return [float(accuracy_score([str(one) for one in truth], chosen)),
            float(f1_score([str(one) for one in truth], chosen, pos_label="1"))]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
