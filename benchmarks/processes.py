"""What do several processes of one job give on this machine? One and more, in turn; prints a Markdown table.

    python benchmarks/processes.py --data DIR --model FOLDER [--data-set mrpc] [--processes 1 2] [--repetitions 3]

Every run trains ``--epochs`` at the same batch size on the same threads, divided between its processes; evaluation and saving
are not counted. Memory is that of all processes together, pages that they share counted once (PSS, looked at four times a
second). Ratios are medians of the ratios within a repetition.
"""

import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from arms import Run, add_options, measure


class GroupMemory:
    """Peak memory of a process and its children, in MB."""

    def __init__(self) -> None:
        self.peak = 0.0

    def look(self, leader: int) -> None:
        self.peak = max(self.peak, sum(map(_megabytes, [leader, *_children(leader)])))


def _children(leader: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            number, fields = stat.parent.name, stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == leader:
                found.append(int(number))
    return found


def _megabytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--arm", choices=["ours-bf16", "ours-fp32"], default="ours-bf16")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=1)
    args = parser.parse_args()
    rounds = []
    for seed in range(1, args.repetitions + 1):
        measured = {}
        for processes in args.processes:
            memory = GroupMemory()
            run = Run(
                arm=args.arm, data_set=args.data_set, data=args.data, model=args.model, seed=seed, epochs=args.epochs,
                processes=processes,
            )  # fmt: skip
            measured[processes] = measure(run, watch=memory.look) | {
                "processes": processes,
                "group_megabytes": memory.peak,
            }
            print(json.dumps(measured[processes]), file=sys.stderr, flush=True)
        rounds.append(measured)
    with (args.data / args.data_set / "train.jsonl").open("rb") as file:
        examples = sum(1 for line in file if line.strip()) * args.epochs
    print(table(rounds, arms=args.processes, examples=examples))


def table(rounds: list[dict[int, Any]], *, arms: list[int], examples: float) -> str:
    first = arms[0]
    lines = [
        f"| processes, {len(rounds)} repetitions | examples/s | against {first} | range | memory of all |",
        "|---|---|---|---|---|",
    ]
    for processes in arms:
        seconds = [measured[processes]["training_seconds"] for measured in rounds]
        ratios = [measured[first]["training_seconds"] / measured[processes]["training_seconds"] for measured in rounds]
        memory = statistics.median(measured[processes]["group_megabytes"] for measured in rounds)
        lines.append(
            f"| {processes} | {examples / statistics.median(seconds):.1f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f}–{max(ratios):.2f} | {memory / 1000:.2f} GB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
