"""Question 4: penalties on a discriminator's slope, which is derived by hand for given weights.

D is a(x) = v · h(Wx + b) with one hidden layer, so its slope at a point is ∇a(x) = Wᵀ (v ⊙ h'(Wx +
b)): a row of (h'(xWᵀ + b) ⊙ v) W. One-sided penalty: WGAN-LP, Petzka et al. 2018. Perturbed data:
DRAGAN, Kodali et al. 2017, with noise from a normal distribution. Weighted slopes: the regularizer
for the Jensen-Shannon divergence of Roth et al. 2017.
"""

import numpy as np
from scipy.special import expit

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    3e-4, 3e-5, "float32 sums of at most a few dozen products, squared and averaged"
)
FAR = 1500.0  # a hidden unit so far from 0 that its exponential overflows


def network(rng, case, points):
    """Random weights, biases and output weights, of shapes (h, d), (h,) and (h,).

    In the extreme case, some hidden units are far from 0, on both sides. The output weights must
    still be scaled by `with_median_one`.
    """
    hidden = {"small": 3, "large": 12, "extreme": 9}[case]
    w = rng.normal(size=(hidden, points.shape[1]))
    b = rng.normal(size=hidden) * 0.5
    if case == "extreme":
        b[rng.permutation(hidden)[:5]] += FAR * np.array([1, -1, 1, -1, 1])
    return w, b, rng.normal(size=hidden)


def sizes(case):
    return {"small": (4, 3, 2), "large": (17, 23, 6), "extreme": (6, 5, 4)}[case]


def with_median_one(w, b, v, points, derivative):
    """The output weights, scaled so that half of the slopes are longer than 1."""
    return v / np.median(lengths(slopes(points, w, b, v, derivative)))


def slopes(x, w, b, v, derivative):
    """∇a at points x (N, d): (N, d)."""
    return (derivative(x @ w.T + b) * v) @ w


def lengths(rows):
    return np.sqrt((rows**2).sum(1))


def by_torch(x, w, b, v, activation):
    """The logits and slopes by automatic differentiation in float64, one point at a time.

    The shapes are (N,) and (N, d).
    """
    import torch  # needed to check the key, but not for grading

    w, b, v = (torch.as_tensor(part, dtype=torch.float64) for part in (w, b, v))
    logits, found = [], []
    for row in x:
        point = torch.tensor(row, dtype=torch.float64, requires_grad=True)
        logit = v @ activation(w @ point + b)
        logit.backward()
        logits.append(logit.item())
        found.append(point.grad.numpy())
    return np.array(logits), np.array(found)


def naive_sigmoid(a):
    """Mistake: e^a / (1 + e^a), ∞ / ∞ for a large."""
    return np.exp(a) / (1 + np.exp(a))


def naive_tanh(a):
    """Mistake: from exponentials, ∞ / ∞ far on either side."""
    return (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))


OVERFLOWS = (
    "an exponential overflows where a hidden unit is far from 0, which gives NaN: "
    "use torch's own sigmoid, softplus or tanh."
)
NO_DERIVATIVE = (
    "the activation is treated as linear: its derivative at Wx + b belongs between the two layers."
)
NOT_DERIVED = "the activation itself is used where its derivative belongs."
NO_BIAS = "the bias b is missing in the hidden layer."
SHARED = (
    "the slopes are too small by a factor of N: "
    "differentiate the sum of the logits, not their mean."
)
SQUARED = "the squared length is compared with 1: take the square root first."
OF_MEAN = "the slopes are averaged first: take the length of each point's slope, and average last."
SUMMED = "the penalties are added up over the points: take their mean."
TEXT = """A penalty on D's slope keeps D smooth. Here D has one hidden layer, with the weights W (h, d), b (h,) and v (h,), and
its logit is """


