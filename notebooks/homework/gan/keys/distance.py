"""Question 3: unbiased estimates of a distance between two distributions, from a sample of each.

The estimate is the mean of the kernel over pairs of different points within x, plus the same mean
within y, minus twice the mean over all pairs of an x and a y. This is the U-statistic of Gretton et
al. 2012, lemma 6. The energy distance is the special case of the kernel −‖x − y‖ (Székely & Rizzo
2013), and the kernel inception distance is the case of a cubic kernel (Bińkowski et al. 2018,
section 4). An unbiased estimate may be negative, and its mean over samples of one distribution is
0.
"""

import numpy as np
from scipy.spatial.distance import cdist, pdist

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

# This far from the origin, squares in float32 lose all relevant digits, but differences lose none.
FAR = 30_000.0


def samples(rng, case):
    """Two samples of different sizes, slightly apart.

    In the extreme case, both are far from the origin.
    """
    n, m, d = {"small": (4, 3, 2), "large": (31, 19, 7), "extreme": (9, 14, 3)}[case]
    x = rng.normal(size=(n, d))
    y = rng.normal(size=(m, d)) * 1.4 + 0.8
    return (x + FAR, y + FAR) if case == "extreme" else (x, y)


def combined(within_x, within_y, between):
    return within_x + within_y - 2 * between


def off_diagonal(table):
    """The mean over all pairs of different rows of a square table."""
    n = len(table)
    return (table.sum() - np.trace(table)) / (n * (n - 1))


def unbiased(kernel):
    """The U-statistic of a kernel, as a function of two samples.

    The kernel maps samples of shapes (N, d) and (M, d), with any further arguments, to a table of
    shape (N, M).
    """

    def function(x, y, *more):
        return combined(
            off_diagonal(kernel(x, x, *more)),
            off_diagonal(kernel(y, y, *more)),
            kernel(x, y, *more).mean(),
        )

    return function


def pair_by_pair(kernel):
    """An independent answer, from plain loops over pairs j < i with a kernel of two points."""

    def function(x, y, *more):
        within = [
            np.mean([kernel(z[i], z[j], *more) for i in range(len(z)) for j in range(i)])
            for z in (x, y)
        ]
        return combined(*within, np.mean([kernel(a, b, *more) for a in x for b in y]))

    return function


def wrong_means(kernel):
    """Estimates with a wrong mean over the pairs of points, one function for each mistake."""
    right = unbiased(kernel)

    def with_diagonal(x, y, *more):
        return combined(
            kernel(x, x, *more).mean(),
            kernel(y, y, *more).mean(),
            kernel(x, y, *more).mean(),
        )

    def half_corrected(x, y, *more):
        n, m = len(x), len(y)
        return combined(
            kernel(x, x, *more).sum() / (n * (n - 1)),
            kernel(y, y, *more).sum() / (m * (m - 1)),
            kernel(x, y, *more).mean(),
        )

    def zero_diagonal(x, y, *more):
        n, m = len(x), len(y)
        within_x, within_y = kernel(x, x, *more), kernel(y, y, *more)
        return combined(
            (within_x.sum() - np.trace(within_x)) / n**2,
            (within_y.sum() - np.trace(within_y)) / m**2,
            kernel(x, y, *more).mean(),
        )

    def between_once(x, y, *more):
        return right(x, y, *more) + kernel(x, y, *more).mean()

    def pairs_once(x, y, *more):
        within = [off_diagonal(kernel(z, z, *more)) / 2 for z in (x, y)]
        return combined(*within, kernel(x, y, *more).mean())

    return with_diagonal, half_corrected, zero_diagonal, between_once, pairs_once


