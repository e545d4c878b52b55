"""Question 5: one training step of a linear game, weights in and weights out.

The Dirac-GAN of chapter 07, in d dimensions and with samples: D's logit is ψ·x, and G adds θ to its
noise, G(z) = θ + z. The slopes follow from d softplus(u)/du = σ(u):

    D's loss: ∂/∂ψ = −mean σ(−ψ·x) x + mean σ(ψ·(θ + z)) (θ + z)
    G's loss: ∂/∂θ = −mean σ(−ψ·(θ + z)) ψ

Extragradient: Korpelevich 1976, for GANs Gidel et al. 2019. Optimistic steps: Daskalakis et al.
2018, where the slopes of the last step are kept. Steps in turns with R1, two learning rates and an
average: Mescheder et al. 2018, Heusel et al. 2017, and Yazıcı et al. 2019; ψ·x has the slope ψ
everywhere, so R1 adds γψ.
"""

import numpy as np
from scipy.special import expit

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 2e-5, "float32 means of at most a few dozen terms, added to the weights"
)


def naive_sigmoid(a):
    """Mistake: e^a / (1 + e^a), ∞ / ∞ for a large."""
    return np.exp(a) / (1 + np.exp(a))


def players(rng, case):
    """The weights of both players, real points and noise.

    In the extreme case, D's logits are in the thousands, and D is wrong about most points.
    """
    n, m, d = {"small": (4, 3, 2), "large": (19, 27, 5), "extreme": (7, 5, 3)}[case]
    scale = 40.0 if case == "extreme" else 1.0
    theta, psi = rng.normal(size=d) * scale + scale, rng.normal(size=d) * scale
    real = rng.normal(size=(n, d)) - 0.5
    if case == "extreme":  # ψ·x about −3000, ψ·(θ + z) about +3000
        theta = 3000 * psi / (psi @ psi) + rng.normal(size=d)
        real = real - 3000 * psi / (psi @ psi)
    return {"theta": theta, "psi": psi, "real": real, "z": rng.normal(size=(m, d))}


def d_slope(theta, psi, real, z, sigmoid=expit):
    """The slope of D's loss with respect to ψ."""
    fake = theta + z
    on_real = -(sigmoid(-real @ psi)[:, None] * real).mean(0)
    return on_real + (sigmoid(fake @ psi)[:, None] * fake).mean(0)


def g_slope(theta, psi, real, z, sigmoid=expit):
    """The slope of G's non-saturating loss with respect to θ."""
    return -sigmoid(-(theta + z) @ psi).mean() * psi


def g_saturating(theta, psi, real, z):
    """Mistake: the slope of G's loss in the minimax game, log(1 − D)."""
    return -expit((theta + z) @ psi).mean() * psi


def g_without_psi(theta, psi, real, z):
    """Mistake: the derivative with respect to the logit, not to θ."""
    return -expit(-(theta + z) @ psi).mean() * np.ones_like(psi)


def d_without_fake(theta, psi, real, z):
    """Mistake: D learns only from real points."""
    return -(expit(-real @ psi)[:, None] * real).mean(0)


def d_noise_only(theta, psi, real, z):
    """Mistake: the second factor is z, but the generated points are θ + z."""
    on_real = -(expit(-real @ psi)[:, None] * real).mean(0)
    return on_real + (expit((theta + z) @ psi)[:, None] * z).mean(0)


def d_sum(theta, psi, real, z):
    """Mistake: sums instead of means."""
    fake = theta + z
    return -(expit(-real @ psi)[:, None] * real).sum(0) + (expit(fake @ psi)[:, None] * fake).sum(0)


