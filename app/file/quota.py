"""How much a project may store."""

from sqlalchemy.orm import Session

from app import caller
from app.errors import TooLarge
from app.file import repository
from app.key import limits


def refuse_beyond(session: Session, *, more_bytes: int = 0) -> None:
    """Raises TooLarge if with ``more_bytes`` the project has more than it may, which nothing else can change until the commit."""
    most = limits.held(session, "max_stored_bytes")
    if most is None:
        return
    stored = repository.stored_bytes(session, caller.project_id())
    if stored + max(1, more_bytes) > most:
        raise TooLarge(
            f"The project has stored {stored} bytes of {most} that it may: {more_bytes} more do not fit.",
            code="storage_used_up",
            hint="Delete files or models that are not needed any more.",
        )
