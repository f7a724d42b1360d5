"""A small Llama of random weights over a few words."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer

_TEXT = "one two three four five six seven eight nine ten red green blue says is and the . : ###"
WORDS = _TEXT.split()
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<user>", "<assistant>"]


def tokenizer_of(*, template=None):
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = FastTokenizer(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="</s>", model_max_length=64,
        additional_special_tokens=["<user>", "<assistant>"],
    )  # fmt: skip
    tokenizer.chat_template = template
    return tokenizer


def build_decoder(folder: Path, *, template: str | None = None) -> Path:
    """Saved as transformers saves it, with a chat template if one is given."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, max_position_embeddings=64, pad_token_id=0, bos_token_id=None,
        eos_token_id=3, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer_of(template=template).save_pretrained(folder)
    return folder
