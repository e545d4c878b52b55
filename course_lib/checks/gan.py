"""Checks for “GANs on MNIST”: the R1 penalty, the KL divergence that reveals missing classes,
and precision.
"""

import secrets

import torch
from torch import Tensor, cdist, tensor

from course_lib.checks.report import (
    Inputs,
    Mistake,
    Student,
    Table,
    agrees,
    call,
    exercise,
    expect,
    number_or_tensor,
    other_inputs,
    other_units,
    same,
)

OLD = 0.25  # the gradient left in D's weights by an earlier step


# ---------------------------------------------------------------- R1


class Critic:
    """A discriminator that maps an image x to the logit ½ Σ w·x² + 0.7.

    The gradient of the logit with respect to x is w·x.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.clone().requires_grad_()  # (D,)
        self.weight.grad = torch.full_like(weight, OLD)

    def __call__(self, images: object) -> Tensor:
        if not isinstance(images, Tensor) or images.shape[-1:] != self.weight.shape:
            raise Mistake(f"`logit` takes images of shape (N, {len(self.weight)}).")
        return (self.weight.to(images.dtype) * images.square()).sum(-1) / 2 + 0.7


def r1(logit: Critic, x: Tensor) -> Tensor:
    """Return the correct answer to `r1_penalty`, with a gradient that reaches D's weights."""
    return (logit.weight * x).square().sum(1).mean() / 2


@exercise
def r1_penalty(student: Student) -> None:
    """The result is half the mean of ‖∂a/∂x‖² over the images, where a is D's logit,
    and it is differentiable with respect to D's weights.
    """
    logit = Critic(tensor([1.1, -0.6, 2.3]))
    x = tensor([[0.4, 1.2, 0.9], [1.7, 0.3, 0.2], [0.6, 2.1, 1.4], [0.1, 0.5, 0.8]])  # (N, D)
    found = call(student, logit, x)
    again = call(student, logit, x)
    if isinstance(found, Tensor) and isinstance(again, Tensor):
        says = (
            "two calls give different results, so your function draws noise. R1 uses the real "
            "images themselves."
        )
        expect(same(found.detach(), again.detach()), says)
    says = (
        "your function changes the gradients of D's weights. `torch.autograd.grad` does not "
        "change `.grad`."
    )
    old = torch.full_like(logit.weight, OLD)
    expect(logit.weight.grad is not None and same(logit.weight.grad, old), says)
    says = "D's weights are still frozen. D must learn from the penalty."
    expect(logit.weight.requires_grad, says)

    right = r1(logit, x).detach()
    given = {"the logit ½ Σ w·x² + 0.7 with w": logit.weight.detach()}
    given |= {f"image {i}": image for i, image in enumerate(x, 1)}
    Table(given, right, wrong_penalties(logit, x), differentiable=True).judge(found)

    def draw(source: torch.Generator, n: int, pixels: int) -> Inputs:
        weight = torch.randn(pixels, generator=source)
        return {"logit": Critic(weight), "x": torch.rand(n, pixels, generator=source) + 0.2}

    other = 6 + secrets.randbelow(4), 5 + secrets.randbelow(4)
    other_inputs(student, r1, draw, (4, 3), other)
    expect_d_learns(found, logit, x)
    expect_a_flat_place(student, logit, x)


def wrong_penalties(logit: Critic, x: Tensor) -> dict[str, Tensor]:
    """Return the results that typical mistakes produce in place of the R1 penalty."""
    return wrong_norms(logit, x) | wrong_gradients(logit, x)


