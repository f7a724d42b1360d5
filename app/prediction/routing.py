"""Several predictors behind one face: each model is asked of few of them, and of another when that one does not answer."""

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final, Unpack

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.config import get_settings
from app.errors import Unavailable
from app.metrics.tally import exposition
from app.prediction.client import Asking, PredictorClient
from app.prediction.curve import curve_keys
from app.prediction.wire import Failure, Piece, Pong, Prediction

PASSED_OVER_SECONDS: Final = 5.0
"""For so long one that did not answer is asked last."""


class Router:
    """Speaks to all predictors as a ``PredictorClient`` does to one. Must be made and used on one running event loop."""

    def __init__(self, addresses: Sequence[str], *, connect: Callable[[str], PredictorClient]) -> None:
        self.addresses = tuple(addresses)
        self.loop = asyncio.get_running_loop()
        self._clients = {address: connect(address) for address in self.addresses}
        self._silent_until: dict[str, float] = {}

    async def predict(self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]) -> Prediction | Failure:
        """As ``PredictorClient.predict``. Raises Unavailable when no predictor answers."""
        *others, last = self._in_order(asking["manifest_sha256"])
        for address in others:
            with self._passing_over(address):
                answer = await self._clients[address].predict(inputs, **asking)
                if not _is_leaving(answer):
                    return answer
        return await self._clients[last].predict(inputs, **asking)

    async def stream(
        self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]
    ) -> AsyncGenerator[Piece | Prediction | Failure]:
        """As ``PredictorClient.stream``. Once a piece has come, the rest can come from the same predictor alone."""
        *others, last = self._in_order(asking["manifest_sha256"])
        for address in others:
            has_begun = False
            with self._passing_over(address, unless=lambda: has_begun):  # noqa: B023 - called before the next one
                async with contextlib.aclosing(self._clients[address].stream(inputs, **asking)) as answers:
                    async for answer in answers:
                        if not has_begun and _is_leaving(answer):
                            break
                        has_begun = True
                        yield answer
            if has_begun:
                return
        async with contextlib.aclosing(self._clients[last].stream(inputs, **asking)) as answers:
            async for answer in answers:
                yield answer

    async def ping(self, *, model: str = "") -> Pong | None:
        """What one of those that answer says of itself: the one that would be asked first for the model with that manifest.

        None if none answers within a second.
        """
        pongs = await asyncio.gather(*(self._clients[address].ping() for address in self._in_order(model)))
        return next((pong for pong in pongs if pong is not None), None)

    async def measure(self) -> str | None:
        """What all have counted, with the address of each as the label ``predictor``; None if none answers within a second."""
        if len(self._clients) == 1:
            return await self._clients[self.addresses[0]].measure()
        texts = await asyncio.gather(*(client.measure() for client in self._clients.values()))
        told = [(address, text) for address, text in zip(self._clients, texts, strict=True) if text is not None]
        return exposition(_labelled(told)) if told else None

    async def close(self) -> None:
        """Leave; callers still waiting get Unavailable."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    def abandon(self) -> None:
        """Let go of the sockets when the loop they lived on has ended."""
        for client in self._clients.values():
            client.abandon()

    def _in_order(self, model: str) -> list[str]:
        """The same for a model each time, and another for another (rendezvous hashing); those that are silent come last."""
        now = time.monotonic()
        return sorted(
            self.addresses,
            key=lambda each: (self._silent_until.get(each, 0.0) > now, _weight(each, model)),
        )

    @contextlib.contextmanager
    def _passing_over(self, address: str, *, unless: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """One that is not there is not asked first for a while. Raises what is no reason to ask another."""
        try:
            yield
        except Unavailable as error:
            if error.code != "predictor_unavailable" or unless():
                raise
            self._silent_until[address] = time.monotonic() + PASSED_OVER_SECONDS


_router: Router | None = None


def get_client() -> Router:
    """This process's way to its predictors, made on first use. Call from a coroutine."""
    global _router  # noqa: PLW0603
    addresses = get_settings().predictors
    if _router is not None and (_router.loop is not asyncio.get_running_loop() or _router.addresses != addresses):
        _router.abandon()
        _router = None
    if _router is None:
        _router = Router(addresses, connect=_connect)
    return _router


def _connect(address: str) -> PredictorClient:
    return PredictorClient(address, keys=curve_keys(get_settings(), address=address))


async def is_alive() -> bool:
    """Whether a predictor answers within a second."""
    return await get_client().ping() is not None


async def metrics_text() -> str | None:
    """What the predictors have counted, in Prometheus' text format; None if none answers within a second."""
    return await get_client().measure()


async def close() -> None:
    """Close this process's connections, if there are any."""
    global _router
    if _router is not None:
        router, _router = _router, None
        await router.close()


def _is_leaving(answer: object) -> bool:
    return isinstance(answer, Failure) and answer.code == "shutting_down"


@functools.lru_cache(maxsize=4096)
def _weight(address: str, model: str) -> bytes:
    return hashlib.sha256(f"{address} {model}".encode()).digest()


def _labelled(told: Sequence[tuple[str, str]]) -> list[Metric]:
    families: dict[str, Metric] = {}
    for address, text in told:
        for family in text_string_to_metric_families(text):
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                known.samples.append(sample._replace(labels={**sample.labels, "predictor": address}))
    return list(families.values())
