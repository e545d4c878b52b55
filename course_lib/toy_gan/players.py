"""The players G and D and their optimizers.

The players are small networks or, in the Dirac-GAN, a single weight each.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from course_lib.toy_gan import noise
from course_lib.toy_gan.settings import Settings


class MLP(nn.Module):
    """A network that maps numbers to numbers, with `depth` hidden layers of `width` tanh units.

    The tanh units make the network smooth, so that penalties on its slope have gradients.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        sizes = [1, *[width] * depth, 1]
        self.layers = nn.ModuleList(
            nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one number for each point x: (N,) → (N,)."""
        *hidden, last = self.layers
        h = x[:, None]  # (N, 1)
        for layer in hidden:
            h = torch.tanh(layer(h))  # (N, width)
        return last(h)[:, 0]


class Theta(nn.Module):
    """The generator of the Dirac-GAN, which returns θ for every z."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        """Return θ for each z: (N,) → (N,)."""
        return self.theta.expand(len(z))


class Psi(nn.Module):
    """The discriminator of the Dirac-GAN, a(x) = ψ·x."""

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return ψ·x for points x: (N,) → (N,)."""
        return self.psi * x


class Player:
    """A network whose weights form one vector of shape (P,), and its optimizer.

    The attributes m and v are Adam's moments.
    """

    def __init__(self, network: nn.Module, start: np.ndarray) -> None:
        self.network = network
        self.parameters = list(network.parameters())
        self.weights = torch.from_numpy(start)  # (P,)
        self.m, self.v, self.t = torch.zeros_like(self.weights), torch.zeros_like(self.weights), 0
        # the parameters become views of the vector
        vector_to_parameters(self.weights, self.parameters)

    def __call__(self, x: Tensor) -> Tensor:
        return self.network(x)

    def move(self, gradient: Tensor, optimizer: str, lr: float, beta1: float, beta2: float) -> None:
        """Take one optimizer step with a gradient of shape (P,).

        Raises ValueError and changes nothing if the new weights would be NaN or too large.
        Source for Adam: Kingma & Ba 2015, algorithm 1.
        """
        m, v, t, step = self.m, self.v, self.t, gradient
        if optimizer == "adam":
            m, v, t = torch.lerp(gradient, m, beta1), torch.lerp(gradient**2, v, beta2), t + 1
            step = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + 1e-8)
        new = self.weights - lr * step
        if not bool(new.abs().max() < 1e100):  # also true for NaN
            raise ValueError("The game has blown up. Start a new game with smaller learning rates.")
        self.weights.copy_(new)
        self.m, self.v, self.t = m, v, t


def first_weights(sizes: list[int], seed: int, stream: int) -> np.ndarray:
    """Return the initial weights and biases, layer by layer, as one vector of shape (P,).

    They are uniformly distributed between −1/√(inputs) and 1/√(inputs), as in PyTorch.
    """
    bounds = [np.full(b * (a + 1), 1 / math.sqrt(a)) for a, b in pairwise(sizes)]
    bound = np.concatenate(bounds)
    return bound * (2 * noise.uniform(seed, [stream], 0, len(bound))[0] - 1)


def players(s: Settings) -> tuple[Player, Player]:
    """Return G and D for the given settings, before their first step."""
    if s.players == "dirac":
        # on the unit circle around the equilibrium, at an angle determined by the seed
        turn = math.tau * noise.uniform(s.seed, [noise.G_WEIGHTS], 0, 1)[0, 0]
        theta, psi = np.array([math.cos(turn)]), np.array([math.sin(turn)])
        return Player(Theta(), theta), Player(Psi(), psi)

    def player(width: int, depth: int, stream: int) -> Player:
        return Player(MLP(width, depth), first_weights([1, *[width] * depth, 1], s.seed, stream))

    g = player(s.width_g, s.depth_g, noise.G_WEIGHTS)
    d = player(s.width_d, s.depth_d, noise.D_WEIGHTS)
    g.weights[-1] += s.start
    return g, d
