"""What benchmarks/predict.py found, as Markdown tables."""

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from load import Found
from server_process import Memory

LEVELS = (1, 8, 32, 64)


@dataclass
class Round:
    """What one repetition found, by arm."""

    starts: dict[str, float]
    memory: dict[str, Memory]
    rest: float
    """MB of those of Tunery's processes that do not serve."""
    loads: dict[tuple[str, int], Found]
    """By arm and clients."""
    others: list[float]
    """During each load, the share of the processors' time that went to neither server nor client."""


def print_tables(titles: dict[str, str], rounds: list[Round]) -> int:
    """How many requests failed. ``titles`` names the arms, Tunery's being ``tunery``."""
    errors = [
        f"{name}, {clients} clients: {found.errors} requests failed, such as: {found.error}"
        for round_ in rounds for name in titles for clients in LEVELS if (found := round_.loads[name, clients]).errors
    ]  # fmt: skip
    failed = sum(found.errors for round_ in rounds for found in round_.loads.values())
    cores = len(os.sched_getaffinity(0))
    levels = " | ".join(counted(clients) for clients in LEVELS)
    print(
        f"\n| requests/s (p50 / p99 ms), {len(rounds)} repetition{'s' * (len(rounds) > 1)}, {cores} cores | {levels} | memory MB (PSS) | first answer s |"
    )
    print("|---" * (len(LEVELS) + 3) + "|")
    for name, title in titles.items():
        cells = []
        for clients in LEVELS:
            speed = middle(rounds, lambda r, a=name, c=clients: rate(r, a, c))
            p50, p99 = (
                middle(rounds, lambda r, a=name, c=clients, n=which: getattr(r.loads[a, c], n))
                for which in ("p50", "p99")
            )
            cells.append(f"{speed:,.0f} ({short(p50)} / {short(p99)})")
        alone, pss = (middle(rounds, lambda r, a=name, n=which: getattr(r.memory[a], n)) for which in ("alone", "pss"))
        start = middle(rounds, lambda r, a=name: r.starts[a])
        print(f"| {title} | {' | '.join(cells)} | {alone:,.0f} ({pss:,.0f}) | {start:.1f} |")
    others = [share for round_ in rounds for share in round_.others]
    client = [found.client_ms for round_ in rounds for found in round_.loads.values()]
    print(
        f"\nTunery's memory is that of its API and its predictor; worker, broker and supervisor, which do not serve, take "
        f"{middle(rounds, lambda r: r.rest):,.0f} MB (PSS) besides. The client took {min(client):.2f} to {max(client):.2f} ms of "
        f"processor time for a request. Other processes of the machine took {statistics.median(others):.0%} of the processors "
        f"while loads ran ({max(0.0, min(others)):.0%} to {max(others):.0%}). Requests that failed: {failed}."
    )
    print("\n".join(["", *errors] if errors else []))
    print_ratios([name for name in titles if name != "tunery"], rounds)
    return failed


def print_ratios(peers: list[str], rounds: list[Round]) -> None:
    batching = [name for name in peers if name != "pipeline"]
    print("| Tunery against | what | ratio | range |\n|---|---|---|---|")
    for clients in LEVELS:
        for name in peers:
            row(
                name,
                f"requests/s, {counted(clients)}",
                [rate(r, "tunery", clients) / rate(r, name, clients) for r in rounds],
            )
        if len(batching) > 1:
            best_of_them = [max(rate(r, name, clients) for name in batching) for r in rounds]
            ratios = [rate(r, "tunery", clients) / theirs for r, theirs in zip(rounds, best_of_them, strict=True)]
            row("the better of these two", f"requests/s, {counted(clients)}", ratios)
    for name in peers:
        row(name, "p50, 1 client", [r.loads["tunery", 1].p50 / r.loads[name, 1].p50 for r in rounds])
    for name in peers:
        row(name, "memory", [r.memory["tunery"].alone / r.memory[name].alone for r in rounds])


def row(name: str, what: str, ratios: list[float]) -> None:
    print(f"| {name} | {what} | {statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} |")


def counted(clients: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}"


def rate(round_: Round, name: str, clients: int) -> float:
    found = round_.loads[name, clients]
    return found.answers / found.seconds


def middle(rounds: list[Round], value: Callable[[Round], float]) -> float:
    return statistics.median(map(value, rounds))


def short(milliseconds: float) -> str:
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:,.0f}"
