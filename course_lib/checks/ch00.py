"""Checks for chapter 00: images as points, dynamic binarization, nats per image."""

import torch
from torch import tensor
from torch.distributions import Bernoulli
from torch.nn.functional import softplus

from course_lib.checks.report import Student, Table, draws, exercise, expect


@exercise
def to_points(student: Student) -> None:
    """uint8 images (N, 28, 28) become float32 points (N, 784), each pixel in [0, 1]."""
    # brightest pixel 200, so that dividing by the maximum and by 255 differ
    images = torch.randint(0, 201, (3, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    flat = images.flatten(1).float()  # (N, 784)
    x = flat / 255
    mistakes = {
        "the grey values still run from 0 to 255: divide by 255.": flat,
        "the images are still squares: flatten each into a row of 784 pixels.": images / 255,
        "all images run into one long row: keep the first axis.": x.flatten(),
        "images are read column by column: a transpose comes before the reshape.": images.mT.flatten(1) / 255,
        "pixels of different images are mixed: reshape to (N, 784) directly.": x.reshape(784, -1).T,
        "divided by 256: the brightest value is 255, and must become 1.": flat / 256,
        "divided by this batch's maximum, so an image depends on its neighbours: use 255.": flat / flat.max(),
        "everything is 0: `//` or an integer dtype cuts the fractions off.": 0 * flat,
    }
    laws = {"pixels must lie in [0, 1].": lambda pixels: (pixels >= 0) & (pixels <= 1)}
    Table({"images": images}, x, mistakes, laws, dtype=torch.float32).ask(student)
    squeezed = {"a batch of one image loses its first axis: `squeeze` is the usual cause.": x[0]}
    Table({"images": images[:1]}, x[:1], squeezed, dtype=torch.float32).ask(student)


@exercise
def binarize(student: Student) -> None:
    """pixels (N, D) become a fresh draw of 0s and 1s whose mean is the grey value."""
    n, grey = 4000, tensor([0.0, 0.1, 0.35, 0.6, 0.9, 1.0])
    pixels = grey.repeat(n, 1)  # (N, D)
    threshold = "a threshold, always the same: grey 0.35 must become 1 in 35 % of the draws, by chance."
    frozen = {threshold: pixels.round(), "the grey values come back: draw a 0 or a 1 for each.": pixels}
    draw = draws(student, frozen, pixels.shape, pixels)
    odd = draw[(draw != 0) & (draw != 1)].tolist()
    expect(not odd, f"a draw holds only 0 and 1, yours holds {odd[0] if odd else 0:.3f}.")
    expect((draw != draw[0]).any(), "all images get the same draw: take a random number per image and pixel.")
    rising, share = draw.diff(dim=1)[:, 1:4], draw.mean(0)  # (N, 3), (D,)
    mixed = (rising < 0).any() and (rising > 0).any()
    expect(mixed, "one random number serves all pixels of an image: draw one per pixel, of shape (N, D).")
    mistakes = {
        "black and white are swapped: a bright pixel must be 1 often (`uniform < pixel`).": 1 - grey,
        "every pixel is a fair coin: its grey value must be the probability of a 1.": 0 * grey + 0.5,
    }
    for says, wrong in mistakes.items():
        expect((share - wrong).abs().max() > 0.05, says)
    off = (share - grey).abs() - 5 * (grey * (1 - grey) / n).sqrt()  # beyond five standard errors of a share
    k = int(off.argmax())
    expect(off[k] < 1e-3, f"of the pixels with grey {grey[k]:.2f} {share[k]:.1%} become 1.")


@exercise
def nats_per_image(student: Student) -> None:
    """logits and targets (N, D) give nats per image: summed over pixels, averaged over images, any logit."""
    a = tensor([[0.5, -1.0, 2.0], [-0.3, 1.5, -2.5]])
    t = tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    p, nll = a.sigmoid(), -Bernoulli(logits=a).log_prob(t)  # (N, D)
    mistakes = {
        "averaged over pixels (784 times too small): sum over pixels, average over images.": nll.mean(),
        "summed over images: sum over pixels, but average over images.": nll.sum(),
        "pixels and images are swapped: sum over pixels, average over images.": nll.sum(0).mean(),
        "the sign is turned: this is the log-likelihood, the loss is minus that.": -nll.sum(1).mean(),
        "the average over images is missing: one number is wanted.": nll.sum(1),
        "the sigmoid is applied twice: `..._with_logits` does it already.":
            (softplus(p) - p * t).sum(1).mean(),
        "only pixels with target 1 count: (1 − target) · log(1 − p) is missing.": (t * nll).sum(1).mean(),
        "this is the squared error, not a log-probability.": ((p - t) ** 2).sum(1).mean(),
        "a logit is no probability, its logarithm is NaN: take the sigmoid first.": nll.sum() * torch.nan,
    }  # fmt: skip
    Table({"logits": a, "targets": t}, nll.sum(1).mean(), mistakes).ask(student)
    far = {"logits": tensor([[200.0, -150.0, 180.0]]), "targets": tensor([[0.0, 1.0, 1.0]])}
    clamped = {"cut off at 100 nats a pixel by `binary_cross_entropy`: use `..._with_logits`.": tensor(200.0)}
    why = "The sigmoid of a large logit rounds to 0 or 1, whose log is −∞: work with the logits."
    Table(far, tensor(350.0), clamped, not_finite=why).ask(student)
