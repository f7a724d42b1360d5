import pytest
import torch


@pytest.fixture
def two_lanes():
    """Two threads that compute; the rest of the suite has one, since more would spin against those of other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
