"""Which ``model_type`` can be fine-tuned, and as what. Known here, so that the API can say it without torch.

The first three sets together are the keys of transformers 5.23's ``MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES``, the last two
those of its ``MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES``; a test compares them with the installed version.
"""

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT_CLASSIFIERS: Final = _names(
    """
    albert arcee axk1 axk2 bert big_bird biogpt bloom camembert canine cohere_compass_text convbert ctrl data2vec-text
    deberta deberta-v2 deepseek_v2 deepseek_v3 diffllama distilbert doge electra ernie esm esmc eurobert exaone4 falcon
    flaubert fnet funnel gemma gemma2 gemma3_text glm glm4 gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj gte
    helium hunyuan_v1_dense hunyuan_v1_moe ibert jamba jetmoe jina_embeddings_v3 llama longformer luke megatron-bert
    minicpm3 minimax ministral ministral3 mistral mistral4 mixtral mobilebert modernbert modernbert-decoder mpnet mpt mra
    nemotron nomic_bert nystromformer olmo olmo2 olmo3 openai-gpt opt persimmon phi phi3 phimoe qwen2 qwen2_moe qwen3
    qwen3_5_text qwen3_moe qwen3_next rembert roberta roberta-prelayernorm roc_bert roformer seed_oss smollm3 squeezebert
    stablelm starcoder2 ultrabert xlm xlm-roberta xlm-roberta-xl xlnet xmod yoso zamba zamba2
    """
)
"""Encoders and decoders over token ids with a sequence-classification head."""

ENCODER_DECODERS: Final = _names("bart bigbird_pegasus mbart mt5 mvp plbart t5 t5gemma t5gemma2 umt5")
"""Their classification heads need decoder inputs of their own."""

NOT_TEXT_ALONE: Final = _names(
    """
    gemma3 layoutlm layoutlmv2 layoutlmv3 lilt markuplm modernvbert perceiver qwen3_5 reformer tapas ultravbert
    """
)
"""Want pictures, page layouts, tables or inputs of one fixed length beside, or instead of, token ids."""

TEXT_TO_TEXT: Final = _names(
    """
    bart bigbird_pegasus blenderbot blenderbot-small fsmt led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus pegasus_x
    plbart prophetnet switch_transformers t5 t5gemma umt5
    """
)
"""Encoder-decoders over token ids on both sides, which write an answer to a text."""

NOT_TEXT_TO_TEXT: Final = _names(
    """
    audioflamingo3 encoder-decoder glmasr granite_speech granite_speech_plus moss_transcribe_diarize musicflamingo
    nemo_speechlm qwen2_audio qwen3_asr seamless_m4t seamless_m4t_v2 t5gemma2 vibevoice_asr voxtral voxtral_realtime
    """
)
"""Hear or see beside reading, or are put together from two models with a configuration each."""
