"""Question 6, a design: a thousand generated small digits, compared with unseen ones.

The digits are the 8×8 digits from UCI that come with scikit-learn, with pixels in [0, 1]. Students
get the first 1,437; the judge compares with the last 360. The score is −log of the Fréchet distance
(Heusel et al. 2017) between the samples and these 360, in the space of ten class scores: 400 random
ReLU features of the pixels and a ridge regression on the labels of the students' digits, which
recognizes 95 % of the judge's digits. The features are fixed, so the same samples always get the
same score. Nonsense or copies can match ten means and their covariances, so two conditions keep the
score honest:

- Coverage (Naeem et al. 2020): at least 60 % of the judge's digits must have a sample that is
  nearer, in pixels, than their fifth nearest neighbour among the judge's digits. One Gaussian
  covers 39 %, and the students' digits themselves cover 91 %.
- Copies: in the first 12 principal components, where noise does not hide a copy, at most 25 % of
  the samples may be nearer to a digit than 95 % of the judge's digits are to the students'.

Measured, as score and coverage: noise 0.7 and 0; a mean digit 0.1 and 0.05; pixels drawn
independently 1.9 and 0.04; one Gaussian 2.0 and 0.4; one Gaussian per class 3.8 to 4.1 and 0.87;
mixtures of 10, 30, 60 Gaussians 3.7, 4.2, 4.3 and 0.82, 0.88, 0.91; the students' digits 4.5 and
0.91 (refused as copies). Students' digits plus noise of 0.10, 0.13, 0.15 reach 4.0, 3.9, 3.7 and
are refused: 96 %, 67 %, 42 % count as copies. Noise of 0.17 leaves 25 %, covers 55 % and reaches
3.5. The model answer reaches 4.2 to 4.9 on five seeds, covers 76 to 78 %, and 2 to 4 % count as
copies; it takes 25 seconds. One Gaussian per class, fitted to the judge's digits, is refused for
its coverage of 100 %.

Scores of 4.4 and above earn all points, and scores of 3.0 and below earn none. The thresholds are
this high because a distance between means and covariances favours Gaussians: one per class earns 60
to 76 % of the points, and mixtures of 10, 30 and 60 earn 49, 87 and 91 %. The model answer earns 88
% on its worst seed and all points on the four others.
"""

import functools

import numpy as np
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

HELD_OUT = 360
SAMPLES = 1000
NEIGHBOUR = 5
LEAST_COVERAGE = 0.6
MOST_COPIES = 0.25
# The students' digits cover 91 to 93 %, samples drawn around the judge's digits 96 to 100 %.
MOST_COVERAGE = 0.98
# Honest scores are at most 0.15 better against the judge's digits than against the students'.
MOST_BETTER = 0.4


@functools.cache
def digits():
    """The students' digits and the judge's, (1437, 64) and (360, 64), and the students' labels."""
    data = load_digits()
    x = data.data / 16
    return x[:-HELD_OUT], x[-HELD_OUT:], data.target[:-HELD_OUT]


@functools.cache
def network():
    """The weights and biases of the fixed features, and the fitted output weights.

    The features are random. The shapes are (64, 400), (400,) and (400, 10).
    """
    own, _, labels = digits()
    draw = np.random.RandomState(0)  # a generator whose numbers never change between versions
    w, b = draw.normal(size=(64, 400)) / 4, draw.normal(size=400) / 2
    hidden = np.maximum(0, (own - own.mean(0)) @ w + b)
    return w, b, np.linalg.solve(hidden.T @ hidden + np.eye(400), hidden.T @ np.eye(10)[labels])


def features(x):
    """Ten class scores for each row of pixels."""
    w, b, v = network()
    return np.maximum(0, (x - digits()[0].mean(0)) @ w + b) @ v


def frechet(a, b):
    """‖μa − μb‖² + tr(A + B − 2 (AB)^½) of two sets of features."""
    values, vectors = np.linalg.eigh(np.cov(a.T))
    root = vectors * np.sqrt(np.clip(values, 0, None))  # root @ root.T is A
    inner = np.linalg.eigvalsh(root.T @ np.cov(b.T) @ root)
    trace = 2 * np.sqrt(np.clip(inner, 0, None)).sum()
    spread = a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - trace
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + spread


def score(samples, real):
    return float(-np.log(max(1e-9, frechet(features(samples), features(real)))))


def lengths(a, b):
    """Distances of all pairs, (N, M)."""
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.clip(squares, 0, None))


def coverage(samples):
    """The share of the judge's digits that are covered by a sample, as described above."""
    real = digits()[1]
    radius = np.sort(lengths(real, real), axis=1)[:, NEIGHBOUR]
    return float((lengths(real, samples).min(1) <= radius).mean())


