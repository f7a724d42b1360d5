"""Out of memory: the step is done again in smaller parts, and the job's recipe stays what it was."""

import ctypes
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.errors import InvalidRequest
from app.spec.messages import WarningMessage
from worker.allocator import give_back_free_memory
from worker.trainer import attempt
from worker.trainer.forward import choose_forward


@pytest.fixture
def memory_for(monkeypatch):
    """Give the trainer a device whose memory holds so many examples at a time."""

    def give(examples: int) -> list[int]:
        seen: list[int] = []

        def choose(*args, **options):
            forward, how = choose_forward(*args, **options)

            class Small:
                collate = staticmethod(forward.collate)

                def __call__(self, model, inputs, *, device):
                    logits = forward(model, inputs, device=device)
                    if len(logits) > examples:
                        logits.sum().backward()  # some gradients of the step are there already
                        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
                    seen.append(len(logits))
                    return logits

            return Small(), how

        monkeypatch.setattr(attempt, "choose_forward", choose)
        return seen

    return give


def test_smaller_parts_give_the_same_weights(without_dropout, memory_for):
    lab = without_dropout
    expected = lab.run(max_steps=6)
    seen = memory_for(3)
    found = lab.run(max_steps=6)
    assert max(seen) == 2
    assert sum(seen) == sum([8, 8, 8, 8, 8, 8])
    warnings = [m.message for m in found.all_of(WarningMessage) if m.code == "out_of_memory"]
    assert ["4 examples" in warnings[0], "2 examples" in warnings[1], len(warnings)] == [True, True, 2]
    ours, theirs = (load_file(a.folder / "model/model.safetensors") for a in (found, expected))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-4)


def test_a_resumed_run_stays_with_the_smaller_parts(lab, memory_for):
    memory_for(4)
    whole = lab.run(num_train_epochs=2)
    first = lab.run(num_train_epochs=2)
    second = lab.run(num_train_epochs=2, checkpoints=first.checkpoints[-1:])
    assert second.weights == whole.weights
    assert not [m for m in second.all_of(WarningMessage) if m.code == "out_of_memory"]


def test_a_single_example_that_does_not_fit_is_the_users_to_mend(lab, memory_for):
    memory_for(0)
    with pytest.raises(InvalidRequest) as refusal:
        lab.run()
    assert refusal.value.code == "out_of_memory"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be asked for it")
def test_free_memory_between_tensors_is_given_back():
    blocks = [torch.ones(16_000) for _ in range(4_000)]  # 64 kB each
    kept = blocks[::50]
    blocks.clear()
    before = resident_bytes()
    give_back_free_memory()
    assert before - resident_bytes() > 150e6
    assert sum(float(block.sum()) for block in kept) == 80 * 16_000
