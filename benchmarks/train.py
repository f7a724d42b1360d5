"""How fast is the trainer beside transformers.Trainer? Whole epochs, arms in turn, medians; prints a Markdown table.

    python benchmarks/train.py --data DIR --model FOLDER [--data-set mrpc] [--repetitions 3] [--arms ours-bf16 …]

Every run is a process of its own and trains one epoch (``--epochs``) at the same batch size; evaluation and saving are not
counted. Ratios are medians of the ratios within a repetition, since a shared machine's speed drifts. ``--results`` keeps
what was measured as JSON lines.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from arms import ARMS, Run, add_options, measure

REFERENCE = "trainer-fp32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["ours-bf16", REFERENCE, "trainer-bf16-grouped"])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    rounds = []
    for seed in range(1, args.repetitions + 1):
        measured = {}
        for arm in args.arms:
            measured[arm] = measure(
                Run(arm=arm, data_set=args.data_set, data=args.data, model=args.model, seed=seed, epochs=args.epochs)
            )
            print(json.dumps(measured[arm]), file=sys.stderr, flush=True)
            if args.results:
                with args.results.open("a") as file:
                    file.write(json.dumps(measured[arm]) + "\n")
        rounds.append(measured)
    print(table(rounds, arms=args.arms, examples=count_examples(args) * args.epochs))


def count_examples(args: argparse.Namespace) -> int:
    with (args.data / args.data_set / "train.jsonl").open("rb") as file:
        return sum(1 for line in file if line.strip())


def table(rounds: list[dict[str, Any]], *, arms: list[str], examples: float) -> str:
    lines = [
        f"| {len(rounds)} repetitions | examples/s | against {REFERENCE} | range | peak memory |",
        "|---|---|---|---|---|",
    ]
    for arm in arms:
        speeds = [examples / measured[arm]["training_seconds"] for measured in rounds]
        peak = statistics.median(measured[arm]["peak_megabytes"] for measured in rounds)
        ratio = span = ""
        if REFERENCE in arms:
            ratios = [m[REFERENCE]["training_seconds"] / m[arm]["training_seconds"] for m in rounds]
            ratio, span = f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"
        lines.append(f"| {arm} | {statistics.median(speeds):.1f} | {ratio} | {span} | {peak / 1000:.2f} GB |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
