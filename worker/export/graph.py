"""A model as an ONNX graph in float32, with any number of inputs and tokens."""

import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from app.errors import InvalidModel, InvalidRequest
from worker.predictor.outputs import logits_of

PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")
OPSET: Final = 20
"""What torch's exporter writes best; read by ONNX Runtime 1.18 (2024) and later."""
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT: Final = "logits"
MODEL_FILE: Final = "model.onnx"
MOST_WITHIN_BYTES: Final = 3 * 2**29
"""Weights of a larger model go into a file beside the graph: a file of ONNX ends at 2 GiB."""
_SAMPLE: Final = (2, 16)
"""Texts and tokens that the model is followed with; both numbers are free in the graph."""


class _Logits(torch.nn.Module):
    """The model as a function of its inputs by place."""

    def __init__(self, model: PreTrainedModel, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self._model, self._inputs = model, inputs

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return logits_of(self._model(**dict(zip(self._inputs, tensors, strict=True))))


def require_packages() -> None:
    """Raises InvalidRequest, saying what to install, where the worker lacks what an export needs."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InvalidRequest(
            f"The worker cannot export to ONNX: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed.",
            code="onnx_not_installed",
            hint="Install the extra on the machine of the worker: pip install 'tunery[onnx]'. Then retry the job.",
        )


def inputs_of(model: PreTrainedModel, tokenizer: Any) -> tuple[str, ...]:
    """Names of what the graph takes: of all that the model does, what its tokenizer makes. The rest is zeros anyway."""
    made = {"input_ids", "attention_mask", *tokenizer.model_input_names}
    return tuple(name for name in INPUTS if name in made and name in inspect.signature(model.forward).parameters)


def write_graph(model: PreTrainedModel, folder: Path, *, inputs: tuple[str, ...], max_length: int) -> None:
    """Write ``model.onnx`` into ``folder``, each of its ``inputs`` an ``int64[batch, sequence]``.

    Raises InvalidModel for a model that the exporter cannot follow.
    """
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    try:
        torch.onnx.export(
            _Logits(model, inputs).eval(),
            _sample(inputs, model, max_length=max_length),
            folder / MODEL_FILE,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[OUTPUT],
            dynamic_shapes=(tuple({0: "batch", 1: "sequence"} for _ in inputs),),
            external_data=num_bytes > MOST_WITHIN_BYTES,
        )
    except Exception as error:  # the exporter runs the model's code in its own way: any class may come out of it
        raise InvalidModel(
            f"The model cannot be written as an ONNX graph: {type(error).__name__}: {str(error).splitlines()[0][:500]}",
            param="model",
            code="export_failed",
            hint="Download the model and load it with transformers.",
        ) from error


def _sample(inputs: tuple[str, ...], model: PreTrainedModel, *, max_length: int) -> tuple[torch.Tensor, ...]:
    """Two texts of different lengths, so that padding is followed too."""
    rows, width = _SAMPLE[0], min(_SAMPLE[1], max_length)
    vocabulary: Any = model.config.vocab_size
    ids = torch.arange(rows * width).reshape(rows, width) % (vocabulary - 1) + 1
    mask = torch.ones_like(ids)
    mask[0, width // 2 :] = 0
    ids[0, width // 2 :] = model.config.pad_token_id or 0
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return tuple(known[name] for name in inputs)
