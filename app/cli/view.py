"""Shows a followed job: a live bar on a terminal, plain lines anywhere else, nothing for ``--json``."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from app.cli.follow import TERMINAL, JobEvent, JobState, Outage, Update
from app.cli.output import console, human_seconds, print_notice

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LINE_SECONDS: Final = 5.0
"""Pause between two plain lines of progress that say nothing new but the step."""

OTHER_COLUMNS: Final = 26
"""What spinner, phase and the shortest bar take of a line."""

_SPARED: Final = ("second score", "epoch", "score", "speed")
"""What a narrow terminal does without, in this order."""

_COUNTED: Final = {"training": "step", "prediction": "row", "export": "comparison"}
"""What the steps of a kind of job are."""


class View(Protocol):
    def event(self, event: dict[str, Any]) -> None: ...
    def state(self, job: dict[str, Any], *, loss: float | None) -> None: ...
    def outage(self, message: str) -> None: ...
    def close(self) -> None: ...


def watch(updates: Iterable[Update], *, quiet: bool = False) -> dict[str, Any]:
    """Show the updates until they end; returns the job's last state."""
    view = _Silent() if quiet else _choose(console())
    job: dict[str, Any] = {}
    try:
        for update in updates:
            match update:
                case JobEvent(event):
                    view.event(event)
                case JobState(found, loss):
                    job = found
                    view.state(job, loss=loss)
                case Outage(message):
                    view.outage(message)
    finally:
        view.close()
    return job


def _choose(out: "Console") -> View:
    return _Live(out) if out.is_terminal and not out.is_dumb_terminal else _Lines(out)


class _Silent:
    """Nothing on standard output."""

    def event(self, event: dict[str, Any]) -> None:
        pass

    def state(self, job: dict[str, Any], *, loss: float | None) -> None:
        pass

    def outage(self, message: str) -> None:
        print_notice(message)

    def close(self) -> None:
        pass


class _Lines:
    """One line for each event, and for progress now and then."""

    def __init__(self, out: "Console") -> None:
        self._out = out
        self._shown: tuple[str | None, int] = (None, -1)
        self._shown_at = 0.0

    def event(self, event: dict[str, Any]) -> None:
        self._out.print(event_line(event), markup=False)

    def state(self, job: dict[str, Any], *, loss: float | None) -> None:
        news = (job["phase"], job["progress"]["step"])
        if job["status"] != "running" or news == self._shown:
            return
        if news[0] != self._shown[0] or time.monotonic() - self._shown_at >= LINE_SECONDS:
            self._out.print(f"{job['phase'] or job['status']:<11} {numbers(job, loss=loss)}".rstrip(), markup=False)
            self._shown, self._shown_at = news, time.monotonic()

    def outage(self, message: str) -> None:
        print_notice(message)

    def close(self) -> None:
        pass


class _Live:
    """A bar at the bottom, and the events above it."""

    def __init__(self, out: "Console") -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        self._room = max(20, out.width - OTHER_COLUMNS)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn(
                "{task.description:<11}", style="bold", markup=False, table_column=Column(no_wrap=True, min_width=11)
            ),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=out,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("waiting", total=None, numbers="")
        self._progress.start()

    def event(self, event: dict[str, Any]) -> None:
        self._progress.console.print(event_line(event), markup=False)

    def state(self, job: dict[str, Any], *, loss: float | None) -> None:
        most = job["progress"]["max_steps"]
        label = job["phase"] if job["status"] == "running" and job["phase"] else job["status"]
        self._progress.update(
            self._task,
            description=label,
            total=most,
            completed=job["progress"]["step"],
            numbers=numbers(job, loss=loss, room=self._room),
        )

    def outage(self, message: str) -> None:
        self._progress.console.print(message, style="yellow", markup=False)

    def close(self) -> None:
        self._progress.stop()


def event_line(event: dict[str, Any]) -> str:
    level = {"warn": "warning: ", "error": "error: "}.get(str(event.get("level")), "")
    return f"{str(event.get('created_at', ''))[11:19]}  {level}{event.get('message', '')}"


def numbers(job: dict[str, Any], *, loss: float | None = None, room: int | None = None) -> str:
    """``step 40/114 · epoch 1.1 · loss 0.512 · eval/f1 0.831 · 812 samples/s · ETA 0:42``, as far as it is known.

    What does not fit into ``room`` characters is left out, the least important first.
    """
    parts = _parts(job, loss=loss)
    while room is not None and len(parts) > 1 and len(" · ".join(parts.values())) > room:
        del parts[next((name for name in _SPARED if name in parts), list(parts)[-1])]
    return " · ".join(parts.values())


def _parts(job: dict[str, Any], *, loss: float | None) -> dict[str, str]:
    progress = job["progress"]
    parts = {}
    if job["status"] == "queued" and job.get("queue"):
        parts["queue"] = f"position {job['queue']['position']} in the queue"
    if progress["max_steps"]:
        kind = kind_of(job)
        parts["step"] = f"{_COUNTED.get(kind, 'step')} {progress['step']}/{progress['max_steps']}"
        if kind == "training":
            parts["epoch"] = f"epoch {progress['epoch']:.1f}"
    if loss is not None:
        parts["loss"] = f"loss {loss:.3f}"
    for which, (name, value) in zip(("score", "second score"), _evaluation(job), strict=False):
        parts[which] = f"{name} {value:.3f}"
    if progress["samples_per_second"] and job["phase"] in {"training", "predicting"}:
        parts["speed"] = f"{progress['samples_per_second']:.0f} samples/s"
    if progress["eta_seconds"] is not None and job["status"] not in TERMINAL:
        parts["eta"] = f"ETA {human_seconds(progress['eta_seconds'])}"
    return parts


def kind_of(job: dict[str, Any]) -> str:
    """A server of an older version knows jobs that train alone."""
    return str(job.get("kind", "training"))


def _evaluation(job: dict[str, Any]) -> list[tuple[str, float]]:
    """Of the newest evaluation the metric that chooses the checkpoint, and accuracy; more would not fit a line."""
    latest = job["metrics"]["latest"] or {}
    if not latest:
        return []
    chooser = f"eval/{job['spec']['training']['metric_for_best_model']}"
    return [(name, latest[name]) for name in dict.fromkeys((chooser, "eval/accuracy")) if name in latest]