def slopes_by_torch(theta, psi, real, z):
    """The slopes of both players, by automatic differentiation in float64.

    They are the slopes of G's loss with respect to θ and of D's with respect to ψ.
    """
    import torch  # needed to check the key, but not for grading

    parts = (theta, psi, real, z)
    theta, psi, real, z = (torch.as_tensor(part, dtype=torch.float64) for part in parts)
    theta, psi = theta.clone().requires_grad_(), psi.clone().requires_grad_()
    sure = torch.nn.functional.logsigmoid
    d_loss = -sure(real @ psi).mean() - sure(-(theta + z) @ psi).mean()
    g_loss = -sure((theta + z) @ psi).mean()
    for_psi = torch.autograd.grad(d_loss, psi, retain_graph=True)[0]
    return torch.autograd.grad(g_loss, theta)[0].numpy(), for_psi.numpy()


def by_torch(step):
    """A step with slopes from torch: step(slopes, ...), where slopes(theta, psi) gives both."""

    def function(theta, psi, real, z, *more, **named):
        return step(lambda t, p: slopes_by_torch(t, p, real, z), theta, psi, *more, **named)

    return function


def common(step):
    """Mistakes in the slopes. step(d, g, **given) takes the step with these two slopes."""

    def with_slopes(d=d_slope, g=g_slope):
        return lambda **given: step(d, g, **given)

    def unstable(function):
        return lambda *given: function(*given, naive_sigmoid)

    return (
        Mistake(
            "e^u / (1 + e^u) overflows where D's logits are large, "
            "which gives NaN: use `torch.sigmoid`.",
            with_slopes(unstable(d_slope), unstable(g_slope)),
            0.6,
        ),
        Mistake(
            "G minimizes log(1 − D): here it minimizes −log D, which is steep where G is losing.",
            with_slopes(g=g_saturating),
            0.6,
        ),
        Mistake(
            "the factor ψ is missing in G's slope: "
            "the logit ψ·(θ + z) has the gradient ψ with respect to θ.",
            with_slopes(g=g_without_psi),
            0.4,
        ),
        Mistake(
            "D learns only from the real points: its loss has a second term.",
            with_slopes(d=d_without_fake),
            0.4,
        ),
        Mistake(
            "D's slope uses z for the generated points: they are θ + z.",
            with_slopes(d=d_noise_only),
            0.5,
        ),
        Mistake(
            "D's slope is summed over the points: both of its terms are means over a batch.",
            with_slopes(d=d_sum),
            0.6,
        ),
        Mistake(
            "D ascends its loss: both players descend, each on its own loss.",
            with_slopes(d=lambda *given: -d_slope(*given)),
            0.5,
        ),
        Mistake(
            "G ascends its loss: both players descend, each on its own loss.",
            with_slopes(g=lambda *given: -g_slope(*given)),
            0.5,
        ),
    )


GAME = """The players are as simple as can be. D's logit for a point x is ψ·x, with one weight per dimension and no bias. G
shifts its noise: G(z) = θ + z. For a batch of real points x and a batch of noise z,

- D's loss is the mean of −log σ(ψ·x) over the real points plus the mean of −log(1 − σ(ψ·(θ + z))) over the noise, and
- G's loss is the mean of −log σ(ψ·(θ + z)) over the noise.

Derive the slope of D's loss with respect to ψ and the slope of G's loss with respect to θ. (You may also let torch
compute them.)"""

# ---------------------------------------------------------------- extragradient


def extra_inputs(rng, case):
    return {**players(rng, case), "lr": float(rng.uniform(0.2, 0.5))}


def extra_step(d, g, theta, psi, real, z, lr):
    half_theta = theta - lr * g(theta, psi, real, z)
    half_psi = psi - lr * d(theta, psi, real, z)
    return (
        theta - lr * g(half_theta, half_psi, real, z),
        psi - lr * d(half_theta, half_psi, real, z),
    )


def extra_reference(theta, psi, real, z, lr):
    return extra_step(d_slope, g_slope, theta, psi, real, z, lr)


def extra_by_torch(slopes, theta, psi, lr):
    look = [weight - lr * slope for weight, slope in zip((theta, psi), slopes(theta, psi))]
    return tuple(weight - lr * slope for weight, slope in zip((theta, psi), slopes(*look)))


