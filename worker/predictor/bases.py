"""Base models in memory, each once, however many adapters are served on it; and their tokenizers.

An attached model holds its base by a strong reference and nothing else does: when the last one is unloaded, the base goes.
"""

from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from app.manifest import CorruptArtefactError, Manifest, verify
from app.spec.serving import SERVING_FILE
from worker.predictor.errors import ModelLoadError

ADAPTER_CONFIG: Final = "adapter_config.json"
_NO_TOKENIZER: Final = {"config.json", "generation_config.json", "README.md", SERVING_FILE, ADAPTER_CONFIG}
"""Files of an attached model that say nothing of its tokenizer. Any other is taken to be part of it."""


class LoadedBase:
    """The tensors of a base model by the names they have within its encoder, on one device in one precision."""

    def __init__(self, tensors: dict[str, torch.Tensor], *, weights_sha256: str) -> None:
        self.tensors = tensors
        self.weights_sha256 = weights_sha256

    @property
    def memory_bytes(self) -> int:
        """Tied tensors are counted once."""
        by_place = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in self.tensors.values()}
        return sum(by_place.values())

    def tensors_of(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """What ``model``, of any task, takes from here, by its own names."""
        names = model.state_dict().keys()
        inner = getattr(model, "base_model", model)
        prefix = "" if inner is model else f"{model.base_model_prefix}."
        return {f"{prefix}{name}": tensor for name, tensor in self.tensors.items() if f"{prefix}{name}" in names}


class Bases:
    """The bases and tokenizers in use. For one thread, the one that loads."""

    def __init__(self) -> None:
        self.num_loads = 0
        self._tokenizers: WeakValueDictionary[tuple[str, ...], Any] = WeakValueDictionary()
        self._loaded: WeakValueDictionary[tuple[str, str, torch.dtype, str], LoadedBase] = WeakValueDictionary()

    def load(
        self, folder: Path, *, weights_sha256: str, config: Any, dtype: torch.dtype, device: torch.device
    ) -> LoadedBase:
        """The base in ``folder``, read and verified if it is not in memory. ``config`` is that of a model made from it.

        Raises CorruptArtefactError if it is missing or damaged, ModelLoadError if it does not fit ``config``.
        """
        key = (weights_sha256, config.model_type, dtype, str(device))
        found = self._loaded.get(key)
        if found is None:
            found = _read(folder, weights_sha256=weights_sha256, config=config, dtype=dtype, device=device)
            self._loaded[key] = found
            self.num_loads += 1
        return found

    def tokenizer(self, folder: Path, *, manifest: Manifest) -> Any:
        """That of the verified ``folder``; the same object for folders whose tokenizers are the same to the byte.

        One takes a tenth of a second to read and megabytes to hold, which is more than an adapter does.
        """
        files = sorted(
            (name, entry["sha256"])
            for name, entry in manifest.files.items()
            if name not in _NO_TOKENIZER and not name.endswith(".safetensors")
        )
        key = tuple(part for file in files for part in file)
        found = self._tokenizers.get(key)
        if found is None:
            found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            self._tokenizers[key] = found
        return found


def _read(folder: Path, *, weights_sha256: str, config: Any, dtype: torch.dtype, device: torch.device) -> LoadedBase:
    if not folder.is_dir():
        raise CorruptArtefactError(f"the base model {weights_sha256[:12]} that the adapter belongs to is missing")
    if verify(folder).weights_sha256() != weights_sha256:
        raise CorruptArtefactError(f"{folder.parent.name}/{folder.name} holds another base model than its name says")
    try:
        model, loading = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # a library's loading code: any class may come out of it
        raise ModelLoadError(f"the base model: {type(error).__name__}: {error}") from error
    absent = {*loading["missing_keys"], *(key[0] for key in loading["mismatched_keys"])}
    tensors = {name: tensor for name, tensor in model.to(device).state_dict().items() if name not in absent}
    return LoadedBase(tensors, weights_sha256=weights_sha256)
