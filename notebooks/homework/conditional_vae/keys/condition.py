"""Question 1: three ways to feed a label into a network, each as a function from arrays to arrays.

Sources: FiLM, Perez et al. 2018; classifier-free guidance, Ho & Salimans 2022; weights that depend
on a label, Ha et al. 2017 (hypernetworks). A label of −1 means that the label is unknown.
"""

import numpy as np
from scipy.special import log_expit, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 2e-5, "float32 sums of at most two dozen terms, through one smooth function"
)


def labels(rng, n, classes):
    """Labels of n rows; at least one is known and at least one unknown."""
    y = rng.integers(0, classes, size=n)
    y[1::3] = -1
    return y


# ---------------------------------------------------------------- scale and shift


def softplus(a):
    return np.logaddexp(0, a)


def film_inputs(rng, case):
    n, h, classes = {"small": (4, 3, 2), "large": (9, 6, 5), "extreme": (7, 4, 3)}[case]
    size = 1500.0 if case == "extreme" else 1.0
    return {
        "h": size * rng.normal(size=(n, h)),
        "y": labels(rng, n, classes),
        "scale": rng.normal(size=(classes, h)),
        "shift": rng.normal(size=(classes, h)) + 1.0,
    }


def film_modulation(h, y, scale, shift):
    """The numbers before the softplus."""
    known = (y >= 0)[:, None]
    return h * (1 + np.where(known, scale[y], 0)) + np.where(known, shift[y], 0)


def film_reference(h, y, scale, shift):
    return softplus(film_modulation(h, y, scale, shift))


def film_independent(h, y, scale, shift):
    """One-hot rows, all zeros for an unknown label, and matrix products."""
    import torch  # needed to check the key, but not for grading

    hot = torch.tensor(y[:, None] == np.arange(len(scale)), dtype=torch.float64)
    gamma, beta = hot @ torch.tensor(scale), hot @ torch.tensor(shift)
    return torch.nn.Softplus(threshold=40)(torch.addcmul(beta, torch.tensor(h), 1 + gamma)).numpy()


