"""Question 4: the conditional VAE as a classifier, through Bayes' rule.

The rule is applied to estimates of log P(x|y) for each label: log P(x|y) ≈ log (1/K) Σ_k w_k with
w_k = P(x|z_k, y) P(z_k) / q(z_k|x, y) (Burda et al. 2016). The rule that may refuse an image is
Chow's (1970).
"""

import numpy as np
from scipy.special import log_softmax, logsumexp, softmax

from course_lib.grading.question import Mistake, Question, Tolerance, Variant

TOLERANCE = Tolerance(
    8e-4,
    3e-5,
    "float32 rounds a logarithm near −3000 by up to 1.2·10⁻⁴: "
    "the logsumexp, then minus log K, then plus log P(y). "
    "Three roundings of two labels move their difference, and with it P(y|x), by up to 7.3·10⁻⁴",
)


def unnormalized(joint):
    """e to the power of `joint`, divided by its sum, without any protection against underflow."""
    p = np.exp(joint)
    return p / p.sum(1, keepdims=True)


def table(rng, shape, case):
    """Log-probabilities for each image and label that leave some doubt about the label."""
    shift = rng.normal(size=(shape[0], *[1] * (len(shape) - 1)))
    values = rng.normal(size=shape) + 0.5 * shift - 2
    # multiples of 1/1024, which float32 holds exactly, so that rounding near −3000 blurs nothing
    return np.round(1024 * values) / 1024 - (3000 if case == "extreme" else 0)


# ---------------------------------------------------------------- unequal numbers of draws


def unequal_inputs(rng, case):
    n, classes, k = {"small": (4, 3, 5), "large": (8, 6, 9), "extreme": (6, 4, 7)}[case]
    log_w = table(rng, (n, classes, k), case)
    drawn = rng.integers(2, k + 1, size=classes)
    drawn[0], drawn[-1] = 2, k
    unused = np.arange(k) >= drawn[:, None]  # (C, K)
    log_w = np.where(unused, log_w.max() + 2, log_w)  # the meaningless numbers in unused places
    return {"log_w": log_w, "drawn": drawn, "prior": rng.dirichlet(np.full(classes, 2.0))}


def used(log_w, drawn):
    """log w with −∞ where nothing was drawn."""
    return np.where(np.arange(log_w.shape[2]) < drawn[:, None], log_w, -np.inf)


def unequal_joint(log_w, drawn, prior):
    return logsumexp(used(log_w, drawn), axis=2) - np.log(drawn) + np.log(prior)


def unequal_reference(log_w, drawn, prior):
    return softmax(unequal_joint(log_w, drawn, prior), axis=1)


def unequal_independent(log_w, drawn, prior):
    """The answer from plain averages of the weights, all divided by the image's largest weight."""
    w = np.exp(log_w - used(log_w, drawn).max((1, 2), keepdims=True))
    p = np.stack([w[:, c, :k].mean(1) * prior[c] for c, k in enumerate(drawn)], 1)
    return p / p.sum(1, keepdims=True)


