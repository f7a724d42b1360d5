"""What may lie in the list of wake-ups that is no wake-up."""

import base64
import json
import pickle
from pathlib import Path

from app.task_queue import QUEUE, TASK


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def rubbish(canary: Path) -> list[bytes]:
    """What a stranger, an older version or a bug may leave in the list of wake-ups."""
    pickled = base64.b64encode(pickle.dumps([[], {}, Canary(canary)])).decode()
    no_one = {"correlation_id": "1", "delivery_tag": "1", "body_encoding": "base64",
              "delivery_info": {"exchange": "", "routing_key": QUEUE}, "priority": 0, "delivery_mode": 2}  # fmt: skip
    whole = {"content-encoding": "utf-8", "content-type": "application/json", "properties": no_one,
             "headers": {"lang": "py", "task": TASK, "id": "1"}}  # fmt: skip
    body = base64.b64encode(json.dumps([[], {}, {}]).encode()).decode()
    messages = [
        {},
        [],
        7,
        None,
        {"body": "!", "properties": {}},
        whole | {"body": pickled, "content-type": "application/x-python-serialize", "content-encoding": "binary"},
        whole | {"body": body, "headers": {"lang": "py", "task": "os.system", "id": "2"}},
        whole | {"body": body, "headers": {}},
        whole | {"body": body, "headers": None},
        whole | {"body": "not base64 at all"},
        whole | {"body": base64.b64encode(b'[[1, 2, 3], {"job_id": "ftjob-1"}, {}]').decode()},
        whole | {"body": base64.b64encode(b'["' + b"x" * 2**25 + b'"]').decode()},
    ]
    return [b"", b"\0\xff\xfe", b"{", pickle.dumps(Canary(canary)), *(json.dumps(m).encode() for m in messages)]
