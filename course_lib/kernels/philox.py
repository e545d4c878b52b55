"""Triton's random number generator, reimplemented in plain PyTorch.

The same seed gives the same numbers on every machine. Philox turns a counter into four random
numbers in ten rounds of multiplication and mixing. The generator has no state, so any program can
compute the numbers for counter 7 at any time, and as often as necessary, without first computing
those for counters 0 to 6.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox4×32-10.
"""

import math

import torch
from torch import Tensor

MASK = 0xFFFFFFFF  # 32 bits; torch computes with signed 64-bit integers and drops the overflow
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
TINIEST = 1e-7  # Triton replaces smaller uniform numbers by this value before taking the logarithm


def new_seed(device: torch.device | str) -> Tensor:
    """Draw a seed, an int64 tensor of shape (1,), from torch's global generator for the device.

    Because the seed stays on the device, the CPU need not wait for the GPU, and a CUDA graph draws
    a new seed at each replay.
    """
    return torch.randint(2**62, (1,), device=device)


def as_seed(seed: Tensor | int | None, device: torch.device) -> Tensor:
    """Return the seed, or a new one if it is None, as an int64 tensor of shape (1,) on the device.

    Raises ValueError unless the seed is None or a single integer (an int or an int64 tensor).
    """
    if seed is None:
        return new_seed(device)
    tensor = torch.as_tensor(seed, device=device).reshape(-1)
    if tensor.shape != (1,) or tensor.dtype != torch.int64:
        raise ValueError(
            f"A seed must be a single integer (an int or an int64 tensor), but got {seed!r}."
        )
    return tensor


def philox(seed: Tensor, counter: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four random 32-bit numbers, as int64, for each counter; counters must be below 2³²."""
    key0, key1 = seed & MASK, seed >> 32 & MASK  # (1,) each
    zero = torch.zeros_like(counter, dtype=torch.int64)
    c0, c1, c2, c3 = counter.long(), zero, zero, zero
    for _ in range(10):
        # 64 bits, with a high and a low half
        product0, product2 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c2 = (product2 >> 32 & MASK) ^ c1 ^ key0, (product0 >> 32 & MASK) ^ c3 ^ key1
        c1, c3 = product2 & MASK, product0 & MASK
        key0, key1 = key0 + KEY_STEPS[0] & MASK, key1 + KEY_STEPS[1] & MASK
    return c0, c1, c2, c3


def uniform(seed: Tensor, counter: Tensor) -> tuple[Tensor, ...]:
    """Return four float32 numbers in [0, 1) for each counter, equal to those of `tl.rand4x`."""
    signed = (torch.where(bits >= 2**31, MASK - bits, bits) for bits in philox(seed, counter))
    # the largest number stays below 1
    return tuple(bits.float() * 4.6566127342e-10 for bits in signed)


def normal(seed: Tensor, counter: Tensor) -> Tensor:
    """Return one float32 draw from N(0, 1) for each counter, equal to that of `tl.randn`.

    Source: Box and Muller 1958.
    """
    u, v, _, _ = uniform(seed, counter)
    return torch.sqrt(-2 * torch.log(u.clamp(min=TINIEST))) * torch.cos(2 * math.pi * v)
