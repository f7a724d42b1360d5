"""The finished model that a job works with, in memory. Its errors are those of the job."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import InvalidModel, Unavailable
from app.manifest import CorruptArtefactError
from app.spec.run import ServedFolder
from app.spec.serving import Precision
from worker.predictor.bases import Bases
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import ModelLoadError
from worker.predictor.loading import LoadedParts, load_parts


def load_published(served: ServedFolder) -> LoadedModel:
    """The model as the predictor serves it, each byte compared with the manifest that it was published with.

    Raises Unavailable when its files are damaged, InvalidModel when they make no model.
    """
    with _told_of(served):
        return LoadedModel.load(
            Path(served.path), expected_manifest_sha256=served.manifest_sha256, base=_base_of(served)
        )


def load_published_parts(served: ServedFolder, *, precision: Precision, device: str) -> LoadedParts:
    """The same in parts and in a precision of one's choice. Raises as ``load_published`` does."""
    with _told_of(served):
        return load_parts(
            Path(served.path),
            expected_manifest_sha256=served.manifest_sha256,
            device=device,
            bases=Bases(),
            base=_base_of(served),
            precision=precision,
        )


def _base_of(served: ServedFolder) -> Path | None:
    return None if served.base_path is None else Path(served.base_path)


@contextmanager
def _told_of(served: ServedFolder) -> Iterator[None]:
    try:
        yield
    except CorruptArtefactError as error:
        raise Unavailable(
            f"The stored files of {served.id} are damaged ({error}).",
            code="artifact_corrupt",
            hint="Restore its folder from a backup, or train it again.",
        ) from error
    except ModelLoadError as error:
        raise InvalidModel(f"{served.id} cannot be loaded: {error}", code="model_load_failed") from error
