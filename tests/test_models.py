"""What all models share: a forward, one dtype and device, and sentences for what does not fit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from course_lib import require
from course_lib.data.shapes import image_shape
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.gan import GAN, update_discriminator, update_generator
from course_lib.models.vae import VAE
from course_lib.training.checkpoints import load_model, save_model

SIZE = {"shape": (4, 4), "latent": 3, "hidden": (8,)}
VAES = {
    "bernoulli": {},
    "gaussian": {"likelihood": "gaussian"},
    "fixed variance": {"likelihood": "gaussian", "variance": 0.1},
    "autoregressive": {"before": 9},
    "flower": {"prior": "flower", "latent": 2},
}
X = torch.rand(5, 16, generator=torch.Generator().manual_seed(0)).round()
Y = torch.tensor([2, 0, 1, 1, 2])


def vae(kind="bernoulli"):
    torch.manual_seed(0)
    return (AutoregressiveVAE if kind == "autoregressive" else VAE)(**(SIZE | VAES[kind]))


def conditional():
    torch.manual_seed(0)
    return ConditionalVAE(3, **SIZE)


def auto_encoder():
    torch.manual_seed(0)
    return AutoEncoder(**SIZE)


def gan(**arguments):
    torch.manual_seed(0)
    return GAN(**(SIZE | {"network": "plain"} | arguments))


def pixel_after_pixel():
    torch.manual_seed(0)
    return Autoregressive((4, 4), hidden=9)


# ---- forward ----


@pytest.mark.parametrize("kind", VAES)
def test_a_vae_called_gives_its_reconstruction(kind):
    model = vae(kind)
    torch.manual_seed(1)
    found = model(X)
    assert found.shape == X.shape
    assert ((found >= 0) & (found <= 1)).all()
    if kind == "autoregressive":
        return
    torch.manual_seed(1)
    mu, logvar = model.encode(X)
    z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
    torch.testing.assert_close(found, model.likelihood(z).mean)


def test_where_pixels_hear_each_other_the_reconstruction_is_what_the_loss_judges():
    model = vae("autoregressive")
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    torch.manual_seed(1)
    p = model(X)
    torch.manual_seed(1)
    reconstruction = model.loss(X)["reconstruction"]
    by_hand = -torch.where(X > 0, p, 1 - p).log().sum(1).mean()
    torch.testing.assert_close(by_hand, reconstruction)


def test_the_other_models_called():
    torch.testing.assert_close(auto_encoder()(X), auto_encoder().decode(auto_encoder().encode(X)))
    model = conditional()
    torch.manual_seed(1)
    found = model(X, Y)
    torch.manual_seed(1)
    torch.testing.assert_close(found, model.given(Y).reconstruct(X))
    assert found.shape == X.shape
    game = gan()
    z = game.noise(5)
    game.eval()
    assert torch.equal(game(z), game.images(z))
    some = gan(labels=3).eval()
    assert torch.equal(some(z, Y), some.images(z, Y))
    assert not torch.equal(some(z, Y), some(z, (Y + 1) % 3))
    pixels = pixel_after_pixel()
    p = pixels(X)
    torch.testing.assert_close(torch.where(X > 0, p, 1 - p).log().sum(1), pixels.log_prob(X))


class Loss(nn.Module):
    """What VAE.forward advises for DistributedDataParallel."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *batch):
        return self.model.loss(*batch)["loss"]


@pytest.fixture
def one_process(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (vae, (X,)),
        (lambda: vae("autoregressive"), (X,)),
        (auto_encoder, (X,)),
        (conditional, (X, Y)),
        (pixel_after_pixel, (X,)),
    ],
    ids=["vae", "autoregressive vae", "auto-encoder", "conditional", "autoregressive"],
)
@pytest.mark.parametrize("wrap", [DistributedDataParallel, DataParallel])
def test_a_wrapped_model_trains(build, inputs, wrap, one_process):
    model = build()
    wrapped = wrap(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):  # at the second step, DDP misses a parameter that the first has not used
        optimizer.zero_grad()
        (wrapped(*inputs) - inputs[0]).square().sum().backward()
        optimizer.step()
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert still == []


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "autoregressive"])
def test_the_bound_trains_in_a_wrapped_module(kind, one_process):
    model = vae(kind)
    wrapped = DistributedDataParallel(Loss(model))
    for _ in range(2):
        torch.manual_seed(2)
        loss = wrapped(X)
        loss.backward()
        found = torch.cat([p.grad.flatten() for p in model.parameters()])
        model.zero_grad()
        torch.manual_seed(2)
        model.loss(X)["loss"].backward()
        alone = torch.cat([p.grad.flatten() for p in model.parameters()])
        torch.testing.assert_close(found, alone)
        model.zero_grad()


