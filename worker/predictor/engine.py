"""A finished model in memory: texts in, logits out.

The trainer makes its report through this, so that what is served is what was evaluated. In bfloat16 (``ServingSpec.precision``)
inputs are computed packed, and each has the same answer to the bit in every batch; in float32 they are padded, and it differs
in the last digits.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from app.prediction.wire import Generated, Sampling
from app.spec.serving import Precision, ServingSpec
from app.spec.words import Span
from worker.predictor.answer_generation import write_answers
from worker.predictor.attached import Attachment
from worker.predictor.bases import Bases
from worker.predictor.batching import padded_length, token_budget_batches
from worker.predictor.encoded import EncodedText
from worker.predictor.encoder_decoder import measure_answers
from worker.predictor.encoding import TextEncoder, TextPair
from worker.predictor.errors import OF_ONE_REQUEST
from worker.predictor.footprint import Footprint
from worker.predictor.generation import TextGenerator
from worker.predictor.loading import GENERATING, load_parts
from worker.predictor.outputs import logits_of
from worker.predictor.packed.forward import PackedForward
from worker.predictor.parts import MOST_CHOICES, GivenParts, Part, Parts

DEFAULT_MAX_TOKENS: Final = 16_384
CPU_TOKENS_PER_THREAD: Final = 512
"""A forward on a CPU is kept this small: its activations stay in the cache, and texts of like length leave little
padding. On 64 sentence pairs and MiniLM, 1,024 tokens at a time made 440 texts per second of CPU, one batch 320."""
LEAST_CPU_TOKENS: Final = 1_024

MEASURES: Final = ("loss", "correct")
"""Of a token: minus the logarithm of its probability, and whether it is the most probable one."""


class LoadedModel:
    """A classifier of texts or of their words, with its own preprocessing. For use by one thread at a time."""

    def __init__(
        self,
        *,
        spec: ServingSpec,
        tokenizer: Any,
        model: PreTrainedModel,
        device: torch.device,
        attachment: Attachment | None = None,
        packed: PackedForward | None = None,
    ) -> None:
        self.spec = spec
        self.attachment = attachment
        """Of a model that is an adapter on a base, which other models may be using too."""
        self.device = device
        self._tokenizer = tokenizer
        self._model = model
        self._packed = packed
        self._pad_id: int = tokenizer.pad_token_id
        self._takes_token_types = "token_type_ids" in inspect.signature(model.forward).parameters
        self.tags_words = spec.task == "token-classification"
        """Each word of an input has an answer of its own."""
        self.generates = spec.task in GENERATING
        self.writes_answers = spec.task == "text2text-generation"
        """It is an encoder-decoder: what it generates is not behind what it reads, but a text of its own."""
        self.generator = TextGenerator(model, tokenizer, device=device) if spec.task == "text-generation" else None
        """Writes texts in turns, if the model is made for it."""
        self.finds_answers = spec.task == "question-answering"
        """Each input is a question and the context that its answer stands in."""
        self._encoder = TextEncoder(spec, tokenizer, takes_token_types=self._takes_token_types)
        self.num_outputs = len(MEASURES) if self.generates else len(spec.labels)
        """Columns of what ``forward`` gives."""

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        expected_manifest_sha256: str | None = None,
        device: str | None = None,
        bases: Bases | None = None,
        base: Path | None = None,
    ) -> "LoadedModel":
        """Verify every byte of ``folder`` against its manifest, then load it on ``device`` (default: CUDA if there).

        An adapter is attached to its base, which is taken from ``bases`` if it is there, else from the folder ``base``
        (default: where a published one lies). Raises app.manifest.CorruptArtefactError if the bytes of either differ,
        ModelLoadError if they make no servable model.
        """
        parts = load_parts(
            folder, expected_manifest_sha256=expected_manifest_sha256, device=device, bases=bases or Bases(), base=base
        )
        return cls(
            spec=parts.spec,
            tokenizer=parts.tokenizer,
            model=parts.model,
            device=parts.device,
            attachment=parts.attachment,
            packed=parts.packed,
        )

    @property
    def precision(self) -> Precision:
        """What it is computed in, which is float32 wherever it could not be packed, whatever its record says."""
        return "float32" if self._packed is None else "bfloat16"

    @property
    def memory_bytes(self) -> int:
        """What parameters and buffers take, in bytes, the base's included."""
        return self.footprint.own_bytes + self.footprint.base_bytes

    @cached_property
    def footprint(self) -> Footprint:
        """What it takes by itself, and what it shares with other models."""
        if self.attachment is not None:
            base = self.attachment.base
            return Footprint(
                own_bytes=self.attachment.own_bytes, base=base.weights_sha256, base_bytes=base.memory_bytes
            )
        if self._packed is not None:
            return Footprint(own_bytes=self._packed.memory_bytes)
        tensors = [*self._model.parameters(), *self._model.buffers()]
        return Footprint(own_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors))

    @property
    def tokens_at_once(self) -> int | None:
        """What its threads have in hand at a time: who is taken with others beyond that waits for them. None: a whole forward."""
        return None if self._packed is None else self._packed.tokens_at_once

    @torch.no_grad()
    def take_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Copy a state dict of the same architecture into this model, each tensor into the precision chosen for it.

        An attached model takes what is not its base's, by peft's names.
        """
        if self.attachment is not None:
            self.attachment.put(weights)
            return
        if self._packed is not None:
            self._packed.take_weights(weights)
            return
        for name, tensor in self._model.state_dict().items():
            tensor.copy_(weights[name])

    def encode(
        self, pairs: Sequence[TextPair], *, words: Sequence[list[Span] | None] | None = None
    ) -> list[EncodedText]:
        """As ``TextEncoder.encode``."""
        return self._encoder.encode(pairs, words=words)

    def generate(
        self, encoded: Sequence[EncodedText], sampling: Sampling, *, stopped: Callable[[], bool]
    ) -> list[Generated]:
        """What comes behind each prompt, or answers each source. Once ``stopped`` is true, unfinished texts may be left out.

        Raises PromptTooLongError for a prompt that leaves no room.
        """
        if self.writes_answers:
            return write_answers(self._model, self._tokenizer, encoded, sampling, device=self.device, stopped=stopped)
        assert self.generator is not None
        return self.generator.write(self.generator.begin(encoded, sampling), stopped=stopped)

    def write(self, encoded: Sequence[EncodedText], *, max_new_tokens: int, stopped: Callable[[], bool]) -> list[str]:
        """The texts alone that ``generate`` gives if nothing but their length is asked for: what evaluation compares."""
        return [
            found.text for found in self.generate(encoded, Sampling(max_new_tokens=max_new_tokens), stopped=stopped)
        ]

    def forward(self, encoded: Sequence[EncodedText], *, max_tokens: int = DEFAULT_MAX_TOKENS) -> NDArray[np.float32]:
        """Logits ``[rows, K]``, the rows of one input behind those of the other, in the order given.

        A text has one row; where words are tagged, each word has, of NaN if the model does not see it; of a model that generates
        they are ``MEASURES`` of each target; of one that finds answers each token of each window has one. ``max_tokens`` bounds one forward of padded inputs, padding counted.
        """
        encoded_parts = [part for item in encoded for part in item.parts]
        places = row_places(encoded_parts)
        logits = np.empty((places[-1], self.num_outputs), dtype=np.float32)

        def take(number: int, rows: NDArray[np.float32]) -> None:
            logits[places[number] : places[number + 1]] = rows

        parts = [Part(encoded=own, take=partial(take, number)) for number, own in enumerate(encoded_parts)]
        at_once = len(parts) if self._packed is None else MOST_CHOICES
        self.compute(GivenParts(parts, at_once=at_once), max_tokens=max_tokens)
        return logits

    def compute(self, parts: Parts, *, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        """Give each of ``parts`` its rows as ``forward`` has them, until there is none left to take.

        Of those that are computed packed one may be given its rows while another is.
        """
        if self._packed is not None:
            self._packed.compute(partial(self._give, parts, self._packed.outputs), parts)
            return
        while taken := parts.take(lambda lengths: range(len(lengths))):
            for indices in self._batches([part.encoded for part in taken], max_tokens=max_tokens):
                self._give(parts, self._outputs, [taken[index] for index in indices])

    def _give(
        self,
        parts: Parts,
        outputs: Callable[[Sequence[EncodedText]], Iterable[NDArray[np.float32]]],
        batch: list[Part],
    ) -> None:
        """Compute ``batch``, and give each of it its rows."""
        try:
            for part, output in zip(batch, outputs([part.encoded for part in batch]), strict=True):
                part.take(self._rows(part.encoded, output))
        except OF_ONE_REQUEST as error:
            owners = {part.owner for part in batch}
            if len(owners) == 1:
                parts.failed(batch[0], error)
                return
            for owner in owners:
                self._give(parts, outputs, [part for part in batch if part.owner is owner])

    def _batches(self, encoded: Sequence[EncodedText], *, max_tokens: int) -> list[list[int]]:
        if self.device.type == "cpu":
            max_tokens = min(max_tokens, max(LEAST_CPU_TOKENS, CPU_TOKENS_PER_THREAD * torch.get_num_threads()))
        lengths = [item.num_tokens + (item.num_rows if self.writes_answers else 0) for item in encoded]
        return token_budget_batches(lengths, max_tokens=max_tokens)

    def _outputs(self, batch: Sequence[EncodedText]) -> Iterable[NDArray[np.float32]]:
        if self.writes_answers:
            return measure_answers(self._model, batch, pad_id=self._pad_id, device=self.device)
        return self._forward_batch(batch)

    def _rows(self, encoded: EncodedText, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """An input's rows of logits from the model's output for it: ``[K]``, or ``[tokens, K]`` where words are tagged."""
        if self.writes_answers:
            return output
        if encoded.first_tokens is None:
            return output[None]
        tokens = np.array(encoded.first_tokens, dtype=np.int64)
        if encoded.targets is not None:
            return _measured(output[tokens], np.array(encoded.targets, dtype=np.int64))
        return np.where((tokens >= 0)[:, None], output[tokens], np.float32(np.nan))

    def logits(self, pairs: Sequence[TextPair], *, max_tokens: int = DEFAULT_MAX_TOKENS) -> NDArray[np.float32]:
        """Logits ``[rows, K]`` of ``pairs``, in their order."""
        return self.forward(self.encode(pairs), max_tokens=max_tokens)

    @torch.inference_mode()
    def _forward_batch(self, rows: Sequence[EncodedText]) -> NDArray[np.float32]:
        """One padded forward."""
        longest = max(row.num_tokens for row in rows)
        width = padded_length(longest, limit=max(longest, self.spec.max_length))
        ids = np.full((len(rows), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        types = np.zeros((len(rows), width), dtype=np.int64)
        for position, row in enumerate(rows):
            ids[position, : row.num_tokens] = row.input_ids
            mask[position, : row.num_tokens] = 1
            if row.token_type_ids is not None:
                types[position, : row.num_tokens] = row.token_type_ids
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_token_types:
            inputs["token_type_ids"] = types
        on_device = {name: torch.from_numpy(array).to(self.device) for name, array in inputs.items()}
        options = {"use_cache": False} if self.generates else {}
        output: NDArray[np.float32] = logits_of(self._model(**on_device, **options)).float().cpu().numpy()
        return output


def _measured(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float32]:
    """``MEASURES`` of each target, ``[targets, 2]``, from the logits ``[targets, vocabulary]`` before it."""
    largest = logits.max(axis=-1, keepdims=True)
    normalizer = np.log(np.exp((logits - largest).astype(np.float64)).sum(axis=-1)) + largest[:, 0]
    losses = normalizer - logits[np.arange(len(targets)), targets]
    return np.stack([losses, logits.argmax(axis=-1) == targets], axis=-1).astype(np.float32)


def row_places(encoded: Sequence[EncodedText]) -> NDArray[np.int64]:
    """Where the rows of each input begin, and behind the last where all end."""
    return np.cumsum([0, *(item.num_rows for item in encoded)])
