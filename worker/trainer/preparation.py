"""Everything that is found out and chosen before the first step."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from app.dataset.resolved import Split
from app.spec.base import TASK_OF
from app.spec.fit import check_model_fits
from app.spec.job import JobSpec
from app.spec.messages import DataReportMessage, KeptBase, ResolvedMessage
from app.spec.metrics import metric_names
from app.spec.recipe import fill
from app.spec.run import RunSpec
from app.spec.serving import BASES_FOLDER, ServingSpec
from worker.predictor.loading import GENERATING
from worker.predictor.packed.forward import packs
from worker.trainer import attached, base_model
from worker.trainer.base_model import BaseModel
from worker.trainer.data import Data, read_data
from worker.trainer.metrics import Metrics
from worker.trainer.precision import has_fast_bf16
from worker.trainer.ranks import Ranks
from worker.trainer.reporting import Reporter
from worker.trainer.tokens import Tokens
from worker.trainer.written import Writer

EVAL_BATCH_SIZE = 64
"""For "auto": sorted by length, larger batches are no faster on any device that was tried, and take more memory."""

TRUNCATION_WARNING = 0.05
"""Fraction of a split's examples above which cut inputs are worth a warning."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything known before the first step."""

    spec: JobSpec
    base: BaseModel
    data: Data
    tokens: dict[Split, Tokens]
    metrics: Metrics
    kept: KeptBase | None
    """What the finished model is to be attached to; unset: it is published whole."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What it is evaluated and served in."""

    def served_from(self, model: PreTrainedModel, *, whole: bool) -> "Prepared":
        """The same with the precision chosen: bfloat16 if ``model``, as it was read, is trained and can be served in it (docs/adr/0013).

        ``whole``: each process holds all of its weights.
        """
        can = whole and self.kept is None and bool(self.spec.training.bf16) and not torch.cuda.is_available()
        if not can or TASK_OF[self.data.task.problem_type] in GENERATING:
            return self
        max_length = int(self.spec.training.max_length)
        model.eval()  # type: ignore[no-untyped-call]
        if not packs(model, pad_id=self.base.tokenizer.pad_token_id, max_length=max_length):
            return self
        return replace(self, precision="bfloat16")

    @property
    def serving(self) -> ServingSpec:
        training = self.spec.training
        return ServingSpec(
            task=TASK_OF[self.data.task.problem_type],
            problem_type=self.data.task.problem_type,
            base_model=self.spec.model,
            labels=self.data.task.label_names,
            text_fields=self.data.text_fields,
            max_length=int(training.max_length),
            precision=self.precision,
            prompt_format=None if self.spec.prompt_format == "auto" else self.spec.prompt_format,
            base=attached.identity(self.kept, self.spec) if self.kept else None,
            **self.data.task.serving(training),
        )

    @property
    def kept_folder(self) -> Path | None:
        return Path(self.kept.path) if self.kept else None

    @property
    def writer(self) -> Writer | None:
        """None where no metric is of written texts. One is as long as the longest answer of the data at most."""
        if not self.metrics.of_texts:
            return None
        longest = max(
            int(np.diff(split.words.offsets).max()) for split in self.tokens.values() if split.words is not None
        )
        return Writer(batch_size=int(self.spec.training.per_device_eval_batch_size), max_new_tokens=longest)

    @property
    def max_tokens(self) -> int:
        """Of one forward of an evaluation, padding counted: its batch size in examples of the full length."""
        return int(self.spec.training.per_device_eval_batch_size) * int(self.spec.training.max_length)


