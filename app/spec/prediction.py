"""``PredictionSpec``: the body of ``POST /predict/batch``, and, with its columns filled in, the record of what the job did."""

from typing import Annotated

from pydantic import StringConstraints

from app.prediction.schemas import PredictParameters
from app.spec.base import Auto, Contract
from app.spec.finished_model import FinishedModelSpec
from app.spec.job import FILE_ID, Name


class InputColumns(Contract):
    """Which columns of the file the model is asked about."""

    text: Name | Auto = "auto"
    """The text, the list of its words, the prompt, the list of chat messages, the source or the question; auto: the column of that
    name that the model was trained on, else the one that can be meant."""
    text_pair: Name | Auto | None = "auto"
    """The second text, what the prompt is about, or the context of the question; ``null``: there is none."""


class PredictionSpec(FinishedModelSpec):
    """Which rows to ask which model about. Only ``model`` and ``file`` are required."""

    file: Annotated[str, StringConstraints(pattern=rf"^{FILE_ID.pattern}$")]
    """Id of an uploaded file; its rows are answered in their order."""
    columns: InputColumns = InputColumns()
    parameters: PredictParameters = PredictParameters()
    """As in ``POST /predict``."""
