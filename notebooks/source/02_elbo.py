# %% [markdown]
# # 02 · The lower bound
#
# After this notebook you will be able to
# - write P(x) as a sum, or an integral, over a hidden z, and compute it;
# - derive log P(x) = $L_b$ + KL line by line, for any q, having checked each line with numbers;
# - say why raising $L_b$ by P alone can *lower* log P(x), and how q cures that;
# - recognise EM, a fitted q and an encoder network as one idea, and read the gap of each off one picture;
# - split $L_b$ into a regularizer and a reconstruction, which is the loss of the VAE.
#
# **Time:** half a minute to run on a laptop with two cores, two hours to work through.
# **It needs** 1.6 GB of memory and no GPU; from you: chapter 01, expectations and a little calculus.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from course_lib import checks, plots
from course_lib.data import course_digits, pinwheel, shipped_models_fit
from course_lib.device import FAST
from course_lib.probability.elbo import (
    LatentModel,
    LinearGaussian,
    elbo,
    importance_weighted_bound,
    mixture_model,
)
from course_lib.probability.em import e_step, m_step
from course_lib.probability.gaussians import kl_diag
from course_lib.widgets import ElboBars

torch.set_default_dtype(torch.float64)  # the identities below hold to 1e-10; float32 would end at 1e-6
plots.use_style()

# %% tags=["parameters"]
rounds = 8 if FAST else 25  # of raising L_b by q, then by P
encoder_steps = 240 if FAST else 600  # training steps of the linear encoder on digits
seed = 0

# %% [markdown]
# ## 1 · Infinitely many Gaussians
#
# A mixture has a label k, one of K. Let the label become a *number* z, drawn from a normal distribution, and let two
# functions of z say which Gaussian it stands for: x|z ~ N(μ(z), σ(z)²). Neighbouring z stand for neighbouring Gaussians,
# and there are infinitely many of them. The sum over k becomes an integral:
#
# $$P(x) = \int P(z)\, P(x|z)\, dz$$
#
# In a VAE, μ and σ are a neural network, the *decoder*. Here they are one line that we can read. With z a single
# number, the integral is a sum over a fine grid.
#
# **Predict:** replace the integral by K values of z, each with weight 1/K (an ordinary mixture). How many does it take
# until you cannot see the difference?


# %%
def decoder(z):
    return Normal(2.2 * torch.tanh(2 * z) + 0.6 * z, 0.25 + 0.2 * torch.sigmoid(3 * z))


prior = Normal(torch.tensor(0.0), torch.tensor(1.0))
z, x = torch.linspace(-8, 8, 1601), torch.linspace(-7, 7, 1401)
dz = z[1] - z[0]
p_x = (prior.log_prob(z[:, None]).exp() * decoder(z[:, None]).log_prob(x).exp() * dz).sum(0)  # (X,)
assert abs(float(torch.trapezoid(p_x, x)) - 1) < 1e-10  # a density; smooth curves on a fine grid lose nothing


# %%
def finite(K):  # the middles of K equally likely slices of the prior stand for all z
    z_k = prior.icdf((torch.arange(K) + 0.5) / K)
    return decoder(z_k[:, None]).log_prob(x).exp().mean(0).clamp_min(1e-300)  # (X,)


kl = {K: float(torch.trapezoid(torch.xlogy(p_x, p_x / finite(K)), x)) for K in (3, 8, 32, 512)}
figure, axes = plt.subplots(1, 3, figsize=(12, 3), sharey=True)
for ax, K in zip(axes, kl):
    plots.density(x, {"integral": p_x, f"{K} Gaussians": finite(K)}, ax=ax, title=f"KL {kl[K]:.3f} nats")
plt.show()
assert kl[512] < kl[8] / 100  # what is left lies in the tails, where z is rare

# %% [markdown]
# ## 2 · log P(x) = $L_b$ + KL, line by line
#
# We want parameters that make log P(x) large for the data, but for real images the integral over z is out of reach.
# The derivation below brings in a second distribution q(z|x), *any* distribution of z, "picked up from the roadside".
# On the grid we can compute both sides of each line. Take one point x and a q that knows nothing of the model.

# %%
torch.manual_seed(seed)
x0 = torch.tensor(1.0)
q = Normal(torch.tensor(0.7), torch.tensor(0.4))

