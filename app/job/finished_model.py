"""The finished model that a job works with: which one is meant, and where it lies."""

from app import storage
from app.errors import Unavailable
from app.prediction import finding
from app.spec.serving import SERVING_FILE, ServingSpec


def meant(reference: str) -> tuple[str, ServingSpec]:
    """The id of the model that ``POST /predict`` would ask, and what it needs to be served.

    Raises as ``POST /predict`` does for a model that cannot be asked, and Unavailable when its files are damaged.
    """
    served = finding.resolve(reference)
    try:
        return served.id, ServingSpec.model_validate_json(storage.read(served.folder / SERVING_FILE))
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The files of the model {served.id!r} are damaged.",
            code="artifact_corrupt",
            hint="Restore them from a backup, or train or register it again.",
        ) from error
