"""What does the ``auto`` recipe reach, and what would other choices? Real data sets, Tunery's trainer alone.

    python benchmarks/recipes.py --data DIR --model FOLDER [--data-sets mrpc stsb …] [--choices auto 2e-4x3 …] [--seeds 1]

A choice is ``auto`` or RATExEPOCHS, all else as ``auto`` has it; ``lora8:`` before it trains a LoRA of that rank in place of the
whole model. Prints a Markdown table: the first metric of each data set in per cent, of the checkpoint that a job would publish,
with the seconds of training and the peak memory, means over the seeds.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from arms import DATA_SETS, Run, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", type=Path, required=True, help="folder of an encoder, as save_pretrained writes it")
    parser.add_argument("--data-sets", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--choices", nargs="+", default=["auto", "5e-5x3", "1e-4x3", "2e-4x3"])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    print(f"| choice | {' | '.join(f'{name}, {DATA_SETS[name].metrics[0]}' for name in args.data_sets)} |")
    print("|---" * (1 + len(args.data_sets)) + "|")
    for choice in args.choices:
        cells = [cell(args, name, choice) for name in args.data_sets]
        print(f"| {choice} | {' | '.join(cells)} |", flush=True)


def cell(args: argparse.Namespace, data_set: str, choice: str) -> str:
    found = []
    for seed in range(1, args.seeds + 1):
        measured = measure(
            Run(arm="ours-bf16", data_set=data_set, data=args.data, model=args.model, seed=seed, epochs=0,
                recipe=chosen(choice), adapter=adapter_of(choice))
        )  # fmt: skip
        print(json.dumps({"choice": choice, **measured}), file=sys.stderr, flush=True)
        found.append(measured)
    score = statistics.mean(measured[DATA_SETS[data_set].metrics[0]] for measured in found)
    seconds = statistics.mean(measured["training_seconds"] for measured in found)
    gigabytes = statistics.mean(measured["peak_megabytes"] for measured in found) / 1000
    return f"{score:.1f} ({seconds:.0f} s, {gigabytes:.2f} GB)"


def adapter_of(choice: str) -> dict[str, Any] | None:
    rank = choice.partition(":")[0].removeprefix("lora")
    return {"type": "lora", "r": int(rank)} if choice.startswith("lora") else None


def chosen(choice: str) -> dict[str, Any]:
    choice = choice.rpartition(":")[2]
    if choice == "auto":
        return {}
    rate, epochs = choice.split("x")
    return {"learning_rate": float(rate), "num_train_epochs": float(epochs)}


if __name__ == "__main__":
    main()
