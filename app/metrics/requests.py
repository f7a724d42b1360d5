"""HTTP requests of this process, counted by the event loop's thread."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

from app.metrics.tally import SECONDS, Tally, histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"
"""The route of requests that reached none: unknown paths, and what is refused before."""


class RequestCounts:
    """By route template, so that there are as many series as routes, whatever is asked for."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], Tally] = {}

    def add(self, method: str, route: str | None, *, status: int, seconds: float) -> None:
        """An answer began, so many ``seconds`` after its request."""
        which = (method if method in METHODS else "other", route or UNMATCHED)
        self._answered[*which, status] = self._answered.get((*which, status), 0) + 1
        tally = self._seconds.get(which)
        if tally is None:
            tally = self._seconds[which] = Tally(SECONDS)
        tally.add(seconds)

    def families(self) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "tunery_http_requests", "HTTP requests answered", labels=("method", "route", "status")
        )
        for (method, route, status), number in self._answered.items():
            answered.add_metric((method, route, str(status)), number)
        yield answered
        yield histogram(
            "tunery_http_request_seconds",
            "Seconds until the answer to an HTTP request began",
            self._seconds.items(),
            labels=("method", "route"),
        )
