"""What does each means of the trainer bring? The whole trainer, and the trainer with one of them taken away, in turn.

    python benchmarks/ladder.py --data DIR --model FOLDER [--data-set mrpc] [--repetitions 2] [--epochs 1] [--only NAME …]

Prints a Markdown table: time and peak memory without it, relative to the whole (medians of the ratios within a repetition).
A means is taken away by putting the plain thing in its place, for this process only; see ``WITHOUT``.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def padded(*, grouped: bool) -> None:
    from worker.trainer import attempt, forward

    if not grouped:
        forward.FORWARD_COST = 10**9
    attempt.choose_forward = lambda *_args, padding, **_options: (forward.PaddedForward(padding), "with padding")


def whole_last_layer() -> None:
    from worker.packing import encoder

    encoder.find_last_layer = lambda _encoder: None


def no_kernels() -> None:
    from worker.trainer import forward

    forward.put_kernels = lambda *_args, **_options: None


def torch_dropout() -> None:
    import torch

    from worker.trainer.packed import lanes

    def draw(self: Any, shape: torch.Size) -> torch.Tensor:
        return torch.empty(shape, dtype=self._dtype).bernoulli_(1 - self.level / lanes.LEVELS)

    lanes.Masks.draw = draw


def whole_table() -> None:
    from worker.trainer import trained_weights

    trained_weights.LARGEST_SHARE = 0.0


def own_pass_of_clipping() -> None:
    import torch

    from worker.trainer import loop

    def clip(optimizer: torch.optim.Optimizer, *, max_norm: float, **_ranks: object) -> torch.Tensor:
        return torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], max_norm)

    loop.clip = clip


def lengths_as_they_come() -> None:
    from worker.trainer.packed import layout

    layout.LENGTH_ROUNDING = layout.ROW_ROUNDING = 1


def one_group() -> None:
    from worker.trainer.packed import layout

    layout.GROUP_COST = 10**9


def memory_kept() -> None:
    from worker.trainer import loop

    loop.give_back_free_memory = lambda: None


WITHOUT: dict[str, tuple[str, Callable[[], None] | None, dict[str, str | None]]] = {
    "packing": ("padded in groups of like length instead of packed", lambda: padded(grouped=True), {}),
    "packing and groups": ("padded to the longest of the batch, as Trainer does", lambda: padded(grouped=False), {}),
    "groups": ("attention over one group padded to the longest", one_group, {}),
    "first tokens": ("the last layer made whole", whole_last_layer, {}),
    "kernels": ("packed, but torch's autocast and dropout instead of our bfloat16 layers", no_kernels, {}),
    "lanes": ("dropout masks from torch's generator", torch_dropout, {}),
    "rounding": ("lengths and rows not rounded up", lengths_as_they_come, {}),
    "rows": ("the whole table of tokens updated", whole_table, {}),
    "fused clipping": ("the gradient scaled in a pass of its own", own_pass_of_clipping, {}),
    "short spin": ("OpenMP's threads spin as long as they like", None, {"GOMP_SPINCOUNT": None}),
    "small caches": (
        "a thousand compiled kernels kept",
        None,
        {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": None, "LRU_CACHE_CAPACITY": None},
    ),
    "giving back": ("free memory kept by the allocator", memory_kept, {}),
}  # fmt: skip


def main() -> None:
    from arms import Run, add_options, measure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--only", nargs="+", choices=WITHOUT, default=list(WITHOUT))
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in args.only}
    memory: dict[str, list[float]] = {name: [] for name in args.only}
    for seed in range(1, args.repetitions + 1):
        common = {"arm": "ours-bf16", "data_set": args.data_set, "data": args.data, "model": args.model, "seed": seed,
                  "epochs": args.epochs}  # fmt: skip
        for name in args.only:
            whole = measure(Run(**common))
            program, (_, _, environment) = (__file__, "--run-without", name), WITHOUT[name]
            without = measure(Run(**common, program=program, environment=environment))
            seconds[name].append(without["training_seconds"] / whole["training_seconds"])
            memory[name].append(without["peak_megabytes"] / whole["peak_megabytes"])
            found = {"without": name, "seconds": [whole["training_seconds"], without["training_seconds"]],
                     "peak_megabytes": [whole["peak_megabytes"], without["peak_megabytes"]]}  # fmt: skip
            print(json.dumps(found), file=sys.stderr, flush=True)
    print("| without | that is | time | memory |\n|---|---|---|---|")
    for name in args.only:
        time, peak = statistics.median(seconds[name]), statistics.median(memory[name])
        print(f"| {name} | {WITHOUT[name][0]} | x {time:.2f} | x {peak:.2f} |")


def run_without(name: str, run_dir: str) -> None:
    sys.path.insert(0, str(ROOT))
    from worker.trainer.__main__ import leave
    from worker.trainer.__main__ import main as train

    take_away = WITHOUT[name][1]
    if take_away is not None:
        take_away()
    leave(train([run_dir]))


if __name__ == "__main__":
    if sys.argv[1] == "--run-without":
        run_without(*sys.argv[2:])
    else:
        main()