def common(kernel):
    """Mistakes that are possible with any kernel."""
    right = unbiased(kernel)
    with_diagonal, half_corrected, zero_diagonal, between_once, pairs_once = wrong_means(kernel)
    return (
        Mistake(
            "the estimate is biased: each point is paired with itself. "
            "Leave the diagonal out, and divide by n(n − 1).",
            lambda **given: with_diagonal(*given.values()),
            0.5,
        ),
        Mistake(
            "the diagonal is left out, but the sum is still divided by n²: "
            "divide by n(n − 1), the number of pairs.",
            lambda **given: zero_diagonal(*given.values()),
            0.6,
        ),
        Mistake(
            "the mean over the pairs of an x and a y is used once: "
            "it counts twice, once for each order.",
            lambda **given: between_once(*given.values()),
            0.5,
        ),
        Mistake(
            "each pair i < j is counted once, but the sum is divided by n(n − 1), "
            "which counts each pair twice.",
            lambda **given: pairs_once(*given.values()),
            0.6,
        ),
        Mistake(
            "the sign is flipped: the distance must be large for samples that are far apart.",
            lambda **given: -right(*given.values()),
            0.7,
        ),
        Mistake(
            "a square root is taken: return the estimate itself, which may be negative.",
            lambda **given: np.sqrt(abs(right(*given.values()))),
            0.6,
        ),
    ), half_corrected


def squares(x, y):
    """‖x − y‖² for all pairs, (N, M), from differences."""
    return ((x[:, None] - y) ** 2).sum(-1)


def expanded_squares(x, y):
    """Mistake: ‖x‖² + ‖y‖² − 2 x·y in float32, which loses all precision far from the origin."""
    x, y = x.astype(np.float32), y.astype(np.float32)
    table = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.maximum(table, 0).astype(np.float64)


EXPANDED = (
    "far from the origin, ‖x‖² + ‖y‖² − 2x·y loses all its digits in float32: "
    "square the differences, or use float64."
)
OVER_DIMENSIONS = Tolerance(
    3e-4,
    3e-5,
    "float32 means of up to 600 pairs that partly cancel in the difference of the three means",
)

# ---------------------------------------------------------------- the energy distance


def energy_inputs(rng, case):
    x, y = samples(rng, case)
    return {"x": x, "y": y}


def energy_kernel(x, y):
    return -np.sqrt(squares(x, y))


def energy_independent(x, y):
    return 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()


ENERGY = Variant(
    "energy",
    """## 3. Measure a distance without bias: the energy distance

The *energy distance* between two distributions p and q is

2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖,

where x and x′ are drawn from p, and y and y′ from q, all independently. It is 0 if p = q and positive otherwise. Given
a sample from each, replace each expectation by a mean over pairs so that the estimate is *unbiased*: its expectation
over samples is the distance itself. Which pairs must be left out to achieve this?

Write the function `distance(x, y)`. Its arguments are samples x (N, d) from p and y (M, d) from q. The function returns
the estimate, a number that may be negative. Your function must also be correct for points near (30000, …, 30000) that
are only a few units apart.""",
    '''def distance(x, y):
    """Samples x (N, d) and y (M, d) -> an unbiased estimate of the energy distance, a number."""
    raise NotImplementedError''',
    '''def distance(x, y):
    """Samples x (N, d) and y (M, d) -> an unbiased estimate of the energy distance, a number."""

    def lengths(a, b):
        return (a[:, None] - b).square().sum(-1).sqrt()  # (N, M), from differences: accurate far from the origin

    n, m = len(x), len(y)
    within_x = lengths(x, x).sum() / (n * (n - 1))  # the diagonal adds 0 and is not counted
    within_y = lengths(y, y).sum() / (m * (m - 1))
    return 2 * lengths(x, y).mean() - within_x - within_y''',
    energy_inputs,
    unbiased(energy_kernel),
    (
        # the diagonal of this kernel is 0, so mistake number 1 is the same as number 0
        *(mistake for number, mistake in enumerate(common(energy_kernel)[0]) if number != 1),
        Mistake(
            EXPANDED,
            lambda x, y: unbiased(lambda a, b: -np.sqrt(expanded_squares(a, b)))(x, y),
            0.6,
        ),
        Mistake(
            "squared lengths are averaged: with squared lengths, "
            "only the means of x and y are compared.",
            lambda x, y: unbiased(lambda a, b: -squares(a, b))(x, y),
            0.3,
        ),
        Mistake(
            "absolute differences are added up over the dimensions: ‖·‖ is the Euclidean norm.",
            lambda x, y: unbiased(lambda a, b: -abs(a[:, None] - b).sum(-1))(x, y),
            0.4,
        ),
    ),
    OVER_DIMENSIONS,
    independent=energy_independent,
    styles=(
        """def distance(x, y):
    x, y = x.double(), y.double()
    return 2 * torch.cdist(x, y).mean() - torch.pdist(x).mean() - torch.pdist(y).mean()""",
        """def distance(x, y):
    def mean(a, b, same):
        total, count = 0.0, 0
        for i in range(len(a)):
            for j in range(len(b)):
                if not (same and i == j):
                    total += float((a[i] - b[j]).norm())
                    count += 1
        return total / count
    return 2 * mean(x, y, False) - mean(x, x, True) - mean(y, y, True)""",
        """import numpy as np
from scipy.spatial.distance import cdist, pdist
def distance(x, y):
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return 2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()""",
        """def distance(x, y):
    n, m = len(x), len(y)
    z = torch.cat([x, y]) - x[0]
    table = torch.func.vmap(lambda a: torch.linalg.vector_norm(z - a, dim=1))(z)
    weight = torch.zeros(n + m, n + m)
    weight[:n, :n] = -1 / (n * (n - 1))
    weight[n:, n:] = -1 / (m * (m - 1))
    weight[:n, n:] = 2 / (n * m)
    return torch.einsum("ij,ij->", weight, table)""",
    ),
)

