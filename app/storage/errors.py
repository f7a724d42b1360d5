"""What can go wrong with a store on another machine."""

from app.errors import Unavailable


class StoreUnavailable(Unavailable):
    """The store of artefacts does not answer, or refuses this process. Nothing is lost: what was asked of it can be asked again."""

    code = "storage_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The store of files and models does not answer just now ({reason}).",
            hint="Ask again in a few seconds; the log of the service says more.",
            retry_after_seconds=5.0,
        )
