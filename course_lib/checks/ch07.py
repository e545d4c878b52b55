"""Checks for chapter 07: D's slope at real images, the classes that are missing, what lies among the data."""

import torch
from torch import Tensor, cdist, tensor

from course_lib.checks.report import Student, Table, call, exercise, expect, plain


@exercise
def r1_penalty(student: Student) -> None:
    """½ · mean over images of ‖∂D/∂x‖², and D's weights get a gradient from it."""
    w = tensor([1.1, -0.6, 2.3], requires_grad=True)
    x = tensor([[0.4, 1.2, 0.9], [1.7, 0.3, 0.2], [0.6, 2.1, 1.4], [0.1, 0.5, 0.8]])  # (N, D)

    def score(images: Tensor) -> Tensor:
        expect(isinstance(images, Tensor) and images.shape == x.shape, "give D the whole batch x (N, D).")
        return (w * images.square()).sum(1) / 2 + 0.7  # (N,)

    found = call(student, score, x)
    norms = (w.detach() * x).norm(dim=1)  # (N,), of each image's gradient
    right, n, d = norms.square().mean() / 2, *x.shape
    mistakes = {
        "the factor ½ is missing.": 2 * right,
        "summed over the images: take the mean over them.": n * right,
        "averaged over the pixels too: ‖·‖² is a sum over an image's pixels.": right / d,
        "the norm is not squared.": norms.mean() / 2,
        "the mean is squared, not the norms: first the square, then the mean.": norms.mean().square() / 2,
        "this is the gradient of the mean score, N times too small: take that of the sum.": right / n**2,
        "this penalizes a slope other than 1, as for Wasserstein's loss: R1 wants a slope of 0.":
            (norms - 1).square().mean(),
        "the score itself is penalized: take its gradient by x.": score(x).detach().square().mean() / 2,
        "one value per image: take the mean over the images.": norms.square() / 2,
        "this is the gradient by all images at once: one norm for each image, then the mean.": n * 2 * right,
    }  # fmt: skip
    Table({"x": x}, right, mistakes).judge(found)
    says = "the number is right, but D cannot learn from it: `torch.autograd.grad(..., create_graph=True)`."
    expect(found.requires_grad, says)
    (by_w,) = torch.autograd.grad(found, w, allow_unused=True)
    expect(by_w is not None, says)
    Table({}, (w.detach() * x.square()).mean(0)).judge(by_w, "the gradient that D's weights get from it")


@exercise
def class_kl(student: Student) -> None:
    """labels (N,) to KL(shares ‖ uniform) in nats, finite also where a class is missing."""
    labels = tensor([0, 3, 3, 9, 1, 3, 4, 0, 7, 8, 3, 0])  # 2, 5 and 6 are missing
    counts, ten = labels.bincount(minlength=10), tensor(10.0)
    shares = counts / len(labels)
    seen = shares[shares > 0]
    right = (seen * (seen * ten).log()).sum()
    mistakes = {
        "turned round, KL(uniform ‖ shares): it is infinite if one class is missing.": right * torch.inf,
        "0 · log 0 counts as 0 but is NaN in floating point: leave missing classes out.": right * torch.nan,
        "these are bits: use the natural logarithm.": right / tensor(2.0).log(),
        "this is the entropy of the shares: ln 10 minus it is wanted.": ten.log() - right,
        "log 10 is missing: the uniform share is 1/10.": right - ten.log(),
        "classes that were not seen count too: the uniform share is 1/10, not 1/7.":
            (seen * (seen * len(seen)).log()).sum(),
        "averaged over the classes: a KL is their sum.": right / 10,
        "the counts are not divided by N: shares add up to 1.": torch.xlogy(counts, counts * ten).sum(),
        "this is the difference to 1/10, without a logarithm.": (shares - 0.1).abs().sum(),
        "the sign is turned: a KL is never negative.": -right,
    }  # fmt: skip
    laws = {"a KL is never negative.": lambda kl: kl >= 0}
    Table({"labels": labels}, right, mistakes, laws).ask(student)
    Table({"labels": torch.arange(10).repeat(2)}, tensor(0.0), {}).ask(student)
    says = {"one class only must give ln 10 = 2.3026: look at `minlength=10`.": tensor(0.0)}
    Table({"labels": torch.full((5,), 4)}, ten.log(), says).ask(student)


@exercise
def precision(student: Student) -> None:
    """the share of fake points within some real point's distance to its k-th other real point."""
    real, fake = torch.randn(60, 2), 1.7 * torch.randn(201, 2) + 0.6  # the same in each call, see `exercise`
    k, apart = 2, cdist(fake, real)  # (M, N)

    def radius(points: Tensor, nth: int) -> Tensor:
        return cdist(points, points).sort(1).values[:, nth]

    def share(inside: Tensor) -> Tensor:
        return inside.any(1).float().mean()

    own, right = radius(real, k), share(apart <= radius(real, k))
    mistakes = {
        "this is the recall: the share of real points among the fake ones.":
            share(radius(fake, k) >= apart.T),
        "a point's nearest neighbour is itself: take the (k+1)-th smallest distance.":
            share(apart <= radius(real, k - 1)),
        "one neighbour too far: index k of the sorted distances, which begin with 0.":
            share(apart <= radius(real, k + 1)),
        "the radii are those of the fake points: they belong to the real ones.":
            share(apart <= radius(fake, k)[:, None]),
        "every real point must have it inside: one is enough, `any`.": (apart <= own).all(1).float().mean(),
        "this counts pairs: a fake point counts once, however many have it inside.":
            (apart <= own).float().mean(),
        "one radius for all, their mean: each real point has its own.": share(apart <= own.mean()),
        "this is a number of points: divide by how many there are.": (apart <= own).any(1).float().sum(),
        "outside counts instead of inside, or distances are sorted from far to near.": share(apart > own),
        "this counts the real points that cover a fake one: `any` goes along the columns, `any(1)`.":
            (apart <= own).any(0).float().mean(),
        "only the nearest real point is asked: any real point may cover it.":
            (apart.amin(1) <= own[apart.argmin(1)]).float().mean(),
        "one value per point: take the mean.": (apart <= own).any(1).float(),
        "distances are squared on one side only.": share(apart.square() <= own),
    }  # fmt: skip
    found = plain(call(student, real, fake, k), "your result")
    Table({}, right, mistakes).judge(found)
    again = plain(call(student, real, fake, 1), "your result")
    Table({}, share(apart <= radius(real, 1)), {"k is ignored: it was 2, and is 1 now.": right}).judge(again)
