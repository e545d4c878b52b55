"""The yardsticks for samples, against closed forms, scipy, scikit-learn and cases made for them."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg, special
from sklearn.neighbors import NearestNeighbors

from course_lib.data import Digits, mnist, uci_digits
from course_lib.evaluation.classifier import Classifier, train_classifier
from course_lib.evaluation.samples import (
    class_shares,
    classifier_score,
    frechet_distance,
    judge,
    kl_to_uniform,
    nearest,
    precision_recall,
    taken_for_real,
    unexplained,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, covariance, n=500, seed=0):
    """n points whose sample mean and covariance are exactly these."""
    mean, covariance = torch.as_tensor(mean).double(), torch.as_tensor(covariance).double()
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T).reshape(len(mean), -1))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


# ---- Fréchet distance ----


def test_frechet_distance_of_one_dimensional_gaussians():
    """(μ1 − μ2)² + (σ1 − σ2)²."""
    a, b = with_moments([1.0], [[4.0]]), with_moments([-2.0], [[0.25]], seed=1)
    assert frechet_distance(a, b) == pytest.approx(9 + 1.5**2, rel=1e-10)


def test_frechet_distance_of_gaussians_with_common_axes():
    """With diagonal covariances it is a sum over the dimensions; rotating both changes nothing."""
    s, t = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0, 1.0, 0.5])
    a = with_moments([0, 0, 0], s.square().diag())
    b = with_moments([1, -1, 2], t.square().diag(), seed=1)
    expected = 1 + 1 + 4 + float((s - t).square().sum())
    rotation = torch.linalg.qr(normal(3, 3, seed=2)).Q
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_against_scipy_s_square_root(seed):
    a = normal(300, 8, seed=seed) @ normal(8, 8, seed=seed + 10)
    b = normal(400, 8, seed=seed + 20) @ normal(8, 8, seed=seed + 30) + 1
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = np.real(linalg.sqrtm(ca @ cb))
    expected = float(
        np.square((a.mean(0) - b.mean(0)).numpy()).sum() + np.trace(ca + cb - 2 * root)
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_equal_or_flat_sets():
    a = normal(200, 5)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-10)
    flat = a * torch.tensor([1.0, 1, 0, 0, 1]).double()  # two features never vary
    # the others are equal, so what is missing is all that differs
    moved = float(a.mean(0)[2:4].square().sum() + a.var(0)[2:4].sum())
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-10)
    # correlations, 1/√200
    assert frechet_distance(a.float(), flat.float()) == pytest.approx(moved, rel=0.02)
    few = normal(4, 5)  # fewer rows than features: covariances of rank 3
    assert math.isfinite(frechet_distance(few, a))


def test_frechet_distance_falls_with_the_number_of_samples():
    """Why the floor is measured with as many samples: two samples are apart by chance."""
    near = [
        frechet_distance(normal(n, 10, seed=1), normal(n, 10, seed=2)) for n in (100, 1_000, 10_000)
    ]
    assert near[0] > 5 * near[1] > 25 * near[2] > 0


@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5,), (5,))])
def test_frechet_distance_refuses_what_it_cannot_compare(shapes):
    with pytest.raises(ValueError, match="two sets of features"):
        frechet_distance(*(torch.zeros(*shape) for shape in shapes))


def test_features_that_cannot_be_compared_are_named():
    a = normal(9, 4)
    with pytest.raises(ValueError, match="NaN or infinite"):
        frechet_distance(a, a.index_fill(1, torch.tensor([2]), math.nan))
    for measure in (frechet_distance, precision_recall, nearest):
        with pytest.raises(ValueError, match="Expected a torch tensor, but got ndarray"):
            measure(a.numpy(), a)
        with pytest.raises(
            ValueError, match=r"but got \(9, 2, 2\) and \(9, 2, 2\)\. .*images\.flatten\(1\)"
        ):
            measure(a.view(9, 2, 2), a.view(9, 2, 2))


# ---- classes ----


def test_class_shares_and_their_kl():
    labels = torch.tensor([0] * 6 + [2] * 2)
    shares = class_shares(labels, 4)
    assert shares.tolist() == [0.75, 0, 0.25, 0]
    assert kl_to_uniform(shares) == pytest.approx(
        special.rel_entr([0.75, 0, 0.25, 0], [0.25] * 4).sum()
    )
    assert kl_to_uniform(class_shares(torch.arange(10).repeat(7))) == pytest.approx(0, abs=1e-12)
    assert kl_to_uniform(class_shares(torch.full((9,), 3))) == pytest.approx(math.log(10))
    with pytest.raises(ValueError, match="no labels to count"):
        class_shares(torch.tensor([]).long())
    with pytest.raises(ValueError, match="Labels must be from 0 to 2, but these range from 0 to 9"):
        class_shares(torch.arange(10), 3)
    for wrong in (
        torch.tensor([6, 0, 2]),
        torch.tensor([1.5, -0.5]),
        torch.tensor([1.0, math.nan]),
    ):
        with pytest.raises(ValueError, match="Shares must be non-negative and sum to 1"):
            kl_to_uniform(wrong)


def test_classifier_score_from_one_to_the_number_of_classes():
    sure = 100 * torch.eye(10)
    assert classifier_score(sure.repeat(5, 1)) == pytest.approx(10)
    assert classifier_score(sure[:4].repeat(5, 1)) == pytest.approx(4)  # four modes
    assert classifier_score(sure[:1].repeat(5, 1)) == pytest.approx(1)  # collapsed
    assert classifier_score(torch.zeros(20, 10)) == pytest.approx(1)  # nothing is recognizable


def test_classifier_score_against_scipy():
    logits = normal(50, 10) * 2
    p = special.softmax(logits.numpy(), 1)
    expected = np.exp(special.rel_entr(p, p.mean(0)).sum(1).mean())
    assert classifier_score(logits) == pytest.approx(expected)
    far = classifier_score(logits * 1e4)  # probabilities round to 0 and 1
    assert 1 <= far <= 10


# ---- precision and recall ----


def by_sklearn(points, centres, k):
    """A point is inside if it is as near to some centre as that centre's k-th other centre."""
    radii = NearestNeighbors(n_neighbors=k + 1).fit(centres).kneighbors(centres)[0][:, k]
    distance = np.linalg.norm(points[:, None].numpy() - centres[None].numpy(), axis=-1)
    return float((distance <= radii).any(1).mean())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_against_scikit_learn(k):
    real, fake = normal(700, 3), 0.6 * normal(600, 3, seed=1) + 0.5
    precision, recall = precision_recall(real, fake, k)
    assert precision == pytest.approx(by_sklearn(fake, real, k))
    assert recall == pytest.approx(by_sklearn(real, fake, k))
    assert 0.1 < recall < precision <= 1  # narrower than the data: precise, and much is missing


