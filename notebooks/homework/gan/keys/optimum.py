"""Question 2, a derivation: the best critic of an f-GAN, the value of its game,
and the slope that G receives there.

Nowozin et al. 2016: with the convex conjugate f* of f, the largest value of E_p[T] − E_q[f*(T)]
over all critics T is the f-divergence of p and q, reached at T = f'(p/q). With the best critic held
fixed, the slope with respect to q(x) is −f*(T(x)): how the critic itself would move does not
matter, because the derivative of the value with respect to the critic is 0 there (the envelope
theorem). The chain rule through q = softmax(s) then gives q_k (g_k − Σ_j q_j g_j). Each variant is
one f.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    5e-4,
    1.2e-4,
    "float32 rounds log-masses near −800 by up to 3·10⁻⁵, "
    "so p/q is accurate to 6·10⁻⁵ and 2p/q to 1.2·10⁻⁴",
)
RETURNS = ("critic", "value", "slope")
EMPTY = 800.0  # nats: e^(−800) is 0 in float64


def inputs(rng, case):
    """Logits of p and of q.

    In the extreme case, some cells have almost no mass of either kind, and the other logits are so
    large that their exponentials overflow in float32. They are no larger than that, because float32
    rounds the logarithm of their sum, and with it every log-mass.
    """
    cells = {"small": 5, "large": 40, "extreme": 9}[case]
    base = rng.normal(size=cells)
    if case == "extreme":
        base = base + 100.0
        base[rng.permutation(cells)[:4]] -= EMPTY
    both = base + 0.6 * rng.normal(size=(2, cells))
    # multiples of 1/1024, so that float32 holds them and their differences exactly
    data_logits, logits = np.round(1024 * both) / 1024
    return {"data_logits": data_logits, "logits": logits}


def through_softmax(q, g):
    """The slope with respect to the logits of q, from the slope g with respect to q."""
    return q * (g - (q * g).sum())


def solved(critic, value, g):
    """The right answer as a function of the two rows of logits.

    It is computed from T*(log_ratio), V*(p, q, T) and g(T).
    """

    def function(data_logits, logits):
        log_p, log_q = log_softmax(data_logits), log_softmax(logits)
        p, q = np.exp(log_p), np.exp(log_q)
        t = critic(log_p - log_q)
        return t, value(p, q, t), through_softmax(q, g(t))

    return function


def by_search(conjugate, conjugate_slope, low, high):
    """An independent answer, by root search and automatic differentiation.

    In each cell, T is the root of the slope r − f*'(T); V is then differentiated at that T.
    """

    def function(data_logits, logits):
        import torch  # needed to check the key, but not for grading

        log_p, log_q = (torch.log_softmax(torch.as_tensor(a), 0) for a in (data_logits, logits))
        ratio = (log_p - log_q).exp().numpy()
        t = [
            brentq(lambda u, r=r: r - conjugate_slope(u), low(r), high(r), xtol=1e-14, rtol=1e-14)
            for r in ratio
        ]
        t = torch.tensor(t, dtype=torch.float64)
        s = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        value = (log_p.exp() * t).sum() - (torch.softmax(s, 0) * conjugate(t)).sum()
        value.backward()
        return t.numpy(), float(value.detach()), s.grad.numpy()

    return function


def divided(critic_of_ratio, value, g):
    """Mistake: the masses are divided, which gives 0 / 0 where both underflow."""

    def function(data_logits, logits):
        p, q = softmax(data_logits), softmax(logits)
        t = critic_of_ratio(p / q)
        return t, value(p, q, t), through_softmax(q, g(t))

    return function


def common(critic, value, g):
    """Mistakes of every game, from the three functions that `solved` takes."""
    right = solved(critic, value, g)

    def slope_only(change):
        """The right critic and value with another slope, computed from p, q and g."""

        def function(data_logits, logits):
            t, v, _ = right(data_logits, logits)
            return t, v, change(softmax(data_logits), softmax(logits), g(t))

        return function

    return (
        Mistake(
            "0 is divided by 0 where p and q both underflow: subtract logarithms instead.",
            divided(lambda ratio: critic(np.log(ratio)), value, g),
            0.6,
        ),
        Mistake(
            "the slope is the one with respect to q: "
            "the chain rule through the softmax is missing.",
            slope_only(lambda p, q, gain: gain),
            0.6,
        ),
        Mistake(
            "the slope takes only part of the softmax's derivative: "
            "when s_k grows, all other masses shrink. Subtract q_k Σ_j q_j g_j.",
            slope_only(lambda p, q, gain: q * gain),
            0.6,
        ),
        Mistake(
            "the plain mean of g is subtracted in the slope: "
            "subtract its mean under q, Σ_j q_j g_j.",
            slope_only(lambda p, q, gain: q * (gain - gain.mean())),
            0.6,
        ),
        Mistake(
            "the slope has the wrong sign: return the gradient of V itself, which G would descend.",
            slope_only(lambda p, q, gain: -through_softmax(q, gain)),
            0.8,
        ),
        Mistake(
            "the slope is taken with respect to the logits of p: G moves q.",
            slope_only(lambda p, q, gain: through_softmax(p, gain)),
            0.5,
        ),
        Mistake(
            "p and q are swapped: the critic must be high where the data are.",
            lambda data_logits, logits: right(logits, data_logits),
            0.3,
        ),
    )


# ---------------------------------------------------------------- Pearson's χ²


def pearson_critic(log_ratio):
    return 2 * np.expm1(log_ratio)


def pearson_value(p, q, t):
    return (p * t).sum() - (q * (t + t**2 / 4)).sum()


def pearson_g(t):
    return -(t + t**2 / 4)


PEARSON = Variant(
    "pearson",
    """## 2. Derive the best critic: Pearson's game