log_p_z = prior.log_prob(z)
log_p_x_z = decoder(z).log_prob(x0)  # log P(x|z) at every z
log_p_x = torch.logsumexp(log_p_z + log_p_x_z + dz.log(), 0)  # log P(x): one number
log_p_z_x = log_p_z + log_p_x_z - log_p_x  # log P(z|x): Bayes' rule
log_q = q.log_prob(z)
q_z = log_q.exp()


def integral(values):
    return (values * dz).sum()


def same(left, right):
    print(f"left {left:.12f}   right {right:.12f}   difference {abs(left - right):.0e}")
    assert abs(left - right) < 1e-10  # float64 on a grid of 1,601 points leaves 1e-13


figure, ax = plt.subplots(figsize=(8, 2.8))
for label, curve, colour in (
    ("prior P(z)", log_p_z, plots.PRIOR),
    ("posterior P(z|x)", log_p_z_x, plots.MODEL),
    ("q(z|x)", log_q, plots.Q),
):
    ax.plot(z, curve.exp(), color=colour, lw=2, label=label)
ax.set(xlabel="z", xlim=(-3, 3), ylim=(0, None), title="x = 1: three distributions of z")
ax.legend()
plt.show()

# %% [markdown]
# **Line 1.** log P(x) does not depend on z, and q adds up to 1, so averaging it over q changes nothing:
#
# $$\log P(x) = \int q(z|x)\, \log P(x)\, dz$$

# %%
same(log_p_x, integral(q_z * log_p_x))

# %% [markdown]
# **Line 2.** By the definition of conditional probability P(x) = P(z, x) / P(z|x), for every z:
#
# $$\phantom{\log P(x)} = \int q(z|x)\, \log \frac{P(z, x)}{P(z|x)}\, dz$$

# %%
log_p_z_and_x = log_p_z + log_p_x_z
same(log_p_x, integral(q_z * (log_p_z_and_x - log_p_z_x)))

# %% [markdown]
# **Line 3.** Multiply and divide by q, and split the logarithm of the product into a sum:
#
# $$\phantom{\log P(x)} = \int q(z|x) \log \frac{P(z, x)}{q(z|x)}\, dz + \int q(z|x) \log \frac{q(z|x)}{P(z|x)}\, dz$$
#
# The second term is the Kullback–Leibler divergence KL(q(z|x) ‖ P(z|x)). It is never negative, so the first term is a
# *lower bound*, $L_b$ ≤ log P(x), whatever q is. The cell tries a thousand of them.

# %%
bound = integral(q_z * (log_p_z_and_x - log_q))
gap = integral(q_z * (log_q - log_p_z_x))
same(log_p_x, bound + gap)
many_q = Normal(torch.empty(1000).uniform_(-2, 2), torch.empty(1000).uniform_(0.1, 1))
several = elbo(
    LatentModel(prior, decoder), many_q, x0.expand(1000), grid=z
)  # the same sums, for 1,000 q at once
print(f"log P(x) = {log_p_x:.3f};  L_b from {several.elbo.min():.2f} to {several.elbo.max():.3f}")
assert several.gap.min() >= -1e-10 and (several.log_px - log_p_x).abs().max() < 1e-10

# %% [markdown]
# **Line 4.** Write P(z, x) = P(x|z) P(z) and split once more. This is the form that a VAE is trained with:
#
# $$L_b = \underbrace{\int q(z|x) \log P(x|z)\, dz}_{\text{reconstruction}} - \underbrace{\mathrm{KL}(q(z|x) \,\|\, P(z))}_{\text{regularizer}}$$
#
# Nothing here needed z to be one number. Where z is a label the integrals are sums; where everything is linear and
# Gaussian there are formulas. `elbo` knows all three, so the second half of the cell asserts the identity for random models and
# random q: $L_b$ plus a KL divergence that a library computes is log P(x).

# %%
reconstruction, kl_prior = integral(q_z * log_p_x_z), integral(q_z * (log_q - log_p_z))
same(bound, reconstruction - kl_prior)
same(kl_prior, kl_divergence(q, prior))  # two Gaussians: a closed form exists

