"""Question 3: the bound for images whose label is unknown, or known only in part.

If y is not observed, it is one more latent variable, and the encoder gets a classifier q(y|x) in
addition to q(z|x, y). Because y is discrete, the sum over y is exact. Source: Kingma et al. 2014,
equations 7 to 9 (the model M2). With A_c = L(x, c) + log P(c) the bound is also log Σ_c e^(A_c) −
KL(q(y|x) ‖ softmax(A)), which gives the independent answers.
"""

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    2e-4, 2e-5, "float32 sums of a dozen terms; the largest number decides the rounding"
)


def common(rng, case):
    """The table of bounds (N, C), the classifier's logits (N, C) and the prior (C,)."""
    n, classes = {"small": (5, 3), "large": (11, 7), "extreme": (8, 5)}[case]
    table, logits = rng.normal(size=(n, classes)) * 2 - 9, rng.normal(size=(n, classes)) * 1.5
    if case == "extreme":  # images of many pixels, and a classifier that is certain
        table = table * 5 - 2500
        logits[:, 0] -= 3000.0
    return {"bound": table, "logits": logits, "prior": rng.dirichlet(np.full(classes, 3.0))}


def entropy_of(logits):
    log_q = log_softmax(logits, axis=1)
    return -(np.exp(log_q) * log_q).sum(1)


def average(bound, logits, prior):
    """U(x) = Σ_c q(c|x) [L(x, c) + log P(c) − log q(c|x)], (N,)."""
    return (softmax(logits, axis=1) * (bound + np.log(prior))).sum(1) + entropy_of(logits)


def from_above(bound, logits, prior):
    """The same bound, as log P of the mixture of all labels
    minus the KL from q(y|x) to the mixture's posterior.
    """
    import torch  # needed to check the key, but not for grading

    joint = torch.tensor(bound) + torch.tensor(prior).log()
    q, best = (torch.distributions.Categorical(logits=a) for a in (torch.tensor(logits), joint))
    return (joint.logsumexp(1) - torch.distributions.kl_divergence(q, best)).numpy()


def underflowing(bound, logits, prior):
    q = softmax(logits, axis=1)
    return (q * (bound + np.log(prior) - np.log(q))).sum(1)


def no_prior(bound, logits, prior):
    return average(bound, logits, np.ones_like(prior))


def no_entropy(bound, logits, prior):
    return average(bound, logits, prior) - entropy_of(logits)


def entropy_subtracted(bound, logits, prior):
    return average(bound, logits, prior) - 2 * entropy_of(logits)


def likeliest_only(bound, logits, prior):
    rows, best = np.arange(len(logits)), logits.argmax(1)
    return (bound + np.log(prior) - log_softmax(logits, axis=1))[rows, best]


def log_outside(bound, logits, prior):
    return logsumexp(bound + log_softmax(logits, axis=1), axis=1)


def no_classifier(bound, logits, prior):
    return logsumexp(bound + np.log(prior), axis=1)


def labels_alike(bound, logits, prior):
    return (bound + np.log(prior) - log_softmax(logits, axis=1)).mean(1)


# ---------------------------------------------------------------- no label at all


def negative(function):
    return lambda *arguments, **named: -function(*arguments, **named)


def mean_of(function):
    return lambda *arguments, **named: function(*arguments, **named).mean()


