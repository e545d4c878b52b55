"""Triton's random numbers in plain PyTorch: from the same seed the same numbers, on every machine.

Philox turns a counter into four random numbers by ten rounds of multiplying and mixing. It has no state: the
numbers of counter 7 can be had without those of 0 to 6, by any program, at any time, and again.
Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", Philox4×32-10.
"""

import math

import torch
from torch import Tensor

MASK = 0xFFFFFFFF  # 32 bits; torch computes with 64, signed, and drops what does not fit
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
TINIEST = 1e-7  # what Triton takes for a uniform number of 0 before its logarithm


def new_seed(device: torch.device | str) -> Tensor:
    """A seed (1,) int64, from torch's global generator of the device.

    It stays on the device, so nobody waits for it; a CUDA graph draws a new one at each replay.
    """
    return torch.randint(2**62, (1,), device=device)


def as_seed(seed: Tensor | int | None, device: torch.device) -> Tensor:
    """The seed as (1,) int64 on the device; None draws a new one. ValueError for anything but a seed."""
    if seed is None:
        return new_seed(device)
    tensor = torch.as_tensor(seed, device=device).reshape(-1)
    if tensor.shape != (1,) or tensor.dtype != torch.int64:
        raise ValueError(f"A seed is one whole number (an int, or an int64 tensor), not {seed!r}.")
    return tensor


def philox(seed: Tensor, counter: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random 32-bit numbers, as int64, for each counter (...) below 2³²."""
    key0, key1 = seed & MASK, seed >> 32 & MASK  # (1,) each
    c0, c1, c2, c3 = counter.long(), *(torch.zeros_like(counter, dtype=torch.int64) for _ in range(3))
    for _ in range(10):
        product0, product2 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # 64 bits: a high and a low half
        c0, c2 = (product2 >> 32 & MASK) ^ c1 ^ key0, (product0 >> 32 & MASK) ^ c3 ^ key1
        c1, c3 = product2 & MASK, product0 & MASK
        key0, key1 = key0 + KEY_STEPS[0] & MASK, key1 + KEY_STEPS[1] & MASK
    return c0, c1, c2, c3


def uniform(seed: Tensor, counter: Tensor) -> tuple[Tensor, ...]:
    """Four float32 numbers in [0, 1) for each counter, as `tl.rand4x` makes them."""
    signed = (torch.where(bits >= 2**31, MASK - bits, bits) for bits in philox(seed, counter))
    return tuple(bits.float() * 4.6566127342e-10 for bits in signed)  # the largest stays below 1


def normal(seed: Tensor, counter: Tensor) -> Tensor:
    """One float32 draw of N(0, 1) for each counter, as `tl.randn` makes it: Box and Muller 1958."""
    u, v, _, _ = uniform(seed, counter)
    return torch.sqrt(-2 * torch.log(u.clamp(min=TINIEST))) * torch.cos(2 * math.pi * v)
