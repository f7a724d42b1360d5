"""The uploaded files that a job is to read."""

from app.dataset.profile import DatasetProfile
from app.errors import InvalidRequest, NotFound
from app.file import service as files
from app.file.models import File


def data_file(file_id: str, *, param: str) -> tuple[File, DatasetProfile]:
    """A file and what is known of its rows. Raises InvalidRequest, naming ``param``, if there is none or it has no rows."""
    try:
        file = files.get_file(file_id)
    except NotFound as error:
        raise InvalidRequest(
            f"There is no file {file_id!r}.",
            param=param,
            code="file_not_found",
            hint="Upload it with POST /files and use the id of the answer.",
        ) from error
    profile = files.profile_of(file)
    if profile is None:
        raise InvalidRequest(
            f"The file {file_id} ({file.filename}) is not a data file: it has no rows.",
            param=param,
            code="not_a_data_file",
            hint="Upload JSON Lines, CSV or Parquet with POST /files.",
        )
    return file, profile
