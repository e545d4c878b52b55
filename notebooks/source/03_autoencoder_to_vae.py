# %% [markdown]
# # 03 · From auto-encoder to VAE
#
# After this notebook you will be able to
# - train an auto-encoder and a VAE in ten lines each, and say in which two places they differ;
# - say what a hole in a line of codes is, when it appears, and what noise can do about it;
# - explain why the noise is drawn as exp(σ)·e + m, and how much that spares the gradient;
# - show that the noise dies without the KL term, and write that term without its two usual slips.
#
# **Time:** two to four minutes to run on a laptop with two cores, an hour and a half to work through.
# **It needs** 1.6 GB of memory, no GPU and no data, we draw the moon ourselves; from you: chapter 02, and a little PyTorch.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import math
from copy import deepcopy

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from scipy.optimize import minimize_scalar
from torch import nn
from torch.distributions import Normal

from course_lib import checks, plots
from course_lib.data import draw_moon, moon_phases
from course_lib.device import FAST
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.networks import mlp
from course_lib.models.vae import VAE
from course_lib.training import Run
from course_lib.widgets import CodeLine

plots.use_style()
AE_COLOUR, VAE_COLOUR = plots.COMPONENTS[3], plots.MODEL  # one colour each, throughout

# %% tags=["parameters"]
steps = 800 if FAST else 1500  # of each training
n_seeds = 2 if FAST else 5  # networks for each case of section 3
n_draws = 20_000 if FAST else 100_000  # for the variance of a gradient
n_orders = 50 if FAST else 300  # ways to shuffle the codes
seed = 0

# %% [markdown]
# ## 1 · Moons, and a code of one number
#
# From new moon to full moon: 33 pictures of 20×20 pixels, that is 33 points in 400 dimensions. Yet one number, the
# phase, says all about each. An *auto-encoder* looks for such a number by itself. The encoder turns the picture into
# a code z, the decoder turns the code back into a picture, and the loss is the squared error between the two. Nobody
# tells it what a phase is.
#
# We drew these moons, so we can draw every *true* moon. That is our judge: whatever a decoder shows, we measure how far
# it is from the nearest of 1,001 true moons. The distance is the root of the summed squared pixel differences.

# %%
size = 20
moons, truth = moon_phases(33, size)[0].flatten(1), moon_phases(1001, size)[0].flatten(1)  # (N, D), (M, D)
crescent, full = draw_moon(torch.tensor([0.125, 0.5]), size).flatten(1).split(1)  # (1, D) each


def to_truth(images):  # distance of each image (N, D) to the nearest true moon, (N,)
    return torch.cdist(images, truth).amin(1)


plots.digits(moons[::2], columns=17)
plt.show()
faded = float(to_truth((crescent + full) / 2))
print(
    f"distance from crescent to full moon {(full - crescent).norm():.1f}, from their average to the truth {faded:.1f}"
)

# %% [markdown]
# Remember the second number. To average two pictures pixel by pixel is a *cross-fade*: a grey disc with a bright edge,
# and there is no such moon.
#
# The whole auto-encoder, first by hand:

# %%
torch.manual_seed(seed)
encoder = nn.Sequential(nn.Linear(400, 32), nn.Tanh(), nn.Linear(32, 1))
decoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 400))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)
errors = []
for _ in range(steps):
    z = encoder(moons)  # (N, 1)
    x_hat = torch.sigmoid(decoder(z))  # (N, D)
    loss = (moons - x_hat).square().sum(1).mean()  # sum over pixels, mean over images
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    errors.append(loss.item())
print(f"squared error an image: {errors[0]:.1f} at first, {errors[-1]:.2f} after {steps} steps")
assert errors[-1] < errors[0] / 15  # one number a picture explains most of it

# %% [markdown]
# ## 2 · The VAE: noise on the code, and a price for the code
#
# A VAE changes two things.
#
# **Noise.** The encoder gives two numbers for each picture, m and σ. The code is
#
# $$c = e^{\sigma} \cdot e + m, \qquad e \sim N(0, 1)$$
#
# m is the old code, e is noise, and $e^\sigma$ says how much of it. Why the exponential? A linear layer gives any number,
# positive or negative, but a scale must be positive. And a step of 0.1 in σ changes the scale by a tenth, whether it is
# 0.01 or 100.
#
# **A price.** The KL from chapter 02 between N(m, $e^{2\sigma}$) and the prior N(0, 1) is added:
# ½($e^{2\sigma}$ − 1 − 2σ + m²).
#
# The squared error becomes a log-likelihood when the decoder's picture is the mean of a Gaussian with variance s² in each
# pixel: −log P(x|z) = ‖x − x̂‖²/2s² + constant. We *fix* s². Our moons have no noise at all: a learned variance
# would shrink with the error, on and on, and the density would grow without limit. A fixed one is a ruler:
# it says how large a difference in a pixel counts (here s = ½, half of black to white), and so sets the exchange rate
# between error and KL.

