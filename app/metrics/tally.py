"""Numbers that are counted where every microsecond tells, and written out for Prometheus when it asks.

The library's own histograms take locks at each observation; these are written by one thread each and need none.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for what requests take."""


class Tally:
    """How often a number was at most each of some bounds, and all numbers together. One thread adds; any may read."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: bound and how many were at most that, the last one for all."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._counts), strict=True))


def histogram(
    name: str, about: str, tallies: Iterable[tuple[Sequence[str], Tally]], *, labels: Sequence[str]
) -> Metric:
    """One family, with a tally for each combination of the labels' values."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for values, tally in tallies:
        family.add_metric(values, tally.buckets(), tally.total)
    return family


def exposition(families: Iterable[Metric]) -> str:
    """Prometheus' text format."""
    return generate_latest(_Families(families)).decode()


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