AVERAGE = Variant(
    "average",
    """## 3. An image without a label

Labels are expensive; images are cheap. For an image without a label, y is one more latent variable, and the encoder
gets a second part: a classifier q(y|x). The evidence lower bound, with the pair (y, z) in place of z, becomes

log P(x) ≥ U(x) = Σ_y q(y|x) · [ L(x, y) + log P(y) − log q(y|x) ],

where L(x, y) is the conditional VAE's bound on log P(x|y). The sum has only C terms, so y need not be drawn. The
terms −q(y|x) · log q(y|x) add up to the entropy of q(y|x).

Write the function `semi_supervised(bound, logits, prior)`. Its arguments are the table `bound` (N, C) of L(x, y) for
every image and label, the classifier's `logits` (N, C), whose softmax is q(y|x), and the labels' prior probabilities
`prior` (C,). The function returns U(x) for each image (N,), in nats. Your function must also be correct where q(y|x)
underflows to 0.""",
    '''def semi_supervised(bound, logits, prior):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,) -> U(x), (N,), in nats."""
    raise NotImplementedError''',
    '''def semi_supervised(bound, logits, prior):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,) -> U(x), (N,), in nats."""
    log_q = torch.log_softmax(logits, dim=1)  # (N, C), finite where q itself underflows
    return (log_q.exp() * (bound + prior.log() - log_q)).sum(1)''',
    common,
    average,
    (
        Mistake(
            "0 times the logarithm of 0: q(y|x) underflows. Get log q from a log-softmax.",
            underflowing,
            0.6,
        ),
        Mistake("the prior is missing: log P(y) belongs inside the sum.", no_prior, 0.5),
        Mistake("the entropy of q(y|x) is missing.", no_entropy, 0.4),
        Mistake(
            "the entropy of q(y|x) is subtracted: it is added, through the term −log q.",
            entropy_subtracted,
            0.5,
        ),
        Mistake(
            "only the classifier's most probable label is used: "
            "the bound is a mean over all labels.",
            likeliest_only,
            0.3,
        ),
        Mistake(
            "the logarithm is taken outside the sum over y: "
            "q(y|x) weights logarithms, not probabilities.",
            log_outside,
            0.2,
        ),
        Mistake(
            "the classifier has no effect: this is the bound with the best possible q(y|x), "
            "not with the given one.",
            no_classifier,
            0.3,
        ),
        Mistake("all labels get the same weight: weight label y by q(y|x).", labels_alike, 0.2),
        Mistake(
            "the softmax runs over the images: "
            "for each image, the labels' probabilities must add up to 1.",
            lambda bound, logits, prior: (
                softmax(logits, axis=0) * (bound + np.log(prior) - log_softmax(logits, axis=0))
            ).sum(1),
            0.4,
        ),
        Mistake(
            "P(y) is added: add its logarithm.",
            lambda bound, logits, prior: average(bound, logits, np.exp(prior)),
            0.5,
        ),
        Mistake("the sign is flipped: return the bound, not a loss.", negative(average), 0.7),
        Mistake(
            "the mean over the images is taken: return one number per image.", mean_of(average), 0.7
        ),
    ),
    TOLERANCE,
    independent=from_above,
    styles=(
        """def semi_supervised(bound, logits, prior):
    q = torch.distributions.Categorical(logits=logits)
    return (q.probs * (bound + prior.log())).sum(-1) + q.entropy()""",
        """def semi_supervised(bound, logits, prior):
    result = []
    for n in range(len(bound)):
        log_q = logits[n] - torch.logsumexp(logits[n], 0)
        total = 0.0
        for c in range(len(prior)):
            total = total + torch.exp(log_q[c]) * (bound[n, c] + math.log(prior[c]) - log_q[c])
        result.append(total)
    return torch.stack(result)""",
        """import numpy as np
from scipy.special import softmax, entr
def semi_supervised(bound, logits, prior):
    a, s, p = (np.asarray(t, dtype=np.float64) for t in (bound, logits, prior))
    q = softmax(s, axis=1)
    return np.einsum("nc,nc->n", q, a) + q @ np.log(p) + entr(q).sum(axis=1)""",
        """def semi_supervised(bound, logits, prior):
    joint = bound.double() + prior.double().log()
    log_q = F.log_softmax(logits.double(), 1)
    log_best = F.log_softmax(joint, 1)
    return joint.logsumexp(1) - F.kl_div(log_best, log_q, log_target=True, reduction="none").sum(1)""",
        """def semi_supervised(bound, logits, prior):
    def one(row, s):
        q = torch.softmax(s, 0)
        return torch.dot(q, row + torch.log(prior)) + torch.logsumexp(s, 0) - torch.dot(q, s)
    return torch.func.vmap(one)(bound, logits)""",
    ),
)

# ---------------------------------------------------------------- some labels known, some not


def mixed_inputs(rng, case):
    arguments = common(rng, case)
    n, classes = arguments["bound"].shape
    y = rng.integers(0, classes, size=n)
    y[::2] = -1
    y[1] = 0  # in the extreme case the classifier is certain that this label is wrong
    return arguments | {"y": y, "alpha": float(rng.uniform(0.3, 3))}


def mixed(labelled=None, unlabelled=average):
    """The answer, or the result with other terms for rows with and without a label."""

    def function(bound, logits, prior, y, alpha):
        rows = np.arange(len(y))
        a, p, q = bound[rows, y], np.log(prior)[y], log_softmax(logits, axis=1)[rows, y]
        told = (labelled or (lambda a, p, q, alpha: a + p + alpha * q))(a, p, q, alpha)
        return np.where(y < 0, unlabelled(bound, logits, prior), told)

    return function


