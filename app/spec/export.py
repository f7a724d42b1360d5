"""``ExportSpec``: what a job writes a finished model down as."""

from typing import Literal

from app.spec.finished_model import FinishedModelSpec, Order

ExportFormat = Literal["onnx"]


class ExportRequest(Order):
    """The body of ``POST /models/{id}/export``; the route names the model."""

    format: ExportFormat


class ExportSpec(FinishedModelSpec):
    """Which model to write down, and how."""

    format: ExportFormat
