"""The plain references, which code runs where, and the kernels themselves (`kernel_cases.py`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.stats
import torch

from course_lib import kernels
from course_lib.data import binarize
from course_lib.kernels import backend
from course_lib.kernels.philox import MASK, as_seed, normal, philox, uniform
from course_lib.models.vae import VAE
from course_lib.probability.gaussians import kl_diag
from course_lib.probability.likelihoods import log_bernoulli

HERE = Path(__file__).parent
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
needs_triton = pytest.mark.skipif(kernels.triton is None, reason="Triton is not installed")


def python(*words: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=HERE.parent,
        env=inherited | environment,
        capture_output=True,
        text=True,
    )


ALL_BUT_A_FEW = 110  # cases: so that a whole group that is left out is noticed


def passed_cases(**environment: str) -> int:
    """How many cases of kernel_cases.py pass: all must, and the caller says how many there are."""
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = python("-m", "pytest", *options, str(HERE / "kernel_cases.py"), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    return int(passed[1])


@needs_triton
def test_kernels_agree_with_their_references_in_tritons_interpreter():
    assert passed_cases(TRITON_INTERPRET="1") > ALL_BUT_A_FEW


@needs_cuda
@needs_triton
def test_kernels_agree_with_their_references_on_the_gpu():
    # poisoned memory comes with deterministic algorithms, for which cuBLAS wants to be told so
    assert passed_cases(CUBLAS_WORKSPACE_CONFIG=":4096:8") > ALL_BUT_A_FEW


@needs_triton
def test_every_kernel_compiles_for_a_gpu_that_is_not_here(tmp_path):
    tools = Path(kernels.triton.__file__).parent / "backends" / "nvidia" / "bin"
    if not ((tools / "ptxas").is_file() and (tools / "cuobjdump").is_file()):
        pytest.skip("This Triton comes without NVIDIA's assembler, ptxas, and cuobjdump.")
    done = python(str(HERE / "compile_kernels.py"), TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["missing"] == []
    # a tile that does not fit into the registers is some kilobytes a thread; a few numbers may move
    for name in ("_full_log_px_kernel", "_full_sums_kernel"):
        stacks = [code["stack"] for code in found["compiled"][name]]
        assert len(stacks) == 3
        assert max(stacks) <= 256


# ---------------------------------------------------------------- which one runs


def test_on_a_cpu_the_references_serve_and_say_why():
    torch.manual_seed(0)
    model, x = VAE((4, 4), 2, (8,)), torch.rand(3, 16).round()
    kernels.ran.clear()
    kernels.fused_loss(model, x)["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    kernels.gather_binarize(torch.zeros(2, 4, 4, dtype=torch.uint8), torch.tensor([1]))
    kernels.mixture_statistics(x, torch.ones(1), torch.zeros(1, 16), torch.ones(1, 16))
    kernels.full_mixture_statistics(x, torch.ones(1), torch.zeros(1, 16), torch.eye(16)[None])
    names = {"fused_elbo", "fused_reparameterize", "gather_binarize", "mixture_statistics"}
    assert kernels.ran.keys() == names | {"full_mixture_statistics"}
    reason = "does not support tensors on cpu" if kernels.triton else "not installed"
    assert all(says.startswith("PyTorch: ") and reason in says for says in kernels.ran.values())


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # as on Windows and macOS: importing it raises ImportError
import torch
from course_lib import kernels
from course_lib.models.vae import VAE
assert kernels.triton is None
print(kernels.which("cpu"), "|", kernels.which("cuda"), "|", kernels.which("mps"))
torch.manual_seed(0)
model = VAE((4, 4), 2, (8,))
images = torch.randint(0, 256, (5, 4, 4), dtype=torch.uint8)
loss = kernels.fused_loss(model, kernels.gather_binarize(images, torch.tensor([3, 1])))["loss"]
loss.backward()
one, eye = torch.ones(1, 2), torch.eye(2)[None]
sums, log_px = kernels.mixture_statistics(torch.rand(5, 2), one[0, :1], one, one)
counts = kernels.full_mixture_statistics(torch.rand(5, 2), one[0, :1], one, eye).counts
print(float(loss.detach()), float(sums[0, 0]), float(counts), set(kernels.ran.values()))
"""


