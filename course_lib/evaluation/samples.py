"""Measures for samples whose probability is unknown, based on the features of a trained classifier.

The features, of shape (N, 64), are those returned by Classifier.features. A Fréchet distance in
this space must not be compared with published Inception FIDs. Instead, compare the distance with a
floor (the value for two sets of real digits) and a ceiling (the value for real digits and damaged
digits).

Compare images of the same kind: black-and-white images with binarized digits
(`fixed_binarization`), and grey images with grey digits. A warning is issued if one set is grey and
the other is black and white.
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
    """Return the Fréchet distance ‖μa − μb‖² + tr(A + B − 2 (AB)^½) between two sets of features.

    a, b: features of shape (N, d). Here, μa and μb are the means of the features, and A and B are
    their covariances. The result is the squared Wasserstein distance between two Gaussians with
    these means and covariances, in squared units of the features. The distance decreases as N
    grows, so compare sets of equal size. Raises ValueError if a set has fewer than two rows.
    Source: Heusel et al. 2017, eq. 6.
    """
    _check_sets(a, b, 2)
    a, b = a.cpu().double(), b.cpu().double()  # Apple's GPUs do not support float64
    values, vectors = torch.linalg.eigh(torch.cov(a.T).reshape(a.shape[1], -1))
    root = vectors * values.clamp(min=0).sqrt()  # (d, d); root @ root.T is the covariance of a
    # AB has the eigenvalues of the symmetric rootᵀ B root, so rounding cannot make them complex
    inner = torch.linalg.eigvalsh(root.T @ torch.cov(b.T).reshape(b.shape[1], -1) @ root)
    spread = a.var(0).sum() + b.var(0).sum() - 2 * inner.clamp(min=0).sqrt().sum()
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum() + spread))


def _check_sets(a: Tensor, b: Tensor, least: int = 1) -> None:
    require.tensors(a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < least:
        raise ValueError(
            f"Expected two sets of features of shape (N, d), where N is at least {least}, "
            f"but got {tuple(a.shape)} and {tuple(b.shape)}. For images, pass images.flatten(1)."
        )
    if not a.is_floating_point() or not b.is_floating_point():
        raise ValueError(
            f"Features and pixels must be floating-point numbers, not {a.dtype} and {b.dtype}. "
            "Use digits.pixels()."
        )
    if not (require.all_finite(a) and require.all_finite(b)):
        raise ValueError("Some features are NaN or infinite. Check the images and the network.")


def class_shares(labels: Tensor, classes: int = 10) -> Tensor:
    """Return the proportion of the labels that belong to each class,
    as a float64 tensor of shape (classes,).

    A proportion of 0 indicates a missing mode. classes: the number of possible classes, which
    cannot be inferred from the labels. Raises ValueError unless the labels, of shape (N,) with
    N > 0, are integers from 0 to classes − 1.
    """
    if not require.is_count(classes):
        raise ValueError(f"classes must be an integer of at least 1, not {classes!r}.")
    require.labels(labels, classes)
    if len(labels) == 0:
        raise ValueError("There are no labels to count. Pass at least one label.")
    return torch.bincount(labels.long(), minlength=classes).cpu().double() / len(labels)


def kl_to_uniform(shares: Tensor) -> float:
    """Return KL(shares ‖ uniform) in nats.

    It is 0 for equal shares, and log(classes) if only one class occurs. Raises ValueError unless
    the elements of `shares` are non-negative and sum to 1.
    """
    require.tensors(shares)
    if shares.ndim != 1 or not bool((shares >= 0).all()) or abs(float(shares.sum()) - 1) > 1e-3:
        raise ValueError("Shares must be non-negative and sum to 1. Use class_shares(labels).")
    return float(torch.xlogy(shares, shares * len(shares)).sum())


def classifier_score(logits: Tensor) -> float:
    """Return the exponential of the mean KL(P(y|x) ‖ P(y)) for logits of shape (N, classes).

    The score ranges from 1 to the number of classes. The score is high if each image clearly
    belongs to one class and all classes occur; variation within a class has no effect.
    Raises ValueError unless the logits are finite floating-point numbers of shape
    (N, classes), with N > 0.
    Source: the inception score of Salimans et al. 2016, with the course's classifier.
    """
    require.tensors(logits)
    if logits.ndim != 2 or 0 in logits.shape or not logits.is_floating_point():
        raise ValueError(
            "Expected floating-point logits of shape (N, classes), "
            f"but got {logits.dtype} of shape {tuple(logits.shape)}."
        )
    if not bool(logits.isfinite().all()):
        raise ValueError("Some logits are NaN or infinite. Check the images and the network.")
    log_p = logits.cpu().double().log_softmax(1)  # (N, classes)
    log_mean = log_p.logsumexp(0) - torch.tensor(float(len(log_p))).double().log()
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Return the precision and the recall of fake features with respect to real features.

    real, fake: features of shape (N, d) and (M, d), respectively. Precision is the proportion of
    fake features inside the real set, and recall is the proportion of real features inside the fake
    set. A point is inside a set if its distance to some member of the set is at most the distance
    from that member to its k-th nearest neighbour in the set. Both sets should have the same size.
    Even two sets of real images give values below 1, so report these values for comparison. Raises
    ValueError if a set has fewer than k + 1 rows.
    Source: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    require.tensors(real, fake)
    if not require.is_count(k) or min(len(real), len(fake)) <= k:
        raise ValueError(
            "k must be an integer that is at least 1 and less than the number of rows in each "
            f"set, but got k={k!r} for sets of {len(real)} and {len(fake)} rows."
        )
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, centres: Tensor, k: int) -> float:
    # k + 1, because the nearest neighbour of each point is the point itself
    nearest_first = (d.topk(k + 1, 1, largest=False).values for d in _distances(centres, centres))
    radii = torch.cat([values[:, k] for values in nearest_first])  # one per centre
    inside = torch.cat([(d <= radii).any(1) for d in _distances(points, centres)])
    return float(inside.cpu().double().mean())


def nearest(images: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """For each image, find the nearest image in the set `among`.

    images: pixels of shape (M, D). among: pixels of shape (N, D). Returns the distances and the
    indices, both of shape (M,). The distance is Euclidean. Copies of training images have far
    smaller distances than real images that were not used for training.
    """
    index = torch.cat([d.argmin(1) for d in _distances(images, among)])
    # recomputed, because the fast distances are rounded
    return (images - among[index]).norm(dim=1), index


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield the distances from a to b in blocks of rows,
    because the full matrix may not fit into memory.

    Using the formula |a|² + |b|² − 2ab is much faster than computing differences, but it does not
    give exactly 0 for the distance from a point to itself. torch.cdist gives the same result, but
    copies all of `b` for each block.
    """
    _check_sets(a, b)
    b_squared = torch.linalg.vector_norm(b, dim=1).square()  # (N,)

    def distances(part: Tensor) -> Tensor:
        products = torch.addmm(b_squared, part, b.T, alpha=-2)  # (rows, N)
        return products.add_(part.square().sum(1, keepdim=True)).clamp_(min=0).sqrt_()

    rows = max(1, DISTANCES_AT_ONCE // len(b))
    return (distances(part.to(b.dtype)) for part in a.split(rows))


def unexplained(image: Tensor, among: Tensor, columns: int = 300) -> float:
    """Return the fraction of |image|² that the best mixture of images in `among` cannot explain.

    image: pixels (D,). among: pixels (N, D). The weights of a mixture are non-negative and sum to
    1. Only the `columns` nearest images are used; using all images would give slightly smaller
    fractions. The weights are found by non-negative least squares with an extra row that makes them
    sum to 1. Raises ValueError for a blank image, which leaves nothing to explain.
    """
    require.tensors(image, among)
    if image.ndim != 1 or not require.is_count(columns):
        raise ValueError(
            "image must have shape (D,), and columns must be an integer of at least 1, "
            f"but got shape {tuple(image.shape)} and columns={columns!r}."
        )
    if not bool(image.any()):
        raise ValueError(
            "All pixels of the image are 0, so there is nothing to explain. Pass another image."
        )
    distances = next(_distances(image[None], among))[0]  # (N,)
    closest = distances.topk(min(columns, len(among)), largest=False).indices
    basis, image = among[closest].cpu(), image.cpu()  # scipy works on the CPU
    heavy = 100 * float(image.norm()) + 1  # the sum of the weights has an error of about 1 / heavy²
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
    """Return the proportion of fake images that a new discriminator classifies as real.

    A discriminator that merely guesses yields a proportion of about 0.5. The discriminator is
    trained on random subsets of the real and fake images, each half the size of the smaller set,
    and then judges the remaining fake images. More training steps make it harder to fool. The
    images have pixels in [0, 1] and shape (N, H, W), (N, C, H, W) or (N, D). Flattened images are
    assumed to be square, and either greyscale or RGB, unless `shape` is set to (H, W) or (C, H, W).
    Raises ValueError if there are fewer than four real images or fewer than four fake ones, and
    KeyboardInterrupt if training is interrupted. Afterwards, torch's random state is restored.
    """
    require.tensors(real, fake)
    half = min(len(real), len(fake)) // 2
    _check_sizes(real, fake, half)
    if not require.is_count(steps):
        raise ValueError(f"steps must be an integer of at least 1, not {steps!r}.")
    channels, height, width = image_shape(real, shape)
    for images in (real, fake):
        require.images(images.flatten(1), channels * height * width)
    if real.dtype != fake.dtype or real.device != fake.device:
        raise ValueError(
            "Real and fake images must have the same type and device, but the real images are "
            f"{real.dtype} on {real.device} and the fake images are {fake.dtype} on {fake.device}."
        )
    _warn_of_other_pixels(real, fake)
    # the judge halves each side twice, so black rows and columns pad the images to multiples of 4
    more = (0, -width % 4, 0, -height % 4)
    planes = (x.float().reshape(-1, channels, height, width) for x in (real, fake))
    real, fake = (pad(x, more).flatten(1) for x in planes)
    padded = (channels, height + -height % 4, width + -width % 4)
    with seeded(real.device, seed):
        # if the images are sorted by class, the halves would otherwise contain different classes
        real, fake = (x[torch.randperm(len(x), device=x.device)] for x in (real, fake))
        judge = _trained_judge(real[:half], fake[:half], padded, seed, steps)
        with torch.no_grad():
            fooled = torch.cat([judge(x) > 0 for x in fake[half:].split(1000)])
    return float(fooled.cpu().double().mean())


def _trained_judge(
    real: Tensor, fake: Tensor, shape: tuple[int, int, int], seed: int, steps: int
) -> Encoder:
    """Train a discriminator on equal numbers of real and fake images.

    real, fake: pixels of shape (n, D). shape: the shape (C, H, W) of one image.
    """
    judge = Encoder(shape, 1, (32, 64), "silu", "conv").to(real.device)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        loss = softplus(-judge(batch[0])).mean() + softplus(judge(batch[1])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    n = len(real)
    batch = min(64, n)
    run = Run((real, fake), batch_size=batch, seed=seed, judge=judge, optimizer=optimizer)
    # the last batch of an epoch contains the remaining rows, if there is more than one
    run.train(step, steps / (n // batch + (n % batch > 1)), quiet=True)
    if run.step < steps:
        raise KeyboardInterrupt  # Run returns early after an interrupt
    return judge


def _check_sizes(real: Tensor, fake: Tensor, half: int) -> None:
    """Raise ValueError if a set has fewer than four images or if the images differ in size."""
    if half < 2:
        raise ValueError(
            "Expected at least four real and four fake images, "
            f"but got {len(real)} and {len(fake)}."
        )
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            "Real and fake images must have the same size, but real images have shape "
            f"{tuple(real.shape[1:])} and fake images have shape {tuple(fake.shape[1:])}."
        )


def judge(images: Tensor, real: Tensor, referee: Classifier) -> dict[str, float]:
    """Compute all measures for a set of images, and return them as a dict keyed by name.

    images, real: pixels in [0, 1] of shape (M, D) and (N, D), respectively. "frechet", "precision"
    and "recall" compare the images with `real`; the other measures use the images alone.
    "diversity" is the mean squared distance between the features of two images of the same class,
    averaged over the classes, or NaN if no class has two images. For comparison, also judge a
    second set of real images. The referee determines the image size and the possible classes. The
    shipped classifier is for MNIST; `train_classifier` trains classifiers for other data sets.
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
    # a class of one image has no distance
    several = shares.to(labels.device)[labels] * len(labels) > 1.5
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
    """Warn if one set is black and white and the other is grey,
    because this difference alone is enough to distinguish the two sets.
    """
    found = [
        "black and white" if bool(((x == 0) | (x == 1)).all()) else "grey" for x in (real, fake)
    ]
    if found[0] != found[1]:
        warnings.warn(
            f"The real images are {found[0]}, but the other images are {found[1]}, "
            "and this alone makes the sets different: compare black and white images "
            "with fixed_binarization(digits.images), and grey images with digits.pixels().",
            stacklevel=3,
        )
