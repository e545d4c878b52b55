"""Question 6, a design: the best decoder with a code of two numbers, judged by the exact likelihood of unseen digits.

The digits are UCI's 8×8 ones, which come with scikit-learn. Students get the first 1,437; the judge measures on the last
360. With a code of two numbers the integral over z is a sum over a grid, so the score is log P(x) itself, not a bound.
The grid's weights are normalized, so that what is measured is an exact mixture, whatever weights are handed in.

Measured, with 64 hidden units: no code at all −24.8; a VAE trained on the bound −20.0 after 60 epochs and −19.0 after
200; log P(x) climbed directly for 600 steps −18.9 to −19.2 (three runs), and −19.3 after 300 steps. Honest decoders
better than −20 were 0.3 to 0.6 worse on the judge's digits than on their own, and those near −20 up to 0.1 better; worse
ones may be up to 0.5 better, because the judge's digits are a little easier. Adding the judge's digits to one's own gives
−18.1 and is refused: on the judge's digits that decoder is 0.6 better.
"""

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from course_lib.grading.question import Design

HELD_OUT = 360
MOST_HIDDEN = 64
GOOD = -20.0  # nats
MOST_BETTER = 0.35  # nats, of a good decoder on the judge's digits: see above
MOST_BETTER_POOR = 1.5  # of any other


def digits():
    """The students' digits and the judge's, (1437, 64) and (360, 64) of 0 and 1."""
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
    """Why these arrays are no decoder, or an empty string."""
    hidden = len(arrays["w1"])
    if len(arrays["b1"]) != hidden or arrays["w2"].shape[1] != hidden:
        return "`w1` (H, 2), `b1` (H,) and `w2` (64, H) must have the same number H of hidden units."
    if not 1 <= hidden <= MOST_HIDDEN:
        return f"A decoder of 1 to {MOST_HIDDEN} hidden units is wanted."
    own, judges = (log_likelihood(arrays, x) for x in digits())
    if judges - own > (MOST_BETTER if judges > GOOD else MOST_BETTER_POOR):
        return (
            "This decoder knows the judge's digits better than yours: "
            "fit it to all of the first 1,437 digits, and to no others."
        )
    return ""


QUESTION = Design(
    "digits_decoder",
    15,
    """## 6. Design a decoder

Train the decoder of a VAE with a code of *two* numbers on small digits, and hand in its weights. The prior is a
standard normal, and the decoder's one hidden layer has at most 64 units:

logits(z) = W₂ tanh(W₁ z + b₁) + b₂,

one logit for each of 64 pixels. The score is log P(x), in nats per digit, of 360 digits that you do not have. With two
numbers in z the judge need not be content with a bound: it adds up P(z) P(x | z) over a fine grid of z. You may train
with an encoder and the bound, or find a way to do without; how long, with which step and which regularization is for
you to find out, on digits that you hold out yourself. Then fit it to all that you have.

```python
from sklearn.datasets import load_digits

x = torch.tensor(load_digits().data[:1437] >= 8).float()  # (1437, 64), of 0 and 1
```

Hand in `w1` (H, 2), `b1` (H,), `w2` (64, H) and `b2` (64,), all float32, as `torch.nn.Linear` keeps them. A decoder that
ignores z reaches −24.8 and gives no points; all points are given from −19.4 on.""",
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
steps = 600  # chosen, like the rate, on the last 300 of these digits
optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
axis = torch.linspace(-3.5, 3.5, 15)
grid = torch.cartesian_prod(axis, axis)  # (G, 2)
for _ in range(steps):
    # no encoder: log P(x) itself, by a sum over a coarse grid that is moved a little at each step
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
