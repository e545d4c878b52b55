"""log P(x|z) of binary pixels against scipy, torch.distributions and every image that there is."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit
from torch.distributions import Bernoulli, Independent
from torch.nn.functional import binary_cross_entropy_with_logits

from course_lib.data import fixed_binarization
from course_lib.probability.likelihoods import Pixels, log_bernoulli, observed_pixels


def test_equals_scipy():
    torch.manual_seed(0)
    logits, x = 3 * torch.randn(50, 30).double(), torch.rand(50, 30).round().double()
    expected = stats.bernoulli.logpmf(x.numpy(), expit(logits.numpy())).sum(-1)
    # scipy gets probabilities, which near 1 keep fewer digits than logits:
    # 1e-16·e¹² for a logit of 12
    np.testing.assert_allclose(log_bernoulli(logits, x), expected, rtol=0, atol=1e-9)


def test_many_codes_for_each_image():
    torch.manual_seed(1)
    # (N, D)
    logits, x = torch.randn(4, 5, 9).double(), torch.rand(5, 9).round().double()  # (S, N, D)
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(x)
    torch.testing.assert_close(log_bernoulli(logits, x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(Pixels(logits).log_prob(x), expected, rtol=0, atol=1e-12)
    assert Pixels(logits).log_prob(x).shape == (4, 5)


def test_all_images_together_have_probability_1():
    torch.manual_seed(2)
    every = torch.tensor(list(product([0.0, 1.0], repeat=9))).double()
    total = log_bernoulli(3 * torch.randn(9).double(), every).logsumexp(0).exp()
    assert total.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_extreme_logits_stay_finite(size):
    logits = torch.tensor([size, -size], requires_grad=True)
    right, wrong = (
        log_bernoulli(logits, torch.tensor([1.0, 0.0])),
        log_bernoulli(logits, torch.tensor([0.0, 1.0])),
    )
    assert right.item() == 0  # in float32; the truth is −2·log(1 + e⁻³⁰) or nearer to 0
    assert wrong.item() == pytest.approx(-2 * size)
    (right + wrong).backward()
    assert logits.grad.isfinite().all()


def test_of_grey_pixels_it_is_the_cross_entropy():
    torch.manual_seed(3)
    logits, x = torch.randn(6, 12).double(), torch.rand(6, 12).double()
    expected = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(log_bernoulli(logits, x), expected, rtol=0, atol=1e-12)


def test_pixels_are_a_distribution():
    torch.manual_seed(4)
    logits = torch.randn(2, 6)
    p = Pixels(logits)
    assert (p.batch_shape, p.event_shape) == ((2,), (6,))
    torch.testing.assert_close(p.mean, torch.sigmoid(logits))
    draws = p.sample((4000,))  # (4000, 2, 6)
    assert draws.unique().tolist() == [0, 1]
    z = (draws.mean(0) - p.mean) / (p.variance / 4000).sqrt()
    assert z.abs().max() < 4.5  # 12 frequencies: one in 12,000 seeds is further out
    assert p.support.check(draws).all()
    assert not p.support.check(torch.full((2, 6), 0.5)).any()


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1.2e-7), (torch.float64, 2.3e-16)])
def test_one_pixel_is_right_to_the_last_digits(dtype, within):
    logits = torch.linspace(-120, 120, 4801, dtype=dtype)
    for x in (0.0, 1.0, 0.3):
        expected = x * logits.double().numpy() - np.logaddexp(0, logits.double().numpy())
        found = (
            log_bernoulli(logits[:, None], torch.full((4801, 1), x, dtype=dtype)).double().numpy()
        )
        # half a unit in the last place of log max(p, 1 − p), which is at most log 2,
        # and of each other term
        assert (
            np.abs(found - expected) <= 2 * within * (1 + np.abs(logits.double().numpy()))
        ).all()


@pytest.mark.parametrize("shapes", [((4, 7), (4, 7)), ((3, 4, 7), (4, 7)), ((7,), (4, 7))])
def test_gradients_by_finite_differences(shapes):
    torch.manual_seed(5)
    logits, x = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    assert torch.autograd.gradcheck(log_bernoulli, (3 * logits, x))
    assert torch.autograd.gradgradcheck(log_bernoulli, (3 * logits, x))


def test_pixels_may_be_of_another_kind():
    logits = torch.randn(3, 5, requires_grad=True)
    for x in (
        torch.rand(3, 5) > 0.5,
        torch.ones(3, 5, dtype=torch.uint8),
        torch.rand(3, 5).double(),
    ):
        found = log_bernoulli(logits, x)
        assert found.dtype == torch.result_type(logits, x)
        torch.testing.assert_close(
            found, log_bernoulli(logits.double(), x.double()), check_dtype=False
        )
        found.sum().backward()


def test_a_logit_that_is_no_number_stays_one():
    logits, one = torch.tensor([[torch.nan], [-torch.inf]]), torch.tensor([0.0])
    assert log_bernoulli(logits[0], one).isnan()
    assert log_bernoulli(torch.tensor([-1e30]), one) == 0


def test_bytes_are_no_pixels_yet():
    logits = torch.zeros(2, 3)
    for x in (
        torch.tensor([[0, 128, 255]] * 2).byte(),
        torch.tensor([[0, 2, 1]] * 2),
        -torch.ones(2, 3).int(),
    ):
        with pytest.raises(
            ValueError, match=r"Pixels must be in \[0, 1\], but got torch.u?int.* from .* Use"
        ):
            log_bernoulli(logits, x)
        with pytest.raises(ValueError, match=r"Pixels must be in \[0, 1\]"):
            Pixels(logits).log_prob(x)
    assert log_bernoulli(torch.zeros(0, 3), torch.zeros(0, 3).byte()).shape == (0,)


def test_observed_pixels_are_what_the_likelihood_speaks_of():
    images = torch.arange(256, dtype=torch.uint8).repeat(500, 1)  # (500, 256)
    assert torch.equal(observed_pixels(images, "gaussian"), images.float() / 255)
    assert torch.equal(observed_pixels(images, "gaussian", fixed=True), images.float() / 255)
    for likelihood in ("bernoulli", "autoregressive"):
        torch.manual_seed(0)
        drawn = observed_pixels(images, likelihood)
        assert drawn.unique().tolist() == [0, 1]
        # a frequency of 500 draws has a standard error of 0.022 at most, and there are 256
        assert (drawn.mean(0) - images[0] / 255).abs().max() < 4.5 * 0.0224
        assert not torch.equal(drawn, observed_pixels(images, likelihood))
        assert torch.equal(
            observed_pixels(images, likelihood, fixed=True), fixed_binarization(images)
        )
    for likelihood in ("gaussian", "bernoulli"):
        with pytest.raises(
            ValueError, match=r"images must be bytes \(uint8\), .*, but got torch.float32"
        ):
            observed_pixels(images / 255, likelihood)