torch.manual_seed(seed)
w, m, L = torch.rand(4), torch.randn(4, 2), torch.randn(4, 2, 2)
mixture = mixture_model(w / w.sum(), m, L @ L.mT + 0.1 * torch.eye(2))
label_q, point = Categorical(torch.rand(50, 4)), torch.randn(50, 2)
joint = mixture.prior.logits + mixture.likelihood(torch.arange(4)).log_prob(point[:, None])  # (N, K)
exact_q = Categorical(
    logits=joint
)  # Bayes' rule: only the sum over z is missing, and Categorical divides by it
b = elbo(mixture, label_q, point)
error_mixture = (b.log_px - b.elbo - kl_divergence(label_q, exact_q)).abs().max()

linear = LinearGaussian.create(torch.randn(5, 2), torch.randn(5), 0.3)
wide_x, c = torch.randn(50, 5), torch.rand(50, 2)
gaussian_q = Independent(Normal(torch.randn(50, 2), c + 0.1), 1)
b = elbo(linear, gaussian_q, wide_x)
full_q = torch.distributions.MultivariateNormal(gaussian_q.mean, torch.diag_embed(gaussian_q.variance))
error_linear = (b.log_px - b.elbo - kl_divergence(full_q, linear.posterior(wide_x))).abs().max()
identity = float(max(error_mixture, error_linear))
print(f"mixture {error_mixture:.0e}, linear-Gaussian {error_linear:.0e}")
assert identity < 1e-10

# %% [markdown]
# ## 3 · A distance that is not one
#
# The gap is a KL divergence. It is often called a distance: it is never negative, and 0 only if the two agree. But it
# is not symmetric, and the direction decides what a q that cannot fit does.
#
# **Predict:** the black density has two humps and q must be one Gaussian. Which q makes KL(q‖p) smallest, and which
# KL(p‖q)?

# %%
humps = 0.6 * Normal(-1.8, 0.5).log_prob(z).exp() + 0.4 * Normal(1.6, 0.6).log_prob(z).exp()
means, sigmas = torch.linspace(-3, 3, 121), torch.linspace(0.3, 3, 109)


def both_ways(mean):
    """KL(q‖p) and KL(p‖q) for the q with this mean and each of the widths: (S,) and (S,)."""
    log_q = Normal(mean, sigmas[:, None]).log_prob(z)  # (S, Z)
    return (log_q.exp() * (log_q - humps.log()) * dz).sum(-1), (humps * (humps.log() - log_q) * dz).sum(-1)


every_q = [both_ways(mean) for mean in means]
q_to_p = torch.stack([there for there, back in every_q])  # (M, S)
p_to_q = torch.stack([back for there, back in every_q])  # (M, S)
seek, cover = (torch.unravel_index(kl.argmin(), kl.shape) for kl in (q_to_p, p_to_q))
sought, covered = (Normal(means[m], sigmas[s]).log_prob(z).exp() for m, s in (seek, cover))
curves = {"p": humps, "least KL(q‖p)": sought, "least KL(p‖q)": covered}
ax = plots.density(z, curves)
ax.set(xlabel="z", xlim=(-5, 5))
plt.show()
there, back = q_to_p[seek], p_to_q[seek]
print(f"the same pair both ways: KL(q‖p) = {there:.3f}, KL(p‖q) = {back:.3f} nats")
assert (q_to_p > 0).all()
assert back > 2 * there

# %% [markdown]
# *Because:* KL(q‖p) averages over q, so it never asks about places where q is not: q may settle on one hump. KL(p‖q)
# averages over p and forbids q to miss anything p does. The bound's gap is KL(q‖P(z|x)), the first kind: a VAE's
# encoder prefers to be narrow and right over wide and complete.
#
# ## 4 · The trap: raising $L_b$ by P alone
#
# $L_b$ is below log P(x). Push it up and log P(x) must go up too? Not if there is room between them. Take z ~ N(0, 1),
# x|z ~ N(w z, ½²), one observed point x = 2, and a lazy q that stays at N(0.1, 1) whatever P does. The only parameter of
# P is w. Everything is exact here.
#
# **Predict:** start at the best w for log P(x), and raise $L_b$ by w. What does log P(x) do?


# %%
def at(w, q):
    return elbo(LatentModel(prior, lambda z: Normal(w * z, 0.5)), q, torch.tensor([2.0]), grid=z).mean()