def test_a_wrapped_generator_trains(one_process):
    game = gan()
    wrapped = DistributedDataParallel(game.generator)
    loss = -game.discriminator(torch.sigmoid(wrapped(game.noise(4)))).mean()
    loss.backward()
    assert all(p.grad is not None for p in game.generator.parameters())
    DataParallel(game)(game.noise(4)).sum().backward()


# ---- dtype and device ----

CALLS = {
    "vae.loss": lambda x: vae().loss(x),
    "vae": lambda x: vae()(x),
    "vae.posterior": lambda x: vae().approximate_posterior(x),
    "conditional.loss": lambda x: conditional().loss(x, Y),
    "conditional": lambda x: conditional()(x, Y),
    "auto-encoder": lambda x: auto_encoder()(x),
    "gan.logit": lambda x: gan().logit(x),
    "autoregressive": lambda x: pixel_after_pixel().log_prob(x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_images_of_another_precision_are_named(call):
    # float64, as numpy's are
    array = torch.from_numpy(np.round(np.random.default_rng(0).random((5, 16))))
    with pytest.raises(
        ValueError,
        match=r"images are torch.float64, but the model's weights are torch.float32. "
        r"Use images.to\(torch.float32\)",
    ):
        call(array)
    call(array.float())


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_images_on_another_device_are_named(call):
    with pytest.raises(
        ValueError, match=r"images are on meta, but the model is on cpu. Use images.to\('cpu'\)"
    ):
        call(X.to("meta"))


def test_codes_of_another_precision_are_named():
    z = torch.zeros(5, 3)
    calls = (
        vae().decode,
        vae().likelihood,
        auto_encoder().decode,
        gan().images,
        gan(),
        lambda code: conditional().likelihood(code, Y),
    )
    for call in calls:
        with pytest.raises(
            ValueError, match=r"codes are torch.float64, .*. Use codes.to\(torch.float32\)"
        ):
            call(z.double())
        with pytest.raises(ValueError, match=r"codes are torch.int64"):
            call(z.long())
        with pytest.raises(ValueError, match=r"codes are on meta, but the model is on cpu"):
            call(z.to("meta"))
        call(z)


@pytest.mark.parametrize("kind", VAES)
def test_a_vae_in_double_precision_is_so_throughout(kind):
    model = vae(kind).double()
    assert model.generate(2).dtype == torch.float64
    assert model(X.double()).dtype == torch.float64
    assert all(term.dtype == torch.float64 for term in model.loss(X.double()).values())


@pytest.mark.parametrize(
    "arguments", [{}, {"kinds": 4}, {"labels": 3}, {"spectral": True}], ids=str
)
def test_a_gan_in_double_precision_plays(arguments):
    game = gan(**arguments).double()
    y = Y if game.config.labels else None
    assert game.noise(2).dtype == torch.float64
    assert game.generate(5, y).dtype == torch.float64
    g = torch.optim.Adam(game.generator.parameters())
    d = torch.optim.Adam(game.discriminator.parameters())
    terms = update_discriminator(game, X.double(), d, y=y, r1=0.1, penalty=0.1)
    terms |= update_generator(game, 5, g, y=y)
    game.update_ema(0.9)
    assert all(bool(term.isfinite()) for term in terms.values())


def test_the_other_models_in_double_precision():
    assert conditional().double().generate(Y).dtype == torch.float64
    assert auto_encoder().double()(X.double()).dtype == torch.float64
    pixels = pixel_after_pixel().double()
    assert pixels.sample(3).dtype == torch.float64
    assert pixels.log_prob(X.double()).dtype == torch.float64


def test_noise_is_drawn_where_the_weights_are():
    for model in (gan(kinds=2), gan()):
        assert model.to("meta").noise(3).device.type == "meta"
    assert vae().to("meta").prior.sample((3,)).device.type == "meta"


def test_under_autocast_shorter_kinds_pass():
    with torch.autocast("cpu", torch.bfloat16):
        vae().encode(X.bfloat16())
        with pytest.raises(ValueError, match=r"images are torch.float64"):
            vae().encode(X.double())


def test_on_a_gpu_the_first_images_of_a_model_are_looked_at():
    """Later ones are not, because the queue would have to be waited for at every step."""
    there = SimpleNamespace(device=torch.device("mps"))
    weights = nn.Parameter(torch.zeros(3))
    assert [require._may_look(there, weights) for _ in range(3)] == [True, False, False]
    assert require._may_look(there, nn.Parameter(torch.zeros(3)))
    assert not require._may_look(there, None)
    assert [require._may_look(X, weights) for _ in range(2)] == [True, True]


# ---- codes, counts and labels that do not fit ----


def test_codes_of_a_wrong_length_are_named():
    calls = {
        "decode": auto_encoder().decode,
        "output": vae().decode,
        "likelihood": vae().likelihood,
        "autoregressive": vae("autoregressive").likelihood,
        "gan": gan().images,
        "conditional": lambda z: conditional().likelihood(z, Y),
    }
    for call in calls.values():
        for z in (
            torch.zeros(5, 2),
            torch.zeros(5, 4),
            torch.zeros(2),
            torch.zeros(5, 1),
            torch.zeros(()),
        ):
            with pytest.raises(ValueError, match=r"The codes z must have shape \(..., 3\), not \("):
                call(z)
        with pytest.raises(ValueError, match="Expected a torch tensor, but got ndarray"):
            call(np.zeros((5, 3)))
    # a conditional GAN's code has no place for the label: y says it
    with pytest.raises(ValueError, match=r"The codes z must have shape \(..., 5\)"):
        gan(kinds=2, labels=3).images(torch.zeros(5, 8), Y)


@pytest.mark.parametrize("n", [-1, 2.5, True, "3", None])
def test_numbers_of_images_that_cannot_be(n):
    for call in (vae().generate, gan().generate, gan().noise, pixel_after_pixel().sample):
        with pytest.raises(
            ValueError, match="The number of images must be a non-negative integer, not"
        ):
            call(n)


def test_no_images_are_no_images():
    for kind in VAES:
        assert vae(kind).generate(0).shape == (0, 16)
    assert gan().generate(0).shape == (0, 16)
    assert pixel_after_pixel().sample(0).shape == (0, 16)


@pytest.mark.parametrize("model", [VAE, AutoEncoder, GAN, Autoregressive])
@pytest.mark.parametrize(
    "shape", [(28.0, 28.0), (True, 28), (28, -28), ("28", "28"), (None, 28), (0, 28)]
)
def test_sides_of_images_that_cannot_be(model, shape):
    with pytest.raises(
        ValueError,
        match=r"The dimensions of an image must be positive integers, as in shape=\(28, 28\)",
    ):
        model(shape=shape)


@pytest.mark.parametrize("latent", [2.5, 0, True, "20", None])
def test_lengths_of_codes_that_cannot_be(latent):
    with pytest.raises(
        ValueError,
        match="latent, the number of dimensions of z, must be an integer of at least 1, not",
    ):
        VAE(latent=latent)
    with pytest.raises(
        ValueError,
        match="latent, the number of dimensions of z, must be an integer of at least 1, not",
    ):
        AutoEncoder(latent=latent)
    if latent != 0:
        with pytest.raises(
            ValueError, match="latent, kinds and labels must be non-negative integers"
        ):
            GAN(latent=latent)


@pytest.mark.parametrize("model", [VAE, AutoEncoder, GAN])
@pytest.mark.parametrize("hidden", [(400.0,), (True,), ("400",), (400, None)])
def test_widths_that_cannot_be(model, hidden):
    with pytest.raises(ValueError, match="channels in each layer must be a positive integer"):
        model(hidden=hidden)


def test_other_arguments_that_cannot_be():
    with pytest.raises(ValueError, match="only for likelihood='gaussian', not for 'bernoulli'"):
        VAE(variance=0.1)  # silently it would be forgotten
    for variance in (float("nan"), float("inf"), True, "0.1"):
        with pytest.raises(
            ValueError, match="variance must be a positive number, or None to learn it"
        ):
            VAE(likelihood="gaussian", variance=variance)
    with pytest.raises(ValueError, match=r"before, .*at least 1, not 2.5"):
        AutoregressiveVAE(before=2.5)
    with pytest.raises(ValueError, match=r"told, .*at least 1, not 0"):
        AutoregressiveVAE(told=0)
    for model in (Autoregressive, AutoregressiveVAE):
        with pytest.raises(ValueError, match=r"first, .*at least 0, not -1"):
            model(first=-1)
    with pytest.raises(TypeError, match="before"):
        VAE(before=9)
    for labels in (2.5, True, "3"):
        with pytest.raises(
            ValueError, match="labels, the number of classes, must be an integer of at least 1"
        ):
            ConditionalVAE(labels)
        with pytest.raises(
            ValueError, match="latent, kinds and labels must be non-negative integers"
        ):
            GAN(labels=labels)
    with pytest.raises(ValueError, match=r"above, .* must be an integer of at least 1, not 0"):
        Autoregressive(above=0)
    with pytest.raises(
        ValueError, match=r"The mean image must have shape \(16,\), but got \(4, 4\)"
    ):
        vae().decoder.start_at(torch.rand(4, 4))


def test_numpys_whole_numbers_are_as_good_and_can_be_saved(tmp_path):
    size = {"shape": tuple(np.array([4, 4])), "latent": np.int64(3), "hidden": list(np.array([8]))}
    for model in (
        VAE(**size),
        AutoEncoder(**size),
        GAN(**size, network="plain", kinds=np.int64(2)),
        ConditionalVAE(np.int64(3), **size),
        Autoregressive(size["shape"], hidden=np.int64(9)),
    ):
        save_model(model, tmp_path / "model.safetensors")
        assert load_model(tmp_path / "model.safetensors").config == model.config


def test_a_conditional_model_asks_for_labels():
    for call in (
        lambda: conditional().loss(X, None),
        lambda: conditional()(X, None),
        lambda: conditional().likelihood(torch.zeros(5, 3), None),
        lambda: conditional().generate(None),
    ):
        with pytest.raises(ValueError, match=r"Pass y"):
            call()
    with pytest.raises(ValueError, match=r"Labels y of shape \(5,\) do not match rows of shape"):
        gan(labels=3).generate(4, Y)


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        ([0, 1, 2], "Expected a torch tensor, but got list"),
        (
            torch.tensor([0.0, 1.0]),
            r"Labels must be integers .*, but got torch.float32 of shape \(2,\)",
        ),
        (torch.eye(3).long(), r"Convert one-hot rows with .argmax\(1\)"),
        (torch.tensor(1), r"shape \(N,\), one integer per row, but got \(\)"),
        (torch.tensor([1j]), "Labels must be integers"),
        (torch.tensor([0, 3]), "Labels must be from 0 to 2, but these range from 0 to 3"),
    ],
)
def test_labels_that_cannot_be(y, sentence):
    with pytest.raises(ValueError, match=sentence):
        require.labels(y, 3)


