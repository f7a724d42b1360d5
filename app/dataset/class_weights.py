"""Are the classes that a job gives weights to those of its data?"""

import difflib

from app.dataset.resolved import ResolvedData
from app.errors import InvalidRequest
from app.spec.job import JobSpec
from app.spec.tags import parse_tag


def check_class_weights(spec: JobSpec, resolved: ResolvedData) -> None:
    """Raise InvalidRequest for a name that is no label; of words, a tag or a kind of entity is meant."""
    given = spec.training.class_weights
    if not isinstance(given, dict):
        return
    names = set(resolved.label_names)
    if resolved.spans:
        names |= {f"{letter}-{kind}" for kind in resolved.label_names for letter in "BI"} | {"O"}
    elif resolved.task == "token-classification":
        names |= {parse_tag(tag)[1] for tag in resolved.label_names} - {""}
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            shown = ", ".join(resolved.label_names[:10]) + (", …" if len(resolved.label_names) > 10 else "")
            raise InvalidRequest(
                f"{name!r} is none of the labels.",
                param="training.class_weights",
                code="unknown_label",
                hint=f"Did you mean {near[0]!r}?" if near else f"The labels are: {shown}.",
            )
