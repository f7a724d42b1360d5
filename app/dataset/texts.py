"""Whether every text of a column is one."""

from app.dataset.profile import DatasetProfile
from app.dataset.resolved import Split, refuse_split_row
from app.errors import InvalidData


def check_texts(profile: DatasetProfile, name: str, *, split: Split, param: str) -> list[dict[str, str]]:
    """Warnings about the texts of one column. Raises InvalidData if any is not a text, or all are empty."""
    column = profile.column(name)
    assert column is not None
    if "null" in column.kinds:
        row = column.kinds["null"].first_row
        raise refuse_split_row(split, row, f"has no text in {name!r}", code="null_text", param=param)
    others = {kind: counted.first_row for kind, counted in column.kinds.items() if kind != "string"}
    if others:
        kind, row = min(others.items(), key=lambda item: item[1])
        problem = f"has a value of type {kind} in {name!r}, where a text is needed"
        raise refuse_split_row(split, row, problem, code="text_not_string", param=param)
    if column.num_empty == profile.num_rows:
        raise InvalidData(f"All texts in {name!r} of the {split} split are empty.", param=param, code="no_text")
    if column.num_empty:
        message = f"{column.num_empty:,} texts in {name!r} of the {split} split are empty, the first in row {column.first_empty_row:,}."
        return [{"code": "empty_text", "message": message}]
    return []
