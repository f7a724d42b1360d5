"""The README of a finished model, in the Hub's format: what it is, how it is used, what it learned from and what it scores.

It is a function of the run: no time, no path, no name of the machine. All that users wrote into it is made harmless as Markdown.
"""

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from huggingface_hub import EvalResult, ModelCardData, metadata_load
from yaml import YAMLError  # type: ignore[import-untyped]

from app.dataset.resolved import SPLITS
from app.spec.metrics import LOSS
from worker.predictor.loading import AUTO_MODELS
from worker.trainer.attached import how_to_load
from worker.trainer.base_model import BaseModel, card_of
from worker.trainer.preparation import TRUNCATION_WARNING, Prepared
from worker.trainer.state import Best

CARD_FILE: Final = "README.md"
MAX_ROWS: Final = 100
"""Labels in one table."""
MAX_CHARS: Final = 120
"""Of a name that users gave."""
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|~$])")
_CHANGE_NOTHING: Final = {
    "greater_is_better", "logging_steps", "logging_strategy", "metric_for_best_model", "per_device_eval_batch_size", "report_to",
    "save_steps", "save_strategy", "save_total_limit",
}  # fmt: skip
"""Settings that leave the weights as they are, or stand elsewhere in the card."""
_INHERITED: Final = ("license", "license_name", "license_link", "language")
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

Report = Mapping[str, Any]


def model_card(prepared: Prepared, *, model_id: str, reports: Mapping[str, Report], best: Best, max_steps: int) -> str:
    """``reports`` are those of the splits that were measured by what serves the model, as the job's report has them."""
    serving = prepared.serving
    parts = [
        f"---\n{_front_matter(prepared, reports)}---",
        f"# {plain(serving.base_model)}, fine-tuned for {serving.task.replace('-', ' ')}",
        *_what_it_is(prepared),
        *_how_to_use(prepared, model_id=model_id),
        *_data(prepared),
        *_training(prepared, best=best, max_steps=max_steps),
        *_results(reports),
        *_limitations(prepared, reports),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: object, *, max_chars: int = MAX_CHARS) -> str:
    """In one line, cut, and without any meaning as Markdown or HTML."""
    line = " ".join(str(text).split())
    line = line if len(line) <= max_chars else line[: max_chars - 1] + "…"
    return _MARKUP.sub(r"\\\1", html.escape(line, quote=False))


def _front_matter(prepared: Prepared, reports: Mapping[str, Report]) -> str:
    serving, dataset = prepared.serving, prepared.spec.dataset
    base = _inherited(prepared.base)
    is_on_hub = _HUB_ID.fullmatch(serving.base_model) is not None
    results = [
        EvalResult(
            task_type=serving.task,
            dataset_type=dataset.name or "uploaded",
            dataset_name=dataset.name or "uploaded data",
            dataset_config=dataset.config if dataset.name else None,
            dataset_split=split,
            metric_type=name,
            metric_value=round(value, 6),
        )
        for split, report in reports.items()
        for name, value in report["metrics"].items()
        if name != LOSS and math.isfinite(value)
    ]
    data = ModelCardData(
        base_model=serving.base_model if is_on_hub else base.get("base_model"),
        datasets=[dataset.name] if dataset.name else None,
        library_name="transformers" if serving.base is None else "peft",
        pipeline_tag=serving.task,
        tags=["tunery", serving.problem_type.replace("_", "-")],
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=serving.base_model.rpartition("/")[2],
        eval_results=results or None,
        **{name: base[name] for name in _INHERITED if name in base},
    )
    return f"{data.to_yaml()}\n"


def _inherited(base: BaseModel) -> dict[str, Any]:
    """What the base's own card says of licence, language and, of a finished model, what that was made from."""
    path = card_of(base)
    if path is None:
        return {}
    try:
        found = metadata_load(path) or {}
    except (OSError, ValueError, YAMLError):
        return {}
    kept = {name: found[name] for name in (*_INHERITED, "base_model") if _is_plain(found.get(name))}
    return kept if isinstance(found, dict) else {}


def _is_plain(value: Any) -> bool:
    """Whether it is a short text, or a few of them: the card of a base is somebody else's."""
    texts = value if isinstance(value, list) else [value]
    return 0 < len(texts) <= MAX_ROWS and all(isinstance(text, str) and 0 < len(text) <= MAX_CHARS for text in texts)


def _what_it_is(prepared: Prepared) -> Iterator[str]:
    serving, data = prepared.serving, prepared.data
    how = "cut to" if serving.doc_stride is None else "read in windows of"
    fields = " and ".join(plain(name) for name in serving.text_fields)
    yield f"Input: {fields}, {how} {serving.max_length:,} tokens."
    names = data.task.label_names if data.task.has_head and not data.task.has_fixed_outputs else []
    if names:
        word = "Output" if serving.problem_type == "regression" else f"{len(names):,} labels"
        shown = ", ".join(plain(name) for name in names[:MAX_ROWS])
        yield f"{word}: {shown}{', …' if len(names) > MAX_ROWS else ''}."
    yield f"Measured, and to be served, in {serving.precision}."


def _how_to_use(prepared: Prepared, *, model_id: str) -> Iterator[str]:
    serving = prepared.serving
    yield "## Use it"
    if serving.base is not None:
        yield "\n".join(line for line in how_to_load(serving) if not line.startswith("## ")).strip()
    else:
        yield "With transformers, `FOLDER` being where this file lies:"
        yield "```python\n" + "\n".join(_code(prepared)) + "\n```"
    is_pair = len(serving.text_fields) > 1
    if serving.task == "question-answering":
        inputs = '{"question": "…", "context": "…"}'
    else:
        inputs = '{"text": "…", "text_pair": "…"}' if is_pair else '"…"'
    yield "With the Tunery that made it, which answers as it was measured (the words of the `POST /predict` there):"
    body = f'{{"model": "{model_id}", "inputs": {inputs}}}'
    yield f"```sh\ncurl -H 'content-type: application/json' http://localhost:8000/predict -d '{body}'\n```"


