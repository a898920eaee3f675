"""Tiny tensors on shared cores: one thread is fastest, and the same everywhere."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
