"""A small T5 or BART of random weights over a few words."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration
from transformers import PreTrainedTokenizerFast as FastTokenizer

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "red",
    "green",
    "blue",
    "turn",
    "round",
    ":",
    ".",
    ",",
]
SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
SIZE = len(SPECIAL) + len(WORDS)


def tokenizer_of(*, marks_end: bool = True) -> FastTokenizer:
    """Words and the end token, as T5's is; ``marks_end=False``: the tokenizer itself puts no end token."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if marks_end:
        backend.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    return FastTokenizer(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        bos_token="<s>",
        model_max_length=64,
    )


def build_encoder_decoder(folder: Path, kind: str = "t5", **changes: Any) -> Path:
    """Saved as transformers saves it. ``changes`` go into the configuration."""
    torch.manual_seed(0)
    model: Any
    if kind == "t5":
        settings = {
            "vocab_size": SIZE, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
            "relative_attention_num_buckets": 8, "relative_attention_max_distance": 8, "feed_forward_proj": "gated-gelu",
            "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
        }  # fmt: skip
        model = T5ForConditionalGeneration(T5Config(**(settings | changes)))
    else:
        settings = {
            "vocab_size": SIZE, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
            "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3, "decoder_start_token_id": 1,
            "forced_eos_token_id": 1, "init_std": 0.2,
        }  # fmt: skip
        model = BartForConditionalGeneration(BartConfig(**(settings | changes)))
    model.save_pretrained(folder)
    tokenizer_of().save_pretrained(folder)
    return folder