# %%
variance = 0.25


def loss_by_hand(encoder, decoder, x):
    """Squared error / 2s² + KL, in nats per image, in the lecture's letters: σ is the log of a *standard deviation*."""
    m, sigma = encoder(x).chunk(2, -1)  # (N, 1) each
    c = torch.exp(sigma) * torch.randn_like(m) + m
    x_hat = torch.sigmoid(decoder(c))  # (N, D)
    error = (x - x_hat).square().sum(1)  # (N,)
    kl = 0.5 * (torch.exp(2 * sigma) - 1 - 2 * sigma + m**2).sum(1)  # (N,)
    return (error / (2 * variance) + kl).mean()


# %% [markdown]
# The package holds the same model (`course_lib.models.vae`), with one difference of habit: like nearly all published code its
# encoder gives logvar, the log of the *variance*, which is 2σ. So we put our weights into the package's VAE, doubled where
# they make σ, and both must give the same loss for the same noise, up to the constant. From then on we use the package's models,
# and its loop `Run`, which keeps a history.
#
# **Predict:** which of the two will have the smaller squared error? Which one's codes will spread wider?

# %%
shape = {"shape": (size, size), "latent": 1, "hidden": (32,), "activation": "tanh"}
our_encoder = nn.Sequential(nn.Linear(400, 32), nn.Tanh(), nn.Linear(32, 2))
theirs = VAE(**shape, likelihood="gaussian", variance=variance)
theirs.encoder.layers.load_state_dict(our_encoder.state_dict())
theirs.decoder.layers.load_state_dict(decoder.state_dict())
theirs.encoder.layers[-1].weight.data[1] *= 2  # logvar = 2σ
theirs.encoder.layers[-1].bias.data[1] *= 2
torch.manual_seed(seed)
by_hand = loss_by_hand(our_encoder, decoder, moons).item()
torch.manual_seed(seed)
by_package = theirs.loss(moons)["loss"].item() - 400 / 2 * math.log(2 * math.pi * variance)
print(f"by hand {by_hand:.4f}, by the package {by_package:.4f} nats an image")
assert abs(by_hand - by_package) < 1e-5 * by_hand  # float32 keeps seven digits


# %%
def model(kind, seed=seed):
    torch.manual_seed(seed)
    return AutoEncoder(**shape) if kind == "AE" else VAE(**shape, likelihood="gaussian", variance=variance)


def encode(net, x):  # the codes of x (N, D), and the standard deviation of their noise: (N, 1) each
    z = net.encode(x)
    return (z, torch.zeros_like(z)) if isinstance(net, AutoEncoder) else (z[0], (z[1] / 2).exp())


def decode(net, z):  # what the decoder makes of codes z (N, 1): pixels (N, D)
    return torch.sigmoid(net.decoder(z))


