"""Which model types there is a head of a task for, so that a job that cannot succeed is refused before anything is loaded.

The sets are what the keys of transformers 5.23's mappings lack of ``app.model.architectures.TEXT_CLASSIFIERS``; a test compares them
with the installed version.
"""

from collections.abc import Sequence
from typing import Final

from app.spec.base import TaskName


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


WITHOUT_HEAD: Final[dict[TaskName, frozenset[str]]] = {
    "token-classification": _names(
        """
        cohere_compass_text ctrl deepseek_v2 doge gemma3_text gptj hunyuan_v1_dense hunyuan_v1_moe jamba jetmoe
        minicpm3 modernbert-decoder olmo olmo2 olmo3 openai-gpt opt phimoe qwen3_5_text zamba zamba2
        """
    ),
    "text-generation": _names(
        """
        albert canine convbert deberta deberta-v2 distilbert esm esmc eurobert flaubert fnet funnel gte ibert
        jina_embeddings_v3 longformer luke mistral4 mobilebert modernbert mpnet mra nomic_bert nystromformer
        squeezebert ultrabert yoso
        """
    ),
    "question-answering": _names(
        """
        axk1 axk2 biogpt cohere_compass_text ctrl deepseek_v2 deepseek_v3 doge esm esmc eurobert gemma gemma2
        gemma3_text glm glm4 gpt-sw3 gpt_bigcode gpt_oss gte helium hunyuan_v1_dense hunyuan_v1_moe jamba jetmoe
        minicpm3 mistral4 modernbert-decoder nomic_bert olmo olmo2 olmo3 openai-gpt persimmon phi phi3 phimoe
        qwen3_5_text stablelm starcoder2 zamba zamba2
        """
    ),
}
OTHER_NAMES: Final = _names(
    "arcee diffllama exaone4 llama ministral nemotron qwen2 qwen3 qwen3_moe qwen3_next seed_oss smollm3"
)
"""Decoders whose class for question answering calls the layers below its head by other names than their other classes do, and so
finds none of the weights that one of those saved."""

READS_BOTH_WAYS: Final = _names(
    """
    bert big_bird camembert data2vec-text electra ernie megatron-bert rembert roberta roberta-prelayernorm roc_bert roformer
    xlm xlm-roberta xlm-roberta-xl xlnet xmod
    """
)
"""Have a class that says the next token and looks at it too, unless their configuration makes them decoders (XLM and XLNet do even
then, which the trainer finds)."""


def has_head(task: TaskName, *, model_type: str, architectures: Sequence[str], is_decoder: bool) -> bool:
    """Whether a model with these entries of its configuration can be given a head for the task."""
    if model_type in WITHOUT_HEAD.get(task, ()):
        return False
    if task == "text-generation" and model_type in READS_BOTH_WAYS:
        return is_decoder
    if task == "question-answering" and model_type in OTHER_NAMES and architectures:
        return any(name.endswith(("Model", "ForQuestionAnswering")) for name in architectures)
    return True