def common(points, derivative, activation, price, naive):
    """Mistakes of the variants that return slopes at some points and a penalty on their lengths.

    points: a function from the arguments other than the network's to the points (N, d). price: a
    function of lengths (N,).
    """

    def with_slopes(change):
        """Other slopes from points, w, b, v, with the right price."""

        def function(*, w, b, v, **given):
            found = change(points(**given), w, b, v)
            return found, price(lengths(found)).mean()

        return function

    def with_price(change):
        """The right slopes, with another price."""

        def function(*, w, b, v, **given):
            found = slopes(points(**given), w, b, v, derivative)
            return found, change(found)

        return function

    right = lambda x, w, b, v: slopes(x, w, b, v, derivative)
    return (
        Mistake(OVERFLOWS, with_slopes(lambda x, w, b, v: slopes(x, w, b, v, naive)), 0.6),
        Mistake(NO_DERIVATIVE, with_slopes(lambda x, w, b, v: np.tile(v @ w, (len(x), 1))), 0.2),
        Mistake(NOT_DERIVED, with_slopes(lambda x, w, b, v: slopes(x, w, b, v, activation)), 0.3),
        Mistake(NO_BIAS, with_slopes(lambda x, w, b, v: right(x, w, 0 * b, v)), 0.4),
        Mistake(SHARED, with_slopes(lambda x, w, b, v: right(x, w, b, v) / len(x)), 0.5),
        Mistake(SQUARED, with_price(lambda found: price((found**2).sum(1)).mean()), 0.6),
        Mistake(
            OF_MEAN,
            with_price(lambda found: price(lengths(found.mean(0, keepdims=True))).mean()),
            0.5,
        ),
        Mistake(SUMMED, with_price(lambda found: price(lengths(found)).sum()), 0.7),
        Mistake(
            "one length is computed from all slopes together: "
            "compute one length per point, with `.norm(dim=1)`.",
            with_price(lambda found: price(lengths(found.reshape(1, -1))).mean()),
            0.4,
        ),
        Mistake(
            "the mean is squared: square each point's term first, then take the mean.",
            with_price(lambda found: np.sqrt(price(lengths(found))).mean() ** 2),
            0.5,
        ),
        Mistake(
            "the penalty is not squared: square each point's term.",
            with_price(lambda found: np.sqrt(price(lengths(found))).mean()),
            0.6,
        ),
    )


# ---------------------------------------------------------------- one-sided, between the points


def softplus(a):
    return np.logaddexp(0, a)


def between(real, fake, mix):
    return mix[:, None] * real + (1 - mix[:, None]) * fake


def one_sided_inputs(rng, case):
    n, _, d = sizes(case)
    given = {
        "real": rng.normal(size=(n, d)) + 1,
        "fake": rng.normal(size=(n, d)) - 1,
        "mix": rng.uniform(size=n),
    }
    w, b, v = network(rng, case, given["real"])
    return {**given, "w": w, "b": b, "v": with_median_one(w, b, v, between(**given), expit)}


def one_sided_price(length):
    return np.maximum(0, length - 1) ** 2


def one_sided_reference(real, fake, mix, w, b, v):
    found = slopes(between(real, fake, mix), w, b, v, expit)
    return found, one_sided_price(lengths(found)).mean()


def one_sided_independent(real, fake, mix, w, b, v):
    import torch  # needed to check the key, but not for grading

    found = by_torch(between(real, fake, mix), w, b, v, torch.nn.functional.softplus)[1]
    excess = [max(0.0, float(np.linalg.norm(row)) - 1) for row in found]
    return found, sum(one**2 for one in excess) / len(excess)


def one_sided_elsewhere(points):
    def function(real, fake, mix, w, b, v):
        found = slopes(points(real, fake, mix), w, b, v, expit)
        return found, one_sided_price(lengths(found)).mean()

    return function


def two_sided(real, fake, mix, w, b, v):
    found = slopes(between(real, fake, mix), w, b, v, expit)
    return found, ((lengths(found) - 1) ** 2).mean()