lazy = Normal(torch.tensor([0.1]), torch.tensor([1.0]))
w_start = math.sqrt(2**2 - 0.5**2)  # P(x) is N(0, w² + ½²), highest at x = 2 when its variance is x²
ws = torch.linspace(-0.5, 3, 141)
curve = [at(w, lazy) for w in ws]
w_trap = float(ws[torch.stack([b.elbo for b in curve]).argmax()])
before, trapped = at(w_start, lazy), at(w_trap, lazy)
rise, fall = float(trapped.elbo - before.elbo), float(trapped.log_px - before.log_px)
print(f"w from {w_start:.2f} to {w_trap:.2f}: L_b changes by {rise:+.2f}, log P(x) by {fall:+.2f} nats")
assert rise > 1 and fall < -1

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.5), width_ratios=(3, 2))
left.plot(ws, [b.log_px for b in curve], color=plots.MODEL, lw=2.5, label="log P(x)")
left.plot(ws, [b.elbo for b in curve], color=plots.BOUND, lw=2, ls="--", label="$L_b$ with the lazy q")
left.vlines(w_trap, -13, -1, color=plots.BOUND, ls=":", label="$L_b$ is highest")
left.vlines(w_start, -24, -1, color=plots.MODEL, ls=":", label="log P(x) is highest")
left.set(xlabel="w", ylabel="nats")
left.legend()
plots.bound_bars({"start": before, "$L_b$ raised\nby P alone": trapped}, ax=right)
plt.show()

# %% [markdown]
# ## 5 · The cure: raise $L_b$ by q first
#
# log P(x) has no q in it. So raising $L_b$ *by q* leaves log P(x) alone and can only close the gap. When q is the
# posterior, the gap is 0, $L_b$ touches log P(x), and any P that raises $L_b$ must now raise log P(x).
#
# Then with your own hands. Drag q (orange) and watch the bars; press **fit q**, then **fit P**; then start
# from **the trap: P alone**. From **two humps**, the posterior is no Gaussian, and the gap of a Gaussian q cannot close.

# %%
w_small = 1.2  # a start that P can improve on
closed_q = Normal(
    torch.tensor([2 * w_small / (w_small**2 + 0.25)]), torch.tensor([0.25 / (w_small**2 + 0.25)]).sqrt()
)
story = {"start": at(w_small, lazy), "by q": at(w_small, closed_q)}
w_next = float(ws[torch.stack([at(w, closed_q).elbo for w in ws]).argmax()])
story["then by P"] = at(w_next, closed_q)
plots.bound_bars(story)
plt.show()
assert abs(story["start"].log_px - story["by q"].log_px) < 1e-10  # q has no say in log P(x)
assert story["by q"].gap < 1e-10
assert story["then by P"].log_px >= story["then by P"].elbo > story["by q"].log_px

ElboBars()

# %% [markdown]
# ## 6 · EM, a fitted q, an encoder: one idea
#
# Raise $L_b$ by q, raise it by P, again and again. What differs from method to method is only how q is found. Same data,
# same mixture of five Gaussians, same start, same picture:
#
# - **EM** sets q to the posterior (the E-step), then P to the best for that q (the M-step);
# - **a fitted q** keeps a row of K numbers for every point and climbs $L_b$ with the gradient, a few steps each round;
# - **an encoder** is a network that reads x and says q. It is one function for all points: *amortized*.
#
# **Predict:** which of the three will have no gap after its q-step? Can the encoder ever beat the fitted q?

# %%
data = pinwheel.sample(500, torch.Generator().manual_seed(seed))  # (N, 2)
K = 5
beginning = torch.full((K,), 1 / K), data[:K].clone(), torch.eye(2).expand(K, 2, 2).clone()


def alternate(improve_q):
    """Rounds of q, then P; the bound after each half round."""
    theta, history = beginning, []
    for _ in range(rounds):
        q = improve_q(theta)
        history.append(elbo(mixture_model(*theta), q, data).mean())
        theta = m_step(data, q.probs)  # the best P for this q, whatever q is
        history.append(elbo(mixture_model(*theta), q, data).mean())
    return history


# %%
def climb(parameters, logits, steps=5, lr=0.05):
    """Raise L_b by q: a few steps of Adam on the parameters behind the logits."""
    optimizer = torch.optim.Adam(parameters, lr=lr)

    def improve(theta):
        for _ in range(steps):
            loss = -elbo(mixture_model(*theta), Categorical(logits=logits()), data).mean().elbo
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return Categorical(logits=logits().detach())

    return improve