# %%
def fit(net, x=moons, seed=seed, **options):
    """Train; return, every 25 steps, the squared error, the noise, and how wide the codes lie.

    The steps grow smaller towards the end, so an auto-encoder stops a little short of section 1's.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)  # ends in small steps

    def update(batch):
        loss = net.loss(batch, **options)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss}

    @torch.no_grad()
    def look():
        z, noise = encode(net, x)
        error = (x - decode(net, z + noise * torch.randn_like(z))).square().sum(1).mean()
        return {"error": float(error), "noise": float(noise.mean()), "spread": float(z.std())}

    run = Run(x, batch_size=len(x), seed=seed, model=net, optimizer=optimizer, schedule=schedule)
    run.train(update, epochs=steps, evaluate=look, evaluate_every=25, quiet=True)  # a step is an epoch
    return run.evaluations


# %%
ae, vae = model("AE"), model("VAE")
histories = {"AE": fit(ae), "VAE": fit(vae)}
with torch.no_grad():
    rows = torch.cat([moons[::3], *(decode(net, encode(net, moons[::3])[0]) for net in (ae, vae))])
plots.digits(rows, columns=11, title="true moons, then AE, then VAE")
plt.show()
print({name: {term: round(v[-1], 3) for term, v in h.items()} for name, h in histories.items()})
assert histories["AE"]["error"][-1] < histories["VAE"]["error"][-1]  # noise costs reconstruction


# %% [markdown]
# *Because* the auto-encoder has nothing else to care for, its error is smaller, and its codes lie as wide as they happen
# to. The VAE's codes cost ½m² each and are kept near 0.
#
# ## 3 · Half way between crescent and full moon
#
# Take the code of a full moon and the code of a crescent, and decode the point half way between. The
# lecture warns: the auto-encoder was never asked about that point. Its picture may be anything, for a network is
# not linear. In a VAE, noise makes the codes of neighbours overlap, and where they overlap one picture must serve both.
#
# That is an argument. Is it so? It depends, and we try three cases, each with several pairs of networks:
#
# - **gentle**: the 33 moons and the networks from above;
# - **restless**: the same moons, but the decoder sees the code as 32 fast waves, sin ωz and cos ωz, and can turn
#   quickly; the codes start further apart as well. Deep networks can be like that;
# - **gap**: gentle networks, but only crescents and nearly full moons to learn from, and nothing between.
#
# **Predict** for each case: will the auto-encoder's half-way picture be a moon? The VAE's?


# %%
class Waves(nn.Module):
    """z (N, 1) to sin ωz and cos ωz for n frequencies ω: (N, 2n). Source: Tancik et al. 2020."""

    def __init__(self, n, pitch):
        super().__init__()
        self.omega = nn.Parameter(pitch * torch.randn(1, n))

    def forward(self, z):
        phase = z @ self.omega  # (N, n)
        return torch.cat([phase.sin(), phase.cos()], -1)


def restless(kind, seed=seed):
    net = model(kind, seed)
    net.decoder.layers = nn.Sequential(Waves(32, pitch=4.0), mlp([64, 32, 400], "tanh"))
    net.encoder.layers[-1].weight.data[0] *= 7  # a wider line of codes to start from
    return net


def fit_seeds(make, kind, x):
    """Networks of n_seeds seeds, and how far their pictures are from true moons along the line: (seeds, 101)."""
    nets, lines = [], []
    for seed in range(n_seeds):
        nets.append(make(kind, seed))
        fit(nets[-1], x, seed)
        with torch.no_grad():
            a, b = (encode(nets[-1], end)[0] for end in (crescent, full))
            lines.append(to_truth(decode(nets[-1], a + (b - a) * walk)))
    return nets, torch.stack(lines)


# %%
gap = torch.cat([moon_phases(5, size, span)[0] for span in ((0.1, 0.15), (0.45, 0.5))]).flatten(1)
cases = {"gentle": (model, moons), "restless": (restless, moons), "gap": (model, gap)}
walk = torch.linspace(0, 1, 101)[:, None]  # from the crescent's code to the full moon's
nets, lines = {}, {}
for case, (make, x) in cases.items():
    for kind in ("AE", "VAE"):
        nets[case, kind], lines[case, kind] = fit_seeds(make, kind, x)
fade = to_truth(crescent + (full - crescent) * walk)  # (101,)

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), sharey=True)
axes[0].set_ylabel("distance to a true moon")
for ax, case in zip(axes, cases):
    ax.plot(walk, fade, ":", color=plots.PRIOR, label="cross-fade")
    for kind, colour in (("AE", AE_COLOUR), ("VAE", VAE_COLOUR)):
        ax.plot(walk, lines[case, kind].T, color=colour, lw=1, alpha=0.6)[0].set_label(kind)
    ax.set(title=case, xlabel="from crescent to full", xlim=(0, 1))
axes[2].legend(loc="upper right", fontsize=9)
plt.show()


# %%
def spread(values):
    return f"{float(values.mean()):.2f} ± {float(values.std()):.2f}"


middle = {key: line[:, 50] for key, line in lines.items()}  # (seeds,)
average, worst = ({key: how(line, 1) for key, line in lines.items()} for how in (torch.mean, torch.amax))
table = "| case | | half way | average of the line | worst place |\n|---|---|---|---|---|\n"
for case, kind in lines:
    numbers = " | ".join(spread(values[case, kind]) for values in (middle, average, worst))
    table += f"| {case} | {kind} | {numbers} |\n"
display(
    Markdown(table + f"\nDistance to the nearest true moon, mean ± standard deviation of {n_seeds} seeds.")
)
restless_ratio = float(average["restless", "AE"].mean() / average["restless", "VAE"].mean())
holes = int((worst["restless", "AE"] > 2 * worst["restless", "VAE"]).sum())  # seeds
print(f"restless: at its worst place the AE is more than twice as far on {holes} of {n_seeds} seeds")
for kind in ("AE", "VAE"):  # gentle: moons all along the line, for both
    assert worst["gentle", kind].max() < 0.4 * faded
    # gap: no moon between to learn from, so somewhere all show something like the cross-fade
    assert worst["gap", kind].min() > 0.6 * float(fade.max())
# restless: on ten seeds the VAE drew moons all along the line; the auto-encoder had a large hole on nine
assert restless_ratio > 1.25

# %% [markdown]
# *Because* three things are at work, and the lecture's picture shows one of them.
#
# **Gentle:** nothing in the auto-encoder's *loss* forbids holes, but a small smooth network has none to offer: it
# draws a smooth line through its 33 moons, and half way is a moon. The warning does not come true here, and the noise
# costs a little sharpness and brings nothing in return.
#
# **Restless:** between two learned codes the decoder does what it likes, and the warning does come true. Noise asks
# the decoder about *every* code near a moon's, not only about 33 of them, and so calms it down. To be fair: we looked
# for this case. With waves eight times slower the auto-encoder drew moons on two of three seeds; with waves sixteen times
# as fast the VAE did not learn at all; and by how much it wins depends on the seed and on how the training ends.
#
# **Gap:** crescents and full moons become neighbours, and where they meet one picture must serve both. Squared error then
# wants their *average*, a cross-fade and no moon. The VAE puts it in the middle, as the lecture says. The
# auto-encoder has the same jump, narrower and anywhere, so half way it may happen to show a moon: look at the whole
# line before you judge. Noise can make neighbours blend; it cannot know the moons that nobody showed it.
#
# See it: auto-encoder above, VAE below, both restless. Drag along the line of codes.

# %%
chosen = {kind: nets["restless", kind][1] for kind in ("AE", "VAE")}
with torch.no_grad():
    marks = {kind: encode(net, moons[8:])[0].flatten() for kind, net in chosen.items()}
limits = {kind: (float(codes[0]), float(codes[-1])) for kind, codes in marks.items()}  # crescent, full
decoders = {kind: lambda z, net=net: decode(net, z).reshape(-1, size, size) for kind, net in chosen.items()}
CodeLine(decoders, truth=truth[::5].reshape(-1, size, size), limits=limits, marks=marks)

# %% [markdown]
# ## 4 · Why neighbours become neighbours
#
# How does noise calm a decoder? For given codes and given noise the best decoder under squared error can be written
# down. Standing at z, it cannot know which moon was meant, so it shows the average of all moons, each weighted by how
# likely its noise is to land there:
#
# $$\hat x(z) = \frac{\sum_n q(z|x_n)\, x_n}{\sum_n q(z|x_n)}$$
#
# Its squared error has a short form too: each of the two moons of a pair pays half their squared distance, times how much of
# the line they share. So we can ask, without training anything: what does it cost to lay nine moons along the line in the right order, and
# what in a shuffled order? The sharing is an integral over z, for which a grid is enough.
#
# **Predict:** for which noise does the auto-encoder's order not matter at all?

# %%
nine = moon_phases(9, size)[0].flatten(1).double()  # (9, D)
squares = torch.cdist(nine, nine) ** 2  # (9, 9)
places = torch.linspace(-2, 2, 9, dtype=torch.float64)  # half a unit apart
grid = torch.linspace(-14, 14, 5601, dtype=torch.float64)  # (G,)


def shared(scale):
    """How much of the line two codes share, (9, 9): the integral over z of q_n q_k / Σ q."""
    log_q = Normal(places, scale).log_prob(grid[:, None])  # (G, 9)
    weights = log_q.softmax(1)  # (G, 9): those of the formula above
    return torch.trapezoid(log_q.exp()[:, :, None] * weights[:, None], grid, dim=0)


def best_error(overlap, order):
    return float(
        (overlap * squares[order][:, order]).sum() / 18
    )  # mean over 9 images, half for each of a pair


scales = torch.logspace(-1.5, 0.3, 19, dtype=torch.float64)
overlaps, orders = [shared(scale) for scale in scales], [torch.randperm(9) for _ in range(n_orders)]
in_order = [best_error(overlap, torch.arange(9)) for overlap in overlaps]
shuffled = torch.tensor([[best_error(overlap, order) for order in orders] for overlap in overlaps])


# %%
def curves(x, lines, ax=None, **settings):
    """Lines over x by label, each with its colour and dash."""
    ax = plt.subplots(figsize=(7, 3.2))[1] if ax is None else ax
    for label, (y, colour, dash) in lines.items():
        ax.plot(x, y, dash, color=colour, lw=2, label=label)
    ax.set(**settings)
    ax.legend()
    return ax


ax = curves(scales, {"codes in the moons' order": (in_order, VAE_COLOUR, "-")})
ax.fill_between(scales, shuffled.amin(1), shuffled.amax(1), color=plots.PRIOR, alpha=0.35, label="shuffled")
ax.axvline(0.5, color=plots.DATA, ls=":", label="distance of neighbours")
ax.set(xscale="log", xlabel="standard deviation of the noise", ylabel="error of the best decoder")
ax.legend()
plt.show()
half = int((scales - 0.25).abs().argmin())  # noise of half that distance
cheapest = float(shuffled[half].min() / in_order[half])
print(f"noise {scales[half]:.2f}: the best of {n_orders} shuffled orders costs {cheapest:.1f} times as much")
assert shuffled[0].max() < 1e-6  # no overlap, no preference: this is the auto-encoder
assert cheapest > 1.2  # noise can tell the orders apart, and prefers the moons' own

# %% [markdown]
# *Because* without noise every code has one owner, the error is 0 in any order, and an auto-encoder has no
# reason to prefer one to another. With noise that reaches the neighbour, two moons share a place and get a blend.
# A blend of two *similar* moons is nearly right for both. So it pays to put similar moons side by side: this is what
# orders a VAE's codes.
#
# ## 5 · A gradient through a draw
#
# The encoder must learn m and σ, but there is a random draw between them and the loss. There are two ways.
#
# - **Reparameterization:** draw e first, then c = $e^\sigma$·e + m is an ordinary function of m and σ, and the
#   gradient of the loss f passes through it: ∂f/∂m = f′(c).
# - **Score function** (REINFORCE): never look into f, only weigh its value: f(c) · ∂ log q(c)/∂m. A *baseline*, a
#   constant subtracted from f, leaves it unbiased and helps.
#
# We take f from the trained VAE, the decoder's share of the loss for a half moon, and its exact gradient by quadrature.
#
# With a single number as a code both can be used. With twenty, f rises and falls with nineteen numbers that have
# nothing to do with the one whose gradient we want, and the score function feels them all. So the second cell takes a
# bowl, f(c) = ½‖c − a‖² in d dimensions: its exact gradient is m − a, for any d.
#
# **Predict:** are both right on average? Which scatters more?

# %%
half_moon = draw_moon(torch.tensor([0.25]), size).flatten(1)  # (1, D)
m, scale = (v.item() for v in encode(vae, half_moon))
precise, half_moon = deepcopy(vae).double().requires_grad_(False), half_moon.double()


def f(c):
    """The reconstruction's part of the loss, in nats: codes (n,) give (n,)."""
    return (half_moon - decode(precise, c[:, None])).square().sum(1) / (2 * variance)


