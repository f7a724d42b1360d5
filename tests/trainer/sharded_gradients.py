"""``python -m tests.trainer.sharded_gradients STORE``: two processes compute gradients of models in shards, and of whole ones.

Prints a line for each model: its kind, what is put together at a time, and the largest difference relative to the largest gradient.
"""

import copy
import os
import sys
import warnings

import torch
import torch.distributed as dist
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    FunnelConfig,
    FunnelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
)

from worker.trainer.sharding import _units, shard

RANKS = 2
SIZES = {
    "vocab_size": 101, "hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "pad_token_id": 0,
}  # fmt: skip
MODELS = {
    "layers that are one and the same": lambda: AlbertForSequenceClassification(
        AlbertConfig(**SIZES, embedding_size=16, classifier_dropout_prob=0.0)
    ),
    "lists of lists of layers": lambda: FunnelForSequenceClassification(
        FunnelConfig(
            vocab_size=101,
            block_sizes=[2, 1],
            d_model=30,
            n_head=2,
            d_head=15,
            d_inner=64,
            hidden_dropout=0.0,
            attention_dropout=0.0,
        )
    ),
    "weights the other way round, tied": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=101, n_embd=36, n_layer=3, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    ),
    "experts that see no token": lambda: MixtralForCausalLM(
        MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=16, num_experts_per_tok=1)
    ),
}


def main(store: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    follower = os.fork()
    rank = int(follower == 0)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", store=dist.FileStore(store, RANKS), rank=rank, world_size=RANKS)
    for kind, make in MODELS.items():
        torch.manual_seed(0)
        model = make().train()
        whole = copy.deepcopy(model)
        units = [type(unit).__name__ for unit in _units(model)]
        shard(model, device=torch.device("cpu"), bf16=False)
        loss_of(model, rank).backward()
        for part in range(RANKS):
            loss_of(whole, part).backward()
        difference = compare(model, whole)
        if rank == 0:
            print(kind, len(units), difference, sep="\t")  # noqa: T201 - what it is for
    dist.destroy_process_group()
    if rank:
        os._exit(0)
    assert os.waitpid(follower, 0)[1] == 0


def loss_of(model: PreTrainedModel, rank: int) -> torch.Tensor:
    ids = torch.arange(3, 35).view(4, 8) + 40 * rank
    options = {"use_cache": False} if model.can_generate() else {}
    return model(input_ids=ids, **options).logits.sin().sum()


def compare(model: PreTrainedModel, whole: PreTrainedModel) -> float:
    expected = {name: p.grad for name, p in whole.named_parameters() if p.grad is not None}
    found = {name: p.grad.full_tensor() for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    return max(float((found[name] - gradient).abs().max()) for name, gradient in expected.items()) / largest


if __name__ == "__main__":
    main(sys.argv[1])
