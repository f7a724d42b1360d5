"""Is a model trained by Tunery as good as one trained by transformers.Trainer at the same hyperparameters?

    python benchmarks/quality_mrpc.py --data DIR --model FOLDER [--seeds 1 2 3] [--arms ours-bf16 trainer-bf16 …]

``DIR`` holds train.jsonl and validation.jsonl with sentence1, sentence2 and label (GLUE's MRPC); ``FOLDER`` is a model
as ``save_pretrained`` writes it. Every run is a process of its own, arms take turns within a seed, and what was measured
goes into ``--results`` so that an interrupted benchmark goes on where it was. Prints a Markdown table.

Quality is that of the last epoch's weights, on the validation split: accuracy and F1 in per cent.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ARMS = ("ours-fp32", "trainer-fp32", "ours-bf16", "trainer-bf16")
EPOCHS, BATCH_SIZE, LEARNING_RATE, MAX_LENGTH = 3, 32, 5e-5, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--results", type=Path, help="JSON lines, continued if it exists")
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--one", nargs=2, metavar=("ARM", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        arm, seed = args.one[0], int(args.one[1])
        print(json.dumps(run_trainer(args, seed=seed, bf16=arm.endswith("bf16"))))
        return
    results = (
        [json.loads(line) for line in args.results.read_text().splitlines()]
        if args.results and args.results.exists()
        else []
    )
    for seed in args.seeds:
        for arm in args.arms:
            if any(r["arm"] == arm and r["seed"] == seed and r["epochs"] == args.epochs for r in results):
                continue
            measured = (
                run_ours(args, seed=seed, bf16=arm.endswith("bf16"))
                if arm.startswith("ours")
                else in_process(args, arm, seed)
            )
            results.append({"arm": arm, "seed": seed, "epochs": args.epochs, **measured})
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
            if args.results:
                with args.results.open("a") as file:
                    file.write(json.dumps(results[-1]) + "\n")
    print(table(results, arms=args.arms))


def run_ours(args: argparse.Namespace, *, seed: int, bf16: bool) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    from app.spec.job import JobSpec
    from app.spec.run import DataFile, RunSpec

    training = {
        "num_train_epochs": args.epochs, "per_device_train_batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE,
        "max_length": MAX_LENGTH, "weight_decay": 0.0, "warmup_steps": 0, "seed": seed, "bf16": bf16,
        "eval_strategy": "no", "save_strategy": "no", "logging_steps": 50,
    }  # fmt: skip
    ids = {"train": f"file-{'1' * 32}", "validation": f"file-{'2' * 32}"}
    files = {}
    for split in ids:
        path = (args.data / f"{split}.jsonl").resolve()
        files[split] = DataFile(path=str(path), format="jsonl", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with tempfile.TemporaryDirectory() as folder:
        run = RunSpec(
            job_id="ftjob-benchmark", attempt=1, files=files, model_path=str(args.model.resolve()), cache_dir=folder,
            spec=JobSpec.model_validate({"model": "benchmark", "dataset": ids, "training": training, "metrics": "glue/mrpc"}),
        )  # fmt: skip
        (Path(folder) / "run.json").write_text(run.model_dump_json())
        started_at = time.monotonic()
        lines = _run([sys.executable, "-m", "worker.trainer", folder])
        seconds = time.monotonic() - started_at
    result = next(message for line in reversed(lines) if (message := json.loads(line))["type"] == "result")
    return {
        "accuracy": 100 * result["metrics"]["eval/accuracy"],
        "f1": 100 * result["metrics"]["eval/f1"],
        "training_seconds": result["timings"]["training_seconds"],
        "total_seconds": seconds,
    }


def in_process(args: argparse.Namespace, arm: str, seed: int) -> dict[str, Any]:
    started_at = time.monotonic()
    options = ["--data", str(args.data), "--model", str(args.model), "--epochs", str(args.epochs)]
    measured: dict[str, Any] = json.loads(_run([sys.executable, __file__, *options, "--one", arm, str(seed)])[-1])
    return measured | {"total_seconds": time.monotonic() - started_at}


def run_trainer(args: argparse.Namespace, *, seed: int, bf16: bool) -> dict[str, Any]:
    """The Hugging Face course's chapter 3, to the letter, at our hyperparameters."""
    import datasets
    import numpy as np
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    paths = {split: str(args.data / f"{split}.jsonl") for split in ("train", "validation")}
    with tempfile.TemporaryDirectory() as folder:
        data = datasets.load_dataset("json", data_files=paths, cache_dir=folder)
        data = data.map(
            lambda rows: tokenizer(rows["sentence1"], rows["sentence2"], truncation=True, max_length=MAX_LENGTH),
            batched=True,
        )
        set_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=2)
        trainer = Trainer(
            model,
            TrainingArguments(
                folder, num_train_epochs=args.epochs, per_device_train_batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE,
                seed=seed, bf16=bf16, use_cpu=not torch.cuda.is_available(), eval_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            ),
            train_dataset=data["train"],
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
        )  # fmt: skip
        started_at = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - started_at
        predicted = trainer.predict(data["validation"])
    classes, labels = np.argmax(predicted.predictions, axis=-1), predicted.label_ids
    hits = np.sum((classes == 1) & (labels == 1))
    f1 = 2 * hits / (np.sum(classes == 1) + np.sum(labels == 1))
    return {"accuracy": 100 * float(np.mean(classes == labels)), "f1": 100 * float(f1), "training_seconds": seconds}


def table(results: list[dict[str, Any]], *, arms: list[str]) -> str:
    lines = ["| arm | seed | accuracy | F1 | training s | whole process s |", "|---|---|---|---|---|---|"]
    for arm in arms:
        rows = [row for row in results if row["arm"] == arm]
        lines += [_line(arm, str(row["seed"]), row) for row in rows]
        if len(rows) > 1:
            names = ("accuracy", "f1", "training_seconds", "total_seconds")
            lines.append(_line(arm, "mean", {name: statistics.mean(row[name] for row in rows) for name in names}))
    return "\n".join(lines)


def _line(arm: str, seed: str, row: dict[str, Any]) -> str:
    return (
        f"| {arm} | {seed} | {row['accuracy']:.1f} | {row['f1']:.1f} "
        f"| {row['training_seconds']:.0f} | {row['total_seconds']:.0f} |"
    )


def _run(command: list[str]) -> list[str]:
    environment = {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false", **os.environ}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()


if __name__ == "__main__":
    main()
