"""Checks for “GANs on MNIST”: D's slope at real images, missing classes, what lies among the data."""

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
    other_inputs,
    other_units,
    same,
)

OLD = 0.25  # the gradient that an earlier step has left in D's weights


# ---------------------------------------------------------------- R1


class Critic:
    """D: images (…, D) to ½ Σ w·x² + 0.7, (…), whose slope at x is w·x."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.clone().requires_grad_()  # (D,)
        self.weight.grad = torch.full_like(weight, OLD)

    def __call__(self, images: object) -> Tensor:
        if not isinstance(images, Tensor) or images.shape[-1:] != self.weight.shape:
            raise Mistake(f"`logit` wants images (N, {len(self.weight)}).")
        return (self.weight.to(images.dtype) * images.square()).sum(-1) / 2 + 0.7


def r1(logit: Critic, x: Tensor) -> Tensor:
    """What is wanted of `r1_penalty`, and its gradient with respect to the weights."""
    return (logit.weight * x).square().sum(1).mean() / 2


@exercise
def r1_penalty(student: Student) -> None:
    """½ · mean over images of ‖∂D/∂x‖², and D's weights get a gradient from it."""
    logit = Critic(tensor([1.1, -0.6, 2.3]))
    x = tensor([[0.4, 1.2, 0.9], [1.7, 0.3, 0.2], [0.6, 2.1, 1.4], [0.1, 0.5, 0.8]])  # (N, D)
    found = call(student, logit, x)
    again = call(student, logit, x)
    if isinstance(found, Tensor) and isinstance(again, Tensor):
        says = "two calls differ, so noise is drawn: R1 asks for the slope at the real images themselves."
        expect(same(found.detach(), again.detach()), says)
    says = "D's weights have got a gradient inside your function: `torch.autograd.grad` leaves `.grad` alone."
    has_old = logit.weight.grad is not None and same(logit.weight.grad, torch.full_like(logit.weight, OLD))
    expect(has_old, says)
    says = "D's weights are left frozen: D must learn from the penalty."
    expect(logit.weight.requires_grad, says)

    right = r1(logit, x).detach()
    Table({"x": x}, right, wrong_penalties(logit, x), differentiable=True).judge(found)

    def draw(source: torch.Generator, n: int, pixels: int) -> Inputs:
        weight = torch.randn(pixels, generator=source)
        return {"logit": Critic(weight), "x": torch.rand(n, pixels, generator=source) + 0.2}

    other = 6 + secrets.randbelow(4), 5 + secrets.randbelow(4)
    other_inputs(student, r1, draw, (4, 3), other)
    expect_d_learns(found, logit, x)
    expect_a_flat_place(student, logit, x)