UNEQUAL = Variant(
    "unequal",
    """## 4. A classifier that nobody trained

A conditional VAE estimates how probable an image is under each label, and Bayes' rule turns these estimates into
P(y|x) = P(x|y) P(y) / Σ_c P(x|c) P(c). Each P(x|y) is estimated by importance weighting, as the mean of the weights
w = P(x|z, y) P(z) / q(z|x, y) over draws z from q(z|x, y). For some labels, P(x|y) is harder to estimate than for
others, so label c gets its own number of draws, `drawn[c]`.

Write the function `predict(log_w, drawn, prior)`. Its arguments are the logarithms `log_w` (N, C, K) of the weights for
each image, label and draw, integers `drawn` (C,) from 1 to K, and P(y) = `prior` (C,). For label c, only the first
`drawn[c]` entries along the last axis are draws; the others are meaningless numbers. The function returns the estimated
P(y|x) (N, C). Your function must also be correct where log w is about −3000.""",
    '''def predict(log_w, drawn, prior):
    """log w (N, C, K), numbers of draws (C,), P(y) (C,) -> P(y|x), (N, C)."""
    raise NotImplementedError''',
    '''def predict(log_w, drawn, prior):
    """log w (N, C, K), numbers of draws (C,), P(y) (C,) -> P(y|x), (N, C)."""
    unused = torch.arange(log_w.shape[2]) >= drawn[:, None]  # (C, K)
    log_sum = log_w.masked_fill(unused, -math.inf).logsumexp(2)  # (N, C)
    log_px = log_sum - drawn.log()  # the mean over a label's own draws
    return torch.softmax(log_px + prior.log(), dim=1)''',
    unequal_inputs,
    unequal_reference,
    (
        Mistake(
            "w underflows to 0 where log w is −3000: use logsumexp and softmax.",
            lambda log_w, drawn, prior: unnormalized(
                np.log(np.exp(used(log_w, drawn)).sum(2)) - np.log(drawn) + np.log(prior)
            ),
            0.6,
        ),
        Mistake(
            "the weights are added, not averaged: a label with more draws is not more probable. "
            "Divide by `drawn`.",
            lambda log_w, drawn, prior: softmax(
                unequal_joint(log_w, drawn, prior) + np.log(drawn), axis=1
            ),
            0.5,
        ),
        Mistake(
            "this uses the mean of log w, which is the bound: take the logarithm of the mean of w.",
            lambda log_w, drawn, prior: softmax(
                np.where(np.isfinite(used(log_w, drawn)), log_w, 0).sum(2) / drawn + np.log(prior),
                axis=1,
            ),
            0.4,
        ),
        Mistake(
            "entries that are not draws are counted: "
            "for label c, only the first `drawn[c]` weights are draws.",
            lambda log_w, drawn, prior: softmax(logsumexp(log_w, axis=2) + np.log(prior), axis=1),
            0.3,
        ),
        Mistake(
            "one entry too many is counted: "
            "indices start at 0, so the draws of label c end at index `drawn[c]` − 1.",
            lambda log_w, drawn, prior: softmax(
                logsumexp(used(log_w, drawn + 1), axis=2) - np.log(drawn) + np.log(prior), axis=1
            ),
            0.6,
        ),
        Mistake(
            "log w is set to 0 where there is no draw: a weight of 0 has the logarithm −∞.",
            lambda log_w, drawn, prior: softmax(
                logsumexp(np.where(np.isfinite(used(log_w, drawn)), log_w, 0), axis=2)
                - np.log(drawn)
                + np.log(prior),
                axis=1,
            ),
            0.4,
        ),
        Mistake(
            "P(y) is missing: Bayes' rule weights each label by its prior.",
            lambda log_w, drawn, prior: softmax(
                unequal_joint(log_w, drawn, np.ones_like(prior)), axis=1
            ),
            0.5,
        ),
        Mistake(
            "only the largest weight of each label is used: take the mean over its draws.",
            lambda log_w, drawn, prior: softmax(used(log_w, drawn).max(2) + np.log(prior), axis=1),
            0.3,
        ),
        Mistake(
            "the result is normalized over the images: "
            "for each image, the labels' probabilities must add up to 1.",
            lambda log_w, drawn, prior: softmax(unequal_joint(log_w, drawn, prior), axis=0),
            0.4,
        ),
        Mistake(
            "these are the logarithms of P(y|x): return the probabilities.",
            lambda log_w, drawn, prior: log_softmax(unequal_joint(log_w, drawn, prior), axis=1),
            0.7,
        ),
        Mistake(
            "this is the most probable label as a one-hot row: return the probabilities.",
            lambda log_w, drawn, prior: np.eye(len(prior))[
                unequal_joint(log_w, drawn, prior).argmax(1)
            ],
            0.4,
        ),
        Mistake(
            "this is P(x|y) P(y), which is not normalized: divide it by its sum over the labels.",
            lambda log_w, drawn, prior: np.exp(unequal_joint(log_w, drawn, prior)),
            0.4,
        ),
        Mistake(
            "the sum is divided by K for every label: the mean is over the label's own draws.",
            lambda log_w, drawn, prior: softmax(
                logsumexp(np.where(np.isfinite(used(log_w, drawn)), log_w, -20.0), axis=2)
                + np.log(prior),
                axis=1,
            ),
            0.4,
        ),
    ),
    TOLERANCE,
    independent=unequal_independent,
    styles=(
        """def predict(log_w, drawn, prior):
    columns = []
    for c in range(len(prior)):
        k = int(drawn[c])
        columns.append(torch.logsumexp(log_w[:, c, :k], 1) - math.log(k) + torch.log(prior[c]))
    return torch.stack(columns, 1).softmax(1)""",
        """import numpy as np
from scipy.special import logsumexp, softmax
def predict(log_w, drawn, prior):
    a, k, p = np.asarray(log_w, dtype=np.float64), np.asarray(drawn), np.asarray(prior, dtype=np.float64)
    share = (np.arange(a.shape[2]) < k[:, None]) / k[:, None]
    return softmax(logsumexp(a, axis=2, b=np.broadcast_to(share, a.shape)) + np.log(p), axis=1)""",
        """def predict(log_w, drawn, prior):
    count = torch.arange(log_w.shape[-1]).expand(log_w.shape) < drawn[None, :, None]
    log_w = torch.where(count, log_w.double(), torch.tensor(-torch.inf, dtype=torch.float64))
    w = torch.exp(log_w - log_w.amax((1, 2), keepdim=True))
    p = torch.einsum("nck,c->nc", w, prior.double() / drawn)
    return p / p.sum(1, keepdim=True)""",
        """def predict(log_w, drawn, prior):
    rows = []
    for image in log_w:
        joint = torch.empty(len(prior))
        for c, (weights, k) in enumerate(zip(image, drawn.tolist())):
            top = weights[:k].max()
            joint[c] = top + (weights[:k] - top).exp().mean().log() + prior[c].log()
        rows.append(torch.distributions.Categorical(logits=joint).probs)
    return torch.stack(rows)""",
    ),
)

