"""The finished model that a job works with, in memory."""

from pathlib import Path

from app.errors import InvalidModel, Unavailable
from app.manifest import CorruptArtefactError
from app.spec.run import ServedFolder
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import ModelLoadError


def load_published(served: ServedFolder, *, device: str | None = None) -> LoadedModel:
    """The model as the predictor serves it, each byte compared with the manifest it was published with.

    Raises Unavailable when its files are damaged, InvalidModel when they make no model.
    """
    base = None if served.base_path is None else Path(served.base_path)
    try:
        return LoadedModel.load(
            Path(served.path), expected_manifest_sha256=served.manifest_sha256, base=base, device=device
        )
    except CorruptArtefactError as error:
        raise Unavailable(
            f"The stored files of {served.id} are damaged ({error}).",
            code="artifact_corrupt",
            hint="Restore its folder from a backup, or train it again.",
        ) from error
    except ModelLoadError as error:
        raise InvalidModel(f"{served.id} cannot be loaded: {error}", code="model_load_failed") from error
