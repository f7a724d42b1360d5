"""What do several processes of one job give on this machine? One and more, in turn; prints a Markdown table.

    python benchmarks/processes.py --data DIR --model FOLDER [--data-set mrpc] [--processes 1 2] [--repetitions 3]
    python benchmarks/processes.py --data DIR --model FOLDER --bert-base --fsdp --processes 2 --arm ours-fp32

Every run trains ``--epochs`` at the same batch size on the same threads, divided between its processes; evaluation and saving
are not counted. Memory is that of all processes together, pages that they share counted once (PSS, looked at four times a
second), and that of the largest of them. Ratios are medians of the ratios within a repetition. With ``--fsdp`` every number of
processes above 1 is run once more with the weights divided between them; with ``--bert-base`` the model is a BERT of that size, of
random weights, with the tokenizer of ``--model``.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from arms import Run, add_options, measure

Arm = tuple[int, bool]
"""A number of processes, and whether each holds a part of the weights."""


class GroupMemory:
    """Peak memory of a process and its children together, and of the largest of them, in MB."""

    def __init__(self) -> None:
        self.peak = self.largest = 0.0

    def look(self, leader: int) -> None:
        found = [_megabytes(pid) for pid in (leader, *_children(leader))]
        self.peak, self.largest = max(self.peak, sum(found)), max(self.largest, *found)


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
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--bert-base", action="store_true")
    args = parser.parse_args()
    arms = [
        (processes, fsdp) for processes in args.processes for fsdp in (False, True)[: 1 + (args.fsdp and processes > 1)]
    ]
    with tempfile.TemporaryDirectory() as folder:
        if args.bert_base:
            args.model = random_bert(Path(folder), tokenizer=args.model)
        rounds = run_in_turn(args, arms)
    with (args.data / args.data_set / "train.jsonl").open("rb") as file:
        examples = sum(1 for line in file if line.strip()) * args.epochs
    print(table(rounds, arms=arms, examples=examples))


def random_bert(folder: Path, *, tokenizer: Path) -> Path:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    for path in tokenizer.iterdir():
        if path.name.startswith(("tokenizer", "vocab", "special")):
            shutil.copyfile(path, folder / path.name)
    return folder


def run_in_turn(args: argparse.Namespace, arms: list[Arm]) -> list[dict[Arm, Any]]:
    rounds = []
    for seed in range(1, args.repetitions + 1):
        measured = {}
        for processes, fsdp in arms:
            memory = GroupMemory()
            run = Run(
                arm=args.arm, data_set=args.data_set, data=args.data, model=args.model, seed=seed, epochs=args.epochs,
                processes=processes, fsdp=fsdp,
            )  # fmt: skip
            measured[processes, fsdp] = measure(run, watch=memory.look) | {
                "processes": processes,
                "fsdp": fsdp,
                "group_megabytes": memory.peak,
                "largest_megabytes": memory.largest,
            }
            print(json.dumps(measured[processes, fsdp]), file=sys.stderr, flush=True)
        rounds.append(measured)
    return rounds


def table(rounds: list[dict[Arm, Any]], *, arms: list[Arm], examples: float) -> str:
    lines = [
        f"| processes, {len(rounds)} repetitions | examples/s | against the first | range | memory of all | of the largest |",
        "|---|---|---|---|---|---|",
    ]
    for arm in arms:
        processes, fsdp = arm
        seconds = [measured[arm]["training_seconds"] for measured in rounds]
        ratios = [measured[arms[0]]["training_seconds"] / measured[arm]["training_seconds"] for measured in rounds]
        memory, largest = (
            statistics.median(measured[arm][name] for measured in rounds) / 1000
            for name in ("group_megabytes", "largest_megabytes")
        )
        lines.append(
            f"| {processes}{', a part of the weights each' if fsdp else ''} | {examples / statistics.median(seconds):.1f} | "
            f"{statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} | {memory:.2f} GB | {largest:.2f} GB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
