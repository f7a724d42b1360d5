"""Jobs in words."""

from typing import Any

from app.cli.output import console, human_seconds, moment, print_fields, print_table
from app.cli.report import print_report, summary_lines
from app.cli.view import kind_of, numbers


def print_accepted(made: dict[str, Any], *, uploaded: list[dict[str, Any]]) -> None:
    """What was made, a job or a sweep, and of which files it was sent just now."""
    for file in uploaded:
        console().print(f"uploaded {file['filename']}: {file['id']}", markup=False)
    console().print(f"{made['id']}  {made['status']}", markup=False)


def print_jobs(page: dict[str, Any]) -> None:
    rows = []
    for job in page["data"]:
        best = job["metrics"]["best"] or {}
        score = next(
            (f"{name} {value:.3f}" for name, value in best.items() if name.startswith("eval/") and name != "eval/loss"),
            "",
        )
        share = "" if job["status"] != "running" else f"{job['progress']['fraction']:.0%}"
        rows.append(
            [
                job["id"],
                kind_of(job),
                job["status"],
                share,
                str(job["spec"]["model"]),
                score,
                moment(job["created_at"]),
            ]
        )
    print_table(
        ["ID", "KIND", "STATUS", "DONE", "MODEL", "BEST", "CREATED"],
        rows,
        empty="No jobs: tunery jobs create --model NAME --train PATH",
    )
    if page["has_more"]:
        console().print(f"more: tunery jobs ls --after {page['last_id']}", markup=False)


def print_job(job: dict[str, Any]) -> None:
    """All that matters of a job, a line each; the report as a table."""
    out = console()
    spec, model = job["spec"], job["model"] or {}
    shown = {
        "job": job["id"],
        "status": job["status"] + (f" ({job['phase']})" if job["status"] == "running" and job["phase"] else ""),
        "progress": numbers(job),
        "kind": None if kind_of(job) == "training" else kind_of(job),
        "base model" if kind_of(job) == "training" else "asked": spec["model"],
        "task": spec.get("task"),
        "data": spec.get("file")
        or ", ".join(f"{name} {value}" for name, value in spec.get("dataset", {}).items() if value is not None),
        "model": model.get("id"),
        "result": ", ".join(job.get("result_files", [])),
        "attempt": str(job["attempt"]) if job["attempt"] > 1 else None,
        "created": moment(job["created_at"]),
        "run time": human_seconds(job["timings"]["run_seconds"]) if "run_seconds" in job["timings"] else None,
        "metadata": ", ".join(f"{key}={value}" for key, value in job["metadata"].items()),
    }
    print_fields(shown)
    for warning in job["warnings"]:
        out.print(f"warning    {warning['message']}", markup=False)
    _print_error(job)
    print_report(job)
    for line in summary_lines(job):
        out.print(line, markup=False)


def print_ending(job: dict[str, Any]) -> None:
    """How an ended job ended, in a few lines."""
    out = console()
    seconds = job["timings"].get("run_seconds")
    out.print(
        f"{job['id']}  {job['status']}{'' if seconds is None else f' after {human_seconds(seconds)}'}", markup=False
    )
    _print_error(job)
    for file_id in job.get("result_files", []):
        out.print(f"  {'steps' if job['model'] else 'result'}: {file_id}", markup=False)
    if job["model"]:
        for line in summary_lines(job):
            out.print(f"  {line}", markup=False)
        out.print(f"  model: {job['model']['id']}", markup=False)
        out.print(f'  try it: tunery predict --model {job["id"]} "some text"', markup=False)


def _print_error(job: dict[str, Any]) -> None:
    error = job["error"]
    if error:
        out = console()
        place = f" (in {error['param']})" if error.get("param") else ""
        out.print(f"error      {error['message']}{place}", markup=False)
        if error.get("hint"):
            out.print(f"hint       {error['hint']}", markup=False)
