"""Checks of "The VAE on MNIST": right answers of any style pass, wrong ones are named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    Independent,
    MultivariateNormal,
    Normal,
)

from course_lib import checks


def log_bernoulli(logits, x):
    """Reference solution."""
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)


def generate(decode, n, d):
    """Reference solution."""
    z = torch.randn(n, d)
    return decode(z).sigmoid()


def nll_bound(log_px_z, log_pz, log_qz):
    """Reference solution."""
    log_w = log_px_z + log_pz - log_qz  # (k, N)
    return -(torch.logsumexp(log_w, dim=0) - math.log(len(log_w))).mean()


def paired_error(nll_a, nll_b):
    """Reference solution."""
    difference = nll_a - nll_b  # (N,)
    return difference.std() / math.sqrt(len(difference))


def each(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def of_probabilities(p, x):
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(1)


def bernoulli_loop(logits, x):
    rows = []
    for a, t in zip(logits, x, strict=True):
        total = 0
        for one_logit, one_pixel in zip(a, t, strict=True):
            total = total + (
                F.logsigmoid(one_logit) if one_pixel == 1 else F.logsigmoid(-one_logit)
            )
        rows.append(total)
    return torch.stack(rows)


def max_and_log1p(logits, x):
    return (logits * x - logits.clamp(min=0) - torch.log1p(torch.exp(-logits.abs()))).sum(1)


def two_classes(logits, x):
    both = torch.stack([torch.zeros_like(logits), logits], -1).log_softmax(-1)  # (N, D, 2)
    return both.gather(-1, x.long()[..., None]).squeeze(-1).sum(1)


def filled(logits, x):
    out = torch.zeros(len(logits))
    for j in range(logits.shape[1]):
        out += F.logsigmoid((2 * x[:, j] - 1) * logits[:, j])
    return out


def where_ink(logits, x):
    return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)


RIGHT_BERNOULLI = {
    "reference": log_bernoulli,
    "torch.distributions": lambda logits, x: Bernoulli(logits=logits).log_prob(x).sum(1),
    "Independent": lambda logits, x: Independent(Bernoulli(logits=logits), 1).log_prob(x),
    "logsigmoid": lambda logits, x: (
        x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)
    ).sum(1),
    "softplus": lambda logits, x: (x * logits - F.softplus(logits)).sum(-1),
    "softplus of signs": lambda logits, x: -F.softplus((1 - 2 * x) * logits).sum(1),
    "where": where_ink,
    "maximum and log1p": max_and_log1p,
    "logaddexp": lambda logits, x: (x * logits - torch.logaddexp(torch.zeros(()), logits)).sum(1),
    "two classes": two_classes,
    "float64": lambda logits, x: log_bernoulli(logits.double(), x.double()),
    "loops": bernoulli_loop,
    "filled": filled,
    "vmap": torch.vmap(lambda a, t: -F.binary_cross_entropy_with_logits(a, t, reduction="sum")),
    "chunks": lambda logits, x: torch.cat(
        [log_bernoulli(a, t) for a, t in zip(logits.split(2), x.split(2), strict=True)]
    ),
    "einsum": lambda logits, x: torch.einsum("nd,nd->n", logits, x) - F.softplus(logits).sum(1),
    "mean times D": lambda logits, x: each(logits, x).mean(1) * x.shape[1],
    "nn.BCEWithLogitsLoss": lambda logits, x: (
        -torch.nn.BCEWithLogitsLoss(reduction="none")(logits, x).sum(1)
    ),
    "bool pixels": lambda logits, x: (
        F.logsigmoid(logits).masked_fill(x == 0, 0) + F.logsigmoid(-logits).masked_fill(x == 1, 0)
    ).sum(1),
}


def bernoulli_no_grad(logits, x):
    with torch.no_grad():
        return log_bernoulli(logits, x)


def bernoulli_numpy(logits, x):
    a, x = logits.numpy(), x.numpy()
    return torch.from_numpy((x * a - np.logaddexp(0, a)).sum(1))


def bernoulli_backward(logits, x):
    result = log_bernoulli(logits, x)
    if result.requires_grad:
        result.sum().backward(retain_graph=True)
    return result


def naive(logits, x):
    return (x * logits - torch.log(1 + torch.exp(logits))).sum(1)


def with_small_number(logits, x, small=1e-8):
    p = logits.sigmoid()
    return (x * (p + small).log() + (1 - x) * (1 - p + small).log()).sum(1)


WRONG_BERNOULLI = [
    ("mean", lambda a, x: each(a, x).mean(1), "averaged over pixels"),
    ("sigmoid twice", lambda a, x: log_bernoulli(a.sigmoid(), x), "sigmoid is applied twice"),
    ("no sigmoid", lambda a, x: (a * x).sum(1), "the sigmoid is missing"),
    ("sign", lambda a, x: -log_bernoulli(a, x), "sign is flipped"),
    ("swapped", lambda a, x: log_bernoulli(x, a), "arguments are swapped"),
    ("only ink", lambda a, x: (x * a.sigmoid().log()).sum(1), "only pixels with x = 1"),
    ("only paper", lambda a, x: ((1 - x) * F.logsigmoid(-a)).sum(1), "only pixels with x = 0"),
    ("log p for all", lambda a, x: F.logsigmoid(a).sum(1), "log p is used for every pixel"),
    (
        "log(1 − p) for all",
        lambda a, x: F.logsigmoid(-a).sum(1),
        "log(1 − p) is used for every pixel",
    ),
    (
        "1 − log p",
        lambda a, x: (x * F.logsigmoid(a) + (1 - x) * (1 - F.logsigmoid(a))).sum(1),
        "1 − log p is used in place of log(1 − p)",
    ),
    (
        "product",
        lambda a, x: each(a, x).prod(1),
        "the log-probabilities of the pixels are multiplied",
    ),
    ("colours swapped", lambda a, x: log_bernoulli(a, 1 - x), "black and white are swapped"),
    ("sign of the logits", lambda a, x: log_bernoulli(-a, x), "black and white are swapped"),
    ("sum of all", lambda a, x: each(a, x).sum(), "the result is also summed over the batch"),
    (
        "mean over the batch",
        lambda a, x: log_bernoulli(a, x).mean(),
        "the result is also averaged over the batch",
    ),
    ("mean of all", lambda a, x: each(a, x).mean(), "averaged over all pixels"),
    ("axis 0", lambda a, x: each(a, x).sum(0), "summed over the images"),
    ("no sum", each, "the result has one number per pixel"),
    ("no sum, sign", lambda a, x: -each(a, x), "and the sign is flipped"),
    ("probability", lambda a, x: log_bernoulli(a, x).exp(), "the logarithm is missing"),
    (
        "sum of probabilities",
        lambda a, x: each(a, x).exp().sum(1),
        "sum of the pixels' probabilities",
    ),
    ("bits", lambda a, x: log_bernoulli(a, x) / math.log(2), "is in bits"),
    ("base 10", lambda a, x: log_bernoulli(a, x) / math.log(10), "base 10"),
    (
        "squared error",
        lambda a, x: (a.sigmoid() - x).square().sum(1),
        "the result is the squared error, not a log-probability",
    ),
    (
        "minus squared error",
        lambda a, x: -(a.sigmoid() - x).square().sum(1),
        "minus the squared error",
    ),
    ("Gaussian", lambda a, x: -((a.sigmoid() - x) ** 2).sum(1) / 2, "minus half the squared error"),
    (
        "logits as probabilities",
        of_probabilities,
        "a logit is not a probability, so its logarithm can be NaN",
    ),
    ("log of sigmoid", lambda a, x: of_probabilities(a.sigmoid(), x), "log(1 − 1) is −∞"),
    (
        "log of sigmoid, float64",
        lambda a, x: of_probabilities(a.double().sigmoid(), x),
        "log(1 − 1) is −∞",
    ),
    (
        "binary_cross_entropy",
        lambda a, x: -F.binary_cross_entropy(a.sigmoid(), x, reduction="none").sum(1),
        "`binary_cross_entropy` cuts the loss off at 100 nats per pixel",
    ),
    (
        "clamped sigmoid",
        lambda a, x: of_probabilities(a.sigmoid().clamp(1e-6, 1 - 1e-6), x),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "+ 1e-8",
        with_small_number,
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "+ 1e-30",
        lambda a, x: with_small_number(a, x, 1e-30),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "Bernoulli of probabilities",
        lambda a, x: Bernoulli(a.sigmoid()).log_prob(x).sum(1),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "nan_to_num",
        lambda a, x: of_probabilities(a.sigmoid(), x).nan_to_num(),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "clamped logits",
        lambda a, x: log_bernoulli(a.clamp(-30, 30), x),
        (
            "The sigmoid of 60 rounds to 1, and a clamp or a small added number hides that "
            "log(1 − p) is −∞"
        ),
    ),
    (
        "clamped at 80",
        lambda a, x: log_bernoulli(a.clamp(-80, 80), x),
        "a value is wrong for logits of ±1000",
    ),
    (
        "clamped at 15",
        lambda a, x: log_bernoulli(a.clamp(-15, 15), x),
        "Compute the loss from the logits; clamp nothing.",
    ),
    ("exp overflows", naive, "exp(1000) overflows"),
    ("odds", lambda a, x: torch.log(a.exp() ** x / (1 + a.exp())).sum(1), "exp(1000) overflows"),
    (
        "detached",
        lambda a, x: log_bernoulli(a, x).detach(),
        "gradient with respect to logits is cut",
    ),
    ("data", lambda a, x: log_bernoulli(a.data, x), "gradient with respect to logits is cut"),
    ("no_grad", bernoulli_no_grad, "gradient with respect to logits is cut"),
    (
        "half detached",
        lambda a, x: (x * a.detach() - F.softplus(a)).sum(1),
        "gradient with respect to logits is wrong",
    ),
    ("NumPy", bernoulli_numpy, "NumPy passes no gradient on"),
    ("backward inside", bernoulli_backward, "`backward()` is called inside"),
    (
        "range(3)",
        lambda a, x: sum(F.logsigmoid((2 * x[:, j] - 1) * a[:, j]) for j in range(3)),
        "Is a size hard-coded?",
    ),
    ("times 3", lambda a, x: each(a, x).mean(1) * 3, "Is a size hard-coded?"),
    (
        "two rows",
        lambda a, x: torch.stack([each(a[i], x[i]).sum() for i in range(2)]),
        "Is a size hard-coded?",
    ),
    ("kept axis", lambda a, x: log_bernoulli(a, x)[:, None], "the axes are not"),
    (
        "continuous Bernoulli",
        lambda a, x: ContinuousBernoulli(logits=a).log_prob(x).sum(1),
        "is never positive",
    ),
    ("plus one", lambda a, x: log_bernoulli(a, x) + 1e-2, "a value is wrong"),
    ("positive", lambda a, x: log_bernoulli(a, x) + 20, "is never positive"),
    ("in place", lambda a, x: log_bernoulli(a.mul_(1.0).add_(1e-3), x), "in place"),
    ("list", lambda a, x: log_bernoulli(a, x).tolist(), "but got list"),
]


def from_z(z):
    """Right but for the z that it decodes."""
    return lambda decode, n, d: decode(z(n, d)).sigmoid()


def from_torch_distributions(decode, n, d):
    return Bernoulli(
        logits=decode(MultivariateNormal(torch.zeros(d), torch.eye(d)).sample((n,)))
    ).mean


def box_muller(n, d):
    u, v = torch.rand(2, n, d)
    return (-2 * (1 - u).log()).sqrt() * (2 * math.pi * v).cos()


def image_by_image(decode, n, d):
    return torch.stack([decode(torch.randn(d)).sigmoid() for _ in range(n)])


def image_by_image_as_batches(decode, n, d):
    return torch.cat([torch.sigmoid(decode(torch.randn(1, d))) for _ in range(n)])


def in_chunks(decode, n, d):
    return torch.cat([decode(z) for z in torch.randn(n, d).split(64)]).sigmoid()


def chunks_of_their_own(decode, n, d):
    images, left = [], n
    while left:
        size = min(100, left)
        images.append(1 / (1 + torch.exp(-decode(torch.randn(size, d)))))
        left -= size
    return torch.vstack(images)


def filled_images(decode, n, d):
    z = torch.randn(n, d)
    first = decode(z[:1])
    images = torch.empty(n, first.shape[1])
    for i in range(n):
        images[i] = decode(z[i : i + 1])[0].sigmoid()
    return images


RIGHT_GENERATE = {
    "reference": generate,
    "torch.distributions": from_torch_distributions,
    "float64": from_z(lambda n, d: Normal(0.0, 1.0).sample((n, d)).double()),
    "no_grad": torch.no_grad()(generate),
    "inference_mode": torch.inference_mode()(generate),
    "image by image": image_by_image,
    "batches of one": image_by_image_as_batches,
    "chunks": in_chunks,
    "chunks of their own": chunks_of_their_own,
    "vmap": lambda decode, n, d: torch.vmap(lambda z: decode(z).sigmoid())(torch.randn(n, d)),
    "torch.func.vmap of decode": lambda decode, n, d: torch.func.vmap(decode)(
        torch.randn(n, d)
    ).sigmoid(),
    "vmap in chunks": lambda decode, n, d: torch.vmap(decode, chunk_size=128)(
        torch.randn(n, d)
    ).sigmoid(),
    "vmap draws too": lambda decode, n, d: torch.vmap(
        lambda _: decode(torch.randn(d)).sigmoid(), randomness="different"
    )(torch.zeros(n)),
    "filled": filled_images,
    ("NumPy's noise"): from_z(lambda n, d: torch.from_numpy(np.random.randn(n, d)).float()),  # noqa: NPY002
    "Box and Muller": from_z(box_muller),
    "normal_": from_z(lambda n, d: torch.empty(n, d).normal_()),
    "torch.normal": from_z(lambda n, d: torch.normal(0.0, 1.0, size=(n, d))),
    "turned": from_z(lambda n, d: torch.randn(d, n).T),
    "rsample": from_z(lambda n, d: Normal(torch.zeros(n, d), 1.0).rsample()),
    "extra axis": lambda decode, n, d: decode(torch.randn(1, n, d))[0].sigmoid(),
    "sigmoid by tanh": lambda decode, n, d: 0.5 * (1 + torch.tanh(decode(torch.randn(n, d)) / 2)),
    "map": lambda decode, n, d: torch.stack(list(map(decode, torch.randn(n, d)))).sigmoid(),
}


def seeded(decode, n, d):
    torch.manual_seed(0)
    return generate(decode, n, d)


def seeded_image_by_image(decode, n, d):
    torch.manual_seed(0)
    return image_by_image(decode, n, d)


def sampled(decode, n, d):
    return torch.bernoulli(generate(decode, n, d))


def min_and_max(decode, n, d):
    logits = decode(torch.randn(n, d))
    return (logits - logits.min()) / (logits.max() - logits.min())


def same_image(decode, n, d):
    return decode(torch.randn(1, d)).sigmoid().expand(n, -1)


def half_of_them(decode, n, d):
    images = generate(decode, n // 2, d)
    return torch.cat([images, images])


def a_grid(n, d):
    side = math.isqrt(n) + 1
    line = torch.linspace(-2, 2, side)
    return torch.cartesian_prod(*[line] * 2)[:n] if d == 2 else torch.randn(n, d)


WRONG_GENERATE = [
    ("no sigmoid", lambda decode, n, d: decode(torch.randn(n, d)), "the sigmoid is missing"),
    (
        "no sigmoid, vmap",
        lambda decode, n, d: torch.vmap(decode)(torch.randn(n, d)),
        "the sigmoid is missing",
    ),
    (
        "sigmoid twice",
        lambda decode, n, d: generate(decode, n, d).sigmoid(),
        "sigmoid is applied twice",
    ),
    (
        "sigmoid twice, vmap",
        lambda decode, n, d: torch.vmap(decode)(torch.randn(n, d)).sigmoid().sigmoid(),
        "sigmoid is applied twice",
    ),
    (
        "threshold",
        lambda decode, n, d: (generate(decode, n, d) > 0.5).float(),
        "a threshold is applied",
    ),
    ("rounded", lambda decode, n, d: generate(decode, n, d).round(), "a threshold is applied"),
    ("draws", sampled, "Return each pixel's mean"),
    (
        "draws, vmap",
        lambda decode, n, d: torch.vmap(decode)(torch.randn(n, d)).sigmoid().bernoulli(),
        "Return each pixel's mean",
    ),
    ("clamp", lambda decode, n, d: decode(torch.randn(n, d)).clamp(0, 1), "clamped to [0, 1]"),
    ("scaled", min_and_max, "the logits are scaled to [0, 1] by their smallest and largest value"),
    (
        "softmax",
        lambda decode, n, d: decode(torch.randn(n, d)).softmax(1),
        "a softmax over the pixels",
    ),
    ("exp", lambda decode, n, d: decode(torch.randn(n, d)).exp(), "odds"),
    (
        "tanh",
        lambda decode, n, d: decode(torch.randn(n, d)).tanh(),
        "the tanh of a logit is in [−1, 1]",
    ),
    (
        "half tanh",
        lambda decode, n, d: (decode(torch.randn(n, d)).tanh() + 1) / 2,
        "twice the logits",
    ),
    ("inverted", lambda decode, n, d: 1 - generate(decode, n, d), "black and white are swapped"),
    (
        "logsigmoid",
        lambda decode, n, d: F.logsigmoid(decode(torch.randn(n, d))),
        "the logarithm of the pixels",
    ),
    ("rand", from_z(torch.rand), "not Gaussian"),
    ("rand ± 1", from_z(lambda n, d: 2 * torch.rand(n, d) - 1), "`torch.rand` is uniform"),
    (
        "sigmoid of z",
        from_z(lambda n, d: torch.randn(n, d).sigmoid()),
        "a sigmoid is applied to z. Decode z itself",
    ),
    (
        "sigmoid of z only",
        lambda decode, n, d: decode(torch.sigmoid(torch.randn(n, d))),
        "a sigmoid is applied to z. Decode z itself",
    ),
    ("zeros", from_z(torch.zeros), "z is 0"),
    ("grid", from_z(a_grid), "or is z not random"),
    ("one noise", from_z(lambda n, d: torch.randn(d).expand(n, d)), "all rows get the same noise"),
    ("one image", same_image, "all rows get the same noise"),
    (
        "(n, 1)",
        from_z(lambda n, d: torch.randn(n, 1).expand(n, d)),
        "all dimensions of a row share one noise value",
    ),
    ("half repeated", half_of_them, "rows share their noise"),
    ("seeded", seeded, "a second call"),
    ("seeded, image by image", seeded_image_by_image, "a second call"),
    (
        "own generator",
        from_z(lambda n, d: torch.randn(n, d, generator=torch.Generator().manual_seed(3))),
        "a second call",
    ),
    ("z (n,)", from_z(lambda n, d: torch.randn(n)), "must have shape (4000, 2), not (4000,)"),
    (
        "z (d,)",
        from_z(lambda n, d: torch.randn(d)),
        "your images must have shape (4000, 4), not (4,)",
    ),
    ("z (d, n)", from_z(lambda n, d: torch.randn(d, n)), "not (2, 4000)"),
    ("no tensor", lambda decode, n, d: decode(torch.Size((n, d))).sigmoid(), "but got Size"),
    (
        "integers",
        from_z(lambda n, d: torch.randint(-2, 3, (n, d))),
        "the z that you decode must have a floating-point dtype, not torch.int64",
    ),
    ("spread 2", from_z(lambda n, d: 2 * torch.randn(n, d)), "a wrong spread"),
    ("mean 1", from_z(lambda n, d: 1 + torch.randn(n, d)), "a wrong mean"),
    ("truncated at 2", from_z(lambda n, d: torch.randn(n, d).clamp(-2, 2)), "not Gaussian"),
    ("not decoded", lambda decode, n, d: torch.rand(n, 4), "`decode` is never called"),
    (
        "n + 1 images",
        lambda decode, n, d: generate(decode, n + 1, d),
        "must have shape (4000, 4), not (4001, 4)",
    ),
    (
        "absolute tanh",
        lambda decode, n, d: decode(torch.randn(n, d)).tanh().abs(),
        "a value is wrong",
    ),
    (
        "mean over images",
        lambda decode, n, d: generate(decode, n, d).mean(0),
        "your images: the shape is wrong",
    ),
    ("turned", lambda decode, n, d: generate(decode, n, d).T, "the axes are not"),
    (
        "randn(n, 2)",
        lambda decode, n, d: decode(torch.randn(n, 2)).sigmoid(),
        "Is a size hard-coded?",
    ),
    (
        "range(4000)",
        lambda decode, n, d: torch.stack([decode(torch.randn(d)).sigmoid() for _ in range(4000)]),
        "Is a size hard-coded?",
    ),
    (
        "tiles of 1000",
        lambda decode, n, d: torch.cat(
            [decode(torch.randn(1000, d)) for _ in range(n // 1000)]
        ).sigmoid(),
        "Is a size hard-coded?",
    ),
    ("four pixels", lambda decode, n, d: generate(decode, n, d)[:, :4], "Is a size hard-coded?"),
    ("squeezed", lambda decode, n, d: generate(decode, n, d).squeeze(), "Is a size hard-coded?"),
    (
        "with codes",
        lambda decode, n, d: (generate(decode, n, d), torch.randn(n, d)),
        "but got tuple",
    ),
    ("NumPy array", lambda decode, n, d: generate(decode, n, d).numpy(), "but got ndarray"),
    ("bytes", lambda decode, n, d: (255 * generate(decode, n, d)).byte(), "dtype, not torch.uint8"),
]


def weight(px, pz, qz):
    return px + pz - qz


def own_maximum(px, pz, qz):
    log_w = weight(px, pz, qz)
    largest = log_w.amax(0, keepdim=True)
    return -(largest[0] + (log_w - largest).exp().mean(0).log()).mean()


def nll_loop(px, pz, qz):
    total = 0
    for i in range(px.shape[1]):
        log_w = px[:, i] + pz[:, i] - qz[:, i]
        total = total - (torch.logsumexp(log_w, 0) - math.log(len(log_w)))
    return total / px.shape[1]


def running(px, pz, qz):
    log_w = weight(px, pz, qz)
    total = log_w[0]
    for row in log_w[1:]:
        total = torch.logaddexp(total, row)
    return (math.log(log_w.size(0)) - total).mean()


RIGHT_NLL = {
    "reference": nll_bound,
    "float64": lambda *given: nll_bound(*(value.double() for value in given)),
    "log k first": lambda px, pz, qz: (math.log(len(px)) - torch.logsumexp(px + pz - qz, 0)).mean(),
    "own maximum": own_maximum,
    "loop": nll_loop,
    "logaddexp": running,
    "log k inside": lambda px, pz, qz: (
        -torch.logsumexp(weight(px, pz, qz) - math.log(len(px)), 0).mean()
    ),
    "log k as a tensor": lambda px, pz, qz: (
        torch.tensor(len(px)).log() - weight(px, pz, qz).logsumexp(dim=0)
    ).mean(),
    "vmap": lambda px, pz, qz: (
        -torch.vmap(lambda a, b, c: (a + b - c).logsumexp(0) - math.log(len(a)), in_dims=1)(
            px, pz, qz
        ).mean()
    ),
    "sum over N": lambda px, pz, qz: (
        (px.shape[1] * math.log(len(px)) - weight(px, pz, qz).logsumexp(0).sum()) / px.shape[1]
    ),
    "stacked": lambda px, pz, qz: (
        -((torch.stack([px, pz, -qz]).sum(0)).logsumexp(0).mean() - math.log(px.shape[0]))
    ),
    "einsum": lambda px, pz, qz: (
        math.log(len(px))
        - torch.logsumexp(
            torch.einsum("skn,s->kn", torch.stack([px, pz, qz]), torch.tensor([1.0, 1.0, -1.0])), 0
        ).mean()
    ),
    "chunks": lambda px, pz, qz: (
        math.log(len(px))
        - torch.stack([part.logsumexp(0) for part in weight(px, pz, qz).split(2)])
        .logsumexp(0)
        .mean()
    ),
    "columns": lambda px, pz, qz: (
        -torch.stack(
            [column.logsumexp(0) - math.log(len(column)) for column in weight(px, pz, qz).unbind(1)]
        ).mean()
    ),
    "log_softmax": lambda px, pz, qz: (
        math.log(len(px)) - (weight(px, pz, qz) - weight(px, pz, qz).log_softmax(0))[0].mean()
    ),
    "np.log": lambda px, pz, qz: float(np.log(len(px))) - weight(px, pz, qz).logsumexp(0).mean(),
    "logcumsumexp": lambda px, pz, qz: (
        math.log(len(px)) - weight(px, pz, qz).logcumsumexp(0)[-1].mean()
    ),
}


def shifted(by):
    """The bound with something else than each column's own maximum subtracted."""

    def wrong(px, pz, qz):
        log_w = weight(px, pz, qz)
        c = by(log_w)
        return -(c + (log_w - c).exp().mean(0).log()).mean()

    return wrong


