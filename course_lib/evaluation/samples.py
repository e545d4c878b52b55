"""The yardsticks for samples whose probability nobody knows: what images look like to a trained classifier.

`features` are the rows (N, 64) of Classifier.features. A Fréchet distance in this space is never set beside
published Inception FIDs: it stands between its floor, real against real, and its ceiling, damaged digits.

Compare like with like: black and white images beside a fixed binarization, grey ones beside grey ones. Where
one set is grey and the other black and white, a warning says so.
"""

import math
import warnings
from collections.abc import Iterator, Sequence

import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import pad, softplus

from course_lib import require
from course_lib.data.shapes import image_shape
from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.likelihood import within_class_diversity
from course_lib.models.networks import Encoder
from course_lib.training import Run
from course_lib.training.state import aside, seeded

DISTANCES_AT_ONCE = 8_000_000  # 32 MB in float32


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μa − μb‖² + tr(A + B − 2 (AB)^½) of the Gaussians with the means and covariances of a and b, (N, d).

    The squared Wasserstein distance of these Gaussians, in squared units of the features. It falls with N:
    compare equal numbers of samples. Raises ValueError for fewer than two rows. Source: Heusel et al.
    2017, eq. 6.
    """
    _check_sets(a, b, 2)
    a, b = a.cpu().double(), b.cpu().double()  # Apple's GPU has no float64
    values, vectors = torch.linalg.eigh(torch.cov(a.T).reshape(a.shape[1], -1))
    root = vectors * values.clamp(min=0).sqrt()  # (d, d), root @ root.T is the covariance of a
    # AB has the eigenvalues of rootᵀ B root, which is symmetric: no complex numbers from rounding
    inner = torch.linalg.eigvalsh(root.T @ torch.cov(b.T).reshape(b.shape[1], -1) @ root)
    spread = a.var(0).sum() + b.var(0).sum() - 2 * inner.clamp(min=0).sqrt().sum()
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum() + spread))


def _check_sets(a: Tensor, b: Tensor, least: int = 1) -> None:
    require.tensors(a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < least:
        raise ValueError(
            f"Pass two sets of features (N, d), or images.flatten(1), N at least {least}: "
            f"not {tuple(a.shape)}, {tuple(b.shape)}."
        )
    if not a.is_floating_point() or not b.is_floating_point():
        raise ValueError(
            f"Features and pixels are floating numbers, not {a.dtype}, {b.dtype}: use digits.pixels()."
        )
    if not (require.all_finite(a) and require.all_finite(b)):
        raise ValueError("Some feature is NaN or infinite: look at the images, or at the network.")


def class_shares(labels: Tensor, classes: int = 10) -> Tensor:
    """The share of each class among labels (N,): (classes,), float64. Its minimum shows a lost mode.

    classes: how many there could be, which the labels alone cannot tell. Raises ValueError for anything but
    integer labels 0 … classes − 1, one a row.
    """
    if not require.is_count(classes):
        raise ValueError(f"classes is a whole number, at least 1, not {classes!r}.")
    require.labels(labels, classes)
    if len(labels) == 0:
        raise ValueError("There is no label to count.")
    return torch.bincount(labels.long(), minlength=classes).cpu().double() / len(labels)


def kl_to_uniform(shares: Tensor) -> float:
    """KL(shares ‖ uniform) in nats: 0 for equal shares, log(classes) if there is one class only.

    Raises ValueError for numbers that are not shares.
    """
    require.tensors(shares)
    if shares.ndim != 1 or not bool((shares >= 0).all()) or abs(float(shares.sum()) - 1) > 1e-3:
        raise ValueError("Shares are 0 or more and add up to 1: use class_shares(labels).")
    return float(torch.xlogy(shares, shares * len(shares)).sum())


def classifier_score(logits: Tensor) -> float:
    """exp of the mean KL(P(y|x) ‖ P(y)) of logits (N, classes): from 1 up to the number of classes.

    High if each image is clearly of one class and all classes are there. What varies inside a class does not
    count. Source: the inception score of Salimans et al. 2016, with the course's classifier.
    Raises ValueError for anything else: no rows, other axes, whole numbers, NaN or infinity.
    """
    require.tensors(logits)
    if logits.ndim != 2 or 0 in logits.shape or not logits.is_floating_point():
        raise ValueError(f"Pass logits (N, classes), not {logits.dtype} {tuple(logits.shape)}.")
    if not bool(logits.isfinite().all()):
        raise ValueError("Some logit is NaN or infinite: look at the images, or at the network.")
    log_p = logits.cpu().double().log_softmax(1)  # (N, classes)
    log_mean = log_p.logsumexp(0) - torch.tensor(float(len(log_p))).double().log()
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision: the share of fake features (M, d) that lie among the real ones (N, d); recall: the reverse.

    "Among": within the distance from some point of the other set to its own k-th nearest neighbour there.
    Both sets should be of one size. Real against real stays below 1, so report it too.
    Raises ValueError for fewer than k + 1 rows. Source: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    require.tensors(real, fake)
    if not require.is_count(k) or min(len(real), len(fake)) <= k:
        raise ValueError(f"Neighbour k = {k} needs sets of more than {k} rows, and k of at least 1.")
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, centres: Tensor, k: int) -> float:
    # k + 1, because the nearest of all is the point itself
    radii = torch.cat([d.topk(k + 1, 1, largest=False).values[:, k] for d in _distances(centres, centres)])
    return float(torch.cat([(d <= radii).any(1) for d in _distances(points, centres)]).cpu().double().mean())


def nearest(images: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance (M,) from each image (M, D) to the nearest of `among` (N, D), and its index (M,).

    Copies of training images show as distances far below those of real images that were never trained on.
    """
    index = torch.cat([d.argmin(1) for d in _distances(images, among)])
    return (images - among[index]).norm(dim=1), index  # anew, because the fast distances are rounded


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Rows of the matrix of distances, some of `a` at a time: whole, it would not fit into memory.

    By |a|² + |b|² − 2ab, much faster than differences; of a point to itself it is not quite 0. torch.cdist
    can compute the same, but it copies all of `b` for each part.
    """
    _check_sets(a, b)
    b_squared = torch.linalg.vector_norm(b, dim=1).square()  # (N,)

    def distances(part: Tensor) -> Tensor:
        products = torch.addmm(b_squared, part, b.T, alpha=-2)  # (rows, N)
        return products.add_(part.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_()

    rows = max(1, DISTANCES_AT_ONCE // len(b))
    return (distances(part.to(b.dtype)) for part in a.split(rows))


def unexplained(image: Tensor, among: Tensor, columns: int = 300) -> float:
    """The share of |image|² that the best mixture of the nearest images leaves: image (D,), among (N, D).

    A mixture has weights that are not negative and add up to 1, here over the `columns` nearest only: over
    all it would be a little better, for every image. By non-negative least squares, with a row for the sum.
    Raises ValueError for a blank image, of which there is nothing to explain.
    """
    require.tensors(image, among)
    if image.ndim != 1 or not require.is_count(columns):
        raise ValueError(
            f"Pass one image (D,), and columns of at least 1, not {tuple(image.shape)} and {columns!r}."
        )
    if not bool(image.any()):
        raise ValueError("A blank image leaves no share: there is nothing to explain.")
    closest = next(_distances(image[None], among))[0].topk(min(columns, len(among)), largest=False).indices
    basis, image = among[closest].cpu(), image.cpu()  # scipy solves it
    heavy = 100 * float(image.norm()) + 1  # the sum of the weights is off by about one over its square
    rows = torch.cat([basis, torch.full((len(basis), 1), heavy)], 1).T.double()  # (D + 1, columns)
    target = torch.cat([image, image.new_tensor([heavy])]).double()  # (D + 1,)
    weights = torch.from_numpy(nnls(rows.numpy(), target.numpy())[0])
    return float((image - weights @ basis.double()).square().sum() / image.square().sum())


def taken_for_real(
    real: Tensor,
    fake: Tensor,
    *,
    seed: int = 0,
    steps: int = 400,
    shape: Sequence[int] | None = None,
) -> float:
    """The share of fake images that a fresh discriminator takes for real: 0.5 if it cannot tell.

    It learns from half of the real and half of the fake ones, as many of each, and judges the rest of the
    fake; chance decides which half an image is in. More steps make a stricter judge. Pixels in [0, 1]: images
    (N, H, W), (N, C, H, W) or (N, D), square, grey or RGB, unless `shape`, (H, W) or (C, H, W), says
    otherwise. Raises ValueError for fewer than four. torch's random state stays as it was. An interrupt gives
    no number: it is a KeyboardInterrupt.
    """
    require.tensors(real, fake)
    half = min(len(real), len(fake)) // 2
    _check_sizes(real, fake, half)
    if not require.is_count(steps):
        raise ValueError(f"steps is a whole number, at least 1, not {steps!r}.")
    channels, height, width = image_shape(real, shape)
    for images in (real, fake):
        require.images(images.flatten(1), channels * height * width)
    if real.dtype != fake.dtype or real.device != fake.device:
        raise ValueError(
            f"Real and fake images must be alike: {real.dtype} on {real.device} here, "
            f"{fake.dtype} on {fake.device} there."
        )
    _warn_of_other_pixels(real, fake)
    # the judge's convolutions halve an image twice: black rows and columns fill it up
    more = (0, -width % 4, 0, -height % 4)
    real, fake = (pad(x.float().reshape(-1, channels, height, width), more).flatten(1) for x in (real, fake))
    padded = (channels, height + -height % 4, width + -width % 4)
    with seeded(real.device, seed):
        # they may come class by class: then one half would hold classes that the other has not
        real, fake = (x[torch.randperm(len(x), device=x.device)] for x in (real, fake))
        judge = Encoder(padded, 1, (32, 64), "silu", "conv").to(real.device)
        optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)

        def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            loss = softplus(-judge(batch[0])).mean() + softplus(judge(batch[1])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss}

        batch = min(64, half)
        run = Run((real[:half], fake[:half]), batch_size=batch, seed=seed, judge=judge, optimizer=optimizer)
        # a Run's epoch ends with what is left over, if that is more than one row
        run.train(step, steps / (half // batch + (half % batch > 1)), quiet=True)
        if run.step < steps:
            raise KeyboardInterrupt  # Run returns after one, with a judge that has not learned enough
        with torch.no_grad():
            return float(torch.cat([judge(x) > 0 for x in fake[half:].split(1000)]).cpu().double().mean())


def _check_sizes(real: Tensor, fake: Tensor, half: int) -> None:
    """Raise ValueError for too few images, and unless those of both sets have one size."""
    if half < 2:
        raise ValueError(f"Half of each must be at least two images: {len(real)} real, {len(fake)} fake.")
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            "Real and fake images must have one size: "
            f"real ones are {tuple(real.shape[1:])} here, fake ones {tuple(fake.shape[1:])}."
        )


def judge(images: Tensor, real: Tensor, referee: Classifier) -> dict[str, float]:
    """All that the referee says of images (M, D) beside real ones (N, D), pixels in [0, 1], by name.

    "frechet", "precision" and "recall" compare with `real`, the others use the images alone; "diversity" is
    the mean squared distance of two images of a class, in features, NaN if no class has two. Put `judge`
    of other real images beside it. The referee tells how large the images are and how many classes there
    could be: the shipped one knows MNIST, `train_classifier` makes others.
    """
    require.tensors(images, real)
    with aside(images.device, 0, referee):
        referee.eval()
        features = torch.cat([referee.features(x) for x in images.split(1000)])  # (M, 64)
        true = torch.cat([referee.features(x) for x in real.split(1000)])
        logits = referee.head(features)  # (M, classes)
    _warn_of_other_pixels(real, images)
    labels = logits.argmax(1)
    shares = class_shares(labels, logits.shape[1])
    precision, recall = precision_recall(true, features)
    several = shares.to(labels.device)[labels] * len(labels) > 1.5  # a class of one image has no distance
    diversity = math.nan
    if bool(several.any()):
        diversity = within_class_diversity(features[several], labels[several])
    return {
        "frechet": frechet_distance(features, true),
        "precision": precision,
        "recall": recall,
        "classifier score": classifier_score(logits),
        "smallest share": float(shares.min()),
        "class KL": kl_to_uniform(shares),
        "diversity": diversity,
    }


def _warn_of_other_pixels(real: Tensor, fake: Tensor) -> None:
    """Warn if one of the two sets is black and white and the other grey: that alone sets them apart."""
    found = ["black and white" if bool(((x == 0) | (x == 1)).all()) else "grey" for x in (real, fake)]
    if found[0] != found[1]:
        warnings.warn(
            f"The real images are {found[0]} and the others {found[1]}, which alone sets them apart: "
            "put black and white ones beside fixed_binarization(digits.images), grey ones beside "
            "digits.pixels().",
            stacklevel=3,
        )