c = m + scale * torch.linspace(-9, 9, 3601, dtype=torch.float64)
q = Normal(m, scale).log_prob(c).exp()
exact = float(torch.trapezoid(f(c) * q * (c - m) / scale**2, c))  # ∂/∂m of ∫ q f

# %%
torch.manual_seed(seed)
e = torch.randn(n_draws, dtype=torch.float64)
# in parts, because the pictures of all draws at once would take more than a gigabyte
parts_of_c = [c.requires_grad_() for c in (m + scale * e).split(10_000)]
values = torch.cat([f(c).detach() for c in parts_of_c])  # (n_draws,)
gradients = {"reparameterization": torch.cat([torch.autograd.grad(f(c).sum(), c)[0] for c in parts_of_c])}
gradients["score function"] = values * e / scale
gradients["score, baseline"] = (values - values.mean()) * e / scale
errors = {name: float(g.std()) / math.sqrt(n_draws) for name, g in gradients.items()}
misses = {name: abs(float(g.mean()) - exact) / errors[name] for name, g in gradients.items()}
print(f"exact: {exact:+.3f}")
for name, g in gradients.items():
    print(f"{name:20} {g.mean():+.3f} ± {errors[name]:.3f}   variance of one draw {g.var():.0f}")
assert max(misses.values()) < 5  # within five standard errors: all are unbiased


