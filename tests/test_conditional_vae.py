"""The conditional VAE: what the label does, and that for settled labels it is a VAE."""

import json
import math
from itertools import product

import pytest
import torch
from test_networks import BAD_IMAGES
from torch.distributions import Normal
from torch.nn.functional import one_hot

from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.probability.elbo import LatentModel, elbo, importance_weighted_bound
from course_lib.training.checkpoints import load_model, save_model

KINDS = {
    "bernoulli": {},
    "gaussian": {"likelihood": "gaussian", "variance": 0.1},
    "learned variance": {"likelihood": "gaussian"},
    "flower prior": {"prior": "flower"},
    "conv": {"network": "conv", "hidden": (4, 5, 6)},
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def build(labels=3, seed=0, **arguments):
    torch.manual_seed(seed)
    return ConditionalVAE(labels, **({"shape": (4, 4), "latent": 2, "hidden": (8,)} | arguments))


X = torch.rand(5, 16, generator=torch.Generator().manual_seed(0)).round()
Y = torch.tensor([2, 0, 1, 1, 2])


@kinds
def test_the_label_stands_beside_x_and_beside_z(kind):
    model = build(**kind)
    label = one_hot(Y, 3).float()
    outputs = model.encoder(X, label)
    mu, logvar = model.encode(X, Y)
    assert torch.equal(torch.cat([mu, logvar], -1), outputs)
    q = model.approximate_posterior(X, Y)
    torch.testing.assert_close(q.mean, mu)
    torch.testing.assert_close(q.variance, logvar.exp())
    z = torch.rand(4, 5, 2)
    logits = model.decoder(torch.cat([z, label.expand(4, 5, 3)], -1))
    p = model.likelihood(z, Y)
    assert p.batch_shape == (4, 5)
    torch.testing.assert_close(p.mean, torch.sigmoid(logits))
    expected = model.pixels.distribution(logits).log_prob(X)
    torch.testing.assert_close(p.log_prob(X), expected)


@kinds
def test_given_its_labels_it_is_a_vae(kind):
    model = build(**kind)
    given = model.given(Y)
    assert all(torch.equal(a, b) for a, b in zip(given.encode(X), model.encode(X, Y), strict=True))
    seen = []
    for loss in (lambda: model.loss(X, Y, beta=0.5), lambda: given.loss(X, 0.5)):
        torch.manual_seed(0)
        seen.append({k: v.item() for k, v in loss().items()})
    assert seen[0] == seen[1]
    assert seen[0]["loss"] == pytest.approx(
        seen[0]["reconstruction"] + 0.5 * seen[0]["kl"], rel=1e-6
    )
    assert given.prior.event_shape == (2,)
    model.loss(X, Y)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    bound = importance_weighted_bound(given, given.approximate_posterior(X), X, 7)
    assert bound.shape == (5,)
    assert bound.isfinite().all()
    assert elbo(given, given.approximate_posterior(X), X, samples=3).elbo.shape == (5,)


@kinds
def test_the_label_is_heard_by_both_networks(kind):
    model, other = build(**kind), (Y + 1) % 3
    for here, there in zip(model.encode(X, Y), model.encode(X, other), strict=True):
        assert ((here - there).abs() > 1e-4).all()
    z = torch.rand(5, 2)
    assert (
        (model.likelihood(z, Y).mean - model.likelihood(z, other).mean).abs().amax(1) > 1e-4
    ).all()
    # label by label, and no other row's
    changed = Y.clone()
    changed[3] = 0
    same = [
        torch.isclose(a, b).all(1)
        for a, b in zip(model.encode(X, Y), model.encode(X, changed), strict=True)
    ]
    assert [row.tolist() for row in same] == [[True, True, True, False, True]] * 2


@kinds
def test_one_label_for_all(kind):
    model = build(**kind)
    z, ones = torch.rand(5, 2), torch.ones(5, dtype=torch.int32)
    for y in (1, torch.tensor(1), ones.to(torch.uint8), [1] * 5):
        torch.testing.assert_close(model.encode(X, y)[0], model.encode(X, ones)[0])
        torch.testing.assert_close(model.likelihood(z, y).mean, model.likelihood(z, ones).mean)
    assert model.given(1).generate(7).shape == (7, 16)
    assert model.loss(X[:1], Y[:1])["loss"].isfinite()


@kinds
def test_generate(kind):
    model = build(**kind)
    torch.manual_seed(0)
    images = model.generate(Y)
    assert images.shape == (5, 16)
    assert ((images >= 0) & (images <= 1)).all()
    assert not images.requires_grad
    torch.manual_seed(0)
    torch.testing.assert_close(images, model.likelihood(model.given(Y).prior.sample((5,)), Y).mean)
    assert model.generate(1).shape == (1, 16)
    assert model.generate(Y[:0]).shape == (0, 16)


@kinds
def test_a_saved_model_is_the_same_model(kind, tmp_path):
    model = build(**kind)
    kept = json.loads(json.dumps(model.config.to_json()))
    assert ConditionalVAE(**kept).config == model.config
    save_model(model, tmp_path / "model.safetensors")
    again, seen = load_model(tmp_path / "model.safetensors"), []
    for one in (model, again):
        torch.manual_seed(0)
        seen.append(
            [v.item() for v in one.loss(X, Y).values()] + one.generate(Y).flatten().tolist()
        )
    assert seen[0] == seen[1]


@kinds
def test_other_precisions(kind):
    model = build(**kind)
    seen = []
    for precise in (True, False):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            seen.append(model.loss(X, Y))
    for name, value in seen[1].items():
        assert value.dtype == torch.float32
        # bfloat16 keeps 2 to 3 digits
        assert value.item() == pytest.approx(seen[0][name].item(), rel=0.02, abs=0.02)
    mu = model.encode(X, Y)[0]
    model.double()
    torch.testing.assert_close(model.encode(X.double(), Y)[0], mu.double(), rtol=1e-4, atol=1e-5)
    assert model.loss(X.double(), Y)["loss"].dtype == model.generate(Y).dtype == torch.float64


# ---- the bound that joins it to log P(x) ----

PATTERNS = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 1]])  # of three classes, 2×2