# ---------------------------------------------------------------- costs, and the option to refuse

# The least gap between the best decision's cost and all others, so that rounding does not change
# the decision.
CLEAR = 0.02


def reject_inputs(rng, case):
    """Draw again until the decisions are varied and clear.

    Some images are refused and some are not, the costs change a decision, and no decision is close.
    """
    n, classes = {"small": (5, 3), "large": (9, 4), "extreme": (6, 5)}[case]
    while True:
        log_px = table(rng, (n, classes), case)
        cost = rng.uniform(0.3, 3, size=(classes, classes)) * (1 - np.eye(classes))
        prior = rng.dirichlet(np.full(classes, 2.0))
        expected = reject_expected(log_px, prior, cost)
        best, second = np.sort(expected, axis=1)[:, :2].T
        refusal = float(np.quantile(best, 0.7)) + 0.05
        decided = best < refusal
        likeliest = (log_px + np.log(prior)).argmax(1)
        changed = (expected.argmin(1) != likeliest)[decided].any()
        clear = np.abs(best - refusal).min() > CLEAR and (second - best).min() > CLEAR
        if clear and changed and 0 < decided.sum() < n:
            return {"log_px": log_px, "prior": prior, "cost": cost, "refusal": refusal}


def reject_expected(log_px, prior, cost):
    """The expected cost of each decision, (N, C)."""
    return softmax(log_px + np.log(prior), axis=1) @ cost.T


def decide(expected, refusal):
    best = expected.min(1)
    return np.where(best > refusal, -1, expected.argmin(1)), np.minimum(best, refusal)


def reject_reference(log_px, prior, cost, refusal):
    return decide(reject_expected(log_px, prior, cost), refusal)


def reject_independent(log_px, prior, cost, refusal):
    """The refusal as one more decision, whose cost is the same for all labels."""
    import torch  # needed to check the key, but not for grading

    joint = torch.distributions.Categorical(logits=torch.tensor(log_px) + torch.tensor(prior).log())
    refuse = torch.full((1, len(prior)), refusal, dtype=torch.float64)
    table = torch.cat([torch.tensor(cost), refuse])
    risk, decision = torch.einsum("dc,nc->nd", table, joint.probs).min(1)
    return torch.where(decision == len(prior), -1, decision).numpy(), risk.numpy()


def reject_mistake(change):
    """The answer with other probabilities, costs or refusal."""
    return lambda log_px, prior, cost, refusal: change(
        softmax(log_px + np.log(prior), axis=1), cost, refusal
    )


def most_probable(p, cost, refusal):
    best = p.argmax(1)
    risk = (p @ cost.T)[np.arange(len(p)), best]
    return np.where(risk > refusal, -1, best), np.minimum(risk, refusal)


