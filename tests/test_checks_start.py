"""The checks of "Start here": right answers of any style pass, and each wrong one is named."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Uniform

from course_lib import checks


def to_points(images):
    """Reference solution."""
    return images.reshape(len(images), -1).to(torch.float32) / 255.0


def binarize(pixels, generator):
    """Reference solution."""
    uniform = torch.rand(pixels.shape, generator=generator)  # (N, D), independent of the grey value
    return (uniform < pixels).float()


def nats_per_image(logits, targets):
    """Reference solution."""
    nats = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (N, D)
    return nats.sum(dim=1).mean()


def row_by_row(images):
    points = torch.empty(len(images), 784)
    for i, image in enumerate(images):
        for row in range(28):
            points[i, 28 * row : 28 * (row + 1)] = image[row] / 255
    return points


def in_place_on_a_copy(images):
    copy = images.float()
    copy /= 255
    return copy.flatten(1)


RIGHT_POINTS = {
    "reference": to_points,
    "view": lambda images: (images / 255).view(-1, 28 * 28),
    "flatten, then divide": lambda images: images.flatten(1) / 255,
    "flatten(start_dim), div": lambda images: images.flatten(start_dim=1).div(255),
    "times 1/255": lambda images: images.reshape(-1, 784).float() * (1 / 255),
    "float64 inside": lambda images: (images.double() / 255).flatten(1).float(),
    "nn.Flatten": lambda images: torch.nn.Flatten()(images / 255.0),
    "list of rows": lambda images: torch.stack([image.flatten() / 255 for image in images]),
    "concatenated rows": lambda images: torch.cat(
        [image.reshape(1, 784) / 255 for image in images]
    ),
    "vmap": torch.vmap(lambda image: image.flatten() / 255),
    "chunks of two": lambda images: torch.cat([to_points(part) for part in images.split(2)]),
    "NumPy": lambda images: torch.from_numpy(
        images.numpy().reshape(len(images), -1).astype("float32") / 255
    ),
    "NumPy, float64 inside": lambda images: torch.tensor(
        (images.numpy() / 255.0).reshape(len(images), -1), dtype=torch.float32
    ),
    "row by row": row_by_row,
    "in place on a copy": in_place_on_a_copy,
    "einsum": lambda images: torch.einsum(
        "nij,->nij", images.float(), torch.tensor(1 / 255)
    ).flatten(1),
    "true_divide": lambda images: torch.true_divide(images, 255).reshape(images.shape[0], -1),
    "unfold": lambda images: F.unfold(images[:, None] / 255, (28, 28)).transpose(1, 2).flatten(1),
    "a tensor of lists": lambda images: torch.tensor(images.flatten(1).tolist()) / 255,
    "normalized by hand": lambda images: (images.flatten(1).float() - 0) / (255 - 0),
}


def whole_image(images):
    return images.flatten(1).float()


def own_range(images):
    flat = whole_image(images)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return (flat - low) / (high - low)


def for_three_images(images):
    return torch.stack([images[i].flatten() / 255 for i in range(3)])


def changed_in_place(images):
    images[images > 199] = 255
    return images.flatten(1) / 255


WRONG_POINTS = [
    ("not divided", whole_image, "from 0 to 255"),
    (
        "not divided, bytes",
        lambda images: images.flatten(1),
        "the grey values still run from 0 to 255",
    ),
    ("squares", lambda images: images.float() / 255, "still squares"),
    ("squares with a channel", lambda images: images[:, None] / 255, "the shape is wrong"),
    ("one row", lambda images: images.flatten() / 255, "one long row"),
    ("one row, (1, N·784)", lambda images: images.reshape(1, -1) / 255, "the shape is wrong"),
    (
        "columns first",
        lambda images: images.permute(0, 2, 1).reshape(len(images), -1) / 255,
        "column by column",
    ),
    ("columns first, mT", lambda images: (images.mT / 255).flatten(1), "column by column"),
    ("mixed", lambda images: images.reshape(784, -1).T.float() / 255, "different images are mixed"),
    ("256", lambda images: whole_image(images) / 256, "divided by 256"),
    ("batch maximum", lambda images: whole_image(images) / images.max(), "batch's maximum"),
    (
        "own maximum",
        lambda images: whole_image(images) / images.flatten(1).amax(1, True),
        "each image is divided by its own maximum, so equal bytes get different values",
    ),
    (
        "own range",
        own_range,
        "each image is divided by its own maximum, so equal bytes get different values",
    ),
    ("integer division", lambda images: (images // 255).flatten(1), "everything is 0"),
    ("integer division, float", lambda images: whole_image(images) // 255, "everything is 0"),
    ("back to bytes", lambda images: (images / 255).to(torch.uint8).flatten(1), "everything is 0"),
    ("float64", lambda images: images.flatten(1).double() / 255, "must have dtype torch.float32"),
    ("float16", lambda images: images.flatten(1).half() / 255, "must have dtype torch.float32"),
    (
        "squeezed",
        lambda images: (whole_image(images) / 255).squeeze(),
        "single image gives the shape (784,)",
    ),
    (
        "squeezed first",
        lambda images: images.squeeze().flatten(1) / 255,
        "a batch of a single image gives the shape (28, 28), but it should give (1, 784)",
    ),
    (
        "squeezed, then reshaped by its own axes",
        lambda images: images.squeeze().permute(0, 1, 2).flatten(1) / 255,
        "your function fails on a batch of a single image. There, your function stops",
    ),
    (
        "a single image, inverted",
        lambda images: to_points(images) if len(images) > 1 else 1 - to_points(images),
        "a value is wrong",
    ),
    ("turned", lambda images: (whole_image(images) / 255).T, "the axes are not"),
    ("cropped", lambda images: images[:, :27].flatten(1) / 255, "the shape is wrong"),
    ("−1 to 1", lambda images: whole_image(images) / 127.5 - 1, "scaled to [−1, 1]"),
    ("standardized", lambda images: (whole_image(images) - 33) / 79, "in [0, 1]"),
    (
        "NumPy array",
        lambda images: images.numpy().reshape(len(images), -1) / 255,
        "but got ndarray",
    ),
    ("list", lambda images: [image.flatten() / 255 for image in images], "but got list"),
    ("root", lambda images: (whole_image(images) / 255).sqrt(), "a value is wrong"),
    ("divided twice", lambda images: whole_image(images) / 255 / 255, "a value is wrong"),
    ("inverted", lambda images: 1 - whole_image(images) / 255, "black and white are swapped"),
    ("threshold", lambda images: (whole_image(images) > 127).float(), "a threshold is applied"),
    ("threshold, bool", lambda images: images.flatten(1) > 127, "a threshold is applied"),
    ("three images", for_three_images, "Is a size hard-coded?"),
    ("reshape(3, 784)", lambda images: images.reshape(3, 784) / 255, "Is a size hard-coded?"),
    ("first image", lambda images: images[0].flatten() / 255, "the shape is wrong"),
    (
        "the example's range",
        lambda images: whole_image(images).clamp(max=200) / 255,
        "wrong for other numbers",
    ),
    ("input changed", changed_in_place, "in place"),
    ("divided in place", lambda images: images.div_(255), "your function stops"),
    ("mean over images", lambda images: whole_image(images).mean(0) / 255, "the shape is wrong"),
    ("no return", lambda images: None, "`return` line"),
    ("upside down", lambda images: images.flip(1).flatten(1) / 255, "a value is wrong"),
]


def floor_of_a_sum(pixels, generator):
    return (pixels + torch.rand(pixels.shape, generator=generator)).floor()


def image_by_image(pixels, generator):
    return torch.stack([torch.bernoulli(image, generator=generator) for image in pixels])


def filled(pixels, generator):
    return torch.empty_like(pixels).uniform_(generator=generator).lt(pixels).type_as(pixels)


def where_on_zeros(pixels, generator):
    draw = torch.zeros_like(pixels)
    draw[torch.rand(*pixels.shape, generator=generator) < pixels] = 1
    return draw


RIGHT_BINARIZE = {
    "reference": binarize,
    "torch.bernoulli": lambda pixels, generator: torch.bernoulli(pixels, generator=generator),
    "bernoulli, float64": lambda pixels, generator: torch.bernoulli(
        pixels.double(), generator=generator
    ),
    "floor of a sum": floor_of_a_sum,
    "image by image": image_by_image,
    "uniform_": filled,
    "zeros filled": where_on_zeros,
    "at most": lambda pixels, generator: (
        1.0 * (torch.rand(pixels.shape, generator=generator) <= pixels)
    ),
    "where": lambda pixels, generator: torch.where(
        torch.rand(pixels.shape, generator=generator) < pixels, 1.0, 0.0
    ),
    "float64 noise": lambda pixels, generator: (
        torch.rand(pixels.shape, generator=generator, dtype=torch.float64) < pixels
    ).double(),
    "bernoulli_ on a copy": lambda pixels, generator: pixels.clone().bernoulli_(
        pixels, generator=generator
    ),
    "bright means not dark": lambda pixels, generator: (
        1 - torch.bernoulli(1 - pixels, generator=generator)
    ),
    "normal noise through its distribution function": lambda pixels, generator: (
        torch.special.ndtr(torch.randn(pixels.shape, generator=generator)) < pixels
    ).float(),
    "chunks": lambda pixels, generator: torch.cat(
        [torch.bernoulli(part, generator=generator) for part in pixels.split(700)]
    ),
    "column by column": lambda pixels, generator: torch.stack(
        [torch.bernoulli(column, generator=generator) for column in pixels.T], 1
    ),
    "ceil": lambda pixels, generator: (
        (pixels - torch.rand(pixels.shape, generator=generator)).ceil().clamp(0)
    ),
    "heaviside": lambda pixels, generator: torch.heaviside(
        pixels - torch.rand(pixels.shape, generator=generator), torch.zeros(())
    ),
}


def seeded_again(pixels, generator):
    torch.manual_seed(generator.initial_seed())
    return torch.bernoulli(pixels)


def generator_reset(pixels, generator):
    generator.manual_seed(0)
    return torch.bernoulli(pixels, generator=generator)


WRONG_BINARIZE = [
    ("threshold", lambda p, g: (p > 0.5).float(), "a fixed threshold is applied"),
    ("round", lambda p, g: p.round(), "a fixed threshold is applied"),
    ("unchanged", lambda p, g: p, "the grey values are returned unchanged"),
    ("no generator", lambda p, g: torch.bernoulli(p), "generator=generator"),
    (
        "rand without generator",
        lambda p, g: (torch.rand_like(p) < p).float(),
        "generator=generator",
    ),
    ("torch.distributions", lambda p, g: Bernoulli(p).sample(), "generator=generator"),
    ("Uniform", lambda p, g: (Uniform(0, 1).sample(p.shape) < p).float(), "generator=generator"),
    (
        "NumPy noise",
        lambda p, g: torch.from_numpy(np.random.default_rng().random(p.shape) < p.numpy()).float(),
        "generator=generator",
    ),
    (
        "own seed",
        lambda p, g: torch.bernoulli(p, generator=torch.Generator().manual_seed(0)),
        "seed set inside",
    ),
    ("generator reset", generator_reset, "seed set inside"),
    ("seeded again", seeded_again, "seed set inside"),
    (
        "swapped",
        lambda p, g: (torch.rand(p.shape, generator=g) > p).float(),
        "black and white are swapped",
    ),
    ("one minus", lambda p, g: 1 - torch.bernoulli(p, generator=g), "black and white are swapped"),
    ("fair coin", lambda p, g: torch.bernoulli(torch.full_like(p, 0.5), generator=g), "fair coin"),
    ("random bits", lambda p, g: torch.randint(0, 2, p.shape, generator=g).float(), "fair coin"),
    (
        "same for all images",
        lambda p, g: (torch.rand(p.shape[1], generator=g) < p).float(),
        "all images get the same draw",
    ),
    (
        "one number",
        lambda p, g: (torch.rand(1, generator=g) < p).float(),
        "all images get the same draw",
    ),
    (
        "one number an image",
        lambda p, g: (torch.rand(len(p), 1, generator=g) < p).float(),
        "all pixels of an image share one random number",
    ),
    (
        "one number an image, turned",
        lambda p, g: (torch.rand(len(p), 1, generator=g) > 1 - p).float(),
        "all pixels of an image share one random number",
    ),
    ("bool", lambda p, g: torch.rand(p.shape, generator=g) < p, "dtype, not torch.bool"),
    ("int", lambda p, g: (torch.rand(p.shape, generator=g) < p).int(), "dtype, not torch.int32"),
    (
        "grey noise",
        lambda p, g: p + 0.1 * torch.randn(p.shape, generator=g),
        "a draw must contain only 0 and 1, but yours contains",
    ),
    ("bytes", lambda p, g: 255 * binarize(p, g), "yours contains 255.000"),
    ("signs", lambda p, g: 2 * binarize(p, g) - 1, "yours contains -1.000"),
    (
        "uniform itself",
        lambda p, g: torch.rand(p.shape, generator=g),
        "a draw must contain only 0 and 1, but yours contains",
    ),
    (
        "masked",
        lambda p, g: p * binarize(p, g),
        "a draw must contain only 0 and 1, but yours contains",
    ),
    (
        "noisy threshold",
        lambda p, g: (p + 0.2 * torch.randn(p.shape, generator=g) > 0.5).float(),
        "with grey value 0.35 become 1 in 22.9% of the draws",
    ),
    (
        "normal noise",
        lambda p, g: (torch.randn(p.shape, generator=g) < p).float(),
        "random numbers are normal",
    ),
    ("squared", lambda p, g: torch.bernoulli(p**2, generator=g), "become 1"),
    ("root", lambda p, g: torch.bernoulli(p.sqrt(), generator=g), "become 1"),
    ("rounded product", lambda p, g: (torch.rand(p.shape, generator=g) * p).round(), "become 1"),
    ("flat", lambda p, g: binarize(p, g).flatten(), "not (24000,)"),
    ("turned", lambda p, g: binarize(p, g).T, "not (6, 4000)"),
    (
        "grey values of the first image",
        lambda p, g: binarize(p[:1].expand_as(p), g),
        "other numbers. Does",
    ),
    ("mean grey values", lambda p, g: binarize(p.mean(0).expand_as(p), g), "other numbers. Does"),
    (
        "six columns",
        lambda p, g: (torch.rand(len(p), 6, generator=g) < p).float(),
        "Is a size hard-coded?",
    ),
    (
        "4,000 rows",
        lambda p, g: (torch.rand(4000, p.shape[1], generator=g) < p).float(),
        "Is a size hard-coded?",
    ),
    (
        "range(4000)",
        lambda p, g: torch.stack([binarize(p[i], g) for i in range(4000)]),
        "Is a size hard-coded?",
    ),
    ("squeezed", lambda p, g: binarize(p, g).squeeze(), "Is a size hard-coded?"),
    ("bernoulli_ in place", lambda p, g: p.bernoulli_(generator=g), "in place"),
    ("list", lambda p, g: list(binarize(p, g)), "but got list"),
]


def each(logits, targets):
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def of_probabilities(p, targets):
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).sum(1).mean()


def loop(logits, targets):
    total = 0.0
    for a, t in zip(logits, targets, strict=True):
        for one_logit, one_target in zip(a, t, strict=True):
            total = total + F.softplus(one_logit) - one_target * one_logit
    return total / len(logits)


def max_and_log1p(logits, targets):
    nats = logits.clamp(min=0) - targets * logits + torch.log1p(torch.exp(-logits.abs()))
    return nats.sum(1).mean()


def log_sum_exp(logits, targets):
    both = torch.stack([torch.zeros_like(logits), logits])  # (2, N, D)
    return (both.logsumexp(0) - targets * logits).sum(1).mean()


def accumulated(logits, targets):
    total = torch.zeros(())
    for a, t in zip(logits.split(2), targets.split(2), strict=True):
        total += each(a, t).sum()
    return total / logits.shape[0]


def by_index(logits, targets):
    nats = torch.empty_like(logits)
    ink = targets == 1
    nats[ink] = F.softplus(-logits[ink])
    nats[~ink] = F.softplus(logits[~ink])
    return nats.sum(1).mean()


RIGHT_NATS = {
    "reference": nats_per_image,
    "softplus of signs": lambda logits, targets: (
        F.softplus((1 - 2 * targets) * logits).sum() / len(logits)
    ),
    "torch.distributions": lambda logits, targets: (
        -Bernoulli(logits=logits).log_prob(targets).sum(1).mean()
    ),
    "logsigmoid": lambda logits, targets: (
        -(targets * F.logsigmoid(logits) + (1 - targets) * F.logsigmoid(-logits)).sum(1).mean()
    ),
    "sum, then divide": lambda logits, targets: (
        F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / logits.shape[0]
    ),
    "mean times D": lambda logits, targets: (
        F.binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]
    ),
    "nn.BCEWithLogitsLoss": lambda logits, targets: (
        torch.nn.BCEWithLogitsLoss(reduction="none")(logits, targets).sum(-1).mean()
    ),
    "float64": lambda logits, targets: nats_per_image(logits.double(), targets.double()),
    "loop over numbers": loop,
    "maximum and log1p": max_and_log1p,
    "logsumexp": log_sum_exp,
    "logaddexp": lambda logits, targets: (
        (torch.logaddexp(torch.zeros(()), logits) - targets * logits).sum(1).mean()
    ),
    "vmap": lambda logits, targets: torch.vmap(
        lambda a, t: F.binary_cross_entropy_with_logits(a, t, reduction="sum")
    )(logits, targets).mean(),
    "chunks": accumulated,
    "filled by index": by_index,
    "cross entropy of two classes": lambda logits, targets: (
        F.cross_entropy(
            torch.stack([torch.zeros_like(logits), logits], 1), targets.long(), reduction="sum"
        )
        / len(logits)
    ),
    "where": lambda logits, targets: (
        torch.where(targets > 0, F.softplus(-logits), F.softplus(logits)).sum(1).mean()
    ),
    "einsum": lambda logits, targets: (
        (torch.einsum("nd->", F.softplus(logits)) - torch.einsum("nd,nd->", logits, targets))
        / len(logits)
    ),
}


def with_numpy(logits, targets):
    nats = np.logaddexp(0, logits.numpy()) - targets.numpy() * logits.numpy()
    return torch.tensor(nats.sum(1).mean())


def backward_inside(logits, targets):
    loss = nats_per_image(logits, targets)
    if loss.requires_grad:
        loss.backward(retain_graph=True)
    return loss


def without_gradient(logits, targets):
    with torch.no_grad():
        return nats_per_image(logits, targets)


def half_detached(logits, targets):
    return (F.softplus(logits) - targets * logits.detach()).sum(1).mean()


def naive_softplus(logits, targets):
    return (torch.log(1 + torch.exp(logits)) - targets * logits).sum(1).mean()


LN2 = torch.tensor(2.0).log()
WRONG_NATS = [
    ("softmax over pixels", torch.nn.functional.cross_entropy, "a softmax over pixels is taken"),
    ("mean over all", F.binary_cross_entropy_with_logits, "averaged over pixels"),
    ("sum over all", lambda a, t: each(a, t).sum(), "summed over images"),
    ("axes swapped", lambda a, t: each(a, t).sum(0).mean(), "pixels and images are swapped"),
    (
        "mean of sums over rows",
        lambda a, t: each(a, t).mean(1).sum(),
        "pixels and images are swapped",
    ),
    ("sign", lambda a, t: -nats_per_image(a, t), "sign is flipped"),
    ("log_prob", lambda a, t: Bernoulli(logits=a).log_prob(t).sum(1).mean(), "sign is flipped"),
    ("one an image", lambda a, t: each(a, t).sum(1), "average over images is missing"),
    ("one a pixel", each, "one number per pixel"),
    ("sigmoid twice", lambda a, t: nats_per_image(a.sigmoid(), t), "applied twice"),
    ("bce of logits", lambda a, t: of_probabilities(a, t), "logit is not a probability"),
    ("only ink", lambda a, t: -(t * F.logsigmoid(a)).sum(1).mean(), "only pixels with target 1"),
    (
        "only paper",
        lambda a, t: -((1 - t) * F.logsigmoid(-a)).sum(1).mean(),
        "only pixels with target 0",
    ),
    ("colours swapped", lambda a, t: nats_per_image(a, 1 - t), "black and white are swapped"),
    ("sign of the logits", lambda a, t: nats_per_image(-a, t), "black and white are swapped"),
    ("arguments swapped", lambda a, t: nats_per_image(t, a), "arguments are swapped"),
    ("squared error", lambda a, t: (a.sigmoid() - t).square().sum(1).mean(), "squared error"),
    ("no logarithm", lambda a, t: (-each(a, t)).exp().sum(1).mean(), "the logarithm is missing"),
    ("no sigmoid", lambda a, t: -(t * a).sum(1).mean(), "the sigmoid is missing"),
    ("bits", lambda a, t: nats_per_image(a, t) / LN2, "is in bits"),
    ("base 10", lambda a, t: nats_per_image(a, t) / torch.tensor(10.0).log(), "base 10"),
    (
        "cut off at 100",
        lambda a, t: F.binary_cross_entropy(a.sigmoid(), t, reduction="none").sum(1).mean(),
        "`binary_cross_entropy` cuts the loss off at 100 nats per pixel",
    ),
    ("log of sigmoid", lambda a, t: of_probabilities(a.sigmoid(), t), "log(1 − 1) is −∞"),
    (
        "log of sigmoid, float64",
        lambda a, t: of_probabilities(a.double().sigmoid(), t),
        "log(1 − 1) is −∞",
    ),
    (
        "+ 1e-8",
        lambda a, t: (
            -(t * (a.sigmoid() + 1e-8).log() + (1 - t) * (1 - a.sigmoid() + 1e-8).log())
            .sum(1)
            .mean()
        ),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "clamped sigmoid",
        lambda a, t: of_probabilities(a.sigmoid().clamp(1e-6, 1 - 1e-6), t),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "Bernoulli of probabilities",
        lambda a, t: -Bernoulli(a.sigmoid()).log_prob(t).sum(1).mean(),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "clamped logits",
        lambda a, t: nats_per_image(a.clamp(-50, 50), t),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    ("clamped at 100", lambda a, t: nats_per_image(a.clamp(-100, 100), t), "clamped"),
    ("exp overflows", naive_softplus, "exp(1000) overflows"),
    (
        "log1p(exp)",
        lambda a, t: (torch.log1p(a.exp()) - t * a).sum(1).mean(),
        "exp(1000) overflows",
    ),
    ("nan_to_num", lambda a, t: naive_softplus(a, t).nan_to_num(0, 0, 0), "clamped"),
    ("item", lambda a, t: nats_per_image(a, t).item(), "not float, because"),
    ("float", lambda a, t: float(nats_per_image(a, t)), "not float, because"),
    (
        "NumPy scalar",
        lambda a, t: nats_per_image(a.detach(), t).numpy()[()],
        "not a NumPy number, because",
    ),
    (
        "detached",
        lambda a, t: nats_per_image(a, t).detach(),
        "gradient with respect to logits is cut",
    ),
    ("data", lambda a, t: nats_per_image(a.data, t), "gradient with respect to logits is cut"),
    ("no_grad", without_gradient, "gradient with respect to logits is cut"),
    (
        "new tensor",
        lambda a, t: torch.tensor(nats_per_image(a, t).item()),
        "gradient with respect to logits is cut",
    ),
    ("NumPy", with_numpy, "NumPy passes no gradient on"),
    ("half detached", half_detached, "gradient with respect to logits is wrong"),
    ("backward inside", backward_inside, "`backward()` is called inside"),
    ("3 written", lambda a, t: each(a, t).mean() * 3, "Is a size hard-coded?"),
    ("784 written", lambda a, t: each(a, t).mean() * 784, "the mean is multiplied by 784"),
    ("two images", lambda a, t: each(a, t).sum() / 2, "Is a size hard-coded?"),
    (
        "range(2)",
        lambda a, t: torch.stack([each(a[i], t[i]).sum() for i in range(2)]).mean(),
        "Is a size hard-coded?",
    ),
    ("a column", lambda a, t: nats_per_image(a, t)[None], "the axes are not"),
    ("minus one", lambda a, t: nats_per_image(a, t) - 1, "a value is wrong"),
    ("hinge", lambda a, t: (1 - (2 * t - 1) * a).clamp(min=0).sum(1).mean(), "a value is wrong"),
]

RIGHT = [
    (checks.to_points, RIGHT_POINTS),
    (checks.binarize, RIGHT_BINARIZE),
    (checks.nats_per_image, RIGHT_NATS),
]
WRONG = [
    (checks.to_points, WRONG_POINTS),
    (checks.binarize, WRONG_BINARIZE),
    (checks.nats_per_image, WRONG_NATS),
]


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        pytest.param(check, answer, id=f"{check.__name__}: {name}")
        for check, table in RIGHT
        for name, answer in table.items()
    ],
)
def test_right_answers_pass(check, answer):
    assert check(answer).message == check.__doc__


@pytest.mark.parametrize(
    ("check", "answer", "fragment"),
    [
        pytest.param(check, answer, says, id=f"{check.__name__}: {name}")
        for check, table in WRONG
        for name, answer, says in table
    ],
)
def test_wrong_answers_are_named(check, answer, fragment):
    result = check(answer)
    assert result.status == "mistake"
    assert fragment in result.message


def test_a_wrong_value_is_shown_with_its_input():
    message = checks.nats_per_image(
        lambda logits, targets: 2 * nats_per_image(logits, targets) + 1
    ).message
    # by hand: Σ log(1 + exp(∓logit)) = 0.474 + 0.313 + 0.127 and 0.854 + 1.701 + 0.079;
    # their mean is 1.7745
    assert "logits = ((0.5, -1.0, 2.0), (-0.3, 1.5, -2.5))" in message
    assert "should be 1.774" in message
    assert "yours is 4.54" in message


RATES = torch.tensor([0.1, 0.6, 0.5, 0.3])
# by hand: −ln 0.9 − ln 0.6 − ln 0.5 − ln 0.7 = 1.6660,
# and for the blank page −ln 0.4 instead of −ln 0.6
ABOUT_IMAGES = [
    ("not started", None, "Replace None with your image first."),
    (
        "right",
        (RATES > 0.5).float(),
        "costs 1.67 nats, and the blank page costs 2.07. None of your pixels",
    ),
    ("bool", RATES > 0.5, "None of your pixels would cost less"),
    ("a row", (RATES > 0.5).float()[None], "None of your pixels would cost less"),
    ("integers", (RATES > 0.5).int(), "None of your pixels would cost less"),
    ("rounded", RATES.round(), "None of your pixels would cost less"),
    ("NumPy", (RATES > 0.5).numpy(), "None of your pixels would cost less"),
    ("a tie, white", torch.tensor([0.0, 1.0, 1.0, 0.0]), "None of your pixels would cost less"),
    ("blank page", torch.zeros(4), "One of your pixels would cost less in the other colour."),
    ("all white", torch.ones(4), "2 of your 4 pixels would cost less"),
    ("the rates", RATES, "These are the rates themselves"),
    ("twice the rates", 2 * RATES, "must be 0 or 1, but one of them is 0.200"),
    ("NaN", RATES * torch.nan, "must be 0 or 1, but one of them is nan"),
    ("too short", torch.zeros(3), "one value for each of the 4 pixels, but it has 3"),
    ("text", "black", "must be a torch tensor, not str"),
]


@pytest.mark.parametrize(
    ("image", "says"), [pytest.param(image, says, id=name) for name, image, says in ABOUT_IMAGES]
)
def test_the_cheapest_image_is_judged_pixel_by_pixel(image, says):
    assert says in checks.start.cheapest_image(image, RATES)


def test_an_inverted_image_is_named():
    rates = torch.tensor([0.1, 0.6])
    assert "black and white are swapped" in checks.start.cheapest_image(rates < 0.5, rates)
