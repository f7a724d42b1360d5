"""The errors of httpx in the client's words."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from app.client.errors import ConnectionFailed, ConnectionRefused, ConnectionTimedOut


@contextmanager
def explaining(url: str) -> Iterator[None]:
    """Raises ConnectionFailed in the place of what httpx raises."""
    try:
        yield
    except httpx2.ConnectError as error:
        raise ConnectionRefused(
            f"No server answers at {url}.", hint="Start one with `tunery up`, or set TUNERY_URL to where it is."
        ) from error
    except httpx2.TimeoutException as error:
        raise ConnectionTimedOut(f"The server at {url} did not answer in time.", hint="Try again.") from error
    except httpx2.HTTPError as error:
        raise ConnectionFailed(f"The connection to {url} broke: {error}", hint="Try again.") from error