# ---------------------------------------------------------------- MMD with Gaussian kernels


def mmd_inputs(rng, case):
    x, y = samples(rng, case)
    count = {"small": 2, "large": 4, "extreme": 3}[case]
    return {"x": x, "y": y, "width": np.exp(rng.uniform(-0.3, 1.0, size=count))}


def mmd_kernel(x, y, width):
    return np.exp(-squares(x, y)[..., None] / (2 * width**2)).sum(-1)


def mmd_of(kernel):
    return lambda x, y, width: unbiased(kernel)(x, y, width)


def mmd_independent(x, y, width):
    gaussians = lambda a, b, width: sum(np.exp(-((a - b) @ (a - b)) / (2 * w * w)) for w in width)
    return pair_by_pair(gaussians)(x, y, width)


MMD = Variant(
    "mmd",
    """## 3. Measure a distance without bias: the maximum mean discrepancy

The squared *maximum mean discrepancy* (MMD²) between two distributions p and q is

E k(x, x′) + E k(y, y′) − 2 E k(x, y),

where x and x′ are drawn from p, and y and y′ from q, all independently, and k is a kernel. Here, the kernel is a sum of
Gaussians with several widths w, k(x, y) = Σ_w e^(−‖x − y‖² / (2w²)). MMD² is 0 if p = q and positive otherwise. Given a
sample from each, replace each expectation by a mean over pairs so that the estimate is *unbiased*: its expectation over
samples is MMD² itself. Which pairs must be left out to achieve this?

Write the function `distance(x, y, width)`. Its arguments are samples x (N, d) from p and y (M, d) from q, and the
widths w in `width` (S,). The function returns the estimate, a number that may be negative. Your function must also be
correct for points near (30000, …, 30000) that are only a few units apart.""",
    '''def distance(x, y, width):
    """Samples x (N, d) and y (M, d), widths (S,) -> an unbiased estimate of MMD², a number."""
    raise NotImplementedError''',
    '''def distance(x, y, width):
    """Samples x (N, d) and y (M, d), widths (S,) -> an unbiased estimate of MMD², a number."""

    def kernel(a, b):
        squares = (a[:, None] - b).square().sum(-1)  # (N, M), from differences: accurate far from the origin
        return torch.exp(-squares[..., None] / (2 * width**2)).sum(-1)

    def among_themselves(a):
        n = len(a)
        table = kernel(a, a)
        return (table.sum() - table.trace()) / (n * (n - 1))  # no point is paired with itself

    return among_themselves(x) + among_themselves(y) - 2 * kernel(x, y).mean()''',
    mmd_inputs,
    mmd_of(mmd_kernel),
    (
        *common(mmd_kernel)[0],
        Mistake(
            "the sum is divided by n(n − 1), but it still pairs each point with itself.",
            lambda x, y, width: common(mmd_kernel)[1](x, y, width),
            0.5,
        ),
        Mistake(
            "1 is subtracted for each point on the diagonal: k(x, x) is S, the number of widths.",
            lambda x, y, width: combined(
                (mmd_kernel(x, x, width).sum() - len(x)) / (len(x) * (len(x) - 1)),
                (mmd_kernel(y, y, width).sum() - len(y)) / (len(y) * (len(y) - 1)),
                mmd_kernel(x, y, width).mean(),
            ),
            0.6,
        ),
        Mistake(
            EXPANDED,
            mmd_of(lambda a, b, w: np.exp(-expanded_squares(a, b)[..., None] / (2 * w**2)).sum(-1)),
            0.6,
        ),
        Mistake(
            "the factor 2 in 2w² is missing.",
            mmd_of(lambda a, b, w: np.exp(-squares(a, b)[..., None] / w**2).sum(-1)),
            0.6,
        ),
        Mistake(
            "the width is not squared: the exponent is −‖x − y‖² / (2w²).",
            mmd_of(lambda a, b, w: np.exp(-squares(a, b)[..., None] / (2 * w)).sum(-1)),
            0.6,
        ),
        Mistake(
            "the kernels are averaged over the widths: k is their sum.",
            mmd_of(lambda a, b, w: mmd_kernel(a, b, w) / len(w)),
            0.7,
        ),
        Mistake(
            "the distance between the points is not squared: the exponent is −‖x − y‖² / (2w²).",
            mmd_of(lambda a, b, w: np.exp(-np.sqrt(squares(a, b))[..., None] / (2 * w**2)).sum(-1)),
            0.4,
        ),
    ),
    OVER_DIMENSIONS,
    independent=mmd_independent,
    styles=(
        """def distance(x, y, width):
    x, y = x.double(), y.double()
    def k(a, b):
        return sum(torch.exp(-torch.cdist(a, b) ** 2 / (2 * float(w) ** 2)) for w in width)
    n, m = len(x), len(y)
    inside = lambda a: k(a, a).masked_fill(torch.eye(len(a), dtype=torch.bool), 0).sum()
    return inside(x) / (n * (n - 1)) + inside(y) / (m * (m - 1)) - 2 * k(x, y).mean()""",
        """def distance(x, y, width):
    def k(a, b):
        return torch.exp(-((a - b) ** 2).sum() / (2 * width**2)).sum()
    def within(a):
        return sum(k(a[i], a[j]) for i in range(len(a)) for j in range(i)) * 2 / (len(a) * (len(a) - 1))
    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between""",
        """import numpy as np
from scipy.spatial.distance import cdist, pdist
def distance(x, y, width):
    x, y, w = (np.asarray(a, dtype=np.float64) for a in (x, y, width))
    k = lambda square: np.exp(-square.reshape(-1, 1) / (2 * w**2)).sum(1).mean()
    return k(pdist(x, "sqeuclidean")) + k(pdist(y, "sqeuclidean")) - 2 * k(cdist(x, y, "sqeuclidean"))""",
        """def distance(x, y, width):
    middle = x.mean(0)
    x, y = x - middle, y - middle
    n, m = len(x), len(y)
    z = torch.cat([x, y]).double()
    gram = z @ z.T
    square = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram
    table = torch.einsum("sij->ij", torch.exp(-square / (2 * width.double()[:, None, None] ** 2)))
    inside = lambda block: (block.sum() - block.diagonal().sum()) / (len(block) * (len(block) - 1))
    return inside(table[:n, :n]) + inside(table[n:, n:]) - 2 * table[:n, n:].mean()""",
    ),
)