def ratio(name, parts=20):
    """How many times reparameterization's variance, and a standard error from 20 parts of the draws."""
    pairs = zip(gradients[name].chunk(parts), gradients["reparameterization"].chunk(parts))
    r = torch.stack([a.var() / b.var() for a, b in pairs])
    return float(r.mean()), float(r.std()) / math.sqrt(parts)


score, base = ratio("score function"), ratio("score, baseline")
print(
    f"score function: {score[0]:.1f} ± {score[1]:.1f} times the variance, with a baseline {base[0]:.2f} ± {base[1]:.2f}"
)
assert score[0] - 3 * score[1] > 1  # more scatter, beyond three standard errors

# %%
dimensions, draws = (1, 2, 5, 10, 20, 50), []
for d in dimensions:
    e = torch.randn(n_draws // 5, d)
    bowl, slope = 0.5 * (e + 1).square().sum(1), e[:, 0] + 1  # m − a = 1 in each dimension, scale 1
    draws.append((slope, bowl * e[:, 0], (bowl - bowl.mean()) * e[:, 0]))
looks = ((VAE_COLOUR, "o-"), (plots.GAP, "o--"), (plots.Q, "o-."))
lines_by_d = {
    name: ([float(g[i].var()) for g in draws], *look) for i, (name, look) in enumerate(zip(gradients, looks))
}
ax = curves(dimensions, lines_by_d, xlabel="dimensions of the code", ylabel="variance of one draw")
ax.set(xscale="log", yscale="log", xticks=dimensions, xticklabels=dimensions)
plt.show()
bowl_ratio = float(draws[4][1].var() / draws[4][0].var())
print(f"20 dimensions: the score function's variance is {bowl_ratio:.0f} times that of reparameterization")
assert all(abs(g.mean() - 1) < 5 * g.std() / len(g) ** 0.5 for three in draws for g in three)  # unbiased
assert bowl_ratio > 100

# %% [markdown]
# *Because* reparameterization uses what f is made of, its slope, and the score function only its value. That is why VAEs
# became easy to train: one draw an image is enough. The score function has its own place, where f has no slope:
# discrete codes, games, language.
#
# ## 6 · Let everyone mark their own exam
#
# If the network may choose its noise, and only the reconstruction counts, how much will it choose? The lecture
# compares it with pupils who mark their own exams: all get full marks. We train the same VAE without the KL term.
#
# One thing to watch: noise is large or small *compared with the distance of the codes*. A network can drown it by
# shrinking it, or by moving the codes apart. So we draw the noise divided by the spread of the codes.
#
# **Predict:** does the noise reach 0, and what has then become of the VAE?

# %%
free = model("VAE")
histories["VAE without KL"] = fit(free, beta=0.0)
looks = {"AE": (AE_COLOUR, ":"), "VAE": (VAE_COLOUR, "-"), "VAE without KL": (plots.GAP, "--")}
relative = {k: [n / s for n, s in zip(h["noise"], h["spread"])] for k, h in histories.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.3))
step, scale_of = histories["VAE"]["step"], {"xlabel": "step", "yscale": "log"}
noisy = {k: (relative[k], *looks[k]) for k in ("VAE", "VAE without KL")}
curves(step, noisy, left, title="noise / spread of the codes", **scale_of)
errors = {k: (h["error"], *looks[k]) for k, h in histories.items()}
curves(step, errors, right, title="squared error an image", **scale_of)
plt.show()