def copies(samples):
    """The share of samples that are suspiciously close to a digit.

    Such a sample is closer to a digit than 95 % of the judge's digits are to any of the students'
    digits.
    """
    own, judges, _ = digits()
    _, vectors = np.linalg.eigh(np.cov(own.T))
    axes = vectors[:, -12:]  # the first 12 principal components
    near = np.percentile(lengths(judges @ axes, own @ axes).min(1), 5)
    nearest = lengths(samples @ axes, np.concatenate([own, judges]) @ axes).min(1)
    return float((nearest < near).mean())


def measure(arrays):
    """−log of the Fréchet distance to the judge's digits."""
    return score(arrays["samples"].astype(np.float64), digits()[1])


def guard(arrays):
    """Return the reason why these samples do not count, or an empty string."""
    samples = arrays["samples"].astype(np.float64)
    if not ((samples >= 0) & (samples <= 1)).all():
        return (
            "Pixels must be between 0 and 1: end the generator with a sigmoid, or clip its output."
        )
    if copies(samples) > MOST_COPIES:
        return (
            "Too many of these samples are copies, or near copies, of real digits: draw new digits."
        )
    covered = coverage(samples)
    if covered < LEAST_COVERAGE:
        return (
            f"These samples cover {covered:.0%} of the real digits, but {LEAST_COVERAGE:.0%} must "
            "be covered. Has the generator collapsed, or are its digits blurred or noisy?"
        )
    better = score(samples, digits()[1]) - score(samples, digits()[0])
    if better > MOST_BETTER or covered > MOST_COVERAGE:
        return (
            "These samples resemble the judge's digits more than yours: "
            "train on the first 1,437 digits only."
        )
    return ""


QUESTION = Design(
    "digits_samples",
    10,
    """## 6. Design a generator

Train a generator of small digits and hand in 1,000 of its samples. A GAN is the natural choice, but any model that
draws new digits will do. Train only on the digits below; samples fitted to the judge's digits earn no points.

```python
from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] / 16).float()  # (1437, 64), pixels in [0, 1]
```

The score is −log of the Fréchet distance between your samples and 360 digits that you do not have, in the features of a
small fixed classifier. Samples that fail either of two conditions earn no points:

- **Coverage.** A real digit is *covered* if one of your samples is nearer to it, in pixels, than its fifth nearest
  neighbour among the 360. At least 60 % of the 360 must be covered, which rules out a collapsed generator.
- **No copies.** At most a quarter of the samples may be nearly equal to a real digit. Noise does not hide a copy.

How large should the networks be, which loss and which penalty do they need, and when should training stop? To find out,
hold out some of your digits and compute the score on them. A score of 3.0 or less earns no points. From there, the
points rise linearly to full points at 4.4 and above. A single Gaussian with the digits' mean and covariance reaches
2.0, one Gaussian per class reaches about 4.0, and real digits in place of samples reach about 4.5. A small GAN trains
in about a minute.

Hand in `samples` (1000, 64), float32, in [0, 1].""",
    {"samples": ("float32", (SAMPLES, 64))},
    measure,
    guard,
    none_at=3.0,
    full_at=4.4,
    unit="(−log of the Fréchet distance)",
    solution="""import copy

from sklearn.datasets import load_digits

torch.manual_seed(0)
x = torch.tensor(load_digits().data[:1437] / 16).float()  # (1437, 64)
width, latent, batch = 128, 16, 64
g = nn.Sequential(
    nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64), nn.Sigmoid()
)
d = nn.Sequential(
    nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
)
average = copy.deepcopy(g)
for_g = torch.optim.Adam(g.parameters(), lr=2e-3, betas=(0.5, 0.99))
for_d = torch.optim.Adam(d.parameters(), lr=2e-3, betas=(0.5, 0.99))
softplus = nn.functional.softplus
for _ in range(3000):
    real = x[torch.randint(len(x), (batch,))].requires_grad_()
    fake = g(torch.randn(batch, latent)).detach()
    on_real, on_fake = d(real), d(fake)
    slope = torch.autograd.grad(on_real.sum(), real, create_graph=True)[0]
    r1 = slope.square().sum(1).mean() / 2  # the penalty matters: with a tenth of it, training needs three times as many steps
    loss = softplus(-on_real).mean() + softplus(on_fake).mean() + r1
    for_d.zero_grad()
    loss.backward()
    for_d.step()
    loss = softplus(-d(g(torch.randn(batch, latent)))).mean()
    for_g.zero_grad()
    loss.backward()
    for_g.step()
    with torch.no_grad():
        for slow, fast in zip(average.parameters(), g.parameters()):
            slow.lerp_(fast, 0.005)
samples = average(torch.randn(1000, latent)).detach()""",
)