# ---------------------------------------------------------------- the kernel distance of features


LARGE = 1e7  # features for which cubed products exceed 3·10³⁸, the largest number in float32


def kid_inputs(rng, case):
    n, m, d = {"small": (4, 3, 2), "large": (31, 19, 24), "extreme": (6, 8, 5)}[case]
    x = rng.normal(size=(n, d)) + 0.5
    y = rng.normal(size=(m, d)) * 1.8 + 0.5
    return {"x": x * LARGE, "y": y * LARGE} if case == "extreme" else {"x": x, "y": y}


def kid_kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def narrow_kernel(x, y):
    """Mistake: the same in float32, whose largest number is 3·10³⁸."""
    return kid_kernel(x.astype(np.float32), y.astype(np.float32))


def kid_of(kernel):
    return lambda x, y: unbiased(kernel)(x, y)


KID = Variant(
    "kid",
    """## 3. Measure a distance without bias: the kernel inception distance

The Fréchet distance of the chapter *GANs on MNIST* is biased: even for a perfect generator, it falls as the number of
samples grows. The *kernel inception distance* is not. It compares the features x of real images with the features y of
generated images, each a vector of d numbers, and estimates

E k(x, x′) + E k(y, y′) − 2 E k(x, y), with the cubic kernel k(x, y) = (x·y / d + 1)³,

where x and x′ are the features of two independent real images, and y and y′ those of two generated ones. Replace each
expectation by a mean over pairs so that the estimate is *unbiased*: its expectation over samples is this quantity
itself. Which pairs must be left out to achieve this?

Write the function `distance(x, y)`. Its arguments are features x (N, d) and y (M, d). The function returns the
estimate, a number that may be negative. Your function must also be correct for features of about 10⁷, for which the
kernel exceeds the largest number in float32.""",
    '''def distance(x, y):
    """Features x (N, d) and y (M, d) -> the unbiased kernel inception distance, a number."""
    raise NotImplementedError''',
    '''def distance(x, y):
    """Features x (N, d) and y (M, d) -> the unbiased kernel inception distance, a number."""
    x, y = x.double(), y.double()  # float32 overflows at 3·10³⁸

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3  # (N, M)

    def among_themselves(a):
        n = len(a)
        table = kernel(a, a)
        return (table.sum() - table.trace()) / (n * (n - 1))  # no point is paired with itself

    return among_themselves(x) + among_themselves(y) - 2 * kernel(x, y).mean()''',
    kid_inputs,
    kid_of(kid_kernel),
    (
        *common(kid_kernel)[0],
        Mistake(
            "the sum is divided by n(n − 1), but it still pairs each point with itself.",
            lambda x, y: common(kid_kernel)[1](x, y),
            0.5,
        ),
        Mistake(
            "the kernel overflows in float32, whose largest number is 3·10³⁸: "
            "convert to float64 with `.double()`.",
            kid_of(narrow_kernel),
            0.7,
        ),
        Mistake(
            "the product x·y is not divided by d, the number of dimensions.",
            kid_of(lambda a, b: (a @ b.T + 1) ** 3),
            0.5,
        ),
        Mistake(
            "the product x·y is divided by the number of rows: d is the number of columns.",
            kid_of(lambda a, b: (a @ b.T / len(a) + 1) ** 3),
            0.5,
        ),
        Mistake(
            "the + 1 inside the kernel is missing.",
            kid_of(lambda a, b: (a @ b.T / a.shape[1]) ** 3),
            0.5,
        ),
        Mistake(
            "the kernel is squared: the exponent is 3.",
            kid_of(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 2),
            0.5,
        ),
    ),
    Tolerance(
        3e-4,
        3e-5,
        "float32 means of up to 600 cubes that partly cancel in the difference of three means",
    ),
    independent=pair_by_pair(lambda a, b: (np.dot(a, b) / len(a) + 1) ** 3),
    styles=(
        """def distance(x, y):
    x, y = x.double(), y.double()
    k = lambda a, b: (torch.einsum("nd,md->nm", a, b) / a.shape[1] + 1).pow(3)
    inside = lambda a: k(a, a)[~torch.eye(len(a), dtype=torch.bool)].mean()
    return inside(x) + inside(y) - 2 * k(x, y).mean()""",
        """def distance(x, y):
    x, y = x.tolist(), y.tolist()
    def k(a, b):
        return (sum(s * t for s, t in zip(a, b)) / len(a) + 1) ** 3
    def within(a):
        return sum(k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j) / (len(a) * (len(a) - 1))
    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))""",
        """import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel
def distance(x, y):
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    k = lambda a, b: polynomial_kernel(a, b, degree=3)
    xx, yy = k(x, x), k(y, y)
    np.fill_diagonal(xx, 0)
    np.fill_diagonal(yy, 0)
    n, m = len(x), len(y)
    return xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * k(x, y).mean()""",
        """def distance(x, y):
    n, m, d = len(x), len(y), x.shape[1]
    z = torch.cat([x, y]).double()
    table = torch.func.vmap(lambda a: (z @ a / d + 1) ** 3)(z)
    i, j = torch.triu_indices(n, n, 1)
    k, l = torch.triu_indices(m, m, 1) + n
    return table[i, j].mean() + table[k, l].mean() - 2 * table[:n, n:].mean()""",
    ),
)

QUESTION = Question("distance", "distance", 15, (ENERGY, MMD, KID))
