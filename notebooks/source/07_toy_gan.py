# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# A GAN in one dimension\n\n- Two players, their losses, and what the one `detach` is for\n- The best discriminator, and what the generator lowers against it\n- Failures provoked one by one: overshoot, weak $D$, collapse, rotation\n- Why the losses do not tell you how good the generator is"}
# # 07 · A GAN in one dimension
#
# After this notebook you will be able to
# - write both players of a [GAN](../docs/glossary.md#generative-adversarial-network-gan), their losses and their
#   updates, and explain what the single `detach` is for;
# - derive the best [discriminator](../docs/glossary.md#discriminator), and the divergence that the
#   [generator](../docs/glossary.md#generator) lowers when it plays against it;
# - provoke the best-known failures of a GAN one by one, recognize them, and undo two of them;
# - explain why the losses of a GAN do not tell you how good its generator is.
#
# **Prerequisites:** the [KL divergence](../docs/glossary.md#kl-divergence-kullbackleibler-divergence) of
# [The evidence lower bound](02_elbo.ipynb), and a little PyTorch. You need neither a GPU nor any data.
#
# **Time:** about four minutes to run on a laptop with two cores, an hour and a half to work through.
#
# **Memory:** the notebook needs 1.0 GB of memory.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import copy
import math
from functools import partial

import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn
from torch.nn.functional import softplus

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.device import FAST
from course_lib.figures import toy_gan as figures
from course_lib.toy_gan import History, Settings, exact
from course_lib.toy_gan.figures import dirac_planes, moments
from course_lib.widgets import ToyGAN

plots.use_style()
torch.set_num_threads(1)  # for networks this small a second thread only waits