noise, last = ({k: h[term][-1] for k, h in histories.items()} for term in ("noise", "error"))
print(
    f"noise / spread without KL: {relative['VAE without KL'][0]:.3f} early on, {relative['VAE without KL'][-1]:.4f} at last"
)
print("squared error: " + ", ".join(f"{k} {v:.3f}" for k, v in last.items()))
assert relative["VAE without KL"][-1] < relative["VAE"][-1] / 3  # without KL the noise sinks and sinks
# what is left of it costs next to nothing: the error is nearer to the auto-encoder's than to the VAE's
assert abs(last["VAE without KL"] - last["AE"]) < 0.5 * (last["VAE"] - last["AE"])

# %% [markdown]
# *Because* noise only ever hurts the reconstruction, it grows smaller, on the whole with each step, and nothing but the end
# of the training stops it (our steps become small towards the end, so the curve flattens). It never *is* 0, being an
# exponential, but what is left of the VAE is an auto-encoder.
#
# ## 7 · The price, drawn
#
# The lecture's price for σ has three curves: blue $e^\sigma$, red 1 + σ, and their difference, green. **Predict:** where is
# the green one lowest, and what noise does that mean?

# %%
s = torch.linspace(-3, 2, 400)
three = {r"$e^\sigma$": (s.exp(), plots.MODEL, "-"), r"$1 + \sigma$": (1 + s, plots.GAP, "--")}
three["difference"] = (s.exp() - 1 - s, plots.BOUND, "-.")
ax = curves(s, three, xlabel="σ", ylim=(-2, 5))
lowest = minimize_scalar(lambda t: math.exp(t) - (1 + t), bracket=(-1, 0.7), tol=1e-10)
ax.plot(lowest.x, lowest.fun, "o", color=plots.BOUND)
plt.show()
print(f"minimum found at σ = {lowest.x:.0e}, where the difference is {lowest.fun:.0e}")
assert abs(lowest.x) < 1e-6 and abs(lowest.fun) < 1e-12  # flat at its foot: σ is found to the root of 1e-16