A line is divided into C cells. In cell i, the data have mass p_i, and the generator has mass q_i. A critic consists of
one number T_i per cell, which may take any value. The critic maximizes

V(T, q) = Σ_i p_i T_i − Σ_i q_i (T_i + T_i²/4).

On paper, derive the best critic T\\* and the value V\\* = V(T\\*, q), which is a well-known divergence between p and q.
The generator's masses are the softmax of its parameters s, q_i = e^(s_i) / Σ_j e^(s_j). Also derive the slope
∂V\\*/∂s_i that G receives while the best critic is held fixed. (If the critic were re-optimized, the slope would be the
same. Why?)

Write the function `optimum(data_logits, logits)`, where p is the softmax of `data_logits` (C,), and q is the softmax of
s = `logits` (C,). The function returns three results: T\\* (C,), the number V\\*, and the slope (C,). Your function
must also be correct in cells where both masses are about e^(−800).""",
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    raise NotImplementedError''',
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    p, q = log_p.exp(), log_q.exp()
    ratio = (log_p - log_q).exp()  # p/q, even where both underflow
    critic = 2 * (ratio - 1)  # from p = q (1 + T/2)
    value = (q * (ratio - 1) ** 2).sum()  # Pearson's χ², Σ (p − q)²/q
    gain = 1 - ratio**2  # −(T + T²/4), the slope with respect to q
    slope = q * (gain - (q * gain).sum())
    return critic, value, slope''',
    inputs,
    solved(pearson_critic, pearson_value, pearson_g),
    (
        *common(pearson_critic, pearson_value, pearson_g),
        Mistake(
            "the critic is half as large as it should be: the derivative of T²/4 is T/2.",
            lambda data_logits, logits: (
                np.expm1(log_softmax(data_logits) - log_softmax(logits)),
                *solved(pearson_critic, pearson_value, pearson_g)(data_logits, logits)[1:],
            ),
            0.5,
        ),
        Mistake(
            "the −2 is missing in the critic, which is 2p/q here: set p − q(1 + T/2) to 0.",
            lambda data_logits, logits: (
                2 * np.exp(log_softmax(data_logits) - log_softmax(logits)),
                *solved(pearson_critic, pearson_value, pearson_g)(data_logits, logits)[1:],
            ),
            0.5,
        ),
        Mistake(
            "the critic and the slope are right, but the value is Neyman's χ²: "
            "divide (p − q)² by q, not by p.",
            lambda data_logits, logits: (
                solved(pearson_critic, pearson_value, pearson_g)(data_logits, logits)[0],
                (
                    softmax(data_logits)
                    * np.expm1(log_softmax(logits) - log_softmax(data_logits)) ** 2
                ).sum(),
                solved(pearson_critic, pearson_value, pearson_g)(data_logits, logits)[2],
            ),
            0.5,
        ),
        Mistake(
            "the critic is the best D of the ordinary game, p/(p + q): maximize this game's V.",
            lambda data_logits, logits: (
                1 / (1 + np.exp(log_softmax(logits) - log_softmax(data_logits))),
                *solved(pearson_critic, pearson_value, pearson_g)(data_logits, logits)[1:],
            ),
            0.3,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=by_search(
        lambda t: t + t**2 / 4, lambda t: 1 + t / 2, lambda r: -2.5, lambda r: 2 * r + 1
    ),
    styles=(
        """def optimum(data_logits, logits):
    s = logits.double().requires_grad_()
    log_p, log_q = torch.log_softmax(data_logits.double(), 0), torch.log_softmax(s, 0)
    t = 2 * torch.expm1(log_p - log_q)
    value = (log_p.exp() * t - log_q.exp() * (t + t**2 / 4)).sum()
    return t, value, torch.autograd.grad(value, s)[0]""",
        """def optimum(data_logits, logits):
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    p, q = log_p.exp(), log_q.exp()
    critic, value = torch.zeros(len(p)), 0.0
    for i in range(len(p)):
        critic[i] = 2 * torch.exp(log_p[i] - log_q[i]) - 2
        value = value + p[i] * critic[i] - q[i] * (critic[i] + critic[i] ** 2 / 4)
    slope = torch.zeros(len(p))
    for k in range(len(p)):
        for i in range(len(p)):
            slope[k] -= q[i] * (float(i == k) - q[k]) * (critic[i] + critic[i] ** 2 / 4)
    return critic, value, slope""",
        """import numpy as np
