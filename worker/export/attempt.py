"""One attempt of a job that exports a finished model, in the order it runs."""

import re
import shutil
import time
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedModel

from app import failpoints, ids
from app.manifest import committed_folder
from app.spec.messages import BegunMessage, FilesMessage, ProgressMessage, ResultFile
from app.spec.run import ExportRun
from worker.export.archive import write_archive
from worker.export.comparison import TOLERANCE, compare, num_compared, sample_inputs
from worker.export.graph import MODEL_FILE, OPSET, inputs_of, require_packages, write_graph
from worker.predictor.engine import LoadedModel
from worker.predictor.loading import AUTO_MODELS, LoadedParts
from worker.predictor.published import load_published_parts
from worker.trainer.control import Control
from worker.trainer.group import Place
from worker.trainer.reporting import Reporter

RESULT: Final = "result"
_STORED_AS: Final = "export.zip"


def run_attempt(
    run: ExportRun,
    *,
    run_dir: Path,
    report: Reporter,
    control: Control,  # noqa: ARG001 - a stop interrupts this wherever it is; another attempt begins anew
    started_at: float,
    place: Place,  # noqa: ARG001 - it is always alone
) -> None:
    """Write the graph, ask it and the model the same, pack it. Raises ServiceError, and Stopped when told to stop."""
    require_packages()
    parts = load_published_parts(run.model, precision="float32", device="cpu")
    ready_at = time.monotonic()
    report.phase("exporting")
    graph = run_dir / "graph"
    shutil.rmtree(graph, ignore_errors=True)  # only where a run directory is used again by hand
    graph.mkdir()
    model = _whole(parts, run, scratch=run_dir / "merged")
    inputs = inputs_of(model, parts.tokenizer)
    write_graph(model, graph, inputs=inputs, max_length=parts.spec.max_length)
    exported_at = time.monotonic()
    report.phase("comparing")
    engine = LoadedModel(
        spec=parts.spec,
        tokenizer=parts.tokenizer,
        model=parts.model,
        device=parts.device,
        attachment=parts.attachment,
    )
    samples = sample_inputs(engine, parts.tokenizer)
    total = num_compared(samples)
    report.send(BegunMessage(resumed_from_step=0, max_steps=total, message="Comparing the export with what is served."))

    def tell(done: int) -> None:
        report.progress(ProgressMessage(step=done, max_steps=total, epoch=0.0))

    found = compare(engine, graph / MODEL_FILE, samples, pad_id=parts.tokenizer.pad_token_id, on_compared=tell)
    compared_at = time.monotonic()
    folder = run_dir / RESULT
    shutil.rmtree(folder, ignore_errors=True)
    with committed_folder(folder) as temporary:
        write_archive(
            temporary / _STORED_AS, graph=graph, model_folder=Path(run.model.path), spec=parts.spec, inputs=inputs
        )
    shutil.rmtree(graph, ignore_errors=True)
    failpoints.reach("export.built")
    report.send(
        FilesMessage(
            files=[_result(folder, run)],
            num_done=total,
            report={
                "format": run.spec.format,
                "opset": OPSET,
                "inputs": list(inputs),
                "num_compared": found.num_compared,
                "num_tokens": found.num_tokens,
                "largest_difference": found.largest_difference,
                "tolerance": TOLERANCE,
            },
            timings={
                "startup_seconds": round(ready_at - started_at, 3),
                "exporting_seconds": round(exported_at - ready_at, 3),
                "comparing_seconds": round(compared_at - exported_at, 3),
                "packing_seconds": round(time.monotonic() - compared_at, 3),
            },
        )
    )
    failpoints.reach("export.told")


def _whole(parts: LoadedParts, run: ExportRun, *, scratch: Path) -> PreTrainedModel:
    """The model to be exported: of an adapter on a base the two merged."""
    if parts.attachment is None:
        return parts.model
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    parts.attachment.save_merged(scratch, source=Path(run.model.path))
    load: Any = AUTO_MODELS[parts.spec.task].from_pretrained
    merged: PreTrainedModel = load(scratch, dtype="float32", use_safetensors=True, local_files_only=True)
    shutil.rmtree(scratch)
    return merged


def _result(folder: Path, run: ExportRun) -> ResultFile:
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", run.model.id).strip("._-")
    return ResultFile(
        file_id=ids.new_id(ids.FILE),
        folder=str(folder),
        filename=f"{name}-{run.spec.format}.zip",
        stored_as=_STORED_AS,
        purpose="export",
        format="zip",
        profile={},
    )