def wrong_penalties(logit: Critic, x: Tensor) -> dict[str, Tensor]:
    """What typical mistakes give in place of R1."""
    slopes = (logit.weight * x).detach()  # (N, D)
    norms = slopes.norm(dim=1)  # (N,)
    logits = logit(x).detach()  # (N,)
    right, n, pixels = norms.square().mean() / 2, *x.shape
    of_d = (logits.sigmoid() * (1 - logits.sigmoid()))[:, None] * slopes  # slopes of the probability
    of_log_d = (1 - logits.sigmoid())[:, None] * slopes
    of_loss = -of_log_d
    of_mean = "this is the gradient of the mean logit, N times too small: take that of the sum."
    one = "this penalizes a slope other than 1, as for Wasserstein's loss: R1 wants a slope of 0."
    return {
        "the factor ½ is missing.": 2 * right,
        "½ counts twice.": right / 2,
        "the sign is flipped: D pays for its slope.": -right,
        "summed over the images: take the mean over them.": n * right,
        "averaged over the pixels too: ‖·‖² is a sum over an image's pixels.": right / pixels,
        "averaged over the pixels too, and the factor ½ is missing.": 2 * right / pixels,
        "averaged over the pixels, summed over the images: it is the other way round.": n * right / pixels,
        "the norm is not squared.": norms.mean() / 2,
        "the norm is not squared, and the factor ½ is missing.": norms.mean(),
        "the mean is squared, not the norms: first the square, then the mean.": norms.mean().square() / 2,
        "the norm is squared twice.": norms.pow(4).mean() / 2,
        "absolute slopes are summed: their squares are wanted.": slopes.abs().sum(1).mean() / 2,
        "an image's slopes are summed before squaring: square each, then sum.": (
            slopes.sum(1).square().mean() / 2
        ),
        "the slopes are averaged over the images before squaring: square each image's own.": (
            slopes.mean(0).square().sum() / 2
        ),
        "the slopes are summed over the images before squaring: square each image's own.": (
            slopes.sum(0).square().sum() / 2
        ),
        "the largest slope counts alone: take the mean over the images.": norms.square().amax() / 2,
        of_mean: right / n**2,
        "this is the gradient of the mean logit, and summed over images: take that of the sum.": right / n,
        one: (norms - 1).square().mean(),
        f"{one} The factor ½ is right.": (norms - 1).square().mean() / 2,
        "the logit itself is penalized: take its gradient with respect to x.": logits.square().mean() / 2,
        "the mean logit comes back: take the gradient with respect to x.": logits.mean(),
        "half the mean logit comes back: take the gradient with respect to x.": logits.mean() / 2,
        "this is the slope of D's probability, after a sigmoid: R1 takes that of the logit.": (
            of_d.square().sum(1).mean() / 2
        ),
        "this is the slope of log D: R1 takes that of the logit itself.": (
            of_log_d.square().sum(1).mean() / 2
        ),
        "this is the slope of D's loss over the batch: R1 takes that of the logit.": (
            (of_loss / n).square().sum(1).mean() / 2
        ),
        "the gradient itself comes back: half of the mean squared norm is wanted.": slopes,
        "one value per image: take the mean over the images.": norms.square() / 2,
        "one norm per image: half of the mean of their squares is wanted.": norms,
        "this is the gradient of all images at once: one norm for each image, then the mean.": (
            n * 2 * right
        ),
        "this is the norm of all slopes together, without a square.": slopes.norm(),
        "this is half the norm of all slopes together, without a square.": slopes.norm() / 2,
        "the weight γ is not asked for: half of the mean squared norm is wanted.": 10 * right,
    }


def expect_d_learns(found: Tensor, logit: Critic, x: Tensor) -> None:
    """Raise Mistake unless D's weights get R1's gradient."""
    says = "the number is right, but D cannot learn from it: `torch.autograd.grad(..., create_graph=True)`."
    expect(found.requires_grad, says)
    (slope,) = torch.autograd.grad(found, logit.weight, allow_unused=True)
    expect(slope is not None, says)
    (wanted,) = torch.autograd.grad(r1(logit, x), logit.weight)
    says = (
        "the number is right, but D's weights get another gradient from it: is a part of it cut by `detach`?"
    )
    expect(agrees(slope, wanted), says)


def expect_a_flat_place(student: Student, logit: Critic, x: Tensor) -> None:
    """Raise Mistake unless value and gradient are right where D is flat at one image."""
    flat = x * tensor([[1.0], [0.0], [1.0], [1.0]])  # D's slope at the second image is 0
    value = call(student, logit, flat)
    where = "the penalty where D is flat at one image"
    Table({}, r1(logit, flat).detach()).judge(value, where)
    (slope,) = torch.autograd.grad(value, logit.weight)
    (wanted,) = torch.autograd.grad(r1(logit, flat), logit.weight)
    root = "the root of 0 has an infinite slope. Sum the squares, and take no root that is squared again."
    expect(slope.isfinite().all(), f"where D is flat at one image, its weights get NaN: {root}")
    expect(agrees(slope, wanted), f"{where} has a wrong gradient with respect to D's weights.")


# ---------------------------------------------------------------- the classes that are missing


def kl_to_uniform(labels: Tensor) -> Tensor:
    """What is wanted of `class_kl`."""
    shares = labels.bincount(minlength=10) / len(labels)  # (10,)
    return torch.xlogy(shares, 10 * shares).sum()


