"""Noise that depends only on where it is used, so a game can be rewound or reproduced exactly.

u(seed, stream, step, i) is a hash of four integers, so no generator state needs to be saved. A web
page without Python computes the same numbers with 32-bit integers. Source of the mixing step:
Wellons, "Prospecting for Hash Functions" (lowbias32).
"""

import numpy as np
import torch
from torch import Tensor

# Each use of noise has its own stream. `step` counts the updates of the player named in the stream.
G_WEIGHTS, D_WEIGHTS, D_DATA, D_Z, D_Z2, D_MIX, G_Z, G_Z2 = range(8)
START = np.uint32(0x9E3779B9)  # any nonzero number, because mix(0) is 0


def mix(h: np.ndarray) -> np.ndarray:
    """Map 32-bit integers one to one,
    in such a way that each input bit affects about half of the output bits.
    """
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def uniform(seed: int, streams: list[int], step: int, n: int) -> np.ndarray:
    """Return numbers u in (0, 1), each a hash of seed, stream, step and i, in this order.

    The result is a float64 array of shape (len(streams), n).
    """
    h = np.array([[START]])
    for word in (seed, np.array(streams, np.uint32)[:, None], step, np.arange(n, dtype=np.uint32)):
        h = mix(h ^ np.uint32(word))
    return (h + 0.5) / 2.0**32


def codes(kind: str, u: np.ndarray) -> Tensor:
    """Convert u, of shape (2, N), to codes z, of shape (N,).

    The codes are "uniform" on (−1, 1) or "normal". Normal codes are computed by the method of Box &
    Muller (1958).
    """
    if kind == "uniform":
        return torch.from_numpy(2 * u[0] - 1)
    return torch.from_numpy(np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1]))