@pytest.mark.parametrize(
    "environment", [{}, {"TRITON_INTERPRET": "1"}], ids=["", "interpreter asked for"]
)
def test_without_triton_the_references_serve_by_themselves(environment):
    done = python("-W", "error", "-c", WITHOUT_TRITON, **environment)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == " | ".join(["PyTorch: Triton is not installed"] * 3)
    assert second.endswith(" 5.0 5.0 {'PyTorch: Triton is not installed'}")
    torch.manual_seed(0)  # the numbers are those that a machine with Triton gets
    model = VAE((4, 4), 2, (8,))
    images = torch.randint(0, 256, (5, 4, 4), dtype=torch.uint8)
    with kernels.switched_off():
        x = kernels.gather_binarize(images, torch.tensor([3, 1]))
        loss = kernels.fused_loss(model, x)["loss"]
    assert float(second.split()[0]) == pytest.approx(float(loss.detach()), rel=1e-6)


def test_words_for_what_runs(monkeypatch):
    monkeypatch.setattr(backend, "triton", object())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    monkeypatch.setattr(backend, "INTERPRETED", False)
    assert kernels.which("cuda") == "Triton on Some GPU"
    assert kernels.which("mps") == "PyTorch: Triton does not support tensors on mps"
    with kernels.switched_off():
        assert kernels.which("cuda") == "PyTorch: the kernels are switched off"
    assert kernels.which("cuda") == "Triton on Some GPU"
    monkeypatch.setattr(backend, "INTERPRETED", True)
    assert kernels.which("cpu") == "Triton's interpreter"
    assert backend.kernel_runs("a", torch.zeros(1))
    assert not backend.kernel_runs("a", torch.zeros(1), "a reason")
    assert kernels.ran.pop("a") == "PyTorch: a reason"


# ---------------------------------------------------------------- random numbers


def test_philox_gives_its_authors_numbers():
    """Random123's known answer for counter 0 and key 0."""
    found = [int(v) for v in philox(torch.tensor([0]), torch.tensor([0]))]
    assert found == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    # both halves of the seed and all 32 bits of the counter count
    seeds = [philox(torch.tensor([s]), torch.arange(4))[0].tolist() for s in (0, 1, 2**32, 2**61)]
    assert len({tuple(numbers) for numbers in seeds}) == 4
    assert len({int(philox(torch.tensor([5]), torch.tensor([2**k]))[0]) for k in range(32)}) == 32
    assert all(
        0 <= v.min() <= v.max() <= MASK for v in philox(torch.tensor([9]), torch.arange(999))
    )


def test_the_references_noise_is_uniform_and_normal():
    parts = torch.stack(uniform(torch.tensor([3]), torch.arange(20_000)))  # (4, n)
    assert parts.dtype == torch.float32
    assert 0 <= float(parts.min()) <= float(parts.max()) < 1
    for part in parts:
        # one seed: it passes or it does not
        assert scipy.stats.kstest(part.numpy(), "uniform").pvalue > 1e-3
    corner = torch.corrcoef(parts) - torch.eye(4)
    assert float(corner.abs().max()) < 4 / 20_000**0.5
    e = normal(torch.tensor([4]), torch.arange(20_000))
    assert scipy.stats.kstest(e.numpy(), "norm").pvalue > 1e-3