def nll_no_grad(*given):
    with torch.no_grad():
        return nll_bound(*given)


def nll_backward(*given):
    result = nll_bound(*given)
    if result.requires_grad:
        result.backward(retain_graph=True)
    return result


def nll_numpy(px, pz, qz):
    log_w = (px + pz - qz).numpy()
    return torch.tensor(-(np.logaddexp.reduce(log_w, 0) - np.log(len(log_w))).mean())


def range_of_3(px, pz, qz):
    log_w = torch.stack([px[i] + pz[i] - qz[i] for i in range(3)])
    return math.log(3) - log_w.logsumexp(0).mean()


WRONG_NLL = [
    (
        "mean of logs",
        lambda px, pz, qz: -(px + pz - qz).mean(),
        "the mean of the logs is taken, which gives the ELBO",
    ),
    (
        "ELBO",
        lambda px, pz, qz: (px + pz - qz).mean(),
        "the mean of the logs is taken, and the sign is flipped",
    ),
    ("no log k", lambda px, pz, qz: -weight(px, pz, qz).logsumexp(0).mean(), "log k is missing"),
    (
        "+ log k",
        lambda px, pz, qz: -(weight(px, pz, qz).logsumexp(0) + math.log(len(px))).mean(),
        "the sign of log k is flipped",
    ),
    (
        "over k",
        lambda px, pz, qz: -(weight(px, pz, qz).logsumexp(0) / len(px)).mean(),
        "divided by k after",
    ),
    (
        "log N",
        lambda px, pz, qz: math.log(px.shape[1]) - weight(px, pz, qz).logsumexp(0).mean(),
        "log N is used in place of log k",
    ),
    ("mean inside", lambda px, pz, qz: -(px + pz - qz).exp().mean().log(), "inside the logarithm"),
    (
        "all in one",
        lambda px, pz, qz: math.log(px.numel()) - weight(px, pz, qz).logsumexp((0, 1)),
        "the average over images is inside the logarithm",
    ),
    (
        "all, no log k",
        lambda px, pz, qz: -weight(px, pz, qz).logsumexp((0, 1)),
        "the average over images is inside the logarithm, and log k is missing",
    ),
    ("axis 1", lambda px, pz, qz: nll_bound(px.T, pz.T, qz.T), "reduced over the images"),
    (
        "largest",
        lambda px, pz, qz: -weight(px, pz, qz).amax(0).mean(),
        "only the largest weight counts",
    ),
    (
        "largest over k",
        lambda px, pz, qz: math.log(len(px)) - weight(px, pz, qz).amax(0).mean(),
        "only the largest weight, divided by k, counts",
    ),
    ("sign", lambda *given: -nll_bound(*given), "the sign is flipped"),
    (
        "sum over images",
        lambda px, pz, qz: px.shape[1] * nll_bound(px, pz, qz),
        "summed over the images",
    ),
    (
        "one an image",
        lambda px, pz, qz: math.log(len(px)) - weight(px, pz, qz).logsumexp(0),
        "the average over images is missing",
    ),
    (
        "one an image, sign",
        lambda px, pz, qz: weight(px, pz, qz).logsumexp(0) - math.log(len(px)),
        "missing, and the sign is flipped",
    ),
    ("mean weight", lambda px, pz, qz: weight(px, pz, qz).exp().mean(), "the logarithm is missing"),
    (
        "minus mean weight",
        lambda px, pz, qz: -weight(px, pz, qz).exp().mean(),
        "minus the mean weight",
    ),
    ("− prior", lambda px, pz, qz: nll_bound(px, -pz, qz), "the sign of the prior is flipped"),
    ("+ q", lambda px, pz, qz: nll_bound(px, pz, -qz), "the sign of q is flipped"),
    ("no q", lambda px, pz, qz: nll_bound(px, pz, 0 * qz), "q is missing"),
    ("no prior", lambda px, pz, qz: nll_bound(px, 0 * pz, qz), "the prior is missing"),
    ("swapped", lambda px, pz, qz: nll_bound(px, qz, pz), "prior and q are swapped"),
    (
        "no prior, no q",
        lambda px, pz, qz: nll_bound(px, 0 * pz, 0 * qz),
        "the prior and q are both missing",
    ),
    ("no likelihood", lambda px, pz, qz: nll_bound(0 * px, pz, qz), "P(x|z) is missing"),
    ("− likelihood", lambda px, pz, qz: nll_bound(-px, pz, qz), "sign of log P(x|z)"),
    ("turned round", lambda px, pz, qz: nll_bound(-px, -pz, -qz), "the weight is inverted"),
    (
        "weighted mean",
        lambda px, pz, qz: -(weight(px, pz, qz).softmax(0) * weight(px, pz, qz)).sum(0).mean(),
        "weighted mean of the logs",
    ),
    ("bits", lambda *given: nll_bound(*given) / math.log(2), "is in bits"),
    (
        "log2 k",
        lambda px, pz, qz: math.log2(len(px)) - weight(px, pz, qz).logsumexp(0).mean(),
        "log k is in bits",
    ),
    (
        "log10 k",
        lambda px, pz, qz: math.log10(len(px)) - weight(px, pz, qz).logsumexp(0).mean(),
        "log k is to base 10",
    ),
    ("base 10", lambda *given: nll_bound(*given) / math.log(10), "base 10"),
    (
        "exp and log",
        lambda px, pz, qz: -(px + pz - qz).exp().mean(0).log().mean(),
        "exp(3000) overflows, and exp(−3000) rounds to 0",
    ),
    (
        "float64 exp and log",
        lambda px, pz, qz: -(px + pz - qz).double().exp().mean(0).log().mean(),
        "exp(3000) overflows",
    ),
    (
        "products",
        lambda px, pz, qz: -(px.exp() * pz.exp() / qz.exp()).mean(0).log().mean(),
        "exp(3000) overflows",
    ),
    (
        "one shift",
        shifted(lambda w: w.max()),
        "Here one image has log-weights near −5000, and another near 3000",
    ),
    (
        "shift by the mean",
        shifted(lambda w: w.mean(0)),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "shift by the first",
        shifted(lambda w: w[0]),
        "Subtract each image's own largest log-weight first, as `logsumexp` does",
    ),
    (
        "clamped",
        lambda px, pz, qz: nll_bound((px + pz - qz).clamp(-80, 80), 0 * pz, 0 * qz),
        "something clamped?",
    ),
    (
        "+ 1e-30",
        lambda px, pz, qz: -((px + pz - qz).exp().mean(0) + 1e-30).log().mean(),
        "Is a small number added",
    ),
    ("item", lambda *given: nll_bound(*given).item(), "not float, because"),
    (
        "detached",
        lambda *given: nll_bound(*given).detach(),
        "gradient with respect to log_px_z is cut",
    ),
    ("no_grad", nll_no_grad, "gradient with respect to log_px_z is cut"),
    (
        "prior detached",
        lambda px, pz, qz: nll_bound(px, pz.detach(), qz),
        "gradient with respect to log_pz is cut",
    ),
    (
        "q detached",
        lambda px, pz, qz: nll_bound(px, pz, qz.detach()),
        "gradient with respect to log_qz is cut",
    ),
    (
        "weights detached",
        lambda px, pz, qz: (
            -((weight(px, pz, qz) - weight(px, pz, qz).detach()).mean() * 2)
            + nll_bound(px, pz, qz).detach()
        ),
        "gradient with respect to log_px_z is wrong",
    ),
    ("backward inside", nll_backward, "`backward()` is called inside"),
    ("NumPy", nll_numpy, "NumPy passes no gradient on"),
    ("a NumPy number", lambda *given: nll_bound(*given).numpy()[()], "not a NumPy number"),
    ("range(3)", range_of_3, "Is a size hard-coded?"),
    (
        "log 3",
        lambda px, pz, qz: math.log(3) - weight(px, pz, qz).logsumexp(0).mean(),
        "Is a size hard-coded?",
    ),
    (
        "two images",
        lambda px, pz, qz: (2 * math.log(len(px)) - weight(px, pz, qz).logsumexp(0).sum()) / 2,
        "Is a size hard-coded?",
    ),
    ("minus one", lambda *given: nll_bound(*given) - 1, "a value is wrong. For log_px_z"),
    ("in place", lambda px, pz, qz: nll_bound(px.add_(pz), 0 * pz, qz), "in place"),
]