ONE_SIDED = Variant(
    "one_sided",
    f"""## 4. Penalize a slope: one side only

{TEXT}a(x) = v · softplus(Wx + b), with softplus(u) = log(1 + e^u).

1. On paper, derive D's slope ∇a(x), the gradient with respect to x, a vector of d numbers.
2. For each pair of a real and a generated point, take the point mix · real + (1 − mix) · fake, which lies between them.
3. Slopes of length up to 1 are allowed, and only longer ones are penalized: the penalty is the mean over these points
   of max(0, ‖∇a‖ − 1)², with the Euclidean norm ‖·‖.

Write the function `penalty(real, fake, mix, w, b, v)`. Its arguments are real and fake (N, d), mix (N,), and D's
weights. The function returns two results: the slopes at these points (N, d), and the penalty, a number. Your function
must also be correct where elements of Wx + b are about ±1500. You may use automatic differentiation, but you do not
need it.""",
    '''def penalty(real, fake, mix, w, b, v):
    """real, fake (N, d), mix (N,), D's weights w (h, d), b (h,), v (h,) -> slopes (N, d), the penalty."""
    raise NotImplementedError''',
    '''def penalty(real, fake, mix, w, b, v):
    """real, fake (N, d), mix (N,), D's weights w (h, d), b (h,), v (h,) -> slopes (N, d), the penalty."""
    x = mix[:, None] * real + (1 - mix[:, None]) * fake  # (N, d), one point per pair
    derivative = torch.sigmoid(x @ w.T + b)  # (N, h), of softplus
    slopes = (derivative * v) @ w  # (N, d)
    excess = (slopes.norm(dim=1) - 1).clamp(min=0)  # (N,)
    return slopes, excess.square().mean()''',
    one_sided_inputs,
    one_sided_reference,
    (
        *common(between, expit, softplus, one_sided_price, naive_sigmoid),
        Mistake(
            "slopes shorter than 1 are penalized as well: take max(0, ‖∇a‖ − 1).", two_sided, 0.5
        ),
        Mistake(
            "the slopes are taken at the real points: "
            "take them at the points between real and generated ones.",
            one_sided_elsewhere(lambda real, fake, mix: real),
            0.4,
        ),
        Mistake(
            "`mix` and 1 − `mix` are swapped.",
            one_sided_elsewhere(lambda real, fake, mix: between(fake, real, mix)),
            0.7,
        ),
    ),
    TOLERANCE,
    returns=("slopes", "penalty"),
    independent=one_sided_independent,
    styles=(
        """def penalty(real, fake, mix, w, b, v):
    x = torch.lerp(fake, real, mix[:, None]).requires_grad_()
    logit = torch.nn.functional.softplus(x @ w.T + b) @ v
    slopes = torch.autograd.grad(logit.sum(), x)[0]
    return slopes, torch.relu(slopes.norm(dim=1) - 1).pow(2).mean()""",
        """def penalty(real, fake, mix, w, b, v):
    n, d = real.shape
    slopes, total = torch.zeros(n, d), 0.0
    for i in range(n):
        x = mix[i] * real[i] + (1 - mix[i]) * fake[i]
        for j in range(len(b)):
            slopes[i] += v[j] * torch.sigmoid(w[j] @ x + b[j]) * w[j]
        total += max(0.0, math.sqrt(float((slopes[i] ** 2).sum())) - 1) ** 2
    return slopes, total / n""",
        """import numpy as np
from scipy.special import expit
def penalty(real, fake, mix, w, b, v):
    real, fake, mix, w, b, v = (np.asarray(a, dtype=np.float64) for a in (real, fake, mix, w, b, v))
    x = fake + mix[:, None] * (real - fake)
    slopes = np.einsum("nh,h,hd->nd", expit(x @ w.T + b), v, w)
    return slopes, np.mean(np.clip(np.linalg.norm(slopes, axis=1) - 1, 0, None) ** 2)""",
        """def penalty(real, fake, mix, w, b, v):
    w, b, v = w.double(), b.double(), v.double()
    x = mix.double()[:, None] * real.double() + (1 - mix.double()[:, None]) * fake.double()
    logit = lambda point: torch.nn.functional.softplus(w @ point + b) @ v
    slopes = torch.func.vmap(torch.func.grad(logit))(x)
    length = slopes.norm(dim=1)
    return slopes, torch.where(length > 1, (length - 1) ** 2, 0.0).mean()""",
    ),
)

