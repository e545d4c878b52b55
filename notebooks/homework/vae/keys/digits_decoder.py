"""Question 6, a design: a decoder of 2-D codes, judged by the exact likelihood of unseen digits.

The digits are the 8×8 digits from UCI that come with scikit-learn. Students use the first 1,437
digits; the judge computes the score on the last 360. With a code of two numbers, the integral over
z becomes a sum over a grid, so the score is log P(x) itself, not a bound. The grid's weights are
normalized, so that the model being measured is an exact mixture, whatever is handed in.

Measured with 64 hidden units: without a code, −24.8; with a VAE trained on the bound, −20.0 after
60 epochs and −19.0 after 200; with log P(x) maximized directly, −18.9 to −19.2 after 600 steps
(three runs), and −19.3 after 300 steps. Among decoders trained only on the students' digits, those
that scored better than −20 did 0.3 to 0.6 worse on the judge's digits than on the students', and
those near −20 did up to 0.1 better; worse ones may do up to 0.5 better, because the judge's digits
are a little easier. A decoder that is also trained on the judge's digits reaches −18.1 and is
rejected, because it does 0.6 better on the judge's digits.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

HELD_OUT = 360
MOST_HIDDEN = 64
GOOD = -20.0  # nats
MOST_BETTER = 0.35  # nats: how much better a good decoder may do on the judge's digits (see above)
MOST_BETTER_POOR = 1.5  # the same for any other decoder


def digits():
    """Return the students' digits (1437, 64) and the judge's digits (360, 64), as 0s and 1s."""
    x = (load_digits().data >= 8).astype(np.float64)
    return x[:-HELD_OUT], x[-HELD_OUT:]


def measure(arrays):
    """The mean of log P(x) over the held-out digits, in nats per digit."""
    return log_likelihood(arrays, digits()[1])


def log_likelihood(arrays, x):
    w1, b1, w2, b2 = (arrays[name].astype(np.float64) for name in ("w1", "b1", "w2", "b2"))
    axis = np.linspace(-4.5, 4.5, 61)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (G, 2)
    log_prior = -0.5 * (z**2).sum(1)
    log_prior -= logsumexp(log_prior)  # weights that add up to 1
    logits = np.tanh(z @ w1.T + b1) @ w2.T + b2  # (G, 64)
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(1) + log_prior  # (N, G)
    return float(logsumexp(log_joint, axis=1).mean())


def guard(arrays):
    """Return the reason why these arrays are not a valid decoder, or an empty string."""
    hidden = len(arrays["w1"])
    if len(arrays["b1"]) != hidden or arrays["w2"].shape[1] != hidden:
        return (
            "`w1` (H, 2), `b1` (H,) and `w2` (64, H) must have the same number H of hidden units."
        )
    if not 1 <= hidden <= MOST_HIDDEN:
        return f"The decoder must have 1 to {MOST_HIDDEN} hidden units."
    own, judges = (log_likelihood(arrays, x) for x in digits())
    if judges - own > (MOST_BETTER if judges > GOOD else MOST_BETTER_POOR):
        return (
            "This decoder fits the judge's digits better than your own digits: "
            "fit it to all of the first 1,437 digits and to no others."
        )
    return ""


QUESTION = Design(
    "digits_decoder",
    15,
    """## 6. Design a decoder

Train the decoder of a VAE with a code of *two* numbers on the small digits below, without using any others, and hand in
its weights. The prior is a standard normal, each pixel is Bernoulli, and the decoder has one hidden layer of at most 64
units:

logits(z) = W₂ tanh(W₁ z + b₁) + b₂,

with one logit for each of the 64 pixels. The score is the mean of log P(x), in nats per digit, over 360 other digits
that are kept for the judge. Since z has only two dimensions, the judge does not need a bound: it sums P(z) P(x | z)
over a fine grid of z. You may train with an encoder and the bound, or find a way to train without them. It is up to you
to find a good training time, learning rate and regularization. Compare your choices on digits that you hold out
yourself, and then fit the decoder to all 1,437 digits.

```python
from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).float()  # (1437, 64), of 0s and 1s
```

Hand in W₁ = `w1` (H, 2), b₁ = `b1` (H,), W₂ = `w2` (64, H) and b₂ = `b2` (64,), all float32, in the layout of
`torch.nn.Linear`. A decoder that ignores z reaches −24.8, which earns no points. From there, the points rise linearly
to full points at −19.4 and above.""",
    {
        "w1": ("float32", (-1, 2)),
        "b1": ("float32", (-1,)),
        "w2": ("float32", (64, -1)),
        "b2": ("float32", (64,)),
    },
    measure,
    guard,
    none_at=-24.8,
    full_at=-19.4,
    unit="nats per digit",
    solution="""from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).float()  # (N, 64)
torch.manual_seed(0)
decoder = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64))
steps = 600  # chosen, like the learning rate, by holding out the last 300 of these digits
optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
axis = torch.linspace(-3.5, 3.5, 15)
grid = torch.cartesian_prod(axis, axis)  # (G, 2)
for _ in range(steps):
    # no encoder: maximize log P(x) itself, a sum over a coarse grid that is shifted a little at each step
    z = grid + (torch.rand(2) - 0.5) * (axis[1] - axis[0])
    log_prior = torch.log_softmax(-(z**2).sum(1) / 2, dim=0)  # (G,)
    logits = decoder(z)  # (G, 64)
    log_joint = x @ logits.T - torch.nn.functional.softplus(logits).sum(1) + log_prior  # (N, G)
    loss = -torch.logsumexp(log_joint, dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
w1, b1, w2, b2 = (p.detach() for p in decoder.parameters())""",
    most=MOST_HIDDEN,
)