REJECT = Variant(
    "reject",
    """## 4. A classifier that may refuse

A conditional VAE gives log P(x|y) for every label, and Bayes' rule turns this into
P(y|x) = P(x|y) P(y) / Σ_c P(x|c) P(c). A post office sorts letters with such a classifier. Reading a digit as d when it
is y costs `cost[d, y]`. Refusing the digit and having a person look at it always costs `refusal`. The *expected cost*
of the decision d is the mean of `cost[d, y]` over P(y|x); the best decision, which may be to refuse, has the smallest
expected cost.

Write the function `predict(log_px, prior, cost, refusal)`. Its arguments are the logarithms `log_px` (N, C) of P(x|y),
P(y) = `prior` (C,), `cost` (C, C), whose first index is the decision and whose second is the true label, and a number
`refusal`. The function returns two results: the best decision for each image (N,), which is −1 where it is best to
refuse, and the expected cost of that decision (N,). Your function must also be correct where log P(x|y) is about
−3000.""",
    '''def predict(log_px, prior, cost, refusal):
    """log P(x|y) (N, C), P(y) (C,), cost[decision, label] (C, C), a number -> decision (N,), expected cost (N,)."""
    raise NotImplementedError''',
    '''def predict(log_px, prior, cost, refusal):
    """log P(x|y) (N, C), P(y) (C,), cost[decision, label] (C, C), a number -> decision (N,), expected cost (N,)."""
    p = torch.softmax(log_px + prior.log(), dim=1)  # (N, C)
    expected = p @ cost.T  # (N, C), for each decision
    best, decision = expected.min(dim=1)
    decision = torch.where(best > refusal, -1, decision)
    return decision, best.clamp(max=refusal)''',
    reject_inputs,
    reject_reference,
    (
        Mistake(
            "P(x|y) underflows to 0 where its logarithm is −3000: use a softmax.",
            lambda log_px, prior, cost, refusal: decide(
                unnormalized(log_px + np.log(prior)) @ cost.T, refusal
            ),
            0.6,
        ),
        Mistake(
            "the most probable label is chosen: the costs decide which label is best.",
            reject_mistake(most_probable),
            0.4,
        ),
        Mistake(
            "the costs are transposed: the first index is the decision, the second the true label.",
            reject_mistake(lambda p, cost, refusal: decide(p @ cost, refusal)),
            0.5,
        ),
        Mistake(
            "nothing is ever refused: refuse where every label's expected cost exceeds `refusal`.",
            reject_mistake(lambda p, cost, refusal: decide(p @ cost.T, np.inf)),
            0.4,
        ),
        Mistake(
            "the expected cost of a refused image is `refusal`, not that of the best label.",
            reject_mistake(
                lambda p, cost, refusal: (decide(p @ cost.T, refusal)[0], (p @ cost.T).min(1))
            ),
            0.7,
        ),
        Mistake(
            "a refusal is returned as a different number here: return −1.",
            reject_mistake(
                lambda p, cost, refusal: (
                    np.where((p @ cost.T).min(1) > refusal, len(cost), (p @ cost.T).argmin(1)),
                    decide(p @ cost.T, refusal)[1],
                )
            ),
            0.7,
        ),
        Mistake(
            "P(y) is missing: Bayes' rule weights each label by its prior.",
            lambda log_px, prior, cost, refusal: decide(softmax(log_px, axis=1) @ cost.T, refusal),
            0.5,
        ),
        Mistake(
            "the decision with the largest expected cost is chosen: "
            "choose the one with the smallest.",
            reject_mistake(
                lambda p, cost, refusal: (
                    np.where((p @ cost.T).max(1) > refusal, -1, (p @ cost.T).argmax(1)),
                    np.minimum((p @ cost.T).max(1), refusal),
                )
            ),
            0.3,
        ),
        Mistake(
            "every mistake costs 1 here: use the table `cost`.",
            reject_mistake(lambda p, cost, refusal: decide(1 - p, refusal)),
            0.3,
        ),
        Mistake(
            "the result is normalized over the images: "
            "for each image, the labels' probabilities must add up to 1.",
            lambda log_px, prior, cost, refusal: decide(
                softmax(log_px + np.log(prior), axis=0) @ cost.T, refusal
            ),
            0.4,
        ),
        Mistake(
            "P(y) is added to log P(x|y): add its logarithm.",
            lambda log_px, prior, cost, refusal: decide(
                softmax(log_px + prior, axis=1) @ cost.T, refusal
            ),
            0.5,
        ),
    ),
    TOLERANCE,
    returns=("decision", "risk"),
    independent=reject_independent,
    styles=(
        """def predict(log_px, prior, cost, refusal):
    decisions, risks = [], []
    for row in log_px:
        joint = row + prior.log()
        p = (joint - joint.logsumexp(0)).exp()
        best, risk = -1, refusal
        for d in range(len(cost)):
            expected = float((p * cost[d]).sum())
            if expected < risk:
                best, risk = d, expected
        decisions.append(best)
        risks.append(risk)
    return torch.tensor(decisions), torch.tensor(risks)""",
        """import numpy as np
from scipy.special import softmax
def predict(log_px, prior, cost, refusal):
    a, p, cost = (np.asarray(t, dtype=np.float64) for t in (log_px, prior, cost))
    expected = np.einsum("nc,dc->nd", softmax(a + np.log(p), axis=1), cost)
    decision, risk = expected.argmin(1), expected.min(1)
    decision[risk >= refusal] = -1
    return decision, np.minimum(risk, refusal)""",
        """def predict(log_px, prior, cost, refusal):
    p = torch.distributions.Categorical(logits=log_px + prior.log()).probs
    refuse = torch.full((len(p), 1), float(refusal))
    everything = torch.cat([refuse, p @ cost.T], 1)  # refusing comes first, so subtract 1 to get the labels
    return everything.argmin(1) - 1, everything.amin(1)""",
        """def predict(log_px, prior, cost, refusal):
    log_px, prior, cost = log_px.double(), prior.double(), cost.double()
    def one(row):
        expected = cost @ torch.softmax(row + prior.log(), 0)
        risk = expected.min()
        return torch.where(risk < refusal, expected.argmin(), -1), torch.where(risk < refusal, risk, refusal)
    return torch.func.vmap(one)(log_px)""",
    ),
)