def extra_from_look(theta, psi, real, z, lr):
    """Mistake: the second step begins where the first one ended."""
    look = theta - lr * g_slope(theta, psi, real, z), psi - lr * d_slope(theta, psi, real, z)
    return look[0] - lr * g_slope(*look, real, z), look[1] - lr * d_slope(*look, real, z)


def extra_in_turns(theta, psi, real, z, lr):
    """Mistake: G looks ahead from D's new weights."""
    half_psi = psi - lr * d_slope(theta, psi, real, z)
    half_theta = theta - lr * g_slope(theta, half_psi, real, z)
    return (
        theta - lr * g_slope(half_theta, half_psi, real, z),
        psi - lr * d_slope(half_theta, half_psi, real, z),
    )


def extra_new_psi(theta, psi, real, z, lr):
    """Mistake: in the second step G sees D's final weights."""
    half_theta = theta - lr * g_slope(theta, psi, real, z)
    half_psi = psi - lr * d_slope(theta, psi, real, z)
    new_psi = psi - lr * d_slope(half_theta, half_psi, real, z)
    return theta - lr * g_slope(half_theta, new_psi, real, z), new_psi


def plain_step(theta, psi, real, z, lr):
    return theta - lr * g_slope(theta, psi, real, z), psi - lr * d_slope(theta, psi, real, z)


def extra_own_look(theta, psi, real, z, lr):
    """Mistake: each player looks ahead alone, while the other has not moved."""
    half_theta = theta - lr * g_slope(theta, psi, real, z)
    half_psi = psi - lr * d_slope(theta, psi, real, z)
    new_theta = theta - lr * g_slope(half_theta, psi, real, z)
    return new_theta, psi - lr * d_slope(theta, half_psi, real, z)


