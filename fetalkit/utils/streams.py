"""Random streams that depend on a key alone, never on the order of calls."""

import hashlib

import torch


def rng(*key: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """Random generator that depends on `key` alone, e.g. ``rng(seed, "batch", step)``."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)
