"""Small repositories with the real formats: a random BERT as transformers saves it, and a data set as datasets does.

The data set has the traits of GLUE's MRPC: a configuration among two, three splits, ClassLabel features kept in the
Parquet schema's metadata, and a test split whose labels are hidden (-1).
"""

import json
import struct
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "road", "fast", "slow", "happily", "and", "then", "home"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "initializer_range": 0.02,
    "intermediate_size": 32,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": len(SPECIAL) + len(WORDS),
}
NAMES = ["not_equivalent", "equivalent"]


def bert_folder(folder: Path) -> Path:
    """A whole model folder whose weights are zeros, written without torch."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(BERT_CONFIG))
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "model.safetensors").write_bytes(safetensors(_bert_shapes()))
    return folder


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    """A file of float32 tensors, all zero but for their first value, which numbers them."""
    header, body = {}, bytearray()
    for number, (name, shape) in enumerate(shapes.items()):
        count = 1
        for extent in shape:
            count *= extent
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + 4 * count]}
        body += struct.pack("<f", number / 100) + bytes(4 * (count - 1))
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + bytes(body)


def first_value(tensor: str) -> float:
    """What ``safetensors`` numbers the tensor of ``bert_folder`` by."""
    return list(_bert_shapes()).index(tensor) / 100


def _bert_shapes() -> dict[str, list[int]]:
    hidden, inner = BERT_CONFIG["hidden_size"], BERT_CONFIG["intermediate_size"]
    layer = "encoder.layer.0"
    shapes = {
        "embeddings.word_embeddings.weight": [BERT_CONFIG["vocab_size"], hidden],
        "embeddings.position_embeddings.weight": [BERT_CONFIG["max_position_embeddings"], hidden],
        "embeddings.token_type_embeddings.weight": [2, hidden],
    }
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        shapes |= {f"{layer}.{name}.weight": [hidden, hidden], f"{layer}.{name}.bias": [hidden]}
    shapes |= {f"{layer}.intermediate.dense.weight": [inner, hidden], f"{layer}.intermediate.dense.bias": [inner]}
    shapes |= {f"{layer}.output.dense.weight": [hidden, inner], f"{layer}.output.dense.bias": [hidden]}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes |= {f"{name}.LayerNorm.weight": [hidden], f"{name}.LayerNorm.bias": [hidden]}
    return shapes | {"pooler.dense.weight": [hidden, hidden], "pooler.dense.bias": [hidden]}


def paraphrase_rows(count: int, *, hidden_labels: bool = False) -> list[dict[str, object]]:
    """Pairs that are equivalent when both say the same of the cat."""
    rows: list[dict[str, object]] = []
    for number in range(count):
        label = number % 2
        first = f"the cat {WORDS[4 + number % 2]} on the {WORDS[7 + number % 2]}"
        second = first if label else "a dog ran home again"
        rows.append({"sentence1": first, "sentence2": second, "label": -1 if hidden_labels else label, "idx": number})
    return rows


def parquet(rows: list[dict[str, object]]) -> bytes:
    """The rows as ``Dataset.to_parquet`` writes them: the features stand in the schema's ``huggingface`` metadata."""
    features = {
        "sentence1": {"dtype": "string", "_type": "Value"},
        "sentence2": {"dtype": "string", "_type": "Value"},
        "label": {"names": NAMES, "_type": "ClassLabel"},
        "idx": {"dtype": "int32", "_type": "Value"},
    }
    schema = pa.schema(
        [("sentence1", pa.string()), ("sentence2", pa.string()), ("label", pa.int64()), ("idx", pa.int32())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    sink = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return sink.getvalue()


def glue_files(*, num_train: int = 40, num_validation: int = 12, num_test: int = 6) -> dict[str, bytes]:
    """Files of ``nyu-mll/glue`` with the configuration ``mrpc``, as the Hub lays them out."""
    return {
        "mrpc/train-00000-of-00001.parquet": parquet(paraphrase_rows(num_train)),
        "mrpc/validation-00000-of-00001.parquet": parquet(paraphrase_rows(num_validation)),
        "mrpc/test-00000-of-00001.parquet": parquet(paraphrase_rows(num_test, hidden_labels=True)),
        "rte/train-00000-of-00001.parquet": parquet(paraphrase_rows(4)),
    }


GLUE_CONFIGS = [
    {
        "config_name": "mrpc",
        "data_files": [{"split": split, "path": f"mrpc/{split}-*"} for split in ("train", "validation", "test")],
    },
    {"config_name": "rte", "data_files": [{"split": "train", "path": "rte/train-*"}]},
]