mixed_reference = mixed()


def mixed_independent(bound, logits, prior, y, alpha):
    """Both cases in one formula: a known y gets all the mass of q, whose entropy is then 0."""
    import torch  # needed to check the key, but not for grading

    s, joint = torch.tensor(logits), torch.tensor(bound) + torch.tensor(prior).log()
    known, label = torch.tensor(y >= 0), torch.tensor(y).clamp(min=0)
    sure = torch.nn.functional.one_hot(label, len(prior)).double()
    q = torch.where(known[:, None], sure, torch.softmax(s, 1))
    classified = -torch.nn.functional.cross_entropy(s, label, reduction="none")
    return ((q * joint).sum(1) + torch.special.entr(q).sum(1) + alpha * known * classified).numpy()


def mixed_underflowing(bound, logits, prior, y, alpha):
    log_q = np.log(softmax(logits, axis=1))
    told = bound[np.arange(len(y)), y] + np.log(prior)[y] + alpha * log_q[np.arange(len(y)), y]
    return np.where(y < 0, underflowing(bound, logits, prior), told)


def last_label(bound, logits, prior, y, alpha):
    rows = np.arange(len(y))
    return bound[rows, y] + np.log(prior)[y] + alpha * log_softmax(logits, axis=1)[rows, y]


MIXED = Variant(
    "mixed",
    """## 3. A batch with and without labels

In one batch, some images have a label and some do not; a label of −1 means that the label is unknown. In addition to
its encoder q(z|x, y), the model has a classifier q(y|x). Let L(x, y) be the conditional VAE's bound on log P(x|y).

- **With a label**, the bound on log P(x, y) is L(x, y) + log P(y). The classifier does not occur in it and would learn
  nothing from the labels, so we add α · log q(y|x).
- **Without a label**, y is one more latent variable, and the bound on log P(x) is
  U(x) = Σ_y q(y|x) · [ L(x, y) + log P(y) − log q(y|x) ], a sum of C terms. Nothing is added.

Write the function `semi_supervised(bound, logits, prior, y, alpha)`. Its arguments are the table `bound` (N, C) of
L(x, y) for every image and label, the classifier's `logits` (N, C), whose softmax is q(y|x), the labels' prior
probabilities `prior` (C,), labels y (N,), and a number α = `alpha`. The function returns the objective, to be
maximized, for each image (N,), in nats. Your function must also be correct where q(y|x) underflows to 0.""",
    '''def semi_supervised(bound, logits, prior, y, alpha):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,), y (N,), a number alpha -> the objective, (N,), in nats."""
    raise NotImplementedError''',
    '''def semi_supervised(bound, logits, prior, y, alpha):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,), y (N,), a number alpha -> the objective, (N,), in nats."""
    log_q = torch.log_softmax(logits, dim=1)  # (N, C), finite where q itself underflows
    joint = bound + prior.log()  # (N, C)
    without = (log_q.exp() * (joint - log_q)).sum(1)  # (N,)
    label = y.clamp(min=0)[:, None]  # (N, 1); where there is no label, any index will do
    with_label = (joint + alpha * log_q).gather(1, label)[:, 0]
    return torch.where(y < 0, without, with_label)''',
    mixed_inputs,
    mixed_reference,
    (
        Mistake(
            "the logarithm of 0: q(y|x) underflows. Get log q from a log-softmax.",
            mixed_underflowing,
            0.6,
        ),
        Mistake(
            "an index of −1 picks the last label: without a label, take the mean over all labels.",
            last_label,
            0.3,
        ),
        Mistake(
            "label 0 is treated as unknown: only −1 means that the label is unknown.",
            lambda bound, logits, prior, y, alpha: mixed_reference(
                bound, logits, prior, np.where(y == 0, -1, y), alpha
            ),
            0.6,
        ),
        Mistake(
            "α · log q(y|x) is missing where the label is known.",
            mixed(lambda a, p, q, alpha: a + p),
            0.5,
        ),
        Mistake(
            "log P(y) is missing where the label is known.",
            mixed(lambda a, p, q, alpha: a + alpha * q),
            0.6,
        ),
        Mistake(
            "log P(y) is missing: it belongs to both cases.",
            lambda bound, logits, prior, y, alpha: mixed_reference(
                bound, logits, np.ones_like(prior), y, alpha
            ),
            0.5,
        ),
        Mistake(
            "α is missing: log q(y|x) is multiplied by it.",
            mixed(lambda a, p, q, alpha: a + p + q),
            0.6,
        ),
        Mistake(
            "log q(y|x) of a known label is subtracted: add it, because it is to be maximized.",
            mixed(lambda a, p, q, alpha: a + p - alpha * q),
            0.5,
        ),
        Mistake(
            "all images are treated as if their labels were unknown.",
            lambda bound, logits, prior, y, alpha: average(bound, logits, prior),
            0.3,
        ),
        Mistake(
            "images without a label get 0: they have a bound too.",
            mixed(unlabelled=lambda bound, logits, prior: np.zeros(len(bound))),
            0.3,
        ),
        Mistake("the entropy of q(y|x) is missing in U(x).", mixed(unlabelled=no_entropy), 0.5),
        Mistake(
            "the entropy of q(y|x) is subtracted in U(x): it is added, through the term −log q.",
            mixed(unlabelled=entropy_subtracted),
            0.5,
        ),
        Mistake(
            "the unknown label is replaced by the classifier's most probable one: "
            "U(x) is a mean over all labels.",
            mixed(unlabelled=likeliest_only),
            0.3,
        ),
        Mistake(
            "the sign is flipped: this is a loss, "
            "but the function must return the objective, which is maximized.",
            negative(mixed_reference),
            0.7,
        ),
        Mistake(
            "the mean over the images is taken: return one number per image.",
            mean_of(mixed_reference),
            0.7,
        ),
    ),
    TOLERANCE,
    independent=mixed_independent,
    styles=(
        """def semi_supervised(bound, logits, prior, y, alpha):
    q = torch.distributions.Categorical(logits=logits)
    joint = bound + prior.log()
    result = (q.probs * joint).sum(1) + q.entropy()
    known = y >= 0
    labels = y[known]
    rows = torch.arange(len(labels))
    result[known] = joint[known][rows, labels] + alpha * q.logits[known][rows, labels]
    return result""",
        """def semi_supervised(bound, logits, prior, y, alpha):
    result = []
    for n in range(len(y)):
        log_q = logits[n] - logits[n].logsumexp(0)
        c = int(y[n])
        if c >= 0:
            result.append(bound[n, c] + torch.log(prior[c]) + alpha * log_q[c])
        else:
            terms = [log_q[k].exp() * (bound[n, k] + torch.log(prior[k]) - log_q[k]) for k in range(len(prior))]
            result.append(sum(terms))
    return torch.stack(result)""",
        """import numpy as np
from scipy.special import log_softmax, xlogy
def semi_supervised(bound, logits, prior, y, alpha):
    a, s, p = (np.asarray(t, dtype=np.float64) for t in (bound, logits, prior))
    y = np.asarray(y)
    log_q = log_softmax(s, axis=1)
    q = np.exp(log_q)
    hot = np.eye(len(p) + 1)[y][:, :-1]  # a row of zeros where there is no label
    told = (hot * (a + np.log(p) + alpha * log_q)).sum(1)
    return told + (y == -1) * ((q * (a + np.log(p))).sum(1) - xlogy(q, q).sum(1))""",
        """def semi_supervised(bound, logits, prior, y, alpha):
    bound, logits, prior = bound.double(), logits.double(), prior.double()
    joint = bound + prior.log()
    free = joint.logsumexp(1) - F.kl_div(joint.log_softmax(1), logits.log_softmax(1), log_target=True, reduction="none").sum(1)
    told = joint.take_along_dim(y.clamp(0)[:, None], 1)[:, 0] - alpha * F.cross_entropy(logits, y.clamp(0), reduction="none")
    known = (y >= 0).double()
    return known * told + (1 - known) * free""",
    ),
)

