"""What worker and nursery say to each other, a message to a packet."""

from typing import Final

READY: Final = b"ready"
"""The nursery's first word. Its later ones are process numbers, each the answer to a run directory's path."""

NUM_DESCRIPTORS: Final = 4
"""At most, with each request: the write end of the events, the read end of the control pipe, the log, and the Hub token if there is one."""

LONGEST_REQUEST_BYTES: Final = 4096
"""Of a path, as Linux has it."""