def test_pixel_after_pixel_reads_whole_rows():
    """Twice as many pixels would be read as twice as many images."""
    for call in (
        pixel_after_pixel().logits,
        vae("autoregressive").likelihood(torch.zeros(3)).log_prob,
    ):
        for x in (torch.zeros(5, 32), torch.zeros(5, 8), torch.zeros(())):
            with pytest.raises(ValueError, match=r"Images must have shape \(N, 16\), but got \("):
                call(x)


# ---- the shape of images ----


def test_the_shape_of_images_is_found():
    found = {
        (5, 28, 28): (1, 28, 28),
        (5, 1, 28, 20): (1, 28, 20),
        (5, 3, 8, 4): (3, 8, 4),
        (5, 2, 8, 4): (2, 8, 4),
        (5, 784): (1, 28, 28),
        (5, 3072): (3, 32, 32),
        (5, 1): (1, 1, 1),
        (5, 3, 3, 3): (3, 3, 3),
    }
    for size, shape in found.items():
        assert image_shape(torch.zeros(size)) == shape
    assert image_shape(torch.zeros(5, 32), (8, 4)) == (1, 8, 4)
    assert image_shape(torch.zeros(5, 96), (3, 8, 4)) == (3, 8, 4)
    assert image_shape(torch.zeros(5, 1, 8, 4), (8, 4)) == (1, 8, 4)
    assert image_shape(torch.zeros(5, 8, 4), (1, 8, 4)) == (1, 8, 4)


