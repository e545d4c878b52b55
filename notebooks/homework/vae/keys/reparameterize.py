"""Question 2: reparameterization without a Gaussian.

A draw is the quantile of given uniform noise, and has a slope. Weibull: Zhang et al. 2018.
Kumaraswamy, in place of a Beta distribution: Nalisnick & Smyth 2017. Relaxed Bernoulli codes:
Maddison et al. 2017 and Jang et al. 2017. Extreme noise is as small as 10⁻³⁰, where 1 − u is
rounded to 1; float32 noise close to 1 loses nothing, because 1 − u is exact there.
"""

import numpy as np
from scipy.special import expit, log1p, logit, softmax
from scipy.stats import beta as beta_distribution
from scipy.stats import weibull_min

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    1e-3, 3e-5, "float32 powers and logarithms, divided by a temperature or by a small exponent"
)


def sizes(case):
    """Numbers of rows and of dimensions of the code."""
    return {"small": (3, 2), "large": (8, 5), "extreme": (6, 3)}[case]


def noise(rng, case):
    """Uniform numbers; in the extreme case, most of them are tiny."""
    n, d = sizes(case)
    u = rng.uniform(0.02, 0.98, size=(n, d))
    if case == "extreme":
        u[:, :2] = 10 ** rng.uniform(-32, -22, size=(n, 2))
    return n, d, u


# ---------------------------------------------------------------- Weibull


def weibull_inputs(rng, case):
    n, d, u = noise(rng, case)
    low, high = (25, 45) if case == "extreme" else (0.7, 4)  # a large shape, so that z is not tiny
    return {
        "u": u,
        "scale": rng.uniform(0.5, 3, size=(n, d)),
        "shape": rng.uniform(low, high, size=(n, d)),
    }


def weibull_from(log_e, scale, shape):
    """z and its slope, from the logarithm of e = −log(1 − u)."""
    z = scale * np.exp(log_e / shape)
    return z, -z * log_e / shape**2


def weibull_reference(u, scale, shape):
    return weibull_from(np.log(-log1p(-u)), scale, shape)


def weibull_independent(u, scale, shape):
    """scipy's quantile; the slope by implicit differentiation of F(z) = u, −(∂F/∂k) / (∂F/∂z)."""
    z = weibull_min.ppf(u, shape, scale=scale)
    power = (z / scale) ** shape
    by_shape = np.exp(-power) * power * np.log(z / scale)
    return z, -by_shape / weibull_min.pdf(z, shape, scale=scale)


def weibull_wrong(change):
    """A mistake in the slope alone, from z, log e, the scale and the shape."""

    def function(u, scale, shape):
        z, _ = weibull_reference(u, scale, shape)
        return z, change(z, np.log(-log1p(-u)), scale, shape)

    return function