FILM = Variant(
    "film",
    """## 1. A label that scales and shifts

Appending a one-hot vector to the input is not the only way to tell a network the label. In *FiLM* (feature-wise linear
modulation), each label y has a scale γ_y and a shift β_y for every hidden unit. They turn the unit's value h into
(1 + γ_y)·h + β_y. The activation comes afterwards; here it is the softplus, log(1 + e^a).

Write the function `conditioned(h, y, scale, shift)`. Its arguments are hidden units h (N, H), labels y (N,), and the
tables `scale` and `shift` (C, H) of γ and β. The function returns the activations (N, H). A label of −1 means that the
label is unknown: in that case, h is neither scaled nor shifted, and only the softplus is applied. Your function must
also be correct where hidden units are in the thousands, positive or negative.""",
    '''def conditioned(h, y, scale, shift):
    """h (N, H), labels y (N,), scale, shift (C, H) -> activations (N, H)."""
    raise NotImplementedError''',
    '''def conditioned(h, y, scale, shift):
    """h (N, H), labels y (N,), scale, shift (C, H) -> activations (N, H)."""
    known = (y >= 0).float()[:, None]  # (N, 1)
    row = y.clamp(min=0)  # where the label is unknown, any row can be used
    a = (1 + known * scale[row]) * h + known * shift[row]  # (N, H)
    return F.softplus(a)''',
    film_inputs,
    film_reference,
    (
        Mistake(
            "e^a overflows for large a: use a softplus that is safe for large numbers.",
            lambda h, y, scale, shift: np.log1p(np.exp(film_modulation(h, y, scale, shift))),
            0.6,
        ),
        Mistake(
            "an index of −1 picks the last row of the table: an unknown label must change nothing.",
            lambda h, y, scale, shift: softplus((1 + scale[y]) * h + shift[y]),
            0.5,
        ),
        Mistake(
            "h is multiplied by γ: the factor is 1 + γ, so that a scale of 0 changes nothing.",
            lambda h, y, scale, shift: film_reference(h, y, scale - 1, shift),
            0.5,
        ),
        Mistake(
            "an unknown label gets γ = 1, which doubles h: "
            "the factor is 1 + γ, so γ = 0 changes nothing.",
            lambda h, y, scale, shift: softplus(
                h * (1 + np.where((y >= 0)[:, None], scale[y], 1))
                + np.where((y >= 0)[:, None], shift[y], 0)
            ),
            0.6,
        ),
        Mistake(
            "an unknown label is treated as label 0: it must change nothing.",
            lambda h, y, scale, shift: film_reference(h, np.maximum(y, 0), scale, shift),
            0.5,
        ),
        Mistake(
            "the shift is added before h is scaled: scale first, then shift.",
            lambda h, y, scale, shift: softplus(
                (1 + np.where((y >= 0)[:, None], scale[y], 0))
                * (h + np.where((y >= 0)[:, None], shift[y], 0))
            ),
            0.5,
        ),
        Mistake(
            "the softplus is missing.",
            film_modulation,
            0.5,
        ),
        Mistake(
            "the softplus is applied before the scale and the shift: it comes last.",
            lambda h, y, scale, shift: film_modulation(softplus(h), y, scale, shift),
            0.4,
        ),
        Mistake(
            "rows without a label are set to 0: apply the softplus to them as to all other rows.",
            lambda h, y, scale, shift: np.where(
                (y >= 0)[:, None], film_reference(h, y, scale, shift), 0.0
            ),
            0.6,
        ),
        Mistake(
            "the scale and the shift are swapped.",
            lambda h, y, scale, shift: film_reference(h, y, shift, scale),
            0.5,
        ),
        Mistake(
            "this is a ReLU: the softplus is smooth and positive everywhere.",
            lambda h, y, scale, shift: np.maximum(film_modulation(h, y, scale, shift), 0.0),
            0.5,
        ),
    ),
    TOLERANCE,
    independent=film_independent,
    styles=(
        """def conditioned(h, y, scale, shift):
    rows = []
    for n in range(len(h)):
        c = int(y[n])
        a = h[n] if c < 0 else h[n] * (1 + scale[c]) + shift[c]
        rows.append(torch.logaddexp(a, torch.zeros_like(a)))
    return torch.stack(rows)""",
        """def conditioned(h, y, scale, shift):
    zero = torch.zeros(1, scale.shape[1])
    gamma = torch.cat([scale, zero])[y]  # −1 finds the row of zeros
    beta = torch.cat([shift, zero])[y]
    return torch.nn.Softplus()(torch.addcmul(beta, 1 + gamma, h))""",
        """import numpy as np
def conditioned(h, y, scale, shift):
    h, scale, shift = (np.asarray(a, dtype=np.float64) for a in (h, scale, shift))
    y = np.asarray(y)
    hot = (y[:, None] == np.arange(len(scale))).astype(float)
    a = (1 + hot @ scale) * h + hot @ shift
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))""",
        """def conditioned(h, y, scale, shift):
    hot = F.one_hot(y + 1, len(scale) + 1)[:, 1:].to(h.dtype)  # an unknown label is a row of zeros
    a = h + torch.einsum("nc,ch,nh->nh", hot, scale, h) + torch.einsum("nc,ch->nh", hot, shift)
    return a.relu() + (-a.abs()).exp().log1p()""",
        """def conditioned(h, y, scale, shift):
    a = h.double().clone()
    for c in range(len(scale)):
        a[y == c] = a[y == c] * (1 + scale[c].double()) + shift[c].double()
    return -F.logsigmoid(-a)""",
    ),
)

# ---------------------------------------------------------------- guidance with an "unknown" token


def guided_inputs(rng, case):
    """Draw the extreme case again until σ of some logit underflows even in float64."""
    while True:
        arguments = guided_draw(rng, case)
        told, untold = two_logits(**without_strength(arguments))
        if case != "extreme" or right_way(told, untold, arguments["strength"]).min() < -1500:
            return arguments


def without_strength(arguments):
    return {name: value for name, value in arguments.items() if name != "strength"}