@exercise
def class_kl(student: Student) -> None:
    """labels (N,) to KL(shares ‖ uniform) in nats, finite also where a class is missing."""
    labels = tensor([0, 3, 3, 9, 1, 3, 4, 0, 7, 8, 3, 0])  # 2, 5 and 6 are missing
    right = kl_to_uniform(labels)
    laws = {"a KL is never negative.": lambda kl: kl >= 0}
    Table({"labels": labels}, right, wrong_kls(labels) | other_units(right), laws).ask(student)

    one_class, ten = torch.full((12,), 4), tensor(10.0)
    minlength = "a class that does not occur counts too, so look at `minlength=10`."
    only = {
        f"with one class only: {minlength}": tensor(0.0),
        f"the uniform share is 1/10, not one over the largest label: {minlength}": tensor(5.0).log(),
    }
    why = "Only one class occurs here, so nine have a share of 0: leave them out of the sum."
    Table({"labels": one_class}, ten.log(), only, not_finite=why).ask(student)

    def draw(source: torch.Generator, n: int, classes: int) -> Inputs:
        kinds = torch.randperm(10, generator=source)[:classes]
        return {"labels": kinds[torch.randint(classes, (n,), generator=source)]}

    other_inputs(student, kl_to_uniform, draw, (12, 7), (20 + secrets.randbelow(20), 5))
    says = "where all ten classes occur equally often the KL must be 0."
    expect(agrees(call(student, torch.arange(10).repeat(2)), tensor(0.0)), says)


def wrong_kls(labels: Tensor) -> dict[str, Tensor]:
    """What typical mistakes give in place of KL(shares ‖ uniform)."""
    counts, ten = labels.bincount(minlength=10), tensor(10.0)
    n = len(labels)
    shares = counts / n  # (10,)
    seen = shares[shares > 0]
    smooth = (counts + 1) / (n + 10)
    right = kl_to_uniform(labels)
    added = "is added inside the logarithm, and changes the result: leave missing classes out of the sum."
    middle = (shares + 0.1) / 2
    jsd = (torch.xlogy(shares, shares / middle).sum() + (0.1 * (0.1 / middle).log()).sum()) / 2
    return {
        "the wrong way round: KL(uniform ‖ shares) is infinite if one class is missing.": right * torch.inf,
        "0 · log 0 counts as 0 but is NaN in floating point: leave missing classes out.": right * torch.nan,
        "the logarithm of a share of 0 is minus infinity: leave missing classes out.": -right * torch.inf,
        "the wrong way round: KL(uniform ‖ shares), and missing classes are left out.": (
            0.1 * (0.1 / seen).log()
        ).sum(),
        "this is the entropy of the shares: ln 10 minus it is wanted.": ten.log() - right,
        "log 10 is missing: the uniform share is 1/10.": right - ten.log(),
        "divided by 10 in place of 1/10: share / 0.1 is 10 · share.": right - 2 * ten.log(),
        "the logarithm of 10 is added twice: the uniform share is 1/10.": right + ten.log(),
        "classes that were not seen count too: the uniform share is 1/10, not 1/7.": (
            seen * (seen * len(seen)).log()
        ).sum(),
        "the uniform share is 1/10 for ten classes, not 1/N.": (seen * (seen * n).log()).sum(),
        "averaged over the classes: a KL is their sum.": right / 10,
        "averaged over the classes that occur: a KL is a sum over all.": right / len(seen),
        "divided by N once more: the shares are divided already.": right / n,
        "the counts are not divided by N: shares add up to 1.": torch.xlogy(counts, counts * ten).sum(),
        "the logarithm is of shares, the weights are counts: both are shares.": n * right,
        "the weights of the logarithms are missing: share · log(share / 0.1).": (10 * seen).log().sum(),
        "the logarithms are weighted by 1/10: weight them by the shares.": (0.1 * (10 * seen).log()).sum(),
        "the counts are smoothed by 1: a class that does not occur has a share of 0.": (
            smooth * (10 * smooth).log()
        ).sum(),
        "this is the difference to 1/10, without a logarithm.": (shares - 0.1).abs().sum(),
        "this is half the difference to 1/10, without a logarithm.": (shares - 0.1).abs().sum() / 2,
        "this is the squared difference to 1/10, without a logarithm.": (shares - 0.1).square().sum(),
        "this is chi-square: the logarithm of share / 0.1 is wanted.": ((shares - 0.1).square().sum() / 0.1),
        "this is the Jensen–Shannon divergence: a KL compares with the uniform shares themselves.": jsd,
        "this is the sum of both KLs.": (seen - 0.1).mul((10 * seen).log()).sum(),
        "the exponential of the KL comes back.": right.exp(),
        "the exponential of the entropy comes back: ln 10 minus the entropy is wanted.": (
            ten.log() - right
        ).exp(),
        "this is the number of classes that occur.": tensor(float(len(seen))),
        "this is the share of classes that occur.": tensor(len(seen) / 10),
        "0.01 " + added: (shares * (10 * (shares + 1e-2)).log()).sum(),
        "0.001 " + added: (shares * (10 * (shares + 1e-3)).log()).sum(),
        "the shares are clamped, so that missing classes count: leave them out of the sum.": (
            shares.clamp(1e-3) * (10 * shares.clamp(1e-3)).log()
        ).sum(),
        "one value a class: sum them.": torch.xlogy(shares, 10 * shares),
        "one value for each class that occurs: sum them.": seen * (10 * seen).log(),
        "the shares come back: sum share · log(share / 0.1).": shares,
        "the sign is flipped: a KL is never negative.": -right,
    }