WEIBULL = Variant(
    "weibull",
    """## 2. Reparameterization without a Gaussian: Weibull

The reparameterization trick does not need a Gaussian. Let u be uniform between 0 and 1, and let F be the cumulative
distribution function of the desired distribution. The z with F(z) = u is then a draw from this distribution. For a
Weibull distribution with scale λ and shape k,

F(z) = 1 − exp(−(z/λ)^k).

Solve F(z) = u for z, and derive the slope ∂z/∂k of the draw at fixed noise u. The encoder needs this slope for its
gradient.

Write the function `sample(u, scale, shape)`. Its arguments are the noise `u`, λ = `scale` and k = `shape`, all (N, d).
The function returns z and ∂z/∂k, both (N, d). Your function must also be correct for u around 10^(−30), where 1 − u is
rounded to 1.""",
    '''def sample(u, scale, shape):
    """Return draws z and slopes ∂z/∂shape, both (N, d), for uniform noise u, scale and shape, all (N, d)."""
    raise NotImplementedError''',
    '''def sample(u, scale, shape):
    """Return draws z and slopes ∂z/∂shape, both (N, d), for uniform noise u, scale and shape, all (N, d)."""
    log_e = torch.log(-torch.log1p(-u))  # the logarithm of an exponential draw, (N, d)
    z = scale * torch.exp(log_e / shape)
    slope = -z * log_e / shape**2
    return z, slope''',
    weibull_inputs,
    weibull_reference,
    (
        Mistake(
            "precision is lost: for tiny u, 1 − u is rounded to 1, "
            "and its logarithm is 0. Use `log1p(-u)`.",
            lambda u, scale, shape: weibull_from(np.log(-np.log(1 - u)), scale, shape),
            0.6,
        ),
        Mistake(
            "u and 1 − u are swapped: z has the right distribution, "
            "but F(z) is 1 − u instead of u.",
            lambda u, scale, shape: weibull_from(np.log(-np.log(u)), scale, shape),
            0.7,
        ),
        Mistake(
            "the exponent is k instead of 1/k.",
            lambda u, scale, shape: weibull_reference(u, scale, 1 / shape),
            0.3,
        ),
        Mistake(
            "λ is treated as a rate: it is a scale, which multiplies z.",
            lambda u, scale, shape: weibull_reference(u, 1 / scale, shape),
            0.4,
        ),
        Mistake(
            "the slope is taken with respect to the scale λ: return ∂z/∂k.",
            weibull_wrong(lambda z, log_e, scale, shape: z / scale),
            0.5,
        ),
        Mistake(
            "the slope has the wrong sign: the derivative of 1/k is −1/k².",
            weibull_wrong(lambda z, log_e, scale, shape: z * log_e / shape**2),
            0.7,
        ),
        Mistake(
            "the slope is taken with respect to 1/k: the factor −1/k² is missing.",
            weibull_wrong(lambda z, log_e, scale, shape: z * log_e),
            0.6,
        ),
        Mistake(
            "the slope is taken with respect to the base −log(1 − u): "
            "what varies is k, in the exponent.",
            weibull_wrong(lambda z, log_e, scale, shape: z / (shape * np.exp(log_e))),
            0.4,
        ),
        Mistake(
            "the slope contains log z where log(z/λ) belongs.",
            weibull_wrong(lambda z, log_e, scale, shape: -z * np.log(z) / shape),
            0.6,
        ),
        Mistake(
            "the factor z is missing from the slope: this is the slope of log z.",
            weibull_wrong(lambda z, log_e, scale, shape: -log_e / shape**2),
            0.6,
        ),
    ),
    TOLERANCE,
    returns=("z", "slope"),
    independent=weibull_independent,
    styles=(
        """def sample(u, scale, shape):
    k = shape.clone().requires_grad_()
    z = scale * (-torch.log1p(-u)).pow(1 / k)
    return z.detach(), torch.autograd.grad(z.sum(), k)[0]""",
        """import numpy as np
def sample(u, scale, shape):
    u, lam, k = (np.asarray(t, dtype=np.float64) for t in (u, scale, shape))
    z = lam * (-np.log1p(-u)) ** (1 / k)
    return z, -z * np.log(z / lam) / k""",
        """def sample(u, scale, shape):
    z, slope = torch.empty_like(u), torch.empty_like(u)
    for n in range(u.shape[0]):
        for j in range(u.shape[1]):
            e = -math.log1p(-float(u[n, j]))
            k = float(shape[n, j])
            z[n, j] = float(scale[n, j]) * e ** (1 / k)
            slope[n, j] = -float(z[n, j]) * math.log(e) / k**2
    return z, slope""",
        """def sample(u, scale, shape):
    draw = lambda k, u, s: s * torch.exp(torch.log(-torch.log1p(-u)) / k)
    slope = torch.func.vmap(torch.func.grad(draw))
    args = shape.double().flatten(), u.double().flatten(), scale.double().flatten()
    return draw(*args).view_as(u), slope(*args).view_as(u)""",
    ),
)

# ---------------------------------------------------------------- Kumaraswamy


def kumaraswamy_inputs(rng, case):
    n, d, u = noise(rng, case)
    low, high = (25, 45) if case == "extreme" else (0.7, 4)
    return {"u": u, "a": rng.uniform(low, high, size=(n, d)), "b": rng.uniform(0.6, 4, size=(n, d))}


def kumaraswamy_from(log_power, a):
    """z and its slope, from the logarithm of z^a."""
    z = np.exp(log_power / a)
    return z, -z * log_power / a**2


def kumaraswamy_log_power(u, b):
    return np.log(-np.expm1(log1p(-u) / b))


def kumaraswamy_reference(u, a, b):
    return kumaraswamy_from(kumaraswamy_log_power(u, b), a)


def kumaraswamy_independent(u, a, b):
    """z^a has a Beta(1, b) distribution; the slope by implicit differentiation of F(z) = u."""
    power = beta_distribution.ppf(u, 1.0, b)
    z = power ** (1 / a)
    rest = (1 - power) ** (b - 1)
    density = a * b * z ** (a - 1) * rest
    return z, -b * rest * power * np.log(z) / density


def kumaraswamy_wrong(change):
    """A mistake in the slope alone, from z, the noise, a and b."""

    def function(u, a, b):
        z, _ = kumaraswamy_reference(u, a, b)
        return z, change(z, u, a, b)

    return function


