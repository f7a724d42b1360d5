"""An encoder-decoder with the answers at hand: all tokens of an answer in one forward, each from those before it."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from worker.predictor.encoded import EncodedText

NO_TARGET: Final = -100
"""Stands in transformers' ``labels`` where there is no token."""

_NO_LIMIT: Final = 2**20
"""Of a model with relative positions, whose configuration gives no number of them."""


def most_written(config: Any) -> int:
    """Tokens that an answer may have; some models (LED) have fewer positions to write than to read."""
    names = ("max_decoder_position_embeddings", "max_position_embeddings")
    return next((int(number) for name in names if (number := getattr(config, name, None))), _NO_LIMIT)


def source_text(text: str, context: str | None) -> str:
    """What is read: the text, and what it is about behind it. Nothing is added, so that a prefix is the data's own."""
    return f"{text}\n\n{context}" if context else text


def padded(rows: Sequence[Any], *, filler: int) -> torch.Tensor:
    """The rows as one tensor, ``[rows, longest]`` int64, each filled up behind its end."""
    table = np.full((len(rows), max(map(len, rows))), filler, dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return torch.from_numpy(table)


def decoder_inputs(model: Any, labels: torch.Tensor) -> torch.Tensor:
    """What the decoder is given so that it answers with ``labels`` (``[rows, longest]``, ``NO_TARGET`` behind their ends).

    The labels moved one place on, as the model itself does it: most begin with ``decoder_start_token_id``, some (mBART, FSMT) with
    the label that comes last. Raises ValueError or TypeError for a model that does not say what to begin with.
    """
    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if shift is not None:
        shifted: torch.Tensor = shift(labels)
        return shifted
    begin = torch.full_like(labels[:, :1], model.config.decoder_start_token_id)
    return torch.cat([begin, labels[:, :-1].masked_fill(labels[:, :-1] == NO_TARGET, model.config.pad_token_id)], dim=1)


def start_token(model: Any, tokenizer: Any) -> int:
    """The token that every answer begins behind: what the decoder is given before the first token of any."""
    labels = torch.tensor([tokenizer(text_target="a")["input_ids"] or [tokenizer.eos_token_id]], device=model.device)
    return int(decoder_inputs(model, labels)[0, 0])


def read_sources(encoded: Sequence[EncodedText], *, pad_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """The encoder's keyword arguments, padded on the right whatever the tokenizer does: positions count from the left."""
    ids = padded([item.input_ids for item in encoded], filler=pad_id)
    mask = padded([np.ones(item.num_tokens, dtype=np.int64) for item in encoded], filler=0)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


@torch.inference_mode()
def measure_answers(
    model: Any, encoded: Sequence[EncodedText], *, pad_id: int, device: torch.device
) -> list[NDArray[np.float32]]:
    """For each input its answer's tokens, ``[targets, (loss, correct)]``: see the engine's ``MEASURES``."""
    labels = padded([item.targets or [] for item in encoded], filler=NO_TARGET).to(device)
    logits = model(
        **read_sources(encoded, pad_id=pad_id, device=device),
        decoder_input_ids=decoder_inputs(model, labels),
        use_cache=False,
    ).logits.float()
    measured = []
    for number, item in enumerate(encoded):
        rows, targets = logits[number, : item.num_rows], labels[number, : item.num_rows]
        losses = torch.logsumexp(rows.double(), dim=-1) - rows.gather(-1, targets[:, None])[:, 0].double()
        correct = rows.argmax(dim=-1) == targets
        measured.append(torch.stack([losses.float(), correct.float()], dim=-1).cpu().numpy())
    return measured