# ---------------------------------------------------------------- precision


def radius(points: Tensor, nth: int) -> Tensor:
    """Each point's distance to its nth other point, (N,); the 0th is the point itself."""
    return cdist(points, points).sort(1).values[:, nth]


def share(inside: Tensor) -> Tensor:
    """Of inside (M, N): the share of the M points that lie inside some of the N radii."""
    return inside.any(1).float().mean()


def share_among(real: Tensor, fake: Tensor, k: int) -> Tensor:
    """What is wanted of `precision`."""
    real, fake = real.double(), fake.double()
    return share(cdist(fake, real) <= radius(real, k)).float()


def points(source: torch.Generator, n: int, m: int, axes: int, ks: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Real (N, d) and fake points (M, d), none so near to a radius that rounding could decide."""
    real = torch.randn(n, axes, generator=source)
    fake = 1.7 * torch.randn(2 * m, axes, generator=source) + 0.6
    apart = cdist(fake.double(), real.double())  # (M, N)
    is_clear = torch.ones(2 * m, dtype=torch.bool)
    for k in ks:
        margin = (apart - radius(real.double(), k)).abs().amin(1)  # (M,)
        is_clear &= margin > 1e-3  # cdist in float32 errs by less
    return real, fake[is_clear][:m]  # a few of a hundred are left out


@exercise
def precision(student: Student) -> None:
    """the share of fake points within some real point's distance to its k-th other real point."""
    # a seed for which all the mistakes below give different shares
    real, fake = points(torch.Generator().manual_seed(5), 60, 201, 2, (1, 2))
    k = 2
    right = share_among(real, fake, k)
    found = call(student, real, fake, k)
    is_one_answer = isinstance(found, bool) or (isinstance(found, Tensor) and found.dtype == torch.bool)
    says = "one answer for all points, True or False: ask for each fake point, and take the mean."
    expect(not (is_one_answer and torch.as_tensor(found).ndim == 0), says)
    Table({}, right, wrong_shares(real, fake, k)).judge(found)
    ignored = {"k is ignored: it was 2, and is 1 now.": right}
    Table({}, share_among(real, fake, 1), ignored).judge(call(student, real, fake, 1))

    def draw(source: torch.Generator, n: int, m: int, axes: int, k: int) -> Inputs:
        real, fake = points(source, n, m, axes, (k,))
        return {"real": real, "fake": fake, "k": k}

    other = 40 + secrets.randbelow(9), 120 + secrets.randbelow(30), 3 + secrets.randbelow(2), 4
    other_inputs(student, share_among, draw, (60, 201, 2, 2), other)


def wrong_shares(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """What typical mistakes give in place of the precision."""
    return wrong_radii(real, fake, k) | wrong_counts(real, fake, k)


def wrong_radii(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """Balls of a wrong size, or around the wrong points."""
    apart = cdist(fake, real)  # (M, N)
    own = radius(real, k)  # (N,)
    axis_by_axis = (real[:, None] - real).abs().sum(2)  # (N, N)
    along_axes = (fake[:, None] - real).abs().sum(2)  # (M, N)
    among = "each real point has its own."
    return {
        "this is the recall: the share of real points among the fake ones.": share(
            radius(fake, k) >= apart.T
        ),
        "a point's nearest neighbour is itself: take the (k+1)-th smallest distance.": (
            share(apart <= radius(real, k - 1))
        ),
        "one neighbour too far: index k of the sorted distances, which begin with 0.": (
            share(apart <= radius(real, k + 1))
        ),
        "two neighbours too far: index k of the sorted distances, which begin with 0.": (
            share(apart <= radius(real, k + 2))
        ),
        "the radii are those of the fake points: they belong to the real ones.": (
            share(apart <= radius(fake, k)[:, None])
        ),
        f"one radius for all, their mean: {among}": share(apart <= own.mean()),
        f"one radius for all, their largest: {among}": share(apart <= own.max()),
        f"one radius for all, their smallest: {among}": share(apart <= own.min()),
        f"one radius for all, their median: {among}": share(apart <= own.median()),
        "only the nearest real point is asked: any real point may cover it.": (
            (apart.amin(1) <= own[apart.argmin(1)]).float().mean()
        ),
        "a radius is measured to the k-th nearest fake point: it is that to a real one.": (
            share(apart <= cdist(real, fake).sort(1).values[:, k - 1])
        ),
        "the distances are those along the axes, added up: take Euclidean ones.": (
            share(along_axes <= axis_by_axis.sort(1).values[:, k])
        ),
        "distances are squared on one side only.": share(apart.square() <= own),
        "distances are squared on one side only, that of the radii.": share(apart <= own.square()),
        "the radii are halved: the whole distance to the k-th neighbour counts.": share(apart <= own / 2),
        "the radii are doubled: the distance to the k-th neighbour counts.": share(apart <= 2 * own),
    }


def wrong_counts(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    """The right balls, but something else is counted than the fake points inside."""
    apart = cdist(fake, real)  # (M, N)
    own = radius(real, k)  # (N,)
    inside = apart <= own
    right = share(inside)
    return {
        "every real point must have it inside: one is enough, `any`.": inside.all(1).float().mean(),
        "this counts pairs: a fake point counts once, however many have it inside.": inside.float().mean(),
        "this is the density: a fake point counts once, however many have it inside.": (
            inside.float().sum(1).mean() / k
        ),
        "this is the mean number of real points that have it inside: one is enough, `any`.": (
            inside.float().sum(1).mean()
        ),
        "this is a number of points: divide by how many there are.": inside.any(1).float().sum(),
        "divided by the number of real points: divide by that of the fake ones.": (
            inside.any(1).float().sum() / len(real)
        ),
        "this is a number in percent: a share lies between 0 and 1.": 100 * right,
        "outside counts instead of inside, or distances are sorted from far to near.": share(apart > own),
        "this is the share of those outside: inside counts.": 1 - right,
        "this counts the real points that cover a fake one: `any` goes along the columns, `any(1)`.": (
            inside.any(0).float().mean()
        ),
        "this is the number of real points that cover a fake one: fake points count.": (
            inside.any(0).float().sum()
        ),
        "one value per point: take the mean.": inside.any(1).float(),
    }
