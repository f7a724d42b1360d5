"""Why the service cannot start, for a person to read."""


class StartError(Exception):
    """The service cannot start as it was asked to; ``hint`` says what would help."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
