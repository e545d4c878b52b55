"""Chapter 03's checks: the reference solutions pass, and each typical wrong answer is named."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Laplace, Normal, kl_divergence

from course_lib import checks
from course_lib.gaussians import kl_diag


def reparameterize(mu, logvar):
    """Reference solution."""
    std = (0.5 * logvar).exp()  # (N, d)
    return mu + std * torch.randn_like(std)


def kl(mu, logvar):
    """Reference solution."""
    return 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(dim=1)


def vae_loss(x, x_hat, mu, logvar, variance):
    """Reference solution."""
    error = ((x - x_hat) ** 2).sum(dim=1) / (2 * variance)  # (N,)
    return (error + kl(mu, logvar)).mean()


def seeded(mu, logvar):
    torch.manual_seed(0)
    return reparameterize(mu, logvar)


def without_gradient(mu, logvar):
    with torch.no_grad():
        return reparameterize(mu, logvar)


def noise(mu, *shape):
    return torch.randn(*(shape or mu.shape))


REPARAMETERIZE = {
    "no noise is added": lambda mu, logvar: mu,
    "ordinary auto-encoder": lambda mu, logvar: mu + 0 * reparameterize(mu, logvar),
    "a second call repeats": seeded,
    "std is taken as variance": lambda mu, logvar: mu + logvar.exp() * noise(mu),
    "std is taken as variance:": lambda mu, logvar: Normal(mu, logvar.exp()).rsample(),
    "logvar itself multiplies": lambda mu, logvar: mu + logvar * noise(mu),
    "noise keeps scale 1": lambda mu, logvar: mu + noise(mu),
    "root is taken twice": lambda mu, logvar: mu + (logvar / 2).exp().sqrt() * noise(mu),
    "sign of logvar is turned": lambda mu, logvar: mu + (-logvar / 2).exp() * noise(mu),
    "mu is missing": lambda mu, logvar: (logvar / 2).exp() * noise(mu),
    "noise multiplies mu too": lambda mu, logvar: (mu + (logvar / 2).exp()) * noise(mu),
    "all rows get the same noise": lambda mu, logvar: mu + (logvar / 2).exp() * noise(mu, mu.shape[1]),
    "all rows get the same noise:": lambda mu, logvar: mu + (logvar / 2).exp() * noise(mu, 1),
    "one noise serves all dimensions": lambda mu, logvar: mu + (logvar / 2).exp() * noise(mu, len(mu), 1),
    "one noise serves all dimensions of": lambda mu, logvar: mu + logvar * noise(mu, len(mu), 1),
    "is not Gaussian": lambda mu, logvar: mu + (logvar / 2).exp() * torch.rand_like(mu),
    "`torch.rand` is uniform": lambda mu, logvar: (
        mu + (logvar / 2).exp() * math.sqrt(12) * (torch.rand_like(mu) - 0.5)
    ),
    "not Gaussian: use": lambda mu, logvar: (
        mu + (logvar / 2).exp() * Laplace(torch.zeros_like(mu), math.sqrt(0.5)).sample()
    ),
    "gradient to mu is cut": without_gradient,
    "gradient to mu is cut: no `detach`": lambda mu, logvar: torch.normal(mu, (logvar / 2).exp()),
    "gradient to mu is cut: no `detach`, ": lambda mu, logvar: Normal(mu, (logvar / 2).exp()).sample(),
    "gradient to mu is": lambda mu, logvar: mu.detach() + (logvar / 2).exp() * noise(mu),
    "gradient to logvar is cut": lambda mu, logvar: mu + (logvar / 2).exp().detach() * noise(mu),
    "gradient to logvar is": lambda mu, logvar: mu + (logvar.data / 2).exp() * noise(mu),
    "the slope of z in logvar: a wrong value": lambda mu, logvar: (
        mu + (logvar + logvar.detach()).div(4).exp() * noise(mu)
    ),
    "shape (3,), expected (20000, 3)": lambda mu, logvar: reparameterize(mu, logvar)[0],
    "shape (3, 20000)": lambda mu, logvar: reparameterize(mu, logvar).T,
    "shape (20000,)": lambda mu, logvar: reparameterize(mu, logvar).sum(1),
    "column 1 of z has mean 0.": lambda mu, logvar: mu + 1.2 * (logvar / 2).exp() * noise(mu),
    "expected -2.000 and 0.549": lambda mu, logvar: reparameterize(mu, logvar) + 0.1,
    "your z: NaN or infinity": lambda mu, logvar: mu + logvar.sqrt() * noise(mu),
    ": a tuple, but": lambda mu, logvar: (reparameterize(mu, logvar), mu),
}
KL = {
    "sign is turned": lambda mu, logvar: 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1),
    "½ is missing": lambda mu, logvar: (logvar.exp() + mu**2 - 1 - logvar).sum(1),
    "lecture's T": lambda mu, logvar: (logvar.exp() - (1 + logvar) + mu**2).sum(1),
    "averaged over dimensions": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).mean(1),
    "summed over the rows too": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(),
    "which axis": lambda mu, logvar: kl(mu, logvar).mean(),
    "which axis do": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 - logvar).sum(0),
    "read as log-std": lambda mu, logvar: 0.5 * ((2 * logvar).exp() + mu**2 - 1 - 2 * logvar).sum(1),
    "−logvar is missing": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1).sum(1),
    "−1 is missing": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - logvar).sum(1),
    "mu² is missing": lambda mu, logvar: 0.5 * (logvar.exp() - 1 - logvar).sum(1),
    "mu is not squared": lambda mu, logvar: 0.5 * (logvar.exp() + mu - 1 - logvar).sum(1),
    "absolute value of mu": lambda mu, logvar: 0.5 * (logvar.exp() + mu.abs() - 1 - logvar).sum(1),
    "never negative": lambda mu, logvar: 0.5 * (1 - logvar - mu**2 - logvar.exp()).sum(1),
    "a wrong value": lambda mu, logvar: 0.5 * (logvar.exp() + mu**2 - 1 + logvar).sum(1),
    "the axes are not": lambda mu, logvar: kl(mu, logvar)[:, None],
    ": a float, but": lambda mu, logvar: kl(mu, logvar).sum().item(),
}


def square(x, x_hat):
    return ((x - x_hat) ** 2).sum(1).mean()


LOSS = {
    "squared error is averaged over pixels": lambda x, x_hat, mu, logvar, v: (
        F.mse_loss(x_hat, x) / (2 * v) + kl(mu, logvar).mean()
    ),
    "averaged over pixels (`mse_loss`)": lambda x, x_hat, mu, logvar, v: (
        F.mse_loss(x_hat, x) + kl(mu, logvar).mean()
    ),
    "both parts are averaged": lambda x, x_hat, mu, logvar, v: (
        F.mse_loss(x_hat, x) / (2 * v) + 0.5 * (logvar.exp() + mu**2 - 1 - logvar).mean()
    ),
    "KL is averaged over dimensions": lambda x, x_hat, mu, logvar, v: (
        square(x, x_hat) / (2 * v) + 0.5 * (logvar.exp() + mu**2 - 1 - logvar).mean()
    ),
    "½ of the squared error": lambda x, x_hat, mu, logvar, v: square(x, x_hat) / v + kl(mu, logvar).mean(),
    "½ of the KL": lambda x, x_hat, mu, logvar, v: square(x, x_hat) / (2 * v) + 2 * kl(mu, logvar).mean(),
    "variance is taken as std": lambda x, x_hat, mu, logvar, v: vae_loss(x, x_hat, mu, logvar, v**2),
    "multiplied by the variance": lambda x, x_hat, mu, logvar, v: vae_loss(x, x_hat, mu, logvar, 1 / v),
    "variance is ignored": lambda x, x_hat, mu, logvar, v: vae_loss(x, x_hat, mu, logvar, 1),
    "is not divided by": lambda x, x_hat, mu, logvar, v: square(x, x_hat) + kl(mu, logvar).mean(),
    "KL is subtracted": lambda x, x_hat, mu, logvar, v: square(x, x_hat) / (2 * v) - kl(mu, logvar).mean(),
    "KL is missing": lambda x, x_hat, mu, logvar, v: square(x, x_hat) / (2 * v),
    "sign is turned": lambda *given: -vae_loss(*given),
    "summed over images": lambda x, *given: len(x) * vae_loss(x, *given),
    "average over images is missing": lambda x, x_hat, mu, logvar, v: (
        ((x - x_hat) ** 2).sum(1) / (2 * v) + kl(mu, logvar)
    ),
    "constant D/2": lambda x, x_hat, mu, logvar, v: (
        kl(mu, logvar) - Normal(x_hat, v.sqrt()).log_prob(x).sum(1)
    ).mean(),
    "logvar is taken for the log of the std": lambda x, x_hat, mu, logvar, v: vae_loss(
        x, x_hat, mu, 2 * logvar, v
    ),
    "the KL is summed over images": lambda x, x_hat, mu, logvar, v: (
        vae_loss(x, x_hat, mu, logvar, v) + (len(x) - 1) * kl(mu, logvar).mean()
    ),
    "squared error is summed over images": lambda x, x_hat, mu, logvar, v: (
        torch.nn.functional.mse_loss(x_hat, x, reduction="sum") / (2 * v) + kl(mu, logvar).mean()
    ),
    "a wrong value": lambda x, x_hat, mu, logvar, v: vae_loss(x, x_hat, mu, logvar / 3, v),
    ": a float, but": lambda *given: vae_loss(*given).item(),
}


def with_torch_distributions(mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    return kl_divergence(q, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))


def loss_with_torch_distributions(x, x_hat, mu, logvar, variance):
    log_p = Normal(x_hat, variance.sqrt()).log_prob(x).sum(1)
    constant = x.shape[1] / 2 * torch.log(2 * torch.pi * variance)
    return (with_torch_distributions(mu, logvar) - log_p - constant).mean()


@pytest.mark.parametrize(
    ("check", "solution"),
    [
        (checks.reparameterize, reparameterize),
        (checks.reparameterize, lambda mu, logvar: Normal(mu, logvar.exp().sqrt()).rsample()),
        (checks.reparameterize, lambda mu, logvar: torch.addcmul(mu, (logvar / 2).exp(), noise(mu))),
        (checks.reparameterize, lambda mu, logvar: reparameterize(mu.double(), logvar.double())),
        (checks.kl, kl),
        (checks.kl, kl_diag),
        (checks.kl, with_torch_distributions),
        (checks.kl, lambda mu, logvar: kl(mu.double(), logvar.double())),
        (checks.vae_loss, vae_loss),
        (checks.vae_loss, loss_with_torch_distributions),
        (
            checks.vae_loss,
            lambda x, x_hat, mu, logvar, variance: (
                F.mse_loss(x_hat, x, reduction="sum") / (2 * variance * len(x)) + kl_diag(mu, logvar).mean()
            ),
        ),
    ],
)
def test_right_answers_pass(check, solution):
    assert check(solution).status == "correct"


@pytest.mark.parametrize(
    ("check", "words", "wrong"),
    [(checks.reparameterize, *pair) for pair in REPARAMETERIZE.items()]
    + [(checks.kl, *pair) for pair in KL.items()]
    + [(checks.vae_loss, *pair) for pair in LOSS.items()],
)
def test_wrong_answers_are_named(check, words, wrong):
    result = check(wrong)
    assert result.status == "mistake"
    assert words in result.message


def test_right_noise_is_never_refused():
    """Five standard errors: of 200 right samplers with other noise each, none is refused."""
    draw = torch.Generator().manual_seed(0)

    def other_noise(mu, logvar):
        return mu + (logvar / 2).exp() * torch.randn(mu.shape, generator=draw)

    assert {checks.reparameterize(other_noise).status for _ in range(200)} == {"correct"}


def test_the_same_answer_gets_the_same_line_each_time():
    torch.manual_seed(1)
    first = checks.reparameterize(REPARAMETERIZE["expected -2.000 and 0.549"]).message
    torch.manual_seed(2)
    assert checks.reparameterize(REPARAMETERIZE["expected -2.000 and 0.549"]).message == first


def test_the_notebooks_random_numbers_stay_as_they_were():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    checks.reparameterize(reparameterize)
    assert torch.equal(torch.random.get_rng_state(), before)
