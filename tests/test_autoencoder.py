"""An auto-encoder's squared error, and that it learns to copy."""

import numpy as np
import pytest
import torch
from test_networks import BAD_IMAGES

from course_lib.models.autoencoder import AutoEncoder
from course_lib.training.checkpoints import load_model, save_model

KINDS = {
    "plain": {"shape": (4, 4), "latent": 2, "hidden": (8,)},
    "deep": {"shape": (4, 4), "latent": 3, "hidden": (8, 6), "activation": "tanh"},
    "conv": {"shape": (3, 8, 8), "latent": 2, "hidden": (4, 5, 8), "network": "conv"},
}
kinds = pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)


@kinds
def test_the_loss_is_the_squared_error_summed_over_pixels(arguments):
    torch.manual_seed(0)
    ae = AutoEncoder(**arguments)
    x = torch.rand(5, int(np.prod(arguments["shape"])))
    z = ae.encode(x)
    y = ae.decode(z)
    assert z.shape == (5, arguments["latent"])
    assert y.shape == x.shape
    assert ((y > 0) & (y < 1)).all()
    expected = ((x.numpy() - y.detach().numpy()) ** 2).sum() / 5
    assert ae.loss(x)["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert ae.loss(torch.cat([x, x]))["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert ae.loss(x[:1])["loss"].ndim == 0  # a batch of one
    torch.testing.assert_close(ae.decode(z.expand(2, 5, -1))[1], y)


@kinds
def test_a_saved_model_is_the_same_model(arguments, tmp_path):
    ae = AutoEncoder(**arguments)
    save_model(ae, tmp_path / "ae.safetensors")
    again = load_model(tmp_path / "ae.safetensors")
    x = torch.rand(3, int(np.prod(arguments["shape"])))
    assert again.config == ae.config == AutoEncoder(**ae.config.to_json()).config
    assert torch.equal(again.decode(again.encode(x)), ae.decode(ae.encode(x)))


@kinds
def test_other_precisions(arguments):
    torch.manual_seed(0)
    ae = AutoEncoder(**arguments)
    x = torch.rand(5, int(np.prod(arguments["shape"])))
    single = ae.loss(x)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        half = ae.loss(x)["loss"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(single.item(), rel=0.02)  # bfloat16 keeps 2 to 3 digits
    double = ae.double().loss(x.double())["loss"]
    assert double.dtype == torch.float64
    assert double.item() == pytest.approx(single.item(), rel=1e-5)


def test_it_learns_to_copy():
    torch.manual_seed(0)
    ae, x = AutoEncoder((4, 4), 3, (32,)), torch.rand(8, 16)
    start = ae.loss(x)["loss"].item()
    optimizer = torch.optim.Adam(ae.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        ae.loss(x)["loss"].backward()
        optimizer.step()
    # 8 images are 8 codes: almost all of the error goes (over ten seeds, 0.5 % of it stays at most)
    assert ae.loss(x)["loss"].item() < 0.03 * start


@pytest.mark.parametrize(("x", "sentence"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images_that_cannot_be(x, sentence):
    with pytest.raises(ValueError, match=sentence):
        AutoEncoder((4, 4), 2, (8,)).loss(x)
