"""What a key may be used for. Which route asks for which is told in ``app/api/scopes.py``."""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    READ = "read"
    """Look at what the project has, and download it."""
    WRITE = "write"
    """Upload, submit, change and delete."""
    PREDICT = "predict"
    """Ask finished models, and see what they are."""
    METRICS = "metrics"
    """Read the numbers of the whole service, as Prometheus does, and nothing else."""
    ADMIN = "admin"
    """All of these, and what the service itself owns: keys, projects, the audit log."""


ALL: Final = frozenset(Scope)
USUAL: Final = (Scope.READ, Scope.WRITE, Scope.PREDICT)
"""Of a key that is made without saying which."""