def guided_draw(rng, case):
    n, d, e, h, pixels, classes = {
        "small": (4, 2, 2, 3, 2, 3),
        "large": (8, 3, 4, 6, 5, 6),
        "extreme": (6, 4, 3, 5, 4, 2),
    }[case]
    return {
        "z": rng.normal(size=(n, d)),
        "y": labels(rng, n, classes),
        "strength": float(rng.uniform(1000, 1500) if case == "extreme" else rng.uniform(1.5, 3)),
        "table": rng.normal(size=(classes + 1, e)),
        "inner": rng.normal(size=(h, d + e)),
        "outer": rng.normal(size=(pixels, h)) * (3 if case == "extreme" else 1),
    }


def decoder(z, embedding, inner, outer):
    return np.tanh(np.concatenate([z, embedding], 1) @ inner.T) @ outer.T  # (N, D)


def two_logits(z, y, table, inner, outer):
    """The decoder's logits with the label and without it."""
    told = decoder(z, table[y + 1], inner, outer)
    untold = decoder(z, np.repeat(table[:1], len(z), 0), inner, outer)
    return told, untold


def guided(combine, last=log_expit):
    """The answer if the two sets of logits are combined in another way."""

    def function(z, y, strength, table, inner, outer):
        return last(combine(*two_logits(z, y, table, inner, outer), strength))

    return function


def right_way(told, untold, w):
    return untold + w * (told - untold)


guided_reference = guided(right_way)


def guided_independent(z, y, strength, table, inner, outer):
    """The answer row by row: the inner weights act on z and on the label separately."""
    d = z.shape[1]
    rows = []
    for code, label in zip(z, y):
        of_code = inner[:, :d] @ code
        low = outer @ np.tanh(of_code + inner[:, d:] @ table[0])
        high = outer @ np.tanh(of_code + inner[:, d:] @ table[label + 1])
        rows.append(-np.logaddexp(0, -((1 - strength) * low + strength * high)))
    return np.stack(rows)


def swapped(inner, d):
    """The weights that act on [z, e] as `inner` acts on [e, z]."""
    e = inner.shape[1] - d
    return np.concatenate([inner[:, e:], inner[:, :e]], 1)


def mixed_embeddings(z, y, strength, table, inner, outer):
    mixed = table[:1] + strength * (table[y + 1] - table[:1])
    return log_expit(decoder(z, mixed, inner, outer))


