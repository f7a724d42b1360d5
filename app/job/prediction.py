"""``POST /predict/batch``: a job that asks a finished model about every row of an uploaded file."""

from app.dataset.asking import find_inputs
from app.job.acceptance import NewJob, Submitted, accept
from app.job.data_files import data_file
from app.job.finished_model import meant
from app.prediction.fit import check_parameters
from app.spec.kinds import JobKind
from app.spec.prediction import InputColumns, PredictionSpec


def submit(requested: PredictionSpec, *, retry_of: str | None = None, idempotency_key: str | None = None) -> Submitted:
    """The stored job.

    Raises what ``accept`` raises, what is wrong with model, file, columns or parameters, and InvalidData for the first row about
    which nothing can be asked.
    """
    return accept(requested, lambda: _check(requested), retry_of=retry_of, idempotency_key=idempotency_key)


def _check(requested: PredictionSpec) -> NewJob:
    model_id, serving = meant(requested.model)
    check_parameters(requested.parameters, task=serving.task)
    file, profile = data_file(requested.file, param="file")
    found = find_inputs(profile, columns=requested.columns, serving=serving)
    columns = InputColumns(text=found.text, text_pair=found.text_pair)
    return NewJob(
        kind=JobKind.PREDICTION,
        spec=requested.model_copy(update={"model": model_id, "columns": columns}),
        requested=requested,
        files=[file.id],
        num_rows=profile.num_rows,
    )