# ---------------------------------------------------------------- around the data


def silu(a):
    return a * expit(a)


def silu_slope(a):
    return expit(a) * (1 + a * expit(-a))


def naive_silu_slope(a):
    return naive_sigmoid(a) * (1 + a * (1 - naive_sigmoid(a)))


def around(real, noise):
    return real + real.std() / 2 * noise


def around_inputs(rng, case):
    n, _, d = sizes(case)
    given = {"real": rng.normal(size=(n, d)) * 1.5 + 1, "noise": rng.normal(size=(n, d))}
    w, b, v = network(rng, case, given["real"])
    return {**given, "w": w, "b": b, "v": with_median_one(w, b, v, around(**given), silu_slope)}


def around_price(length):
    return (length - 1) ** 2


def around_reference(real, noise, w, b, v):
    found = slopes(around(real, noise), w, b, v, silu_slope)
    return found, around_price(lengths(found)).mean()


def around_independent(real, noise, w, b, v):
    import torch  # needed to check the key, but not for grading

    spread = np.sqrt(((real - real.sum() / real.size) ** 2).sum() / real.size)
    found = by_torch(real + 0.5 * spread * noise, w, b, v, torch.nn.functional.silu)[1]
    return found, np.mean([(np.linalg.norm(row) - 1) ** 2 for row in found])


def around_elsewhere(points):
    def function(real, noise, w, b, v):
        found = slopes(points(real, noise), w, b, v, silu_slope)
        return found, around_price(lengths(found)).mean()

    return function


