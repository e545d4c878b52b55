"""Pixel after pixel against every possible image: probabilities, what hears what, and draws."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from test_networks import BAD_IMAGES

from course_lib.models.autoregressive import Autoregressive, PixelAfterPixel
from course_lib.probability.likelihoods import log_bernoulli
from course_lib.training.checkpoints import load_model, save_model


def network(height, width, above=8, hidden=None, first=0, seed=0):
    """With weights as after a training: fresh ones add nothing to the logits."""
    torch.manual_seed(seed)
    net = Autoregressive((height, width), above, hidden or 3 * width, first)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) * (1.5 if p.ndim == 2 else 0.5))
    return net.double()


def every_image(pixels):
    return torch.tensor(
        list(product([0.0, 1.0], repeat=pixels))
    ).double()  # (2^D, D), the first pixel slowest


@pytest.mark.parametrize(
    ("height", "width", "above", "hidden", "first"),
    [(3, 3, 8, 7, 0), (3, 3, 1, 3, 5), (2, 4, 2, 9, 4), (9, 1, 2, 1, 2), (3, 3, 8, 6, 2)],
)
def test_the_probabilities_of_all_images_add_up_to_1(height, width, above, hidden, first):
    net, x = network(height, width, above, hidden, first), every_image(height * width)
    told = torch.randn(height, hidden).double().expand(len(x), -1, -1)
    for log_p in (net.log_prob(x), net.log_prob(x, told)):
        assert log_p.shape == (len(x),)
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-10)
        assert log_p.std() > 0.5  # far from "all images alike"
    single = net.float().log_prob(x.float())
    # the float32 of 9 logits
    assert single.double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_each_logit_is_the_conditional_probability():
    """P(x_i = 1 | x_1 … x_{i−1}) from the joint probabilities alone: sums of images that agree."""
    net, x = network(2, 3), every_image(6)
    p = net.log_prob(x).exp().view([2] * 6)  # one axis a pixel
    logits = net.logits(x).view([2] * 6 + [6])
    for i in range(6):
        upto = p.sum(tuple(range(i + 1, 6))) if i < 5 else p  # (2,) * (i + 1): P(x_1 … x_i)
        conditional = upto[..., 1] / upto.sum(-1)  # (2,) * i
        ours = torch.sigmoid(logits[..., i].flatten(i)[..., 0])
        torch.testing.assert_close(ours, conditional, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("above", "first"), [(1, 0), (2, 10), (8, 0), (8, 7)])
def test_a_pixel_hears_all_those_before_it_in_its_window_and_no_other(above, first):
    h, w = 4, 5
    net = network(h, w, above, hidden=4 * w, first=first)
    x = torch.rand(h * w).double()
    jacobian = torch.autograd.functional.jacobian(lambda v: net.logits(v[None])[0], x)  # (to, from)
    row, column = torch.arange(h * w) // w, torch.arange(h * w) % w
    rows_up = row[:, None] - row
    hears = (rows_up > 0) & (rows_up <= above) | (rows_up == 0) & (column[:, None] > column)
    assert torch.equal(jacobian != 0, hears)
    assert not jacobian.triu().any()


@pytest.mark.parametrize("seed", range(3))
def test_draws_are_as_frequent_as_they_are_probable(seed):
    net, x = network(2, 2, first=3, seed=seed), every_image(4)
    base, told = torch.randn(4).double(), torch.randn(2, 6).double()
    n = 5000
    mine = PixelAfterPixel(net, base, told)
    cases = [
        (net.log_prob(x), net.sample(n)),
        (log_bernoulli(net.logits(x) + base, x), net.sample(n, base.expand(n, -1))),
        (mine.log_prob(x), mine.sample((n,))),
    ]
    for log_p, draws in cases:
        assert log_p.exp().sum().item() == pytest.approx(1)
        index = (draws @ torch.tensor([8.0, 4, 2, 1]).double()).long()
        counts = torch.bincount(index, minlength=16).numpy()
        expected = n * log_p.exp().detach().numpy()
        rare = expected < 5  # the chi-square law wants cells with a few counts
        counts, expected = (np.append(c[~rare], c[rare].sum()) for c in (counts, expected))
        keep = expected > 0
        # nine tests: less than one in a thousand lists of seeds fails at this level
        assert stats.chisquare(counts[keep], expected[keep]).pvalue > 1e-4


def test_as_a_distribution_it_takes_many_codes():
    net = network(2, 3)
    base, told, x = (
        torch.randn(4, 5, 6).double(),
        torch.randn(4, 5, 2, 9).double(),
        torch.rand(5, 6).round().double(),
    )
    p = PixelAfterPixel(net, base, told)
    log_p = p.log_prob(x)
    assert log_p.shape == p.batch_shape == (4, 5)
    one = PixelAfterPixel(net, base[2, 3], told[2, 3])
    torch.testing.assert_close(log_p[2, 3], one.log_prob(x[3:4])[0])
    draws = p.sample((7,))
    assert draws.shape == (7, 4, 5, 6)
    assert one.sample().shape == (6,)
    assert p.support.check(draws).all()
    assert not p.support.check(draws + 0.5).any()
    torch.manual_seed(0)
    strong = (
        100.0 * torch.tensor([1, 1, -1, -1, 1, -1]).double()
    )  # louder than any neighbour: told apart by row
    drawn = PixelAfterPixel(
        net, torch.stack([strong, -strong]), torch.zeros(2, 1, 9).double()
    ).sample((3,))
    assert torch.equal(drawn, (torch.stack([strong, -strong]) > 0).double().expand(3, 2, 6))


def test_at_first_it_adds_nothing():
    net = Autoregressive((3, 3), hidden=6)
    assert not net.logits(torch.rand(4, 9).round()).any()
    assert net.log_prob(torch.ones(2, 9)).tolist() == pytest.approx([9 * math.log(0.5)] * 2)


def test_it_learns_what_independent_pixels_cannot():
    """Rows of one colour: the entropy is 3 bits; pixels on their own would need 9."""
    torch.manual_seed(0)
    net = Autoregressive((3, 3), hidden=12)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(300):
        x = torch.rand(64, 3, 1).round().expand(-1, -1, 3).flatten(1)
        optimizer.zero_grad()
        (-net.log_prob(x).mean()).backward()
        optimizer.step()
    every = (
        torch.tensor(list(product([0.0, 1.0], repeat=3)))[..., None].expand(-1, -1, 3).flatten(1)
    )
    nll = -net.log_prob(every).mean().item()
    assert 3 * math.log(2) <= nll < 3 * math.log(2) + 0.2


def test_a_saved_model_is_the_same_model(tmp_path):
    net, x = network(3, 3, above=2, hidden=5, first=4), every_image(9)[::50]
    save_model(net.float(), tmp_path / "net.safetensors")
    again = load_model(tmp_path / "net.safetensors")
    assert again.config == net.config
    assert torch.equal(again.log_prob(x.float()), net.log_prob(x.float()))


@pytest.mark.parametrize(("shape", "hidden"), [((3, 32, 32), 112), ((4, 4), 3), ((16,), 112)])
def test_networks_that_cannot_be(shape, hidden):
    with pytest.raises(
        ValueError, match=r"needs shape=\(H, W\) and at least one hidden unit per column, but got"
    ):
        Autoregressive(shape, hidden=hidden)


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images_that_cannot_be(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        Autoregressive((4, 4), hidden=4).log_prob(x)
