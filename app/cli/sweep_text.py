"""Sweeps in words."""

from typing import Any

from app.cli.client import Client, segment
from app.cli.output import console, print_table


def print_sweeps(page: dict[str, Any]) -> None:
    rows = [
        [
            sweep["id"],
            sweep["status"],
            f"{_num_over(sweep)}/{sweep['counts']['total']}",
            str(sweep["spec"]["job"]["model"]),
            _best(sweep),
            str(sweep["created_at"])[:19],
        ]
        for sweep in page["data"]
    ]
    print_table(
        ["ID", "STATUS", "TRIALS", "MODEL", "BEST", "CREATED"],
        rows,
        empty="No sweeps: tunery sweeps create --model NAME --train PATH --vary training.learning_rate=1e-5..1e-3:log",
    )
    if page["has_more"]:
        console().print(f"more: tunery sweeps ls --after {page['last_id']}", markup=False)


def print_sweep(sweep: dict[str, Any], trials: list[dict[str, Any]]) -> None:
    """What matters of a sweep, a line each; its trials as a table."""
    out = console()
    counts = {state: count for state, count in sweep["counts"].items() if count and state != "total"}
    importances = sorted((sweep["importances"] or {}).items(), key=lambda item: -item[1])
    shown = {
        "sweep": sweep["id"],
        "status": sweep["status"],
        "trials": f"{_num_over(sweep)} of {sweep['counts']['total']} over"
        + (f" ({', '.join(f'{count} {state}' for state, count in counts.items())})" if counts else ""),
        "metric": f"{sweep['spec']['metric']} ({sweep['spec']['direction']})",
        "best": _best(sweep),
        "model": (sweep["best"] or {}).get("model"),
        "matters": ", ".join(f"{name} {share:.0%}" for name, share in importances),
    }
    for name, value in shown.items():
        if value:
            out.print(f"{name:<11}{value}", markup=False)
    _print_error(sweep)
    if trials:
        names = list(sweep["spec"]["space"])
        rows = [
            [
                str(trial["number"]),
                trial["state"],
                "" if trial["value"] is None else f"{trial['value']:.4f}",
                *(_number(trial["params"][name]) for name in names),
                trial["job_id"] or "",
            ]
            for trial in trials
        ]
        print_table(["TRIAL", "STATE", "VALUE", *names, "JOB"], rows, empty="")


def print_ending(sweep: dict[str, Any]) -> None:
    """How an ended sweep ended, in a few lines."""
    out = console()
    out.print(f"{sweep['id']}  {sweep['status']} after {_num_over(sweep)} trials", markup=False)
    _print_error(sweep)
    best = sweep["best"]
    if best is not None:
        out.print(f"  best: {_best(sweep)}", markup=False)
        for name, value in best["params"].items():
            out.print(f"    {name} = {_number(value)}", markup=False)
        if best["model"] is not None:
            out.print(f"  model: {best['model']}", markup=False)
            out.print(f'  try it: tunery predict --model {sweep["id"]} "some text"', markup=False)


class TrialsTold:
    """Tells of each trial once when it begins and once when it is over."""

    def __init__(self, client: Client, sweep_id: str) -> None:
        self._client = client
        self._path = f"/sweeps/{segment(sweep_id)}/trials"
        self._told: dict[int, str] = {}

    def __call__(self, sweep: dict[str, Any]) -> None:
        """``sweep`` has changed."""
        for trial in self._client.get(self._path, limit=1000)["data"]:
            if self._told.get(trial["number"]) != trial["state"]:
                self._told[trial["number"]] = trial["state"]
                console().print(self._line(trial, sweep), markup=False)

    def _line(self, trial: dict[str, Any], sweep: dict[str, Any]) -> str:
        line = f"trial {trial['number']:<4}{trial['state']:<10}"
        if trial["value"] is not None:
            is_best = sweep["best"] is not None and sweep["best"]["trial"] == trial["number"]
            return f"{line} {sweep['spec']['metric']} {trial['value']:.4f}{'  (the best so far)' if is_best else ''}"
        if trial["error"] is not None:
            return f"{line} {trial['error']['message']}"
        return f"{line} " + ", ".join(f"{name} {_number(value)}" for name, value in trial["params"].items())


def _num_over(sweep: dict[str, Any]) -> int:
    return sum(count for state, count in sweep["counts"].items() if state not in {"total", "running"})


def _best(sweep: dict[str, Any]) -> str:
    best = sweep["best"]
    return "" if best is None else f"trial {best['trial']}, {sweep['spec']['metric']} {best['value']:.4f}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_error(sweep: dict[str, Any]) -> None:
    error = sweep["error"]
    if error:
        console().print(f"error      {error['message']}", markup=False)
        if error.get("hint"):
            console().print(f"hint       {error['hint']}", markup=False)