# ---------------------------------------------------------------- several images of one label


def several_inputs(rng, case):
    n, m, classes, k = {"small": (4, 2, 3, 4), "large": (7, 3, 5, 6), "extreme": (5, 4, 4, 3)}[case]
    return {
        "log_w": table(rng, (n, m, classes, k), case),
        "prior": rng.dirichlet(np.full(classes, 2.0)),
    }


def several_estimates(log_w):
    """log P(x_m|y), (N, M, C)."""
    return logsumexp(log_w, axis=3) - np.log(log_w.shape[3])


def several_reference(log_w, prior):
    return softmax(several_estimates(log_w).sum(1) + np.log(prior), axis=1)


def several_independent(log_w, prior):
    """The answer image by image: the posterior after one image is the prior for the next."""
    belief = np.tile(prior, (len(log_w), 1))
    for image in np.moveaxis(log_w, 1, 0):
        weights = np.exp(image - image.max((1, 2), keepdims=True)).mean(2)
        belief = belief * weights / (belief * weights).sum(1, keepdims=True)
    return belief


def average_of_posteriors(log_w, prior):
    return softmax(several_estimates(log_w) + np.log(prior), axis=2).mean(1)


def underflowing_several(log_w, prior):
    p = prior * np.exp(log_w).mean(3).prod(1)
    return p / p.sum(1, keepdims=True)