def test_precision_and_recall_tell_missing_from_wrong():
    near, far = normal(200, 2), normal(200, 2, seed=1) + 100
    both = torch.cat([near, far])
    other = torch.cat([near + 0.001, near.flip(0) - 0.001])
    # one of two modes: all is right, half is missing
    assert precision_recall(both, other) == (1.0, 0.5)
    # half is not among the data, nothing is missing
    assert precision_recall(other, both) == (0.5, 1.0)
    assert precision_recall(near, far) == (0.0, 0.0)


def test_precision_needs_enough_rows():
    with pytest.raises(ValueError, match="but got k=3 for sets of 3 and 9 rows"):
        precision_recall(normal(3, 2), normal(9, 2))
    with pytest.raises(ValueError, match="at least 1"):
        precision_recall(normal(9, 2), normal(9, 2), k=0)


# ---- copies ----


def test_nearest_finds_copies_and_their_distance():
    among = torch.rand(900, 20)
    images = torch.cat([among[[7, 850]], torch.rand(600, 20)])
    distance, index = nearest(images, among)
    assert index[:2].tolist() == [7, 850]
    assert distance[:2].tolist() == [0, 0]
    expected = NearestNeighbors(n_neighbors=1).fit(among).kneighbors(images)
    assert np.abs(distance.numpy() - expected[0][:, 0]).max() < 1e-5
    assert (index.numpy() == expected[1][:, 0]).all()


# ---- mixtures of training images ----


def test_mixtures_are_explained_and_what_points_out_of_them_is_not():
    torch.manual_seed(0)
    among = torch.rand(40, 30)
    mixture = 0.2 * among[3] + 0.5 * among[8] + 0.3 * among[20]
    assert unexplained(mixture, among) < 1e-6
    assert unexplained(among[5], among) < 1e-6
    assert unexplained(mixture, among[:2]) > 0.01