GUIDED = Variant(
    "guided",
    """## 1. A decoder that exaggerates its label

A decoder receives the label as a vector, its *embedding*, appended to the code z. Row 0 of `table` (C + 1, e) is the
embedding of a token that means "label unknown"; row 1 + c is the embedding of label c. The decoder's logits are

f(z, y) = outer · tanh(inner · [z, e_y]), where e_y is the embedding of y.

Such a decoder can be run twice, once with the label and once with the token, and the difference shows what the label
does. *Guidance* with strength w makes this difference w times as large: the guided logits are
f(z, ?) + w·(f(z, y) − f(z, ?)), where ? is the token.

Write the function `conditioned(z, y, strength, table, inner, outer)`. Its arguments are codes z (N, d), labels y (N,),
a number w = `strength`, `table` (C + 1, e), `inner` (H, d + e) and `outer` (D, H). The function returns the *logarithm*
of each pixel's probability of being white, (N, D), which is log σ of the guided logits. A label of −1 means that the
label is unknown: use the token in that case. Your function must also be correct where guided logits are in the
thousands, positive or negative.""",
    '''def conditioned(z, y, strength, table, inner, outer):
    """z (N, d), labels y (N,), strength, table (C + 1, e), inner (H, d + e), outer (D, H) -> log P(white), (N, D)."""
    raise NotImplementedError''',
    '''def conditioned(z, y, strength, table, inner, outer):
    """z (N, d), labels y (N,), strength, table (C + 1, e), inner (H, d + e), outer (D, H) -> log P(white), (N, D)."""

    def logits(rows):
        e = table[rows]  # (N, e)
        return torch.tanh(torch.cat([z, e], dim=1) @ inner.T) @ outer.T  # (N, D)

    told, untold = logits(y + 1), logits(torch.zeros_like(y))
    return F.logsigmoid(untold + strength * (told - untold))''',
    guided_inputs,
    guided_reference,
    (
        Mistake(
            "σ of a very negative logit underflows to 0, and its logarithm is −∞: "
            "use a log-sigmoid.",
            guided(right_way, lambda a: np.log(1 / (1 + np.exp(-a)))),
            0.6,
        ),
        Mistake(
            "label c is looked up in row c: row 0 is the token, so label c is in row 1 + c.",
            lambda z, y, strength, table, inner, outer: log_expit(
                right_way(
                    decoder(z, table[y], inner, outer),
                    decoder(z, np.repeat(table[:1], len(z), 0), inner, outer),
                    strength,
                )
            ),
            0.4,
        ),
        Mistake(
            "the logits with and without the label are swapped: w = 1 must give f(z, y), "
            "and w = 0 must give f(z, ?).",
            guided(lambda told, untold, w: told + w * (untold - told)),
            0.5,
        ),
        Mistake(
            "the strength has no effect: only the logits with the label are used.",
            guided(lambda told, untold, w: told),
            0.2,
        ),
        Mistake(
            "the embeddings are combined: run the network on each embedding, "
            "and combine the logits.",
            mixed_embeddings,
            0.4,
        ),
        Mistake(
            "the logits with the label are multiplied by w: "
            "multiply only the difference from the logits without the label.",
            guided(lambda told, untold, w: w * told),
            0.3,
        ),
        Mistake(
            "the difference is multiplied by 1 + w: "
            "here w = 1, not w = 0, leaves the decoder as it is.",
            guided(lambda told, untold, w: (1 + w) * told - w * untold),
            0.6,
        ),
        Mistake(
            "the embedding comes before z: `inner` expects z first.",
            lambda z, y, strength, table, inner, outer: guided_reference(
                z, y, strength, table, swapped(inner, z.shape[1]), outer
            ),
            0.6,
        ),
        Mistake(
            "these are the logits: return log σ of them.",
            guided(right_way, lambda a: a),
            0.6,
        ),
        Mistake(
            "these are probabilities: return their logarithms.",
            guided(right_way, lambda a: np.exp(log_expit(a))),
            0.6,
        ),
        Mistake(
            "this is the logarithm of the probability of being black: return that of being white.",
            guided(right_way, lambda a: log_expit(-a)),
            0.6,
        ),
        Mistake(
            "the logits without the label are missing from the sum: "
            "f(z, ?) + w·(f(z, y) − f(z, ?)).",
            guided(lambda told, untold, w: w * (told - untold)),
            0.5,
        ),
    ),
    Tolerance(
        2e-4,
        3e-5,
        "float32 differences of two logits, multiplied by a thousand, "
        "relative to the largest number",
    ),
    independent=guided_independent,
    styles=(
        """def conditioned(z, y, strength, table, inner, outer):
    result = torch.empty(len(z), len(outer))
    for n in range(len(z)):
        untold = outer @ torch.tanh(inner @ torch.cat([z[n], table[0]]))
        told = outer @ torch.tanh(inner @ torch.cat([z[n], table[int(y[n]) + 1]]))
        result[n] = F.logsigmoid((1 - strength) * untold + strength * told)
    return result""",
        """import numpy as np
def conditioned(z, y, strength, table, inner, outer):
    z, table, inner, outer = (np.asarray(a, dtype=np.float64) for a in (z, table, inner, outer))
    y = np.asarray(y)
    f = lambda e: np.tanh(np.hstack([z, e]) @ inner.T) @ outer.T
    untold = f(np.tile(table[0], (len(z), 1)))
    logits = untold + strength * (f(table[y + 1]) - untold)
    return np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))""",
        """def conditioned(z, y, strength, table, inner, outer):
    hot = F.one_hot(y + 1, len(table)).to(z.dtype)
    token = torch.zeros_like(hot)
    token[:, 0] = 1
    e = torch.stack([token, hot]) @ table  # (2, N, e)
    both = torch.cat([z.expand(2, -1, -1), e], -1)
    untold, told = torch.einsum("ph,hi,tni->tnp", outer, torch.eye(len(inner)), torch.tanh(both @ inner.T))
    return -F.softplus(-torch.lerp(untold, told, strength))""",
        """def conditioned(z, y, strength, table, inner, outer):
    z, table, inner, outer = z.double(), table.double(), inner.double(), outer.double()
    def one(code, e):
        def f(e):
            return outer @ torch.tanh(inner @ torch.cat([code, e]))
        return strength * f(e) - (strength - 1) * f(table[0])
    logits = torch.func.vmap(one)(z, table[y + 1])
    white = torch.ones_like(logits)
    return torch.distributions.Bernoulli(logits=logits).log_prob(white)""",
    ),
)