@pytest.fixture(scope="module")
def toy():
    """Trained on three patterns, each pixel turned over with probability 0.1; z has one number."""
    torch.manual_seed(0)
    model = ConditionalVAE(3, shape=(2, 2), latent=1, hidden=(16,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, fused=True)
    for _ in range(250):
        y = torch.randint(3, (100,))
        x = (PATTERNS[y] - (torch.rand(100, 4) < 0.1).float()).abs()
        optimizer.zero_grad()
        model.loss(x, y)["loss"].backward()
        optimizer.step()
    return model.double()


def log_px_given(model, x, y):
    """Exact, by quadrature over z; and L_b."""
    given = model.given(y)
    mu, logvar = (part[:, 0] for part in given.encode(x))
    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    one = LatentModel(Normal(0.0, 1.0), lambda z: given.likelihood(z[..., None]))
    return elbo(one, Normal(mu, (0.5 * logvar).exp()), x, grid=grid)


def test_the_bound_over_labels(toy):
    every = torch.tensor(list(product([0.0, 1.0], repeat=4))).double()
    bounds = [log_px_given(toy, every, y) for y in range(3)]
    conditional = torch.stack([b.log_px for b in bounds])  # (3, 16)
    torch.testing.assert_close(conditional.exp().sum(1), torch.ones(3).double(), rtol=0, atol=1e-8)
    assert all((b.gap > -1e-9).all() for b in bounds)
    log_px = torch.logsumexp(conditional - math.log(3), 0)  # (16,), every label as likely
    assert log_px.exp().sum().item() == pytest.approx(1, abs=1e-8)
    # NLL(x) ≤ NLL(x|y) + ln 3 for each label; near equality where the label was the true one
    assert (log_px >= conditional - math.log(3)).all()
    right = [every.tolist().index(p.tolist()) for p in PATTERNS]
    posterior = (conditional - math.log(3) - log_px).exp()  # P(y|x), by Bayes
    for y, i in enumerate(right):
        # a pattern is 0.9⁴ = 0.656 of its class, and at least two flips from the others
        assert conditional[y, i].exp().item() == pytest.approx(0.9**4, abs=0.1)
        assert posterior[y, i] > 0.9
        assert log_px[i] - (conditional[y, i] - math.log(3)) < -math.log(0.9)


def test_drawing_finds_the_same_probability(toy):
    x, y = PATTERNS.double(), torch.tensor([0, 1, 1])
    given = toy.given(y)
    torch.manual_seed(0)
    with torch.no_grad():
        found = importance_weighted_bound(given, given.approximate_posterior(x), x, 5000)
        exact = torch.stack(
            [log_px_given(toy, x[i : i + 1], y[i : i + 1]).log_px[0] for i in range(3)]
        )
        loss = torch.stack([toy.loss(x.repeat(2000, 1), y.repeat(2000))["loss"] for _ in range(10)])
    # 5,000 weights that differ by a tenth or two: their mean is right to 1 %, its logarithm to 0.01
    torch.testing.assert_close(found, exact, rtol=0, atol=0.02)
    expected = -torch.stack(
        [log_px_given(toy, x[i : i + 1], y[i : i + 1]).elbo[0] for i in range(3)]
    ).mean()
    assert (loss.mean() - expected).abs() < 6 * loss.std() / math.sqrt(10)


# ---- what cannot be ----


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images_that_cannot_be(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        build().loss(x, 1)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (torch.tensor([0, 1, 3, 0, 0]), r"Labels must be from 0 to 2, but these range from 0 to 3"),
        (torch.tensor([0, -1, 2, 0, 0]), r"these range from -1 to 2"),
        (7, r"these range from 7 to 7"),
        (
            torch.tensor([0.0, 1, 2, 0, 0]),
            r"Labels must be integers of shape \(N,\), .* but got torch.float32 of shape \(5,\)",
        ),
        (torch.zeros(5, 3, dtype=torch.int64), r"\(5, 3\). Convert one-hot rows with .argmax\(1\)"),
        (torch.zeros(5, 1, dtype=torch.int64), r"but got torch.int64 of shape \(5, 1\)\."),
        (
            torch.tensor([0, 1, 2]),
            r"Labels y of shape \(3,\) do not match rows of shape \(5, .*. Pass one label per row",
        ),
        (torch.tensor([1]), r"Labels y of shape \(1,\) do not match rows of shape \(5, "),
        (torch.zeros(0, dtype=torch.int64), r"Labels y of shape \(0,\)"),
    ],
)
def test_labels_that_cannot_be(y, sentence):
    model = build()
    calls = (model.encode, model.approximate_posterior, model.loss)
    for call in (
        *(lambda f=f: f(X, y) for f in calls),
        lambda: model.likelihood(torch.rand(5, 2), y),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_models_that_cannot_be():
    with pytest.raises(ValueError, match=r"likelihood must be .*, not 'poisson'"):
        build(likelihood="poisson")
    for labels in (0, -1, (8, 8)):
        with pytest.raises(
            ValueError, match=r"labels, the number of classes, .* use shape=\(8, 8\)"
        ):
            ConditionalVAE(labels)
