"""How fast are texts written in common, beside transformers' generate for one request after the other? Prints Markdown tables.

    python benchmarks/generate.py --model FOLDER [--random 384x8] [--repetitions 5] [--concurrent 1 4 16]

Requests are the model's own random tokens, of unequal lengths; as one ends the next begins, so that as many are running all the
time. Arms run in turn in one process, and tokens per second are medians over the repetitions: a shared machine's speed drifts.
``--random WIDTHxLAYERS`` measures a Llama of random weights besides, which shows what a model costs whose weights are not in
the cache.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from app.prediction.wire import Sampling
from worker.predictor.encoded import EncodedText
from worker.predictor.generation import TextGenerator

VOCABULARY = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--random", metavar="WIDTHxLAYERS")
    parser.add_argument("--concurrent", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    models = {args.model.name: AutoModelForCausalLM.from_pretrained(args.model)}
    if args.random:
        models[f"random Llama {args.random}"] = random_llama(*map(int, args.random.split("x")))
    for name, model in models.items():
        print(f"\n{name}, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters\n")
        print(table(model.eval(), tokenizer, args))


def random_llama(width: int, layers: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        num_key_value_heads=width // 64, intermediate_size=width * 8 // 3, max_position_embeddings=1024,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def table(model: PreTrainedModel, tokenizer: Any, args: argparse.Namespace) -> str:
    # Every text has the same length, so that all arms do the same work.
    model.generation_config.eos_token_id = tokenizer.eos_token = None
    chooser = random.Random(0)
    prompts = [
        [chooser.randrange(3, model.config.vocab_size) for _ in range(chooser.randint(4, 60))]
        for _ in range(args.requests)
    ]
    generator = TextGenerator(model, tokenizer, device=torch.device("cpu"))
    arms: dict[str, Callable[[], None]] = {
        "generate, one at a time": lambda: one_at_a_time(model, prompts, args.new_tokens)
    }
    for number in args.concurrent:
        arms[f"in common, {number} running"] = lambda number=number: in_common(
            generator, prompts, number, args.new_tokens
        )
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for repetition in range(args.repetitions + 1):
        for name, run in arms.items():
            started = time.perf_counter()
            run()
            if repetition:  # the first warms up
                seconds[name].append(time.perf_counter() - started)
    total = args.requests * args.new_tokens
    reference = seconds["generate, one at a time"]
    lines = ["| | tokens/s | against one at a time | range |", "|---|---|---|---|"]
    for name, taken in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(reference, taken, strict=True)]
        span = f"{min(ratios):.2f}–{max(ratios):.2f}"
        speed = total / statistics.median(taken)
        lines.append(f"| {name} | {speed:,.0f} | {statistics.median(ratios):.2f} | {span} |")
    return "\n".join(lines)


@torch.inference_mode()
def one_at_a_time(model: PreTrainedModel, prompts: list[list[int]], new_tokens: int) -> None:
    for prompt in prompts:
        ids = torch.tensor([prompt])
        model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False)


def in_common(generator: TextGenerator, prompts: list[list[int]], running: int, new_tokens: int) -> None:
    batch, left, writings = generator.new_batch(), list(prompts), []
    while left or writings:
        while left and len(writings) < running:
            text = EncodedText(input_ids=left.pop(), token_type_ids=None, truncated=False)
            writings += generator.begin([text], Sampling(max_new_tokens=new_tokens))
            batch.add(writings[-1:])
        batch.turn(max_bytes=2**40)
        writings = [writing for writing in writings if not writing.is_over]


if __name__ == "__main__":
    main()
