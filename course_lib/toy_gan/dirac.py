"""The Dirac-GAN: data a point at 0, G a point at θ, D(x) = ψ·x; a GAN of two numbers, solved on paper.

Both players go down their losses as if time were continuous: (θ, ψ)' = v(θ, ψ). Near the equilibrium (0, 0)
v is a matrix, whose eigenvalues say what happens. Source: Mescheder, Geiger & Nowozin 2018, sections 2 and 4.
"""

import cmath
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.toy_gan import losses
from course_lib.toy_gan.settings import CHOICES


def field(theta: Tensor, psi: Tensor, loss: str = "nonsaturating", r1: float = 0.0) -> tuple[Tensor, Tensor]:
    """v(θ, ψ) = (−dL_G/dθ, −dL_D/dψ), for θ and ψ of one shape; r1 is γ. ValueError for an unknown loss."""
    if loss not in CHOICES["loss"]:
        raise ValueError(f"loss is one of {', '.join(map(repr, CHOICES['loss']))}, not {loss!r}.")
    a = theta * psi  # D's output for the generated point; for the real one it is 0
    if loss in ("minimax", "nonsaturating"):
        paid = torch.sigmoid(a)  # d/da of what D pays for a generated point: f'
    else:
        paid = a + 0.5 if loss == "least_squares" else torch.ones_like(a)
    return losses.push(loss, a, psi), -theta * paid - r1 * psi


def jacobian(r1: float = 0.0, slope: float = 0.5) -> Tensor:
    """v's matrix (2, 2) at (0, 0); slope is f'(0): ½ for every loss here but Wasserstein's, which has 1."""
    return torch.tensor([[0, slope], [-slope, -r1]], dtype=torch.float64)


def eigenvalues(r1: float = 0.0, slope: float = 0.5) -> tuple[complex, complex]:
    """−γ/2 ± √(γ²/4 − f'(0)²): ±i·f'(0) without R1, a rotation for ever; γ = 2f'(0) is critical damping."""
    root = cmath.sqrt(r1**2 / 4 - slope**2)
    return -r1 / 2 + root, -r1 / 2 - root


def trajectory(
    start: tuple[float, float],
    h: float,
    steps: int,
    loss: str = "nonsaturating",
    r1: float = 0.0,
    alternating: bool = True,
    linear: bool = False,
) -> Tensor:
    """(θ, ψ) at each of `steps` steps of size h from `start` on: (steps + 1, 2), float64.

    alternating: D moves first, and G sees the D that has moved. linear: by the matrix at (0, 0) instead of v.
    """
    matrix = jacobian(r1, 1.0 if loss == "wasserstein" else 0.5)

    def straight(theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        return matrix[0] @ torch.stack([theta, psi]), matrix[1] @ torch.stack([theta, psi])

    def curved(theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        return field(theta, psi, loss, r1)

    v: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = straight if linear else curved
    theta, psi = torch.tensor(start, dtype=torch.float64)
    path = [torch.stack([theta, psi])]
    for _ in range(steps):
        moved = psi + h * v(theta, psi)[1]
        theta = theta + h * v(theta, moved if alternating else psi)[0]
        psi = moved
        path.append(torch.stack([theta, psi]))
    return torch.stack(path)


def invariant(theta: Tensor, psi: Tensor, h: float, slope: float = 0.5) -> Tensor:
    """θ² + ψ² − h·f'(0)·θψ: what alternating steps of the linear game keep, to rounding, for ever.

    Thus they go round an ellipse: the radius returns, and stays between √((1 − c)/(1 + c)) and the inverse
    times its first value, with c = h·f'(0)/2.
    """
    return theta**2 + psi**2 - h * slope * theta * psi