from scipy.special import log_softmax
def optimum(data_logits, logits):
    a, b = (log_softmax(np.asarray(t, dtype=np.float64)) for t in (data_logits, logits))
    r, q = np.exp(a - b), np.exp(b)
    jacobian = np.diag(q) - np.outer(q, q)
    return 2 * r - 2, q @ (r - 1) ** 2, jacobian @ -(r**2)""",
        """def optimum(data_logits, logits):
    a = data_logits.double() - torch.logsumexp(data_logits.double(), 0)
    def value(s):
        b = s - torch.logsumexp(s, 0)
        return torch.exp(2 * a - b).sum() - 1
    s = logits.double()
    b = s - torch.logsumexp(s, 0)
    return 2 * torch.expm1(a - b), value(s), torch.func.grad(value)(s)""",
    ),
)

# ---------------------------------------------------------------- the squared Hellinger distance


def hellinger_critic(log_ratio):
    return -np.expm1(-log_ratio / 2)


def hellinger_value(p, q, t):
    return (p * t).sum() - (q * t / (1 - t)).sum()


def hellinger_g(t):
    return -t / (1 - t)


def hellinger_right(data_logits, logits):
    return solved(hellinger_critic, hellinger_value, hellinger_g)(data_logits, logits)


HELLINGER = Variant(
    "hellinger",
    """## 2. Derive the best critic: Hellinger's game

A line is divided into C cells. In cell i, the data have mass p_i, and the generator has mass q_i. A critic consists of
one number T_i per cell, which must be below 1. The critic maximizes

V(T, q) = Σ_i p_i T_i − Σ_i q_i T_i / (1 − T_i).

On paper, derive the best critic T\\* and the value V\\* = V(T\\*, q), which is a well-known divergence between p and q.
The generator's masses are the softmax of its parameters s, q_i = e^(s_i) / Σ_j e^(s_j). Also derive the slope
∂V\\*/∂s_i that G receives while the best critic is held fixed. (If the critic were re-optimized, the slope would be the
same. Why?)