def test_weights_may_not_be_negative_and_add_up_to_one():
    """Corners of a square: the mixture nearest to a point outside is the square's nearest point."""
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    for point, foot in (
        ((2.0, 0.5), (1.0, 0.5)),
        ((3.0, 3.0), (1.0, 1.0)),
        ((0.5, -1.0), (0.5, 0.0)),
    ):
        point, foot = torch.tensor(point), torch.tensor(foot)
        expected = float((point - foot).square().sum() / point.square().sum())
        assert unexplained(point, corners) == pytest.approx(
            expected, rel=1e-3
        )  # the sum of weights is nearly 1


def test_only_the_nearest_are_mixed():
    among = torch.tensor([[1.0, 0], [0, 1], [9, 9]])
    point = torch.tensor([1.0, 1])  # between them lies (½, ½), with the far one the point itself
    assert unexplained(point, among, columns=2) == pytest.approx(0.25, rel=1e-3)
    assert unexplained(point, among, columns=3) < 1e-3


class OnDevice(torch.Tensor):
    """A tensor that numpy cannot read before `.cpu()`, as on a GPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.numpy:
            raise TypeError("can't convert a tensor on a device to numpy")
        out = super().__torch_function__(function, types, args, kwargs or {})
        return out.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else out


def test_images_on_a_device_are_explained_as_well():
    torch.manual_seed(0)
    image, among = torch.rand(30), torch.rand(40, 30)
    there = image.as_subclass(OnDevice), among.as_subclass(OnDevice)
    assert unexplained(*there) == unexplained(image, among) > 0


# ---- the fresh discriminator, and all together ----


@pytest.fixture(scope="module")
def digits():
    # as many as there are without a network
    return mnist(train=True, quiet=True).pixels(slice(0, 4000))


def test_a_fresh_discriminator_cannot_tell_real_from_real(digits):
    shares = [
        taken_for_real(digits[:2000], digits[2000:], seed=seed, steps=40) for seed in range(3)
    ]
    # the judge's bias alone moves a single one; 1,000 verdicts leave 0.016 besides
    assert 0.2 < sum(shares) / 3 < 0.8


def test_a_fresh_discriminator_tells_blurred_from_real(digits):
    pictures = digits[2000:].reshape(-1, 1, 28, 28)
    blurred = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1).flatten(1)
    state = torch.random.get_rng_state()
    share = taken_for_real(digits[:2000], blurred, steps=60)
    assert share < 0.1
    assert torch.equal(state, torch.random.get_rng_state())
    # the same seed, the same judge
    assert taken_for_real(digits[:2000], blurred, steps=60) == share


def interrupted_at(number, monkeypatch):
    """The list that grows by one at each step of a judge, which is stopped by hand at this one."""
    steps, plain = [], torch.optim.Adam.step

    def step(optimizer, *args):
        steps.append(len(steps))
        if len(steps) == number:
            raise KeyboardInterrupt
        return plain(optimizer, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    return steps


@pytest.mark.parametrize("half", [60, 64, 65, 66, 100, 128], ids=lambda half: f"half={half}")
def test_a_fresh_discriminator_takes_the_steps_asked_for(half, digits, monkeypatch):
    steps = interrupted_at(0, monkeypatch)
    taken_for_real(digits[: 2 * half], digits[-2 * half :], steps=7)
    assert len(steps) == 7


def test_a_fresh_discriminator_that_was_interrupted_gives_no_number(digits, monkeypatch, capsys):
    interrupted_at(3, monkeypatch)
    state = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        taken_for_real(digits[:200], digits[200:400], steps=7)
    assert "Interrupted" in capsys.readouterr().out
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_fresh_discriminator_needs_images(digits):
    with pytest.raises(ValueError, match="at least four"):
        taken_for_real(digits[:3], digits[:3])
    with pytest.raises(ValueError, match="784"):
        taken_for_real(digits[:, :700], digits)


def test_the_referee_judges_real_digits_as_real(digits):
    referee = Classifier.load()
    found = judge(digits[:2000], digits[2000:], referee)
    assert found["frechet"] < 1.5  # floor: 2,000 digits against 2,000; noise has hundreds
    # all ten, each clear; 10 would be equal shares and no doubt
    assert found["classifier score"] > 9.5
    assert found["smallest share"] > 0.06
    assert found["class KL"] < 0.02
    assert min(found["precision"], found["recall"]) > 0.6
    with torch.no_grad():
        features = referee.features(digits)
    assert found["frechet"] == pytest.approx(frechet_distance(features[:2000], features[2000:]))


def test_the_referee_sees_collapse_and_noise(digits):
    referee = Classifier.load()
    one = judge(digits[:1].repeat(500, 1), digits, referee)
    assert (one["smallest share"], one["diversity"]) == (0, pytest.approx(0, abs=1e-9))
    assert one["class KL"] == pytest.approx(math.log(10))
    assert one["recall"] < 0.01
    noise = judge(torch.rand(500, 784), digits, referee)
    assert noise["recall"] < 0.1
    assert noise["frechet"] > 30


# ---- other images and other classes ----


def blobs(n, size, classes, seed=0):
    """Bytes (n, *size): a bright quarter, column or channel that the class decides, on noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    images = rng.integers(0, 80, (n, *size))
    for image, label in zip(images, labels, strict=True):
        image.reshape(-1, size[-1])[:, label] += 170
    return Digits(torch.from_numpy(images).byte(), torch.from_numpy(labels), "a test")