def wrong_norms(logit: Critic, x: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with a wrong factor,
    or by squaring, summing or averaging incorrectly.
    """
    slopes = (logit.weight * x).detach()  # (N, D)
    norms = slopes.norm(dim=1)  # (N,)
    right, n, pixels = norms.square().mean() / 2, *x.shape
    return {
        "the factor ½ is missing.": 2 * right,
        "the factor ½ is applied twice.": right / 2,
        "the sign is flipped. The penalty must grow with D's gradient.": -right,
        "the penalty is summed over the images. Take the mean over the images.": n * right,
        "the penalty is also averaged over an image's pixels. Sum over the pixels.": right / pixels,
        "the penalty is also averaged over the pixels, and the factor ½ is missing.": (
            2 * right / pixels
        ),
        "averaging and summing are swapped. Sum over pixels, and average over images.": (
            n * right / pixels
        ),
        "the norm is not squared.": norms.mean() / 2,
        "the norm is not squared, and the factor ½ is missing.": norms.mean(),
        "the mean norm is squared. Square each norm first, then take the mean.": (
            norms.mean().square() / 2
        ),
        "the norm is squared twice.": norms.pow(4).mean() / 2,
        "absolute values of the gradients are summed. Sum their squares.": (
            slopes.abs().sum(1).mean() / 2
        ),
        "an image's gradients are summed before squaring. Square each one, then sum.": (
            slopes.sum(1).square().mean() / 2
        ),
        (
            "the gradients are averaged over the images before squaring. Square each image's own "
            "gradient."
        ): slopes.mean(0).square().sum() / 2,
        (
            "the gradients are summed over the images before squaring. Square each image's own "
            "gradient."
        ): slopes.sum(0).square().sum() / 2,
        "only the largest gradient counts. Take the mean over the images.": (
            norms.square().amax() / 2
        ),
    }


def wrong_gradients(logit: Critic, x: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by penalizing the wrong gradient,
    or by penalizing or returning the wrong quantity.
    """
    slopes = (logit.weight * x).detach()  # (N, D)
    norms = slopes.norm(dim=1)  # (N,)
    right, n = norms.square().mean() / 2, len(x)
    logits = logit(x).detach()  # (N,)
    p = logits.sigmoid()[:, None]  # (N, 1)
    of_d, of_log_d = p * (1 - p) * slopes, (1 - p) * slopes  # of D and of log D
    of_mean = "the gradient is that of the mean logit, N times too small. Differentiate the sum."
    one = "the gradient norm is pulled towards 1, as in the Wasserstein GAN. R1 pulls it towards 0."
    return {
        of_mean: right / n**2,
        "the gradient is that of the mean logit, summed over images. Differentiate the sum.": (
            right / n
        ),
        one: (norms - 1).square().mean(),
        f"{one} The factor ½ is right.": (norms - 1).square().mean() / 2,
        "the logit itself is penalized. Take its gradient with respect to x.": (
            logits.square().mean() / 2
        ),
        "the mean logit is returned. Take the gradient with respect to x.": logits.mean(),
        "half the mean logit is returned. Take the gradient with respect to x.": logits.mean() / 2,
        "the gradient is that of D's probability, after a sigmoid. R1 uses that of the logit.": (
            of_d.square().sum(1).mean() / 2
        ),
        "the gradient is that of log D. R1 uses that of the logit itself.": (
            of_log_d.square().sum(1).mean() / 2
        ),
        "the gradient is that of D's loss over the batch. R1 uses that of the logit.": (
            (of_log_d / n).square().sum(1).mean() / 2
        ),
        "the gradient itself is returned. Return half of the mean squared norm.": slopes,
        "the result has one value per image. Take the mean over the images.": norms.square() / 2,
        "the result has one norm per image. Return half of the mean of their squares.": norms,
        "one norm is taken over all images. Take one norm per image, then the mean.": n * 2 * right,
        "the result is the norm over all images, without a square.": slopes.norm(),
        "the result is half the norm over all images, without a square.": slopes.norm() / 2,
        "the weight γ must be left out. Return half of the mean squared norm.": 10 * right,
    }


def expect_d_learns(found: Tensor, logit: Critic, x: Tensor) -> None:
    """Raise Mistake unless the penalty has the right gradient with respect to D's weights."""
    says = (
        "the number is right, but D cannot learn from it. Use `torch.autograd.grad(..., "
        "create_graph=True)`."
    )
    expect(found.requires_grad, says)
    (slope,) = torch.autograd.grad(found, logit.weight, allow_unused=True)
    expect(slope is not None, says)
    (wanted,) = torch.autograd.grad(r1(logit, x), logit.weight)
    says = (
        "the number is right, but its gradient with respect to D's weights is wrong. Is a part "
        "cut by `detach`?"
    )
    expect(agrees(slope, wanted), says)


def expect_a_flat_place(student: Student, logit: Critic, x: Tensor) -> None:
    """Raise Mistake unless the penalty and its gradient are right when D is flat at one image."""
    flat = x * tensor([[1.0], [0.0], [1.0], [1.0]])  # D's gradient at the second image is 0
    value = call(student, logit, flat)
    where = "the penalty where D is flat at one image"
    Table({}, r1(logit, flat).detach()).judge(value, where)
    (slope,) = torch.autograd.grad(value, logit.weight)
    (wanted,) = torch.autograd.grad(r1(logit, flat), logit.weight)
    root = (
        "The square root has an infinite derivative at 0. Sum the squares without taking a square "
        "root."
    )
    expect(
        slope.isfinite().all(),
        f"where D is flat at one image, D's weights get NaN gradients. {root}",
    )
    expect(agrees(slope, wanted), f"{where} has a wrong gradient with respect to D's weights.")


# ---------------------------------------------------------------- missing classes


def kl_to_uniform(labels: Tensor) -> Tensor:
    """Return the correct answer to `class_kl`."""
    shares = labels.bincount(minlength=10) / len(labels)  # (10,)
    return torch.xlogy(shares, 10 * shares).sum()


@exercise
def class_kl(student: Student) -> None:
    """The result is KL(shares ‖ uniform) in nats, and it is finite even if a class is missing."""
    # few enough for a message; 2, 5, 6 and 8 are missing
    labels = tensor([0, 3, 3, 9, 1, 3, 4, 0, 7])
    right = kl_to_uniform(labels)
    laws = {"a KL divergence is never negative.": lambda kl: kl >= 0}
    mistakes = wrong_kls(labels) | reversed_kls(labels) | other_units(right)
    Table({"labels": labels}, right, mistakes, laws).ask(student)

    one_class, ten = torch.full((9,), 4), tensor(10.0)
    minlength = "Classes that do not occur count as well, so use `minlength=10`."
    only = {
        f"the result is wrong if only one class occurs. {minlength}": tensor(0.0),
        f"the uniform share must be 1/10, whatever the largest label is. {minlength}": (
            tensor(5.0).log()
        ),
    }
    why = (
        "Only one class occurs here, so nine classes have a share of 0. Leave them out of the sum."
    )
    Table({"labels": one_class}, ten.log(), only, not_finite=why).ask(student)

    def draw(source: torch.Generator, n: int, classes: int) -> Inputs:
        kinds = torch.randperm(10, generator=source)[:classes]
        return {"labels": kinds[torch.randint(classes, (n,), generator=source)]}

    other_inputs(student, kl_to_uniform, draw, (9, 6), (20 + secrets.randbelow(20), 5))
    says = "the KL must be 0 if all ten classes occur equally often."
    expect(agrees(call(student, torch.arange(10).repeat(2)), tensor(0.0)), says)


def wrong_kls(labels: Tensor) -> dict[str, Tensor]:
    """Return the results that typical mistakes produce in place of KL(shares ‖ uniform)."""
    return wrong_logarithms(labels) | other_measures(labels)


def wrong_logarithms(labels: Tensor) -> dict[str, Tensor]:
    """Return the results of computing the KL with wrong logarithms, weights or proportions."""
    counts, ten = labels.bincount(minlength=10), tensor(10.0)
    n = len(labels)
    shares = counts / n  # (10,)
    seen = shares[shares > 0]
    smooth = (counts + 1) / (n + 10)
    right = kl_to_uniform(labels)
    return {
        "the direction is reversed. KL(uniform ‖ shares) can be infinite.": right * torch.inf,
        "0 · log 0 counts as 0, but it gives NaN. Leave missing classes out.": right * torch.nan,
        "the logarithm of a share of 0 is minus infinity. Leave missing classes out.": (
            -right * torch.inf
        ),
        (
            "the direction is reversed. The result is KL(uniform ‖ shares) without the missing "
            "classes."
        ): (0.1 * (0.1 / seen).log()).sum(),
        "the result is the entropy of the shares. Return ln 10 minus the entropy.": (
            ten.log() - right
        ),
        "the term ln 10 is missing. The uniform share is 1/10.": right - ten.log(),
        "the logarithm of 10 has the wrong sign. The ratio share / 0.1 is 10 · share.": (
            right - 2 * ten.log()
        ),
        "ln 10 is added twice. The uniform share is 1/10.": right + ten.log(),
        "only classes that occur are counted. The uniform share is 1/10, not 1/6.": (
            (seen * (seen * len(seen)).log()).sum()
        ),
        "the uniform share is 1/10 for ten classes, not 1/N.": (seen * (seen * n).log()).sum(),
        "the result is averaged over the classes. Use the sum.": right / 10,
        "the result is averaged over the classes that occur. Use the sum.": right / len(seen),
        "the result is divided by N once more. The shares are already divided by N.": right / n,
        "the counts are not divided by N. The shares must sum to 1.": (
            torch.xlogy(counts, counts * ten).sum()
        ),
        "the logarithms use shares, but the weights are counts. Use shares for both.": n * right,
        "the weights of the logarithms are missing. Sum share · log(share / 0.1).": (
            (10 * seen).log().sum()
        ),
        "the logarithms are weighted by 1/10. Weight them by the shares.": (
            (0.1 * (10 * seen).log()).sum()
        ),
        "the counts are smoothed by 1. A class that does not occur has a share of 0.": (
            (smooth * (10 * smooth).log()).sum()
        ),
    }


def other_measures(labels: Tensor) -> dict[str, Tensor]:
    """Return other measures computed from the class proportions,
    and the results obtained by computing the KL incorrectly.
    """
    shares = labels.bincount(minlength=10) / len(labels)  # (10,)
    seen = shares[shares > 0]
    right, ten = kl_to_uniform(labels), tensor(10.0)
    added = (
        "is added inside the logarithm, which changes the result. Leave missing classes out of "
        "the sum."
    )
    middle = (shares + 0.1) / 2
    jsd = (torch.xlogy(shares, shares / middle).sum() + (0.1 * (0.1 / middle).log()).sum()) / 2
    return {
        "the result is the absolute difference from 1/10, not a KL.": (shares - 0.1).abs().sum(),
        "the result is half the absolute difference from 1/10, not a KL.": (
            (shares - 0.1).abs().sum() / 2
        ),
        "the result is the squared difference from 1/10, not a KL.": (shares - 0.1).square().sum(),
        "the result is chi-square. Use the logarithm of share / 0.1.": (
            (shares - 0.1).square().sum() / 0.1
        ),
        "the result is the Jensen–Shannon divergence. A KL uses the uniform shares themselves.": (
            jsd
        ),
        "the result is the sum of both KL divergences.": (seen - 0.1).mul((10 * seen).log()).sum(),
        "the exponential of the KL is returned.": right.exp(),
        "the exponential of the entropy is returned. Return ln 10 minus the entropy.": (
            (ten.log() - right).exp()
        ),
        "the result is the number of classes that occur.": tensor(float(len(seen))),
        "the result is the share of classes that occur.": tensor(len(seen) / 10),
        "0.01 " + added: (shares * (10 * (shares + 1e-2)).log()).sum(),
        "0.001 " + added: (shares * (10 * (shares + 1e-3)).log()).sum(),
        "the shares are clamped, so missing classes count. Leave them out of the sum.": (
            (shares.clamp(1e-3) * (10 * shares.clamp(1e-3)).log()).sum()
        ),
        "the result has one value per class. Sum the values.": torch.xlogy(shares, 10 * shares),
        "the result has one value per class that occurs. Sum the values.": seen * (10 * seen).log(),
        "the shares are returned. Sum share · log(share / 0.1).": shares,
        "the sign is flipped. A KL divergence is never negative.": -right,
    }


def reversed_kls(labels: Tensor) -> dict[str, Tensor]:
    """Return KL(uniform ‖ shares) for each of several small constants,
    which are added to every share or replace a share of 0, so that the divergence is finite.
    """
    shares = labels.bincount(minlength=10).double() / len(labels)  # (10,)
    says = "the direction is reversed. The result is KL(uniform ‖ shares), with {:g} {}."
    results = {}
    # too small to matter where the share is not 0
    for small in (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6):
        results[says.format(small, "in place of a share of 0")] = shares.clamp(min=small)
    for small in (1e-5, 1e-4, 1e-3, 1e-2):
        results[says.format(small, "added to each share")] = shares + small
    return {says: (0.1 * (0.1 / kept).log()).sum() for says, kept in results.items()}


# ---------------------------------------------------------------- precision


def radius(points: Tensor, nth: int) -> Tensor:
    """Return the distance from each point to its nth nearest neighbour.

    The 0th neighbour is the point itself.
    """
    return cdist(points, points).sort(1).values[:, nth]


def share(inside: Tensor) -> Tensor:
    """Return the proportion of points that lie in at least one ball.

    `inside` is Boolean and has the shape (points, balls).
    """
    return inside.any(1).float().mean()


def share_among(real: Tensor, fake: Tensor, k: int) -> Tensor:
    """Return the correct answer to `precision`."""
    real, fake = real.double(), fake.double()
    return share(cdist(fake, real) <= radius(real, k)).float()


def points(
    source: torch.Generator, n: int, m: int, axes: int, ks: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Draw n real points and m fake points.

    No fake point is so close to the edge of a ball that rounding could matter.
    """
    real = torch.randn(n, axes, generator=source)
    fake = 1.7 * torch.randn(2 * m, axes, generator=source) + 0.6
    apart = cdist(fake.double(), real.double())  # (M, N)
    is_clear = torch.ones(2 * m, dtype=torch.bool)
    for k in ks:
        margin = (apart - radius(real.double(), k)).abs().amin(1)  # (M,)
        is_clear &= margin > 1e-3  # the float32 error of cdist is smaller
    return real, fake[is_clear][:m]  # a few percent of the points are too close to a radius


@exercise
def precision(student: Student) -> None:
    """The result is the proportion of fake points that lie no farther from some real point
    than that point's k-th nearest neighbour.
    """
    # with this seed, each of the mistakes below gives a different share
    real, fake = points(torch.Generator().manual_seed(5), 60, 201, 2, (1, 2))
    k = 2
    right = share_among(real, fake, k)
    found = call(student, real, fake, k)
    is_boolean = isinstance(found, Tensor) and found.dtype == torch.bool
    is_one_answer = isinstance(found, bool) or (is_boolean and found.ndim == 0)
    says = (
        "the result is a single True or False for all points. Test each fake point, and take the "
        "mean."
    )
    expect(not is_one_answer, says)
    try:
        Table({}, right, wrong_shares(real, fake, k)).judge(found)
    except Mistake as mistake:
        raise Mistake(f"{mistake}{by_hand(student)}") from None
    ignored = {"k is ignored. The results for k = 1 and k = 2 are equal.": right}
    Table({}, share_among(real, fake, 1), ignored).judge(call(student, real, fake, 1))

    def draw(source: torch.Generator, n: int, m: int, axes: int, k: int) -> Inputs:
        real, fake = points(source, n, m, axes, (k,))
        return {"real": real, "fake": fake, "k": k}

    other = 40 + secrets.randbelow(9), 120 + secrets.randbelow(30), 3 + secrets.randbelow(2), 4
    other_inputs(student, share_among, draw, (60, 201, 2, 2), other)
    expect_at_the_radius(student)


# This case is small enough to redo by hand.
# For k = 1, the balls are [−1, 1], [0, 2], [1, 5] and [3, 11].
FEW_REAL = tensor([[0.0], [1.0], [3.0], [7.0]])  # (4, 1)
FEW_FAKE = tensor([[-2.0], [-1.0], [6.0], [12.0]])  # (4, 1)
FEW = "for the real points 0, 1, 3, 7 and the fake points −2, −1, 6, 12 on a line, with k = 1,"


def by_hand(student: Student) -> str:
    """Return a sentence that compares the student's result for the small case with the correct one.

    If the result is right or is not a single number, return "".
    """
    try:
        found = number_or_tensor(call(student, FEW_REAL, FEW_FAKE, 1), "your result", False)
    except Mistake:
        return ""
    if found.ndim or agrees(found, tensor(0.5)):
        return ""
    return f" {FEW.capitalize()} your result is {float(found):.4g} but should be 0.5."


def expect_at_the_radius(student: Student) -> None:
    """Raise Mistake unless a fake point exactly on the edge of a ball counts as inside."""
    value = call(student, FEW_REAL, FEW_FAKE, 1)
    strict = (
        f"{FEW} the fake point −1 is exactly at the radius of 0, so it counts. Use ≤ instead of <."
    )
    expect(not agrees(value, tensor(0.25)), strict)
    says = (
        f"your function is right for the other inputs but wrong for few points.{by_hand(student)}"
    )
    expect(agrees(value, tensor(0.5)), says)


def wrong_shares(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """Return the values that typical mistakes give instead of the correct precision."""
    return wrong_radii(real, fake, k) | other_radii(real, fake, k) | wrong_counts(real, fake, k)


def wrong_radii(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """Return the proportions obtained with balls of the wrong size, shape or centre."""
    apart = cdist(fake, real)  # (M, N)
    own = radius(real, k)  # (N,)
    axis_by_axis = (real[:, None] - real).abs().sum(2)  # (N, N)
    along_axes = (fake[:, None] - real).abs().sum(2)  # (M, N)
    among = "Each real point has its own radius."
    return {
        "the result is the recall, the share of real points within some fake point's radius.": (
            share(radius(fake, k) >= apart.T)
        ),
        "a point's nearest neighbour is the point itself. Take the (k+1)-th smallest distance.": (
            share(apart <= radius(real, k - 1))
        ),
        "the neighbour is one too far. Use index k of the sorted distances, which start with 0.": (
            share(apart <= radius(real, k + 1))
        ),
        "the neighbour is two too far. Use index k of the sorted distances, which start with 0.": (
            share(apart <= radius(real, k + 2))
        ),
        "the radii belong to the fake points. Use the radii of the real points.": (
            share(apart <= radius(fake, k)[:, None])
        ),
        f"a single radius, the mean of all, is used. {among}": share(apart <= own.mean()),
        f"a single radius, the largest of all, is used. {among}": share(apart <= own.max()),
        f"a single radius, the smallest of all, is used. {among}": share(apart <= own.min()),
        f"a single radius, the median of all, is used. {among}": share(apart <= own.median()),
        "only the nearest real point is tested, but any real point may cover a fake one.": (
            (apart.amin(1) <= own[apart.argmin(1)]).float().mean()
        ),
        "the radius is the distance to the k-th fake point. Measure it to the k-th real point.": (
            share(apart <= cdist(real, fake).sort(1).values[:, k - 1])
        ),
        "the distances are summed along the axes. Use Euclidean distances.": (
            share(along_axes <= axis_by_axis.sort(1).values[:, k])
        ),
        "only the distances from fake to real points are squared. Square both sides or neither.": (
            share(apart.square() <= own)
        ),
        "only the radii are squared. Square both sides or neither.": share(apart <= own.square()),
        "the radii are halved. Use the full distance to the k-th neighbour.": (
            share(apart <= own / 2)
        ),
        "the radii are doubled. Use the distance to the k-th neighbour.": share(apart <= 2 * own),
    }


def other_radii(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """Return the proportions obtained by averaging distances or by leaving out distances of 0."""
    apart, among = cdist(fake, real), cdist(real, real)  # (M, N), (N, N)
    nearest = among.sort(1).values  # (N, N)
    the_kth = "Use only the distance to the k-th nearest of the other points."
    results = {
        f"the radius is the mean distance to the k nearest points. {the_kth}": (
            share(apart <= nearest[:, 1 : k + 1].mean(1))
        ),
        f"the radius is the mean of the k smallest distances, with that to itself. {the_kth}": (
            share(apart <= nearest[:, :k].mean(1))
        ),
        f"the radius is the mean of the k + 1 smallest distances. {the_kth}": (
            share(apart <= nearest[:, : k + 1].mean(1))
        ),
    }
    others = among.masked_fill(among == 0, torch.inf).sort(1).values  # (N, N)
    without_zeros = share(apart <= others[:, k - 1])
    if not same(without_zeros, share(apart <= nearest[:, k])):
        says = (
            "all distances of 0 are left out, but rounding may leave a point's distance to itself "
            "slightly above 0. Leave out the smallest distance of each point instead."
        )
        results[says] = without_zeros
    return results


def wrong_counts(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """Return the results obtained if the balls are right but the points in them are miscounted."""
    apart = cdist(fake, real)  # (M, N)
    own = radius(real, k)  # (N,)
    inside = apart <= own
    right = share(inside)
    return {
        "every real point must cover the fake point. One is enough, so use `any`.": (
            inside.all(1).float().mean()
        ),
        "the result counts pairs. Count a fake point once, however many real points cover it.": (
            inside.float().mean()
        ),
        "the result is the density. Count a fake point once, however many real points cover it.": (
            inside.float().sum(1).mean() / k
        ),
        (
            "the result is the mean number of real points around a fake one. One is enough, so "
            "use `any`."
        ): inside.float().sum(1).mean(),
        "the result is a number of points. Divide it by the number of fake points.": (
            inside.any(1).float().sum()
        ),
        (
            "the result is divided by the number of real points. Divide by the number of fake "
            "points."
        ): inside.any(1).float().sum() / len(real),
        "the result is in percent, but a share is between 0 and 1.": 100 * right,
        "points outside are counted, or the distances are sorted from far to near.": (
            share(apart > own)
        ),
        "the result is the share of points outside. Count the points inside.": 1 - right,
        (
            "the result counts the real points that cover a fake one. Use `any(1)` to count fake "
            "points."
        ): inside.any(0).float().mean(),
        "the result is the number of real points that cover a fake one. Count the fake points.": (
            inside.any(0).float().sum()
        ),
        "the result has one value per point. Take the mean.": inside.any(1).float(),
    }
