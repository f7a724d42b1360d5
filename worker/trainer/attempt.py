"""One attempt of a job, from its spec to a finished model, in the order it runs."""

import hashlib
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from accelerate import Accelerator
from transformers import PreTrainedModel

from app import failpoints, ids
from app.dataset.resolved import Split
from app.manifest import add_file
from app.spec.messages import MistakesMessage, ResultMessage, StartedMessage
from app.spec.run import RunSpec
from worker.trainer import base_model, publishing
from worker.trainer.adapters import adapter_report, add_adapter
from worker.trainer.batching import TrainBatches
from worker.trainer.checkpoints import WEIGHTS, Checkpoints, Rotation, load_logits, load_weights
from worker.trainer.control import Control
from worker.trainer.data import Data
from worker.trainer.evaluation import Evaluator, shared_logits
from worker.trainer.forward import choose_forward
from worker.trainer.group import Place
from worker.trainer.holding import Holding, meet
from worker.trainer.layers import freeze, rate_factors
from worker.trainer.loop import Parts, train
from worker.trainer.model_card import CARD_FILE, model_card
from worker.trainer.optim import Schedule, make_optimizer
from worker.trainer.padding import Padding
from worker.trainer.plan import Plan
from worker.trainer.precision import make_repeatable, round_tiny_numbers_to_zero
from worker.trainer.preparation import Prepared, prepare
from worker.trainer.reporting import Reporter
from worker.trainer.state import TrainState
from worker.trainer.tracking import Trackers


def run_attempt(
    run: RunSpec,
    *,
    run_dir: Path,
    report: Reporter,
    control: Control,
    started_at: float,
    place: Place = Place(),  # noqa: B008 - it is frozen
) -> None:
    """Train, evaluate, publish; of several processes (``place``) only the first publishes. Raises ServiceError for what only the user can mend, Stopped when told to stop."""
    ready_at = time.monotonic()
    holding = meet(place, run_dir=run_dir, resources=run.spec.resources)
    ranks = holding.ranks
    if ranks.size > 1:
        what = "weights and examples" if ranks.acts_together else "the examples"
        report.log(f"{ranks.size} processes share {what} of each micro-batch", processes=ranks.size)
    round_tiny_numbers_to_zero()
    make_repeatable(full_determinism=run.spec.training.full_determinism, report=report)
    prepared = prepare(run, run_dir=run_dir, report=report, ranks=ranks)
    task, labels = prepared.data.task, prepared.data.splits["train"].labels
    model, new_weights = base_model.load_model(
        prepared.base,
        task,
        first_logits=task.first_logits(labels),
        seed=prepared.spec.training.seed,
        report=report,
    )
    prepared = prepared.served_from(model, whole=not ranks.acts_together)
    if prepared.spec.adapter is not None:
        add_adapter(model, prepared.spec.adapter, new=new_weights, seed=prepared.spec.training.seed)
    parts = assemble(prepared, model, name=run.job_id, run_dir=run_dir, report=report, control=control, holding=holding)
    state = parts.checkpoints.restore([Path(path) for path in run.checkpoints])
    ranks.refuse_unless_same(state.step, model.parameters())
    report.send(
        StartedMessage(
            resumed_from_step=state.step,
            max_steps=parts.plan.max_steps,
            num_epochs=parts.plan.epoch_at(parts.plan.max_steps),
            num_examples={name: len(split) for name, split in prepared.tokens.items()},
        )
    )
    failpoints.reach("trainer.ready")
    first_step_at = time.monotonic()
    with control.deferred(together=ranks.acts_together), closing(parts.trackers):
        train(parts, state)
    trained_at = time.monotonic()
    if ranks.publishers is None:
        return
    result = publish(
        prepared,
        model,
        state,
        model_id=ids.fine_tuned_model_id(run.spec.model, suffix=run.spec.suffix, job_id=run.job_id),
        plan=parts.plan,
        run_dir=run_dir,
        report=report,
        holding=holding,
    )
    parts.checkpoints.remove_old()
    timings = {
        "import_seconds": ready_at - started_at,
        "startup_seconds": first_step_at - started_at,
        "training_seconds": parts.speed.training_seconds,
        "training_and_evaluation_seconds": trained_at - first_step_at,
        "publishing_seconds": time.monotonic() - trained_at,
    }
    report.send(result.model_copy(update={"timings": {name: round(value, 3) for name, value in timings.items()}}))
    failpoints.reach("trainer.told")


