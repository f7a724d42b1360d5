"""Models of many kinds in shards: the gradients of two processes are those of one."""

import subprocess
import sys

import numpy as np
import pytest

from tests.trainer.conftest import ROOT
from tests.trainer.sharded_gradients import MODELS
from worker.trainer.group import Place
from worker.trainer.sharded_ranks import ShardedRanks

BLOCKS = {
    "layers that are one and the same": 2,
    "lists of lists of layers": 4,
    "weights the other way round, tied": 3,
    "experts that see no token": 4,
}
"""With the token table, where nothing else uses its weight."""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes do not meet through loopback by this name")
def test_gradients_of_models_of_many_kinds(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.sharded_gradients", str(tmp_path / "store")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert [kind for kind, _, _ in found] == list(MODELS)
    assert {kind: int(units) for kind, units, _ in found} == BLOCKS
    assert max(float(difference) for _, _, difference in found) < 1e-5


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 5, 32])
@pytest.mark.parametrize("parts", [1, 2, 64])
def test_all_ranks_have_as_many_pieces_and_together_every_example(size, count, parts):
    indices, lengths = np.arange(count) + 100, np.random.default_rng(0).integers(1, 100, size=count)
    pieces = []
    for rank in range(size):
        ranks = ShardedRanks(Place(rank=rank, size=size))
        pieces.append(ranks.pieces(ranks.share(indices, lengths=lengths), parts=parts, of=count))
    assert len({len(of_one) for of_one in pieces}) == 1
    assert any(len(of_one[-1]) for of_one in pieces), "none is empty in all ranks"
    assert sorted(np.concatenate([np.concatenate(of_one) for of_one in pieces])) == sorted(indices)
