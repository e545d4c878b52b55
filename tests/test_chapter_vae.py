"""The model and loss that the chapter "The VAE on MNIST" writes out are those of the package."""

import re

import pytest
import torch
from test_notebooks import build
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_lib.models.vae import VAE

DEFINED = (
    "class DigitVAE",
    "def log_bernoulli",
    "def kl_to_prior",
    "def reparameterize",
    "def parts_of_loss",
)


@pytest.fixture(scope="module")
def chapter():
    """What the chapter's cells define, for images of 30 pixels."""
    (notebook,) = [path for path in build.all_notebooks() if re.fullmatch(r"\d\d_vae", path.stem)]
    names = {
        "torch": torch,
        "nn": nn,
        "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
        "pixels": 30,
    }
    cells = build.read_source(build.source_of(notebook)).cells
    for start in DEFINED:
        (cell,) = [cell for cell in cells if cell.source.startswith(start)]
        exec(cell.source, names)
    return names


def test_the_loss_of_the_chapter_is_that_of_the_package(chapter):
    ours, theirs = chapter["DigitVAE"](), VAE(shape=(5, 6))
    theirs.encoder.layers.load_state_dict(ours.encoder.state_dict())
    theirs.decoder.layers.load_state_dict(ours.decoder.state_dict())
    x = torch.rand(40, 30).round()
    torch.manual_seed(0)
    reconstruction, kl = chapter["parts_of_loss"](ours, x)
    torch.manual_seed(0)
    losses = theirs.loss(x)
    # float32, in another order
    assert torch.isclose(reconstruction, losses["reconstruction"], rtol=1e-5)
    assert torch.isclose(kl, losses["kl"], rtol=1e-5)
    assert torch.isclose(reconstruction + kl, losses["loss"], rtol=1e-5)