@pytest.mark.parametrize(
    "digits", [uci_digits(quiet=True), blobs(800, (3, 8, 6), 5)], ids=["UCI", "RGB"]
)
def test_the_referee_of_any_images_judges_them(digits):
    classes = int(digits.labels.max()) + 1
    referee = train_classifier(digits, epochs=5, batch_size=64, quiet=True)
    x = digits.pixels()
    found = judge(x[:400], x[400:800], referee)
    one = judge(x[digits.labels == 2], x[400:800], referee)
    assert found["class KL"] < 0.05
    # after 5 epochs of few images some doubt is left
    assert found["classifier score"] > 0.5 * classes
    assert one["class KL"] == pytest.approx(math.log(classes), rel=0.2)
    assert one["smallest share"] == 0
    assert one["frechet"] > 5 * found["frechet"]
    assert found["recall"] > 0.5 > one["recall"]
    with pytest.raises(
        ValueError, match=r"For other images, train a classifier with train_classifier\(digits\)"
    ):
        judge(x[:400], x[400:800], Classifier.load())


@pytest.mark.parametrize("size", [(8, 8), (3, 8, 8), (10, 7), (3, 5, 9)], ids=str)
def test_a_fresh_discriminator_takes_any_images(size):
    real = blobs(200, size, 5).images / 255
    more = blobs(200, size, 5, seed=1).images / 255
    other = torch.rand(200, *size)
    steps = {"steps": 40}
    assert taken_for_real(real, other, **steps) < 0.1
    share = taken_for_real(real, more, **steps)
    assert 0.1 < share < 0.9
    flat = taken_for_real(real.flatten(1), more.flatten(1), shape=size, **steps)
    assert flat == share
    if len(size) == 2 or size == (3, 8, 8):
        shaped = {} if size[-1] == size[-2] else {"shape": size}
        assert taken_for_real(real.flatten(1), more.flatten(1), **shaped, **steps) == share


def test_what_a_fresh_discriminator_cannot_compare_is_named():
    x = torch.rand(8, 16)
    for wrong, sentence in (
        ((x, torch.rand(8, 4, 4)), "Real and fake images must have the same size, but real"),
        (
            (torch.rand(8, 10), torch.rand(8, 10)),
            "10 pixels do not form a square greyscale or RGB image",
        ),
        ((x * 255, x), r"Pixels must be in \[0, 1\]"),
        ((x, (x * 255).byte()), r"Pixels must be floats in \[0, 1\], not torch.uint8"),
        (
            (x, x.double()),
            r"the same type and device, .* torch.float32 on cpu and .* torch.float64 on cpu",
        ),
        ((x.numpy(), x), "Expected a torch tensor, but got ndarray"),
    ):
        with pytest.raises(ValueError, match=sentence):
            taken_for_real(*wrong)
    with pytest.raises(ValueError, match="steps must be an integer of at least 1, not 0"):
        taken_for_real(x, x, steps=0)


def test_sets_of_different_pixels_are_warned_of(digits):
    grey, binary = digits[:40], digits[40:80].round()
    referee = Classifier.load()
    for measure in (lambda a, b: judge(a, b, referee), lambda a, b: taken_for_real(a, b, steps=2)):
        for pair, first in (((grey, binary), 0), ((binary, grey), 1)):
            with pytest.warns(
                UserWarning, match="this alone makes the sets different: compare black and white"
            ) as caught:
                measure(*pair)
            assert caught[0].filename == __file__
            assert first in (0, 1)
        measure(grey, digits[40:80])
        measure(binary, digits[:40].round())