AROUND = Variant(
    "around",
    f"""## 4. Penalize a slope: around the data

{TEXT}a(x) = v · silu(Wx + b), with silu(u) = u σ(u) and the sigmoid σ.

1. On paper, derive D's slope ∇a(x), the gradient with respect to x, a vector of d numbers.
2. Move each real point by its row of `noise` times s/2, where s is the standard deviation of all numbers in `real`
   together: the square root of their mean squared deviation from their common mean.
3. The penalty is the mean over the moved points of (‖∇a‖ − 1)², with the Euclidean norm ‖·‖.

Write the function `penalty(real, noise, w, b, v)`. Its arguments are real and noise (N, d), and D's weights. The
function returns two results: the slopes at the moved points (N, d), and the penalty, a number. Your function must also
be correct where elements of Wx + b are about ±1500. You may use automatic differentiation, but you do not need it.""",
    '''def penalty(real, noise, w, b, v):
    """real, noise (N, d), D's weights w (h, d), b (h,), v (h,) -> slopes (N, d), the penalty."""
    raise NotImplementedError''',
    '''def penalty(real, noise, w, b, v):
    """real, noise (N, d), D's weights w (h, d), b (h,), v (h,) -> slopes (N, d), the penalty."""
    x = real + real.std(correction=0) / 2 * noise  # (N, d)
    hidden = x @ w.T + b  # (N, h)
    s = torch.sigmoid(hidden)
    derivative = s + hidden * s * (1 - s)  # (N, h), of silu, by the product rule
    slopes = (derivative * v) @ w  # (N, d)
    return slopes, (slopes.norm(dim=1) - 1).square().mean()''',
    around_inputs,
    around_reference,
    (
        *common(around, silu_slope, silu, around_price, naive_silu_slope),
        Mistake(
            "the derivative of silu is σ(u) here: "
            "the product rule gives a second term, u σ(u) (1 − σ(u)).",
            lambda real, noise, w, b, v: (
                slopes(around(real, noise), w, b, v, expit),
                around_price(lengths(slopes(around(real, noise), w, b, v, expit))).mean(),
            ),
            0.5,
        ),
        Mistake(
            "the slopes are taken at the real points themselves: move them by the noise first.",
            around_elsewhere(lambda real, noise: real),
            0.4,
        ),
        Mistake(
            "the noise is multiplied by s: multiply it by s/2.",
            around_elsewhere(lambda real, noise: real + real.std() * noise),
            0.6,
        ),
        Mistake(
            "the standard deviation is computed for each column: s is one number, "
            "computed from all numbers in `real`.",
            around_elsewhere(lambda real, noise: real + real.std(0) / 2 * noise),
            0.6,
        ),
        Mistake(
            "the standard deviation divides by the number of values minus 1, as `torch.std` does "
            "by default: divide by the number of values.",
            around_elsewhere(lambda real, noise: real + real.std(ddof=1) / 2 * noise),
            0.9,
        ),
        Mistake(
            "only slopes longer than 1 are penalized: this penalty is two-sided.",
            lambda real, noise, w, b, v: (
                around_reference(real, noise, w, b, v)[0],
                one_sided_price(lengths(around_reference(real, noise, w, b, v)[0])).mean(),
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("slopes", "penalty"),
    independent=around_independent,
    styles=(
        """def penalty(real, noise, w, b, v):
    s = (real - real.mean()).square().mean().sqrt()
    x = (real + s * noise / 2).requires_grad_()
    slopes = torch.autograd.grad((torch.nn.functional.silu(x @ w.T + b) @ v).sum(), x)[0]
    return slopes, ((slopes.norm(dim=1) - 1) ** 2).mean()""",
        """def penalty(real, noise, w, b, v):
    n, d = real.shape
    spread = float(real.std(unbiased=False))
    slopes, total = torch.zeros(n, d), 0.0
    for i in range(n):
        x = real[i] + 0.5 * spread * noise[i]
        for j in range(len(b)):
            u = w[j] @ x + b[j]
            slopes[i] += v[j] * torch.sigmoid(u) * (1 + u * torch.sigmoid(-u)) * w[j]
        total += (math.sqrt(float((slopes[i] ** 2).sum())) - 1) ** 2
    return slopes, total / n""",
        """import numpy as np
from scipy.special import expit
def penalty(real, noise, w, b, v):
    real, noise, w, b, v = (np.asarray(a, dtype=np.float64) for a in (real, noise, w, b, v))
    u = (real + np.std(real) / 2 * noise) @ w.T + b
    slopes = np.einsum("nh,h,hd->nd", expit(u) + u * expit(u) * expit(-u), v, w)
    return slopes, np.mean((np.linalg.norm(slopes, axis=1) - 1) ** 2)""",
        """def penalty(real, noise, w, b, v):
    real, noise, w, b, v = (a.double() for a in (real, noise, w, b, v))
    x = real + torch.var(real, correction=0).sqrt() / 2 * noise
    jacobian = torch.func.jacrev(lambda rows: torch.nn.functional.silu(rows @ w.T + b) @ v)(x)
    slopes = jacobian.diagonal(dim1=0, dim2=1).T
    return slopes, torch.linalg.vector_norm(slopes, dim=1).sub(1).pow(2).mean()""",
    ),
)

# ---------------------------------------------------------------- weighted by D


def tanh_slope(a):
    return 1 - np.tanh(a) ** 2


def weighted_inputs(rng, case):
    n, m, d = sizes(case)
    real, fake = rng.normal(size=(n, d)) + 0.5, rng.normal(size=(m, d)) - 0.5
    w, b, v = network(rng, case, real)
    v = with_median_one(w, b, v, real, tanh_slope)
    v = v * min(1.0, 3 / abs(v).sum())  # logits of at most 3: D is uncertain, every point counts
    return {"real": real, "fake": fake, "w": w, "b": b, "v": v}


def weighted_terms(
    real, fake, w, b, v, *, act=np.tanh, slope=tanh_slope, on_real=None, on_fake=None
):
    """Both terms; on_real and on_fake compute the weight of a point from its logit."""
    on_real = on_real or (lambda a: expit(-a) ** 2)
    on_fake = on_fake or (lambda a: expit(a) ** 2)
    terms = []
    for x, weight in ((real, on_real), (fake, on_fake)):
        logit = act(x @ w.T + b) @ v
        terms.append((weight(logit) * (slopes(x, w, b, v, slope) ** 2).sum(1)).mean())
    return tuple(terms)


def weighted_reference(real, fake, w, b, v):
    return weighted_terms(real, fake, w, b, v)


def weighted_independent(real, fake, w, b, v):
    import torch  # needed to check the key, but not for grading

    terms = []
    for x, sign in ((real, -1), (fake, 1)):
        logit, slope = by_torch(x, w, b, v, torch.tanh)
        terms.append(
            np.mean([np.dot(s, s) / (1 + np.exp(-sign * a)) ** 2 for a, s in zip(logit, slope)])
        )
    return tuple(terms)


def weighted_mistake(sentence, share, **changes):
    return Mistake(sentence, lambda **given: weighted_terms(**given, **changes), share)


WEIGHTED = Variant(
    "weighted",
    f"""## 4. Penalize a slope: where D is wrong

{TEXT}a(x) = v · tanh(Wx + b).

1. On paper, derive D's slope ∇a(x), the gradient with respect to x, a vector of d numbers.
2. A slope should cost most at points about which D(x) = σ(a(x)) is wrong. At a real point it costs
   (1 − D(x))² ‖∇a(x)‖², and at a generated point D(x)² ‖∇a(x)‖², with the Euclidean norm ‖·‖.

Write the function `penalty(real, fake, w, b, v)`. Its arguments are real (N, d), fake (M, d), and D's weights. The
function returns two numbers: the mean cost of the real points and the mean cost of the generated points. Your function
must also be correct where elements of Wx + b are about ±1500. You may use automatic differentiation, but you do not
need it.""",
    '''def penalty(real, fake, w, b, v):
    """real (N, d), fake (M, d), D's weights w (h, d), b (h,), v (h,) -> the mean cost of real points, of fake points."""
    raise NotImplementedError''',
    '''def penalty(real, fake, w, b, v):
    """real (N, d), fake (M, d), D's weights w (h, d), b (h,), v (h,) -> the mean cost of real points, of fake points."""

    def logits_and_squares(x):
        hidden = torch.tanh(x @ w.T + b)  # (N, h)
        slopes = ((1 - hidden**2) * v) @ w  # (N, d), because tanh' = 1 − tanh²
        return hidden @ v, slopes.square().sum(1)  # (N,) each

    real_logit, real_square = logits_and_squares(real)
    fake_logit, fake_square = logits_and_squares(fake)
    on_real = (torch.sigmoid(-real_logit) ** 2 * real_square).mean()
    on_fake = (torch.sigmoid(fake_logit) ** 2 * fake_square).mean()
    return on_real, on_fake''',
    weighted_inputs,
    weighted_reference,
    (
        weighted_mistake(OVERFLOWS, 0.6, act=naive_tanh, slope=lambda a: 1 - naive_tanh(a) ** 2),
        weighted_mistake(NO_DERIVATIVE, 0.2, slope=np.ones_like),
        weighted_mistake(NOT_DERIVED, 0.3, slope=np.tanh),
        weighted_mistake(
            "the derivative of tanh is 1 − tanh²: a square is missing.",
            0.4,
            slope=lambda a: 1 - np.tanh(a),
        ),
        Mistake(NO_BIAS, lambda real, fake, w, b, v: weighted_terms(real, fake, w, 0 * b, v), 0.4),
        weighted_mistake(
            "the factors (1 − D)² and D² are missing: "
            "these are R1 and R2, which give every point the same weight.",
            0.3,
            on_real=np.ones_like,
            on_fake=np.ones_like,
        ),
        weighted_mistake(
            "the factors are swapped: a real point costs most where D is near 0, "
            "a generated one where D is near 1.",
            0.5,
            on_real=lambda a: expit(a) ** 2,
            on_fake=lambda a: expit(-a) ** 2,
        ),
        Mistake(
            "the slope of D = σ(a) is used: differentiate the logit a itself.",
            lambda **given: weighted_terms(
                **given,
                on_real=lambda a: expit(-a) ** 2 * (expit(a) * expit(-a)) ** 2,
                on_fake=lambda a: expit(a) ** 2 * (expit(a) * expit(-a)) ** 2,
            ),
            0.5,
        ),
        weighted_mistake(
            "the factors are not squared: they are (1 − D)² and D².",
            0.6,
            on_real=lambda a: expit(-a),
            on_fake=expit,
        ),
        Mistake(
            "the mean over the dimensions is taken: ‖∇a‖² is a sum of d squares.",
            lambda **given: tuple(part / given["w"].shape[1] for part in weighted_terms(**given)),
            0.6,
        ),
        Mistake(
            "the costs are added up over the points: take the mean over each batch.",
            lambda **given: (
                weighted_terms(**given)[0] * len(given["real"]),
                weighted_terms(**given)[1] * len(given["fake"]),
            ),
            0.7,
        ),
        Mistake(
            "the slopes are too small by a factor of N: "
            "differentiate the sum of the logits, not their mean.",
            lambda **given: (
                weighted_terms(**given)[0] / len(given["real"]) ** 2,
                weighted_terms(**given)[1] / len(given["fake"]) ** 2,
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("on_real", "on_fake"),
    independent=weighted_independent,
    styles=(
        """def penalty(real, fake, w, b, v):
    def cost(x, wrong):
        x = x.clone().requires_grad_()
        logit = torch.tanh(x @ w.T + b) @ v
        slope = torch.autograd.grad(logit.sum(), x)[0]
        return (wrong(logit.detach()) * slope.norm(dim=1) ** 2).mean()
    return cost(real, lambda a: (1 - a.sigmoid()) ** 2), cost(fake, lambda a: a.sigmoid() ** 2)""",
        """def penalty(real, fake, w, b, v):
    costs = []
    for points, label in ((real, 1), (fake, 0)):
        total = 0.0
        for x in points:
            logit, slope = 0.0, torch.zeros(len(x))
            for j in range(len(b)):
                h = torch.tanh(w[j] @ x + b[j])
                logit = logit + v[j] * h
                slope = slope + v[j] * (1 - h * h) * w[j]
            total = total + (label - torch.sigmoid(logit)) ** 2 * (slope @ slope)
        costs.append(total / len(points))
    return costs""",
        """import numpy as np
def penalty(real, fake, w, b, v):
    real, fake, w, b, v = (np.asarray(a, dtype=np.float64) for a in (real, fake, w, b, v))
    def cost(x, sign):
        h = np.tanh(x @ w.T + b)
        d = 1 / (1 + np.exp(-sign * (h @ v)))
        slope = np.einsum("nh,h,hd->nd", 1 - h**2, v, w)
        return np.mean(d**2 * np.einsum("nd,nd->n", slope, slope))
    return cost(real, -1), cost(fake, 1)""",
        """def penalty(real, fake, w, b, v):
    w, b, v = w.double(), b.double(), v.double()
    logit = lambda x: torch.tanh(w @ x + b) @ v
    def cost(x, label):
        a = torch.func.vmap(logit)(x)
        slope = torch.func.vmap(torch.func.grad(logit))(x)
        return ((label - torch.sigmoid(a)) ** 2 * (slope**2).sum(1)).mean()
    return cost(real.double(), 1.0), cost(fake.double(), 0.0)""",
    ),
)

QUESTION = Question("penalty", "penalty", 15, (ONE_SIDED, AROUND, WEIGHTED))
