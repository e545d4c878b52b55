"""Question 1: the losses of both players, from D's logits, in games that are not in the chapters.

Relativistic average GAN: Jolicoeur-Martineau 2019, with a cross entropy. K + 1 classes: Salimans
et al. 2016, section 5. Label smoothing: the same paper, section 3.4, here with both labels
smoothed. In every game −log σ(a) = softplus(−a) and −log(1 − σ(a)) = softplus(a), which never
overflows and takes no logarithm of 0.
"""

import numpy as np
from scipy.special import logsumexp

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(2e-4, 1e-5, "float32 means of a few dozen terms of one sign")
RETURNS = ("discriminator", "generator")
FAR = 1500.0  # a logit whose exponential overflows in float64; the sigmoid of −FAR is 0


def softplus(a):
    return np.logaddexp(0.0, a)


def naive(a):
    """Mistake: −log σ(−a) with the sigmoid computed first; infinite where σ(−a) is 0."""
    return -np.log(1 / (1 + np.exp(a)))


def clamped(a):
    """Mistake: `binary_cross_entropy` of a sigmoid, which is capped at 100 nats."""
    return np.minimum(softplus(a), 100.0)


def sizes(case):
    return {"small": (5, 4), "large": (23, 31), "extreme": (6, 9)}[case]


def common(game):
    """Mistakes of every game.

    game(plus, mean, *arguments) computes both losses with the given softplus and mean.
    """
    right = lambda *given: game(softplus, np.mean, *given)
    return right, (
        Mistake(
            "a loss is infinite where D is certain and wrong: "
            "a sigmoid that rounds to 0 has the logarithm −∞. Use softplus or logsigmoid.",
            lambda **given: game(naive, np.mean, *given.values()),
            0.6,
        ),
        Mistake(
            "`binary_cross_entropy` caps each term at 100 nats: "
            "use `binary_cross_entropy_with_logits`, or softplus.",
            lambda **given: game(clamped, np.mean, *given.values()),
            0.6,
        ),
        Mistake(
            "the losses are summed over the points: take the mean over each batch.",
            lambda **given: game(softplus, np.sum, *given.values()),
            0.7,
        ),
        Mistake(
            "D's two terms are averaged: add them, as in the chapters.",
            lambda **given: (right(*given.values())[0] / 2, right(*given.values())[1]),
            0.7,
        ),
        Mistake(
            "the two results are in the wrong order: D's loss comes first, then G's.",
            lambda **given: right(*given.values())[::-1],
            0.6,
        ),
    )


# ---------------------------------------------------------------- relativistic average


def relativistic_inputs(rng, case):
    n, m = sizes(case)
    if case == "extreme":  # D is wrong about every point, by a large margin
        return {"real": rng.normal(size=n) * 100 - FAR, "fake": rng.normal(size=m) * 100 + FAR}
    return {"real": rng.normal(size=n) * 2 + 0.5, "fake": rng.normal(size=m) * 2 - 0.5}


def relativistic_game(plus, mean, real, fake):
    over_fake, over_real = real - fake.mean(), fake - real.mean()
    d_loss = mean(plus(-over_fake)) + mean(plus(over_real))
    g_loss = mean(plus(over_fake)) + mean(plus(-over_real))
    return d_loss, g_loss


def relativistic_reference(real, fake):
    return relativistic_game(softplus, np.mean, real, fake)


def entropy_by_torch(logits, label):
    """The cross entropy of logits with one label for all points, computed by torch in float64."""
    import torch  # needed to check the key, but not for grading

    logits = torch.as_tensor(logits, dtype=torch.float64)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    return float(loss(logits, torch.full_like(logits, label)))


def relativistic_independent(real, fake):
    over_fake = [a - sum(fake) / len(fake) for a in real]
    over_real = [b - sum(real) / len(real) for b in fake]
    return (
        entropy_by_torch(over_fake, 1) + entropy_by_torch(over_real, 0),
        entropy_by_torch(over_fake, 0) + entropy_by_torch(over_real, 1),
    )


def outside(plus):
    """Mistake: the loss of the mean logit instead of the mean loss."""

    def function(real, fake):
        gap = real.mean() - fake.mean()
        return 2 * plus(-gap), 2 * plus(gap)

    return function


