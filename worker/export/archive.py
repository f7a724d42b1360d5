"""The zip that a user gets: the graph, the tokenizer, what the model means, and how to run it."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.spec.serving import SERVING_FILE, ServingSpec
from worker.export.graph import OUTPUT

_NOT_TAKEN: Final = {SERVING_FILE, "README.md", "manifest.json", "adapter_config.json", "generation_config.json"}


def write_archive(target: Path, *, graph: Path, model_folder: Path, spec: ServingSpec, inputs: Sequence[str]) -> None:
    """``graph`` is the folder of the ONNX files, ``model_folder`` that of the published model."""
    whole = spec.model_copy(update={"base": None, "precision": "float32"})
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(graph.iterdir()):
            archive.write(path, path.name)
        for path in sorted(model_folder.iterdir()):
            if path.is_file() and path.suffix != ".safetensors" and path.name not in _NOT_TAKEN:
                archive.write(path, path.name)
        archive.writestr(SERVING_FILE, whole.model_dump_json(indent=2))
        archive.writestr("README.md", how_to_run(whole, inputs=inputs))


def how_to_run(spec: ServingSpec, *, inputs: Sequence[str]) -> str:
    question = spec.task == "question-answering"
    texts = '["Where is it?"], ["It is here."]' if question else '["a text", "another one"]'
    meaning = {
        "text-classification": "one row for each text, a logit for each of `labels` in tunery.json",
        "token-classification": "one row for each token, a logit for each of `labels` in tunery.json",
        "question-answering": "for each token of question and context a logit of the answer's start and one of its end",
    }[spec.task]
    return "\n".join([
        f"# {spec.base_model}, fine-tuned for {spec.task.replace('-', ' ')}, as ONNX", "",
        "```python",
        "import onnxruntime",
        "from transformers import AutoTokenizer", "",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        'session = onnxruntime.InferenceSession("model.onnx")',
        f'batch = tokenizer({texts}, padding=True, truncation=True, max_length={spec.max_length}, padding_side="right", return_tensors="np")',
        f'inputs = {{name: batch[name].astype("int64") for name in {list(inputs)}}}',
        f'({OUTPUT},) = session.run(["{OUTPUT}"], inputs)',
        "```", "",
        f"`{OUTPUT}` holds {meaning}. Numbers of texts and of tokens are free; all is in float32.", "",
    ])  # fmt: skip
