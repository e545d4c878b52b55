"""The yardsticks against closed forms, scipy, scikit-learn and quadrature."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from scipy.spatial.distance import pdist
from torch import Tensor, nn
from torch.distributions import Cauchy, Independent, Laplace, MultivariateNormal, Normal

from course_lib.evaluation.likelihood import (
    Estimate,
    active_units,
    aggregate_posterior,
    elbo,
    elbo_surgery,
    kl_per_dimension,
    linear_probe,
    nll,
    within_class_diversity,
)
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.gan import GAN
from course_lib.models.vae import VAE

D, LATENT, VARIANCE = 6, 2, 0.4
STANDARD = Independent(Normal(torch.zeros(LATENT), 1.0), 1)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Linear(nn.Module):
    """x = W z + b + noise, with a q(z|x) that is right about the mean and wrong about the spread.

    log P(x) and the posterior come from conditioning the joint Gaussian, with numpy and scipy only.
    """

    def __init__(self, labels: Tensor | None = None, stretch: float = 1.2) -> None:
        super().__init__()
        self.prior = STANDARD
        rng = np.random.default_rng(0)
        self.W, self.b = 0.6 * rng.standard_normal((D, LATENT)), rng.standard_normal(D)
        self.labels = labels  # a label moves x by 3 in every direction: confused rows are far off
        self.covariance = self.W @ self.W.T + VARIANCE * np.eye(D)
        gain = np.linalg.solve(self.covariance, self.W)  # (D, d)
        self.gain, self.posterior_covariance = gain, np.eye(LATENT) - gain.T @ self.W
        self.std = stretch * torch.tensor(np.diag(self.posterior_covariance)).sqrt().float()
        self.seen_training: set[bool] = set()

    def shift(self) -> Tensor | float:
        return 0.0 if self.labels is None else 3.0 * self.labels[:, None]

    def given(self, y: Tensor) -> Linear:
        part = Linear(y)
        part.seen_training = self.seen_training
        return part

    def likelihood(self, z: Tensor) -> Independent:
        self.seen_training.add(self.training)
        mean = z @ torch.tensor(self.W.T).float() + torch.tensor(self.b).float() + self.shift()
        return Independent(Normal(mean, math.sqrt(VARIANCE)), 1)

    def approximate_posterior(self, x: Tensor) -> Independent:
        mean = (x - torch.tensor(self.b).float() - self.shift()) @ torch.tensor(self.gain).float()
        return Independent(Normal(mean, self.std.expand(mean.shape)), 1)

    def draw(self, n: int) -> Tensor:
        return torch.tensor(
            np.random.default_rng(1).multivariate_normal(self.b, self.covariance, n)
        ).float()

    def log_px(self, x: Tensor) -> np.ndarray:
        return stats.multivariate_normal.logpdf(x.double().numpy(), self.b, self.covariance)

    def gap(self) -> float:
        """KL(q ‖ posterior), the same for every x, because the means agree."""
        spread = np.diag(self.std.double().numpy() ** 2)
        inverse = np.linalg.inv(self.posterior_covariance)
        log_det = np.linalg.slogdet(self.posterior_covariance)[1] - np.linalg.slogdet(spread)[1]
        return 0.5 * (np.trace(inverse @ spread) - LATENT + log_det)


# ---- NLL ----


def test_the_nll_of_a_linear_gaussian_vae_is_the_exact_one():
    model, seeds = Linear(), range(8)
    x = model.draw(20)
    runs = [nll(model, x, seed=seed, progress=False) for seed in seeds]
    exact = {5000: -model.log_px(x).mean(), 1: -model.log_px(x).mean() + model.gap()}
    assert model.gap() > 0.05  # else k=1 and k=5000 could not be told apart
    for k, truth in exact.items():
        values = np.array([run[k].mean for run in runs])
        # The spread over seeds is the Monte Carlo error of one run, for the images stay the same:
        # each run within 3 of those, their mean within 3 of its own. The bias at k=5000 is far
        # below them.
        error = values.std(ddof=1)
        assert error < 0.01
        assert np.abs(values - truth).max() < 3 * error
        assert abs(values.mean() - truth) < 3 * error / math.sqrt(len(seeds))


def test_the_bound_at_k_50_is_that_of_a_plain_numpy_program():
    model = Linear()
    x, rng = model.draw(5), np.random.default_rng(3)
    q = model.approximate_posterior(x)
    z = rng.normal(q.mean.numpy(), q.stddev.numpy(), (400, 50, 5, LATENT))  # 400 groups of 50
    log_w = (
        stats.norm.logpdf(x.numpy(), z @ model.W.T + model.b, math.sqrt(VARIANCE)).sum(-1)
        + stats.norm.logpdf(z).sum(-1)
        - stats.norm.logpdf(z, q.mean.numpy(), q.stddev.numpy()).sum(-1)
    )
    groups = special.logsumexp(log_w, axis=1) - math.log(50)  # (400, 5)
    ours = nll(model, x, ks=(50, 20_000), progress=False)
    error = groups.std(0, ddof=1) / math.sqrt(400)
    # two estimates of 400 groups each: √2 standard errors, times four
    assert (np.abs(-groups.mean(0) - ours.per_image[0].numpy()) < 4 * math.sqrt(2) * error).all()


def test_larger_k_is_a_tighter_bound_and_the_truth_lies_below_all():
    model = Linear(stretch=2.5)
    x = model.draw(30)
    result = nll(model, x, ks=(5000, 1, 5, 50), progress=False)
    assert result.ks == (1, 5, 50, 5000)
    means = [result[k].mean for k in result.ks]
    assert means == sorted(means, reverse=True)
    gaps = np.array(means) + model.log_px(x).mean()
    # spread 1 a draw, over 30 · 5000 draws: 0.003
    assert gaps[0] == pytest.approx(model.gap(), abs=0.05)
    assert gaps[0] > 5 * gaps[1] / 4 > 5 * gaps[2] / 4 > 0
    assert abs(gaps[3]) < 0.02


def test_with_the_true_posterior_every_k_is_exact_and_leftover_draws_do_not_matter():
    model = Linear()
    x = model.draw(7)
    exact = model.approximate_posterior
    spread = torch.tensor(model.posterior_covariance).float()
    model.approximate_posterior = lambda x: MultivariateNormal(exact(x).mean, spread)
    # 7 draws are 2 groups of 3, and one
    result = nll(model, x, ks=(2, 3, 7), rows_at_once=3, progress=False)
    expected = torch.tensor(-model.log_px(x)).float().expand(3, 7)
    torch.testing.assert_close(result.per_image, expected, rtol=0, atol=2e-5)  # float32


def test_groups_are_cut_from_the_same_draws():
    model = Linear()
    x = model.draw(4)
    all_ks = nll(model, x, ks=(1, 2, 4), rows_at_once=4, progress=False).per_image
    q = model.approximate_posterior(x[:1])
    torch.manual_seed(0)
    q.rsample()  # the look at the likelihood's support takes one
    z = q.rsample((4,))
    log_joint = model.likelihood(z).log_prob(x[:1]) + model.prior.log_prob(z)
    log_w = (log_joint - q.log_prob(z))[:, 0].numpy()
    w = np.exp(log_w.astype(float))
    expected = [
        np.log(w).mean(),
        (np.log(w[:2].mean()) + np.log(w[2:].mean())) / 2,
        np.log(w.mean()),
    ]
    np.testing.assert_allclose(-all_ks[:, 0], expected, rtol=1e-5)  # float32


def test_the_standard_error_is_over_images():
    model = Linear()
    result = nll(model, model.draw(50), ks=(1, 20), progress=False)
    for i, k in enumerate(result.ks):
        values = result.per_image[i].numpy()
        assert result[k].mean == pytest.approx(values.mean(), rel=1e-6)
        assert result[k].se == pytest.approx(stats.sem(values), rel=1e-5)
    lines = repr(result).splitlines()
    assert lines[0].startswith("NLL, nats per image, 50 images in")
    assert lines[2] == f"  k = 20    {result[20].mean:.2f} ± {result[20].se:.2f}"
    assert repr(Estimate(1.234, 0.056)) == "1.23 ± 0.06"


@pytest.mark.parametrize("rows", [None, 100, 1000, 10_000])
def test_how_many_rows_at_once_does_not_matter(rows):
    model = Linear()
    x = model.draw(13)
    value = nll(model, x, ks=(500,), rows_at_once=rows, progress=False)[500].mean
    # relative spread of a weight about 0.5: 0.5 / √(500 · 13) = 0.006
    assert value == pytest.approx(-model.log_px(x).mean(), abs=4 * 0.006)


def test_every_image_gets_its_own_label():
    model, y = Linear(), torch.arange(13) % 5
    x = model.draw(13) + 3.0 * y[:, None]
    exact = -model.log_px(x - 3.0 * y[:, None]).mean()
    for rows in (100, 400, 10_000):  # 1, 4 and 13 images at a time
        result = nll(model, x, ks=(1, 500), y=y, rows_at_once=rows, progress=False)
        assert result[500].mean == pytest.approx(exact, abs=4 * 0.006)
    bound = elbo(model, x, samples=500, y=y)
    assert float(bound.elbo) == pytest.approx(-exact - model.gap(), abs=4 * 0.01)
    right, wrong = (float(kl_per_dimension(model, x, y=labels).sum()) for labels in (y, y.flip(0)))
    assert right == pytest.approx(float(bound.kl), rel=1e-5)
    assert abs(wrong - right) > 0.1


def test_measuring_leaves_no_trace(capsys):
    model = Linear().train()
    x = model.draw(6)
    before = torch.get_rng_state()
    first, again = (nll(model, x, ks=(1, 5), seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.per_image, again.per_image)
    assert not torch.equal(first.per_image, nll(model, x, ks=(1, 5), seed=4).per_image)
    assert model.seen_training == {False}  # it was measured in evaluation mode
    assert model.training
    assert "NLL" in capsys.readouterr().out
    nll(model.eval(), x, ks=(2,), progress=False)
    assert not model.training
    assert capsys.readouterr().out == ""
    model.train()
    with pytest.raises(RuntimeError, match="must match the size"):
        nll(model, x[:, :2], ks=(2,), progress=False)
    assert model.training  # also after an error
    assert not first.per_image.requires_grad
    frozen = VAE((4, 4), 2, (8,))
    frozen.decoder.eval()  # a part of a model that trains may be frozen
    modes = [part.training for part in frozen.modules()]
    elbo(frozen, torch.ones(3, 16))
    assert [part.training for part in frozen.modules()] == modes


def test_grey_pixels_have_no_likelihood_under_a_bernoulli():
    vae = VAE(shape=(4, 4), latent=2, hidden=(8,))
    grey = torch.rand(5, 16)
    for measure in (nll, elbo):
        with pytest.raises(
            ValueError,
            match=r"outside the support of the likelihood. Use fixed_binarization\(images\)",
        ):
            measure(vae, grey)
    assert math.isfinite(nll(vae, grey.round(), ks=(2,), progress=False)[2].mean)
    gaussian = VAE(shape=(4, 4), latent=2, hidden=(8,), likelihood="gaussian")
    assert math.isfinite(nll(gaussian, grey, ks=(2,), progress=False)[2].mean)
    assert kl_per_dimension(vae, grey).shape == (2,)  # the encoder may look at grey ones


def test_a_density_at_black_and_white_pixels_is_warned_of():
    gaussian = VAE(shape=(4, 4), latent=2, hidden=(8,), likelihood="gaussian")
    grey = torch.rand(5, 16)
    for measure in (
        lambda x: nll(gaussian, x, ks=(2,), progress=False),
        lambda x: elbo(gaussian, x),
    ):
        with pytest.warns(
            UserWarning, match=r"are black or white, .* pass digits.pixels\(\)"
        ) as caught:
            measure(grey.round())
        assert caught[0].filename == __file__  # the line that asked for it
        measure(grey)
        measure(torch.zeros(5, 16))  # blank images may be grey ones


def test_labels_are_asked_for_and_only_where_there_are_any():
    model = ConditionalVAE(3, shape=(4, 4), latent=2, hidden=(8,))
    x, y = torch.rand(5, 16).round(), torch.tensor([0, 2, 1, 1, 0])
    measures = (
        lambda m, **labels: nll(m, x, ks=(2,), progress=False, **labels),
        lambda m, **labels: elbo(m, x, **labels),
        lambda m, **labels: kl_per_dimension(m, x, **labels),
        lambda m, **labels: active_units(m, x, **labels),
        lambda m, **labels: aggregate_posterior(m, x, **labels),
        lambda m, **labels: elbo_surgery(m, x, **labels),
    )
    plain = VAE(shape=(4, 4), latent=2, hidden=(8,))
    for measure in measures:
        measure(model, y=y)
        with pytest.raises(ValueError, match=r"ConditionalVAE requires labels. Pass y"):
            measure(model)
        with pytest.raises(
            ValueError, match="Only a conditional model takes labels y, but VAE is not conditional"
        ):
            measure(plain, y=y)
        for wrong, sentence in (
            (y.float(), "Labels must be integers"),
            (y + 1, "Labels must be from 0 to 2, but these range from 1 to 3"),
            (torch.eye(5).long()[:, :3], "Convert one-hot rows with .argmax"),
            (y[:3], "one label per image, but got 3 labels for 5 images"),
            (3, "Labels must be from 0 to 2"),
        ):
            with pytest.raises(ValueError, match=sentence):
                measure(model, y=wrong)
        with pytest.raises(
            ValueError, match=r"The model must have prior, .*, but AutoEncoder has no prior"
        ):
            measure(AutoEncoder((4, 4), 2, (8,)))
        with pytest.raises(ValueError, match="but GAN has no prior"):
            measure(GAN((4, 4), 2, (8,), network="plain"))
    one, same = (
        nll(model, x, ks=(2,), progress=False, y=label)[2] for label in (1, torch.ones(5).long())
    )
    assert one == same
    assert (
        nll(model, x, ks=(2,), progress=False, y=y.tolist())[2]
        == nll(model, x, 2, progress=False, y=y)[2]
    )


def test_a_likelihood_may_keep_its_support_to_itself():
    class Silent(Independent):
        @property
        def support(self):
            raise NotImplementedError

    model = Linear()
    x, plain = model.draw(5), model.likelihood
    expected = nll(model, x, ks=(3,), progress=False)[3]
    model.likelihood = lambda z: Silent(plain(z).base_dist, 1)
    assert nll(model, x, ks=(3,), progress=False)[3] == expected


def test_what_cannot_be_measured_is_named():
    model = Linear()
    x = model.draw(4)
    for ks in ((), (0, 5), (2.5,), 2.5, True, ("5",)):
        with pytest.raises(
            ValueError,
            match="ks must be a positive integer or a non-empty sequence of positive integers",
        ):
            nll(model, x, ks=ks)
    for wrong in (x[:0], x[:1], x[0], x.to(torch.uint8)):
        for measure in (
            nll,
            elbo,
            kl_per_dimension,
            active_units,
            aggregate_posterior,
            elbo_surgery,
        ):
            with pytest.raises(
                ValueError,
                match=r"x must be a floating-point tensor of shape \(N, D\) with at least two rows",
            ):
                measure(model, wrong)
    for measure in (nll, elbo, kl_per_dimension, active_units, aggregate_posterior, elbo_surgery):
        with pytest.raises(ValueError, match="Expected a torch tensor, but got ndarray"):
            measure(model, x.numpy())
    with pytest.raises(ValueError, match="one label per image, but got 3 labels for 4 images"):
        nll(model, x, y=torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"No bound was computed for k = 50. Choose k from 1, 5"):
        nll(model, x, ks=(1, 5), progress=False)[50]
    assert nll(model, x, np.int64(5), progress=False)[5].mean > 0
    # one k is as good
    assert nll(model, x, 5, progress=False)[5] == nll(model, x, (5,), progress=False)[5]
    with pytest.raises(ValueError, match="Expected a torch tensor, but got ndarray"):
        linear_probe(x, x[:, 0], x.numpy(), x[:, 0])
    with pytest.raises(ValueError, match="at least 2 samples, but got 1"):
        elbo_surgery(model, x, samples=1)


# ---- the bound's parts, and the code's dimensions ----


def test_the_elbo_and_its_parts():
    model = Linear()
    x = model.draw(250)  # not a multiple of the 100 at a time
    bound = elbo(model, x, samples=400)
    each = model.log_px(x) - model.gap()
    # a draw of log P(x|z) varies by about √2: over 100,000 draws by 0.005
    assert float(bound.elbo) == pytest.approx(each.mean(), abs=4 * 0.005)
    mu, std = (t.double().numpy() for t in (model.approximate_posterior(x).mean, model.std))
    kl = (0.5 * (std**2 + mu**2 - 1) - np.log(std)).sum(1)
    assert float(bound.kl) == pytest.approx(kl.mean(), rel=1e-5)
    assert float(bound.reconstruction) == pytest.approx((each + kl).mean(), abs=4 * 0.005)
    # Monte Carlo adds √(2 / 400) = 0.07 to each image's spread of about 2
    assert float(bound.se) == pytest.approx(stats.sem(each), rel=0.02)


def code(q, prior=STANDARD):
    """A model of which only the code is looked at."""
    pick = (lambda part: lambda x: part(x[:, 0].long()))(q)  # x holds row numbers
    return SimpleNamespace(
        prior=prior, approximate_posterior=pick, likelihood=lambda z: Normal(z, 1.0)
    )


def rows(n: int) -> Tensor:
    return torch.arange(n)[:, None].float()


def test_kl_per_dimension_by_quadrature():
    n = 2
    mu, std = torch.randn(n, LATENT), torch.rand(n, LATENT) + 0.3
    for prior, pdf in (
        (STANDARD, [stats.norm(), stats.norm()]),
        (
            Independent(Normal(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 2.0])), 1),
            [stats.norm(1, 0.5), stats.norm(-1, 2)],
        ),
        (Independent(Laplace(torch.zeros(LATENT), 1.0), 1), [stats.laplace(), stats.laplace()]),
    ):
        expected = np.zeros(LATENT)
        for i in range(n):
            for j in range(LATENT):
                q = stats.norm(float(mu[i, j]), float(std[i, j]))
                expected[j] += integrate.quad(
                    lambda z, q=q, p=pdf[j]: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)),
                    -9,
                    9,
                    points=[0.0],
                )[0]
        model = code(lambda i: Independent(Normal(mu[i], std[i]), 1), prior)
        # float32
        np.testing.assert_allclose(kl_per_dimension(model, rows(n)), expected / n, rtol=1e-5)


def test_a_kl_that_has_no_dimensions_is_refused():
    full = code(lambda i: MultivariateNormal(torch.zeros(len(i), LATENT), torch.eye(LATENT)))
    with pytest.raises(ValueError, match=r"both q and the prior are Independent\(…, 1\)"):
        kl_per_dimension(full, rows(3))
    cauchy = Independent(Cauchy(torch.zeros(LATENT), 1.0), 1)
    with pytest.raises(NotImplementedError):
        kl_per_dimension(
            code(lambda i: Independent(Normal(torch.zeros(len(i), LATENT), 1.0), 1), cauchy),
            rows(3),
        )


def test_active_units_are_those_whose_mean_varies_by_more_than_the_threshold():
    n = 500
    mu = torch.randn(n, 4)
    # exact variances
    mu = (mu - mu.mean(0)) / mu.std(0) * torch.tensor([0.0, 0.0099, 0.0101, 2.0]).sqrt()
    mu += torch.tensor([50.0, 0, 0, 0])  # a mean far from 0 says nothing about x
    noisy = code(
        lambda i: Independent(Normal(mu[i], 3.0), 1), Independent(Normal(torch.zeros(4), 1.0), 1)
    )  # nor does a wide q
    assert active_units(noisy, rows(n)).tolist() == [False, False, True, True]
    assert active_units(noisy, rows(n), threshold=0.5).tolist() == [False, False, False, True]
    assert active_units(noisy, rows(n), threshold=0.005).tolist() == [False, True, True, True]


def test_active_units_are_counted_over_all_images_together():
    n = 2500  # three blocks of up to 1,000: inside each the mean stands still
    model = code(
        lambda i: Independent(Normal((i // 1000).float()[:, None], 1.0), 1),
        Independent(Normal(torch.zeros(1), 1.0), 1),
    )
    assert active_units(model, rows(n)).tolist() == [True]


# ---- the aggregate posterior ----


def test_the_aggregate_posterior_is_the_mean_of_the_posteriors():
    n = 5
    mu, std = torch.randn(n, LATENT), torch.rand(n, LATENT) + 0.3
    aggregate = aggregate_posterior(code(lambda i: Independent(Normal(mu[i], std[i]), 1)), rows(n))
    z = torch.randn(7, LATENT)
    each = stats.norm.logpdf(z[:, None].numpy(), mu.numpy(), std.numpy()).sum(-1)  # (7, N)
    np.testing.assert_allclose(
        aggregate.log_prob(z), special.logsumexp(each, axis=1) - math.log(n), rtol=1e-5
    )
    draws = aggregate.sample((20_000,))
    assert draws.shape == (20_000, LATENT)
    truth = torch.distributions.Normal(mu, std)
    variance = (truth.variance + mu**2).mean(0) - mu.mean(0) ** 2
    # standard error of a mean: √(variance / 20,000)
    assert bool(((draws.mean(0) - mu.mean(0)).abs() < 4 * (variance / 20_000).sqrt()).all())


def two_bumps(a: float, n: int = 2):
    """q(z|x) = N(±a, 1) by turns, prior N(0, 1): I by quadrature, mean KL = a²/2."""
    model = code(
        lambda i: Independent(Normal((a * (2.0 * (i % 2) - 1))[:, None], 1.0), 1),
        Independent(Normal(torch.zeros(1), 1.0), 1),
    )

    def mixture(z):
        return 0.5 * (stats.norm.pdf(z, a) + stats.norm.pdf(z, -a))

    entropy = integrate.quad(
        lambda z: -mixture(z) * math.log(mixture(z)), -a - 9, a + 9, points=[-a, 0, a]
    )[0]
    information = entropy - 0.5 * math.log(2 * math.pi * math.e)
    return (
        model,
        rows(n),
        {"kl": a**2 / 2, "information": information, "aggregate_kl": a**2 / 2 - information},
    )


@pytest.mark.parametrize("a", [0.3, 1.0, 2.5])
def test_surgery_by_quadrature_within_its_standard_errors(a):
    model, x, truth = two_bumps(a)
    runs = [elbo_surgery(model, x, samples=5000, seed=seed) for seed in range(40)]
    for name, value in truth.items():
        deviations = np.array([(run[name].mean - value) / run[name].se for run in runs])
        # 40 standard normal numbers: chance of any beyond 4 is 0.3 %; their mean is known to 1/√40,
        # their standard deviation to 1/√80 (and a little more, for the stated errors vary):
        # four of each
        assert np.abs(deviations).max() < 4
        assert abs(deviations.mean()) < 4 / math.sqrt(40)
        assert abs(deviations.std(ddof=1) - 1) < 4 / math.sqrt(80)
        if name != "kl":
            assert runs[0]["kl"].mean == pytest.approx(
                runs[0]["information"].mean + runs[0]["aggregate_kl"].mean, abs=1e-6
            )


def test_surgerys_error_is_that_of_the_draws_not_of_the_images():
    # one image codes to the prior, the other 3 away: their KLs, 0 and 4.5, differ without any noise
    model = code(
        lambda i: Independent(Normal(3.0 * i[:, None].float(), 1.0), 1),
        Independent(Normal(torch.zeros(1), 1.0), 1),
    )
    runs = [elbo_surgery(model, rows(2), samples=50, seed=seed) for seed in range(200)]
    for name in ("kl", "aggregate_kl"):
        spread = np.std([run[name].mean for run in runs], ddof=1)
        stated = np.sqrt(np.mean([run[name].se ** 2 for run in runs]))
        # a standard deviation from 200 repeats is known to 1/√400 = 5 %: four of those
        assert stated / spread == pytest.approx(1, abs=0.2)


def test_surgery_over_many_images_in_blocks():
    model, x, truth = two_bumps(1.5, n=1000)  # 1,000 · 1,000 · 2 numbers: two blocks
    surgery = elbo_surgery(model, x, samples=2)
    for name, value in truth.items():
        assert abs(surgery[name].mean - value) < 4 * surgery[name].se


def test_surgery_at_the_two_ends():
    n = 8
    apart = code(
        lambda i: Independent(Normal(100.0 * i[:, None].float(), 1.0), 1),
        Independent(Normal(torch.zeros(1), 100.0), 1),
    )
    told = elbo_surgery(apart, rows(n))
    # every z names its image
    assert told["information"].mean == pytest.approx(math.log(n), abs=1e-5)
    same = code(
        lambda i: Independent(Normal(torch.full((len(i), 1), 0.7), 1.0), 1),
        Independent(Normal(torch.zeros(1), 1.0), 1),
    )
    silent = elbo_surgery(same, rows(n), samples=5000)
    assert silent["information"].mean == pytest.approx(0, abs=1e-6)
    assert abs(silent["aggregate_kl"].mean - 0.7**2 / 2) < 4 * silent["aggregate_kl"].se


# ---- labels ----


def labelled(n: int, shift: float) -> tuple[Tensor, Tensor]:
    y = torch.randint(0, 2, (n,))
    z = torch.randn(n, 3)
    z[:, 1] += shift * (2 * y - 1)
    return z, y


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_the_probe_is_as_good_as_the_best_straight_cut(shift):
    (z, y), (z_test, y_test) = labelled(4000, shift), labelled(4000, shift)
    best = stats.norm.cdf(shift)  # two unit Gaussians ±shift apart, cut half way
    # 4,000 answers know an accuracy to √(¼ / 4000) = 0.008; a cut learnt from 4,000 loses less
    assert linear_probe(z, y, z_test, y_test) == pytest.approx(best, abs=4 * 0.008)


def test_the_probe_is_scored_on_digits_that_it_has_not_seen():
    z, y = (
        torch.randn(20, 30),
        torch.arange(20) % 2,
    )  # 20 points in 30 dimensions: any labels can be cut apart
    z_test, y_test = torch.randn(2000, 30), torch.arange(2000) % 2
    assert linear_probe(z, y, z_test, y_test) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2000))
    assert linear_probe(z, y, z, y) == 1


def test_the_probe_does_not_mind_scales_and_offsets():
    (z, y), (z_test, y_test) = labelled(1000, 1.0), labelled(1000, 1.0)
    scale, offset = torch.tensor([1e3, 1e-4, 1.0]), torch.tensor([5e3, 2e-4, -7.0])
    plain = linear_probe(z, y, z_test, y_test)
    moved = linear_probe(z * scale + offset, y, z_test * scale + offset, y_test)
    assert moved == pytest.approx(plain, abs=0.002)  # two answers in a thousand, for float32


@pytest.mark.parametrize("sizes", [(5, 5, 5), (2, 30, 7)])
def test_diversity_is_the_mean_over_pairs_and_then_over_classes(sizes):
    labels = torch.repeat_interleave(torch.tensor([4, 0, 9]), torch.tensor(sizes))
    images = torch.rand(len(labels), 20) * (1 + labels[:, None])
    order = torch.randperm(len(labels))
    images, labels = images[order], labels[order]
    expected = np.mean(
        [pdist(images[labels == c].numpy(), "sqeuclidean").mean() for c in (0, 4, 9)]
    )
    assert within_class_diversity(images, labels) == pytest.approx(expected, rel=1e-6)


def test_diversity_needs_labels_that_fit():
    x = torch.rand(6, 3)
    for labels in (torch.zeros(5), torch.zeros(6, 3), torch.tensor(0)):
        with pytest.raises(
            ValueError, match=r"Labels must have shape \(6,\), one label per image, but got \("
        ):
            within_class_diversity(x, labels)
    with pytest.raises(
        ValueError, match=r"floating-point numbers, not torch.uint8. Use digits.pixels\(\)"
    ):
        within_class_diversity(x.byte(), torch.zeros(6))


def test_diversity_needs_pairs():
    for n in (0, 1):
        with pytest.raises(ValueError, match="Each class must contain at least two images"):
            within_class_diversity(torch.rand(n, 4), torch.zeros(n))