RELATIVISTIC = Variant(
    "relativistic",
    """## 1. The losses of a relativistic game

A discriminator usually judges each point on its own. In the *relativistic average* game, it judges whether a point
looks more real than the points of the other kind do on average. Let a(x) be D's logit, and let

- D(x) = σ(a(x) − mean of a over the generated points) for a real point x,
- D(x̃) = σ(a(x̃) − mean of a over the real points) for a generated point x̃.

D minimizes the mean of −log D(x) over the real points plus the mean of −log(1 − D(x̃)) over the generated ones. G has
the opposite goal: it minimizes the mean of −log(1 − D(x)) over the real points plus the mean of −log D(x̃) over the
generated ones.

Write the function `losses(real, fake)`. Its arguments are D's logits a(x) of real points (N,) and of generated points
(M,). The function returns two numbers: D's loss and G's loss. Your function must also be correct for logits of about
±1500.""",
    '''def losses(real, fake):
    """D's logits a(x) of real points (N,) and of generated points (M,) -> D's loss, G's loss."""
    raise NotImplementedError''',
    '''def losses(real, fake):
    """D's logits a(x) of real points (N,) and of generated points (M,) -> D's loss, G's loss."""
    softplus = torch.nn.functional.softplus
    real_logit = real - fake.mean()  # (N,), the logit of D(x)
    fake_logit = fake - real.mean()  # (M,), the logit of D(x̃)
    discriminator = softplus(-real_logit).mean() + softplus(fake_logit).mean()
    generator = softplus(real_logit).mean() + softplus(-fake_logit).mean()
    return discriminator, generator''',
    relativistic_inputs,
    relativistic_reference,
    (
        *common(relativistic_game)[1],
        Mistake(
            "this is the ordinary game: the mean logit of the other kind is not subtracted.",
            lambda real, fake: (
                softplus(-real).mean() + softplus(fake).mean(),
                softplus(-fake).mean(),
            ),
            0.2,
        ),
        Mistake(
            "the real points are missing in G's loss: "
            "their D(x) depends on the generated points as well.",
            lambda real, fake: (
                relativistic_reference(real, fake)[0],
                softplus(real.mean() - fake).mean(),
            ),
            0.6,
        ),
        Mistake(
            "the mean logit of the point's own kind is subtracted: "
            "subtract that of the other kind.",
            lambda real, fake: (
                softplus(real.mean() - real).mean() + softplus(fake - fake.mean()).mean(),
                softplus(real - real.mean()).mean() + softplus(fake.mean() - fake).mean(),
            ),
            0.4,
        ),
        Mistake(
            "the logits are averaged before the loss is taken: "
            "take the loss of each point, then the mean.",
            outside(softplus),
            0.4,
        ),
        Mistake(
            "G's loss is minus D's loss: use −log(1 − D) and −log D, "
            "which are steep where G is losing.",
            lambda real, fake: (
                relativistic_reference(real, fake)[0],
                -relativistic_reference(real, fake)[0],
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=relativistic_independent,
    styles=(
        """def losses(real, fake):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    r, f = real - fake.mean(), fake - real.mean()
    one, zero = torch.ones_like, torch.zeros_like
    return bce(r, one(r)) + bce(f, zero(f)), bce(r, zero(r)) + bce(f, one(f))""",
        """def losses(real, fake):
    d = g = 0.0
    for a in real:
        logit = a - fake.sum() / len(fake)
        d = d - torch.nn.functional.logsigmoid(logit) / len(real)
        g = g - torch.nn.functional.logsigmoid(-logit) / len(real)
    for b in fake:
        logit = b - real.sum() / len(real)
        d = d - torch.nn.functional.logsigmoid(-logit) / len(fake)
        g = g - torch.nn.functional.logsigmoid(logit) / len(fake)
    return d, g""",
        """import numpy as np
def losses(real, fake):
    a, b = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    plus = lambda t: np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))
    r, f = a - b.mean(), b - a.mean()
    return plus(-r).mean() + plus(f).mean(), plus(r).mean() + plus(-f).mean()""",
        """def losses(real, fake):
    both = torch.cat([real.double() - fake.double().mean(), fake.double() - real.double().mean()])
    weight = torch.cat([torch.full((len(real),), 1 / len(real)), torch.full((len(fake),), 1 / len(fake))]).double()
    sign = torch.cat([torch.ones(len(real)), -torch.ones(len(fake))]).double()
    zero = torch.zeros(()).double()
    return weight @ torch.logaddexp(zero, -sign * both), weight @ torch.logaddexp(zero, sign * both)""",
    ),
)

# ---------------------------------------------------------------- K + 1 classes


def classes_inputs(rng, case):
    n, m = sizes(case)
    k = {"small": 3, "large": 10, "extreme": 4}[case]
    shift = FAR if case == "extreme" else 1.0  # D is certain that everything is generated
    return {
        "real": rng.normal(size=(n, k)) * 2 - shift,
        "fake": rng.normal(size=(m, k)) * 2 - shift,
    }


def classes_game(plus, mean, real, fake):
    on_real, on_fake = logsumexp(real, axis=1), logsumexp(fake, axis=1)
    return mean(plus(-on_real)) + mean(plus(on_fake)), mean(plus(-on_fake))


def classes_reference(real, fake):
    return classes_game(softplus, np.mean, real, fake)


def classes_independent(real, fake):
    """With a softmax over K + 1 classes, of which the last is "generated" and has the logit 0."""
    import torch  # needed to check the key, but not for grading

    def log_p(logits):
        more = torch.nn.functional.pad(torch.as_tensor(logits, dtype=torch.float64), (0, 1))
        return torch.log_softmax(more, dim=1)

    on_real, on_fake = log_p(real), log_p(fake)
    real_term = -on_real[:, :-1].logsumexp(1).mean()
    return (
        float(real_term - on_fake[:, -1].mean()),
        float(-on_fake[:, :-1].logsumexp(1).mean()),
    )


def judged_by(reduce):
    """Mistake: D's logit is a function of the K logits other than their logsumexp."""

    def function(real, fake):
        on_real, on_fake = reduce(real, axis=1), reduce(fake, axis=1)
        return softplus(-on_real).mean() + softplus(on_fake).mean(), softplus(-on_fake).mean()

    return function


CLASSES = Variant(
    "classes",
    """## 1. The losses of a discriminator that also classifies

A classifier with K classes can serve as a discriminator. Give it one more class, "generated", whose logit is always 0.
With logits l_1, …, l_K for the true classes, the softmax over all K + 1 classes gives the probability that x is real,

D(x) = Σ_k e^(l_k) / (1 + Σ_k e^(l_k)).

D minimizes the mean of −log D over the real points plus the mean of −log(1 − D) over the generated ones. G minimizes
the mean of −log D over the generated points.

Write the function `losses(real, fake)`. Its arguments are the K logits of real points (N, K) and of generated points
(M, K). The function returns two numbers: D's loss and G's loss. Your function must also be correct where all logits are
about −1500.""",
    '''def losses(real, fake):
    """Logits of K classes for real points (N, K) and for generated points (M, K) -> D's loss, G's loss."""
    raise NotImplementedError''',
    '''def losses(real, fake):
    """Logits of K classes for real points (N, K) and for generated points (M, K) -> D's loss, G's loss."""
    softplus = torch.nn.functional.softplus
    real_logit = real.logsumexp(dim=1)  # (N,), because D = σ(log Σ_k e^(l_k))
    fake_logit = fake.logsumexp(dim=1)  # (M,)
    discriminator = softplus(-real_logit).mean() + softplus(fake_logit).mean()
    generator = softplus(-fake_logit).mean()
    return discriminator, generator''',
    classes_inputs,
    classes_reference,
    (
        *common(classes_game)[1],
        Mistake(
            "the largest logit is used in place of log Σ_k e^(l_k): "
            "the other classes count as well.",
            judged_by(np.max),
            0.4,
        ),
        Mistake(
            "the logits are added: probabilities add up, so add the exponentials.",
            judged_by(np.sum),
            0.3,
        ),
        Mistake(
            "the mean of the exponentials is taken: D contains their sum.",
            judged_by(lambda a, axis: logsumexp(a, axis=axis) - np.log(a.shape[1])),
            0.5,
        ),
        Mistake(
            "softplus is applied to Σ_k e^(l_k): "
            "apply it to the logarithm, because D is the sigmoid of log Σ_k e^(l_k).",
            judged_by(lambda a, axis: np.exp(a).sum(axis)),
            0.4,
        ),
        Mistake(
            "G minimizes log(1 − D), which is flat where D is certain: minimize −log D.",
            lambda real, fake: (
                classes_reference(real, fake)[0],
                -softplus(logsumexp(fake, axis=1)).mean(),
            ),
            0.6,
        ),
        Mistake(
            "real and generated points are swapped in D's loss.",
            lambda real, fake: (classes_reference(fake, real)[0], classes_reference(real, fake)[1]),
            0.4,
        ),
        Mistake(
            "each logit goes through its own sigmoid: "
            "D is one probability, computed from all K logits together.",
            lambda real, fake: (
                softplus(-real).mean() + softplus(fake).mean(),
                softplus(-fake).mean(),
            ),
            0.2,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=classes_independent,
    styles=(
        """def losses(real, fake):
    pad = lambda l: torch.log_softmax(torch.cat([l, torch.zeros(len(l), 1)], 1), 1)
    r, f = pad(real), pad(fake)
    made = -f[:, :-1].logsumexp(1).mean()
    return -r[:, :-1].logsumexp(1).mean() - f[:, -1].mean(), made""",
        """def losses(real, fake):
    sure = torch.nn.functional.logsigmoid
    d = g = 0.0
    for row in real:
        d = d - sure(torch.logsumexp(row, 0)) / len(real)
    for row in fake:
        d = d - sure(-torch.logsumexp(row, 0)) / len(fake)
        g = g - sure(torch.logsumexp(row, 0)) / len(fake)
    return d, g""",
        """import numpy as np
from scipy.special import logsumexp
def losses(real, fake):
    a = logsumexp(np.asarray(real, dtype=np.float64), axis=1)
    b = logsumexp(np.asarray(fake, dtype=np.float64), axis=1)
    plus = lambda t: np.logaddexp(0, t)
    return plus(-a).mean() + plus(b).mean(), plus(-b).mean()""",
        """def losses(real, fake):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    top = real.amax(1)
    a = top + (real - top[:, None]).exp().sum(1).log()
    top = fake.amax(1)
    b = top + (fake - top[:, None]).exp().sum(1).log()
    return [bce(a, torch.ones_like(a)) + bce(b, torch.zeros_like(b)), bce(b, torch.ones_like(b))]""",
        """def losses(real, fake):
    Bernoulli = torch.distributions.Bernoulli
    a, b = torch.logsumexp(real.double(), 1), torch.logsumexp(fake.double(), 1)
    d = -Bernoulli(logits=a).log_prob(torch.ones_like(a)).mean() - Bernoulli(logits=b).log_prob(torch.zeros_like(b)).mean()
    return d, -Bernoulli(logits=b).log_prob(torch.ones_like(b)).mean()""",
    ),
)

# ---------------------------------------------------------------- smoothed labels


def smoothed_inputs(rng, case):
    n, m = sizes(case)
    shift = FAR if case == "extreme" else 0.5
    return {
        "real": rng.normal(size=n) * 2 - shift,
        "fake": rng.normal(size=m) * 2 - shift,
        "high": float(rng.uniform(0.7, 0.95)),
        "low": float(rng.uniform(0.05, 0.3)),
    }


def smoothed_game(plus, mean, real, fake, high, low):
    on_real = high * plus(-real) + (1 - high) * plus(real)
    on_fake = low * plus(-fake) + (1 - low) * plus(fake)
    return mean(on_real) + mean(on_fake), mean(plus(-fake))


def smoothed_reference(real, fake, high, low):
    return smoothed_game(softplus, np.mean, real, fake, high, low)


def smoothed_independent(real, fake, high, low):
    return (
        entropy_by_torch(real, high) + entropy_by_torch(fake, low),
        entropy_by_torch(fake, 1),
    )


SMOOTHED = Variant(
    "smoothed",
    """## 1. The losses of a game with smoothed labels

A discriminator trained with the labels 1 for "real" and 0 for "generated" becomes more and more certain, and its logits
grow without bound. With *smoothed labels*, the label of a real point is `high`, such as 0.9, and the label of a
generated point is `low`, such as 0.1. The cross entropy of a label y and a logit a is

−y log σ(a) − (1 − y) log(1 − σ(a)).

D minimizes the mean cross entropy over the real points, whose label is `high`, plus the mean cross entropy over the
generated ones, whose label is `low`. G's loss is not smoothed: G minimizes the mean of −log σ(a) over the generated
points.

Write the function `losses(real, fake, high, low)`. Its arguments are D's logits of real points (N,) and of generated
points (M,), and two numbers `high` and `low`. The function returns two numbers: D's loss and G's loss. Your function
must also be correct for logits of about −1500.""",
    '''def losses(real, fake, high, low):
    """D's logits of real points (N,) and of generated points (M,), two labels -> D's loss, G's loss."""
    raise NotImplementedError''',
    '''def losses(real, fake, high, low):
    """D's logits of real points (N,) and of generated points (M,), two labels -> D's loss, G's loss."""
    softplus = torch.nn.functional.softplus
    on_real = high * softplus(-real) + (1 - high) * softplus(real)  # (N,)
    on_fake = low * softplus(-fake) + (1 - low) * softplus(fake)  # (M,)
    return on_real.mean() + on_fake.mean(), softplus(-fake).mean()''',
    smoothed_inputs,
    smoothed_reference,
    (
        *common(smoothed_game)[1],
        Mistake(
            "the labels are not smoothed: this is the ordinary game.",
            lambda real, fake, high, low: smoothed_reference(real, fake, 1, 0),
            0.2,
        ),
        Mistake(
            "only the real points' label is smoothed: "
            "generated points have the label `low`, not 0.",
            lambda real, fake, high, low: smoothed_reference(real, fake, high, 0),
            0.5,
        ),
        Mistake(
            "one of the two terms of each cross entropy is missing: "
            "with a label `high`, the other term has the weight 1 − `high`.",
            lambda real, fake, high, low: (
                (high * softplus(-real)).mean() + ((1 - low) * softplus(fake)).mean(),
                softplus(-fake).mean(),
            ),
            0.5,
        ),
        Mistake(
            "the two labels are swapped.",
            lambda real, fake, high, low: smoothed_reference(real, fake, low, high),
            0.4,
        ),
        Mistake(
            "the label of generated points is 1 − `low` here: "
            "`low` itself is their probability of being real.",
            lambda real, fake, high, low: smoothed_reference(real, fake, high, 1 - low),
            0.5,
        ),
        Mistake(
            "G's label is 1 − `low` here: G is not smoothed, and minimizes −log σ(a).",
            lambda real, fake, high, low: (
                smoothed_reference(real, fake, high, low)[0],
                ((1 - low) * softplus(-fake) + low * softplus(fake)).mean(),
            ),
            0.6,
        ),
        Mistake(
            "G's label is smoothed too: G minimizes −log σ(a).",
            lambda real, fake, high, low: (
                smoothed_reference(real, fake, high, low)[0],
                (high * softplus(-fake) + (1 - high) * softplus(fake)).mean(),
            ),
            0.6,
        ),
        Mistake(
            "one mean is taken over both batches together: "
            "take one mean per batch, whatever its size, and add them.",
            lambda real, fake, high, low: (
                np.concatenate(
                    [
                        high * softplus(-real) + (1 - high) * softplus(real),
                        low * softplus(-fake) + (1 - low) * softplus(fake),
                    ]
                ).mean(),
                softplus(-fake).mean(),
            ),
            0.6,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=smoothed_independent,
    styles=(
        """def losses(real, fake, high, low):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    d = bce(real, torch.full_like(real, high)) + bce(fake, torch.full_like(fake, low))
    return d, bce(fake, torch.ones_like(fake))""",
        """def losses(real, fake, high, low):
    plus = torch.nn.functional.softplus
    return (plus(real) - high * real).mean() + (plus(fake) - low * fake).mean(), (plus(fake) - fake).mean()""",
        """import numpy as np
def losses(real, fake, high, low):
    a, b = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    cost = lambda t, y: y * np.logaddexp(0, -t) + (1 - y) * np.logaddexp(0, t)
    return cost(a, high).mean() + cost(b, low).mean(), cost(b, 1).mean()""",
        """def losses(real, fake, high, low):
    def cost(a, y):
        log_p = torch.log_softmax(torch.stack([torch.zeros_like(a), a]), 0)
        return -y * log_p[1] - (1 - y) * log_p[0]
    d = g = 0.0
    for a in real:
        d += float(cost(a, high)) / len(real)
    for b in fake:
        d += float(cost(b, low)) / len(fake)
        g += float(cost(b, 1.0)) / len(fake)
    return d, g""",
        """def losses(real, fake, high, low):
    sure = torch.nn.functional.logsigmoid
    real, fake = real.double(), fake.double()
    on_real = torch.func.vmap(lambda a: -high * sure(a) - (1 - high) * sure(-a))(real)
    on_fake = torch.func.vmap(lambda a: -low * sure(a) - (1 - low) * sure(-a))(fake)
    return on_real.mean() + on_fake.mean(), -sure(fake).mean()""",
    ),
)

QUESTION = Question("losses", "losses", 15, (RELATIVISTIC, CLASSES, SMOOTHED))