def prepare(run: RunSpec, *, run_dir: Path, report: Reporter, ranks: Ranks) -> Prepared:
    """Find the model, read and tokenise the data, and make every choice that was left open."""
    base = base_model.find(attached.started_whole(run, run_dir=run_dir))
    limit = base_model.length_limit(base, run.spec.training.max_length)
    report.phase("validating")
    is_encoder_decoder = bool(base.config.is_encoder_decoder)
    data = read_data(run, is_encoder_decoder=is_encoder_decoder, report=report)
    task_name = TASK_OF[data.task.problem_type]
    check_model_fits(
        task_name,
        model=run.spec.model,
        model_type=base.config.model_type,
        architectures=base.config.architectures or (),
        is_encoder_decoder=is_encoder_decoder,
        is_decoder=getattr(base.config, "is_decoder", False) is True,
    )
    report.send(DataReportMessage(data_report=data.report))
    spec = fill(
        data.task.settle(data.spec, tokenizer=base.tokenizer, limit=base_model.written_limit(base)),
        num_examples=len(data.splits["train"]),
        num_labels=data.task.num_outputs,
        model_config=base.config_dict,
    )
    metrics = Metrics(
        metric_names(spec.metrics),
        problem_type=data.task.problem_type,
        num_labels=data.task.num_outputs,
        cache_dir=ranks.own(run_dir / "evaluate"),
    )
    report.phase("tokenizing")
    with ranks.first_then_others():
        tokenized = {
            name: data.task.tokenize(base.tokenizer, split, max_length=limit, cache_dir=Path(run.cache_dir))
            for name, split in data.splits.items()
        }
    data = data.with_labels(tokenized)
    if spec.training.max_length == "auto":
        limit = data.task.needed_length(list(tokenized.values()), limit=limit)
    warn_of_truncation(tokenized, max_length=limit, most=base_model.most_read(base), report=report)
    data = data.with_lengths(tokenized)
    report.send(DataReportMessage(data_report=data.report))
    spec = complete(data.task.settle_lengths(spec, tokenized.values()), max_length=limit, report=report)
    report.send(ResolvedMessage(spec=spec))
    stays = spec.adapter is not None and not spec.adapter.merge
    kept = attached.keep_base(base, run_dir / BASES_FOLDER) if stays else None
    return Prepared(spec=spec, base=base, data=data, tokens=tokenized, metrics=metrics, kept=kept)


def complete(spec: JobSpec, *, max_length: int, report: Reporter) -> JobSpec:
    """Choose what depends on this machine and on the tokens."""
    bf16 = spec.training.bf16
    if bf16 == "auto":
        bf16 = has_fast_bf16()
        why = "this hardware has units for it" if bf16 else "this hardware has no units for bfloat16"
        report.log(f"training in {'bfloat16 (mixed precision)' if bf16 else 'float32'}: {why}", bf16=bf16)
    eval_batch_size = spec.training.per_device_eval_batch_size
    chosen = {
        "bf16": bf16,
        "max_length": max_length,
        "per_device_eval_batch_size": EVAL_BATCH_SIZE if eval_batch_size == "auto" else eval_batch_size,
    }
    return spec.model_copy(update={"training": spec.training.model_copy(update=chosen)})


def warn_of_truncation(splits: dict[Split, Tokens], *, max_length: int, most: int, report: Reporter) -> None:
    """``most``: tokens that the model could read."""
    what_to_do = (
        "raise it, which takes memory and time, or shorten the texts"
        if most > max_length
        else "the model reads no more: shorten the texts, or put first what matters"
    )
    for name, split in splits.items():
        fraction = float(split.truncated.mean())
        if fraction > TRUNCATION_WARNING:
            report.warn(
                "truncated",
                f"{fraction:.0%} of the {name} examples are longer than {max_length} tokens and are cut "
                f"(training.max_length): {what_to_do}",
            )
        if split.cut_answers is not None and (fraction := float(split.cut_answers.mean())) > TRUNCATION_WARNING:
            longest = 0 if split.words is None else int(np.diff(split.words.offsets).max())
            report.warn(
                "truncated",
                f"{fraction:.0%} of the answers of the {name} split are longer than {longest} tokens and are cut "
                "(training.max_target_length): raise it, or shorten the answers",
            )