torch.manual_seed(seed)
rows = nn.Parameter(torch.zeros(len(data), K))  # a row for every point
encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, K))  # one function for all points
histories = {
    "EM": alternate(lambda theta: Categorical(probs=e_step(data, *theta)[0])),
    "a fitted q": alternate(climb([rows], lambda: rows, lr=0.3)),
    "an encoder": alternate(climb(encoder.parameters(), lambda: encoder(data), lr=0.03)),
}

# %%
plots.bound_histories(histories)
plt.show()
em, final_gap = histories["EM"], {name: float(h[-2].gap) for name, h in histories.items()}
rises = [float(min(b.elbo - a.elbo, b.log_px - a.log_px)) for a, b in pairwise(em)]
q_steps = max(abs(float(b.log_px - a.log_px)) for a, b in zip(em[1::2], em[2::2]))
assert max(b.gap for b in em[::2]) < 1e-10  # after every E-step the gap is closed
assert min(rises) > -1e-10  # so each half step raises L_b and log P(x) …
assert q_steps < 1e-10  # … or leaves log P(x) alone, if it is an E-step
assert min(final_gap["a fitted q"], final_gap["an encoder"]) > 1e-6  # a few steps of gradient do not close it

# %% [markdown]
# *Because:* the E-step jumps to the posterior, so its gap is 0 by construction. A few gradient steps a round leave a gap,
# and most of what you see is such unfinished learning. A row of numbers for every point could close it, given enough
# steps. An encoder can do so only if its one function is rich enough to give the right answer at every point at once;
# in return a new point costs it nothing. That is why the VAE has one. So the encoder cannot beat a fitted q that is fitted
# to the end. After a few steps it may: look at the first rounds. Each of its steps learns from all points at once.
#
# ## 7 · Regularizer and reconstruction
#
# The KL to the prior has a closed form for Gaussians; the reconstruction must be sampled in general. One can sample both,
# but why add noise? **Predict:** ten times as many samples make the error bar how much shorter?

# %%
mu, logvar = torch.tensor([[0.8, -0.5, 1.2]]), torch.tensor([[-1.0, 0.3, -2.0]])
gaussian = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
standard = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
exact_kl = float(kl_diag(mu, logvar))
counts, estimates = (10, 100, 1_000, 10_000, 100_000), []
for n in counts:
    draws = gaussian.sample((n,))
    ratio = (gaussian.log_prob(draws) - standard.log_prob(draws)).flatten()
    estimates.append((float(ratio.mean()), float(ratio.std()) / math.sqrt(n)))

figure, ax = plt.subplots(figsize=(7, 2.8))
values, errors = zip(*estimates)
ax.errorbar(
    counts, values, [2 * e for e in errors], fmt="o", color=plots.Q, capsize=4, label="± 2 std. errors"
)
ax.axhline(exact_kl, color=plots.MODEL, label="closed form")
ax.set(xscale="log", xlabel="samples", ylabel="KL(q‖P(z)), nats")
ax.legend()
plt.show()
misses = max(abs(v - exact_kl) / e for v, e in estimates[1:])  # ten samples do not know their own error
print(f"closed form {exact_kl:.4f}, from 100,000 samples {values[-1]:.4f} ± {errors[-1]:.4f}")
assert misses < 4.5  # four estimates: once in 30,000 runs by chance

# %% [markdown]
# *Because* the error of an average falls with the square root of the number of samples: ten times as many make it √10,
# about three times, shorter.
#
# ## 8 · On digits, still exact
#
# Make the decoder linear: x|z ~ N(W z + b, s² I), with 20 numbers z and 784 pixels x. Then log P(x) is a Gaussian's, and
# the best W is known (PCA, scaled; Tipping & Bishop 1999). So we can train an *encoder* on real digits, as a VAE does,
# and compare its bound with the truth.

# %%
train, test = course_digits(train=True), course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # some numbers asserted below were measured on MNIST
d = train.n_pixels  # 784
held_out = test.pixels(slice(0, 1000), torch.float64)  # (1000, 784), in [0, 1]
pca = PCA(20, random_state=seed).fit(train.pixels(dtype=torch.float64).numpy())
W = torch.from_numpy(pca.components_.T * (pca.explained_variance_ - pca.noise_variance_) ** 0.5)  # (784, 20)
digits_model = LinearGaussian.create(W, torch.from_numpy(pca.mean_), float(pca.noise_variance_))
log_p = float(digits_model.log_px(held_out).mean())
library = float(pca.score(held_out.numpy()))  # scikit-learn computes the same density its own way
print(f"log P of {len(held_out):,} test digits: {log_p:.4f}, scikit-learn {library:.4f} nats an image")
assert abs(log_p - library) < 1e-6 * abs(library)  # two routes through a 784×784 matrix