def slope_by_b(z, u, a, b):
    log_rest = log1p(-u) / b  # log(1 − z^a)
    return z * log_rest / (a * b) / np.expm1(-log_rest)


KUMARASWAMY = Variant(
    "kumaraswamy",
    """## 2. Reparameterization without a Gaussian: Kumaraswamy

The reparameterization trick does not need a Gaussian. Let u be uniform between 0 and 1, and let F be the cumulative
distribution function of the desired distribution. The z with F(z) = u is then a draw from this distribution. For a code
between 0 and 1, such as a probability, the natural choice would be a Beta distribution, but its F(z) = u has no
solution in closed form. The Kumaraswamy distribution is similar and does have a closed-form solution, because

F(z) = 1 − (1 − z^a)^b.

Solve F(z) = u for z, and derive the slope ∂z/∂a of the draw at fixed noise u. The encoder needs this slope for its
gradient.

Write the function `sample(u, a, b)`. Its arguments are the noise `u` and the parameters `a` and `b`, all (N, d). The
function returns z and ∂z/∂a, both (N, d). Your function must also be correct for u around 10^(−30), where 1 − u is
rounded to 1.""",
    '''def sample(u, a, b):
    """Return draws z and slopes ∂z/∂a, both (N, d), for uniform noise u and parameters a and b, all (N, d)."""
    raise NotImplementedError''',
    '''def sample(u, a, b):
    """Return draws z and slopes ∂z/∂a, both (N, d), for uniform noise u and parameters a and b, all (N, d)."""
    power = -torch.expm1(torch.log1p(-u) / b)  # z^a = 1 − (1 − u)^(1/b), without rounding 1 − u
    z = power ** (1 / a)
    slope = -z * power.log() / a**2
    return z, slope''',
    kumaraswamy_inputs,
    kumaraswamy_reference,
    (
        Mistake(
            "precision is lost: for tiny u, 1 − u is rounded to 1. "
            "Use `log1p(-u)`, and `expm1` for e^t − 1.",
            lambda u, a, b: kumaraswamy_from(np.log(1 - (1 - u) ** (1 / b)), a),
            0.6,
        ),
        Mistake(
            "u and 1 − u are swapped: z has the right distribution, "
            "but F(z) is 1 − u instead of u.",
            lambda u, a, b: kumaraswamy_from(np.log(-np.expm1(np.log(u) / b)), a),
            0.7,
        ),
        Mistake(
            "a and b are swapped: b is the outer power in F, and a is the inner one.",
            lambda u, a, b: kumaraswamy_reference(u, b, a),
            0.4,
        ),
        Mistake(
            "the exponents are a and b instead of 1/a and 1/b.",
            lambda u, a, b: kumaraswamy_reference(u, 1 / a, 1 / b),
            0.3,
        ),
        Mistake(
            "the slope has the wrong sign: the derivative of 1/a is −1/a².",
            kumaraswamy_wrong(lambda z, u, a, b: z * np.log(z) / a),
            0.7,
        ),
        Mistake(
            "the slope is taken with respect to b: return ∂z/∂a.",
            kumaraswamy_wrong(slope_by_b),
            0.5,
        ),
        Mistake(
            "the factor z is missing from the slope: this is the slope of log z.",
            kumaraswamy_wrong(lambda z, u, a, b: -np.log(z) / a),
            0.6,
        ),
        Mistake(
            "the slope is taken with respect to 1/a: the factor −1/a² is missing.",
            kumaraswamy_wrong(lambda z, u, a, b: z * a * np.log(z)),
            0.6,
        ),
        Mistake(
            "the factor 1/a is missing from the slope: "
            "log z is log(z^a) / a, which must be divided by a once more.",
            kumaraswamy_wrong(lambda z, u, a, b: -z * np.log(z)),
            0.6,
        ),
        Mistake(
            "the slope is divided by a once too often: log z is already log(z^a) / a.",
            kumaraswamy_wrong(lambda z, u, a, b: -z * np.log(z) / a**2),
            0.6,
        ),
        Mistake(
            "the slope is taken with respect to the base z^a: what varies is a, in the exponent.",
            kumaraswamy_wrong(lambda z, u, a, b: z ** (1 - a) / a),
            0.4,
        ),
    ),
    TOLERANCE,
    returns=("z", "slope"),
    independent=kumaraswamy_independent,
    styles=(
        """def sample(u, a, b):
    a = a.clone().requires_grad_()
    z = torch.exp(torch.log(-torch.expm1(torch.log1p(-u) / b)) / a)
    return z.detach(), torch.autograd.grad(z.sum(), a)[0]""",
        """import numpy as np
def sample(u, a, b):
    u, a, b = (np.asarray(t, dtype=np.float64) for t in (u, a, b))
    z = (-np.expm1(np.log1p(-u) / b)) ** (1 / a)
    return [z, -np.log(z) * z / a]""",
        """def sample(u, a, b):
    z, slope = torch.empty_like(u), torch.empty_like(u)
    for n in range(len(u)):
        for j in range(u.shape[1]):
            power = -math.expm1(math.log1p(-float(u[n, j])) / float(b[n, j]))
            z[n, j] = power ** (1 / float(a[n, j]))
            slope[n, j] = -z[n, j] * math.log(power) / float(a[n, j]) ** 2
    return z, slope""",
        """def sample(u, a, b):
    draw = lambda a, u, b: (-torch.special.expm1(torch.log1p(-u) / b)).pow(1 / a)
    each = torch.func.vmap(torch.func.grad_and_value(draw))
    slope, z = each(a.double().flatten(), u.double().flatten(), b.double().flatten())
    return {"z": z.reshape(u.shape), "slope": slope.reshape(u.shape)}""",
    ),
)

