"""One run of transformers.Trainer as the Hugging Face course's chapter 3 has it, at a data set's hyperparameters.

``python trainer_arm.py DATA MODEL ARM DATA_SET SEED EPOCHS FOLDER`` prints what ``arms.measure`` returns, as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from arms import DATA_SETS, DataSet
from scipy import stats
from sklearn import metrics
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main() -> None:
    data, model, arm, name, seed, epochs, folder = sys.argv[1:]
    data_set = DATA_SETS[name]
    rows, num_labels = read(Path(data) / name, data_set, cache_dir=folder)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = rows.map(
        lambda batch: tokenizer(*(batch[c] for c in data_set.texts), truncation=True, max_length=data_set.max_length),
        batched=True,
    )
    set_seed(int(seed))
    classifier = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=num_labels, problem_type=data_set.problem_type
    )
    grouped = {"train_sampling_strategy": "group_by_length"} if arm.endswith("grouped") else {}
    trainer = Trainer(
        classifier,
        TrainingArguments(
            folder, num_train_epochs=float(epochs), per_device_train_batch_size=data_set.batch_size,
            per_device_eval_batch_size=64, learning_rate=data_set.learning_rate, seed=int(seed), bf16="bf16" in arm,
            use_cpu=not torch.cuda.is_available(), eval_strategy="no", save_strategy="no", report_to="none",
            disable_tqdm=True, **grouped,
        ),
        train_dataset=rows["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    seconds = trainer.train().metrics["train_runtime"]
    predicted = trainer.predict(rows["held_out"])
    scores = {name: 100 * score(name, predicted.predictions, predicted.label_ids) for name in data_set.metrics}
    print(json.dumps({**scores, "training_seconds": seconds}))


def read(folder: Path, data_set: DataSet, *, cache_dir: str) -> tuple[datasets.DatasetDict, int]:
    """The splits with a column ``label`` as the model's loss takes it, and how many outputs there are."""
    paths = {"train": str(folder / "train.jsonl"), "held_out": str(folder / f"{data_set.held_out}.jsonl")}
    rows = datasets.load_dataset("json", data_files=paths, cache_dir=cache_dir)
    labels = rows["train"][data_set.label]
    if data_set.problem_type == "regression":
        return rows, 1
    if data_set.problem_type == "single_label_classification":
        return rows, len(set(labels))
    names = sorted({name for row in labels for name in row})
    keep = set(data_set.texts)
    return rows.map(
        lambda row: {"label": [float(name in row[data_set.label]) for name in names]},
        remove_columns=[name for name in rows["train"].column_names if name not in keep],
    ), len(names)


def score(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    match name:
        case "pearson":
            return float(stats.pearsonr(predictions[:, 0], labels).statistic)
        case "spearmanr":
            return float(stats.spearmanr(predictions[:, 0], labels).statistic)
    answers: Any = predictions > 0 if labels.ndim == 2 else predictions.argmax(axis=1)
    if name == "accuracy":
        return float(metrics.accuracy_score(labels, answers))
    average = name.removeprefix("f1_") if "_" in name else "binary"
    return float(metrics.f1_score(labels, answers, average=average, zero_division=0))


if __name__ == "__main__":
    main()
