"""The Dirac-GAN, a two-parameter GAN that can be analysed by hand.

All real data are at the point 0, G generates the point θ, and D's output is a(x) = ψ·x. In
continuous time, each player descends the gradient of its own loss: (θ, ψ)' = v(θ, ψ). Near the
equilibrium (0, 0), v is approximately linear, and the eigenvalues of its Jacobian determine how the
game evolves. Source: Mescheder, Geiger & Nowozin 2018, sections 2 and 4.
"""

import cmath
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.toy_gan import losses
from course_lib.toy_gan.settings import CHOICES


def field(
    theta: Tensor, psi: Tensor, loss: str = "nonsaturating", r1: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return v(θ, ψ) = (−dL_G/dθ, −dL_D/dψ).

    θ and ψ must have the same shape. r1: the weight γ of the penalty R1. Raises ValueError for an
    unknown loss.
    """
    if loss not in CHOICES["loss"]:
        raise ValueError(
            f"loss must be one of {', '.join(map(repr, CHOICES['loss']))}, not {loss!r}."
        )
    a = theta * psi  # D's output for the generated point; the output for the real point is 0
    if loss in ("minimax", "nonsaturating"):
        paid = torch.sigmoid(a)  # f', the derivative of D's loss for a generated point
    else:
        paid = a + 0.5 if loss == "least_squares" else torch.ones_like(a)
    return losses.push(loss, a, psi), -theta * paid - r1 * psi


def jacobian(r1: float = 0.0, slope: float = 0.5) -> Tensor:
    """Return the Jacobian of v at (0, 0), a matrix of shape (2, 2).

    slope: f'(0), the derivative of D's loss on a generated point at a = 0, which is 1 for the
    Wasserstein loss and ½ for the other losses.
    """
    return torch.tensor([[0, slope], [-slope, -r1]], dtype=torch.float64)


def eigenvalues(r1: float = 0.0, slope: float = 0.5) -> tuple[complex, complex]:
    """Return the eigenvalues −γ/2 ± √(γ²/4 − f'(0)²) of the Jacobian.

    Without R1, the eigenvalues ±i·f'(0) describe an undamped rotation. The damping is critical
    for γ = 2f'(0).
    """
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
    """Return (θ, ψ) at `start` and after each of `steps` steps of size h.

    The result is a float64 tensor of shape (steps + 1, 2). alternating: whether D moves first and G
    then responds to the new D. linear: whether v is replaced by its linearization at (0, 0).
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
    """Return the invariant θ² + ψ² − h·f'(0)·θψ.

    Alternating steps of the linearized game without R1 conserve it. Up to rounding, the points
    (θ, ψ) therefore stay on an ellipse. With c = h·f'(0)/2, their distance from (0, 0) stays
    between √((1 − c)/(1 + c)) and √((1 + c)/(1 − c)) times the initial distance.
    """
    return theta**2 + psi**2 - h * slope * theta * psi