to_mu, log_sigma = nn.Linear(d, 20), nn.Parameter(torch.zeros(20))
nn.init.zeros_(to_mu.weight), nn.init.zeros_(to_mu.bias)  # at first q is the prior: it has not looked at x


def q_of(x):
    return Independent(Normal(to_mu(x - digits_model.bias), log_sigma.exp()), 1)


# %%
groups = [{"params": to_mu.parameters(), "lr": 0.01}, {"params": [log_sigma], "lr": 0.1}]
optimizer = torch.optim.Adam(groups)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, encoder_steps)
every, history = encoder_steps // 60, []
for step in range(encoder_steps + 1):
    if step % every == 0:
        with torch.no_grad():
            history.append(elbo(digits_model, q_of(held_out), held_out).mean())  # exact, with log P(x)
    batch = train.pixels(torch.randint(len(train), (256,)), torch.float64)  # (256, 784)
    # two draws of z = mu + sigma · noise for every image
    loss = -elbo(digits_model, q_of(batch), batch, samples=2).mean().elbo
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
gap_first, gap_last = float(history[0].gap), float(history[-1].gap)
print(f"gap on test digits: {gap_first:.1f} at first, {gap_last:.2f} nats an image at the end")
assert 0 < gap_last < gap_first
assert gap_last < gap_first / 100 or not on_mnist  # within one percent of the way to log P(x)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.5))
at_step = [every * i for i in range(len(history))]
plots.bound_history(history, at_step, ax=left, xlabel="training step of the encoder")
left.set(title="P fixed, q learns: the gap closes", ylim=(log_p - 250, log_p + 30), ylabel="nats per image")
plots.bound_parts(history, at_step, ax=right, xlabel="training step of the encoder")
right.set_ylim(-60, log_p + 80)
plt.show()

# %% [markdown]
# *Because:* at first q is the prior, costs nothing (KL 0) and reconstructs badly. Learning pays KL to buy
# reconstruction. Here a perfect encoder exists (the true posterior is Gaussian, its mean linear in x, its covariance diagonal and the same for all x), so the gap can
# come near 0.
#
# ## 9 · Two remarks
#
# **A tighter bound.** For a deep decoder no q is perfect and log P(x) is out of sight. Averaging k *weights* before
# taking the logarithm gives a tighter bound, the better the larger k. We spoil q a little to see it.
#
# **Squared error.** If the decoder's variance s² is fixed, log P(x|z) is the squared error between x and the decoder's
# mean, divided by −2s², plus a constant. So raising the reconstruction *is* lowering an auto-encoder's loss. The constant
# never moves, but s² matters: it sets the exchange rate between squared error and KL.

# %%
with torch.no_grad():
    some, q_some = held_out[:200], q_of(held_out[:200])
    rough = Independent(Normal(q_some.mean, 1.5 * q_some.stddev), 1)
    truth = float(digits_model.log_px(some).mean())
    by_k = {
        k: float(importance_weighted_bound(digits_model, rough, some, k).mean()) for k in (1, 10, 100, 1000)
    }
    decoded = digits_model.likelihood(q_some.sample())
    s2 = float(pca.noise_variance_)
    constant = -0.5 * d * math.log(2 * math.pi * s2)
    by_error = constant - ((some - decoded.mean) ** 2).sum(1) / (2 * s2)  # (N,)
    error_18 = float((decoded.log_prob(some) - by_error).abs().max())
print(f"log P(x) {truth:.2f}; below it by", "   ".join(f"k={k}: {truth - v:.2f}" for k, v in by_k.items()))
print(f"log P(x|z) and −error/2s² + {constant:.1f} differ by at most {error_18:.0e}; s² = {s2:.4f}")
assert error_18 < 1e-13 * (d + abs(by_error).max())  # rounding of sums of 784 terms, each about 1
if on_mnist:
    assert by_k[1] < by_k[10] < by_k[100] < by_k[1000]
    assert by_k[1000] < truth + 0.2  # a bound on average; 200 digits leave an error of some hundredths

# %% [markdown]
# ## What the lecture said, what we measured