# ---------------------------------------------------------------- "a 3 or an 8"


def partial_inputs(rng, case):
    arguments = common(rng, case)
    n, classes = arguments["bound"].shape
    allowed = (rng.uniform(size=(n, classes)) < 0.5).astype(np.float64)
    allowed[:, 0], allowed[:, -1] = 1.0, 0.0
    allowed[:, 1] = 1.0
    allowed[0] = 1.0  # nothing is known about one image
    allowed[1] = np.eye(classes)[0]  # and everything about another
    if case == "extreme":  # the classifier is certain that the label is one that is not allowed
        arguments["logits"][2:, 0] += 1000.0
        arguments["logits"][2:, 1:-1] -= 2000.0
    return arguments | {"allowed": allowed}


def restricted(logits, allowed):
    """log q(y|x, S), −∞ outside S."""
    return log_softmax(np.where(allowed == 1, logits, -np.inf), axis=1)


def over_allowed(bound, log_q, prior, allowed):
    """Σ over allowed labels of q [L + log P(y) − log q]."""
    safe = np.where(allowed == 1, log_q, 0)
    return (allowed * np.exp(safe) * (bound + np.log(prior) - safe)).sum(1)


def partial_reference(bound, logits, prior, allowed):
    return over_allowed(bound, restricted(logits, allowed), prior, allowed)