# %% tags=["parameters"]
rounds = 400 if FAST else 1000  # of the game that is played by hand
d_steps = 400 if FAST else 2000  # updates that train one discriminator to convergence
# learning rates of the map, for both players
rates = (1e-4, 1e-3, 1e-2) if FAST else (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
map_rounds = 100 if FAST else 300  # of each game of the map
map_seeds = 1 if FAST else 2
longer = (100, 200) if FAST else (300, 1000, 2000)  # budgets of one slow pair of rates
n_seeds = 1 if FAST else 5  # of every other experiment
frames = 10 if FAST else 20  # moments in each part of a game with two parts, 20 rounds apart
recovery = 15 if FAST else 50  # moments after the collapse, 20 rounds apart
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Two players on a line\n\n- Noise $z$ is uniform on $(-1, 1)$. The **generator** makes a point, $x = G(z)$.\n- The **discriminator** says how probable it is that $x$ is real: $D(x)$, from 0 to 1.\n\n$$\\min_G \\max_D \\; E_{x \\sim p}[\\log D(x)] + E_{z}[\\log(1 - D(G(z)))]$$\n\nNeither ever computes a density: $D$ sees points, and $G$ sees only what $D$ says."}
# ## 1 · Two players on a line
#
# The paper that introduced *generative adversarial networks*, or GANs (Goodfellow et al. 2014), explains them with a
# picture in which everything is a single number. Noise $z$ is drawn uniformly between −1 and 1. The *generator* $G$
# turns this noise into a point $x = G(z)$. The *discriminator* $D$ is shown a point $x$, which may be real or
# generated, and answers with a number between 0 and 1: its estimate of the probability that the point is real. The
# generator and the discriminator are neural networks that play a game against each other, in which $D$ tries to raise
# one quantity and $G$ tries to lower it:
#
# $$\min_G \max_D V(D, G), \qquad V(D, G) = E_{x \sim p}[\log D(x)] + E_{z}[\log(1 - D(G(z)))]$$
#
# Here $p$ is the density of the data, and $q$ will denote the density of the generated points. Neither the generator
# nor the discriminator ever computes a density. $D$ sees points of both kinds, and $G$ learns only what $D$ says about
# the points that $G$ has made.
#
# Our data come from a Gaussian with mean 2 and standard deviation 1. Both players have the same architecture: a small
# network that maps one number to another.

# %%
line = torch.linspace(-3, 6, 200)[:, None]  # (200, 1), where we look at D
density = norm.pdf(line, 2)  # p on this line, which no player knows


def draw_data(n):
    return 2 + torch.randn(n, 1)  # (n, 1), from p = N(2, 1)


def draw_noise(n):
    return 2 * torch.rand(n, 1) - 1  # (n, 1), uniform on (−1, 1)


# %%
def player():
    hidden = [nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh()]
    return nn.Sequential(*hidden, nn.Linear(16, 1))  # (N, 1) -> (N, 1)


# %% [markdown]
# The discriminator network outputs a *[logit](../docs/glossary.md#logit)* $a(x)$, which may be any real number, and
# $D(x) = \sigma(a(x))$, where $\sigma(a) = 1/(1 + e^{-a})$ is the sigmoid function. In terms of the logit,
# $-\log D = \mathrm{softplus}(-a)$ and $-\log(1 - D) = \mathrm{softplus}(a)$, where
# $\mathrm{softplus}(a) = \log(1 + e^a)$. Written in this form, the loss never involves the logarithm of 0, however sure
# the discriminator is.
#
# The discriminator's loss is $-V$, estimated from a batch. Up to a factor of 2, this loss is the cross-entropy of an
# ordinary binary classifier that tells real points from generated ones.


# %% slideshow={"slide_type": "slide"} slide={"text": "## Two losses\n\n$D$ returns a logit $a$: $-\\log D = \\mathrm{softplus}(-a)$, and $-\\log(1-D) = \\mathrm{softplus}(a)$."}
def d_loss(g, d, x, z):
    fake = g(z).detach()  # (N, 1): the discriminator learns here, the generator does not
    return softplus(-d(x)).mean() + softplus(d(fake)).mean()  # −log D(x) − log(1 − D(G(z)))


# %% [markdown] slideshow={"slide_type": "notes"}
# The generator could minimize $E_z[\log(1 - D(G(z)))]$, the only term of $V$ that depends on $G$. Like almost everyone,
# we let the generator minimize $-E_z[\log D(G(z))]$ instead. Both of these losses fall as the discriminator assigns the
# generated points a higher probability of being real. Section 5 compares the two.


# %% slideshow={"slide_type": "-"}
def g_loss(g, d, z):
    return softplus(-d(g(z))).mean()  # −log D(G(z))


# %% [markdown]
# Each player has its own optimizer, which updates only that player's weights. We give Adam less momentum than usual
# ($\beta_1 = 0.5$), because old gradients become misleading as the other player moves. In PyTorch, an update takes the
# usual three lines.


# %%
def adam(network, lr):
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# %% [markdown] slideshow={"slide_type": "skip"}
# A *round* of the game is one update of the discriminator, followed by one of the generator. That is the whole
# algorithm.


# %% slideshow={"slide_type": "slide"} slide={"text": "## One round is one update of each player", "lines": "3-4", "show": "code"}
def play(g, d, optimizer_g, optimizer_d, rounds, batch=256):
    for _ in range(rounds):
        update(optimizer_d, d_loss(g, d, draw_data(batch), draw_noise(batch)))
        update(optimizer_g, g_loss(g, d, draw_noise(batch)))


@torch.no_grad()
def look(g, d):
    points = g(draw_noise(20_000))  # (20000, 1)
    return points, d(line).sigmoid()  # generated points, and D on the line, (200, 1)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Predict.** Data: dotted black. Generated points: a green histogram. $D$: dashed blue, from 0 to 1. Where will the histogram be after many rounds, and how high will $D$ be?"}
# **Predict.** The density of the data is drawn as a dotted black curve, the generated points as a green histogram, and
# $D$ as a dashed blue line, whose axis on the right runs from 0 to 1. After many rounds, what will the histogram of the
# generated points look like, and how high will $D$ be?

# %%
torch.manual_seed(seed)
g, d = player(), player()
optimizer_g, optimizer_d = adam(g, 1e-3), adam(d, 5e-3)
shots = {"before the game": look(g, d)}
played = 0
for stop in (rounds // 10, rounds // 2, rounds):
    play(g, d, optimizer_g, optimizer_d, stop - played)
    shots[f"round {stop}"] = look(g, d)
    played = stop

# %% alt="Four panels. A narrow green histogram near 0 moves to the dotted black bell at 2 and widens. The dashed blue curve D is flat at first. In the last panel it lies near one half in the middle of the bell, dips at the right end of the histogram, and is close to 1 outside the histogram." slideshow={"slide_type": "slide"} slide={"text": "## The green histogram moves to the data"}
figures.snapshots(line, density, shots)

# %%
for title, (points, _) in shots.items():
    print(f"{title:>15}: mean {points.mean():5.2f}, standard deviation {points.std():.2f}")

# %% tags=["check"]
start, end = shots["before the game"][0], shots[f"round {rounds}"][0]
# data: mean 2, deviation 1; games swing, so the bounds are wide
assert abs(end.mean() - 2) < 0.7 < abs(start.mean() - 2)
assert end.std() > 2 * start.std()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** It covers most of the data, and in the middle, where both kinds fall, $D$ ends near \u00bd."}
# **Answer.** The green histogram moves to the data and spreads until it covers most of them. In the middle of the data,
# where both kinds of points fall, $D$ ends near ½.

# %% [markdown]
# **Why?** While the two kinds of points lie in different places, the discriminator can tell them apart, and its slope
# shows the generator where to go. Once real and generated points lie in the same places, there is little left to tell
# them apart. Farther out there are hardly any points to learn from, so nothing corrects $D$, which may take any value
# there. Note also that the histogram ends abruptly on both sides. Since $z$ stays between −1 and 1, and $G$ is
# continuous, the values of $G(z)$ all lie in a bounded interval. The generator cannot reach the tails of the data
# unless it stretches the ends of the interval $(-1, 1)$ very far.

# %% [markdown]
# What is `detach` for? Detaching the generated points cuts the path from the discriminator's loss back into the
# generator. Let us leave out the `detach` and see whether a gradient reaches the generator.

# %%
g.zero_grad()
without_detach = softplus(d(g(draw_noise(256)))).mean()  # −log(1 − D(G(z))), from D's loss
without_detach.backward()
print(f"gradient that arrived in G: up to {g[0].weight.grad.abs().max():.4f}")


# %% [markdown]
# A gradient does reach the generator. This stray gradient does no harm as long as only $D$'s optimizer takes a step and
# $G$'s gradients are reset before $G$'s turn, as they are in `update`. But computing the stray gradient is wasted work.
# And the missing `detach` becomes a bug as soon as somebody drops the `zero_grad`, because a step down the gradient of
# the discriminator's loss makes the generated points *easier* to tell from real ones.
#
# From here on, most of our games are played with the implementation in `course_lib.toy_gan`. The package uses the same
# losses and optimizers as above, but computes every quantity exactly. In one dimension we can compute everything that
# the players cannot see: the density $q$ of the generated points, the best possible $D$, and every divergence. Not a
# single sample is needed for these computations. A `History` is a game that records its own course,
# and `History.column` returns all the recorded values of one of the measured quantities.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What is the best discriminator?\n\nHold $G$ still, so that $q$ is fixed, and let $D$ learn for as long as it likes.\n\n**Predict.** At $x$ the densities are $p(x)$ and $q(x)$. Where does $D(x)$ end? Try $p = q$ first, then $p = 3q$."}
# ## 2 · What is the best discriminator?
#
# Let us hold the generator still, so that $q$ is fixed, and let $D$ learn for as long as it likes.
#
# **Predict.** At some place $x$ the data have density $p(x)$ and the generated points have density $q(x)$. What value
# will $D(x)$ reach in the end? Try $p(x) = q(x)$ first, then $p(x) = 3 q(x)$.


# %%
def p(x):
    return 0.5 * norm.pdf(x, -2, 0.7) + 0.5 * norm.pdf(x, 2, 0.7)


def draw_hills(n):
    return 4 * torch.randint(2, (n, 1)) - 2 + 0.7 * torch.randn(n, 1)  # (n, 1), from p


def frozen_g(z):
    return 1.5 * z  # for normal z: q = N(0, 1.5²)


# %%
best = player()
optimizer = adam(best, 1e-2)
# the rate falls to 0, so that D comes to rest
decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=d_steps)
for _ in range(d_steps):
    update(optimizer, d_loss(frozen_g, best, draw_hills(1000), torch.randn(1000, 1)))
    decay.step()

# %%
x = np.linspace(-5, 5, 1001)  # (1001,)
q = norm.pdf(x, 0, 1.5)
with torch.no_grad():
    learned = best(torch.tensor(x, dtype=torch.float32)[:, None]).sigmoid()[:, 0].numpy()

# %% alt="Left: two dotted black hills at plus and minus 2 and one broad green hill at 0. Right: the trained D, dashed blue, follows the thick pink curve p over p plus q over two bumps and the dip between them, and leaves it at both ends, where there are hardly any points." slideshow={"slide_type": "slide"} slide={"text": "## It is the share of real points"}
figures.best_discriminator(x, p(x), q, learned)

# %%
density_of_points = (p(x) + q) / 2  # half of what D sees is real
distance = np.abs(learned - p(x) / (p(x) + q))
d_error = np.trapezoid(density_of_points * distance, x)
print(f"average distance of D from p / (p + q): {d_error:.3f}")

# %% tags=["check"]
assert d_error < 0.06  # a small network cannot bend at will, and its data are samples


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** \u00bd where $p = q$, and \u00be where $p = 3q$:$\\quad D^*(x) = \\dfrac{p(x)}{p(x) + q(x)}$"}
# **Answer.** $D(x)$ ends at the share of real points among all points near $x$, which is ½ where $p = q$ and ¾ where
# $p = 3q$. The trained $D$ follows the share of real points closely, except at both ends of the
# plotted range, where hardly any points fall and nothing corrects it. The optimal discriminator is
#
# $$D^*(x) = \frac{p(x)}{p(x) + q(x)}$$

# %% [markdown]
# **Why?** $V$ is an integral, $\int p(x) \log D(x) + q(x) \log(1 - D(x)) \, dx$, and $D$ may choose its value at each
# $x$ separately, so we maximize the integrand at each $x$. The derivative of the integrand with respect to $D$ is zero
# where
#
# $$\frac{p}{D} = \frac{q}{1 - D},$$
#
# that is, where $p (1 - D) = q D$, so that $D = p/(p + q)$. The second derivative, $-p/D^2 - q/(1 - D)^2$, is negative,
# so this is the maximum.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What does G lower against the best D?\n\nWith $m = (p + q)/2$,\n\n$$V(D^*, G) = E_p\\left[\\log \\frac{p}{2m}\\right] + E_q\\left[\\log \\frac{q}{2m}\\right] = -\\log 4 + 2\\,\\mathrm{JSD}(p, q)$$\n\nso the loss of the **best** $D$ measures how far $q$ is from $p$:\n\n$$2\\,\\mathrm{JSD}(p, q) = \\log 4 - L_D$$\n\nAny other $D$ has a larger loss, and gives only a lower bound."}
# Now substitute the best discriminator, $D^* = p/(p + q)$, back into $V$. With the mixture $m = (p + q)/2$ of the two
# densities, $D^* = p/(2m)$ and $1 - D^* = q/(2m)$, so that
#
# $$V(D^*, G) = E_p\left[\log \frac{p}{2m}\right] + E_q\left[\log \frac{q}{2m}\right] = -\log 4 + \mathrm{KL}(p \,\|\, m) + \mathrm{KL}(q \,\|\, m) = -\log 4 + 2\,\mathrm{JSD}(p, q).$$
#
# The last step uses the definition of the *Jensen–Shannon divergence*,
# $\mathrm{JSD} = \frac12 \mathrm{KL}(p \| m) + \frac12 \mathrm{KL}(q \| m)$. This divergence is 0 if $p = q$ and
# reaches its maximum, $\log 2$, if $p$ and $q$ do not overlap. The discriminator's loss is $L_D = -V$, so the loss of
# the best discriminator measures how far the generator is from the data:
#
# $$2\,\mathrm{JSD}(p, q) = \log 4 - L_D \qquad \text{at the best } D.$$
#
# Any other discriminator has a larger loss, so that for it $\log 4 - L_D$ is only a lower bound on
# $2\,\mathrm{JSD}$. Keep this bound in mind for section 6.
#
# We compute both sides of the equation by numerical integration, for $p = N(0, 1)$ and $q = N(2, 1)$. For these two
# Gaussians, the logit of the best discriminator is $\log p - \log q = \mu^2/2 - \mu x$ with $\mu = 2$.


# %%
def integral(f):
    return quad(f, -20, 20, limit=200)[0]


def best_loss(mu):
    """The loss of the best D for p = N(0, 1) and q = N(μ, 1), in nats."""

    def pays(x):
        logit = mu**2 / 2 - mu * x
        return norm.pdf(x) * np.logaddexp(0, -logit) + norm.pdf(x, mu) * np.logaddexp(0, logit)

    return integral(pays)


# %%
def jensen_shannon(mu):
    """JSD(N(0, 1), N(μ, 1)) from its definition, in nats."""

    def both_halves(x):
        log_p, log_q = norm.logpdf(x), norm.logpdf(x, mu)
        log_m = np.logaddexp(log_p, log_q) - math.log(2)
        return np.exp(log_p) * (log_p - log_m) / 2 + np.exp(log_q) * (log_q - log_m) / 2

    return integral(both_halves)


# %%
print(f"log 4 − D's loss: {math.log(4) - best_loss(2):.6f}")
print(f"2 · JSD:          {2 * jensen_shannon(2):.6f}")

# %% tags=["check"]
assert abs(-best_loss(2) - (-0.712633)) < 1e-6  # the known value of V(D*, G), to its last digit
assert abs(jensen_shannon(2) - 0.336831) < 1e-6
for mu in (0.5, 2, 5):
    difference = math.log(4) - best_loss(mu) - 2 * jensen_shannon(mu)
    assert abs(difference) < 1e-9  # the identity holds, up to the quadrature's error

# %% [markdown]
# ## 3 · One step of the generator
#
# Now we hold the discriminator still and let the generator take *one* step. Here the data are standard normal, which is
# the package's default. The generated points start to the left of the data, and $D$ has learned that the data lie
# farther to the right.

# %%
hill = History(Settings(z="normal", start=-3.0, batch=1000, seed=seed))
hill.play(frames=1, steps=20)  # a few rounds of the game,
for _ in range(100):
    hill.game.update_d()  # then D continues to learn alone
hill.keep()
before = hill.game.state()

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## One step of the generator\n\n$D$ is held still. It has learned that the data are farther right.\n\n**Predict.** What happens to the generated points if the step is small? What if it is large?"}
# **Predict.** What happens to the generated points if the step is small? What if it is large?
#
# Starting from the same state each time, we take one step of plain gradient descent and vary only the learning rate.

# %%
lengths = np.logspace(-3, 0.3, 30)
after = []
for length in lengths:
    hill.game.restore(before)
    hill.game.change(optimizer_g="sgd", lr_g=float(length))
    hill.game.update_g()
    after.append(hill.game.record())

# %%
means = np.array([a["mean"] for a in after])
jsds = np.array([a["jsd"] for a in after])
jsd_before = float(hill.column("jsd")[-1])

# %% alt="Left: as the learning rate of the one step grows, the mean of the generated points rises from about minus 2.5 through 0 to more than 20. Right: the JSD falls from the dotted level to a minimum at a middle rate, then rises again to slightly above that level."
figures.lengths_of_step(lengths, means, jsds, jsd_before)

# %% [markdown]
# Let us look at the game before the step, and after each of three steps of different lengths: a short one, the best
# one, and one that is too long.

# %%
chosen = {
    "short": lengths[means > means[0] + 0.3][0],
    "best": lengths[jsds.argmin()],
    "too long": lengths[means > 4][0],
}
for length in chosen.values():
    hill.game.restore(before)
    hill.game.change(optimizer_g="sgd", lr_g=float(length))
    hill.game.update_g()
    hill.keep()

# %% alt="Four panels with the same dashed D, which rises from near 0 on the left to nearly 1. Before the step, and after the short one, the green points lie in a spike on the left. After the best step they overlap the dotted data. After the step that is too long they lie to the right of the data, in a spike with a long tail." slideshow={"slide_type": "slide"} slide={"text": "## Short, right, and too long"}
titles = ["before the step"]
titles += [f"{name} step, rate {length:.2g}" for name, length in chosen.items()]
moments(hill, [2, 3, 4, 5], titles)

# %%
print(f"best step: JSD {jsd_before:.2f} before, {jsds.min():.2f} after")
print(f"longest step: mean of the points {means[-1]:.1f}, mean of the data 0; JSD {jsds[-1]:.2f}")

# %% tags=["check"]
assert (np.diff(means[lengths < 0.05]) > 0).all()  # while steps are short, longer ones go farther
assert means[-1] > 3  # the longest step ends beyond the data, by more than three deviations
assert jsds[-1] > jsds.min() + 0.2  # and is far worse than the best one

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Towards the data; among them; or far past them, to where hardly any point has ever been. This is the *overshoot*."}
# **Answer.** A small step moves the points towards the data. A step of the right length puts many of the generated
# points among the data. A large step carries them far past the data, into a region where hardly any point, real or
# generated, has ever been.

# %% [markdown]
# **Why?** Each point feels only the slope of $D$ at its own place. The slope tells a point which way is up, but the
# learning rate decides how far the point goes. $D$ is high far to the right of the data as well, because it has seen no
# points there that would have taught it otherwise. This is the *overshoot* that the lecture warns of: the generator may
# move too far. On its next turn, the discriminator sees the points that went too far, and learns to say "fake".

# %% [markdown]
# Now play the game yourself. **Play** (or space) starts and pauses it, **Step** (or →) plays one round, **Reset** (or
# r) starts again from the beginning, and the **timeline** takes you back to earlier rounds. Choose a preset, read what
# it promises, and see whether it keeps its promise. You can also draw a density for the data by hand.

# %% alt="The widget shows four moments of a game in which the green generator spreads over the two hills of the dotted data while the dashed D bends towards the pink D star. Next to them, a chart shows the true JSD falling." slideshow={"slide_type": "slide"} slide={"text": "## Play it: balanced, overshoot, collapse, rotation"}
ToyGAN()


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Why D is frozen while G learns\n\n$G$'s loss falls if the samples get better, or if $D$ calls everything real.\n\n**Predict.** We put $D$'s weights into $G$'s optimizer, too. Does the loss fall faster? Do the samples move farther?"}
# ## 4 · Why the discriminator is frozen while the generator learns
#
# The generator is trained *through* the discriminator. The generator's loss could therefore be lowered in two ways: by
# better samples, or by a discriminator that calls everything real. The lecture warns of the second way: if $D$'s
# weights are not held fixed during the generator's step, $D$ can simply output 1. In our code this cannot happen,
# because $G$'s optimizer updates only $G$'s weights. What happens if we forget to freeze $D$?
#
# Starting from the same state, we take 40 generator steps twice, once with the discriminator frozen and once with its
# weights added to the generator's optimizer. When the discriminator is not frozen, both networks learn at the *same*
# rate. We repeat the experiment from several random starts.


# %%
def middle_of_a_game(seed):
    torch.manual_seed(seed)
    g, d = player(), player()
    g[-1].bias.data -= 2  # so that G starts on the left of the data
    optimizer_d = adam(d, 5e-3)
    play(g, d, adam(g, 1e-3), optimizer_d, rounds=20)
    for _ in range(100):  # then D continues to learn alone
        update(optimizer_d, d_loss(g, d, draw_data(256), draw_noise(256)))
    return g, d


# %%
def generator_steps(g, d, learners, steps=40):
    optimizer = torch.optim.Adam(learners, lr=1e-3)
    losses, means = [], []
    for _ in range(steps):
        z = draw_noise(256)
        means.append(g(z).mean().item())
        loss = g_loss(g, d, z)
        losses.append(loss.item())
        update(optimizer, loss)
    return np.array(losses), np.array(means) - means[0]  # (40,) each


# %% [markdown]
# **Predict.** In which of the two cases does the generator's loss fall faster, and in which do the samples move farther
# towards the data?

# %%
paths = {"D frozen": [], "D free": []}
for s in range(n_seeds):
    start = middle_of_a_game(s)
    for name in paths:
        g, d = copy.deepcopy(start)
        learners = list(g.parameters())
        if name == "D free":
            learners += list(d.parameters())
        paths[name].append(generator_steps(g, d, learners))

# %% alt="Left: the generator's loss over 40 steps, one line for each seed. The dashed lines with D free fall faster than the solid ones with D frozen. Right: the mean of the points moves by about 1 in both cases, and the lines of the two overlap." slideshow={"slide_type": "slide"} slide={"text": "## A falling loss, and no better samples"}
figures.frozen_and_free(paths)

# %%
loss_at_10, moved = {}, {}
for name, seeds in paths.items():
    loss_at_10[name] = np.array([losses[10] for losses, _ in seeds])  # (S,)
    moved[name] = np.array([means[-1] for _, means in seeds])
    print(
        f"{name}: loss after 10 steps {loss_at_10[name].round(2)}, "
        f"moved {moved[name].round(2)} in 40"
    )

# %% tags=["check"]
# on each seed the loss falls faster with D free; the points move less on average
assert (loss_at_10["D free"] < loss_at_10["D frozen"]).all()
assert moved["D free"].mean() < moved["D frozen"].mean()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The loss falls faster with $D$ free, and the samples move a little less: good news about the wrong player."}
# **Answer.** With the discriminator free, the loss falls faster on every seed, and on average the samples move less.
# But the samples move almost equally far in the two cases. At equal learning rates, and over only
# forty steps, a discriminator that is left free does the generator little harm.

# %% [markdown]
# **Why?** The cheapest way to lower $-\log D$ is to raise $D$ everywhere, which takes little more than a larger bias.
# As $D$ approaches 1, the loss approaches 0, and so does the gradient that the generator receives.
# A falling generator loss may then mean only that the discriminator has become more lenient, not
# that the generator has improved. In these runs, however, the generator's loss stays above
# $\log 2$ for more than half of the forty steps. During these steps $D$ still leans towards "fake",
# so the generator's gradient stays large.

# %% [markdown]
# What if $D$ stays free for a whole game? A free $D$ still takes its own steps between those of $G$, so the two losses
# pull it in different directions.
#
# **Predict.** Where does the generator's loss end in a game of 400 rounds, with $D$ frozen and with $D$ free? (At the
# ideal end of a game, $D = \frac12$ and $-\log D = \log 2 = 0.69$.)

# %%
equal = {"data": "two modes", "z": "normal", "lr_d": 1e-3, "lr_g": 1e-3}
whole = {"D frozen": [], "D free": []}
for name, games in whole.items():
    for s in range(n_seeds):
        game = History(Settings(freeze_d=name == "D frozen", seed=s, **equal))
        game.play(frames=20, steps=rounds // 50)
        games.append(game)

# %% alt="Left: with D frozen the generator's loss ends near the dotted line at 0.69. With D free it ends well below, near 0.4, on every seed. Right: the JSD starts near 0.6 in both kinds of game and falls, sooner with D frozen. At the end two lines with D free lie above all the others."
titles = {"loss_g": "generator's loss (dotted: log 2)", "jsd": "JSD(p, q), nats"}
figures.runs(whole, titles, levels={"loss_g": math.log(2)})

# %%
whole_loss, whole_jsd = {}, {}
for name, games in whole.items():
    whole_loss[name] = np.array([game.column("loss_g")[-5:].mean() for game in games])  # (S,)
    whole_jsd[name] = np.array([game.column("jsd")[-5:].mean() for game in games])
    print(
        f"{name}: generator's loss {whole_loss[name].mean():.3f}, JSD {whole_jsd[name].mean():.3f}"
    )

# %% tags=["check"]
assert (whole_loss["D free"] < whole_loss["D frozen"] - 0.15).all()  # on every seed
assert whole_jsd["D free"].mean() > whole_jsd["D frozen"].mean() - 0.05  # and no better for it


# %% [markdown]
# **Answer.** With $D$ frozen the generator's loss ends near $\log 2$. With $D$ free, the generator's loss ends far
# lower, near $0.41 = -\log \frac23$, but the samples are no better for it.

# %% [markdown]
# **Why?** At each $x$ a free discriminator is pulled by three terms instead of two. The discriminator's own steps raise
# $p \log D + q \log(1 - D)$, and the generator's steps raise $q \log D$. As in section 2, we set
# the derivative with respect to $D$ to zero, this time that of the sum of all three terms. This
# gives $(p + q)/D = q/(1 - D)$, and hence
#
# $$D(x) = \frac{p(x) + q(x)}{p(x) + 2 q(x)}.$$
#
# This value of $D$ lies between ½ and 1, so such a discriminator *never* says "fake", not even where there are no data
# at all. Where $p = q$, a free discriminator says $\frac23$. The lecture is right about the direction: a free $D$ does
# lean towards "real". But at the equal learning rates used here, $D$ does not go all the way to 1 as long as it also
# takes steps of its own.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Which loss for the generator?\n\nSaturating: lower $\\log(1 - D)$. Non-saturating: lower $-\\log D$. Both are lowest at $D = 1$.\n\n**Predict.** $G$ is far off, and $D$ is nearly sure that its points are fake. Which loss has the larger gradient?"}
# ## 5 · Which loss for the generator?
#
# The generator wants $D(G(z))$ to be near 1. According to the value function $V$, the generator should minimize
# $\log(1 - D)$, which is called the *minimax* or *saturating* loss. In section 1 we minimized the *non-saturating*
# loss, $-\log D$, instead. Both losses fall as $D$ rises towards 1.
#
# **Predict.** The generator is far off, and the best discriminator is nearly sure that the generated points are fake.
# Which loss has the larger gradient?
#
# Let $p = N(0, 1)$ and $q = N(\mu, 1)$ again. We hold $D$ fixed at its optimum, with the logit
# $a(x) = \mu^2/2 - \mu x$, and move only the generated points. What moves a point at $x$ is the
# derivative of its loss with respect to $x$. By the chain rule, we multiply the derivative of the
# loss with respect to the logit by the slope of the logit, $a'(x) = -\mu$:
#
# $$\frac{d}{dx} \log(1 - D) = -\sigma(a)\, a' = \mu\, D(x), \qquad \frac{d}{dx} (-\log D) = -(1 - \sigma(a))\, a' = \mu\, (1 - D(x)).$$


# %%
def best_d(x, mu):
    return norm.pdf(x) / (norm.pdf(x) + norm.pdf(x, mu))


def saturating(mu):
    return integral(lambda x: norm.pdf(x, mu) * mu * best_d(x, mu))


def non_saturating(mu):
    return integral(lambda x: norm.pdf(x, mu) * mu * (1 - best_d(x, mu)))


# %%
distances = np.linspace(0.25, 6, 24)
pulls = {
    "lower −log D (non-saturating)": [non_saturating(mu) for mu in distances],
    "lower log(1 − D) (saturating)": [saturating(mu) for mu in distances],
}

# %% alt="On a logarithmic axis, the solid curve of the non-saturating loss rises steadily with the distance. The dashed curve of the saturating loss rises a little, turns, and falls by more than a factor of ten." slideshow={"slide_type": "slide"} slide={"text": "## One gradient vanishes, the other does not"}
figures.gradients(distances, pulls)

# %%
print(f"at distance 2: {saturating(2):.4f} for log(1 − D), {non_saturating(2):.4f} for −log D")
print(f"at distance 6: {saturating(6):.4f} for log(1 − D), {non_saturating(6):.4f} for −log D")

# %% tags=["check"]
assert abs(saturating(2) - 0.4496) < 1e-4  # known to four digits
assert abs(non_saturating(2) - 1.5504) < 1e-4


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The non-saturating loss: its gradient contains the factor $1 - D \\approx 1$, that of the other $D \\approx 0$."}
# **Answer.** The [non-saturating loss](../docs/glossary.md#non-saturating-loss) has the larger gradient. At distance 2,
# its gradient is more than three times as large as that of the saturating loss, and at distance 6 more than four
# hundred times as large.

# %% [markdown]
# **Why?** Where $D$ is sure that a point is fake, $D(x)$ is near 0. The factor $D$ in the gradient of $\log(1 - D)$
# then nearly vanishes, while the factor $1 - D$ in the gradient of $-\log D$ is nearly 1. A generator whose points are
# far from the data needs the non-saturating loss.

# %% [markdown]
# What does each loss minimize when the generator plays against the best $D$? For the saturating loss, section 2 gives
# the answer: its gradient is that of $2\,\mathrm{JSD}(p, q)$. ($D^*$ changes with $G$ too, but at the maximum of $V$
# over $D$ a small change of $D$ makes no difference to first order.) For the non-saturating loss we write
#
# $$-\log D^* = \log\frac{p + q}{p} = \log\frac{q}{p} - \log\frac{q}{p + q} = \log\frac{q}{p} - \log(1 - D^*).$$
#
# Averaged over the generated points, the first term on the right is $\mathrm{KL}(q \,\|\, p)$, while $\log(1 - D^*)$
# has the same gradient as $2\,\mathrm{JSD}$. (In $\log(q/p)$, too, $q$ comes from $D^*$ and is held fixed. The gradient
# of the KL divergence is the same nevertheless, because a change of $\log q$ contributes nothing to it:
# $E_q[\nabla \log q] = \int \nabla q \, dx = \nabla \int q \, dx = 0$, where $\nabla$ is the gradient with respect to
# $G$'s weights.) So the gradient of the non-saturating loss is that of
#
# $$\mathrm{KL}(q \,\|\, p) - 2\,\mathrm{JSD}(p, q),$$
#
# as Arjovsky & Bottou (2017) found. The formula reveals two weaknesses. In this KL divergence the generator's density
# comes first, so the penalty is heavy for points where there are no data, but light for data that the generator leaves
# out. Moreover, the [JSD](../docs/glossary.md#jensenshannon-divergence-jsd) enters with the wrong
# sign, so that minimizing its term pushes $q$ away from $p$. We check the gradients of both
# generator losses by finite differences.


# %%
def slope(f, mu, h=1e-3):
    return (f(mu + h) - f(mu - h)) / (2 * h)


def kl_less_jsd(mu):
    return mu**2 / 2 - 2 * jensen_shannon(mu)  # KL(N(μ, 1) ‖ N(0, 1)) = μ²/2


# %% tags=["check"]
# finite differences err by about h²
assert abs(2 * slope(jensen_shannon, 2) - saturating(2)) < 1e-5
assert abs(slope(kl_less_jsd, 2) - non_saturating(2)) < 1e-5

# %% [markdown]
# ### When nothing overlaps
#
# The trouble with the saturating loss lies in the JSD itself. Let the data be uniform on the interval from 0 to 1, and
# the generated points uniform on the interval from $\mu$ to $\mu + 1$.
#
# **Predict.** How does the JSD change as $\mu$ grows from 0 to 3?
#
# For comparison we compute the *Wasserstein distance* $W_1$, the least work needed to turn $q$ into $p$ by moving its
# mass. Work here means mass times distance. On a line, $W_1$ is the area between the two cumulative distribution
# functions.

# %%
cell = 0.01
left = np.arange(0, 4, cell)  # the left ends of 400 cells of the line


def block(mu):
    inside = (left > mu - cell / 2) & (left < mu + 1 - cell / 2)
    return torch.tensor(inside / inside.sum())  # (400,), the mass of each cell


# %%
shifts = np.arange(0, 3, 0.1)
flat_jsd = [float(exact.jsd(block(0), block(mu))) for mu in shifts]
work = [float(exact.wasserstein(block(0), block(mu), cell)) for mu in shifts]

# %% alt="Left: the JSD of two blocks rises with their shift until they part at shift 1, then stays flat on the dotted level log 2. Right: the Wasserstein distance is a straight line through the origin, with no bend where the blocks part."
figures.divergences(shifts, flat_jsd, work)

# %% tags=["check"]
apart = shifts > 1.05
assert np.allclose(np.array(flat_jsd)[apart], math.log(2), atol=1e-12)  # exact: no cell is shared
assert np.allclose(work, shifts, atol=cell)  # shifted mass, to a cell's width

# %% [markdown]
# **Answer.** The JSD rises to $\log 2$ at $\mu = 1$ and then stays there, while $W_1 = \mu$ throughout.

# %% [markdown]
# **Why?** As soon as the two intervals have no point in common, a perfect discriminator exists. The mixture is then
# $m = p/2$ wherever there are data and $m = q/2$ wherever there are generated points, so both KL terms are $\log 2$,
# however far apart the intervals lie. A constant has no gradient. The JSD says *that* $q$ is wrong, but not which way
# to move it. With images, such a lack of overlap is the rule: digits occupy only a thin sheet in
# the space of all images with 784 pixels, and two such sheets share almost no points (Arjovsky &
# Bottou 2017).

# %% [markdown]
# The *Wasserstein GAN* (Arjovsky, Chintala & Bottou 2017) replaces the discriminator with a *critic* that estimates
# $W_1$. The critic's output may be any number, but its slope should not exceed 1 in absolute value.
# The slope is kept in check by clipping the critic's weights or by penalizing the slope itself. The
# widget in section 3 also offers the loss of the Wasserstein GAN.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What do the losses tell?\n\nTwo kinds of game on the same data: one at a good pace; in the other $D$ is fifty times slower and $G$ five times faster.\n\n**Predict.** Can you tell from $D$'s loss which generator is the better one?"}
# ## 6 · What do the losses tell?
#
# We play two kinds of game on the same data, a standard normal distribution. In the first kind, the discriminator
# learns at a good pace. In the second kind, the discriminator learns fifty times more slowly, and the generator five
# times faster.
#
# **Predict.** Can you tell from $D$'s loss which generator is the better one?

# %%
paces = {"good pace": {}, "weak D": {"lr_d": 1e-4, "lr_g": 5e-3}}
games = {name: [] for name in paces}
for name, changes in paces.items():
    for s in range(n_seeds):
        game = History(Settings(seed=s, **changes))
        game.play(frames=20, steps=20)
        games[name].append(game)

# %% alt="Left: D's loss settles just below the dotted line at log 4 in the games with a good pace, and swings widely on both sides of it with a weak D. Right: the JSD ends near 0 in the games with a good pace and stays far above that in the games with a weak D." slideshow={"slide_type": "slide"} slide={"text": "## The loss does not know"}
titles = {
    "loss_d": "D's loss: what you see (dotted: log 4)",
    "jsd": "JSD(p, q), nats: what is true",
}
figures.runs(games, titles, levels={"loss_d": math.log(4)})

# %%
late_loss, late_jsd = {}, {}
for name, seeds in games.items():
    late_loss[name] = np.array([game.column("loss_d")[-5:].mean() for game in seeds])  # (S,)
    late_jsd[name] = np.array([game.column("jsd")[-5:].mean() for game in seeds])
    print(f"{name}: D's loss {late_loss[name].mean():.2f}, JSD {late_jsd[name].mean():.3f}")

# %% tags=["check"]
assert abs(late_loss["good pace"].mean() - late_loss["weak D"].mean()) < 0.2  # of 1.39
assert late_jsd["weak D"].min() > 2 * late_jsd["good pace"].max()  # on every seed


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** No. Both hover around $\\log 4$: a fooled $D$ says \u00bd, and so does one that knows nothing."}
# **Answer.** No. The loss of a weak $D$ swings more widely, but on average the discriminator's loss is near
# $\log 4 = 1.39$ in both kinds of game. The generators, however, are far from equally good: with a weak $D$, the JSD is
# many times as large as in the games in which $D$ learns at a good pace.

# %% [markdown]
# **Why?** A discriminator that faces a perfect generator says ½, and so does one that has learned nothing. In both
# cases, the discriminator's loss is $2 \log 2 = \log 4$. As section 2 showed, $\log 4 - L_D$ is a lower bound on
# $2\,\mathrm{JSD}$. This bound is tight only for the best $D$, and nothing tells you how close your
# discriminator is to the best one. So people sit and watch the pictures, as the lecture says. Or
# they judge the samples by a measure that plays no part in the game, as we do in
# [GANs on MNIST](08_gan.ipynb).

# %% [markdown]
# ## 7 · Well matched, badly matched
#
# How carefully must the two learning rates be chosen? We play two games for each pair of rates. Towards the end of each
# game we measure the *total variation* $\frac12 \int |p - q|\, dx$, the share of the probability mass that lies in the
# wrong place. Let us call a pair of learning rates good if the total variation, averaged over the
# games played at these rates, is below 0.35.
#
# **Predict.** Where on the map of learning rates will the good region lie: on the diagonal, where both players learn
# equally fast, or elsewhere?


# %%
def wrong_mass(lr_d, lr_g, seed, rounds):
    game = History(Settings(seed=seed, lr_d=lr_d, lr_g=lr_g))
    game.play(frames=1, steps=rounds - 50)
    game.play(frames=10, steps=5)
    return game.column("tv")[-10:].mean()  # over some late moments, because games swing


# %%
wrong = np.zeros((len(rates), len(rates)))  # (G's rates, D's rates)
for i, lr_g in enumerate(rates):
    for j, lr_d in enumerate(rates):
        for s in range(map_seeds):
            wrong[i, j] += wrong_mass(lr_d, lr_g, s, map_rounds) / map_seeds

# %% alt="A square map of numbers, with D's learning rate on the horizontal axis and G's on the vertical axis. The light cells with little wrong mass lie below the diagonal, where D learns faster than G. The upper left corner is dark."
figures.rate_map(wrong, rates, map_rounds)

# %%
good = wrong < 0.35
d_faster = np.array(rates)[None, :] > np.array(rates)[:, None]  # [i, j]: D's rate j > G's rate i
print(
    f"{good.sum()} of {good.size} pairs are good; "
    f"in {(good & d_faster).sum()} of them D is the faster player"
)

# %% [markdown]
# A map like this depends on how long the games last. Pairs of low learning rates may simply need more time. We give
# both players the lowest learning rate on the map and let them play longer.

# %%
game, slow = History(Settings(seed=seed, lr_d=rates[0], lr_g=rates[0])), {}
for budget in longer:
    game.play(frames=1, steps=budget - game.game.rounds - 50)
    game.play(frames=10, steps=5)
    slow[budget] = float(game.column("tv")[-10:].mean())
    print(f"both rates {rates[0]:g}, {budget:5d} rounds: {slow[budget]:.2f} in the wrong place")

# %% tags=["check"]
assert 0 < good.mean() < 0.75  # some pairs work, far from all
assert slow[longer[-1]] < slow[longer[0]]  # the slow pair gets better with time

# %% [markdown]
# **Answer.** The good region lies where the discriminator is the faster player, not on the diagonal, and there $D$ may
# be many times faster. But the map shows only what works *within a fixed number of rounds*. In the game that we played
# for longer, the pair of low learning rates, which is bad after 300 rounds, turns out to be good
# after 1,000. Another 1,000 rounds bring no further gain.

# %% [markdown]
# **Why?** The generator follows the slope that $D$ has now. A slow discriminator still describes where the generated
# points were some rounds ago, and drives them away from there, no matter where the data are. If both players take very
# long steps, $D$ changes completely from one round to the next, and no version of it lasts long enough for the
# generator to follow. If both players are slow, the game may simply have been stopped too early.
# More rounds are not always enough, though: at equal rates, even many rounds may leave more mass in
# the wrong place than a well-chosen pair of rates leaves after 300.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Collapse\n\nThe data have three hills. In the middle of a good game, $D$ is made five times slower and $G$ twenty times faster.\n\n**Predict.** Will all $z$ go to the same place? If so, do they stay there?"}
# ## 8 · Collapse, and recovery
#
# The lecture describes a generator that produces almost the same image whatever $z$ is, and still fools the
# discriminator with it. This is *[mode collapse](../docs/glossary.md#mode-collapse)*. In one dimension, an image is a
# single number, and we recognize a collapse by the standard deviation of the generated points, which falls to nearly 0.
# We call the generator collapsed whenever the standard deviation of its points is below 0.5. The standard deviation of
# the data is 2.7.
#
# The data have three hills. In the first part of the game, the learning rates suit both players. Then we make $D$ five
# times slower and $G$ twenty times faster.
#
# **Predict.** Will every $z$ be sent to the same place, and if so, will the points stay there?

# %%
change = 20 * frames  # the round in which the rates change
collapsed = []
for s in range(n_seeds):
    game = History(Settings(data="three modes", seed=s))
    game.play(frames, steps=20)
    game.change(lr_d=1e-3, lr_g=2e-2)  # D from 5e-3, G from 1e-3
    game.play(frames, steps=20)
    collapsed.append(game)

# %% alt="Left: the standard deviation of the generated points, one line for each seed, rises from 0 to about 3 before the vertical line. After the line it jumps up on some seeds and then falls below the dotted level 0.5 on all of them. Right: their mean moves little before the line and jumps about after it." slideshow={"slide_type": "slide"} slide={"text": "## All of them to one place, but not for good"}
titles = {"std": "standard deviation of the points", "mean": "their mean"}
figures.runs({"G made too fast": collapsed}, titles, levels={"std": 0.5}, changes=[change])

# %%
late = slice(-(frames // 2), None)  # the second half of the time since the change
narrow = np.array([(game.column("std")[late] < 0.5).mean() for game in collapsed])  # (S,), shares
travel = np.array([np.ptp(game.column("mean")[late]) for game in collapsed])  # (S,)
late_losses = np.array([game.column("loss_d")[late] for game in collapsed])  # (S, T)
fooled = late_losses.mean(1)
just_before = slice(frames - 5, frames + 1)  # the last moments before the change
paid_before = np.array([game.column("loss_d")[just_before].mean() for game in collapsed])
print(f"collapsed in {narrow.mean():.0%} of the late moments")
print(
    f"D's loss: {paid_before.mean():.2f} before the change, {fooled.mean():.2f} in these moments,"
)
print(f"where single moments range from {late_losses.min():.1f} to {late_losses.max():.1f}")
print(f"the mean travels at least {travel.min():.1f} units along x")

# %% tags=["check"]
spread_before = np.array([game.column("std")[frames] for game in collapsed])
assert spread_before.min() > 2 and narrow.min() > 0.8  # spread out, then collapsed, on every seed
assert travel.min() > 1  # no place holds them
assert abs(fooled.mean() - math.log(4)) < 0.3  # a D that has lost pays log 4

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Yes, on every seed. But the lump does not stay anywhere for good. The average of $D$'s loss does not show the collapse."}
# **Answer.** Yes, every $z$ is sent to nearly the same place, on every seed. But the collapsed points do not settle
# anywhere for good. In every game, the whole cluster of points is still moving late on: in the
# second half of the period after the change, it travels at least two units, although in some games
# it stays put for a hundred rounds or more. (In some games the points first overshoot and lie far
# apart before they gather.)

# %% [markdown]
# **Why?** If $D$ stood still, the best that $G$ could do would be to send *every* $z$ to the one place where $D$ is
# highest. The faster $G$ learns, the closer it comes to playing against a discriminator that stands still. But $D$ then
# learns that points in this place are fake and lowers its value there, and the points leave
# together, because points in the same place all feel the same slope. Nothing in $G$'s loss asks for
# variety. Only $D$ can enforce variety, by keeping up with $G$. On average, $D$'s loss stays nearly
# as high as it was before the change,
# between 1.0 and 1.4 for each seed, although within a game it may swing between 0.3 and 2.8. (A
# $D$ that cannot tell the two kinds apart pays 1.39, and one that has won pays nearly 0.) So the
# average of $D$'s loss does not show the collapse.

# %% [markdown]
# Is a collapsed generator lost? Points that lie in the same place all feel the same slope of $D$. We restore the
# original rates and play on.
#
# **Predict.** Will the points spread out again all the same?

# %%
for game in collapsed:
    game.change(lr_d=5e-3, lr_g=1e-3)
    game.play(recovery, steps=20)

# %% alt="The standard deviation over all three parts of the games. It rises before the first vertical line, falls below the dotted level before the second, and rises above that level again on every seed."
titles = {"std": "standard deviation of the points"}
changes = [change, 2 * change]
figures.runs({"rates put right again": collapsed}, titles, levels={"std": 0.5}, changes=changes)

# %% alt="The generator as a function of z at three moments. At first it climbs over the range of the data, in the collapse it is nearly flat, and at the end it is a bent curve that spans a part of the range again. On the right is the dotted density of the data, with three hills."
at = {"before the change": frames, "collapsed": 2 * frames, "at the end": collapsed[0].at}
figures.generators(collapsed[0], at)

# %%
recovered = np.array([game.column("std")[-10:].mean() for game in collapsed])  # (S,)
jsd_recovered = np.array([game.column("jsd")[-10:].mean() for game in collapsed])
hills = [int(game.column("modes")[-1]) for game in collapsed]
print(f"standard deviation {20 * recovery} rounds later: {recovered.round(1)}, data 2.7")
print(f"JSD: {jsd_recovered.round(2)}; hills of the data reached, out of 3: {hills}")

# %% tags=["check"]
assert recovered.min() > 1  # twice the level that counts as a collapse, on every seed


# %% [markdown]
# **Answer.** Yes, they spread out again on every seed. But a game need not return to the state that it was in before
# the collapse. The last line printed above shows how many of the three hills of the data the
# generated points reach by the end of each game.
# The figure that shows the generator at three moments covers only the first game, whose results
# come first in the printed lists. In our run,
# this game recovered least, so the figure does not show how well a game typically recovers.

# %% [markdown]
# **Why?** The points are never in exactly the same place, because $G$ depends on $z$, if only a little. Once $D$ keeps
# up, its curve sinks where the generated points are crowded together, so that a hollow forms there. Points on opposite
# sides of the hollow are pushed apart, so the generated points spread out again. With images, a collapse is often
# harder to undo, perhaps because there are many more directions in which to go wrong.

# %% [markdown]
# In practice, a single batch is enough to recognize a collapse, because the samples look alike.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Round and round: the Dirac-GAN\n\nData: a point at 0. Generator: a point at $\\theta$. Discriminator: the logit $\\psi x$.\n\n$$\\dot\\theta = \\sigma(\\psi\\theta)\\, \\psi, \\qquad \\dot\\psi = -\\sigma(\\psi\\theta)\\, \\theta - \\gamma \\psi$$\n\n**Predict.** Starting from $\\theta = 1$, $\\psi = 0$: do they reach the equilibrium? What does the brake $\\gamma$ (R1) change?"}
# ## 9 · Round and round
#
# The smallest GAN of all is the *Dirac-GAN* (Mescheder et al. 2018). The data consist of a single point at 0, and the
# generator produces a single point, at $\theta$. The discriminator has the logit $\psi x$, with a single weight $\psi$.
# The equilibrium is at $\theta = \psi = 0$. For the real point, $D$'s loss is
# $\mathrm{softplus}(0)$, a constant, and for the generated point it is
# $\mathrm{softplus}(\psi\theta)$. We play the minimax game, so $G$'s loss is
# $-\mathrm{softplus}(\psi\theta)$. Each player follows the negative gradient of its own loss, which
# gives the velocities
#
# $$\dot\theta = \sigma(\psi\theta)\, \psi, \qquad \dot\psi = -\sigma(\psi\theta)\, \theta - \gamma \psi.$$
#
# The last term, $-\gamma \psi$, acts as a brake. This term comes from the penalty *R1*, which is $\gamma/2$ times the
# squared slope of $D$'s logit at the data. In the Dirac-GAN, the penalty is $\gamma/2 \cdot \psi^2$. We play the game
# without the brake ($\gamma = 0$) and with it.


# %%
def velocity(theta, psi, gamma=0.0):
    pays = torch.sigmoid(psi * theta)
    return pays * psi, -pays * theta - gamma * psi


def play_dirac(steps, gamma=0.0, in_turns=True, h=0.2):
    theta, psi = torch.tensor(1.0), torch.tensor(0.0)
    path = [(1.0, 0.0)]
    for _ in range(steps):
        new_psi = psi + h * velocity(theta, psi, gamma)[1]
        theta = theta + h * velocity(theta, new_psi if in_turns else psi, gamma)[0]
        psi = new_psi
        path.append((theta.item(), psi.item()))
    return torch.tensor(path)  # (steps + 1, 2)


# %% [markdown]
# **Predict.** Starting from $\theta = 1$, $\psi = 0$, will the two players reach the equilibrium? Does it matter
# whether the players move in turns or at the same time? And what difference does the brake make?

# %%
dirac_paths = {gamma: play_dirac(400, gamma) for gamma in (0.0, 0.3, 1.0)}
together = play_dirac(100, in_turns=False)

# %% alt="Three planes of theta and psi, each with a field of arrows that turns round the centre. Without R1 the solid path is a closed ring, and a dotted path of simultaneous steps spirals outwards. With gamma 0.3 the path spirals in, and with gamma 1 it curves into the centre without going round it." slideshow={"slide_type": "slide"} slide={"text": "## They circle, unless they are braked"}
dirac_planes(dirac_paths, together)

# %%
for gamma, path in dirac_paths.items():
    distance = path[-1].norm()
    print(f"in turns, γ = {gamma:g}: distance from the equilibrium at the end {distance:.1e}")
print(f"at the same time, γ = 0: {together[-1].norm():.2f} after 100 steps")

# %% tags=["check"]
assert 0.8 < dirac_paths[0.0][-1].norm() < 1.25  # the ring is an ellipse with axes within 1 ± 0.05
assert together[-1].norm() > 1.3  # the spiral goes outwards
assert dirac_paths[1.0][-1].norm() < 1e-3  # braked, they arrive

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** If they take turns, they circle for ever; if they move at the same time, they spiral outwards. With the brake they reach the equilibrium."}
# **Answer.** Without the brake, the players never reach the equilibrium. If the players take turns, they circle for
# ever, and if they move at the same time, they spiral outwards. With the brake, the players converge to the
# equilibrium.

# %% [markdown]
# Near the equilibrium, the motion can be computed, because we can *linearize* it:
# $\sigma(\psi\theta)$ is $\frac12$ there up to terms of second order, and the velocities become
# linear in $(\theta, \psi)$. The matrix of this linear motion is the *Jacobian* of the velocity
# field, the matrix of all its partial derivatives at the equilibrium. We denote it by $J$ and its
# eigenvalues by $\lambda$:
#
# $$\begin{pmatrix} \dot\theta \\ \dot\psi \end{pmatrix} \approx J \begin{pmatrix} \theta \\ \psi \end{pmatrix}, \qquad
# J = \begin{pmatrix} 0 & \frac12 \\ -\frac12 & -\gamma \end{pmatrix}, \qquad
# \lambda = -\frac{\gamma}{2} \pm \sqrt{\frac{\gamma^2}{4} - \frac14}.$$
#
# We let PyTorch compute the Jacobian and compare its eigenvalues with the formula.

# %%
origin = (torch.tensor(0.0), torch.tensor(0.0))
for gamma in (0.0, 0.3, 1.0):
    rows = torch.autograd.functional.jacobian(partial(velocity, gamma=gamma), origin)
    jacobian = torch.tensor(rows)  # (2, 2)
    print(f"γ = {gamma:g}: eigenvalues", torch.linalg.eigvals(jacobian).numpy().round(3))

# %% tags=["check"]
expected = torch.tensor([[0.0, 0.5], [-0.5, -1.0]])  # J for γ = 1, the last of the loop
assert torch.equal(jacobian, expected)

# %% [markdown]
# **Why?** Without the brake, each player's velocity is proportional to the other's position, with opposite signs, so
# they chase each other in a circle. The eigenvalues show what the brake does. The solutions of a linear system are
# built from terms of the form $e^{\lambda t}$. If $\lambda$ has a negative real part, the motion
# dies out, and if it has a nonzero imaginary part, the motion rotates. Without R1 the eigenvalues
# are $\pm\frac{i}{2}$, so the motion keeps rotating and does not die out. With R1, both eigenvalues
# have a negative real part. The motion dies out fastest at $\gamma = 1$, where the square root
# vanishes. With a stronger brake, one of the eigenvalues moves back towards 0. Steps of finite
# length $h$ introduce an additional error: without R1, each simultaneous step near the equilibrium
# multiplies the squared distance from it by $1 + h^2/4$.

# %% [markdown]
# ## 10 · The end of a game
#
# The two numbers $\theta$ and $\psi$ need a brake to converge. Do networks need one? We let two
# networks play two kinds of game, one without R1 and one with R1 at $\gamma = 1$. For networks, the
# penalty is averaged over the data. The data and the noise are both standard normal, so $G(z) = z$
# would be a perfect generator. In the last part of the game, both learning rates are reduced by a
# factor of ten.
#
# **Predict.** In which game does $D$ end closer to ½, and in which does $q$ end closer to $p$? According to the
# lecture, the accuracy of $D$ at the end of training is 0. Is that so?

# %%
last = {"without R1": [], "with R1, γ = 1": []}
for name, gamma in zip(last, (0.0, 1.0), strict=True):
    for s in range(n_seeds):
        game = History(Settings(z="normal", r1=gamma, seed=s))
        game.play(3 * frames // 2, steps=20)
        game.change(lr_d=5e-4, lr_g=1e-4)
        game.play(frames, steps=20)
        last[name].append(game)

# %%
grid = last["without R1"][0].game.grid
has_data = grid.p[1:-1].numpy() / grid.dx > 0.02  # (256,), where there are data


def distance_from_half(game):
    return np.abs(game.column("d")[:, has_data] - 0.5).max(1)  # (T,), at the worst place


# %%
far_from_half = {name: [distance_from_half(game) for game in seeds] for name, seeds in last.items()}

# %% alt="On a logarithmic axis, the largest distance of D from one half over the rounds, one line for each seed. The dashed lines with R1 end lower than the solid lines without it."
figures.curves(far_from_half, "largest |D − ½| where data are", "round", every=20, log=True)

# %% alt="On a logarithmic axis, the JSD over the rounds, one line for each seed. In both kinds of game it falls by more than a factor of ten, and at the end the solid lines without R1 lie below the dashed lines with it."
figures.runs(last, {"jsd": "JSD(p, q), nats"}, log=["jsd"])

# %%
d_end, jsd_end, accuracy = {}, {}, {}
for name, seeds in last.items():
    d_end[name] = np.array([curve[-10:].mean() for curve in far_from_half[name]])  # (S,)
    jsd_end[name] = np.array([game.column("jsd")[-10:].mean() for game in seeds])
    accuracy[name] = np.mean([game.column("accuracy")[-10:].mean() for game in seeds])
    print(
        f"{name}: |D − ½| {d_end[name].mean():.3f}, "
        f"JSD {jsd_end[name].mean():.4f}, accuracy {accuracy[name]:.2f}"
    )

# %%
without, braked_jsd = jsd_end["without R1"], jsd_end["with R1, γ = 1"]
worse = int((braked_jsd > without).sum())
times = float(braked_jsd.mean() / without.mean())
print(
    f"with R1 the JSD is larger on {worse} of {n_seeds} seeds, "
    f"{times:.1f} times as large on average"
)

# %% tags=["check"]
# R1 brings D nearer to ½, on every seed
assert (d_end["with R1, γ = 1"] < d_end["without R1"]).all()
assert times > 1  # and costs something
assert all(abs(value - 0.5) < 0.05 for value in accuracy.values())

# %% [markdown]
# **Answer.** With R1 the discriminator ends closer to ½, but $q$ ends *farther* from $p$. In both games, the accuracy
# of $D$ ends close to ½, not at 0.

# %% [markdown]
# **Why?** R1 charges the discriminator for any slope where there are data, so it stays flatter there and closer to ½.
# But a flatter discriminator gives the generator less of a push, so the generator makes less progress in the same
# number of rounds. That is the price. Networks that take turns, and whose learning rates are lowered at the end, come
# close to the equilibrium even without a brake, whereas the two numbers of the Dirac-GAN never do. For images, R1 is
# often worth the price, because without a brake the game may never come to rest.
#
# At the equilibrium, $p = q$ and the best $D$ is ½ everywhere. Whatever $D$ then answers, it is
# right half of the time, by chance. An accuracy of 0 would require a perfect discriminator with its
# two answers swapped.

# %% [markdown]
# ## What the lecture said, what we measured

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
pairs = (
    f"{good.sum()} of {good.size} pairs of learning rates "
    "leave less than 0.35 of the mass in the wrong place"
)
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 25 | D must be fixed while G learns, or D simply says 1 | rates 0.001, but D's was 0.005 before the forty steps; {n_seeds} seeds. Forty steps of G alone: its loss after 10 is {loss_at_10["D frozen"].mean():.2f} with D frozen, {loss_at_10["D free"].mean():.2f} with D free; the points move by {moved["D frozen"].mean():.2f} and {moved["D free"].mean():.2f}. Whole games: G's loss ends at {whole_loss["D frozen"].mean():.2f} and {whole_loss["D free"].mean():.2f}, the JSD at {whole_jsd["D frozen"].mean():.3f} and {whole_jsd["D free"].mean():.3f} | supported in direction, but milder: a D that also takes its own steps ends at ⅔ where p = q, not at 1 |
| 26 | the toy example of the GAN paper: G moves to where D is high, and may move too far | the best single step lowers the JSD from {jsd_before:.2f} to {jsds.min():.2f}; the longest carries the mean of the points to {means[-1]:.1f}, while that of the data is 0 (one state, {len(lengths)} lengths) | supported |
| 26 | D says how likely a point is to be real | a trained D is {d_error:.3f} from p/(p + q) on average (one run) | supported for the best D, which p/(p + q) describes |
| 27 | a D that cannot tell may be weak, and then G need not be good: the losses do not show it | {n_seeds} seeds each: D's loss {late_loss["good pace"].mean():.2f} and {late_loss["weak D"].mean():.2f}, true JSD {late_jsd["good pace"].mean():.3f} and {late_jsd["weak D"].mean():.3f} | supported |
| 28 | D and G must be well matched | {pairs} after {map_rounds} rounds, {map_seeds} seeds per pair; in one game, the slowest equal pair goes from {slow[longer[0]]:.2f} to {slow[longer[-1]]:.2f} with {longer[-1]} rounds | supported for this budget; a faster D works better here than equal learning rates |
| 29 | collapse: nearly the same image whatever z is, and it fools D | G made too fast in mid-game: collapsed in {narrow.mean():.0%} of the late moments of {n_seeds} seeds, D's loss {fooled.mean():.2f} ({fooled.min():.2f} to {fooled.max():.2f} by seed), before the change {paid_before.mean():.2f} (1.39 if D can tell nothing); the place wanders over at least {travel.min():.1f}. With the rates put right, {20 * recovery} rounds later the standard deviation is at least {recovered.min():.1f}, and {hills.count(3)} of {n_seeds} games reach all three hills | supported, and here it can largely be undone |
| 30 | at the end D's accuracy is 0 | {accuracy["without R1"]:.2f} without R1, {accuracy["with R1, γ = 1"]:.2f} with it ({n_seeds} seeds each) | a slip: it is ½ |
| – | (not in the lecture) R1 makes the game converge | D ends {d_end["with R1, γ = 1"].mean():.3f} from ½ with R1, {d_end["without R1"].mean():.3f} without; but the JSD is larger on {worse} of {n_seeds} seeds, {times:.1f} times as large on average | closer to rest, at the price of a worse generator |

Divergences are exact for the cells of a grid, in nats; section 1 and the forty steps of section 4 measure samples instead. G lowers −log D, except in sections 5 (both losses) and 9. Networks have two hidden layers of 16 tanh units. Batches have 256 points (1,000 in sections 2 and 3). Adam has β₁ = 0.5, and 0.9 in the forty generator steps of section 4. Claims are numbered across the whole course.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# Fill in the missing steps, run the cell, and then run the check below it. In exercises 1 to 3, the check says
# "Correct" or names the mistake. After a fixed example, it tries extreme inputs and random inputs of other sizes.
# Exercise 4 has no check. There you compare your formula with the best values found by brute-force
# search. Here `d` and `g` are networks, and `d` returns logits, which may lie anywhere between
# −1000 and 1000. All losses are in [nats](../docs/glossary.md#nat).
#
# **1. The discriminator's loss.** Return a tensor that is differentiable with respect to all weights of $D$. The
# generator must not learn from this loss. Only compute the loss. Do not call `backward()`, and do not freeze any
# weights.


# %%
def my_discriminator_loss(d, g, x, z):
    """−mean log D(x) − mean log(1 − D(G(z))), a tensor (),
    for real points x (N, 1) and noise z (N, 1).
    """
    # 1. the generated points, cut off from G
    # 2. the logits of both kinds; −log σ(a) is softplus(−a), −log(1 − σ(a)) is softplus(a)
    # 3. the mean over each batch, then the sum of both
    raise NotImplementedError


# %%
checks.discriminator_loss(my_discriminator_loss)


# %% [markdown]
# **2. The generator's step.** Using the given optimizer, which holds $G$'s weights, take one step
# on the non-saturating loss, and leave $D$ unchanged. The step must also work if $D$ is sure that
# every point is generated.


# %%
def my_generator_step(d, g, optimizer, z):
    """One step of G that lowers −mean log D(G(z)) for noise z (N, 1); D does not change.
    Returns the loss, a tensor () or a number.
    """
    # 1. the logits of the generated points, and the loss
    # 2. clear the gradients that earlier steps have left
    # 3. backward, then the optimizer's step
    raise NotImplementedError


# %%
checks.generator_step(my_generator_step)


# %% [markdown]
# **3. The value of the best discriminator.** Given two densities on a grid, compute $V(D^*, G)$ in nats. The result is
# one number. It must be right even where one density is many orders of magnitude smaller than the other, as in the
# tails of two distant Gaussians.


# %%
def my_best_value(p, q, dx):
    """∫ p·log D* + q·log(1 − D*), a tensor () or a number,
    for tensors p, q (G,), densities above 0, on cells of width dx, a tensor ().
    """
    # 1. the best D at each place, (G,)
    # 2. the integrand at each place, (G,)
    # 3. the integral: a sum over the cells, times their width
    raise NotImplementedError


# %%
checks.best_value(my_best_value)


# %% [markdown]
# **4. Derive it.** A careless programmer shows the discriminator three generated points for every real one. Which
# discriminator is now the best, and what does it say where $p = q$? Derive the best $D$ as in
# section 2 (the derivation is given there under "Why?"): $V$ is an integral over $x$, so choose
# the value of $D$ at each $x$ separately. Then replace the line below with your formula. The next
# cell finds the best $D$ by trying many values.


# %%
def my_unbalanced_d(p, q):
    return p + 0 * q  # replace this with your formula for the best D, from densities p and q (G,)


# %%
values = np.linspace(0.001, 0.999, 999)[:, None]  # (999, 1), all values that D may take
p_some, q_some = np.array([0.1, 0.3, 0.3, 0.6]), np.array([0.4, 0.3, 0.1, 0.05])  # (4,)
score = p_some * np.log(values) + 3 * q_some * np.log(1 - values)  # (999, 4)
print("by trying:   ", values[score.argmax(0), 0].round(3))
print("your formula:", my_unbalanced_d(p_some, q_some).round(3))

# %% [markdown]
# **Answer.** The best discriminator is $D^* = p/(p + 3q)$. The integrand is now $p \log D + 3 q \log(1 - D)$, because
# there are three generated points for every real one. Its derivative with respect to $D$ is zero where
# $p/D = 3q/(1 - D)$, and solving for $D$ gives the formula. Where $p = q$, this discriminator says ¼, which is the
# share of real points among all points that it sees there.

# %% [markdown]
# ## Further reading
#
# - I. Goodfellow et al., *Generative adversarial nets*, NeurIPS 2014. It contains the game, the derivation of the best
#   discriminator, the proof with the JSD, and the picture that this chapter brings to life.
# - M. Arjovsky & L. Bottou, *Towards principled methods for training generative adversarial networks*, ICLR 2017. It
#   explains why supports that do not overlap leave no gradient, and what the non-saturating loss really minimizes.
# - M. Arjovsky, S. Chintala & L. Bottou, *Wasserstein generative adversarial networks*, ICML 2017. It introduces the
#   critic, which estimates $W_1$.
# - I. Gulrajani et al., *Improved training of Wasserstein GANs*, NeurIPS 2017. It introduces the penalty that replaced
#   clipping.
# - L. Mescheder, A. Geiger & S. Nowozin, *Which training methods for GANs do actually converge?*, ICML 2018. It
#   analyses the Dirac-GAN by its eigenvalues, with and without R1.