# %%
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 12 | the VAE is a mixture of infinitely many Gaussians | 512 of them are {kl[512]:.0e} nats from the integral, 8 are {kl[8]:.2f} | holds |
| 14 | log P(x) = $L_b$ + KL(q‖P(z\\|x)), for any q | largest error over random mixtures and linear-Gaussian models {identity:.0e} | holds exactly |
| 15 | raising $L_b$ by P alone may lower the likelihood | $L_b$ {rise:+.2f}, log P(x) {fall:+.2f} nats | it happens |
| 16 | raising $L_b$ by q closes the gap and leaves log P(x) alone | an E-step moves log P(x) by {q_steps:.0e}, leaves a gap of {final_gap["EM"]:.0e}; an encoder that is still learning leaves {final_gap["an encoder"]:.3f} | holds; EM is this |
| 17 | $L_b$ = reconstruction − KL(q‖P(z)) | equal to {abs(bound - reconstruction + kl_prior):.0e}; the KL in closed form {exact_kl:.4f}, by Monte Carlo {values[-1]:.4f} ± {errors[-1]:.4f} | holds |
| 18 | with the variance left out, the reconstruction is a squared error | equal up to a constant, to {error_18:.0e} | holds; the variance still sets its weight |
| 19 | KL is a distance | one pair: {there:.3f} one way, {back:.3f} the other | never negative, but not symmetric |

Digits: {len(train):,} for training, 1,000 test digits for the bound, grey pixels in [0, 1] under a Gaussian decoder (a density, not to be compared with a Bernoulli likelihood), one seed. The numbers count the lecture's claims through all nine chapters.
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. Later
# chapters train on all three functions, so each must be differentiable with respect to all its inputs: stay with
# torch, because `item`, `detach` and NumPy cut the gradient. All logarithms are natural, so the results are in nats.
#
# **1. The KL to the prior.** This is the regularizer of every VAE from chapter 03 on. For a Gaussian $q$ and
# a standard normal prior it has a closed form, so that nothing needs to be sampled. The network gives the
# logarithm of the *variance*: reading it as the logarithm of the standard deviation is a slip that even
# lectures make. Your function must also hold for log-variances such as $\pm 60$, without a clamp or a small added number.


# %%
def my_kl_to_standard_normal(mu, logvar):
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats: mu and logvar (N, D) give (N,)."""
    # 1. the variance of each dimension, (N, D)
    # 2. the KL of each dimension, (N, D): it is 0 where mu = 0 and logvar = 0
    # 3. sum over the dimensions, (N,): dimensions are independent, so their KLs add up
    raise NotImplementedError


# %%
checks.kl_to_standard_normal(my_kl_to_standard_normal)

# %% [markdown]
# **2. The lower bound.** For a discrete $z$ the whole of $L_b$ is one sum, for any $q$ you like. A $q$ that
# is sure of itself has zeros in it: $0 \cdot \log 0$ counts as 0, because $t \log t$ goes to 0 with $t$. Your
# computer does not know that. Do not clamp $q$ and do not add a small number to it, because that changes the
# gradient. Do not exponentiate $\log P(x, z)$ either, because it may lie near $-1000$.


# %%
def my_lower_bound(log_joint, q):
    """L_b in nats: log_joint (N, K) is log P(x, z), q (N, K) is q(z|x); they give (N,)."""
    # 1. the average of log P(x, z) under q, (N,)
    # 2. the average of log q under q, (N,), where q = 0 adds nothing: torch.xlogy
    # 3. L_b is the first minus the second
    raise NotImplementedError


# %%
checks.lower_bound(my_lower_bound)

# %% [markdown]
# **3. The importance-weighted bound.** With $k$ draws of $z$ from $q$, take the logarithm of the mean weight
# $w = P(x, z) / q(z|x)$, not the mean of the logarithms: on average the bound then comes closer to $\log
# P(x)$. For an image $\log w$ is easily $-110$, and `exp(-110)` is already 0 in float32: stay with
# logarithms. Your function must hold for any size of $\log w$, also if one image's lie near $-5000$ and another's
# near $3000$.


# %%
def my_importance_weighted_bound(log_w):
    """log of the mean of k weights, in nats: log_w (k, N) gives (N,)."""
    # 1. the logarithm of the sum of the k weights, (N,): torch.logsumexp over the draws
    # 2. a mean is a sum over k: what does that do to the logarithm?
    raise NotImplementedError


# %%
checks.importance_weighted_bound(my_importance_weighted_bound)