Write the function `optimum(data_logits, logits)`, where p is the softmax of `data_logits` (C,), and q is the softmax of
s = `logits` (C,). The function returns three results: T\\* (C,), the number V\\*, and the slope (C,). Your function
must also be correct in cells where both masses are about e^(−800).""",
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    raise NotImplementedError''',
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    p, q = log_p.exp(), log_q.exp()
    root = ((log_p - log_q) / 2).exp()  # √(p/q), even where both underflow
    critic = 1 - 1 / root  # from p = q / (1 − T)²
    value = ((p.sqrt() - q.sqrt()) ** 2).sum()  # the squared Hellinger distance
    gain = 1 - root  # −T / (1 − T), the slope with respect to q
    slope = q * (gain - (q * gain).sum())
    return critic, value, slope''',
    inputs,
    hellinger_right,
    (
        *common(hellinger_critic, hellinger_value, hellinger_g),
        Mistake(
            "the square root is missing in the critic: set p − q/(1 − T)² to 0.",
            lambda data_logits, logits: (
                -np.expm1(log_softmax(logits) - log_softmax(data_logits)),
                *hellinger_right(data_logits, logits)[1:],
            ),
            0.5,
        ),
        Mistake(
            "the critic is √(p/q) − 1, which may exceed 1: solve p = q/(1 − T)² for T again.",
            lambda data_logits, logits: (
                np.expm1((log_softmax(data_logits) - log_softmax(logits)) / 2),
                *hellinger_right(data_logits, logits)[1:],
            ),
            0.5,
        ),
        Mistake(
            "the value is halved: this game's value is Σ (√p − √q)², without a factor ½.",
            lambda data_logits, logits: (
                hellinger_right(data_logits, logits)[0],
                hellinger_right(data_logits, logits)[1] / 2,
                hellinger_right(data_logits, logits)[2],
            ),
            0.8,
        ),
        Mistake(
            "the value is the Hellinger distance itself: the game's value is its square.",
            lambda data_logits, logits: (
                hellinger_right(data_logits, logits)[0],
                np.sqrt(hellinger_right(data_logits, logits)[1]),
                hellinger_right(data_logits, logits)[2],
            ),
            0.7,
        ),
        Mistake(
            "the critic is the best D of the ordinary game, p/(p + q): maximize this game's V.",
            lambda data_logits, logits: (
                1 / (1 + np.exp(log_softmax(logits) - log_softmax(data_logits))),
                *hellinger_right(data_logits, logits)[1:],
            ),
            0.3,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=by_search(
        lambda t: t / (1 - t),
        lambda t: 1 / (1 - t) ** 2,
        lambda r: -2 - 1 / r,
        lambda r: 1 - 0.1 / (1 + r),
    ),
    styles=(
        """def optimum(data_logits, logits):
    s = logits.double().requires_grad_()
    log_p, log_q = torch.log_softmax(data_logits.double(), 0), torch.log_softmax(s, 0)
    value = 2 - 2 * torch.exp((log_p + log_q) / 2).sum()
    return -torch.expm1((log_q - log_p) / 2), value, torch.autograd.grad(value, s)[0]""",
        """def optimum(data_logits, logits):
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    p, q = log_p.exp(), log_q.exp()
    critic, value = torch.zeros(len(p)), 0.0
    for i in range(len(p)):
        critic[i] = 1 - torch.exp(0.5 * (log_q[i] - log_p[i]))
        value = value + p[i] * critic[i] - q[i] * critic[i] / (1 - critic[i])
    slope = torch.zeros(len(p))
    for k in range(len(p)):
        for i in range(len(p)):
            slope[k] -= q[i] * (float(i == k) - q[k]) * critic[i] / (1 - critic[i])
    return critic, value, slope""",
        """import numpy as np
from scipy.special import log_softmax
def optimum(data_logits, logits):
    a, b = (log_softmax(np.asarray(t, dtype=np.float64)) for t in (data_logits, logits))
    p, q = np.exp(a), np.exp(b)
    shared = np.sqrt(p * q)
    return 1 - np.exp((b - a) / 2), ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(), q * shared.sum() - shared""",
        """def optimum(data_logits, logits):
    a, s = torch.log_softmax(data_logits.double(), 0), logits.double()
    t = 1 - torch.exp((torch.log_softmax(s, 0) - a) / 2)
    value = lambda u: (a.exp() * t).sum() - (torch.softmax(u, 0) * t / (1 - t)).sum()
    return t, value(s), torch.func.grad(value)(s)""",
    ),
)

# ---------------------------------------------------------------- the reverse KL divergence


def reverse_critic(log_ratio):
    return -np.exp(-log_ratio)


def reverse_value(p, q, t):
    return (p * t).sum() + (q * (1 + np.log(-t))).sum()


def reverse_g(t):
    return 1 + np.log(-t)


def reverse_right(data_logits, logits):
    return solved(reverse_critic, reverse_value, reverse_g)(data_logits, logits)


REVERSE = Variant(
    "reverse_kl",
    """## 2. Derive the best critic: a game for a KL divergence

A line is divided into C cells. In cell i, the data have mass p_i, and the generator has mass q_i. A critic consists of
one number T_i per cell, which must be below 0. The critic maximizes

V(T, q) = Σ_i p_i T_i + Σ_i q_i (1 + log(−T_i)).

On paper, derive the best critic T\\* and the value V\\* = V(T\\*, q), which is a KL divergence. Which way round? The
generator's masses are the softmax of its parameters s, q_i = e^(s_i) / Σ_j e^(s_j). Also derive the slope ∂V\\*/∂s_i
that G receives while the best critic is held fixed. (If the critic were re-optimized, the slope would be the same.
Why?)

