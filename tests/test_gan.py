"""The GAN's losses, penalties and updates, against closed forms, scipy and what must not move."""

import math

import pytest
import torch
from test_networks import BAD_IMAGES
from torch import nn

from course_lib.models.gan import (
    GAN,
    LOSSES,
    gradient_penalty,
    loss_named,
    r1_penalty,
    update_discriminator,
    update_generator,
)
from course_lib.models.networks import Decoder, Encoder
from course_lib.models.vae import VAE
from course_lib.training.checkpoints import load_model, save_model

SMALL = {"shape": (4, 4), "latent": 3, "hidden": (8,), "network": "plain", "activation": "tanh"}
KINDS = {
    "plain": {},
    "conv": {"network": "conv", "shape": (8, 8), "hidden": (4, 5)},
    "conv, colour": {
        "network": "conv",
        "shape": (3, 8, 4),
        "hidden": (4, 5, 6),
        "discriminator": (3, 2),
    },
    "without norm": {"norm": False},
    "kinds": {"kinds": 6},
    "spectral": {"spectral": True},
    "conditional": {"labels": 4},
    "conditional conv": {"labels": 4, "network": "conv", "shape": (8, 8), "hidden": (4, 5)},
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
Y = torch.tensor([3, 0, 2, 2, 1])
SCORES = torch.linspace(-6, 6, 25, dtype=torch.float64)


def build(seed=0, size=0.4, **arguments):
    """A small GAN whose players have opinions: weights some way from their start."""
    torch.manual_seed(seed)
    gan = GAN(**(SMALL | arguments))
    with torch.no_grad():
        for network in (gan.generator, gan.discriminator):
            for p in network.parameters():
                p.add_(size * torch.randn_like(p))
    return gan


def rows(gan, n=5, seed=1):
    return torch.rand(n, gan.generator.bias.numel(), generator=torch.Generator().manual_seed(seed))


def labels_of(gan):
    return Y if gan.config.labels else None


def copy_of(module):
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def moved(module, before):
    return [
        name for name, tensor in module.named_parameters() if not torch.equal(tensor, before[name])
    ]


def adam(network, lr=1e-2):
    return torch.optim.Adam(network.parameters(), lr)


# ---- the networks ----


def test_the_generator_is_the_class_that_a_vae_decodes_with():
    arguments = {"shape": (28, 28), "latent": 20, "hidden": (32, 64, 100), "network": "conv"}
    gan, vae = GAN(**arguments, norm=False), VAE(**arguments)
    assert type(gan.generator) is type(vae.decoder) is Decoder
    assert type(gan.discriminator) is type(vae.encoder) is Encoder
    theirs = {name: tensor.shape for name, tensor in vae.decoder.state_dict().items()}
    assert {name: tensor.shape for name, tensor in gan.generator.state_dict().items()} == theirs
    gan.generator.load_state_dict(vae.decoder.state_dict())
    z = torch.randn(4, 20)
    assert gan.generator(z).shape == (4, 784)


@kinds
def test_shapes_and_ranges(kind):
    gan = build(**kind)
    pixels, y = gan.generator.bias.numel(), labels_of(gan)
    x = gan.images(gan.noise(5), y).detach()
    assert x.shape == (5, pixels)
    assert float(x.min()) > 0
    assert float(x.max()) < 1
    assert gan.logit(x, y).shape == (5,)
    assert gan.generate(5, y).shape == (5, pixels)
    assert not gan.generate(5, y).requires_grad
    assert gan.images(torch.stack([gan.noise(5), gan.noise(5)]), y).shape == (2, 5, pixels)


def test_noise_is_standard_normal():
    torch.manual_seed(0)
    z = build(latent=50).noise(2000)
    assert z.shape == (2000, 50)
    assert abs(float(z.mean())) < 0.02  # 100,000 numbers: a standard error of 0.003
    assert abs(float(z.std()) - 1) < 0.02


def test_a_kind_is_one_of_so_many_evenly():
    torch.manual_seed(0)
    z = build(latent=2, kinds=4).noise(4000)
    assert z.shape == (4000, 6)
    assert z[:, 2:].unique().tolist() == [0, 3]
    assert (z[:, 2:].sum(1) == 3).all()
    assert (z[:, 2:].mean(0) / 3 - 0.25).abs().max() < 0.03  # a standard error of 0.007
    assert abs(float(z[:, :2].std()) - 1) < 0.05


def test_the_label_stands_beside_z_and_beside_what_d_sees():
    gan = build(labels=4)
    z, x, one_hot = gan.noise(5), rows(gan), torch.eye(4)[Y]
    torch.testing.assert_close(
        gan.images(z, Y), torch.sigmoid(gan.generator(torch.cat([z, one_hot], 1)))
    )
    torch.testing.assert_close(gan.logit(x, Y), gan.discriminator(x, one_hot)[:, 0])
    assert not torch.allclose(gan.logit(x, Y), gan.logit(x, Y.flip(0)))
    torch.manual_seed(3)
    drawn = gan.generate(5, Y)
    torch.manual_seed(3)
    torch.testing.assert_close(drawn, gan.images(gan.noise(5), Y, ema=True))


@pytest.mark.parametrize("labels", [0, 10])
def test_many_images_are_generated_in_parts_and_are_the_same(labels):
    """What the layers hold of all images at once may be far more than the images."""
    torch.manual_seed(0)
    gan = GAN(shape=(8, 8), latent=3, hidden=(16,), network="plain", labels=labels)
    y = torch.randint(labels, (2_500,)) if labels else None
    rows = []
    gan.ema.register_forward_pre_hook(lambda _, told: rows.append(len(told[0])))

    torch.manual_seed(1)
    drawn = gan.generate(2_500, y)
    assert rows == [1_000, 1_000, 500]
    torch.manual_seed(1)
    together = gan.images(gan.noise(2_500), y, ema=True)
    torch.testing.assert_close(drawn, together)


@pytest.mark.parametrize(
    ("labels", "y", "sentence"),
    [
        (4, None, "This GAN is conditional. Pass labels y"),
        (0, Y, "This GAN is unconditional, but labels y were passed"),
        (4, Y.float(), "integers"),
        (4, Y[None], "integers"),
        (3, Y, "0 to 2, but these range from 0 to 3"),
        (
            4,
            Y[:3],
            r"y of shape \(3,\) do not match rows of shape \(5, \d+\). Pass one label per row",
        ),
        (4, Y[:1], r"y of shape \(1,\)"),
        (4, [0, 1], r"y of shape \(2,\)"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels, y, sentence):
    gan = build(labels=labels)
    for call in (
        lambda: gan.images(gan.noise(5), y),
        lambda: gan.logit(rows(gan), y),
        lambda: gan.generate(5, y),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_labels_may_be_a_list_or_one_for_all_or_on_another_device_than_the_model():
    gan = build(labels=4)
    assert torch.equal(gan.logit(rows(gan), 2), gan.logit(rows(gan), torch.full((5,), 2)))
    assert torch.equal(gan.logit(rows(gan), Y.tolist()), gan.logit(rows(gan), Y))
    away = build(labels=4).to("meta")  # a device without numbers
    assert away.logit(rows(gan).to("meta"), Y).device.type == "meta"
    assert away.generate(5, Y).device.type == "meta"


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_named(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        build().logit(x)


def test_a_network_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="'plain' or 'conv'"):
        GAN(network="deep")
    for arguments in ({"hidden": 32}, {"discriminator": 32}):
        with pytest.raises(ValueError, match=r"such as \(32,\), but got 32"):
            GAN(network="plain", **arguments)


@pytest.mark.parametrize("name", ["latent", "kinds", "labels"])
def test_counts_below_0_are_named(name):
    with pytest.raises(ValueError, match=f"must be non-negative integers, but got .*{name}=-1"):
        GAN(**{name: -1})


def test_a_code_may_be_a_choice_of_kinds_only_but_not_nothing():
    assert build(latent=0, kinds=3).noise(4).sum(1).eq(3).all()
    with pytest.raises(
        ValueError, match=r"channels in each layer must be a positive integer, but got \[0, "
    ):
        GAN(latent=0)


@kinds
def test_a_saved_gan_is_the_same_again(kind, tmp_path):
    gan = build(**kind)
    gan.update_ema(0.3)
    gan.eval()  # spectral norms stop refining their singular vectors
    save_model(gan, tmp_path / "gan.safetensors")
    again = load_model(tmp_path / "gan.safetensors")
    x, z, y = rows(gan), gan.noise(5), labels_of(gan)
    with torch.no_grad():
        assert torch.equal(gan.logit(x, y), again.logit(x, y))
        assert torch.equal(gan.images(z, y, ema=True), again.images(z, y, ema=True))


def test_spectral_norm_bounds_the_slope():
    """Layers of largest singular value 1 and tanh between them: |D(a) − D(b)| ≤ |a − b|."""
    gan = build(spectral=True, size=3.0, hidden=(8, 8))
    x = rows(gan)
    # each call in training mode refines the singular vectors by one power iteration
    for _ in range(200):
        gan.logit(x)
    for layer in gan.discriminator.modules():
        if isinstance(layer, nn.Linear):
            largest = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
            assert largest == pytest.approx(1, abs=1e-3)
    a, b = rows(gan, 500, 2), rows(gan, 500, 3)
    assert ((gan.logit(a) - gan.logit(b)).abs() <= (a - b).norm(dim=1) * 1.001).all()
    free = build(size=3.0, hidden=(8, 8))
    assert ((free.logit(a) - free.logit(b)).abs() > (a - b).norm(dim=1)).any()


# ---- losses ----

# By probabilities, as the papers write them; and their derivatives with respect to the logit.
FORMULAS = {
    "nonsaturating": (
        lambda r, f: (
            -torch.log(torch.special.expit(r)).mean() - torch.log(1 - torch.special.expit(f)).mean()
        ),
        lambda f: -torch.log(torch.special.expit(f)).mean(),
        lambda f: torch.special.expit(f) - 1,
    ),
    "minimax": (
        lambda r, f: (
            -torch.log(torch.special.expit(r)).mean() - torch.log(1 - torch.special.expit(f)).mean()
        ),
        lambda f: torch.log(1 - torch.special.expit(f)).mean(),
        lambda f: -torch.special.expit(f),
    ),
    "least_squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda f: 0.5 * ((f - 1) ** 2).mean(),
        lambda f: f - 1,
    ),
    "wasserstein": (
        lambda r, f: -(r.mean() - f.mean()),
        lambda f: -f.mean(),
        lambda f: -torch.ones_like(f),
    ),
}


def test_every_loss_has_a_formula_here():
    assert FORMULAS.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_the_papers_formulas(name):
    discriminator, generator, _ = FORMULAS[name]
    real, fake = SCORES, SCORES.flip(0) * 0.7 + 0.3
    loss = loss_named(name)
    torch.testing.assert_close(loss.discriminator(real, fake), discriminator(real, fake))
    torch.testing.assert_close(loss.generator(fake), generator(fake))


@pytest.mark.parametrize("name", LOSSES)
def test_the_push_on_g_is_the_closed_form(name):
    """d loss_G / d logit, for each image: what D's verdict does to G."""
    fake = SCORES.clone().requires_grad_()
    (push,) = torch.autograd.grad(loss_named(name).generator(fake), fake)
    torch.testing.assert_close(push * len(SCORES), FORMULAS[name][2](SCORES))


@pytest.mark.parametrize("name", LOSSES)
def test_g_wants_larger_logits_and_d_wants_them_for_real_images_only(name):
    real, fake = (torch.full((9,), 0.5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = loss_named(name)
    on_real, on_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    assert (on_real < 0).all()
    assert (on_fake > 0).all()
    (push,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (push < 0).all()


def test_where_d_is_sure_minimax_saturates_and_the_other_does_not():
    sure = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (minimax,) = torch.autograd.grad(loss_named("minimax").generator(sure), sure)
    (other,) = torch.autograd.grad(loss_named("nonsaturating").generator(sure), sure)
    assert float(minimax) == pytest.approx(-math.exp(-20), rel=1e-6)
    assert float(other) == pytest.approx(-1, abs=1e-8)


def test_values_where_d_knows_nothing():
    zero = torch.zeros(7)
    for name in ("nonsaturating", "minimax"):
        assert float(loss_named(name).discriminator(zero, zero)) == pytest.approx(math.log(4))
    assert float(loss_named("nonsaturating").generator(zero)) == pytest.approx(math.log(2))
    assert float(loss_named("minimax").generator(zero)) == pytest.approx(-math.log(2))


def test_far_logits_stay_finite():
    far = torch.tensor([-1e4, 1e4])
    for loss in LOSSES.values():
        assert loss.discriminator(far, far.flip(0)).isfinite()
        assert loss.generator(far).isfinite()


def test_an_unknown_loss_is_named():
    with pytest.raises(
        ValueError, match=r"Unknown loss 'hinge'. Choose one of nonsaturating, minimax"
    ):
        loss_named("hinge")


# ---- penalties ----


def linear(w):
    return lambda x: x @ w + 0.3


def test_penalties_of_a_linear_discriminator():
    """Its slope is w everywhere: R1 is ½|w|², the gradient penalty (|w| − 1)²."""
    w = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64)
    real, fake = torch.rand(6, 3).double(), torch.rand(6, 3).double()
    assert float(r1_penalty(linear(w), real)) == pytest.approx(4.5)
    assert float(gradient_penalty(linear(w), real, fake)) == pytest.approx(4.0)


def test_penalties_of_a_quadratic_discriminator_are_taken_where_they_should_be():
    """logit = ½|x|²: the slope at x is x. R1 looks at real images, the other between the pairs."""
    real, fake = torch.rand(50, 2).double() + 3, torch.rand(50, 2).double() - 5

    def logit(x):
        return x.square().sum(-1) / 2

    assert float(r1_penalty(logit, real).detach()) == pytest.approx(
        float(real.square().sum(1).mean()) / 2
    )
    torch.manual_seed(0)
    found = gradient_penalty(logit, real, fake).detach()
    torch.manual_seed(0)
    t = torch.rand(50, 1, dtype=torch.float64)
    between = (1 - t) * real + t * fake
    assert float(found) == pytest.approx(float((between.norm(dim=1) - 1).square().mean()))
    lengths = (t * (fake - real)).norm(dim=1) / (fake - real).norm(dim=1)
    assert 0 < float(lengths.min()) < 0.1  # from one end
    assert 0.9 < float(lengths.max()) < 1  # to the other


def test_penalties_reach_d_s_weights():
    """∂/∂w of ½|w|² is w, of (|w| − 1)² it is 2 (|w| − 1) w / |w|."""
    w = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    x = torch.rand(4, 2).double()
    (by_r1,) = torch.autograd.grad(r1_penalty(linear(w), x), w)
    torch.testing.assert_close(by_r1, w.detach())
    (by_other,) = torch.autograd.grad(gradient_penalty(linear(w), x, x + 1), w)
    torch.testing.assert_close(by_other, 8 * w.detach() / 5)


def test_a_flat_discriminator_gives_finite_gradients():
    w = torch.zeros(3, requires_grad=True)
    gradient_penalty(linear(w), torch.rand(4, 3), torch.rand(4, 3)).backward()
    assert w.grad.isfinite().all()


# ---- the two updates ----


@kinds
def test_each_update_moves_its_own_player_only(kind):
    gan = build(**kind)
    x, y = rows(gan), labels_of(gan)
    g, d = copy_of(gan.generator), copy_of(gan.discriminator)
    update_discriminator(gan, x, adam(gan.discriminator), y=y, r1=0.1)
    assert moved(gan.generator, g) == []
    assert all(p.grad is None for p in gan.generator.parameters())  # detach: nothing came through
    weights = {name for name, _ in gan.discriminator.named_parameters()}
    assert weights <= set(moved(gan.discriminator, d))
    d = copy_of(gan.discriminator)
    gradients = [p.grad.clone() for p in gan.discriminator.parameters()]
    update_generator(gan, 5, adam(gan.generator), y=y)
    assert weights.isdisjoint(moved(gan.discriminator, d))
    after = [p.grad for p in gan.discriminator.parameters()]
    # nothing was collected
    assert all(torch.equal(a, b) for a, b in zip(gradients, after, strict=True))
    assert {name for name, _ in gan.generator.named_parameters()} <= set(moved(gan.generator, g))
    assert moved(gan.ema, copy_of(build(**kind).ema)) == []


@pytest.mark.parametrize("name", LOSSES)
def test_updates_are_plain_steps_of_the_losses(name):
    """By hand: the same noise, the loss, autograd, w − lr · gradient."""
    gan, lr = build(), 0.1
    x = rows(gan)
    torch.manual_seed(5)
    fake = gan.images(gan.noise(5)).detach()
    plain = loss_named(name).discriminator(gan.logit(x), gan.logit(fake))
    loss = plain + 0.3 * r1_penalty(gan.logit, x)
    weights = list(gan.discriminator.parameters())
    expected = [
        w - lr * g for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True)
    ]
    torch.manual_seed(5)
    terms = update_discriminator(gan, x, torch.optim.SGD(weights, lr), name, r1=0.3)
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.detach(), e.detach())
    assert terms.keys() == {"discriminator", "D of real", "D of fake"}

    torch.manual_seed(6)
    loss = loss_named(name).generator(gan.logit(gan.images(gan.noise(5))))
    weights = list(gan.generator.parameters())
    expected = [
        w - lr * g for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True)
    ]
    torch.manual_seed(6)
    terms = update_generator(gan, 5, torch.optim.SGD(weights, lr), name)
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.detach(), e.detach())
    torch.testing.assert_close(terms["generator"], loss)


def test_the_gradient_penalty_joins_d_s_loss():
    gan = build()
    x, before = rows(gan), copy_of(gan.discriminator)
    torch.manual_seed(5)
    with torch.no_grad():
        plain = loss_named("wasserstein").discriminator(
            gan.logit(x), gan.logit(gan.images(gan.noise(5)))
        )
    results = {}
    for weight in (0.0, 10.0):
        gan.discriminator.load_state_dict(before)
        torch.manual_seed(5)
        optimizer = torch.optim.SGD(gan.discriminator.parameters(), 0.01)
        terms = update_discriminator(gan, x, optimizer, "wasserstein", penalty=weight)
        # what is returned is the loss alone
        torch.testing.assert_close(terms["discriminator"], plain)
        results[weight] = copy_of(gan.discriminator)
    assert moved(gan.discriminator, results[0.0])


def test_the_shares_are_means_of_probabilities():
    gan = build()
    x = rows(gan)
    torch.manual_seed(5)
    with torch.no_grad():
        real = gan.logit(x).sigmoid().mean()
        fake = gan.logit(gan.images(gan.noise(5))).sigmoid().mean()
    torch.manual_seed(5)
    terms = update_discriminator(gan, x, adam(gan.discriminator))
    torch.testing.assert_close(terms["D of real"], real)
    torch.testing.assert_close(terms["D of fake"], fake)


def test_d_learns_and_g_follows():
    """D alone learns to tell; then G alone gets a D that stands still to say "real"."""
    gan = build(size=0.0)
    x = (rows(gan, 64) > 0.5).float() * torch.linspace(0, 1, 16)
    judge, maker = adam(gan.discriminator), adam(gan.generator)
    losses = [float(update_discriminator(gan, x, judge)["discriminator"]) for _ in range(200)]
    assert losses[-1] < 0.3 < math.log(4) * 0.8 < losses[0]
    losses = [float(update_generator(gan, 64, maker)["generator"]) for _ in range(200)]
    assert losses[-1] < losses[0] / 4


# ---- the average ----


def floats(module):
    return {name: t.clone() for name, t in module.state_dict().items() if t.is_floating_point()}


def test_the_average_follows_in_closed_form():
    """Weights w1, w2, …, started at w0: decay^n · w0 + (1 − decay) Σ decay^(n − i) · wi."""
    gan, decay = build(), 0.8
    start, seen = floats(gan.ema), []
    for i in range(5):
        with torch.no_grad():
            for p in gan.generator.parameters():
                p.add_(0.1 * i)
        gan.images(gan.noise(6))  # moves batch norm's means and variances
        seen.append(floats(gan.generator))
        gan.update_ema(decay)
    # a bias a pixel, two layers, and a batch norm's scale, shift, mean and variance
    assert len(start) == 9
    for name, slow in floats(gan.ema).items():
        expected = decay**5 * start[name]
        expected = expected + sum(
            (1 - decay) * decay ** (4 - i) * w[name] for i, w in enumerate(seen)
        )
        torch.testing.assert_close(slow, expected)
    assert not any(p.requires_grad for p in gan.ema.parameters())


def test_images_come_from_the_average_only_if_asked():
    gan = build().eval()
    z = gan.noise(4)
    assert not torch.allclose(gan.images(z), gan.images(z, ema=True))
    gan.update_ema(0.0)
    assert torch.equal(gan.images(z), gan.images(z, ema=True))
    gan.start_at(torch.full((16,), 0.9))
    assert torch.equal(gan.images(z), gan.images(z, ema=True))


def test_the_average_is_never_in_training_mode():
    """Else a look at its images would move batch norm's numbers, and with them the game."""
    gan = build().train()
    assert gan.generator.training
    assert not any(module.training for module in gan.ema.modules())
    before = floats(gan.ema)
    gan.generate(50)
    after = floats(gan.ema)
    assert all(torch.equal(before[name], after[name]) for name in before)
