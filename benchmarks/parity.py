"""Is a model trained by Tunery as good as one trained by transformers.Trainer at the same hyperparameters?

    python benchmarks/parity.py --data DIR --model FOLDER [--data-set mrpc] [--seeds 12] [--arms ours-bf16 trainer-fp32]

Quality of the last epoch's weights on the held-out split, over paired seeds. Every run is a process of its own. Runs are
recorded in ``benchmarks/recorded/DATA_SET.jsonl`` and not repeated: Trainer's once for good, ours whenever the trainer has
changed (delete its lines). Prints each run, the means, and the 95 % interval of the mean difference (Student's t); exits 1
if its lower end is at or below -1.0 points of accuracy.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from arms import ARMS, DATA_SETS, Run, add_options, measure

RECORDED = Path(__file__).parent / "recorded"
BOUND = -1.0
# Two-sided 95 % quantiles of Student's t by degrees of freedom.
T_QUANTILE = {
    1: 12.71,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    6: 2.447,
    7: 2.365,
    8: 2.306,
    9: 2.262,
    10: 2.228,
    11: 2.201,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--arms", nargs=2, choices=ARMS, default=["ours-bf16", "trainer-fp32"], metavar="ARM")
    parser.add_argument("--seeds", type=int, default=12, help="so many, from 1")
    parser.add_argument("--epochs", type=float, help="other than the data set's")
    args = parser.parse_args()
    epochs = args.epochs or DATA_SETS[args.data_set].epochs
    path = RECORDED / f"{args.data_set}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found: dict[tuple[str, int], Any] = {(r["arm"], r["seed"]): r for r in rows if r["epochs"] == epochs}
    for seed in range(1, args.seeds + 1):
        for arm in args.arms:
            if (arm, seed) not in found:
                run = Run(
                    arm=arm, data_set=args.data_set, data=args.data, model=args.model, seed=seed, epochs=epochs
                )  # fmt: skip
                found[arm, seed] = measure(run)
                print(json.dumps(found[arm, seed]), file=sys.stderr, flush=True)
                path.parent.mkdir(exist_ok=True)
                with path.open("a") as file:
                    file.write(json.dumps(found[arm, seed]) + "\n")
    return report(found, arms=args.arms, seeds=range(1, args.seeds + 1))


def report(found: dict[tuple[str, int], Any], *, arms: list[str], seeds: range) -> int:
    ours, theirs = arms
    print(f"| seed | {ours} | {theirs} | difference |\n|---|---|---|---|")
    for seed in seeds:
        a, b = found[ours, seed], found[theirs, seed]
        print(f"| {seed} | {_scores(a)} | {_scores(b)} | {a['accuracy'] - b['accuracy']:+.1f} |")
    low = 0.0
    for metric in ("accuracy", "f1"):
        values = {arm: [found[arm, seed][metric] for seed in seeds] for arm in arms}
        differences = [a - b for a, b in zip(values[ours], values[theirs], strict=True)]
        mean = statistics.mean(differences)
        margin = float("inf")
        if len(differences) > 1:
            quantile = T_QUANTILE.get(len(differences) - 1, 2.2)
            margin = quantile * statistics.stdev(differences) / len(differences) ** 0.5
        means = ", ".join(f"{arm} {statistics.mean(values[arm]):.2f}" for arm in arms)
        print(f"\n{metric}: {means}; difference {mean:+.2f}, 95 % from {mean - margin:+.2f} to {mean + margin:+.2f}")
        low = mean - margin if metric == "accuracy" else low
    print(f"\n{'passed' if low > BOUND else 'NOT passed'}: the lower end must be above {BOUND}")
    return int(low <= BOUND)


def _scores(row: dict[str, Any]) -> str:
    return f"{row['accuracy']:.1f} / {row['f1']:.1f}"


if __name__ == "__main__":
    sys.exit(main())
