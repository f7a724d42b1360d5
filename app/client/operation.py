"""Methods that are written once and called in two ways: they return their result, or what is awaited for it."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from pydantic import BaseModel

from app.client.awaiting import AwaitingTransport
from app.client.blocking import BlockingTransport
from app.client.connection import Connection

TransportT = TypeVar("TransportT", bound=BlockingTransport | AwaitingTransport)
P = ParamSpec("P")
T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


class Resource(Generic[TransportT]):
    """What is asked about one noun. Its operations block over a ``BlockingTransport``, and are awaited over an ``AwaitingTransport``."""

    def __init__(self, connection: Connection, transport: TransportT) -> None:
        self._connection = connection
        self._transport = transport


class operation(Generic[P, T]):  # noqa: N801  a decorator
    """Makes a coroutine function of a ``Resource`` a method that returns ``T``, or with asyncio an awaitable of it."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, resource: Resource[BlockingTransport], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AwaitingTransport], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        if resource is None:
            return self._function
        bound = self._function.__get__(resource, owner)

        @functools.wraps(bound)
        def call(*args: Any, **options: Any) -> Any:
            return resource._transport.run(bound(*args, **options))  # noqa: SLF001

        return call


class iteration(Generic[P, T]):  # noqa: N801  a decorator
    """Makes an asynchronous generator of a ``Resource`` a method that gives an ``Iterator``, or with asyncio an ``AsyncIterator``."""

    def __init__(self, function: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, resource: Resource[BlockingTransport], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AwaitingTransport], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: type) -> Any:
        if resource is None:
            return self._function
        bound = self._function.__get__(resource, owner)

        @functools.wraps(bound)
        def call(*args: Any, **options: Any) -> Any:
            return resource._transport.iterate(bound(*args, **options))  # noqa: SLF001

        return call


def read(model: type[ModelT], document: Any) -> ModelT:
    """What the server said, as the object it is described by. A newer server may say more, which is left out."""
    return model.model_validate(document, extra="ignore")


def id_of(thing: Any) -> str:
    """Of an object of the client, or the id itself."""
    return thing if isinstance(thing, str) else str(thing.id)


def as_json(value: Any) -> Any:
    """A value of a request, in which objects of pydantic may stand for what was set in them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, dict):
        return {name: as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return value
