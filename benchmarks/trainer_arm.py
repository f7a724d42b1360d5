"""One run of transformers.Trainer as the Hugging Face course's chapter 3 has it, at a data set's hyperparameters.

``python trainer_arm.py DATA MODEL ARM DATA_SET SEED EPOCHS FOLDER`` prints what ``arms.measure`` returns, as JSON.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from arms import DATA_SETS, DataSet
from scipy import stats
from seqeval.metrics import accuracy_score as tags_accuracy
from seqeval.metrics import f1_score as tags_f1
from sklearn import metrics
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main() -> None:
    data, model, arm, name, seed, epochs, folder = sys.argv[1:]
    data_set = DATA_SETS[name]
    rows, labels = read(Path(data) / name, data_set, cache_dir=folder)
    tags_words = data_set.problem_type == "token_classification"
    tokenizer = AutoTokenizer.from_pretrained(model)
    encode = tagged if tags_words else paired
    rows = rows.map(lambda batch: encode(tokenizer, batch, data_set, labels), batched=True)
    set_seed(int(seed))
    auto_model = AutoModelForTokenClassification if tags_words else AutoModelForSequenceClassification
    options = {} if tags_words else {"problem_type": data_set.problem_type}
    classifier = auto_model.from_pretrained(model, num_labels=len(labels), **options)
    grouped = {"train_sampling_strategy": "group_by_length"} if arm.endswith("grouped") else {}
    collator = DataCollatorForTokenClassification if tags_words else DataCollatorWithPadding
    trainer = Trainer(
        classifier,
        TrainingArguments(
            folder, num_train_epochs=float(epochs), per_device_train_batch_size=data_set.batch_size,
            per_device_eval_batch_size=64, learning_rate=data_set.learning_rate, seed=int(seed), bf16="bf16" in arm,
            use_cpu=not torch.cuda.is_available(), eval_strategy="no", save_strategy="no", report_to="none",
            disable_tqdm=True, **grouped,
        ),
        train_dataset=rows["train"],
        data_collator=collator(tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    seconds = trainer.train().metrics["train_runtime"]
    predicted = trainer.predict(rows["held_out"])
    if tags_words:
        scores = score_tags(predicted.predictions, predicted.label_ids, labels)
    else:
        scores = {name: score(name, predicted.predictions, predicted.label_ids) for name in data_set.metrics}
    print(json.dumps({**{name: 100 * value for name, value in scores.items()}, "training_seconds": seconds}))


def paired(tokenizer: Any, batch: Any, data_set: DataSet, _labels: list[Any]) -> Any:
    texts = (batch[column] for column in data_set.texts)
    return tokenizer(*texts, truncation=True, max_length=data_set.max_length)


def tagged(tokenizer: Any, batch: Any, data_set: DataSet, labels: list[Any]) -> Any:
    """As the course's chapter 7 has it, but that only the first token of a word has a label."""
    (words,) = (batch[column] for column in data_set.texts)
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=data_set.max_length)
    ids = {label: number for number, label in enumerate(labels)}
    encoded["labels"] = [
        [
            -100 if word is None or word == before else ids[tags[word]]
            for before, word in pairwise([None, *encoded.word_ids(number)])
        ]
        for number, tags in enumerate(batch[data_set.label])
    ]
    return encoded


def score_tags(logits: np.ndarray, labels: np.ndarray, names: list[Any]) -> dict[str, float]:
    answers = logits.argmax(axis=-1)
    kept = [row != -100 for row in labels]
    predicted, true = (
        [[names[tag] for tag in row[keep]] for row, keep in zip(tags, kept, strict=True)] for tags in (answers, labels)
    )
    return {"f1": float(tags_f1(true, predicted)), "accuracy": float(tags_accuracy(true, predicted))}


def read(folder: Path, data_set: DataSet, *, cache_dir: str) -> tuple[datasets.DatasetDict, list[Any]]:
    """The splits with a column ``label`` as the model's loss takes it (tags as they are), and the outputs."""
    paths = {"train": str(folder / "train.jsonl"), "held_out": str(folder / f"{data_set.held_out}.jsonl")}
    rows = datasets.load_dataset("json", data_files=paths, cache_dir=cache_dir)
    labels = rows["train"][data_set.label]
    if data_set.problem_type == "regression":
        return rows, ["score"]
    if data_set.problem_type == "single_label_classification":
        return rows, sorted(set(labels))
    names = sorted({name for row in labels for name in row})
    if data_set.problem_type == "token_classification":
        return rows, names
    keep = set(data_set.texts)
    return rows.map(
        lambda row: {"label": [float(name in row[data_set.label]) for name in names]},
        remove_columns=[name for name in rows["train"].column_names if name not in keep],
    ), names


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