# ---------------------------------------------------------------- soft labels, and weights by label


def soft_inputs(rng, case):
    n, d, h, classes = {"small": (4, 2, 3, 3), "large": (9, 4, 5, 6), "extreme": (6, 3, 4, 5)}[case]
    logits = rng.normal(size=(n, classes))
    if case == "extreme":
        logits = logits + rng.choice([-3000.0, 3000.0], size=(n, 1))
    return {
        "z": rng.normal(size=(n, d)),
        "logits": logits,
        "weight": rng.normal(size=(classes, h, d)) * 0.7,
        "bias": rng.normal(size=(classes, h)) * 0.7,
    }


def each_label(z, weight, bias):
    """The output of each label's own layer before the tanh, (N, C, H)."""
    return np.einsum("chd,nd->nch", weight, z) + bias


def soft_mixture(p_of):
    """The answer for other proportions of the labels."""
    return lambda z, logits, weight, bias: np.tanh(
        np.einsum("nc,nch->nh", p_of(logits), each_label(z, weight, bias))
    )


soft_reference = soft_mixture(lambda logits: softmax(logits, axis=1))


def soft_independent(z, logits, weight, bias):
    """The same answer, by linearity, from weights that are mixed before they are applied."""
    import torch  # needed to check the key, but not for grading

    shares = torch.distributions.Categorical(logits=torch.tensor(logits)).probs
    rows = []
    for code, p in zip(torch.tensor(z), shares):
        own_weight = torch.tensordot(p, torch.tensor(weight), 1)
        rows.append(torch.tanh(own_weight @ code + p @ torch.tensor(bias)))
    return torch.stack(rows).numpy()


