"""What an upload could be trained on, found by the rules of a job that leaves everything to ``"auto"``."""

from typing import Any, Final

from app.dataset import inference
from app.dataset.advice import Warnings, advise
from app.dataset.profile import DatasetProfile
from app.dataset.report import split_report, text_chars
from app.dataset.resolved import ResolvedData
from app.spec.job import JobSpec

_FILE: Final = f"file-{'0' * 32}"


def suggest(profile: DatasetProfile) -> ResolvedData:
    """What the rows mean as the training split of a job for an encoder or a decoder. Raises InvalidData, as such a job would."""
    spec = JobSpec.model_validate({"model": "auto", "dataset": {"train": _FILE}})
    return inference.resolve(spec, {"train": profile})


def upload_report(profile: DatasetProfile, resolved: ResolvedData | None) -> tuple[dict[str, Any], Warnings]:
    """The file as one split of a job's data report, and what to say of it; less is known where the columns are not."""
    if resolved is None:
        facts = {
            "num_rows": profile.num_rows,
            "num_exact_duplicates": profile.num_exact_duplicates,
            "text_chars": text_chars(profile.columns),
        }
        return facts, []
    facts = split_report(profile, resolved)
    advice = advise({"splits": {"train": facts}}, problem_type=resolved.problem_type)
    return facts, resolved.warnings + advice