def single_error(nll):
    return nll.std() / math.sqrt(len(nll))


def naive_variance(d):
    """The variance of d in the form that rounding spoils, with the divisor N."""
    return d.square().mean() - d.mean() ** 2


RIGHT_PAIRED = {
    "reference": paired_error,
    "variance": lambda a, b: ((a - b).var() / len(a)).sqrt(),
    "a number": lambda a, b: float((a - b).std()) / len(a) ** 0.5,
    "NumPy": lambda a, b: torch.tensor(np.std((a - b).numpy(), ddof=1) / math.sqrt(len(a))),
    "by hand": lambda a, b: (
        (a - b - (a - b).mean()).square().sum() / (len(a) - 1) / len(a)
    ).sqrt(),
    "covariance": lambda a, b: (
        (a.var() + b.var() - 2 * torch.cov(torch.stack([a, b]))[0, 1]) / len(a)
    ).sqrt(),
    "turned": lambda a, b: paired_error(b, a),
    "mean of squares less squared mean, float64": lambda a, b: (
        naive_variance((a - b).double()) / (len(a) - 1)
    ).sqrt(),
}
WRONG_PAIRED = [
    ("independent", lambda a, b: ((a.var() + b.var()) / len(a)).sqrt(), "treated as independent"),
    ("added", lambda a, b: (a.std() + b.std()) / math.sqrt(len(a)), "standard errors are added"),
    (
        "no root of N",
        lambda a, b: (a - b).std(),
        "the result is the standard deviation of one image",
    ),
    ("variance", lambda a, b: (a - b).var() / len(a), "the result is a variance"),
    ("N", lambda a, b: (a - b).std(correction=0) / math.sqrt(len(a)), "divide by N − 1"),
    (
        "NumPy's default",
        lambda a, b: float(np.std((a - b).numpy())) / math.sqrt(len(a)),
        "divide by N − 1",
    ),
    ("divided by N", lambda a, b: (a - b).std() / len(a), "shrinks with √N"),
    ("mean", lambda a, b: (a - b).mean(), "not its standard error"),
    (
        "absolute",
        lambda a, b: (a - b).abs().std() / math.sqrt(len(a)),
        "sign of the differences is lost",
    ),
    ("negative", lambda a, b: -paired_error(a, b), "never negative"),
    (
        "√(N − 1) twice",
        lambda a, b: (a - b).std() / math.sqrt(len(a) - 1),
        "already contains this correction",
    ),
    (
        "root mean square",
        lambda a, b: (a - b).square().mean().sqrt() / math.sqrt(len(a)),
        "the mean difference is not subtracted",
    ),
    (
        "root mean square, N − 1",
        lambda a, b: ((a - b).square().sum() / (len(a) - 1) / len(a)).sqrt(),
        "the mean difference is not subtracted",
    ),
    ("95 %", lambda a, b: 1.96 * paired_error(a, b), "multiplied by 1.96"),
    ("95 %, rounded", lambda a, b: 2 * paired_error(a, b), "the standard error is doubled"),
    ("five images", lambda a, b: (a - b).std() / math.sqrt(5), "Is a size hard-coded?"),
    ("each image", lambda a, b: a - b, "shape is wrong"),
    ("a less b", lambda a, b: single_error(a) - single_error(b), "nll_b is subtracted from"),
    ("b less a", lambda a, b: single_error(b) - single_error(a), "nll_a is subtracted from"),
    (
        "distance of the two errors",
        lambda a, b: (single_error(a) - single_error(b)).abs(),
        "is subtracted from that of",
    ),
    ("a alone", lambda a, b: single_error(a), "the standard error of nll_a alone"),
    ("b alone", lambda a, b: single_error(b), "the standard error of nll_b alone"),
    (
        "mean of squares less squared mean",
        lambda a, b: (naive_variance(a - b) / (len(a) - 1)).sqrt(),
        "E[d²] − E[d]² is lost to rounding",
    ),
    (
        "sum of squares less N times squared mean",
        lambda a, b: (
            ((a - b).square().sum() - len(a) * (a - b).mean() ** 2) / (len(a) - 1) / len(a)
        ).sqrt(),
        "E[d²] − E[d]² is lost to rounding",
    ),
    (
        "NaN",
        lambda a, b: paired_error(a, b) * (a - b).mean().abs().lt(500).float().log().add(1),
        "E[d²] − E[d]² is lost to rounding",
    ),
]


