"""Question 6, a design: samples of every label.

They are judged by their Fréchet distance to unseen digits of the same label. The digits are the 8×8
digits from UCI that come with scikit-learn. Every third digit belongs to the judge (599 digits) and
the others to the students (1,198), so both sets contain digits by each writer. Raw pixels would not
suffice, because a Gaussian for each label has the right means and covariances of the pixels and yet
does not draw digits. The distance is therefore measured on 20 nonlinear features: 64 fixed 3×3
filters detect strokes in each of 16 regions, and these numbers are projected on their 20 principal
components over the students' digits. Source of the distance: Heusel et al. 2017.

Measured with 100 samples of each label: the students' own digits reach −3.5 (the best possible
score in practice), the label's mean image −55, independent Gaussian pixels −20.4, and a Gaussian
with full covariance for each label −9.7. A conditional VAE as in the chapter, with P(z) = N(0, I),
reaches −9 to −10 if its pixel variance is learned, and −32 if it is 0.01. With a Gaussian fitted to
the codes of each label it reaches −6.8 to −8.5. Training digits plus noise of 0.1 would reach −5.2,
and with noise of 0.15 they would reach −7.0, so the guard looks for such copies. With noise of
0.18, copies pass the guard and reach −8.5; with noise of 0.2, they reach −9.4.
"""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

SAMPLES = 100  # of each label
COMPONENTS = 20
CLOSE = 0.05  # a copy is closer to a known digit than all but this share of new real digits are
MOST_COPIES = 0.15  # 0.05 for new real digits, 0.01 to 0.06 for honest models


@lru_cache(maxsize=1)
def digits():
    """The students' digits and labels, then the judge's, with pixels in [0, 1].

    The shapes are (1198, 64), (1198,), (599, 64) and (599,).
    """
    data = load_digits()
    x, y = data.data / 16, data.target
    judges = np.arange(len(x)) % 3 == 2
    return x[~judges], y[~judges], x[judges], y[judges]


def strokes(x):
    """The responses of 64 filters in each of 16 regions: (N, 64) -> (N, 1024)."""
    filters = np.random.default_rng(0).normal(size=(64, 9))
    filters -= filters.mean(1, keepdims=True)
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    patches = patches.reshape(-1, 8, 8, 9)
    found = np.maximum(patches @ filters.T - 0.3, 0)  # (N, 8, 8, 64)
    return found.reshape(-1, 4, 2, 4, 2, 64).mean((2, 4)).reshape(len(x), -1)


@lru_cache(maxsize=1)
def stroke_components():
    """The mean and the principal components of the students' strokes.

    The components have shape (1024, 20) and are scaled to a total variance of 100.
    """
    return principal(strokes(digits()[0]), scale=10.0)


@lru_cache(maxsize=1)
def pixel_components():
    return principal(digits()[0])


def principal(a, scale=None):
    mean = a.mean(0)
    _, sizes, rows = np.linalg.svd(a - mean, full_matrices=False)
    factor = scale / np.sqrt((sizes**2).sum() / len(a)) if scale else 1.0
    return mean, factor * rows[:COMPONENTS].T


def features(x):
    mean, components = stroke_components()
    return (strokes(x) - mean) @ components


def frechet(a, b):
    """The Fréchet distance of the Gaussians with the means and covariances of a and b.

    It is ‖μa − μb‖² + tr(A + B − 2 (AB)^½).
    """
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    both = np.linalg.eigvalsh(root.T @ cov_b @ root)  # of A·B, but symmetric
    spread = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.clip(both, 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + spread)


def measure(arrays):
    """Minus the Fréchet distance to the judge's digits of the same label, averaged over labels."""
    _, _, x, y = digits()
    images = arrays["images"].astype(np.float64)
    return -float(np.mean([frechet(features(images[c]), features(x[y == c])) for c in range(10)]))


def distance_to_nearest(images, x):
    """The distance from each image to the nearest image of x.

    The shapes are (M, 64) and (N, 64). The distance is measured in the 20 principal components of
    the pixels, where a little noise does not hide a copy.
    """
    mean, components = pixel_components()
    a, b = (images - mean) @ components, (x - mean) @ components
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.clip(squares.min(1), 0, None))