@pytest.mark.parametrize(
    ("size", "shape", "sentence"),
    [
        (
            (5, 32, 32, 3),
            None,
            r"channels must come before .*\(5, 32, 32, 3\). Use images.permute\(0, 3, 1, 2\)",
        ),
        ((5, 32, 32, 1), None, r"images.permute\(0, 3, 1, 2\)"),
        ((5, 32, 32, 4), None, r"images.permute\(0, 3, 1, 2\)"),
        (
            (5, 10),
            None,
            r"10 pixels do not form a square greyscale or RGB image. Pass shape=\(H, W\)",
        ),
        ((5,), None, r"Images must .*, but got \(5,\). For a single image, pass image\[None\]"),
        ((2, 5, 3, 8, 8), None, r"but got \(2, 5, 3, 8, 8\)"),
        ((5, 0, 8), None, r"but got \(5, 0, 8\)"),
        ((5, 33), (8, 4), r"Each image has shape \(33,\), which does not match shape=\(8, 4\)"),
        ((5, 4, 8), (8, 4), r"which does not match shape=\(8, 4\)"),
        # grey where colour was promised
        ((5, 8, 4), (3, 8, 4), r"which does not match shape=\(3, 8, 4\)"),
        ((5, 32), (8.0, 4), r"The dimensions of an image must be positive integers"),
        ((5, 32), 8, r"The shape of an image must be \(H, W\) or \(C, H, W\), not 8"),
    ],
)
def test_images_without_a_shape_are_named(size, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        image_shape(torch.zeros(size), shape)


def test_images_without_weights_to_compare_with_pass_as_before():
    assert require.images(torch.zeros(2, 16).double(), 16) is None
