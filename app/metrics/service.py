"""What Prometheus is told: the numbers of this process, and those that other processes keep of themselves."""

import asyncio
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from app.metrics.requests import RequestCounts
from app.metrics.stored import StoredNumbers
from app.metrics.tally import exposition
from app.prediction import routing


async def metrics_text(requests: RequestCounts, stored: StoredNumbers) -> str:
    """All metrics in Prometheus' text format. Waits for a second at most for a predictor that does not answer."""
    of_predictor = await routing.metrics_text()
    of_database = await asyncio.to_thread(stored.families)
    up = GaugeMetricFamily("tunery_predictor_up", "Whether the predictor answers", value=int(of_predictor is not None))
    about = InfoMetricFamily("tunery", "What runs", value={"version": version("tunery")})
    return exposition([about, up, *requests.families(), *of_database]) + (of_predictor or "")
