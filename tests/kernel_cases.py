"""The kernels against independent float64 references.

`test_kernels.py` runs this file in a process of its own: with TRITON_INTERPRET=1, which must be set
before Triton is imported, and without it where there is a GPU. Tensors that a kernel does not fill
would show: uninitialized memory is NaN here.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Normal, kl_divergence

from course_lib import kernels, recipes
from course_lib.data import Digits
from course_lib.kernels import backend, batch, e_step, elbo, full_e_step, reparameterize, training
from course_lib.mixtures import fast_steps
from course_lib.mixtures.density import precision_factors
from course_lib.models import vae
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.probability import em
from course_lib.training.gan import GANRecipe
from course_lib.training.vae import Recipe

DEVICE = torch.device("cpu" if backend.INTERPRETED else "cuda")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 1e-2}
DTYPES = list(TOLERANCE)
# Rows, pixels, codes; none divides its block.
SIZES = [(1, 1, 1), (1, 784, 20), (5, 37, 3), (3, 1030, 33)]


@pytest.fixture(autouse=True)
def poison(monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3, device=DEVICE).isnan().all()
    monkeypatch.setattr(e_step, "TILE", {"ROWS": 16, "COMPONENTS": 16, "DIMS": 16})
    small = {"ROWS": 16, "num_warps": 4}
    monkeypatch.setattr(full_e_step, "TILES", {16: small, 32: small})
    monkeypatch.setattr(full_e_step, "PROGRAMS", 4)  # so that a few tiles make spans of several
    yield
    torch.use_deterministic_algorithms(False)


def close(ours: Tensor, reference: Tensor, dtype: torch.dtype) -> None:
    """Relative to the whole: a float32 sum of both signs has no relative precision of its own."""
    assert ours.shape == reference.shape
    apart = float(
        (ours.double().cpu() - reference.cpu()).norm() / reference.norm().clamp(min=1e-300)
    )
    assert apart <= TOLERANCE[dtype], apart


def exact_terms(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """In float64, by another library and another formula."""
    a, m, v = (t.detach().double().cpu() for t in (logits, mu, logvar))
    t = x.double().cpu() / (255 if x.dtype == torch.uint8 else 1)
    minus, plus = (torch.from_numpy(np.logaddexp(0, sign * a.numpy())) for sign in (-1, 1))
    bits = t * minus + (1 - t) * plus  # −log P of a pixel
    return bits.sum(1), kl_divergence(Normal(m, (v / 2).exp()), Normal(0 * m, 1 + 0 * m)).sum(1)


def exact_gradients(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, ...]:
    a, m, v = (t.detach().double().cpu() for t in (logits, mu, logvar))
    t = x.double().cpu() / (255 if x.dtype == torch.uint8 else 1)
    return torch.special.expit(a) - t, m, (v.exp() - 1) / 2


def inputs(n: int, pixels: int, d: int, dtype: torch.dtype, bytes_: bool = False) -> list[Tensor]:
    torch.manual_seed(n * pixels + d)
    logits, mu, logvar = 4 * torch.randn(n, pixels), torch.randn(n, d), torch.randn(n, d)
    x = torch.randint(0, 256, (n, pixels), dtype=torch.uint8) if bytes_ else torch.rand(n, pixels)
    leaves = [t.to(DEVICE, dtype).requires_grad_() for t in (logits, mu, logvar)]
    return [leaves[0], x.to(DEVICE), *leaves[1:]]


# ---------------------------------------------------------------- the fused ELBO


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bytes_", [True, False], ids=["bytes", "float"])
def test_elbo_terms_and_the_gradients_of_their_mean(size, dtype, bytes_):
    given = inputs(*size, dtype, bytes_)
    terms = kernels.fused_elbo(*given)
    assert kernels.ran["fused_elbo"].startswith("Triton")
    assert {t.dtype for t in terms} == {torch.float64 if dtype == torch.float64 else torch.float32}
    # bfloat16 rounds the inputs before either side sees them: the terms are added in float32
    for ours, reference in zip(terms, exact_terms(*given), strict=True):
        close(ours.detach(), reference, torch.float32 if dtype == torch.bfloat16 else dtype)
    (terms.reconstruction + terms.kl).mean().backward()
    for leaf, reference in zip((given[0], *given[2:]), exact_gradients(*given), strict=True):
        assert leaf.grad.dtype == dtype
        close(leaf.grad, reference / size[0], dtype)


@pytest.mark.parametrize("kind", ["sum", "beta", "any weights", "only one term"])
def test_any_loss_gets_its_gradients(kind):
    given = inputs(5, 37, 3, torch.float32)
    reconstruction, kl = kernels.fused_elbo(*given)
    w = torch.ones(5, 2) if kind == "sum" else torch.randn(5, 2)
    if kind == "beta":
        w = torch.tensor([0.2, 0.6]).expand(5, 2)  # mean(reconstruction + 3 kl)
    if kind == "only one term":
        w[:, 0] = 0
    w = w.to(DEVICE)
    (w[:, 0] * reconstruction + w[:, 1] * kl).sum().backward()
    g_logits, g_mu, g_logvar = exact_gradients(*given)
    w = w.double().cpu()
    for leaf, g in zip(
        (given[0], *given[2:]),
        (w[:, :1] * g_logits, w[:, 1:] * g_mu, w[:, 1:] * g_logvar),
        strict=True,
    ):
        close(leaf.grad, g, torch.float32) if g.any() else pytest.approx(0) == leaf.grad.abs().max()


def test_a_second_backward_neither_changes_the_first_nor_differs():
    given = inputs(4, 37, 3, torch.float32)
    loss = sum(kernels.fused_elbo(*given)).mean()
    first = torch.autograd.grad(loss, given[0], retain_graph=True)[0]
    kept = first.clone()
    second = torch.autograd.grad(loss * 2, given[0], retain_graph=True)[0]
    assert torch.equal(first, kept)
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(torch.autograd.grad(loss, given[0])[0], first)


def test_elbo_gradcheck():
    logits, x, mu, logvar = inputs(3, 11, 2, torch.float64)
    assert gradcheck(lambda a, m, v: tuple(kernels.fused_elbo(a, x, m, v)), (logits, mu, logvar))


@pytest.mark.parametrize("size", [50.0, 1000.0])
def test_huge_logits_stay_finite_and_exact(size):
    signs = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, 1.0, -1.0]])
    logits = (size * signs).to(DEVICE).requires_grad_()
    # all right; two of four wrong
    x = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]).to(DEVICE)
    code = torch.zeros(2, 1, device=DEVICE)
    terms = kernels.fused_elbo(logits, x, code, code)
    # all four right: 4·exp(−50), far below the rounding of 50, to which float32 cannot add it
    expected = torch.tensor([4 * math.exp(-size), 2 * size], dtype=torch.float64)
    torch.testing.assert_close(
        terms.reconstruction.detach().cpu().double(), expected, rtol=1e-5, atol=1e-40
    )
    terms.reconstruction.sum().backward()
    expected = (logits.detach().sigmoid() - x) * (logits.detach().sign() != 2 * x - 1)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=1e-20)


def test_logits_of_all_sizes_are_exact_pixel_by_pixel():
    logits = torch.linspace(-60, 60, 241, device=DEVICE)[:, None]  # one pixel an image
    ours = kernels.fused_elbo(
        logits, torch.zeros_like(logits), logits * 0, logits * 0
    ).reconstruction
    reference = torch.from_numpy(np.logaddexp(0, logits[:, 0].double().cpu().numpy()))
    # also where it is 1e-26
    torch.testing.assert_close(ours.double().cpu(), reference, rtol=1e-5, atol=0)


def test_elbo_of_tensors_that_are_not_contiguous():
    n, pixels, d = 5, 37, 3
    logits, x, mu, logvar = inputs(n, pixels, d, torch.float32)
    wide = torch.cat([mu, logvar], 1)  # rows of mu lie 2d apart, as an encoder leaves them
    cases = [
        (logits.T.contiguous().T, x.T.contiguous().T, *wide.chunk(2, -1)),
        (
            torch.cat([logits, logits], 1)[:, 3 : pixels + 3],
            x[:1].expand(n, -1),
            mu,
            logvar[:1].expand(n, d),
        ),
    ]
    for given in cases:
        assert not given[0].is_contiguous()
        leaves = [t.detach().requires_grad_() for t in (given[0], *given[2:])]
        terms = kernels.fused_elbo(leaves[0], given[1], *leaves[1:])
        for ours, reference in zip(terms, exact_terms(*given), strict=True):
            close(ours.detach(), reference, torch.float32)
        sum(terms).mean().backward()
        for leaf, reference in zip(leaves, exact_gradients(*given), strict=True):
            close(leaf.grad, reference / n, torch.float32)


def test_nothing_is_written_beside_the_outputs():
    """A store without its mask would reach beyond the row; between and behind outputs lies NaN."""
    n, pixels, d = 3, 37, 3
    logits, x, mu, logvar = (t.detach() for t in inputs(n, pixels, d, torch.float32))
    buffers = [
        torch.full((size + 64,), math.nan, device=DEVICE)
        for size in (n, n, n * pixels, n * d, n * d)
    ]
    settings = elbo._settings(logits, x, mu)
    elbo._elbo_kernel[(n,)](
        logits,
        x,
        mu,
        logvar,
        *buffers,
        pixels,
        pixels,
        d,
        d,
        pixels,
        d,
        1.0,
        GRADIENTS=True,
        **settings,
    )
    for buffer in buffers:
        assert buffer[:-64].isfinite().all()
        assert buffer[-64:].isnan().all()
    out = torch.full((n * pixels + 64,), math.nan, device=DEVICE)
    images = torch.zeros(4, pixels, dtype=torch.uint8, device=DEVICE)
    seed, index = kernels.new_seed(DEVICE), torch.arange(n, device=DEVICE)
    batch._gather_kernel[(n, 1)](images, index, seed, out, pixels, 10, BLOCK=16)
    assert out[:-64].eq(0).all()
    assert out[-64:].isnan().all()


def test_without_gradients_none_are_written():
    given = inputs(2, 37, 3, torch.float32)
    with torch.no_grad():
        terms = kernels.fused_elbo(*given)
    assert not terms.reconstruction.requires_grad
    close(terms.reconstruction, exact_terms(*given)[0], torch.float32)


# ---------------------------------------------------------------- reparameterization


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (7, 3), (2, 3, 5), (11,), (60, 40)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_seed_gives_one_z_and_its_gradients(shape, dtype):
    torch.manual_seed(0)
    mu, logvar, g = (torch.randn(shape).to(DEVICE, dtype) for _ in range(3))
    results = []
    for function in (kernels.fused_reparameterize, kernels.reparameterize_reference):
        kind = dtype if function is kernels.fused_reparameterize else torch.float64
        m, v = (t.detach().to(kind).requires_grad_() for t in (mu, logvar))
        z = function(m, v, 123456789012345678)
        z.backward(g.to(kind))
        results.append((z.detach(), m.grad, v.grad))
    assert kernels.ran["fused_reparameterize"].startswith("Triton")
    for ours, reference in zip(*results, strict=True):
        assert ours.dtype == dtype
        # e itself is float32 on both sides, so that float64 agrees to float32's digits
        close(ours, reference.cpu(), torch.float32 if dtype == torch.float64 else dtype)


def test_reparameterization_gradcheck():
    mu, logvar = (
        torch.randn(3, 4, dtype=torch.float64, device=DEVICE, requires_grad=True) for _ in range(2)
    )
    assert gradcheck(lambda m, v: kernels.fused_reparameterize(m, v, 5), (mu, logvar))


def test_rows_that_lie_apart():
    wide = torch.randn(6, 8, device=DEVICE)
    for mu, logvar in (wide.chunk(2, -1), (wide[::2, :4], wide[::2].T.contiguous().T[:, 4:])):
        m, v = (t.detach().requires_grad_() for t in (mu, logvar))
        a, b = (t.detach().contiguous().requires_grad_() for t in (mu, logvar))
        ours = kernels.fused_reparameterize(m, v, 9)
        reference = kernels.reparameterize_reference(a, b, 9)
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-6)
        g = torch.randn(8, len(mu), device=DEVICE).T[:, :4]  # not contiguous either
        ours.backward(g)
        reference.backward(g)
        torch.testing.assert_close(v.grad, b.grad, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(m.grad, a.grad)


def test_rows_farther_apart_than_32_bits_count():
    memory = torch.empty(2 * 2**30 + 4, dtype=torch.bfloat16, device=DEVICE)
    far = memory.as_strided((3, 4), (2**30, 1))
    near = torch.randn(3, 4, device=DEVICE, dtype=torch.bfloat16)
    far.copy_(near)  # of its four gigabytes only these rows are ever touched
    v, w = (near.clone().requires_grad_() for _ in range(2))
    ours, same = kernels.fused_reparameterize(far, v, 9), kernels.fused_reparameterize(near, w, 9)
    assert torch.equal(ours, same)
    assert torch.equal(
        kernels.fused_reparameterize(near, far, 9), kernels.fused_reparameterize(near, near, 9)
    )


def test_the_noise_is_gaussian_and_backward_regenerates_it():
    mu = torch.zeros(100, 200, device=DEVICE)
    logvar = torch.zeros(100, 200, device=DEVICE, requires_grad=True)
    z = kernels.fused_reparameterize(mu, logvar, 7)
    z.sum().backward()
    e = z.detach().flatten().cpu()
    # with logvar 0, dz/dlogvar is e/2: exactly the e of the forward pass
    torch.testing.assert_close(2 * logvar.grad.flatten().cpu(), e, rtol=1e-5, atol=1e-6)
    # one fixed seed: it passes or it does not
    assert scipy.stats.kstest(e.numpy(), "norm").pvalue > 1e-3
    # neighbours are uncorrelated
    assert abs(float((e[1:] * e[:-1]).mean())) < 4 / math.sqrt(len(e))
    other = kernels.fused_reparameterize(mu, mu, 8).flatten().cpu()
    assert abs(float((e * other).mean())) < 4 / math.sqrt(len(e))  # so are two seeds


def test_without_a_seed_noise_is_new_each_time_and_follows_torchs_generator():
    mu = torch.zeros(3, 5, device=DEVICE)
    torch.manual_seed(3)
    first, second = kernels.fused_reparameterize(mu, mu), kernels.fused_reparameterize(mu, mu)
    torch.manual_seed(3)
    assert torch.equal(kernels.fused_reparameterize(mu, mu), first)
    assert not torch.equal(first, second)
    assert len(torch.cat([first, second]).unique()) == 30


# ---------------------------------------------------------------- gather and binarize


@pytest.mark.parametrize("shape", [(1, 1), (9, 28, 28), (5, 37), (4, 3, 5, 7), (2, 4200)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_batch_is_its_reference_bit_by_bit(shape, dtype):
    torch.manual_seed(1)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).to(DEVICE)
    for index in (
        torch.randint(shape[0], (3,)),
        torch.randperm(shape[0]).repeat(2)[::2],
        torch.tensor([0]),
    ):
        ours = kernels.gather_binarize(images, index.to(DEVICE), 99, dtype)
        assert kernels.ran["gather_binarize"].startswith("Triton")
        assert ours.dtype == dtype
        assert torch.equal(
            ours, kernels.gather_binarize_reference(images, index.to(DEVICE), 99, dtype)
        )


def test_pixels_are_drawn_with_their_grey_level():
    """Each of the 256 bytes 300 times; of 0 no pixel is inked, of 255 all are."""
    images = torch.arange(256, dtype=torch.uint8).repeat(12, 3).to(DEVICE)  # (12, 768)
    index = torch.arange(12, device=DEVICE)
    drawn = torch.stack(
        [kernels.gather_binarize(images, index, seed).view(-1, 256) for seed in range(8)]
    )
    drawn = drawn.flatten(0, 1).cpu()  # (288, 256)
    assert drawn.unique().tolist() == [0, 1]
    counts, p = drawn.sum(0), torch.arange(256) / 255
    assert counts[0] == 0
    assert counts[255] == len(drawn)
    z = (counts - len(drawn) * p)[1:-1] / (len(drawn) * p * (1 - p))[1:-1].sqrt()
    assert scipy.stats.chi2(254).cdf(float((z**2).sum())) < 0.999
    assert float(z.abs().max()) < 4.5
    # neighbours, and rows of different counters, are independent
    half = drawn[:, 64:192] - p[64:192]
    assert abs(float((half[:, 1:] * half[:, :-1]).mean())) < 4 * 0.25 / math.sqrt(half.numel())
    assert abs(float((half[1:] * half[:-1]).mean())) < 4 * 0.25 / math.sqrt(half.numel())


def test_each_batch_is_drawn_anew():
    images = torch.full((2, 40), 128, dtype=torch.uint8, device=DEVICE)
    index = torch.zeros(2, dtype=torch.int64, device=DEVICE)
    torch.manual_seed(0)
    one, two = kernels.gather_binarize(images, index), kernels.gather_binarize(images, index)
    assert not torch.equal(one, two)
    assert not torch.equal(one[0], one[1])  # the same image twice in a batch: two draws
    torch.manual_seed(0)
    assert torch.equal(kernels.gather_binarize(images, index), one)


# ---------------------------------------------------------------- the E-step


def mixture(n: int, d: int, k: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(n + d + k)
    x, means = 2 * torch.randn(n, d), 2 * torch.randn(k, d)
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    weights, variances = torch.rand(k) + 0.1, 0.5 + torch.rand(k, d)
    return [
        x.to(DEVICE, dtype),
        *(t.to(DEVICE, kind) for t in (weights / weights.sum(), means, variances)),
    ]


def exact_statistics(x: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
    x, *parameters = (t.double().cpu() for t in (x, *parameters))
    resp, log_px = em.e_step(x, *parameters, "diag")  # the textbook's, with the N×K matrix
    return torch.cat([resp.sum(0)[:, None], resp.T @ x, resp.T @ x**2], 1), log_px


@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 5, 3), (37, 5, 1), (50, 17, 33), (33, 40, 20)], ids=str
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_statistics_are_the_textbooks(size, dtype):
    if dtype == torch.float64 and DEVICE.type == "cuda":
        pytest.skip("float64 goes to the reference on a GPU, which a test below asserts")
    given = mixture(*size, dtype)
    found = kernels.mixture_statistics(*given)
    assert kernels.ran["mixture_statistics"].startswith("Triton")
    # bfloat16 x is rounded before either side sees it, and added in float32
    for ours, reference in zip(found, exact_statistics(*given), strict=True):
        close(ours, reference, torch.float32 if dtype == torch.bfloat16 else dtype)


def test_a_step_of_em_out_of_the_statistics():
    given = mixture(60, 4, 5, torch.float32)
    sums, _ = kernels.mixture_statistics(*given)
    x, *parameters = (t.double().cpu() for t in given)
    expected = em.m_step(x, em.e_step(x, *parameters, "diag")[0], "diag", 1e-3)
    for ours, reference in zip(fast_steps.parameters(sums, 4, "diag", 1e-3), expected, strict=True):
        close(ours, reference, torch.float32)


def test_far_points_and_empty_components_are_no_nan():
    x, weights, means, variances = mixture(20, 3, 18, torch.float32)
    x[0], x[1] = 300.0, -300.0  # log P(x) near −10⁵: exp of it is 0 in any precision
    weights[4] = 0
    weights[:16] = 0  # a whole tile of components without weight
    weights /= weights.sum()
    sums, log_px = kernels.mixture_statistics(x, weights, means, variances)
    assert log_px.isfinite().all()
    assert log_px.min() < -1e4
    expected = exact_statistics(x, weights, means, variances)
    close(log_px, expected[1], torch.float32)
    close(sums, expected[0], torch.float32)
    assert sums[:16].eq(0).all()


def test_points_whose_rows_lie_apart():
    x, *parameters = mixture(20, 6, 3, torch.float32)
    expected = exact_statistics(x, *parameters)
    for view in (torch.cat([x, x], 1)[:, :6], x.T.contiguous().T):
        assert not view.is_contiguous()
        for ours, reference in zip(
            kernels.mixture_statistics(view, *parameters), expected, strict=True
        ):
            close(ours, reference, torch.float32)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="memory of a GPU is measured on a GPU")
def test_the_matrix_of_responsibilities_is_never_there(monkeypatch):
    monkeypatch.setattr(e_step, "TILE", {"ROWS": 64, "COMPONENTS": 64, "DIMS": 32})
    n, d, k = 20_000, 50, 512
    given = mixture(n, d, k, torch.float32)
    assert (
        not kernels.mixture_statistics(given[0].double(), *(t.double() for t in given[1:]))
        .sums.isnan()
        .any()
    )
    assert kernels.ran["mixture_statistics"].startswith("PyTorch: no support for float64")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kernels.mixture_statistics(*given)
    assert torch.cuda.max_memory_allocated() - before < n * k * 4 / 10


# ---------------------------------------------------------------- the E-step with full covariances


def full_mixture(n: int, d: int, k: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(n + d + k)
    x, means = 2 * torch.randn(n, d), 2 * torch.randn(k, d)
    roots = torch.randn(k, d, d)
    factors = precision_factors(roots @ roots.mT / d + 0.5 * torch.eye(d), "full")
    weights = torch.rand(k) + 0.1
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    return [
        x.to(DEVICE, dtype),
        *(t.to(DEVICE, kind) for t in (weights / weights.sum(), means, factors)),
    ]


def textbook(x: Tensor, weights: Tensor, means: Tensor, factors: Tensor) -> tuple[Tensor, ...]:
    """Responsibilities, log P(x), statistics without log P(x): in float64, from covariances."""
    x, weights, means, factors = (t.double().cpu() for t in (x, weights, means, factors))
    resp, log_px = em.e_step(x, weights, means, torch.linalg.inv(factors @ factors.mT), "full")
    centred = x[:, None] - means  # (N, K, D)
    first = torch.einsum("nk,nki->ki", resp, centred)
    second = torch.einsum("nk,nki,nkj->kij", resp, centred, centred)
    return resp, log_px, (resp.sum(0), first, second)


FULL_SIZES = [
    (1, 1, 1),
    (37, 1, 4),
    (50, 2, 3),
    (50, 3, 6),
    (33, 4, 2),
    (33, 5, 1),
    (49, 5, 3),
    (40, 20, 5),
]


@pytest.mark.parametrize("size", FULL_SIZES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_full_statistics_are_the_textbooks(size, dtype):
    if dtype == torch.float64 and DEVICE.type == "cuda":
        pytest.skip("float64 goes to the reference on a GPU, which a test below asserts")
    given = full_mixture(*size, dtype)
    found = kernels.full_mixture_statistics(*given)
    assert kernels.ran["full_mixture_statistics"].startswith("Triton")
    _, log_px, sums = textbook(*given)
    # bfloat16 x is rounded before either side sees it, and added in float32
    precision = torch.float32 if dtype == torch.bfloat16 else dtype
    for ours, reference in zip(found, (*sums, log_px), strict=True):
        close(ours, reference, precision)
    assert float(found.log_likelihood) == pytest.approx(
        float(log_px.sum()), rel=TOLERANCE[precision]
    )
    by_reference = kernels.full_mixture_statistics_reference(*given)
    for ours, reference in zip(found, by_reference, strict=True):
        assert ours.dtype == reference.dtype
        close(ours, reference.double().cpu(), precision)


def test_the_reference_is_the_same_for_blocks_of_any_size(monkeypatch):
    given = full_mixture(50, 3, 6, torch.float64)
    whole = kernels.full_mixture_statistics_reference(*given)
    monkeypatch.setattr(full_e_step, "REFERENCE_NUMBERS", 7 * 3 * 6)  # seven rows at a time
    for ours, reference in zip(
        kernels.full_mixture_statistics_reference(*given), whole, strict=True
    ):
        close(ours, reference.cpu(), torch.float64)


def test_the_m_step_out_of_the_full_statistics_and_the_plain_sums():
    given = full_mixture(60, 4, 5, torch.float32)
    found = kernels.full_mixture_statistics(*given)
    x = given[0].double().cpu()
    resp, _, _ = textbook(*given)
    expected = em.m_step(x, resp, "full", 1e-3)
    for ours, reference in zip(found.parameters(given[2], 1e-3), expected, strict=True):
        close(ours, reference, torch.float32)
    # what the docstring says about sums of x itself
    close(found.first + found.counts[:, None] * given[2], resp.T @ x, torch.float32)


@pytest.mark.parametrize("far", [0.0, 1000.0])
def test_covariances_far_from_the_origin_keep_their_digits(far):
    """Σ x xᵀ of x near 1,000 is a million, of which float32 keeps 0.06: a tenth of a variance."""
    x, weights, means, factors = full_mixture(60, 3, 2, torch.float32)
    given = x + far, weights, means + far, factors
    expected = em.m_step(given[0].double().cpu(), textbook(*given)[0], "full")
    found = kernels.full_mixture_statistics(*given).parameters(given[2])
    close(found.covariances, expected.covariances, torch.float32)


def test_a_component_that_owns_nothing_has_sums_of_exactly_0():
    x, weights, means, factors = full_mixture(20, 3, 5, torch.float32)
    weights[1] = 0
    weights /= weights.sum()
    means[3] = 1000.0  # its densities lie 10⁵ nats below the others
    found = kernels.full_mixture_statistics(x, weights, means, factors)
    _, log_px, sums = textbook(x, weights, means, factors)
    for ours, reference in zip(found, (*sums, log_px), strict=True):
        close(ours, reference, torch.float32)
    for alone in (1, 3):
        assert found.counts[alone] == 0
        assert not found.first[alone].any()
        assert not found.second[alone].any()
    new = found.parameters(means, reg_covar=0.25)
    assert torch.equal(new.means[3], means[3])  # nothing pulls at it
    assert torch.equal(new.covariances[3].cpu(), 0.25 * torch.eye(3))
    assert all(part.isfinite().all() for part in new)


def test_densities_too_small_for_float32_are_still_compared():
    """Thirty standard deviations away e^−450 is 0 in float32, but the ratios are of order 1."""
    _, weights, _, _ = full_mixture(1, 5, 3, torch.float32)
    torch.manual_seed(0)
    means = (0.02 * torch.randn(3, 5)).to(DEVICE)
    factors = torch.eye(5).repeat(3, 1, 1).to(DEVICE)
    direction = torch.nn.functional.normalize(torch.randn(20, 5), dim=1)
    given = (30 * direction).to(DEVICE), weights, means, factors
    resp, log_px, sums = textbook(*given)
    assert log_px.float().exp().eq(0).all()
    assert 0.02 < float(resp.min()) < float(resp.max()) < 0.98
    found = kernels.full_mixture_statistics(*given)
    close(found.log_px, log_px, torch.float32)
    # 450 nats, and so ratios, are known to 24 bits: 3e-5 nats for each of a few roundings
    for ours, reference in zip(found[:3], sums, strict=True):
        torch.testing.assert_close(
            ours.double().cpu() / reference.norm(), reference / reference.norm(), rtol=0, atol=2e-4
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_em_by_the_full_statistics_is_scikit_learns(dtype):
    if dtype == torch.float64 and DEVICE.type == "cuda":
        pytest.skip("float64 goes to the reference on a GPU, which a test below asserts")
    x, weights, means, factors = full_mixture(90, 3, 3, dtype)
    start = {
        "weights_init": weights,
        "means_init": means,
        "precisions_init": factors.double() @ factors.double().mT,
    }
    start = {name: value.double().cpu().numpy() for name, value in start.items()}
    theirs = sklearn.mixture.GaussianMixture(3, reg_covar=1e-6, max_iter=4, tol=0, **start)
    with pytest.warns(ConvergenceWarning):  # four iterations are no convergence
        theirs.fit(x.double().cpu().numpy())
    for _ in range(4):
        found = kernels.full_mixture_statistics(x, weights, means, factors)
        weights, means, covariances = found.parameters(means, reg_covar=1e-6)
        factors = precision_factors(covariances, "full")
    assert float(found.log_likelihood) / len(x) == pytest.approx(
        theirs.lower_bound_, rel=TOLERANCE[dtype]
    )
    expected = theirs.weights_, theirs.means_, theirs.covariances_
    for ours, reference in zip((weights, means, covariances), expected, strict=True):
        close(ours, torch.from_numpy(reference), dtype)


def test_the_same_data_give_the_same_bits_and_nothing_is_written_beside_them():
    n, d, k = 40, 3, 2
    x, weights, means, factors = full_mixture(n, d, k, torch.float32)
    first, second = (kernels.full_mixture_statistics(x, weights, means, factors) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    given = x, means, factors, full_e_step._log_peak(weights, factors)
    settings = {"PRECISION": "ieee", "DIMS": 16, "KIND": backend.tl.float32, "ROWS": 16}
    numbers = 2 * k * (1 + d + d * d)  # two spans of two tiles, the last of which has no row
    log_px, sums = (torch.full((size + 64,), math.nan, device=DEVICE) for size in (n, numbers))
    lowest = full_e_step.LOWEST
    full_e_step._full_log_px_kernel[(3,)](*given, log_px, d, n, k, d, LOWEST=lowest, **settings)
    full_e_step._full_sums_kernel[(k, 2)](*given, log_px, sums, d, n, k, d, SPAN=32, **settings)
    for buffer in (log_px, sums):
        assert buffer[:-64].isfinite().all()
        assert buffer[-64:].isnan().all()
    assert torch.equal(log_px[:n], first.log_px)


def test_full_statistics_of_points_whose_rows_lie_apart():
    x, *parameters = full_mixture(20, 6, 3, torch.float32)
    expected = kernels.full_mixture_statistics(x, *parameters)
    for view in (torch.cat([x, x], 1)[:, :6], x.T.contiguous().T):
        assert not view.is_contiguous()
        for ours, same in zip(
            kernels.full_mixture_statistics(view, *parameters), expected, strict=True
        ):
            assert torch.equal(ours, same)


def test_more_dimensions_than_fit_go_to_the_reference():
    given = full_mixture(4, 33, 2, torch.float32)  # the tests' tiles reach to 32
    found = kernels.full_mixture_statistics(*given)
    assert (
        kernels.ran["full_mixture_statistics"] == "PyTorch: no support for more than 32 dimensions"
    )
    close(found.log_px, textbook(*given)[1], torch.float32)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="memory of a GPU is measured on a GPU")
def test_full_responsibilities_are_never_there(monkeypatch):
    monkeypatch.undo()  # the tiles and spans that a user gets
    n, d, k = 60_000, 20, 512
    given = full_mixture(n, d, k, torch.float32)
    assert (
        not kernels.full_mixture_statistics(
            given[0][:99].double(), *(t.double() for t in given[1:])
        )
        .first.isnan()
        .any()
    )
    assert kernels.ran["full_mixture_statistics"].startswith("PyTorch: no support for float64")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = kernels.full_mixture_statistics(*given)
    # four spans of 512 · 421 numbers are 3.4 MB, their sum and its parts 1.7 MB;
    # the matrix is 123 MB
    assert torch.cuda.max_memory_allocated() - before < n * k * 4 / 10
    for ours, reference in zip(
        found, kernels.full_mixture_statistics_reference(*given), strict=True
    ):
        close(ours, reference.double().cpu(), torch.float32)


# ---------------------------------------------------------------- the loss of a VAE


def test_the_fused_loss_is_the_models_own(monkeypatch):
    torch.manual_seed(0)
    model = vae.VAE((5, 7), 3, (16,)).to(DEVICE)
    x = torch.rand(6, 35, device=DEVICE).round()
    monkeypatch.setattr(
        vae, "reparameterize", lambda mu, logvar: kernels.reparameterize_reference(mu, logvar, seed)
    )
    gradients = []
    for beta in (1.0, torch.tensor(0.3, device=DEVICE)):
        torch.manual_seed(5)
        seed = kernels.new_seed(DEVICE)
        torch.manual_seed(5)
        ours, theirs = kernels.fused_loss(model, x, beta), model.loss(x, beta)
        assert ours.keys() == theirs.keys()
        for losses in (ours, theirs):
            model.zero_grad()
            losses["loss"].backward()
            gradients.append([p.grad.clone() for p in model.parameters()])
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5)
        for a, b in zip(*gradients[-2:], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_fused_loss_refuses_pixels_that_are_not_independent():
    model = AutoregressiveVAE((5, 7), 3, (16,)).to(DEVICE)
    with pytest.raises(ValueError, match="independent given z, not autoregressive"):
        kernels.fused_loss(model, torch.rand(6, 35, device=DEVICE).round())


# ---------------------------------------------------------------- recipes take the kernels

SMALL = Recipe(
    config={"latent": 3, "hidden": [16], "activation": "silu"},
    epochs=2,
    batch_size=16,
    lr=4e-3,
    cosine=True,
    warmup=0.5,
    mean_image=True,
)
BY_KERNELS = {
    "vae": (SMALL, "Batches and loss: kernels (Triton"),
    "conditional": (replace(SMALL, model=ConditionalVAE), "Batches and loss: kernels (Triton"),
    "autoregressive": (replace(SMALL, model=AutoregressiveVAE), "Batches: kernels (Triton"),
}


def some_digits() -> Digits:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (60, 6, 5), dtype=torch.uint8, generator=generator)
    return Digits(images.to(DEVICE), torch.arange(60, device=DEVICE) % 3, "a test")


def plain_ways(recipe: Recipe, model: nn.Module, device: torch.device) -> tuple:
    """What a CPU takes, but with pixels drawn by the kernels' random numbers."""

    def batch(data: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
        return (kernels.gather_binarize_reference(data[0], index), *(y[index] for y in data[1:]))

    return batch, model.loss, "plain"


def trained(recipe: Recipe) -> tuple[list[Tensor], dict[str, list[float]]]:
    # eight steps, the last of each epoch on 12 rows; no graph, whose sums may come in another order
    model, run = recipes.train(recipe, some_digits(), seed=1, graph=False, report_every=1)
    return list(model.parameters()), run.history


@pytest.mark.parametrize("name", BY_KERNELS)
def test_a_recipe_trains_by_the_kernels_as_by_the_plain_functions(name, monkeypatch, capsys):
    recipe, says = BY_KERNELS[name]
    kernels.ran.clear()
    weights, history = trained(recipe)
    assert capsys.readouterr().out.startswith(says)
    by = {name for name, words in kernels.ran.items() if words.startswith("Triton")}
    assert by == {"gather_binarize"} | (
        {"fused_elbo", "fused_reparameterize"} if "loss" in says else set()
    )

    monkeypatch.setattr(recipes, "ways", plain_ways)
    if "loss" in says:
        monkeypatch.setattr(vae, "reparameterize", kernels.reparameterize_reference)
    plain_weights, plain_history = trained(recipe)
    assert len(history["loss"]) == 8
    # float32 keeps 24 bits, 6e-8, and sums of tens to thousands of numbers come in another order
    for key in history:
        assert history[key] == pytest.approx(plain_history[key], rel=1e-5)
    # a step of Adam is up to lr = 4e-3: one gradient of another sign would be 400 times as far
    for ours, theirs in zip(weights, plain_weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


OTHERS = {
    "gaussian": Recipe(config={"latent": 2, "hidden": [8], "likelihood": "gaussian"}, epochs=1),
    "flower": Recipe(config={"latent": 2, "hidden": [8], "prior": "flower"}, epochs=1),
    "auto-encoder": Recipe(AutoEncoder, {"latent": 2, "hidden": [8]}, epochs=1),
    "gan": GANRecipe({"latent": 2, "hidden": [8], "network": "plain"}, epochs=1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_without_kernels_trains_by_the_plain_functions(name, capsys):
    recipe = replace(OTHERS[name], batch_size=30)
    kernels.ran.clear()
    _, run = recipes.train(recipe, some_digits(), graph=False)
    assert run.finished
    said = capsys.readouterr().out
    if name == "flower":  # its pixels are black or white too
        assert said.startswith("Batches: kernels (Triton")
        assert " Loss: plain PyTorch functions." in said
        assert set(kernels.ran) == {"gather_binarize"}
    else:
        assert said.startswith(
            "Batches and loss: plain PyTorch functions, because there are no kernels for this "
            "model."
        )
        assert not kernels.ran


def test_where_triton_fails_the_plain_functions_serve(capsys, monkeypatch):
    """A CUDA machine without a C compiler: Triton is there, and cannot make a kernel."""

    def fails(*_, **__):
        raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    monkeypatch.setattr(training, "gather_binarize", fails)
    _, run = recipes.train(SMALL, some_digits(), epochs=1, graph=False)
    assert run.finished
    said = (
        "Batches and loss: plain PyTorch functions, because Triton fails on this machine "
        "(RuntimeError"
    )
    assert capsys.readouterr().out.startswith(said)


def test_switched_off_kernels_are_not_wired(capsys):
    with kernels.switched_off():
        recipes.train(SMALL, some_digits(), epochs=1, graph=False)
    said = "Batches and loss: plain PyTorch functions (the kernels are switched off)."
    assert capsys.readouterr().out.startswith(said)


def test_inside_of_switched_off_no_kernel_runs():
    given = inputs(2, 37, 3, torch.float32)
    with kernels.switched_off():
        assert kernels.which(DEVICE) == "PyTorch: the kernels are switched off"
        reference = kernels.fused_elbo(*given)
        assert kernels.ran["fused_elbo"] == "PyTorch: the kernels are switched off"
    torch.testing.assert_close(kernels.fused_elbo(*given), reference, rtol=1e-5, atol=1e-6)
    assert kernels.ran["fused_elbo"].startswith("Triton")
    assert reparameterize.triton is kernels.triton is not None
