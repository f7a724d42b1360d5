"""A generated text on the terminal as it comes."""

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from app.cli.client import Client
from app.cli.errors import CliError, from_problem
from app.cli.follow import parse_event_stream

SILENCE_SECONDS: Final = 120.0
"""The model may have to be loaded before it says anything."""


def stream_text(client: Client, body: dict[str, Any], *, on_text: Callable[[str], None]) -> dict[str, Any]:
    """Ask for a stream, pass on its text, and return the whole prediction. Raises CliError, also where it breaks off."""
    with client.stream("/predict", body={**body, "stream": True}, timeout=SILENCE_SECONDS) as response:
        for fields in parse_event_stream(response.iter_bytes()):
            if "data" not in fields:
                continue
            document: dict[str, Any] = json.loads(fields["data"])
            match fields.get("event"):
                case "piece":
                    on_text(document["text"])
                case "prediction":
                    return document
                case "error":
                    raise from_problem(document.get("status", 503), document)
    raise CliError("The stream ended in the middle of the text.", hint="Try again.", code="broken")


def write(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