def partial_independent(bound, logits, prior, allowed):
    """The answer image by image, from the allowed columns only, by `from_above`."""
    return np.array(
        [
            from_above(a[None, s == 1], t[None, s == 1], prior[s == 1])[0]
            for a, t, s in zip(bound, logits, allowed)
        ]
    )


def partial_underflowing(bound, logits, prior, allowed):
    q = softmax(logits, axis=1) * allowed
    q = q / q.sum(1, keepdims=True)
    terms = q * (bound + np.log(prior) - np.log(np.where(allowed == 1, q, 1)))
    return terms.sum(1)


def partial(function):
    """The answer with another sum over the allowed labels; it gets (log q, L + log P(y), S)."""
    return lambda bound, logits, prior, allowed: function(
        np.where(allowed == 1, restricted(logits, allowed), 0), bound + np.log(prior), allowed
    )


PARTIAL = Variant(
    "partial",
    """## 3. "It is a 3 or an 8"

Somebody has looked at an image and narrowed its label down to a few possibilities: y is in a set S. Then y is a latent
variable restricted to S. In addition to its encoder, the model has a classifier q(y|x). Given S, the classifier becomes

q(y|x, S) = q(y|x) / Σ_(y′ in S) q(y′|x) for y in S, and 0 outside S.

The bound on the logarithm of the probability of the image *and* of a label in S is

log P(x, y ∈ S) ≥ Σ_(y in S) q(y|x, S) · [ L(x, y) + log P(y) − log q(y|x, S) ],

where L(x, y) is the conditional VAE's bound on log P(x|y). If S contains all labels, this is the bound for an image
without a label; if S contains a single label, it is the bound for an image with that label.

Write the function `semi_supervised(bound, logits, prior, allowed)`. Its arguments are the table `bound` (N, C) of
L(x, y) for every image and label, the classifier's `logits` (N, C), whose softmax is q(y|x), the labels' prior
probabilities `prior` (C,), and `allowed` (N, C), floats that are 1 where a label is in the image's set S and 0
elsewhere. Each S contains at least one label. The function returns the bound for each image (N,), in nats. Your
function must also be correct where q(y|x) underflows to 0 for every label in S.""",
    '''def semi_supervised(bound, logits, prior, allowed):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,), allowed (N, C) of 0 and 1 -> the bound, (N,), in nats."""
    raise NotImplementedError''',
    '''def semi_supervised(bound, logits, prior, allowed):
    """L(x, y) (N, C), logits of q(y|x) (N, C), P(y) (C,), allowed (N, C) of 0 and 1 -> the bound, (N,), in nats."""
    inside = allowed == 1
    log_q = torch.log_softmax(logits.masked_fill(~inside, -math.inf), dim=1)  # −∞ outside S
    terms = log_q.exp() * (bound + prior.log() - log_q)
    return terms.masked_fill(~inside, 0).sum(1)  # outside S this is NaN, from 0 times −∞; it counts as 0''',
    partial_inputs,
    partial_reference,
    (
        Mistake(
            "0 divided by 0: q(y|x) underflows for all allowed labels. "
            "Restrict the logits before you take the softmax.",
            partial_underflowing,
            0.6,
        ),
        Mistake(
            "q(y|x) is not renormalized over the allowed labels.",
            lambda bound, logits, prior, allowed: over_allowed(
                bound, log_softmax(logits, axis=1), prior, allowed
            ),
            0.4,
        ),
        Mistake(
            "the set S is ignored: this is the bound for an image without a label.",
            lambda bound, logits, prior, allowed: average(bound, logits, prior),
            0.2,
        ),
        Mistake(
            "log P(y) is missing: it belongs inside the sum.",
            lambda bound, logits, prior, allowed: partial_reference(
                bound, logits, np.ones_like(prior), allowed
            ),
            0.5,
        ),
        Mistake(
            "the prior is renormalized over S: "
            "P(y) stays as it is, because the bound is on log P(x, y ∈ S).",
            lambda bound, logits, prior, allowed: (
                partial_reference(bound, logits, prior, allowed) - np.log(allowed @ prior)
            ),
            0.6,
        ),
        Mistake(
            "the entropy of q(y|x, S) is missing.",
            partial(lambda log_q, joint, s: (s * np.exp(log_q) * joint).sum(1)),
            0.4,
        ),
        Mistake(
            "the entropy of q(y|x, S) is subtracted: it is added, through the term −log q.",
            partial(lambda log_q, joint, s: (s * np.exp(log_q) * (joint + log_q)).sum(1)),
            0.5,
        ),
        Mistake(
            "the classifier has no effect: this is the bound with the best possible q, "
            "not with the given one.",
            partial(lambda log_q, joint, s: logsumexp(joint, axis=1, b=s)),
            0.3,
        ),
        Mistake(
            "all allowed labels get the same weight: weight label y by q(y|x, S).",
            partial(lambda log_q, joint, s: (s * (joint - log_q)).sum(1) / s.sum(1)),
            0.3,
        ),
        Mistake(
            "the bracket contains log q(y|x) where log q(y|x, S) belongs.",
            lambda bound, logits, prior, allowed: (
                partial_reference(bound, logits, prior, allowed)
                - logsumexp(np.where(allowed == 1, log_softmax(logits, axis=1), -np.inf), axis=1)
            ),
            0.5,
        ),
        Mistake(
            "logits outside S are set to 0, which is not a small logit: "
            "those labels must not count at all.",
            lambda bound, logits, prior, allowed: average(bound, logits * allowed, prior),
            0.3,
        ),
        Mistake(
            "the sign is flipped: return the bound, not a loss.", negative(partial_reference), 0.7
        ),
        Mistake(
            "the mean over the images is taken: return one number per image.",
            mean_of(partial_reference),
            0.7,
        ),
    ),
    TOLERANCE,
    independent=partial_independent,
    styles=(
        """def semi_supervised(bound, logits, prior, allowed):
    result = []
    for n in range(len(bound)):
        inside = allowed[n].bool()
        q = torch.distributions.Categorical(logits=logits[n][inside])
        result.append((q.probs * (bound[n] + prior.log())[inside]).sum() + q.entropy())
    return torch.stack(result)""",
        """def semi_supervised(bound, logits, prior, allowed):
    s = logits + (1 - allowed) * -1e9
    q = F.softmax(s, 1)
    return (q * (bound + prior.log())).sum(1) + torch.special.entr(q).sum(1)""",
        """import numpy as np
from scipy.special import softmax, xlogy
def semi_supervised(bound, logits, prior, allowed):
    a, s, p, ok = (np.asarray(t, dtype=np.float64) for t in (bound, logits, prior, allowed))
    q = softmax(np.where(ok == 1, s, -np.inf), axis=1)
    return (q * (a + np.log(p)) - xlogy(q, q)).sum(1)""",
        """def semi_supervised(bound, logits, prior, allowed):
    bound, logits, prior = bound.double(), logits.double(), prior.double()
    answers = []
    for a, s, ok in zip(bound, logits, allowed):
        chosen = ok.nonzero().flatten()
        log_q = s[chosen] - s[chosen].logsumexp(0)
        answers.append(torch.dot(log_q.exp(), a[chosen] + prior[chosen].log() - log_q))
    return torch.stack(answers)""",
        """def semi_supervised(bound, logits, prior, allowed):
    top = torch.where(allowed == 1, logits, torch.full_like(logits, -torch.inf)).amax(1, keepdim=True)
    shifted = (logits - top).clamp(max=0)
    e = allowed * torch.exp(shifted)
    total = e.sum(1, keepdim=True)
    log_q = shifted - total.log()
    return (e / total * (bound + prior.log() - log_q)).sum(1)""",
    ),
)

QUESTION = Question("semi_supervised", "semi_supervised", 18, (AVERAGE, MIXED, PARTIAL))