# %% [markdown]
# *Because* the red line is the tangent of the blue curve at 0, and an exponential lies above all its tangents. At σ = 0
# the noise has scale 1: that is what costs nothing. To make it small costs about −σ, without an upper limit. So the
# noise cannot die.
#
# The rest of the price is m², the squared length of the code: an L2 penalty, as one puts it on weights. Without it the
# codes would walk away from each other until noise of scale 1 is nothing beside their distances.
#
# ## 8 · Two slips
#
# Lectures have slips; this one says so itself. **The sign.** The slide of the week before had its sign turned: to
# *minimize* the reconstruction error and that term with a minus rewards what it should punish. The lecture puts it right:
# what is minimized is
#
# $$T = \sum_i \left( e^{\sigma_i} - (1 + \sigma_i) + m_i^2 \right)$$
#
# **The two meanings of σ.** T takes σ for the logarithm of a *variance*, but c = $e^\sigma$·e + m takes it for the
# logarithm of a *standard deviation*. Each is fine alone; together they are not the KL. We compute ∫ q log(q/p) by
# quadrature, for both readings, and compare.
#
# **Predict:** T is twice a KL in one of the two readings. In which?

# %%
z = torch.linspace(-40, 40, 160_001, dtype=torch.float64)


def kl_by_quadrature(m, scale):
    q, p = Normal(m, scale), Normal(0.0, 1.0)
    return float(torch.trapezoid(q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z)), z))


pairs = torch.cartesian_prod(*(torch.linspace(-1.5, 1.5, 7, dtype=torch.float64),) * 2)  # (49, 2): m, σ

slips, ratios = {"T = 2 KL": 0.0, "KL of e^σ": 0.0, "T − KL": 0.0}, []
for m_i, s_i in pairs:
    T = s_i.exp() - (1 + s_i) + m_i**2
    as_variance, as_std = kl_by_quadrature(m_i, (s_i / 2).exp()), kl_by_quadrature(m_i, s_i.exp())
    differences = (
        T - 2 * as_variance,  # σ a log-variance: c = exp(σ/2)·e + m
        as_std - 0.5 * ((2 * s_i).exp() - 1 - 2 * s_i + m_i**2),  # σ a log-standard-deviation
        T - (as_std + 0.5 * m_i**2 - 0.5 * (s_i.exp() - 1) ** 2),
    )
    slips = {k: max(v, abs(float(d))) for (k, v), d in zip(slips.items(), differences)}
    ratios += [float(T) / as_std] if as_std > 1e-6 else []  # at m = σ = 0 both are 0
print("largest differences over 49 pairs (m, σ):", {k: f"{v:.0e}" for k, v in slips.items()})
assert (
    max(slips["T = 2 KL"], slips["KL of e^σ"], slips["T − KL"]) < 1e-8
)  # rounding of a sum of 160,001 terms
print(f"with c = exp(σ)·e + m, T is between {min(ratios):.2f} and {max(ratios):.2f} times the KL")
assert max(ratios) > 1.9 and min(ratios) < 0.5  # 2 where σ = 0; for large σ it goes to 0, as 2 exp(−σ)

# %% [markdown]
# If σ is a log-variance and c = $e^{\sigma/2}$·e + m, then T = 2·KL, exactly. If σ is a log-standard-deviation, as in the
# lecture's c, then KL = ½Σ($e^{2\sigma}$ − 1 − 2σ + m²), and T = KL + ½m² − ½($e^\sigma$ − 1)² per dimension: the codes pay more
# and any noise but 1 pays less than the bound asks. Both are lowest at m = σ = 0, so a network trains either way, and nobody
# notices; but the number is no bound on log P(x).
#
# The factor 2 is no slip. The slide's loss, squared error + T, is 2·(squared error/2s² + KL) with s² = 1: twice the loss of a
# VAE whose ruler is a whole step from black to white.
#
# ## What the lecture said, what we measured