SOFT = Variant(
    "soft",
    """## 1. A layer whose weights depend on the label

Let every label c have its own layer, with weights W_c (H, d) and bias b_c (H,). Often the label is uncertain: a
classifier gives logits, and their softmax gives the probabilities p_c of the labels. Such a *soft label* mixes the
layers, both weights and biases, in the proportions p_c. The activation comes afterwards; here it is tanh:

h = tanh( Σ_c p_c · (W_c z + b_c) ).

Write the function `conditioned(z, logits, weight, bias)`. Its arguments are codes z (N, d), `logits` (N, C), `weight`
(C, H, d) and `bias` (C, H). The function returns h (N, H). Your function must also be correct where the logits are in
the thousands, positive or negative.""",
    '''def conditioned(z, logits, weight, bias):
    """z (N, d), logits (N, C) of the labels, weight (C, H, d), bias (C, H) -> h, (N, H)."""
    raise NotImplementedError''',
    '''def conditioned(z, logits, weight, bias):
    """z (N, d), logits (N, C) of the labels, weight (C, H, d), bias (C, H) -> h, (N, H)."""
    p = torch.softmax(logits, dim=1)  # (N, C)
    each = torch.einsum("chd,nd->nch", weight, z) + bias  # (N, C, H), one layer per label
    return torch.tanh(torch.einsum("nc,nch->nh", p, each))''',
    soft_inputs,
    soft_reference,
    (
        Mistake(
            "it overflows or divides 0 by 0: "
            "subtract the largest logit before you exponentiate, or use a softmax.",
            soft_mixture(lambda logits: np.exp(logits) / np.exp(logits).sum(1, keepdims=True)),
            0.6,
        ),
        Mistake(
            "only the most probable label is used: a soft label mixes all of them.",
            soft_mixture(lambda logits: np.eye(logits.shape[1])[logits.argmax(1)]),
            0.4,
        ),
        Mistake(
            "the softmax runs over the rows: "
            "the labels' probabilities in each row must add up to 1.",
            soft_mixture(lambda logits: softmax(logits, axis=0)),
            0.4,
        ),
        Mistake(
            "each logit goes through a sigmoid: "
            "take a softmax, so that the labels' probabilities add up to 1.",
            soft_mixture(lambda logits: np.exp(log_expit(logits))),
            0.4,
        ),
        Mistake(
            "the biases are missing: they are mixed like the weights.",
            lambda z, logits, weight, bias: soft_reference(z, logits, weight, 0 * bias),
            0.5,
        ),
        Mistake(
            "all biases are added in full: they are mixed like the weights.",
            lambda z, logits, weight, bias: np.tanh(
                np.einsum("nc,nch->nh", softmax(logits, axis=1), each_label(z, weight, 0 * bias))
                + bias.sum(0)
            ),
            0.5,
        ),
        Mistake(
            "tanh is applied to each label's layer: mix first, and apply the activation last.",
            lambda z, logits, weight, bias: np.einsum(
                "nc,nch->nh", softmax(logits, axis=1), np.tanh(each_label(z, weight, bias))
            ),
            0.4,
        ),
        Mistake(
            "all labels get the same weight: weight them by a softmax of the logits.",
            soft_mixture(lambda logits: np.full(logits.shape, 1 / logits.shape[1])),
            0.2,
        ),
        Mistake(
            "the logits themselves are used as proportions: take their softmax.",
            soft_mixture(lambda logits: logits),
            0.3,
        ),
        Mistake(
            "the tanh is missing.",
            lambda z, logits, weight, bias: np.einsum(
                "nc,nch->nh", softmax(logits, axis=1), each_label(z, weight, bias)
            ),
            0.6,
        ),
    ),
    TOLERANCE,
    independent=soft_independent,
    styles=(
        """def conditioned(z, logits, weight, bias):
    p = logits.softmax(-1)
    result = torch.zeros(len(z), weight.shape[1])
    for n in range(len(z)):
        for c in range(len(weight)):
            result[n] += p[n, c] * (weight[c] @ z[n] + bias[c])
    return result.tanh()""",
        """def conditioned(z, logits, weight, bias):
    p = torch.exp(logits - torch.logsumexp(logits, 1, keepdim=True))
    own = torch.tensordot(p, weight, dims=1)  # (N, H, d)
    return torch.tanh(torch.bmm(own, z[:, :, None])[:, :, 0] + p @ bias)""",
        """import numpy as np
def conditioned(z, logits, weight, bias):
    z, s, weight, bias = (np.asarray(a, dtype=np.float64) for a in (z, logits, weight, bias))
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.tanh(np.einsum("nc,chd,nd->nh", p, weight, z) + p @ bias)""",
        """def conditioned(z, logits, weight, bias):
    def one(code, s):
        p = torch.softmax(s, 0)
        return torch.tanh(torch.einsum("c,chd,d->h", p, weight, code) + p @ bias)
    return torch.func.vmap(one)(z, logits)""",
        """def conditioned(z, logits, weight, bias):
    p = torch.distributions.Categorical(logits=logits).probs
    inputs = torch.cat([z, torch.ones(len(z), 1)], 1)  # the bias is one more column of the weights
    w = torch.cat([weight, bias[:, :, None]], 2)
    pairs = p[:, :, None] * inputs[:, None, :]  # (N, C, d + 1), one outer product per row
    return torch.tanh(pairs.flatten(1) @ w.permute(0, 2, 1).flatten(0, 1))""",
    ),
)

QUESTION = Question("condition", "conditioned", 14, (FILM, GUIDED, SOFT))
