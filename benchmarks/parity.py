"""Is a model trained by Tunery as good as one trained by transformers.Trainer at the same hyperparameters?

    python benchmarks/parity.py --data DIR --model FOLDER [--data-set mrpc] [--seeds 12] [--arms ours-bf16 trainer-fp32]

Quality of the last epoch's weights on the held-out split, over paired seeds. Every run is a process of its own. Runs are
recorded in ``benchmarks/recorded/DATA_SET.jsonl`` and not repeated: Trainer's once for good, ours whenever the trainer has
changed (delete its lines). Prints each run, the means, and the 95 % interval of the mean difference (Student's t); exits 1
if its lower end is at or below -1.0 points of the data set's first metric.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from arms import ARMS, DATA_SETS, Run, add_options, measure
from scipy import stats

RECORDED = Path(__file__).parent / "recorded"
BOUND = -1.0


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
    return report(found, arms=args.arms, seeds=range(1, args.seeds + 1), metrics=DATA_SETS[args.data_set].metrics)


def report(found: dict[tuple[str, int], Any], *, arms: list[str], seeds: range, metrics: tuple[str, ...]) -> int:
    ours, theirs = arms
    print(f"| seed | {ours} | {theirs} | difference |\n|---|---|---|---|")
    for seed in seeds:
        a, b = found[ours, seed], found[theirs, seed]
        scores = [" / ".join(f"{row[name]:.1f}" for name in metrics) for row in (a, b)]
        print(f"| {seed} | {scores[0]} | {scores[1]} | {a[metrics[0]] - b[metrics[0]]:+.1f} |")
    lowest = []
    for metric in metrics:
        values = {arm: [found[arm, seed][metric] for seed in seeds] for arm in arms}
        differences = [a - b for a, b in zip(values[ours], values[theirs], strict=True)]
        mean, count = statistics.mean(differences), len(differences)
        margin = float("inf")
        if count > 1:
            margin = float(stats.t.ppf(0.975, count - 1)) * statistics.stdev(differences) / count**0.5
        means = ", ".join(f"{arm} {statistics.mean(values[arm]):.2f}" for arm in arms)
        print(f"\n{metric}: {means}; difference {mean:+.2f}, 95 % from {mean - margin:+.2f} to {mean + margin:+.2f}")
        lowest.append(mean - margin)
    print(f"\n{'passed' if lowest[0] > BOUND else 'NOT passed'}: the lower end must be above {BOUND}")
    return int(lowest[0] <= BOUND)


if __name__ == "__main__":
    sys.exit(main())
