"""Small random classifiers of several architectures, and tokens of uneven lengths."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    RobertaConfig,
)

from worker.trainer.padding import Padding
from worker.trainer.tokens import Tokens

VOCABULARY = 120
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 80, "vocab_size": VOCABULARY,
}  # fmt: skip
CONFIGS = {
    "bert": lambda: BertConfig(**SIZES),
    "roberta": lambda: RobertaConfig(**SIZES, pad_token_id=1),
    "electra": lambda: ElectraConfig(**SIZES, embedding_size=16),
    "distilbert": lambda: DistilBertConfig(
        dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=80, vocab_size=VOCABULARY
    ),
    "modernbert": lambda: ModernBertConfig(
        **SIZES, pad_token_id=0, local_attention=16, global_attn_every_n_layers=2, attention_dropout=0.1,
        cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, classifier_pooling="mean",
    ),
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2, pad_token_id=0),
    "mistral": lambda: MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=16, pad_token_id=0),
    "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=80, vocab_size=VOCABULARY, pad_token_id=0),
}  # fmt: skip


def classifier(name: str, auto_model=AutoModelForSequenceClassification, **changes: object):
    torch.manual_seed(0)
    config = CONFIGS[name]()
    config.num_labels = 3
    config.update(changes)
    model = auto_model.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # random weights are small: make differences show
            parameter.mul_(2.0) if parameter.ndim > 1 else parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def uneven_tokens(lengths: list[int], *, types: bool) -> Tokens:
    chooser = np.random.default_rng(1)
    total = sum(lengths)
    columns = {"input_ids": chooser.integers(5, VOCABULARY, total).astype(np.int32)}
    if types:
        columns["token_type_ids"] = chooser.integers(0, 2, total).astype(np.int32)
    return Tokens(
        columns=columns,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        truncated=np.zeros(len(lengths), dtype=np.uint8),
    )


def padding_of(model) -> Padding:
    return Padding(fillers={"input_ids": model.config.pad_token_id, "token_type_ids": 0}, left=False)


@pytest.fixture
def tokens() -> Tokens:
    return uneven_tokens([9, 3, 40, 40, 17, 1, 33, 8, 8, 25, 61], types=False)
