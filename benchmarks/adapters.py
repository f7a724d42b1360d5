"""What does it cost to serve adapters attached to one base, against models that are merged and whole?

    python benchmarks/adapters.py --model FOLDER [--adapters 20] [--rounds 30] [--threads 2]

``FOLDER`` is an encoder as transformers saves it. Makes as many adapters of it (LoRA on all linear layers, random weights) and the
same models merged, as the trainer publishes them; loads and asks both by the predictor's engine. Times are medians of rounds in
which the two take turns; memory is that of a process of its own for each. Prints Markdown tables.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FORMS = ("attached", "merged")
LABELS = ["negative", "neutral", "positive"]
SENTENCE = "The committee said on Monday that the agreement would be reviewed before the end of the year ."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resident", choices=FORMS, help=argparse.SUPPRESS)
    parser.add_argument("--made", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.resident:
        print(memory_mb(args.made, args.resident))
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the predictor has it
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(prefix="tunery-adapters-") as temporary:
        made = Path(temporary)
        for number in range(args.adapters):
            make(made, args.model, str(number), rank=args.rank, seed=number)
        make(made, args.model, "dora", rank=args.rank, seed=0, use_dora=True)
        print(f"{args.adapters} adapters of rank {args.rank} on {args.model.name}, {args.threads} threads\n")
        sizes(made)
        memory(made, args)
        loading(made, rounds=args.rounds)
        latency(made, rounds=args.rounds)
        mixing(made, count=args.adapters, rounds=args.rounds)


def make(made: Path, source: Path, name: str, *, rank: int, seed: int, use_dora: bool = False) -> None:
    """One adapter, as the trainer publishes it in either form."""
    import torch

    from app.spec.job import JobSpec
    from app.spec.run import RunSpec
    from app.spec.serving import ServingSpec
    from worker.predictor.loading import AUTO_MODELS
    from worker.trainer import attached, base_model, publishing
    from worker.trainer.adapters import add_adapter

    spec = JobSpec.model_validate({
        "model": source.name, "dataset": {"name": "none"}, "adapter": {"r": rank, "use_dora": use_dora},
    })  # fmt: skip
    run = RunSpec(job_id="benchmark", attempt=1, spec=spec, model_path=str(source), cache_dir=str(made))
    base = base_model.find(run)
    kept = attached.keep_base(base, made / "bases")
    model = AUTO_MODELS["text-classification"].from_pretrained(source, num_labels=3, id2label=dict(enumerate(LABELS)))
    assert spec.adapter is not None
    add_adapter(model, spec.adapter, new={"classifier.weight", "classifier.bias"}, seed=seed)
    torch.manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name or parameter_name.startswith("classifier."):
            parameter.data.normal_(std=0.02)
    for form in FORMS:
        identity = attached.identity(kept, spec) if form == "attached" else None
        serving = ServingSpec(
            task="text-classification", base_model=source.name, labels=LABELS, text_fields=["text"], max_length=128,
            precision="float32", base=identity,
        )  # fmt: skip
        publishing.build_model_folder(made / form / name, model=model, tokenizer=base.tokenizer, serving=serving)


def load(made: Path, form: str, name: str, bases: object = None):
    from worker.predictor.engine import LoadedModel

    base = next((made / "bases").iterdir()) if form == "attached" else None
    return LoadedModel.load(made / form / name, bases=bases, base=base)  # type: ignore[arg-type]


def sizes(made: Path) -> None:
    print("| stored, MB | weights of a model | its folder | base, once |")
    print("|---|---|---|---|")
    for form in FORMS:
        weights, whole = folder_mb(made / form / "0", "*.safetensors"), folder_mb(made / form / "0", "*")
        base = f"{folder_mb(made / 'bases', '*'):.1f}" if form == "attached" else ""
        print(f"| {form} | {weights:.2f} | {whole:.2f} | {base} |")


def folder_mb(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 1e6


def memory(made: Path, args: argparse.Namespace) -> None:
    print(f"\n| memory of {args.adapters} loaded models, MB | |")
    print("|---|---|")
    for form in FORMS:
        command = [sys.executable, __file__, "--model", str(args.model), "--resident", form, "--made", str(made)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"| {form} | {float(found.stdout):.0f} |")


def memory_mb(made: Path, form: str) -> float:
    """What loading all models of a form, and asking each once, adds to this process."""
    import psutil

    from worker.predictor.bases import Bases

    load(made, form, "dora").logits([(SENTENCE, None)])  # libraries and their buffers are there before
    before = psutil.Process().memory_info().rss
    bases = Bases()
    names = sorted(path.name for path in (made / form).iterdir() if path.name.isdigit())
    models = [load(made, form, name, bases) for name in names]
    for model in models:
        model.logits([(SENTENCE, None)])
    return (psutil.Process().memory_info().rss - before) / 1e6


def loading(made: Path, *, rounds: int) -> None:
    from worker.predictor.bases import Bases

    bases = Bases()
    held = load(made, "attached", "0", bases)
    print("\n| loading, files verified | ms |")
    print("|---|---|")
    table({
        "attached, to a base in memory": lambda: load(made, "attached", "1", bases),
        "attached, with its base": lambda: load(made, "attached", "1"),
        "merged": lambda: load(made, "merged", "1"),
    }, rounds=rounds)  # fmt: skip
    assert held.attachment is not None


def latency(made: Path, *, rounds: int) -> None:
    print("\n| a forward | ms |")
    print("|---|---|")
    models = {"merged": load(made, "merged", "0"), "attached": load(made, "attached", "0"),
              "attached, DoRA": load(made, "attached", "dora")}  # fmt: skip
    for size in (1, 32):
        encoded = {name: model.encode([(SENTENCE, None)] * size) for name, model in models.items()}
        table({
            f"{name}, {size} text{'s' * (size > 1)}": lambda model=model, texts=encoded[name]: model.forward(texts)
            for name, model in models.items()
        }, rounds=3 * rounds)  # fmt: skip


def mixing(made: Path, *, count: int, rounds: int) -> None:
    """A text for each adapter: in turns, as it is done, against the least that one batch of them all could take."""
    from worker.predictor.bases import Bases

    bases = Bases()
    models = [load(made, "attached", str(number), bases) for number in range(count)]
    texts = models[0].encode([(SENTENCE, None)] * count)
    print(f"\n| a text for each of {count} adapters | ms |")
    print("|---|---|")
    table({
        "in turns": lambda: [model.forward([text]) for model, text in zip(models, texts, strict=True)],
        "all as if for one adapter": lambda: models[0].forward(texts),
    }, rounds=rounds)  # fmt: skip


def table(ways: dict[str, Callable[[], object]], *, rounds: int) -> None:
    """Medians and quartiles in milliseconds; the ways take turns, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                times[name].append((time.perf_counter() - started) * 1000)
    for name, found in times.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"| {name} | {middle:.1f} ({low:.1f} to {high:.1f}) |")


if __name__ == "__main__":
    main()