def assemble(
    prepared: Prepared,
    model: PreTrainedModel,
    *,
    name: str,
    run_dir: Path,
    report: Reporter,
    control: Control,
    holding: Holding,
) -> Parts:
    """The parts of the loop, put together."""
    args, data, ranks = prepared.spec.training, prepared.data, holding.ranks
    accelerator = Accelerator(
        mixed_precision="bf16" if args.bf16 else "no", step_scheduler_with_optimizer=False, device_placement=True
    )
    device, bf16 = accelerator.device, bool(args.bf16)
    holding.receive(model, device=device)
    if args.gradient_checkpointing:
        base_model.enable_gradient_checkpointing(model)
    tokenizer, train_tokens = prepared.base.tokenizer, prepared.tokens["train"]
    options = holding.forward_options(bf16=bf16, device=device)
    forward, how = choose_forward(model, train_tokens, padding=Padding.of(tokenizer), **options)
    report.log(f"training {how}")
    plan = Plan.of(args, num_examples=len(train_tokens))
    schedule = Schedule(args, warmup_steps=plan.warmup_steps, max_steps=plan.max_steps)
    token_ids = np.append(np.unique(train_tokens.columns["input_ids"]), tokenizer.pad_token_id)
    data.task.weigh_classes(args, data.splits["train"].labels)
    freeze(model, args)
    factors = rate_factors(model, args)
    table_factor = min(factors.values())
    weights = holding.weights(
        model,
        token_ids=token_ids,
        decay=lambda steps: schedule.decay(steps, factor=table_factor),
        bf16=bf16,
        device=device,
    )
    optimizer = make_optimizer(weights.names, args, factors=factors)
    checkpoints = Checkpoints(
        run_dir / "checkpoints",
        model=model,
        weights=weights,
        optimizer=optimizer,
        fingerprint=fingerprint(prepared),
        rotation=Rotation(limit=args.save_total_limit, recorded_step=lambda: control.recorded_step),
        report=report,
        ranks=ranks,
    )
    prepared_model, prepared_optimizer = accelerator.prepare(model, optimizer, device_placement=[False, True])
    return Parts(
        args=args,
        plan=plan,
        task=data.task,
        accelerator=accelerator,
        model=prepared_model,
        weights=weights,
        forward=forward,
        optimizer=prepared_optimizer,
        schedule=schedule,
        batches=TrainBatches(
            train_tokens,
            data.splits["train"].labels,
            forward=forward,
            batch_size=int(args.per_device_train_batch_size),
            accumulation=args.gradient_accumulation_steps,
            seed=args.seed,
            by_length=args.train_sampling_strategy == "group_by_length",
            ranks=ranks,
        ),
        evaluator=Evaluator(
            data.splits["validation"],
            encode=lambda engine: data.task.encode(engine, data.splits["validation"], prepared.tokens["validation"]),
            task=data.task,
            metrics=prepared.metrics,
            writer=prepared.writer,
            max_tokens=prepared.max_tokens,
            open_engine=lambda: publishing.open_engine(
                run_dir / "engine",
                model=model,
                tokenizer=tokenizer,
                serving=prepared.serving,
                load=lambda folder: holding.load(folder, base=prepared.kept_folder),
                ranks=ranks,
            ),
            ranks=ranks,
        ),
        checkpoints=checkpoints,
        control=control,
        report=report,
        trackers=Trackers(
            args.report_to if ranks.is_first else [],
            run_name=name,
            folder=run_dir / "tracking",
            config=args.model_dump(mode="json"),
            report=report,
        ),
        ranks=ranks,
    )