Write the function `optimum(data_logits, logits)`, where p is the softmax of `data_logits` (C,), and q is the softmax of
s = `logits` (C,). The function returns three results: T\\* (C,), the number V\\*, and the slope (C,). Your function
must also be correct in cells where both masses are about e^(−800).""",
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    raise NotImplementedError''',
    '''def optimum(data_logits, logits):
    """Logits of p and of q, (C,) each -> the best critic (C,), its value, the value's slope with respect to s (C,)."""
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    q = log_q.exp()
    gain = log_q - log_p  # log(q/p); the slope with respect to q is this plus 1, and the softmax removes the 1
    critic = -gain.exp()  # from p + q/T = 0
    value = (q * gain).sum()  # KL(q ‖ p)
    slope = q * (gain - value)
    return critic, value, slope''',
    inputs,
    reverse_right,
    (
        *common(reverse_critic, reverse_value, reverse_g),
        Mistake(
            "the critic is −p/q here: set p + q/T to 0.",
            lambda data_logits, logits: (
                -np.exp(log_softmax(data_logits) - log_softmax(logits)),
                *reverse_right(data_logits, logits)[1:],
            ),
            0.5,
        ),
        Mistake(
            "the critic has the wrong sign: V contains log(−T), so T is negative.",
            lambda data_logits, logits: (
                np.exp(log_softmax(logits) - log_softmax(data_logits)),
                *reverse_right(data_logits, logits)[1:],
            ),
            0.6,
        ),
        Mistake(
            "the value is KL(p ‖ q): put T* into V, "
            "and see which of the two masses multiplies the logarithm.",
            lambda data_logits, logits: (
                reverse_right(data_logits, logits)[0],
                (softmax(data_logits) * (log_softmax(data_logits) - log_softmax(logits))).sum(),
                reverse_right(data_logits, logits)[2],
            ),
            0.5,
        ),
        Mistake(
            "the value is too large by 1: Σ p T* is −1 and cancels the 1.",
            lambda data_logits, logits: (
                reverse_right(data_logits, logits)[0],
                reverse_right(data_logits, logits)[1] + 1,
                reverse_right(data_logits, logits)[2],
            ),
            0.7,
        ),
        Mistake(
            "the critic is the best D of the ordinary game, p/(p + q): maximize this game's V.",
            lambda data_logits, logits: (
                1 / (1 + np.exp(log_softmax(logits) - log_softmax(data_logits))),
                *reverse_right(data_logits, logits)[1:],
            ),
            0.3,
        ),
    ),
    TOLERANCE,
    returns=RETURNS,
    independent=by_search(
        lambda t: -1 - (-t).log(), lambda t: -1 / t, lambda r: -1 - 2 / r, lambda r: -0.5 / r
    ),
    styles=(
        """def optimum(data_logits, logits):
    s = logits.double().requires_grad_()
    log_p, log_q = torch.log_softmax(data_logits.double(), 0), torch.log_softmax(s, 0)
    value = torch.nn.functional.kl_div(log_p, log_q, reduction="sum", log_target=True)
    return -torch.exp(log_q - log_p), value, torch.autograd.grad(value, s)[0]""",
        """def optimum(data_logits, logits):
    log_p, log_q = torch.log_softmax(data_logits, 0), torch.log_softmax(logits, 0)
    p, q = log_p.exp(), log_q.exp()
    critic, value = torch.zeros(len(p)), 0.0
    for i in range(len(p)):
        critic[i] = -torch.exp(log_q[i] - log_p[i])
        value = value + p[i] * critic[i] + q[i] * (1 + log_q[i] - log_p[i])
    slope = torch.zeros(len(p))
    for k in range(len(p)):
        for i in range(len(p)):
            slope[k] += q[i] * (float(i == k) - q[k]) * (1 + log_q[i] - log_p[i])
    return critic, value, slope""",
        """import numpy as np
from scipy.special import log_softmax
def optimum(data_logits, logits):
    a, b = (log_softmax(np.asarray(t, dtype=np.float64)) for t in (data_logits, logits))
    q = np.exp(b)
    jacobian = np.diag(q) - np.outer(q, q)
    return -np.exp(b - a), q @ (b - a), jacobian @ (1 + b - a)""",
        """def optimum(data_logits, logits):
    model = torch.distributions.Categorical
    a, b = model(logits=data_logits.double()), model(logits=logits.double())
    value = torch.distributions.kl_divergence(b, a)
    gain = b.logits - a.logits
    return -gain.exp(), value, b.probs * (gain - value)""",
    ),
)

QUESTION = Question("optimum", "optimum", 20, (PEARSON, HELLINGER, REVERSE))
