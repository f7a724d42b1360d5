"""Small random adapters, made and saved by peft alone, on one sealed base that they share."""

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForSequenceClassification

from app import manifest
from app.spec.serving import SERVING_FILE, BaseIdentity, ServingSpec
from tests.predictor.tiny_models import TinyModel, make_model


def make_base(artefacts: Path, *, hidden_size: int = 64) -> Path:
    """The folder of a base model; its weights are those of a whole model, which lies elsewhere in ``artefacts``."""
    whole = make_model(artefacts / "unnamed", hidden_size=hidden_size).folder
    unnamed = artefacts / "bases" / "unnamed"
    unnamed.mkdir(parents=True)
    shutil.copy(whole / "model.safetensors", unnamed)
    base = unnamed.rename(unnamed.parent / manifest.seal(unnamed, about={}).weights_sha256())
    whole.rename(_whole(base))
    return base


def _whole(base: Path) -> Path:
    return base.parents[1] / f"whole-{base.name}"


def make_adapter(base: Path, name: str, *, labels=("no", "yes"), seed=0, **lora) -> TinyModel:
    """A sealed folder of an adapter with a head of its own, beside ``base`` in the same folder of artefacts."""
    whole, folder = _whole(base), base.parents[1] / "models" / name
    torch.manual_seed(seed)
    model = BertForSequenceClassification.from_pretrained(
        whole, num_labels=len(labels), ignore_mismatched_sizes=True, id2label=dict(enumerate(labels))
    )
    model.classifier.weight.data.normal_(std=0.5)
    options = {"r": 4, "target_modules": ["query", "value", "dense"], "exclude_modules": ["bert.pooler.dense"]}
    config = LoraConfig(**options | lora, modules_to_save=["classifier"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    model.config.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(whole / file, folder)
    spec = ServingSpec(
        task="text-classification",
        base_model="tiny",
        labels=list(labels),
        text_fields=["text"],
        max_length=32,
        precision="float32",
        base=BaseIdentity(model="tiny", weights_sha256=base.name),
    )
    (folder / SERVING_FILE).write_text(spec.model_dump_json())
    sealed = manifest.seal(folder, about={})
    return TinyModel(id=f"ft:tiny:org:{name}:job", folder=folder, manifest_sha256=sealed.sha256)


def of_peft(base: Path, adapter: TinyModel, *, num_labels: int) -> PeftModel:
    """The same model as peft puts it together."""
    options = {"num_labels": num_labels, "ignore_mismatched_sizes": True}
    whole = BertForSequenceClassification.from_pretrained(_whole(base), **options)
    return PeftModel.from_pretrained(whole, adapter.folder).eval()