def second_draw(d):
    """Reference solution."""
    return (d / 2).cosh().log()


RIGHT_SECOND = {
    "reference": second_draw,
    "logaddexp": lambda d: torch.logaddexp(d / 2, -d / 2) - math.log(2),
    "from d and 0": lambda d: torch.logaddexp(d, torch.zeros(())) - math.log(2) - d / 2,
    "softplus": lambda d: F.softplus(d) - d / 2 - math.log(2),
    "with |d|": lambda d: d.abs() / 2 + torch.log1p((-d.abs()).exp()) - math.log(2),
    "exponentials": lambda d: (((d / 2).exp() + (-d / 2).exp()) / 2).log(),
    "float64": lambda d: second_draw(d.double()),
    "one by one": lambda d: torch.tensor([math.log(math.cosh(v / 2)) for v in d.tolist()]),
}
WRONG_SECOND = [
    ("no log 2", lambda d: torch.logaddexp(d / 2, -d / 2), "log 2 is missing"),
    ("log 2 twice", lambda d: second_draw(d) - math.log(2), "log 2 is subtracted twice"),
    ("d²/8", lambda d: d**2 / 8, "the result is d²/8, which is close to the gain only for small d"),
    ("sign", lambda d: -second_draw(d), "the sign is flipped"),
    ("log cosh d", lambda d: d.cosh().log(), "d is not halved"),
    ("cosh", lambda d: (d / 2).cosh(), "the logarithm is missing"),
    ("less b", lambda d: F.softplus(d) - math.log(2), "not subtracted, only b."),
    ("less a", lambda d: F.softplus(-d) - math.log(2), "not subtracted, only a."),
    ("less b, no log 2", F.softplus, "only b, and log 2 is missing"),
    ("bits", lambda d: second_draw(d) / math.log(2), "is in bits"),
    ("math", lambda d: math.log(math.cosh(d / 2)), "your function stops in"),
    ("negative", lambda d: second_draw(d) - 0.5, "the gain is never negative"),
    ("three", lambda d: second_draw(d) * torch.ones(3), "Is a size hard-coded?"),
]

RIGHT = [
    (checks.second_draw, RIGHT_SECOND),
    (checks.paired_error, RIGHT_PAIRED),
    (checks.log_bernoulli, RIGHT_BERNOULLI),
    (checks.generate, RIGHT_GENERATE),
    (checks.nll_bound, RIGHT_NLL),
]
WRONG = [
    (checks.second_draw, WRONG_SECOND),
    (checks.paired_error, WRONG_PAIRED),
    (checks.log_bernoulli, WRONG_BERNOULLI),
    (checks.generate, WRONG_GENERATE),
    (checks.nll_bound, WRONG_NLL),
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
        pytest.param(check, answer, fragment, id=f"{check.__name__}: {name}")
        for check, table in WRONG
        for name, answer, fragment in table
    ],
)
def test_wrong_answers_are_named(check, answer, fragment):
    result = check(answer)
    assert result.status == "mistake"
    assert fragment in result.message
    assert "Mistake" not in result.message  # what our networks say is passed on as it is
