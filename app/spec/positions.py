"""How many tokens a model's table of positions is good for."""

from typing import Any, Final

POSITIONS_AFTER_PADDING: Final = frozenset(
    [
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    ]
)
"""Model types that number positions from ``pad_token_id + 1``: of 514 position embeddings, 512 can be used."""


def reserved_positions(model_type: str, *, pad_token_id: Any) -> int:
    """Rows at the start of the table that no token gets. ``pad_token_id`` as the config has it, which may be anything."""
    return pad_token_id + 1 if model_type in POSITIONS_AFTER_PADDING and isinstance(pad_token_id, int) else 0
