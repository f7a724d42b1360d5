"""Small decoders of random weights over bytes: whatever they write, a character may take several tokens."""

import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from app import manifest
from app.spec.serving import SERVING_FILE, ServingSpec
from tests.predictor.tiny_models import TinyModel
from worker.predictor.engine import LoadedModel

LIMIT = 4096
END = 256
SPECIAL = ["<end>", "<pad>", "<turn>"]
VOCABULARY_SIZE = 256 + len(SPECIAL)
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "intermediate_size": 48, "max_position_embeddings": LIMIT,
}  # fmt: skip
GPT_SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": LIMIT}
SLIDING = {"sliding_window": 6}
ARCHITECTURES = {
    "llama": SIZES,
    "mistral": {**SIZES, **SLIDING},
    "gemma2": {**SIZES, **SLIDING, "query_pre_attn_scalar": 8},
    "qwen3": SIZES,
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": LIMIT},
    "gpt_neox": {**GPT_SIZES, "intermediate_size": 48},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "opt": {**GPT_SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32},
}
"""By model type; all of these can be written in common."""
STATEFUL = {"mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}}
"""Those keep a state, which has no columns."""


def byte_tokenizer():
    """A token for each byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=SPECIAL[0], pad_token=SPECIAL[1], extra_special_tokens=SPECIAL[2:]
    )


def build_writer(architecture, *, seed=0, ends=True, **changes):
    """A model whose next tokens differ from text to text, as large weights make them. Without ``ends`` it never stops."""
    torch.manual_seed(seed)
    sizes = {**ARCHITECTURES, **STATEFUL}[architecture]
    config = AutoConfig.for_model(
        architecture, vocab_size=VOCABULARY_SIZE, pad_token_id=END + 1, bos_token_id=None,
        eos_token_id=END if ends else None, initializer_range=0.3, **{**sizes, **changes},
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    if not ends:
        with torch.no_grad():  # the tokenizer's end token ends a text too: 0 is not the largest of 259 random logits
            model.get_output_embeddings().weight[END] = 0
    return model


def make_writer(folder: Path, *, architecture="llama", ends=True, seed=0, **changes) -> TinyModel:
    """Sealed as the trainer seals it."""
    model = build_writer(architecture, ends=ends, seed=seed, **changes)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    spec = ServingSpec(
        task="text-generation", problem_type="language_modeling", base_model="tiny", labels=[],
        text_fields=["text"], max_length=64, prompt_format="plain", precision="float32",
    )  # fmt: skip
    (folder / SERVING_FILE).write_text(spec.model_dump_json())
    sealed = manifest.seal(folder, about={})
    return TinyModel(id=f"ft:tiny:org:{folder.name}:job", folder=folder, manifest_sha256=sealed.sha256)


def loaded_writer(**options) -> LoadedModel:
    with tempfile.TemporaryDirectory() as folder:
        return LoadedModel.load(make_writer(Path(folder) / "writer", **options).folder)
