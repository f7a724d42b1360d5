"""How fast does Tunery answer, beside what others serve the same classifier with? Over HTTP; prints Markdown tables. Linux only.

    python benchmarks/predict.py --data DIR --model FOLDER --environments DIR2 [--repetitions 3] [--seconds 8] [--passive]

``DIR`` holds train.jsonl and validation.jsonl with sentence1, sentence2 and label (GLUE's MRPC); ``FOLDER`` is an encoder as
transformers saves it. The two sentences, joined by a space, are one text, since not every server takes pairs. ``tunery up``, of the
tree that this file lies in, trains a classifier in a temporary home; the others serve the folder that it then gives for download:

- FastAPI and transformers' ``pipeline`` in float32, in this Python: one endpoint, no batches (``peers/pipeline_server.py``);
- LitServe in bfloat16, at most 32 texts a batch and 5 ms of waiting for them (``peers/litserve_server.py``);
- infinity_emb's own program in bfloat16.

The last two get environments of their own in ``DIR2``, made on first use from ``peers/*.txt``. These ask for torch 2.13.0, and pip
takes what its settings lead it to: name a folder or an index of builds for the processor (PIP_FIND_LINKS, PIP_INDEX_URL), or it
fetches gigabytes of CUDA. Set alike for all are the threads (OMP_NUM_THREADS: the cores that this process may use), that no GPU is
seen, that no hub is asked and that nothing is reported to anybody; all else is each server's default. The threads of Tunery's own
predictor sleep after a short spin (GOMP_SPINCOUNT); ``--passive`` sets OMP_WAIT_POLICY=passive for the others.

Nothing is measured before every server's best label is Tunery's on 95 % of a sample, near ties aside. Each repetition starts the
servers one by one, each with the processors to itself, and then at each level (clients that ask for one text at a time, over a
connection that stays open) loads one after the other, while the others are stopped (SIGSTOP). No text is asked about twice. Memory
is looked at after the load. Figures are medians over the repetitions, ratios medians of those within a repetition, with their
range. On a machine that does other things meanwhile they tell little, since servers whose threads spin while they wait suffer most
from that; how much others took is told.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import serving_arms
from load import DIGITS, Found, Load
from predict_tables import LEVELS, Round, print_tables
from server_process import Server, machine_seconds
from service import train
from serving_arms import Arm, Scores

NEAR_TIE = 0.02
"""Of two scores, bfloat16 keeps about two decimals."""
AGREEMENT = 0.95
NUMBER = "#number#"
TRAINING = {"learning_rate": 5e-5, "per_device_train_batch_size": 32, "warmup_steps": 0, "weight_decay": 0.0,
            "max_length": 128, "bf16": True, "eval_strategy": "no", "save_strategy": "no"}  # fmt: skip


@dataclass
class Bench:
    """The arms, the texts, and for each arm the running number that makes every text one that it was not asked about before."""

    args: argparse.Namespace
    scratch: Path
    texts: list[str]
    arms: list[Arm]
    numbers: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self, arm: Arm) -> Iterator[Server]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = arm.folder or Path(tempfile.mkdtemp(dir=self.scratch))
        server = Server(
            arm.command(port), folder=folder, environment=serving_arms.environment(passive=self.args.passive) | arm.environment,
            log=self.scratch / f"{arm.name}.log", port=port, path=arm.path,
        )  # fmt: skip
        try:
            yield server
        finally:
            server.stop()

    def next_body(self, arm: Arm) -> dict[str, Any]:
        self.numbers[arm.name] = number = self.numbers.get(arm.name, 0) + 1
        return arm.body(f"{self.texts[number % len(self.texts)]} {number:0{DIGITS}d}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--sample", type=int, default=200, help="texts whose labels are compared")
    parser.add_argument("--without", nargs="+", default=[], choices=["litserve", "infinity"])
    parser.add_argument(
        "--passive", action="store_true", help="the others' threads sleep too while they wait, as Tunery's"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(args=args, scratch=Path(scratch), texts=[], arms=[])
        model, job = prepare(bench)
        bench.arms = [serving_arms.tunery(home=bench.scratch / "home", job=job), serving_arms.pipeline(model)]
        environments = args.environments.resolve()
        for name, make in {"litserve": serving_arms.litserve, "infinity": serving_arms.infinity}.items():
            if name not in args.without:
                bench.arms.append(make(model, environments=environments))
        if not same_answers(bench):
            return 1
        rounds = [measure(bench, repetition) for repetition in range(args.repetitions)]
    return int(print_tables({arm.name: arm.title for arm in bench.arms}, rounds) > 0)


def prepare(bench: Bench) -> tuple[Path, str]:
    """The folder of the model that a job of Tunery's made, as it is downloaded, and the job's id. Fills ``texts``."""
    data, model = bench.scratch / "data", bench.scratch / "model"
    data.mkdir()
    for split in ("train", "validation"):
        lines = (bench.args.data / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
        joined = [{"text": f"{row['sentence1']} {row['sentence2']}", "label": row["label"]} for row in rows]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in joined))
    bench.texts = [row["text"] for row in joined]
    with bench.running(serving_arms.tunery(home=bench.scratch / "home")) as server:
        http = httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=120)
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if http.get("/health/ready").status_code == 200:
                    break
            if server.leader.poll() is not None:
                raise SystemExit(f"Tunery does not start:\n{server.log.read_text()[-3000:]}")
            time.sleep(0.1)
        job = train(
            http, data=data, model=bench.args.model, training=TRAINING | {"num_train_epochs": bench.args.epochs}
        )
        content = http.get(f"/models/{job['model']['id']}/download").raise_for_status().content
    zipfile.ZipFile(io.BytesIO(content)).extractall(model)
    return next(model.rglob("config.json")).parent, job["id"]


def same_answers(bench: Bench) -> bool:
    """Whether all servers classify a sample of the texts alike. Prints how alike."""
    texts = [f"{text} {number:0{DIGITS}d}" for number, text in enumerate(bench.texts[: bench.args.sample])]
    answers: dict[str, list[Scores]] = {}
    for arm in bench.arms:
        bench.numbers[arm.name] = len(texts)
        with bench.running(arm) as server:
            server.wait_for_answer(bench.next_body(arm))
            answers[arm.name] = [arm.read(server.ask(arm.body(text))) for text in texts]
    reference = answers["tunery"]
    clear = [number for number, scores in enumerate(reference) if lead(scores) > NEAR_TIE]
    labels = [best(scores) for scores in reference]
    print(f"| server | on | labels as Tunery's, of {len(clear)} | largest difference of a score |\n|---|---|---|---|")
    agreed = len(set(labels)) > 1
    for arm in bench.arms:
        alike = sum(best(answers[arm.name][number]) == labels[number] for number in clear) / len(clear)
        pairs = zip(answers[arm.name], reference, strict=True)
        furthest = max(abs(theirs[label] - ours[label]) for theirs, ours in pairs for label in ours)
        print(f"| {arm.title} | {arm.versions()} | {alike:.1%} | {furthest:.4f} |", flush=True)
        agreed = agreed and alike >= AGREEMENT
    counts = ", ".join(f"{labels.count(label)} × {label}" for label in sorted(set(labels)))
    print(f"\nTunery's labels of the {len(texts)} texts: {counts}.")
    if not agreed:
        print("\nThe servers do not answer alike, or with one label only: their speed would tell nothing.")
    return agreed


def best(scores: Scores) -> str:
    return max(scores, key=scores.__getitem__)


def lead(scores: Scores) -> float:
    first, second = sorted(scores.values(), reverse=True)[:2]
    return first - second


def measure(bench: Bench, repetition: int) -> Round:
    found = Round(starts={}, memory={}, rest=0.0, loads={}, others=[])
    turn = repetition % len(bench.arms)
    order = bench.arms[turn:] + bench.arms[:turn]
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for arm in order:
            servers[arm.name] = server = stack.enter_context(bench.running(arm))
            found.starts[arm.name] = server.wait_for_answer(bench.next_body(arm))
            server.hold()
        for clients in LEVELS:
            for arm in order:
                server = servers[arm.name]
                server.go_on(bench.next_body(arm))
                with others_noted(server, found.others):
                    found.loads[arm.name, clients] = result = put(bench, arm, port=server.port, clients=clients)
                if clients == LEVELS[-1]:
                    found.memory[arm.name] = server.memory(of=arm.serving)
                if clients == LEVELS[-1] and arm.serving:
                    found.rest = server.memory().pss - found.memory[arm.name].pss
                server.hold()
                line = {"repetition": repetition, "server": arm.name, "clients": clients} | asdict(result)
                print(json.dumps(line), file=sys.stderr, flush=True)
    return found


@contextlib.contextmanager
def others_noted(server: Server, shares: list[float]) -> Iterator[None]:
    """Adds the share of the processors' time that neither the server nor this benchmark's processes took meanwhile."""

    def others() -> float:
        ours = os.times()
        return machine_seconds() - server.processor_seconds() - sum(ours[:4])

    before, began = others(), time.perf_counter()
    yield
    shares.append((others() - before) / (time.perf_counter() - began) / (os.cpu_count() or 1))


def put(bench: Bench, arm: Arm, *, port: int, clients: int) -> Found:
    """The load runs in a process of its own, so that this one's memory and collector have no part in it."""
    parts = [serving_arms.request_parts(arm, f"{text} {NUMBER}", number=NUMBER) for text in bench.texts]
    load = Load(
        port=port, path=arm.path, bodies=parts, first=bench.numbers[arm.name] + 1, clients=clients, warm_up=bench.args.warm_up,
        seconds=bench.args.seconds,
    )  # fmt: skip
    program = [sys.executable, str(Path(__file__).with_name("load.py"))]
    done = subprocess.run(program, input=json.dumps(asdict(load)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the load on {arm.name} failed:\n{done.stderr[-3000:]}")
    found = Found(**json.loads(done.stdout))
    bench.numbers[arm.name] = found.next
    return found


if __name__ == "__main__":
    sys.exit(main())
