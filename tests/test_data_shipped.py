"""What stands in for the shipped networks on data that they do not know."""

import pytest
import torch

from course_lib.data import Digits
from course_lib.evaluation.classifier import Classifier
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.gan import GAN
from course_lib.models.vae import VAE
from course_lib.shipped import classifier_for, model_for


@pytest.fixture(scope="module")
def shapes():
    """30 images of 8×8, of three classes."""
    images = torch.randint(
        0, 256, (30, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return Digits(images, torch.arange(30) % 3, "here", ("bar", "ring", "dot"), "shapes")


@pytest.fixture(scope="module")
def mnist_like(shapes):
    return Digits(
        torch.zeros(10, 28, 28, dtype=torch.uint8), torch.arange(10), "here", name="MNIST"
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("vae", VAE), ("conditional_vae", ConditionalVAE), ("gan", GAN)]
)
def test_on_other_data_a_model_is_trained_in_place_of_the_shipped_one(shapes, capsys, name, kind):
    model = model_for(shapes, name, steps=2)
    assert type(model) is kind
    assert model.config.shape == (8, 8)
    assert not model.training
    if name == "conditional_vae":
        assert model.config.labels == 3
    assert capsys.readouterr().out == (
        f"The shipped {name} was trained on MNIST only, so a new one was trained (epochs: 2).\n"
    )


def test_on_other_data_a_classifier_is_trained_in_place_of_the_shipped_one(shapes, capsys):
    referee = classifier_for(shapes, steps=2)
    assert referee(shapes.pixels()).shape == (30, 3)
    assert "The shipped classifier was trained on MNIST only" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["vae", "conditional_vae", "gan"])
def test_on_mnist_the_shipped_ones_are_taken(mnist_like, capsys, name):
    assert model_for(mnist_like, name).config.shape == (28, 28)
    assert capsys.readouterr().out == ""


def test_on_mnist_the_shipped_classifier_is_taken(mnist_like, capsys):
    ours, theirs = classifier_for(mnist_like), Classifier.load()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    assert capsys.readouterr().out == ""
