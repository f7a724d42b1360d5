"""Windows of questions are packed as other examples are, or padded: each token has its logits of start and end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering

from tests.trainer.packed.conftest import classifier, padding_of
from worker.trainer.forward import PackedForward, PaddedForward, choose_forward
from worker.trainer.tokens import Windows, Words

CPU = torch.device("cpu")
ORDER = np.array([4, 0, 10, 3, 7, 5, 1, 9, 2, 6, 8])


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert", "modernbert"])
def test_tokens_of_windows_have_the_logits_of_transformers_packed_or_padded(name, tokens):
    model = classifier(name, AutoModelForQuestionAnswering, num_labels=2).eval()
    padding = padding_of(model)
    places = np.concatenate([np.arange(length) for length in tokens.lengths])
    windows = replace(
        tokens,
        words=Words(first_tokens=places.astype(np.int32), offsets=tokens.offsets),
        windows=Windows(examples=np.arange(len(tokens)), spans=np.zeros((len(places), 2), dtype=np.int32)),
    )
    with torch.no_grad():
        expected = []
        for number in ORDER:
            output = model(**padding.batch(tokens, np.array([number])))
            expected.append(torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1))
        padded = PaddedForward(padding)
        found = padded(model, padded.collate(windows, ORDER), device=CPU)
        torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)
        packed, how = choose_forward(model, windows, padding=padding, bf16=False)
        assert isinstance(packed, PackedForward), how
        found = packed(model, packed.collate(windows, ORDER), device=CPU)
        torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)