# ---------------------------------------------------------------- a relaxed Bernoulli code


def relaxed_inputs(rng, case):
    n, d, u = noise(rng, case)
    logits = rng.normal(size=(n, d)) * 1.5
    temperature = float(rng.uniform(0.3, 0.8))
    if case == "extreme":
        temperature = float(rng.uniform(0.01, 0.02))
        # here, z is neither 0 nor 1
        logits[:, 1] = -logit(u[:, 1]) + rng.normal(size=n) * temperature
        # both signs, because e^(…/τ) must overflow somewhere
        logits[:, 2] = rng.permutation(np.resize([-60.0, 60.0], n))
    return {"u": u, "logits": logits, "temperature": temperature}


def relaxed_from(total, temperature):
    """z and its slope, from the noisy logit before it is divided by the temperature."""
    t = total / temperature
    return expit(t), expit(t) * expit(-t) / temperature


def relaxed_reference(u, logits, temperature):
    return relaxed_from(logits + np.log(u) - log1p(-u), temperature)


def relaxed_independent(u, logits, temperature):
    """The first of the two entries of a softmax; its slope by automatic differentiation."""
    import torch  # needed to check the key, but not for grading

    pair = np.stack([(logits + np.log(u)) / temperature, log1p(-u) / temperature], axis=-1)
    free = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    first = (free + torch.tensor(np.log(u))) / temperature
    table = torch.stack([first, torch.tensor(pair[..., 1])], -1)
    torch.softmax(table, -1)[..., 0].sum().backward()
    return softmax(pair, axis=-1)[..., 0], free.grad.numpy()


def relaxed_overflowing(u, logits, temperature):
    odds = np.exp((logits + np.log(u) - log1p(-u)) / temperature)
    z = odds / (1 + odds)
    return z, z * (1 - z) / temperature


def relaxed_wrong(change):
    """A mistake in the slope alone, from z, the noisy logit and the temperature."""

    def function(u, logits, temperature):
        z, _ = relaxed_reference(u, logits, temperature)
        return z, change(z, logits + np.log(u) - log1p(-u), temperature)

    return function