EXTRAGRADIENT = Variant(
    "extragradient",
    f"""## 5. One step of a game: look ahead

Two players who step at the same time spiral outwards, as the chapter *A GAN in one dimension* showed. The
*extragradient* method looks ahead before it steps.

{GAME}

1. From (θ, ψ), both players take an ordinary gradient step with the learning rate `lr` at the same time. This step only
   serves to look ahead.
2. Both compute their slopes at the point that they have reached. With *these* slopes and the same learning rate, both
   step from the old (θ, ψ).

Write the function `step(theta, psi, real, z, lr)`. Its arguments are θ and ψ (d,), real points (N, d), noise z (M, d),
and a number `lr`. The function returns two results: the new θ (d,) and the new ψ (d,). Your function must also be
correct for logits of about ±3000.""",
    '''def step(theta, psi, real, z, lr):
    """theta, psi (d,), real (N, d), z (M, d), learning rate -> new theta, new psi, (d,) each."""
    raise NotImplementedError''',
    '''def step(theta, psi, real, z, lr):
    """theta, psi (d,), real (N, d), z (M, d), learning rate -> new theta, new psi, (d,) each."""

    def slopes(theta, psi):
        fake = theta + z  # (M, d)
        for_theta = -torch.sigmoid(-fake @ psi).mean() * psi
        pull = torch.sigmoid(-real @ psi)  # (N,), how wrong D is about each real point
        push = torch.sigmoid(fake @ psi)  # (M,), and about each generated one
        for_psi = -(pull[:, None] * real).mean(0) + (push[:, None] * fake).mean(0)
        return for_theta, for_psi

    for_theta, for_psi = slopes(theta, psi)
    for_theta, for_psi = slopes(theta - lr * for_theta, psi - lr * for_psi)  # the slopes one step ahead
    return theta - lr * for_theta, psi - lr * for_psi''',
    extra_inputs,
    extra_reference,
    (
        *common(extra_step),
        Mistake("this is the ordinary step: take the slopes one step ahead.", plain_step, 0.3),
        Mistake(
            "the second step starts where the first one ended: start it from the old weights.",
            extra_from_look,
            0.5,
        ),
        Mistake(
            "G looks ahead after D has moved: in the first step, both move at the same time.",
            extra_in_turns,
            0.6,
        ),
        Mistake(
            "in the second step, G sees the final ψ: "
            "take both slopes at the point that the first step reached.",
            extra_new_psi,
            0.6,
        ),
        Mistake(
            "each player looks ahead alone: take the slopes at the point where both have moved.",
            extra_own_look,
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("theta", "psi"),
    independent=by_torch(extra_by_torch),
    styles=(
        """def step(theta, psi, real, z, lr):
    sure = torch.nn.functional.logsigmoid
    def slopes(t, p):
        t, p = t.detach().requires_grad_(), p.detach().requires_grad_()
        fake = t + z
        d_loss = -sure(real @ p).mean() - sure(-(fake.detach() @ p)).mean()
        g_loss = -sure(fake @ p.detach()).mean()
        return torch.autograd.grad(g_loss, t)[0], torch.autograd.grad(d_loss, p)[0]
    a, b = slopes(theta, psi)
    a, b = slopes(theta - lr * a, psi - lr * b)
    return theta - lr * a, psi - lr * b""",
        """def step(theta, psi, real, z, lr):
    t, p = theta, psi
    for _ in range(2):
        for_t, for_p = torch.zeros_like(theta), torch.zeros_like(psi)
        for x in real:
            for_p = for_p - torch.sigmoid(-(p @ x)) * x / len(real)
        for one in z:
            x = t + one
            for_p = for_p + torch.sigmoid(p @ x) * x / len(z)
            for_t = for_t - torch.sigmoid(-(p @ x)) * p / len(z)
        t, p = theta - lr * for_t, psi - lr * for_p
    return t, p""",
        """import numpy as np
from scipy.special import expit
def step(theta, psi, real, z, lr):
    theta, psi, real, z = (np.asarray(a, dtype=np.float64) for a in (theta, psi, real, z))
    def slopes(t, p):
        fake = t + z
        return -p * expit(-fake @ p).mean(), expit(fake @ p) @ fake / len(z) - expit(-real @ p) @ real / len(real)
    a, b = slopes(theta, psi)
    a, b = slopes(theta - lr * a, psi - lr * b)
    return theta - lr * a, psi - lr * b""",
        """def step(theta, psi, real, z, lr):
    real, z, old = real.double(), z.double(), (theta.double(), psi.double())
    plus = torch.nn.functional.softplus
    g_loss = lambda t, p: plus(-((t + z) @ p)).mean()
    d_loss = lambda t, p: plus(-(real @ p)).mean() + plus((t + z) @ p).mean()
    now = old
    for _ in range(2):
        field = torch.func.grad(g_loss, 0)(*now), torch.func.grad(d_loss, 1)(*now)
        now = tuple(w - lr * s for w, s in zip(old, field))
    return now""",
    ),
)

# ---------------------------------------------------------------- optimistic


def optimistic_inputs(rng, case):
    given = players(rng, case)
    d = len(given["psi"])
    return {
        **given,
        "last_theta": rng.normal(size=d),
        "last_psi": rng.normal(size=d),
        "lr": float(rng.uniform(0.1, 0.4)),
    }


def optimistic_step(d, g, theta, psi, real, z, last_theta, last_psi, lr):
    for_theta, for_psi = g(theta, psi, real, z), d(theta, psi, real, z)
    return (
        theta - 2 * lr * for_theta + lr * last_theta,
        psi - 2 * lr * for_psi + lr * last_psi,
        for_theta,
        for_psi,
    )


def optimistic_reference(theta, psi, real, z, last_theta, last_psi, lr):
    return optimistic_step(d_slope, g_slope, theta, psi, real, z, last_theta, last_psi, lr)


def optimistic_by_torch(slopes, theta, psi, last_theta, last_psi, lr):
    """An ordinary step along the predicted slopes, now + (now − last)."""
    for_theta, for_psi = slopes(theta, psi)
    predicted = for_theta + (for_theta - last_theta), for_psi + (for_psi - last_psi)
    return theta - lr * predicted[0], psi - lr * predicted[1], for_theta, for_psi


def optimistic_other(move, keep=None):
    """Another rule for updating the weights.

    move(lr, now, last) is added to the weights, and keep(now, last) is passed on to the next step.
    """
    keep = keep or (lambda now, last: now)

    def function(theta, psi, real, z, last_theta, last_psi, lr):
        for_theta, for_psi = g_slope(theta, psi, real, z), d_slope(theta, psi, real, z)
        return (
            theta + move(lr, for_theta, last_theta),
            psi + move(lr, for_psi, last_psi),
            keep(for_theta, last_theta),
            keep(for_psi, last_psi),
        )

    return function


def optimistic_in_turns(theta, psi, real, z, last_theta, last_psi, lr):
    """Mistake: G steps after D."""
    for_psi = d_slope(theta, psi, real, z)
    new_psi = psi - 2 * lr * for_psi + lr * last_psi
    for_theta = g_slope(theta, new_psi, real, z)
    return theta - 2 * lr * for_theta + lr * last_theta, new_psi, for_theta, for_psi


OPTIMISTIC = Variant(
    "optimistic",
    f"""## 5. One step of a game: predict the next slope

Two players who step at the same time spiral outwards, as the chapter *A GAN in one dimension* showed. *Optimistic*
gradient descent predicts the next slope: if the slope was g_last in the last step and is g now, then it may be
g + (g − g_last) in the next.

{GAME}

Both players step at the same time, each in the direction opposite to its predicted slope, with the learning rate `lr`:

θ ← θ − lr · (2 g − g_last), and in the same way for ψ.

Write the function `step(theta, psi, real, z, last_theta, last_psi, lr)`. Its arguments are θ and ψ (d,), real points
(N, d), noise z (M, d), the slopes of the last step, `last_theta` and `last_psi` (d,), and a number `lr`. The function
returns four results, (d,) each: the new θ, the new ψ, and the two slopes that the next step will need as its
`last_theta` and `last_psi`. Your function must also be correct for logits of about ±3000.""",
    '''def step(theta, psi, real, z, last_theta, last_psi, lr):
    """theta, psi (d,), real (N, d), z (M, d), last slopes (d,), learning rate -> theta, psi, slope for theta, for psi."""
    raise NotImplementedError''',
    '''def step(theta, psi, real, z, last_theta, last_psi, lr):
    """theta, psi (d,), real (N, d), z (M, d), last slopes (d,), learning rate -> theta, psi, slope for theta, for psi."""
    fake = theta + z  # (M, d)
    for_theta = -torch.sigmoid(-fake @ psi).mean() * psi
    pull = torch.sigmoid(-real @ psi)  # (N,), how wrong D is about each real point
    push = torch.sigmoid(fake @ psi)  # (M,), and about each generated one
    for_psi = -(pull[:, None] * real).mean(0) + (push[:, None] * fake).mean(0)
    theta = theta - lr * (2 * for_theta - last_theta)
    psi = psi - lr * (2 * for_psi - last_psi)
    return theta, psi, for_theta, for_psi''',
    optimistic_inputs,
    optimistic_reference,
    (
        *common(optimistic_step),
        Mistake(
            "this is the ordinary step: the last slopes are not used.",
            optimistic_other(lambda lr, now, last: -lr * now),
            0.3,
        ),
        Mistake(
            "the last slope is added to 2g: the predicted slope is 2g − g_last.",
            optimistic_other(lambda lr, now, last: -lr * (2 * now + last)),
            0.6,
        ),
        Mistake(
            "the last slope is not multiplied by the learning rate.",
            optimistic_other(lambda lr, now, last: -2 * lr * now + last),
            0.6,
        ),
        Mistake(
            "the new slope is counted once: the predicted slope is 2g − g_last.",
            optimistic_other(lambda lr, now, last: -lr * (now - last)),
            0.5,
        ),
        Mistake(
            "the old slopes are returned: the next step needs the slopes of this one.",
            optimistic_other(lambda lr, now, last: -lr * (2 * now - last), lambda now, last: last),
            0.6,
        ),
        Mistake(
            "the predicted slopes are returned: the next step needs the slopes themselves.",
            optimistic_other(
                lambda lr, now, last: -lr * (2 * now - last), lambda now, last: 2 * now - last
            ),
            0.6,
        ),
        Mistake(
            "G steps after D: take both slopes at the old weights.",
            optimistic_in_turns,
            0.6,
        ),
    ),
    TOLERANCE,
    returns=("theta", "psi", "slope_theta", "slope_psi"),
    independent=by_torch(optimistic_by_torch),
    styles=(
        """def step(theta, psi, real, z, last_theta, last_psi, lr):
    t, p = theta.clone().requires_grad_(), psi.clone().requires_grad_()
    sure = torch.nn.functional.logsigmoid
    d_loss = -sure(real @ p).mean() - sure(-((theta + z) @ p)).mean()
    g_loss = -sure((t + z) @ psi).mean()
    d_loss.backward()
    g_loss.backward()
    return theta - 2 * lr * t.grad + lr * last_theta, psi - 2 * lr * p.grad + lr * last_psi, t.grad, p.grad""",
        """def step(theta, psi, real, z, last_theta, last_psi, lr):
    a, b = torch.zeros_like(theta), torch.zeros_like(psi)
    for x in real:
        b = b - torch.sigmoid(-(psi @ x)) * x / len(real)
    for one in z:
        x = theta + one
        b = b + torch.sigmoid(psi @ x) * x / len(z)
        a = a - torch.sigmoid(-(psi @ x)) * psi / len(z)
    return [theta - lr * (a + (a - last_theta)), psi - lr * (b + (b - last_psi)), a, b]""",
        """import numpy as np
from scipy.special import expit
def step(theta, psi, real, z, last_theta, last_psi, lr):
    theta, psi, real, z, u, w = (np.asarray(s, dtype=np.float64) for s in (theta, psi, real, z, last_theta, last_psi))
    fake = theta + z
    a = -psi * expit(-fake @ psi).mean()
    b = expit(fake @ psi) @ fake / len(z) - expit(-real @ psi) @ real / len(real)
    return theta - lr * (2 * a - u), psi - lr * (2 * b - w), a, b""",
        """def step(theta, psi, real, z, last_theta, last_psi, lr):
    real, z, t, p = real.double(), z.double(), theta.double(), psi.double()
    plus = torch.nn.functional.softplus
    a = torch.func.grad(lambda t: plus(-((t + z) @ p)).mean())(t)
    b = torch.func.grad(lambda p: plus(-(real @ p)).mean() + plus((t + z) @ p).mean())(p)
    return t - lr * (2 * a - last_theta), p - lr * (2 * b - last_psi), a, b""",
    ),
)

# ---------------------------------------------------------------- in turns, with R1 and an average


def turns_inputs(rng, case):
    given = players(rng, case)
    return {
        **given,
        "average": given["theta"] + rng.normal(size=len(given["theta"])),
        "lr_d": float(rng.uniform(0.2, 0.4)),
        "lr_g": float(rng.uniform(0.05, 0.15)),
        "gamma": float(rng.uniform(0.3, 1.0)),
        "decay": float(rng.uniform(0.6, 0.9)),
    }


def turns_step(d, g, theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    psi = psi - lr_d * (d(theta, psi, real, z) + gamma * psi)
    theta = theta - lr_g * g(theta, psi, real, z)
    return theta, psi, decay * average + (1 - decay) * theta


def turns_reference(**given):
    return turns_step(d_slope, g_slope, **given)


def turns_by_torch(slopes, theta, psi, average, lr_d, lr_g, gamma, decay):
    new_psi = (1 - lr_d * gamma) * psi - lr_d * slopes(theta, psi)[1]
    new_theta = theta - lr_g * slopes(theta, new_psi)[0]
    return new_theta, new_psi, average + (1 - decay) * (new_theta - average)


def turns_mistake(sentence, share, **changes):
    """A mistake in the numbers.

    Each function in `changes` computes a replacement for one argument from all arguments.
    """

    def function(**given):
        changed = {name: change(given) for name, change in changes.items()}
        return turns_reference(**(given | changed))

    return Mistake(sentence, function, share)


def turns_together(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """Mistake: G's slope is taken before D's step."""
    new_psi = psi - lr_d * (d_slope(theta, psi, real, z) + gamma * psi)
    theta = theta - lr_g * g_slope(theta, psi, real, z)
    return theta, new_psi, decay * average + (1 - decay) * theta


def turns_g_first(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """Mistake: G steps first, and D responds."""
    theta = theta - lr_g * g_slope(theta, psi, real, z)
    psi = psi - lr_d * (d_slope(theta, psi, real, z) + gamma * psi)
    return theta, psi, decay * average + (1 - decay) * theta


def turns_old_average(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """Mistake: the average follows the old θ."""
    new_theta, new_psi, _ = turns_step(
        d_slope, g_slope, theta, psi, real, z, average, lr_d, lr_g, gamma, decay
    )
    return new_theta, new_psi, decay * average + (1 - decay) * theta


def turns_averaged_game(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """Mistake: the average replaces θ in the game."""
    _, new_psi, new_average = turns_step(
        d_slope, g_slope, theta, psi, real, z, average, lr_d, lr_g, gamma, decay
    )
    return new_average, new_psi, new_average


TURNS = Variant(
    "turns",
    f"""## 5. One step of a game: in turns, with a penalty and an average

Large GANs are often trained like this: the players move in turns, with two learning rates, with the penalty R1, and
with a running average of G's weights that is used to draw the images.

{GAME}

1. D moves first. It takes a gradient step with the learning rate `lr_d` on its loss plus R1, which is γ/2 times the
   mean of ‖∇_x (ψ·x)‖² over the real points.
2. G moves against the new D. It takes a gradient step with the learning rate `lr_g` on its loss.
3. The average follows: average ← decay · average + (1 − decay) · θ, with the new θ.

Write the function `step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay)`. Its arguments are θ and ψ (d,), real
points (N, d), noise z (M, d), the `average` (d,), and the numbers `lr_d`, `lr_g`, γ = `gamma` and `decay`. The function
returns three results, (d,) each: the new θ, the new ψ and the new average. Your function must also be correct for
logits of about ±3000.""",
    '''def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """theta, psi, average (d,), real (N, d), z (M, d), four numbers -> new theta, new psi, new average, (d,) each."""
    raise NotImplementedError''',
    '''def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    """theta, psi, average (d,), real (N, d), z (M, d), four numbers -> new theta, new psi, new average, (d,) each."""
    fake = theta + z  # (M, d)
    pull = torch.sigmoid(-real @ psi)  # (N,), how wrong D is about each real point
    push = torch.sigmoid(fake @ psi)  # (M,), and about each generated one
    for_psi = -(pull[:, None] * real).mean(0) + (push[:, None] * fake).mean(0)
    psi = psi - lr_d * (for_psi + gamma * psi)  # R1 is γ/2 ‖ψ‖², because ψ·x has the slope ψ everywhere
    theta = theta - lr_g * (-torch.sigmoid(-fake @ psi).mean() * psi)  # against the new D
    average = decay * average + (1 - decay) * theta
    return theta, psi, average''',
    turns_inputs,
    turns_reference,
    (
        *common(turns_step),
        turns_mistake("the penalty R1 is missing in D's step.", 0.5, gamma=lambda given: 0.0),
        turns_mistake(
            "R1 is twice as strong as it should be: γ/2 ‖ψ‖² has the slope γψ.",
            0.6,
            gamma=lambda given: 2 * given["gamma"],
        ),
        turns_mistake(
            "R1 is half as strong as it should be: γ/2 ‖ψ‖² has the slope γψ.",
            0.6,
            gamma=lambda given: given["gamma"] / 2,
        ),
        Mistake(
            "the penalty itself is added to D's slope: add the penalty's slope, γψ.",
            lambda **given: turns_step(
                lambda *players: (
                    d_slope(*players) + given["gamma"] / 2 * (given["psi"] @ given["psi"])
                ),
                g_slope,
                **(given | {"gamma": 0.0}),
            ),
            0.4,
        ),
        turns_mistake(
            "the sign of R1 is wrong: the penalty pushes ψ outwards instead of towards 0.",
            0.6,
            gamma=lambda given: -given["gamma"],
        ),
        Mistake(
            "both players move at the same time: G must move against the new D.",
            turns_together,
            0.5,
        ),
        Mistake(
            "G moves first: D moves first, and then G moves against the new D.", turns_g_first, 0.5
        ),
        Mistake(
            "the average follows the old θ: update it last, with the new θ.", turns_old_average, 0.6
        ),
        Mistake(
            "the average has taken the place of θ: "
            "it is only a copy for drawing images, and the game continues with θ.",
            turns_averaged_game,
            0.5,
        ),
        turns_mistake(
            "`decay` and 1 − `decay` are swapped: the old average is multiplied by `decay`.",
            0.6,
            decay=lambda given: 1 - given["decay"],
        ),
        turns_mistake(
            "the two learning rates are swapped.",
            0.6,
            lr_d=lambda given: given["lr_g"],
            lr_g=lambda given: given["lr_d"],
        ),
    ),
    TOLERANCE,
    returns=("theta", "psi", "average"),
    independent=by_torch(turns_by_torch),
    styles=(
        """def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    t, p = nn.Parameter(theta.clone()), nn.Parameter(psi.clone())
    sure = torch.nn.functional.logsigmoid
    d, g = torch.optim.SGD([p], lr_d), torch.optim.SGD([t], lr_g)
    x = real.clone().requires_grad_()
    slope = torch.autograd.grad((x @ p).sum(), x, create_graph=True)[0]
    r1 = gamma / 2 * slope.square().sum(1).mean()
    (r1 - sure(x @ p).mean() - sure(-((t + z).detach() @ p)).mean()).backward()
    d.step()
    t.grad = None
    (-sure((t + z) @ p.detach()).mean()).backward()
    g.step()
    return t, p, average * decay + t * (1 - decay)""",
        """def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    b = gamma * psi
    for x in real:
        b = b - torch.sigmoid(-(psi @ x)) * x / len(real)
    for one in z:
        b = b + torch.sigmoid(psi @ (theta + one)) * (theta + one) / len(z)
    psi = psi - lr_d * b
    a = torch.zeros_like(theta)
    for one in z:
        a = a - torch.sigmoid(-(psi @ (theta + one))) * psi / len(z)
    theta = theta - lr_g * a
    return theta, psi, torch.lerp(average, theta, 1 - decay)""",
        """import numpy as np
from scipy.special import expit
def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    theta, psi, real, z, average = (np.asarray(s, dtype=np.float64) for s in (theta, psi, real, z, average))
    fake = theta + z
    b = expit(fake @ psi) @ fake / len(z) - expit(-real @ psi) @ real / len(real)
    psi = psi * (1 - lr_d * gamma) - lr_d * b
    theta = theta + lr_g * psi * expit(-fake @ psi).mean()
    return theta, psi, decay * average + (1 - decay) * theta""",
        """def step(theta, psi, real, z, average, lr_d, lr_g, gamma, decay):
    real, z, t, p = real.double(), z.double(), theta.double(), psi.double()
    plus = torch.nn.functional.softplus
    d_loss = lambda p: plus(-(real @ p)).mean() + plus((t + z) @ p).mean() + gamma / 2 * (p @ p)
    p = p - lr_d * torch.func.grad(d_loss)(p)
    t = t - lr_g * torch.func.grad(lambda t: plus(-((t + z) @ p)).mean())(t)
    return t, p, decay * average.double() + (1 - decay) * t""",
    ),
)

QUESTION = Question("step", "step", 15, (EXTRAGRADIENT, OPTIMISTIC, TURNS))
