"""The Dirac-GAN against numpy's eigenvalues, autograd, and the game that is really played."""

import cmath
import math

import numpy as np
import pytest
import torch

from course_lib.toy_gan import Game, Settings, dirac, losses

LOSSES = ("minimax", "nonsaturating", "least_squares", "wasserstein")
SLOPE = {loss: 1.0 if loss == "wasserstein" else 0.5 for loss in LOSSES}


def radius(path):
    return path.norm(dim=1)


@pytest.mark.parametrize("gamma", [0.0, 0.2, 1.0, 2.5])
@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_eigenvalues(gamma, slope):
    # a double root is only found to √(rounding): 1e-7
    found = np.sort_complex(np.array(dirac.eigenvalues(gamma, slope)))
    np.testing.assert_allclose(
        found, np.sort_complex(np.linalg.eigvals(dirac.jacobian(gamma, slope))), atol=1e-7
    )


def test_eigenvalues_on_paper():
    assert dirac.eigenvalues() == (0.5j, -0.5j)  # ±i·f'(0)
    assert dirac.eigenvalues(1.0) == (-0.5, -0.5)  # critical damping
    gamma = 0.6
    assert dirac.eigenvalues(gamma)[0] == pytest.approx(
        -gamma / 2 + cmath.sqrt(gamma**2 / 4 - 0.25)
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_field_is_what_autograd_says_of_the_losses(loss, gamma):
    for t, p in ((0.8, -0.3), (-1.2, 0.9), (0.0, 0.0), (2.0, 3.0)):
        theta, psi = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (t, p))
        a = theta * psi
        (of_g,) = torch.autograd.grad(losses.g_loss(loss, a), theta, retain_graph=True)
        penalty = gamma / 2 * psi**2  # a'(x) = ψ everywhere
        (of_d,) = torch.autograd.grad(losses.d_loss(loss, 0 * psi, a) + penalty, psi)
        v = dirac.field(theta.detach(), psi.detach(), loss, gamma)
        assert [float(c) for c in v] == pytest.approx([-float(of_g), -float(of_d)], abs=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_jacobian_is_the_field_s_derivative(loss):
    point = torch.zeros(2, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(
        lambda w: torch.stack(dirac.field(w[0], w[1], loss, 0.7)), point
    )
    assert torch.allclose(found, dirac.jacobian(0.7, SLOPE[loss]), atol=1e-14)


def test_field_takes_a_grid_and_refuses_an_unknown_loss():
    theta, psi = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 5), indexing="ij")
    assert all(part.shape == (4, 5) for part in dirac.field(theta, psi))
    with pytest.raises(ValueError, match="loss must be one of"):
        dirac.field(theta, psi, "hinge")


# ---------------------------------------------------------------- the linearized game, f'(0) = ½


@pytest.mark.parametrize("h", [0.1, 0.5, 1.0])
def test_simultaneous_steps_multiply_the_squared_radius(h):
    path = dirac.trajectory((0.3, -0.4), h, 50, alternating=False, linear=True)
    squared = radius(path) ** 2
    np.testing.assert_allclose(squared[1:] / squared[:-1], 1 + h**2 / 4, rtol=1e-13)


@pytest.mark.parametrize("h", [0.1, 0.5, 1.0])
def test_alternating_steps_keep_the_radius(h):
    """θ² + ψ² − h·θψ/2 is kept to rounding,
    so the radius stays within a factor √((1 + h/4)/(1 − h/4)).
    """
    path = dirac.trajectory((0.3, -0.4), h, 20_000, linear=True)
    kept = dirac.invariant(path[:, 0], path[:, 1], h)
    np.testing.assert_allclose(kept, float(kept[0]), rtol=1e-10)
    bound = math.sqrt((1 + h / 4) / (1 - h / 4))
    r = radius(path) / 0.5
    assert float(r.max()) < bound * (1 + 1e-10)
    assert float(r.min()) > 1 / bound * (1 - 1e-10)
    # and it does come round: the late turns are as wide as the first
    turn = math.ceil(2 * math.pi / (h / 2)) + 1
    assert float(r[-turn:].max()) == pytest.approx(float(r[:turn].max()), rel=h**2 / 20)


@pytest.mark.parametrize("gamma", [0.2, 0.6, 1.5])
def test_r1_converges_at_the_rate_of_its_eigenvalues(gamma):
    """The radius falls by exp(Re λ·t), λ the slower eigenvalue;
    a step of size h multiplies by |1 + hλ|.
    """
    h, steps = 0.01, 8000
    slow = max(dirac.eigenvalues(gamma), key=lambda v: v.real)
    r = radius(
        dirac.trajectory((1.0, 0.0), h, steps, r1=gamma, alternating=False, linear=True)
    ).log()
    found = float(r[2000] - r[8000]) / 60
    assert found == pytest.approx(
        -math.log(abs(1 + h * slow)) / h, abs=0.01
    )  # the spiral wobbles by e^±0.3 / 60
    assert found == pytest.approx(-slow.real, abs=0.01 + h * abs(slow) ** 2 / 2)