SEVERAL = Variant(
    "several",
    """## 4. Several images of one digit

A conditional VAE estimates how probable an image is under each label, and Bayes' rule turns these estimates into
probabilities of the labels. Here, a sender has written *the same* digit M times, each time in a different style. Given
the label, the M images are independent, so

P(y|x_1, …, x_M) = P(y) Π_m P(x_m|y) / Σ_c P(c) Π_m P(x_m|c).

Each P(x_m|y) is estimated by importance weighting, as the mean of K weights w = P(x_m|z, y) P(z) / q(z|x_m, y), with
separate draws z for each image and label.

Write the function `predict(log_w, prior)`. Its arguments are the logarithms `log_w` (N, M, C, K) of the weights for N
senders, M images of each sender, C labels and K draws, and P(y) = `prior` (C,). The function returns the estimated
P(y|x_1, …, x_M) for each sender (N, C). Your function must also be correct where log w is about −3000.""",
    '''def predict(log_w, prior):
    """log w (N, M, C, K) of M images of one label, P(y) (C,) -> P(y|all M images), (N, C)."""
    raise NotImplementedError''',
    '''def predict(log_w, prior):
    """log w (N, M, C, K) of M images of one label, P(y) (C,) -> P(y|all M images), (N, C)."""
    log_px = log_w.logsumexp(3) - math.log(log_w.shape[3])  # (N, M, C)
    joint = log_px.sum(1) + prior.log()  # (N, C): the images are independent, and the prior counts once
    return torch.softmax(joint, dim=1)''',
    several_inputs,
    several_reference,
    (
        Mistake(
            "w underflows to 0 where log w is −3000: use logsumexp and softmax.",
            underflowing_several,
            0.6,
        ),
        Mistake(
            "the prior is counted once for each image: "
            "count it only once, because the label was drawn only once.",
            lambda log_w, prior: softmax((several_estimates(log_w) + np.log(prior)).sum(1), axis=1),
            0.5,
        ),
        Mistake(
            "the images' posteriors are averaged: for independent images, multiply the P(x|y).",
            average_of_posteriors,
            0.3,
        ),
        Mistake(
            "the weights of all images are multiplied draw by draw: "
            "average over the draws of each image first.",
            lambda log_w, prior: softmax(logsumexp(log_w.sum(1), axis=2) + np.log(prior), axis=1),
            0.4,
        ),
        Mistake(
            "this uses the mean of log w, which is the bound: take the logarithm of the mean of w.",
            lambda log_w, prior: softmax(log_w.mean(3).sum(1) + np.log(prior), axis=1),
            0.4,
        ),
        Mistake(
            "log P(x|y) is averaged over the images: "
            "for independent images, the logarithms add up.",
            lambda log_w, prior: softmax(several_estimates(log_w).mean(1) + np.log(prior), axis=1),
            0.5,
        ),
        Mistake(
            "P(x|y) is added up over the images: "
            "for independent images, the probabilities are multiplied.",
            lambda log_w, prior: softmax(
                logsumexp(several_estimates(log_w), axis=1) + np.log(prior), axis=1
            ),
            0.3,
        ),
        Mistake(
            "P(y) is missing: Bayes' rule weights each label by its prior.",
            lambda log_w, prior: several_reference(log_w, np.ones_like(prior)),
            0.5,
        ),
        Mistake(
            "only the largest weight is used: take the mean over the draws.",
            lambda log_w, prior: softmax(log_w.max(3).sum(1) + np.log(prior), axis=1),
            0.3,
        ),
        Mistake(
            "the result is normalized over the senders: "
            "for each sender, the labels' probabilities must add up to 1.",
            lambda log_w, prior: softmax(several_estimates(log_w).sum(1) + np.log(prior), axis=0),
            0.4,
        ),
        Mistake(
            "these are the logarithms of the probabilities: return the probabilities.",
            lambda log_w, prior: log_softmax(
                several_estimates(log_w).sum(1) + np.log(prior), axis=1
            ),
            0.7,
        ),
        Mistake(
            "this is the most probable label as a one-hot row: return the probabilities.",
            lambda log_w, prior: np.eye(len(prior))[
                (several_estimates(log_w).sum(1) + np.log(prior)).argmax(1)
            ],
            0.4,
        ),
    ),
    Tolerance(1e-3, 3e-3, "sums of four float32 logarithms near −3000 are accurate to about 10⁻³"),
    independent=several_independent,
    styles=(
        """def predict(log_w, prior):
    belief = prior.log().expand(len(log_w), -1)
    for m in range(log_w.shape[1]):
        belief = belief + torch.logsumexp(log_w[:, m], -1)
        belief = belief - belief.logsumexp(1, keepdim=True)
    return belief.exp()""",
        """import numpy as np
from scipy.special import logsumexp
def predict(log_w, prior):
    a, p = np.asarray(log_w, dtype=np.float64), np.asarray(prior, dtype=np.float64)
    joint = logsumexp(a, axis=-1).sum(axis=1) + np.log(p)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))""",
        """def predict(log_w, prior):
    top = log_w.amax((2, 3), keepdim=True)  # each image's largest over all labels, which cancels
    p = (log_w - top).exp().mean(3).prod(1) * prior
    return p / p.sum(1, keepdim=True)""",
        """def predict(log_w, prior):
    log_w, prior = log_w.double(), prior.double()
    rows = []
    for sender in log_w:
        joint = torch.zeros(len(prior), dtype=torch.float64)
        for image in sender:
            for c in range(len(prior)):
                joint[c] += torch.logsumexp(image[c], 0) - math.log(image.shape[1])
        rows.append(torch.distributions.Categorical(logits=joint + prior.log()).probs)
    return torch.stack(rows)""",
    ),
)

QUESTION = Question("predict", "predict", 16, (UNEQUAL, REJECT, SEVERAL))