def guard(arrays):
    """Return the reason why these samples are not accepted, or an empty string."""
    images = arrays["images"].astype(np.float64).reshape(-1, 64)
    if images.min() < 0 or images.max() > 1:
        return (
            "Pixels must lie in [0, 1]: divide scikit-learn's pixels by 16, and clamp your samples."
        )
    mine, _, judges, _ = digits()
    limit = np.quantile(distance_to_nearest(judges, mine), CLOSE)
    for known, whose in ((mine, "your digits"), (judges, "the judge's digits")):
        if (distance_to_nearest(images, known) < limit).mean() > MOST_COPIES:
            return (
                f"Too many of these samples are copies, or near copies, of {whose}: "
                "hand in digits that a model drew."
            )
    return ""


QUESTION = Design(
    "digits_by_label",
    12,
    """## 6. Design samples of every label

Train a conditional model on small digits and hand in what it draws: 100 digits of each label. The score is minus the
Fréchet distance between your digits of a label and real digits of the same label that you do not have, averaged over
the labels. The distance is measured on 20 features that respond to strokes, not only to pixels. The score is low if
your digits are wrong, blurred or noisy, and also if they all look the same.

Which likelihood and which β work best, and how many dimensions should the code have? Find out with digits that you hold
out yourself. Do the codes of your training digits look like draws from P(z)? If not, could the prior depend on the
label, as in question 2?

Train on these digits only:

```python
from sklearn.datasets import load_digits

data = load_digits()
yours = torch.arange(len(data.data)) % 3 != 2  # every third digit is kept for the judge
x = torch.tensor(data.data).float()[yours] / 16  # (1198, 64), in [0, 1]
y = torch.tensor(data.target)[yours]  # (1198,)
```

Hand in `images` (10, 100, 64), float32, with pixels in [0, 1]; `images[c]` contains the digits of label c. Gaussian
pixels that are independent given the label reach a score of −20. A score of −13 or less earns no points. From there,
the points rise linearly to full points at −8.5 and above. New real digits would reach about −3.5. If too many of your
samples are copies of real digits, with or without a little noise, they earn no points.""",
    {"images": ("float32", (10, SAMPLES, 64))},
    measure,
    guard,
    none_at=-13.0,
    full_at=-8.5,
    unit="(minus the Fréchet distance)",
    solution="""from sklearn.datasets import load_digits

data = load_digits()
yours = torch.arange(len(data.data)) % 3 != 2
x = torch.tensor(data.data).float()[yours] / 16  # (N, 64)
y = torch.tensor(data.target)[yours]
hot = F.one_hot(y, 10).float()  # (N, 10)

torch.manual_seed(0)
d, width, steps, beta, std = 32, 256, 1200, 0.1, 0.1
encoder = nn.Sequential(nn.Linear(64 + 10, width), nn.SiLU(), nn.Linear(width, 2 * d))
decoder = nn.Sequential(nn.Linear(d + 10, width), nn.SiLU(), nn.Linear(width, 64), nn.Sigmoid())
parameters = [*encoder.parameters(), *decoder.parameters()]
optimizer = torch.optim.Adam(parameters)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
for _ in range(steps):
    i = torch.randint(len(x), (128,))
    mu, logvar = encoder(torch.cat([x[i], hot[i]], 1)).chunk(2, 1)
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    reconstruction = ((x[i] - decoder(torch.cat([z, hot[i]], 1))) ** 2).sum(1) / (2 * std**2)
    kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    loss = (reconstruction + beta * kl).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

# with such a small β, the codes do not follow N(0, I): fit a Gaussian to the codes of each label instead
with torch.no_grad():
    mu, logvar = encoder(torch.cat([x, hot], 1)).chunk(2, 1)
    images = torch.empty(10, 100, 64)
    for c in range(10):
        mine = mu[y == c]
        cov = torch.cov(mine.T) + torch.diag(logvar[y == c].exp().mean(0))
        z = torch.distributions.MultivariateNormal(mine.mean(0), cov).sample((100,))
        label = F.one_hot(torch.full((100,), c), 10).float()
        images[c] = decoder(torch.cat([z, label], 1))""",
)