def test_seeds():
    torch.manual_seed(5)
    first, second = kernels.new_seed("cpu"), kernels.new_seed("cpu")
    assert first != second
    torch.manual_seed(5)
    assert as_seed(None, torch.device("cpu")) == first
    assert as_seed(7, torch.device("cpu")).tolist() == [7]
    for wrong in (1.5, torch.tensor([1, 2]), torch.tensor([True])):
        with pytest.raises(ValueError, match="A seed must be a single integer"):
            as_seed(wrong, torch.device("cpu"))


# ---------------------------------------------------------------- references are course functions


def test_the_references_are_what_the_course_computes():
    torch.manual_seed(0)
    logits, mu, logvar = torch.randn(4, 9), torch.randn(4, 2), torch.randn(4, 2)
    x = torch.rand(4, 9)
    terms = kernels.elbo_reference(logits, x, mu, logvar)
    assert torch.equal(terms.reconstruction, -log_bernoulli(logits, x))
    assert torch.equal(terms.kl, kl_diag(mu, logvar))
    bytes_ = torch.randint(0, 256, (4, 9), dtype=torch.uint8)
    grey = kernels.elbo_reference(logits, bytes_, mu, logvar).reconstruction
    torch.testing.assert_close(grey, -log_bernoulli(logits, bytes_ / 255))
    z = torch.stack([kernels.reparameterize_reference(mu, logvar, s) for s in range(2000)])
    # σ up to 3, 2,000 draws: 4 standard errors
    torch.testing.assert_close(z.mean(0), mu, rtol=0, atol=0.25)
    torch.testing.assert_close(z.std(0).log(), logvar / 2, rtol=0, atol=0.08)


def test_both_binarizations_draw_from_one_distribution():
    images = torch.arange(256, dtype=torch.uint8).repeat(300, 1)
    index = torch.arange(300)
    reference, ours = kernels.gather_binarize_reference(images, index, 0), binarize(images)
    for drawn in (reference, ours):
        p = torch.arange(256) / 255
        z = (drawn.sum(0) - 300 * p)[1:-1] / (300 * p * (1 - p))[1:-1].sqrt()
        assert scipy.stats.chi2(254).cdf(float((z**2).sum())) < 0.999
        assert (drawn[:, 0].max(), drawn[:, 255].min()) == (0, 1)


# ---------------------------------------------------------------- what cannot be