def test_critical_damping():
    """γ = 1, a double root: (1, 0) falls as (1 + t/2)·e^(−t/2) in θ and −t/2·e^(−t/2) in ψ."""
    h = 1e-3
    path = dirac.trajectory((1.0, 0.0), h, 10_000, r1=1.0, alternating=False, linear=True)
    t = h * torch.arange(10_001).double()
    solution = torch.stack([1 + t / 2, -t / 2], 1) * torch.exp(-t / 2)[:, None]
    assert torch.allclose(path, solution, atol=5e-4)  # Euler: h/2 times the curvature

    def left(gamma):
        return float(
            radius(
                dirac.trajectory((1.0, 0.0), 0.05, 2000, r1=gamma, alternating=False, linear=True)
            )[-1]
        )

    ends = {gamma: left(gamma) for gamma in (0.0, 0.5, 0.8, 1.0, 1.3, 2.0)}
    assert min(ends, key=ends.get) == 1.0  # after 100 units of time no other is as near


# ---------------------------------------------------------------- the full game


def play(steps, near=None, **settings):
    """(θ, ψ) of the game itself, by its own autograd; near: start so far from the equilibrium."""
    settings = {"optimizer_d": "sgd", "optimizer_g": "sgd", "batch": 4, "penalty": 0.0} | settings
    game = Game(Settings(players="dirac", **settings))
    if near is not None:
        game.g.weights.fill_(near)
        game.d.weights.zero_()
    path = [torch.cat([game.g.weights, game.d.weights])]
    for _ in range(steps):
        game.step()
        path.append(torch.cat([game.g.weights, game.d.weights]))
    return torch.stack(path)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("alternating", [True, False])
@pytest.mark.parametrize("r1", [0.0, 0.4])
def test_the_game_follows_the_formula(loss, alternating, r1):
    h = 0.1
    played = play(60, seed=5, loss=loss, alternating=alternating, r1=r1, lr_d=h, lr_g=h)
    # on the unit circle; the seed says where
    assert float(played[0].norm()) == pytest.approx(1, abs=1e-15)
    formula = dirac.trajectory(tuple(played[0].tolist()), h, 60, loss, r1, alternating)
    assert torch.allclose(played, formula, atol=1e-12)


def test_the_full_game_near_its_equilibrium():
    # the curved part is of order near²: 1e-8 of the rest, over a few hundred steps 1e-6
    h, near = 0.2, 1e-4
    together = radius(play(200, near, alternating=False, lr_d=h, lr_g=h)) ** 2
    np.testing.assert_allclose(together[1:] / together[:-1], 1 + h**2 / 4, rtol=1e-6)
    path = play(400, near, lr_d=h, lr_g=h)
    kept = dirac.invariant(path[:, 0], path[:, 1], h)
    np.testing.assert_allclose(kept, float(kept[0]), rtol=1e-5)
    damped = radius(play(300, near, r1=1.0, lr_d=0.05, lr_g=0.05)).log()
    assert float(damped[200] - damped[300]) / 5 == pytest.approx(0.5 - math.log(1.5) / 5, abs=0.02)


def test_far_from_its_equilibrium():
    """d(θ² + ψ²)/dt = 2a·(σ(a) − σ(a)) = 0 for minimax;
    −2a·tanh(a/2) ≤ 0 for the non-saturating loss.
    """
    h = 0.02
    minimax = radius(play(3000, loss="minimax", lr_d=h, lr_g=h))
    assert float((minimax - 1).abs().max()) < 2 * h  # for ten turns and more
    assert float(radius(play(3000, loss="nonsaturating", lr_d=h, lr_g=h))[-1]) < 0.6
    assert float(radius(play(1500, loss="minimax", alternating=False, lr_d=0.1, lr_g=0.1))[-1]) > 2
    assert float(radius(play(500, loss="minimax", r1=1.0, lr_d=0.1, lr_g=0.1))[-1]) < 1e-6


@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_a_gradient_penalty_sends_g_twice_its_weight_too_far(weight):
    """The critic pays |θψ| + weight·(|ψ| − 1)²:
    its slope stays to the wrong side until θ = 2·weight.
    """
    settings = {
        "loss": "wasserstein",
        "penalty": weight,
        "optimizer_d": "sgd",
        "optimizer_g": "sgd",
    }
    game = Game(Settings(players="dirac", batch=4, lr_d=0.2, lr_g=0.004, **settings))
    game.g.weights.fill_(0.0)
    game.d.weights.fill_(1.0)
    theta, before = 0.0, -1.0
    while theta - before > 1e-6:  # until it turns back or comes to rest
        game.step()
        before, theta = theta, float(game.g.weights)
    assert theta == pytest.approx(2 * weight, rel=0.1)
