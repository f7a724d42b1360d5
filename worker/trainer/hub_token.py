"""The Hub token that the worker hands over: a descriptor, which huggingface_hub reads as it reads the file of a login."""

import os
import sys
from pathlib import Path


def use(descriptor: int) -> None:
    """Have huggingface_hub find the token there, in this process and in those that it forks."""
    path = f"/proc/self/fd/{descriptor}"
    os.environ["HF_TOKEN_PATH"] = path
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:  # a trainer that was born warm: the variables were read when it was imported
        constants.HF_TOKEN_PATH = path  # type: ignore[attr-defined]
        constants.HF_STORED_TOKENS_PATH = str(Path(path).with_name("stored_tokens"))  # type: ignore[attr-defined]