RELAXED = Variant(
    "relaxed",
    """## 2. Reparameterization without a Gaussian: nearly binary codes

A binary code b that is 1 with probability sigmoid(l) can be drawn with uniform noise u: b is 1 if l + log(u/(1 − u)) >
0, and 0 otherwise. This step has no useful slope, because it is flat everywhere except at the jump. The *relaxed* code
replaces the step with a sigmoid at a temperature τ:

z = sigmoid((l + log(u/(1 − u))) / τ).

It is between 0 and 1, usually close to one of the two ends if τ is small, and it has a useful slope. Derive the slope
∂z/∂l at fixed noise u. The encoder needs this slope for its gradient.

Write the function `sample(u, logits, temperature)`. Its arguments are the noise `u` and l = `logits`, both (N, d), and
the number τ = `temperature`. The function returns z and ∂z/∂l, both (N, d). Your function must also be correct for τ
around 0.01, for u around 10^(−30) and for logits of about ±70, where e^(…/τ) overflows.""",
    '''def sample(u, logits, temperature):
    """Return relaxed codes z and slopes ∂z/∂logits, both (N, d), for uniform noise u and logits (N, d)."""
    raise NotImplementedError''',
    '''def sample(u, logits, temperature):
    """Return relaxed codes z and slopes ∂z/∂logits, both (N, d), for uniform noise u and logits (N, d)."""
    t = (logits + torch.log(u) - torch.log1p(-u)) / temperature  # (N, d)
    z = torch.sigmoid(t)
    slope = z * torch.sigmoid(-t) / temperature  # 1 − sigmoid(t) is sigmoid(−t)
    return z, slope''',
    relaxed_inputs,
    relaxed_reference,
    (
        Mistake(
            "it overflows: e^t / (1 + e^t) is infinity divided by infinity for large t. "
            "Use `torch.sigmoid`.",
            relaxed_overflowing,
            0.6,
        ),
        Mistake(
            "you multiplied by the temperature: divide by it.",
            lambda u, logits, temperature: relaxed_reference(u, logits, 1 / temperature),
            0.4,
        ),
        Mistake(
            "only the logits are divided by the temperature: the noise must be divided by it too.",
            lambda u, logits, temperature: relaxed_from(
                logits + temperature * (np.log(u) - log1p(-u)), temperature
            ),
            0.4,
        ),
        Mistake(
            "this is the binary code itself: replace the step with a sigmoid.",
            lambda u, logits, temperature: (
                (logits + np.log(u) - log1p(-u) > 0).astype(np.float64),
                np.zeros_like(logits),
            ),
            0.2,
        ),
        Mistake(
            "the noise is −log(−log u), which suits the classes of a softmax: "
            "a single logit needs log(u/(1 − u)).",
            lambda u, logits, temperature: relaxed_from(logits - np.log(-np.log(u)), temperature),
            0.4,
        ),
        Mistake(
            "the slope lacks the factor 1/τ.",
            relaxed_wrong(lambda z, total, temperature: z * expit(-total / temperature)),
            0.6,
        ),
        Mistake(
            "the slope is divided by τ twice: divide by τ only once.",
            relaxed_wrong(
                lambda z, total, temperature: z * expit(-total / temperature) / temperature**2
            ),
            0.6,
        ),
        Mistake(
            "the slope is taken with respect to the temperature: return ∂z/∂l.",
            relaxed_wrong(
                lambda z, total, temperature: (
                    -z * expit(-total / temperature) * total / temperature**2
                )
            ),
            0.5,
        ),
        Mistake(
            "u and 1 − u are swapped: the noise has the right distribution but the wrong sign.",
            lambda u, logits, temperature: relaxed_from(
                logits - np.log(u) + log1p(-u), temperature
            ),
            0.7,
        ),
        Mistake(
            "the slope is just 1/τ: the slope of the sigmoid itself, z(1 − z), is missing.",
            relaxed_wrong(lambda z, total, temperature: np.full_like(z, 1 / temperature)),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("z", "slope"),
    independent=relaxed_independent,
    styles=(
        """def sample(u, logits, temperature):
    free = logits.clone().requires_grad_()
    z = torch.sigmoid((free + torch.logit(u)) / temperature)
    return z.detach(), torch.autograd.grad(z.sum(), free)[0]""",
        """import numpy as np
from scipy.special import expit
def sample(u, logits, temperature):
    u, l = np.asarray(u, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    t = (l + np.log(u) - np.log1p(-u)) / temperature
    return expit(t), expit(t) * (1 - expit(t)) / temperature""",
        """def sample(u, logits, temperature):
    pair = torch.stack([logits + u.log(), torch.log1p(-u)], dim=-1) / temperature
    p = torch.softmax(pair, dim=-1)
    return p[..., 0], p[..., 0] * p[..., 1] / temperature""",
        """def sample(u, logits, temperature):
    z, slope = torch.empty_like(u), torch.empty_like(u)
    for n in range(u.shape[0]):
        for j in range(u.shape[1]):
            v = float(u[n, j])
            t = (float(logits[n, j]) + math.log(v) - math.log1p(-v)) / temperature
            small = math.exp(-abs(t))
            z[n, j] = 1 / (1 + small) if t >= 0 else small / (1 + small)
            slope[n, j] = small / (1 + small) ** 2 / temperature
    return z, slope""",
        """def sample(u, logits, temperature):
    t = ((logits.double() + u.double().log() - (1 - u.double()).log()) / temperature)
    return torch.special.expit(t), torch.func.vmap(torch.func.grad(torch.sigmoid))(t.flatten()).view_as(t) / temperature""",
    ),
)

QUESTION = Question("reparameterize", "sample", 15, (WEIBULL, KUMARASWAMY, RELAXED))