A, M, X8 = torch.zeros(2, 9), torch.zeros(2, 3), torch.zeros(2, 3, 3, dtype=torch.uint8)
W, V = torch.ones(1), torch.ones(1, 9)
U = torch.eye(9)[None]
full = kernels.full_mixture_statistics


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: kernels.fused_elbo(A, A[:1], M, M),
            r"both have shape \(N, D\), but got \(2, 9\) and \(1, 9\)",
        ),
        (lambda: kernels.fused_elbo(A[0], A[0], M, M), r"both have shape \(N, D\), but got \(9,\)"),
        (
            lambda: kernels.fused_elbo(A, A, M, M[:, :2]),
            r"both have shape \(N, d\) with N = 2, but got \(2, 3\)",
        ),
        (lambda: kernels.fused_elbo(A, A, M[:1], M[:1]), r"with N = 2, but got \(1, 3\)"),
        (lambda: kernels.fused_elbo(A[:0], A[:0], M[:0], M[:0]), "pass at least one"),
        (
            lambda: kernels.fused_elbo(A, A, M.double(), M.double()),
            "same floating-point dtype, but got torch.float32",
        ),
        (lambda: kernels.fused_elbo(A, A.long(), M, M), r"or bytes \(uint8\), but got torch.int64"),
        (lambda: kernels.fused_elbo(A, A.clone().requires_grad_(), M, M), "pass x.detach()"),
        (lambda: kernels.fused_elbo(A, A.to("meta"), M, M), "must be on the same device"),
        (
            lambda: kernels.fused_reparameterize(M, M[:1]),
            "same shape and the same floating-point dtype",
        ),
        (
            lambda: kernels.fused_reparameterize(M.long(), M.long()),
            "same shape and the same floating-point dtype",
        ),
        (lambda: kernels.fused_reparameterize(M, M.to("meta")), "must be on the same device"),
        (lambda: kernels.fused_reparameterize(M[:0], M[:0]), "1 to 2³¹ − 1 numbers, but got 0"),
        (lambda: kernels.fused_reparameterize(M, M, 0.5), "A seed must be a single integer"),
        (
            lambda: kernels.gather_binarize(X8, [0], 1),
            "must be torch tensors, but got Tensor and list",
        ),
        (
            lambda: kernels.gather_binarize([[0]], torch.tensor([0])),
            "must be torch tensors, but got list and Tensor",
        ),
        (
            lambda: kernels.gather_binarize(X8.float(), torch.tensor([0])),
            "contiguous tensor of bytes",
        ),
        (lambda: kernels.gather_binarize(X8.mT, torch.tensor([0])), "contiguous tensor of bytes"),
        (lambda: kernels.gather_binarize(X8, torch.tensor([0.5])), "index must be an int64 tensor"),
        (
            lambda: kernels.gather_binarize(X8, torch.tensor([], dtype=torch.int64)),
            "at least one row number",
        ),
        (
            lambda: kernels.gather_binarize(X8, torch.tensor([0, 2])),
            "from 0 to 1, but these range from 0 to 2",
        ),
        (lambda: kernels.gather_binarize(X8, torch.tensor([-1])), "from -1 to -1"),
        (
            lambda: kernels.gather_binarize(X8, torch.tensor([0]), dtype=torch.uint8),
            "must be a floating-point type",
        ),
        (lambda: kernels.mixture_statistics(A.long(), W, V, V), "non-empty floating-point tensor"),
        (
            lambda: kernels.mixture_statistics(A, W, V[:, :3], V),
            r"means and variances \(K, 9\), but got",
        ),
        (
            lambda: kernels.mixture_statistics(A, W.double(), V, V),
            "means and variances must be torch.float32",
        ),
        (lambda: kernels.mixture_statistics(A, W, V, -V), "variance is -1 and .* weight is 1"),
        (lambda: kernels.mixture_statistics(A, W, V, 0 * V), "Variances must be positive"),
        (
            lambda: kernels.mixture_statistics(A, W, V, V * torch.nan),
            "variance is nan and .* weight is 1",
        ),
        (lambda: kernels.mixture_statistics(A, -W, V, V), "variance is 1 and .* weight is -1"),
        (lambda: kernels.mixture_statistics(A, W, V, V.to("meta")), "must be on the same device"),
        (lambda: full(A.long(), W, V, U), "non-empty floating-point tensor"),
        (
            lambda: full(A, W, V, U[:, :3]),
            r"and factors \(K, 9, 9\), but got \(1,\), \(1, 9\) and \(1, 3, 9\)",
        ),
        (lambda: full(A, W[:0], V[:0], U[:0]), r"but got \(0,\), \(0, 9\) and \(0, 9, 9\)"),
        (lambda: full(A, W, V, U.double()), "means and factors must be torch.float32"),
        (lambda: full(A, W, V, U.to("meta")), "must be on the same device"),
        (lambda: full(A, W, V, -U), "entry is -1 and .* weight is 1"),
        (lambda: full(A, W, V, U * torch.nan), "entry is nan and .* weight is 1"),
        (lambda: full(A, -W, V, U), "entry is 1 and .* weight is -1"),
        (
            lambda: full(A, W, V, torch.ones_like(U).tril()),
            r"upper triangular, .* pass factors.mT\.",
        ),
        (
            lambda: kernels.fused_loss(VAE((3, 3), 2, (4,), likelihood="gaussian"), A),
            "not 'gaussian' and 'normal'",
        ),
        (
            lambda: kernels.fused_loss(VAE((3, 3), 2, (4,), prior="flower"), A),
            "not 'bernoulli' and 'flower'",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