def _code(prepared: Prepared) -> list[str]:
    serving = prepared.serving
    auto = AUTO_MODELS[serving.task].__name__
    match serving.task:
        case "text-classification":
            function = {"regression": "none", "multi_label_classification": "sigmoid"}.get(
                serving.problem_type, "softmax"
            )
            is_pair = len(serving.text_fields) > 1
            text = '{"text": "A text", "text_pair": "A second text"}' if is_pair else '"A text"'
            return [
                "from transformers import pipeline",
                "",
                'classify = pipeline("text-classification", model="FOLDER")',
                f'answer = classify({text}, top_k=None, function_to_apply="{function}", truncation=True)',
            ]
        case "token-classification":
            return [
                "from transformers import pipeline",
                "",
                'tag = pipeline("token-classification", model="FOLDER", aggregation_strategy="first")',
                'answer = tag("A text")',
            ]
        case _:
            return [
                f"from transformers import {auto}, AutoTokenizer",
                "",
                f'model = {auto}.from_pretrained("FOLDER")',
                'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            ]


def _data(prepared: Prepared) -> Iterator[str]:
    data, dataset = prepared.data, prepared.spec.dataset
    yield "## Training data"
    where = (
        "Uploaded files."
        if dataset.name is None
        else f"{plain(dataset.name)}{_parts(dataset.config, dataset.revision)}."
    )
    aside = (
        " The validation split was set aside from the training data." if isinstance(dataset.validation, float) else ""
    )
    yield where + aside
    report = data.report
    sizes = {split: report["num_examples"][split] for split in SPLITS if split in report["num_examples"]}
    yield _table(["split", "examples", "cut"], [
        [split, f"{size:,}", f"{report['splits'].get(split, {}).get('tokens', {}).get('share_truncated', 0):.1%}"]
        for split, size in sizes.items()
    ])  # fmt: skip
    counted = {split: facts["label_counts"] for split, facts in report["splits"].items() if "label_counts" in facts}
    if counted:
        names = list(counted["train"])
        shares = report["splits"]["train"]["label_shares"]
        rows = [
            [plain(name), f"{shares.get(name, 0):.1%}", *(f"{counts.get(name, 0):,}" for counts in counted.values())]
            for name in names[:MAX_ROWS]
        ]
        yield _table(["label", "share of train", *counted], rows)
        if len(names) > MAX_ROWS:
            yield f"{len(names) - MAX_ROWS:,} more labels are left out."


def _parts(*names: str | None) -> str:
    given = [plain(name) for name in names if name]
    return f" ({', '.join(given)})" if given else ""


def _training(prepared: Prepared, *, best: Best, max_steps: int) -> Iterator[str]:
    spec = prepared.spec
    args = spec.training
    yield "## Training"
    yield (
        f"Of {max_steps:,} steps this is the model after step {best.step:,}, chosen by `{args.metric_for_best_model}` on the "
        "validation split."
    )
    settings = args.model_dump(mode="json", exclude_defaults=True, exclude=_CHANGE_NOTHING) | {
        name: getattr(args, name)
        for name in ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
                     "lr_scheduler_type", "warmup_steps", "weight_decay", "max_length", "seed", "bf16")
    }  # fmt: skip
    rows = [[f"`{name}`", plain(settings[name])] for name in sorted(settings) if settings[name] is not None]
    if spec.adapter is not None:
        rows += [[f"`adapter.{name}`", plain(value)] for name, value in spec.adapter.model_dump(mode="json").items()]
    yield _table(["AdamW with", ""], rows)


def _results(reports: Mapping[str, Report]) -> Iterator[str]:
    yield "## Results"
    names = list(dict.fromkeys(name for report in reports.values() for name in report["metrics"]))
    yield _table(["", *reports], [
        [name, *(f"{report['metrics'][name]:.4f}" for report in reports.values())] for name in names
    ])  # fmt: skip
    for split, report in reports.items():
        if per_class := report.get("per_class"):
            yield f"By class, {split}:"
            rows = [
                [
                    plain(row["label"]),
                    f"{row['support']:,}",
                    *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")),
                ]
                for row in per_class[:MAX_ROWS]
            ]
            yield _table(["", "examples", "precision", "recall", "f1"], rows)
    if baseline := reports["validation"].get("majority_baseline"):
        yield f"Always answering {plain(baseline['label'])} would have an accuracy of {baseline['accuracy']:.4f} on validation."


def _limitations(prepared: Prepared, reports: Mapping[str, Report]) -> Iterator[str]:
    yield "## Limitations"
    notes = [
        "It is as good, and as biased, as its data and its base model; try it on your own texts before you rely on it."
    ]
    if "test" not in reports:
        notes.append(
            "There was no test split: the checkpoint was chosen on the split that the scores are of, so that new texts may "
            "score lower."
        )
    cut = {
        split: share
        for split, facts in prepared.data.report["splits"].items()
        if (share := facts.get("tokens", {}).get("share_truncated", 0)) > TRUNCATION_WARNING
    }
    notes += [
        f"{share:.0%} of the {split} examples were longer than it reads, and cut." for split, share in cut.items()
    ]
    notes += [plain(message, max_chars=500) for message in prepared.data.warnings]
    yield "\n".join(f"- {note}" for note in notes)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
