"""From images to numbers and back: sizes, what depends on what, sentences for what cannot be."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from course_lib import require
from course_lib.models.networks import ACTIVATIONS, Decoder, Encoder, mlp

SHAPES = [(28, 28), (8, 8), (3, 32, 32), (4, 12), (1, 4, 4), (2, 16, 8)]
PLAIN, CONV = {"hidden": (7, 5)}, {"network": "conv", "hidden": (6, 5, 9)}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_mlp_is_the_formula(name):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4)
    net = mlp([4, 6, 5, 2], name)
    formulas = {"relu": lambda a: np.maximum(a, 0), "silu": lambda a: a * expit(a), "tanh": np.tanh}
    act = formulas[name]
    layers = [m for m in net if isinstance(m, torch.nn.Linear)]
    h = x.numpy()
    for i, layer in enumerate(layers):
        h = h @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        h = h if i == 2 else act(h)  # the last one's numbers are left as they are
    np.testing.assert_allclose(net(x).detach(), h, atol=1e-6)  # float32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [PLAIN, CONV], ids=["plain", "conv"])
def test_any_size_that_fits(shape, kind):
    d = int(np.prod(shape))
    encoder, decoder = Encoder(shape, 3, **kind), Decoder(2, shape, **kind)
    assert encoder(torch.rand(4, d)).shape == (4, 3)
    assert encoder(torch.rand(1, d)).shape == (1, 3)
    for batch in [(4,), (1,), (5, 4), ()]:
        z = torch.randn(*batch, 2)
        assert decoder(z).shape == (*batch, d)
    z = torch.randn(5, 4, 2)
    # many at once equals one after the other; float32, in another order of adding
    torch.testing.assert_close(decoder(z)[3, 2], decoder(z[3, 2]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [PLAIN, CONV], ids=["plain", "conv"])
def test_the_decoder_is_the_encoder_turned_round(kind):
    encoder, decoder = Encoder((3, 8, 12), 2, **kind), Decoder(2, (3, 8, 12), **kind)
    there = [tuple(p.shape) for p in encoder.parameters() if p.ndim == 2]
    back = [tuple(p.shape) for p in decoder.parameters() if p.ndim == 2]
    assert [s[::-1] for s in reversed(there)] == back
    there = [m.weight.shape[:2] for m in encoder.convolutions.modules() if hasattr(m, "stride")]
    back = [m.weight.shape[:2] for m in decoder.convolutions.modules() if hasattr(m, "stride")]
    assert there[::-1] == back
    assert ([tuple(s) for s in there] == [(6, 3), (5, 6)]) == (kind is CONV)


def test_convolutions_see_a_neighbourhood_of_the_image():
    """If rows, columns or channels were mixed up, the pixels reached would not lie together."""
    torch.manual_seed(0)
    h, w = 16, 24
    encoder, decoder = Encoder((2, h, w), 1, **CONV), Decoder(1, (2, h, w), **CONV)
    x = torch.rand(1, 2 * h * w, requires_grad=True)
    feature = encoder.convolutions(x).view(5, h // 4, w // 4)[:, 2, 4].sum()
    seen = torch.autograd.grad(feature, x)[0].view(2, h, w)
    features = torch.zeros(5, h // 4, w // 4)
    changed = features.clone()
    changed[:, 2, 4] = 1
    reached = decoder.convolutions(changed.view(1, -1)) - decoder.convolutions(features.view(1, -1))
    for pixels in (seen, reached.view(2, h, w)):
        for channel in pixels:
            rows, columns = channel.abs().gt(1e-9).nonzero().unbind(1)
            # two layers of kernel 4, stride 2, padding 1 reach 10 pixels:
            # from 3 before pixel 4·i to 6 after
            assert 5 <= rows.min() <= 8 <= rows.max() <= 14
            assert 13 <= columns.min() <= 16 <= columns.max() <= 22


@pytest.mark.parametrize("kind", [PLAIN, CONV], ids=["plain", "conv"])
def test_what_stands_beside_the_image_is_heard(kind):
    torch.manual_seed(0)
    encoder, x = Encoder((8, 8), 2, **kind, beside=3), torch.rand(4, 64)
    beside = torch.rand(4, 3, requires_grad=True)
    gradient = torch.autograd.grad(encoder(x, beside).sum(), beside)[0]
    assert (gradient != 0).all()  # each of the three numbers, for each image
    first = next(m for m in encoder.layers if isinstance(m, torch.nn.Linear))
    shift = first.weight[:, -3:] @ (torch.ones(3) - beside[0])
    features = encoder.convolutions(x)
    both = [first(torch.cat([features[0], b])) for b in (beside[0], torch.ones(3))]
    torch.testing.assert_close(both[1] - both[0], shift, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [PLAIN, CONV], ids=["plain", "conv"])
def test_a_decoder_starts_at_the_mean_image(kind):
    torch.manual_seed(0)
    decoder, mean = Decoder(2, (8, 8), **kind), 0.01 + 0.98 * torch.rand(64)
    before = decoder(torch.zeros(2))
    decoder.start_at(mean)
    after = decoder(torch.zeros(2))
    expected = torch.tensor(logit(mean.numpy().astype(float)))
    # float32 logits
    torch.testing.assert_close((after - before).double(), expected, rtol=0, atol=1e-4)
    assert decoder.bias.requires_grad
    decoder.start_at(torch.tensor([0.0, 1.0]).repeat(32))  # never and always inked
    torch.testing.assert_close(torch.sigmoid(decoder.bias[:2]), torch.tensor([1e-3, 1 - 1e-3]))
    for wrong in (torch.arange(64).byte(), torch.full((64,), torch.nan)):
        with pytest.raises(
            ValueError, match=r"Pixel means must be in \[0, 1\], but these range from"
        ):
            decoder.start_at(wrong)


@pytest.mark.parametrize(
    ("shape", "arguments", "sentence"),
    [
        (
            (28, 28),
            {"activation": "gelu"},
            r"Unknown activation 'gelu'. Choose one of relu, silu, tanh",
        ),
        ((8, 8), CONV | {"activation": "gelu"}, r"Unknown activation 'gelu'"),
        ((28, 28), {"network": "resnet"}, r"'plain' or 'conv', not 'resnet'"),
        (
            (28, 28),
            {"network": "conv"},
            r"hidden=\(channels, channels, widths…\) .*, but got \(400,\)",
        ),
        ((30, 28), CONV, r"divisible by 4, but got 30×28. Pad the images, or use network='plain'"),
        ((3, 32, 33), CONV, r"divisible by 4, but got 32×33"),
        ((784,), {}, r"The shape of an image must be \(H, W\) or \(C, H, W\), not \(784,\)"),
        ((1, 3, 28, 28), {}, r"not \(1, 3, 28, 28\)"),
        ((0, 28), {}, r"but got \(0, 28\)"),
        ((28, 28), {"hidden": (400, 0)}, r"must be a positive integer, but got \[400, 0\]"),
        ((28, 28), {"hidden": (2.5,)}, r"but got \[2.5\]"),
        ((28, 28), {"hidden": 400}, r"must be a sequence, such as \(400,\), but got 400"),
        (32, {}, r"The shape of an image must be \(H, W\) or \(C, H, W\), not 32"),
        ((8, 8), CONV | {"hidden": (4, 0, 8)}, r"but got \[4, 0, 8\]"),
    ],
)
def test_networks_that_cannot_be(shape, arguments, sentence):
    for build in (lambda: Encoder(shape, 2, **arguments), lambda: Decoder(2, shape, **arguments)):
        with pytest.raises(ValueError, match=sentence):
            build()


def test_no_code_is_no_network():
    for build in (
        lambda: Encoder((8, 8), 0),
        lambda: Decoder(0, (8, 8)),
        lambda: Decoder(-1, (8, 8)),
    ):
        with pytest.raises(ValueError, match="in each layer must be a positive integer"):
            build()


BAD_IMAGES = {  # of 16 pixels: what is wrong, and the words that say so
    "above 1": (
        torch.full((3, 16), 1.01),
        r"Pixels must be in \[0, 1\], but these range from 1.01 to 1.01",
    ),
    "0 to 255": (torch.linspace(0, 255, 32).view(2, 16), r"these range from 0 to 255"),
    "a hair above 1": (torch.full((3, 16), 1 + 1e-6), r"these range from 1.000001 to 1.000001"),
    "below 0": (torch.linspace(-0.5, 1, 32).view(2, 16), r"these range from -0.5 to 1"),
    "one NaN": (torch.zeros(2, 16).index_fill(1, torch.tensor([3]), torch.nan), r"from nan to nan"),
    "infinite": (torch.full((2, 16), torch.inf), r"from inf to inf"),
    "not flat": (
        torch.rand(3, 4, 4),
        r"shape \(N, 16\), one row of pixels per image, but got \(3, 4, 4\). Use digits.pixels\(\)",
    ),
    "another size": (torch.rand(3, 15), r"shape \(N, 16\), .* but got \(3, 15\)"),
    "one image without its batch": (torch.rand(16), r"shape \(N, 16\), .* but got \(16,\)"),
    "bytes": (
        torch.zeros(3, 16, dtype=torch.uint8),
        r"not torch.uint8. Use digits.pixels\(\) or binarize\(\)",
    ),
    "bytes, not flat": (torch.zeros(3, 4, 4, dtype=torch.uint8), r"or images.flatten\(1\) / 255\."),
    "an array": (torch.rand(3, 16).numpy(), "Expected a torch tensor, but got ndarray"),
    "integers": (torch.zeros(3, 16, dtype=torch.int64), r"not torch.int64"),
    "no images": (torch.zeros(0, 16), r"The batch contains no images. Pass at least one"),
}


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images_that_cannot_be(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        require.images(x, 16)


def test_good_images_pass():
    for x in (
        torch.zeros(1, 16),
        torch.ones(3, 16),
        torch.rand(2, 16).double(),
        torch.rand(2, 16).bfloat16(),
    ):
        assert require.images(x.requires_grad_(), 16) is None


@pytest.mark.parametrize("kind", [PLAIN, CONV], ids=["plain", "conv"])
def test_a_normalized_decoder_has_centred_units_before_each_activation(kind):
    torch.manual_seed(0)
    decoder = Decoder(5, (8, 8), activation="tanh", norm=True, **kind)
    seen, activations = [], [m for m in decoder.modules() if isinstance(m, torch.nn.Tanh)]
    assert len(activations) == (3 if kind is CONV else 2)
    for m in activations:
        m.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    decoder(3 + 2 * torch.randn(500, 5))
    for h in seen:
        over = [0, *range(2, h.ndim)]  # all but the unit or channel
        torch.testing.assert_close(h.mean(over), torch.zeros(h.shape[1]), atol=1e-4, rtol=0)
        # n against n − 1
        torch.testing.assert_close(h.var(over), torch.ones(h.shape[1]), atol=0.01, rtol=0)
    decoder.eval()
    z = torch.randn(4, 5)  # afterwards each image is its own again
    torch.testing.assert_close(decoder(z)[2], decoder(z[2]), rtol=1e-4, atol=1e-6)