def publish(
    prepared: Prepared,
    model: PreTrainedModel,
    state: TrainState,
    *,
    model_id: str,
    plan: Plan,
    run_dir: Path,
    report: Reporter,
    holding: Holding,
) -> ResultMessage:
    """Build the finished model from the best checkpoint and measure it through the serving engine. Only for ``publishers``."""
    ranks, best = holding.ranks.publishers, state.best
    assert ranks is not None
    assert best is not None, "the last step is always evaluated"
    report.phase("evaluating")
    ranks.wait()  # for the first, which writes the checkpoint
    data, task, metrics = prepared.data, prepared.data.task, prepared.metrics
    load_weights(model, Path(best.path or "") / WEIGHTS, ranks=ranks)
    trained_logits = load_logits(best)
    serving = prepared.serving
    folder = run_dir / "model"
    manifest = publishing.build_model_folder(
        folder,
        model=model,
        tokenizer=prepared.base.tokenizer,
        serving=serving,
        ranks=ranks,
    )
    failpoints.reach("model.built")
    opened = holding.load(folder, base=prepared.kept_folder, expected_manifest_sha256=manifest.sha256)
    served = opened.engine
    guess = task.guess(data.splits["train"].labels)
    reports: dict[str, dict[str, Any]] = {}
    names: tuple[Split, ...] = ("validation", "test")
    for name in names:
        if name in data.splits:
            examples = data.splits[name]
            encoded = task.encode(served, examples, prepared.tokens[name])
            logits = shared_logits(opened, encoded, max_tokens=prepared.max_tokens, ranks=ranks)
            assert logits is not None, "nothing interrupts it"
            if name == "validation":
                publishing.refuse_mismatch(
                    logits, trained_logits, examples, task=task, metrics=metrics, precision=serving.precision
                )
            written = None if prepared.writer is None else prepared.writer.write(served, examples)
            send_mistakes(name, logits, data, report=report)
            reports[name] = publishing.split_report(
                logits, examples, task=task, guess=guess, metrics=metrics, written=written
            )
    found = {f"eval/{name}": value for name, value in reports["validation"]["metrics"].items()}
    if "test" in reports:
        found |= {f"test/{name}": value for name, value in reports["test"]["metrics"].items()}
    if ranks.is_first:
        card = model_card(prepared, model_id=model_id, reports=reports, best=best, max_steps=plan.max_steps)
        manifest = add_file(folder, CARD_FILE, card.encode())
    return ResultMessage(
        model_path=str(folder),
        manifest_sha256=manifest.sha256,
        weights_sha256=manifest.weights_sha256(),
        last_step=state.step,
        num_tokens=state.num_tokens,
        best_step=best.step,
        best_epoch=plan.epoch_at(best.step),
        metrics=found,
        report={"labels": task.label_names, **reports.pop("validation"), **adapter_report(model, manifest), **reports},
        timings={},
        base=prepared.kept,
    )


def send_mistakes(name: Split, logits: np.ndarray, data: Data, *, report: Reporter) -> None:
    """Tell of the wrong answers in a split, of tasks that have such."""
    examples = data.splits[name]
    found = data.task.mistakes(logits, examples)
    if found is None or name == "train":
        return
    report.send(
        MistakesMessage(
            split=name,
            rows_of=data.report["splits"][name].get("set_aside_from", name),
            num_examples=len(examples),
            num_wrong=found.num_wrong,
            mistakes=found.kept,
        )
    )


def fingerprint(prepared: Prepared) -> str:
    """What a checkpoint must share with this run to be resumed: examples, labels and every setting but the hardware's."""
    digest = hashlib.sha256()
    spec = prepared.spec
    settings = spec.training.model_dump(exclude={"bf16"}, exclude_defaults=True)  # so that new ones change nothing
    adapter = [] if spec.adapter is None else [spec.adapter.model_dump(exclude_defaults=True)]
    about = [settings, prepared.data.task.label_names, *adapter]
    digest.update(orjson.dumps(about, option=orjson.OPT_SORT_KEYS))
    for name, split in sorted(prepared.tokens.items()):
        digest.update(name.encode())
        for array in (*split.columns.values(), split.offsets, prepared.data.splits[name].labels):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
