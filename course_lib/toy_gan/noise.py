"""Noise that is a function of where it is used, so that a game can be rewound, and played elsewhere, exactly.

u(seed, stream, step, i) is a hash of four whole numbers: there is no generator whose state could be lost. A
page without Python computes the same numbers with 32-bit integers. Source of the mixing step: Wellons,
"Prospecting for Hash Functions" (lowbias32).
"""

import numpy as np
import torch
from torch import Tensor

# One stream for each use. Steps count the updates of the player named.
G_WEIGHTS, D_WEIGHTS, D_DATA, D_Z, D_Z2, D_MIX, G_Z, G_Z2 = range(8)
START = np.uint32(0x9E3779B9)  # any number but 0, which the mixing leaves as it is


def mix(h: np.ndarray) -> np.ndarray:
    """A permutation of the 32-bit numbers in which every input bit changes about half of the output bits."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def uniform(seed: int, streams: list[int], step: int, n: int) -> np.ndarray:
    """u in (0, 1), float64 (len(streams), n): the hash of seed, stream, step and i, in this order."""
    h = np.array([[START]])
    for word in (seed, np.array(streams, np.uint32)[:, None], step, np.arange(n, dtype=np.uint32)):
        h = mix(h ^ np.uint32(word))
    return (h + 0.5) / 2.0**32


def codes(kind: str, u: np.ndarray) -> Tensor:
    """z (N,) from u (2, N): of kind "uniform" on (−1, 1), or "normal" by Box and Muller (1958)."""
    if kind == "uniform":
        return torch.from_numpy(2 * u[0] - 1)
    return torch.from_numpy(np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1]))