# %%
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 6 | an auto-encoder's code has holes: half way between full moon and crescent is anything | distance to a true moon half way, AE / VAE: gentle {spread(middle["gentle", "AE"])} / {spread(middle["gentle", "VAE"])}, restless {spread(middle["restless", "AE"])} / {spread(middle["restless", "VAE"])}, gap {spread(middle["gap", "AE"])} / {spread(middle["gap", "VAE"])} (cross-fade: {faded:.1f}) | holds for a decoder that can turn quickly; a gentle one has no holes; across a gap both show a cross-fade somewhere, the VAE in the middle |
| 7 | noise makes neighbours overlap and blend | restless, average over the line: AE {restless_ratio:.1f} times as far from true moons as VAE, and a hole on {holes} of {n_seeds} seeds; with noise, the best of {n_orders} random orders costs {cheapest:.1f} times as much as the right one, without noise none costs anything | holds; a blend is a moon only if the neighbours are similar |
| 8 | c = exp(σ)·e + m | gradient right on average, {misses["reparameterization"]:.1f} standard errors from quadrature; the score function's variance is {score[0]:.1f} ± {score[1]:.1f} times as large in 1 dimension, {bowl_ratio:.0f} times in a bowl of 20 | holds |
| 9 | left alone the network picks noise 0 | noise {noise["VAE without KL"]:.3f} without KL, {noise["VAE"]:.3f} with, that is {relative["VAE without KL"][-1]:.4f} and {relative["VAE"][-1]:.3f} of the codes' spread; squared error without KL {last["VAE without KL"]:.2f}, AE {last["AE"]:.2f}, VAE {last["VAE"]:.2f} | holds: towards 0, never at it |
| 10 | exp(σ) − (1 + σ) is lowest at σ = 0; m² is an L2 penalty | minimum found at σ = {lowest.x:.0e} | holds |
| 11 | the term T = Σ(exp(σ) − (1 + σ) + m²) | 2·KL to {slips["T = 2 KL"]:.0e} if σ is a log-variance; with c = exp(σ)·e + m it is {min(ratios):.2f} to {max(ratios):.2f} times the KL | right with c = exp(σ/2)·e + m |

Moons: 33 from new to full (gap: 10), 20×20 pixels, {steps} steps of Adam on all of them at once, Gaussian likelihood with variance {variance}. Claims 6 and 7: {n_seeds} seeds, ± is their standard deviation; claim 9: one seed. Distances are roots of summed squared pixel differences. The numbers count the lecture's claims through all nine chapters.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. Your encoder
# gives logvar, as everywhere from now on: the lecture's letters must be translated. A VAE is trained through all three
# functions, so each must be differentiable: stay with torch, because `item`, `detach` and NumPy cut the gradient. No
# clamp and no small added number is needed, not even for log-variances such as ±60.
#
# **1. The draw.** Fresh Gaussian noise for every number, at every call, and gradients must reach both inputs.


# %%
def my_reparameterize(mu, logvar):
    """A draw z from N(mu, exp(logvar)): mu and logvar (N, d) give (N, d)."""
    # 1. the standard deviation, (N, d): logvar is the logarithm of its square
    # 2. standard normal noise of the same shape: torch.randn_like
    # 3. scale it and move it
    raise NotImplementedError


# %%
checks.reparameterize(my_reparameterize)


# %% [markdown]
# **2. The price.** The KL to the standard normal in nats, with nothing left over of the two slips.


# %%
def my_kl(mu, logvar):
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats: mu and logvar (N, d) give (N,)."""
    # 1. each dimension's KL, (N, d): which half of section 8 speaks of a log-variance?
    # 2. sum over dimensions, (N,)
    raise NotImplementedError


# %%
checks.kl(my_kl)


# %% [markdown]
# **3. The loss.** Both parts together, in nats per image. An average over pixels looks harmless in the first part and makes
# the KL 400 times too heavy. Leave out the constant of the Gaussian's log-density. The gradient must reach x_hat, mu and
# logvar.


# %%
def my_vae_loss(x, x_hat, mu, logvar, variance):
    """‖x − x_hat‖² / (2 variance) + KL: x, x_hat (N, D), mu, logvar (N, d), variance a number; result ()."""
    # 1. the squared error of each image, (N,), over two variances
    # 2. the KL of each image, (N,): you have it already
    # 3. add them; one number for the batch is the mean over images
    raise NotImplementedError


# %%
checks.vae_loss(my_vae_loss)