def test_judging_leaves_the_referee_as_it_was(digits):
    referee = Classifier.load().train()
    before = {k: v.clone() for k, v in referee.state_dict().items()}
    found = judge(digits[:50], digits[50:100], referee)
    assert referee.training
    assert all(torch.equal(v, before[k]) for k, v in referee.state_dict().items())
    assert found == judge(digits[:50], digits[50:100], Classifier.load())


def test_images_of_which_no_two_are_of_a_class_have_no_diversity(digits):
    labels = Classifier.load()(digits[:500]).argmax(1).tolist()
    firsts = [labels.index(d) for d in range(10)]
    found = judge(digits[firsts], digits[500:600], Classifier.load())
    assert math.isnan(found["diversity"])
    assert found["smallest share"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, 2], "Expected a torch tensor, but got list"),
        (np.array([0, 1]), "Expected a torch tensor, but got ndarray"),
        (torch.tensor([0.0, 1.0]), "Labels must be integers"),
        (torch.eye(10).long(), r"Convert one-hot rows with .argmax\(1\)"),
        (torch.tensor(3), r"shape \(N,\), one integer per row, but got \(\)"),
        (torch.tensor([-1, 0]), "Labels must be from 0 to 9, but these range from -1 to 0"),
    ],
)
def test_labels_that_cannot_be_counted(labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        class_shares(labels)


def test_numbers_of_classes_and_neighbours_that_cannot_be():
    for classes in (0, 2.5):
        with pytest.raises(ValueError, match="classes must be an integer of at least 1, not"):
            class_shares(torch.arange(2), classes)
    for k in (2.5, True, 9):
        with pytest.raises(
            ValueError, match=r"at least 1 and less than the number of rows in each set, but got"
        ):
            precision_recall(normal(9, 2), normal(9, 2), k)
    shares = class_shares(torch.tensor([True, False, True]), 2).tolist()
    assert shares == pytest.approx([1 / 3, 2 / 3])


def test_logits_that_cannot_be_scored():
    for logits, sentence in (
        (
            torch.zeros(0, 10),
            r"logits of shape \(N, classes\), but got torch.float32 of shape \(0, 10\)",
        ),
        (torch.zeros(10), r"but got torch.float32 of shape \(10,\)"),
        (torch.zeros(3, 10).long(), "but got torch.int64"),
        (torch.full((3, 10), math.nan), "NaN or infinite"),
        ([[0.0, 1.0]], "Expected a torch tensor, but got list"),
    ):
        with pytest.raises(ValueError, match=sentence):
            classifier_score(logits)


def test_features_that_are_no_numbers_are_named_everywhere():
    """Silently, NaN lies in no neighbourhood: a precision of 0."""
    a = normal(9, 4)
    bad = a.clone()
    bad[3, 2] = math.nan
    for measure in (frechet_distance, precision_recall, nearest, lambda x, y: unexplained(x[3], y)):
        for pair in ((bad, a), (a, bad)):
            with pytest.raises(ValueError, match="NaN or infinite"):
                measure(*pair)
        with pytest.raises(
            ValueError, match=r"floating-point numbers, not .*uint8.*. Use digits.pixels\(\)"
        ):
            measure((255 * a).byte() + 1, (255 * a).byte())
    assert nearest(a.float(), a)[1].tolist() == list(range(9))  # one precision beside another


def test_what_cannot_be_explained_is_named():
    with pytest.raises(ValueError, match="so there is nothing to explain"):
        unexplained(torch.zeros(4), torch.rand(5, 4))
    with pytest.raises(
        ValueError, match=r"image must have shape \(D,\), .* but got shape \(2, 4\)"
    ):
        unexplained(torch.rand(2, 4), torch.rand(5, 4))
    with pytest.raises(
        ValueError, match=r"columns must be an integer of at least 1, but got .* and columns=0"
    ):
        unexplained(torch.rand(4), torch.rand(5, 4), columns=0)


def test_the_order_of_the_images_says_nothing():
    """Sorted by class, the judge would learn from some classes and be asked about the others."""
    real, fake = blobs(400, (8, 8), 8), blobs(400, (8, 8), 8, seed=1)
    real, fake = (d.images[d.labels.argsort()] / 255 for d in (real, fake))
    shares = [taken_for_real(real, fake.flip(0), steps=60, seed=seed) for seed in range(3)]
    # all fake ones with the classes of the real half: near 0 or 1
    assert 0.25 < sum(shares) / 3 < 0.75
