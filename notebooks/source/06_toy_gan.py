# %% [markdown]
# # 06 · A GAN in one dimension
#
# After this notebook you will be able to
# - write both updates of a GAN by hand, and say what the one `detach` is for;
# - say what the best discriminator is, and what the generator lowers when it plays against that one;
# - make every failure of a GAN happen on purpose, one by one, and recognise it;
# - say why the losses of a GAN do not tell how good its generator is.
#
# **Time:** two to three minutes to run on a laptop with two cores, an hour and a half to work through.
# **It needs** 1.0 GB of memory, no GPU and no data. From you: chapter 02's KL, and a little PyTorch.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn
from torch.nn.functional import softplus

from course_lib import checks, plots
from course_lib.device import FAST
from course_lib.toy_gan import Game, History, Settings, dirac, exact, figures, losses, noise
from course_lib.widgets import ToyGAN

plots.use_style()

# %% tags=["parameters"]
d_steps = 600 if FAST else 2000  # to train D to its end
rounds = 400 if FAST else 1000  # of each game
rates = (1e-4, 1e-3, 1e-2) if FAST else (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of the map, both players
map_rounds = 150 if FAST else 300  # of each game of the map
map_seeds = 1 if FAST else 2
n_seeds = 2 if FAST else 5  # of the collapse
end_seeds = 2 if FAST else 3
seed = 0

# %% [markdown]
# ## 1 · Two players on a line
#
# The GAN paper explains itself with a picture in which everything is one number: z is drawn evenly from −1 to 1, the
# *generator* turns it into x = G(z), and the *discriminator* D(x) says how likely it holds a point x to be real. Nobody
# writes a density down. Yet on a line we can compute all that the players cannot see: the density q of the
# generated points, the best D that there is, every divergence, without drawing a single sample.
#
# The data p are dotted black, the generator's q is green. D is dashed blue, from 0 at the bottom to 1 at the top, and the
# best possible D is the thin line; its axis is the right one.
#
# **Predict:** after many rounds, what will the green curve look like? And how high will D be?

# %%
game = History(Settings(seed=seed))
game.play(frames=2, steps=rounds // 20)
game.play(frames=1, steps=rounds - 2 * (rounds // 20))
figures.moments(game, range(4))
plt.show()
assert game.column("tv")[-1] < game.column("tv")[0] / 2  # less than half as much mass in the wrong place

# %% [markdown]
# *Because* D learns from points only. Where both kinds fall, green lies near the dots and D not far from ½. Further out hardly a
# point falls, nothing corrects D, and it may stand anywhere. And green ends in two cliffs: z ends at ±1 and G is continuous, so all
# of G(z) lies in one interval. The tails of the data stay out of reach, unless G stretches the ends of z very far.
#
# That was the whole game, from the start to the end of this notebook's patience. Now slowly, and by hand. D's update is a
# binary classification, real points against generated ones. G's update puts both networks behind each other and asks
# for an output that says "real", while D stands still.
#
# The lines with comments are those where students trip. Without `detach`, D's loss would send a gradient into G, too: not
# wrong as long as only D's optimizer takes a step, but wasted, and a trap as soon as G's `zero_grad` comes at
# another place. And G's optimizer holds G's weights only: that is how D is frozen.
#
# The package plays the same game. It draws its noise from a formula of (seed, player, step), so that a game can be
# rewound and played on, here or in a browser. We take its first weights and its noise: after some rounds of our two
# functions and of the package's `step`, both must hold the same weights.


# %%
def update_d(g, d, optimizer_d, x, z):
    fake = g(z).detach()  # D is to learn to tell, G is not to learn from it
    loss = softplus(-d(x)).mean() + softplus(d(fake)).mean()  # −log D(x) − log(1 − D(G(z))), from logits
    optimizer_d.zero_grad()
    loss.backward()
    optimizer_d.step()
    return loss.item()


def update_g(g, d, optimizer_g, z):
    loss = softplus(-d(g(z))).mean()  # −log D(G(z)): G wants to be taken for real
    optimizer_g.zero_grad()
    loss.backward()  # through D into G; D's weights get a gradient too
    optimizer_g.step()  # but only G's weights are in this optimizer
    return loss.item()


# %%
def draw(stream, step):  # 256 numbers, uniform on (0, 1): (N, 1)
    return torch.from_numpy(noise.uniform(seed, [stream], step, 256)[0])[:, None]


theirs = Game(Settings(seed=seed))
g, d = (
    nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    for _ in "gd"
)
for ours, player in ((g, theirs.g), (d, theirs.d)):
    nn.utils.vector_to_parameters(player.weights.clone(), ours.parameters())
optimizer_g = torch.optim.Adam(g.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizer_d = torch.optim.Adam(d.parameters(), lr=5e-3, betas=(0.5, 0.999))
for step in range(50):
    x = torch.from_numpy(np.interp(draw(noise.D_DATA, step), *theirs.table))  # data by their inverse cdf
    update_d(g, d, optimizer_d, x, 2 * draw(noise.D_Z, step) - 1)
    update_g(g, d, optimizer_g, 2 * draw(noise.G_Z, step) - 1)
theirs.step(50)
apart = max(
    float((nn.utils.parameters_to_vector(ours.parameters()) - player.weights).abs().max().detach())
    for ours, player in ((g, theirs.g), (d, theirs.d))
)
print(f"after 50 rounds our weights and the package's differ by at most {apart:.0e}")
assert apart < 1e-8  # float64, and sums in another order

# %% [markdown]
# ## 2 · What D can learn at best
#
# Hold G still and let D learn on. **Predict:** where will D end, at a place x where the data's density is p(x) and the
# generator's q(x)?

# %%
fixed = History(Settings(data="two modes", z="normal", seed=seed))
fixed.play(1, 60)  # G as it is after 60 rounds
fixed.change(batch=1000)
for until in (d_steps // 30, d_steps):
    for step in range(fixed.game.d_updates - 60, until):
        fixed.game.change(lr_d=1e-2 * (1 - step / d_steps))  # ever smaller steps, so that D comes to rest
        fixed.game.update_d()
    fixed.keep()
figures.moments(fixed, (1, 2, 3), [f"after {n} steps of D alone" for n in (0, d_steps // 30, d_steps)])
plt.show()
p, q = fixed.game.grid.p[1:-1].numpy() / fixed.game.grid.dx, fixed.column("q")[-1]  # densities (G,)
error = np.abs(fixed.column("d")[-1] - fixed.column("d_star")[-1])  # (G,), NaN where nothing falls
d_error = float(np.nansum(error * (p + q) / 2) * fixed.game.grid.dx)
value, best_value = float(fixed.column("value")[-1]), float(fixed.column("best_value")[-1])
print(
    f"average distance of D from p/(p + q): {d_error:.3f}; its value {value:.3f}, the best {best_value:.3f}"
)
assert (
    d_error < 0.05 and 0 < best_value - value < 0.05
)  # a small net cannot bend at will; none beats the best

# %% [markdown]
# *Because* at each x, D plays for p·log D + q·log(1 − D), and the D where that is highest is
#
# > **D\*(x) = p(x) / (p(x) + q(x))**
#
# Put it back in, and D's best value is −log 4 + 2·JSD(p, q), with the Jensen-Shannon divergence
# JSD = ½KL(p‖m) + ½KL(q‖m), m = (p + q)/2: 0 where p = q, log 2 where they have nothing in common. A G that lowers
# log(1 − D) against the *best* D lowers the JSD (section 5 asks for this gradient, and for another loss). So the sum of both of
# D's losses, turned round, measures a divergence, but only if D is the best.
#
# A case to check by integrals: p = N(0, 1) and q = N(2, 1).


# %%
def integral(f):
    return quad(f, -20, 20, limit=200)[0]


def value_of(mu):  # of the best D for p = N(0, 1), q = N(μ, 1): its logit is log p − log q = μ²/2 − μx
    def plays_for(x):
        logit = mu**2 / 2 - mu * x  # log D = −log(1 + exp(−logit))
        return -norm.pdf(x) * np.logaddexp(0, -logit) - norm.pdf(x, mu) * np.logaddexp(0, logit)

    return integral(plays_for)


cells = np.linspace(-10, 12, 2001)  # the package sums over cells instead
p_cells, q_cells = (torch.from_numpy(np.diff(norm.cdf(cells, mean))) for mean in (0, 2))
jsd = float(exact.jsd(p_cells, q_cells))
print(f"value of the best D {value_of(2):.6f}, −log 4 + 2·JSD {-math.log(4) + 2 * jsd:.6f}, JSD {jsd:.6f}")
assert abs(value_of(2) + math.log(4) - 2 * jsd) < 1e-5  # 2,000 cells; the sum over them errs by about 5e-6

# %% [markdown]
# ## 3 · G's step: up the hill that D draws
#
# Now D stands still, and G takes *one* step. D says "real" on the right, where the data are. **Predict:** what happens to
# the generated points if the step is small? If it is large?

# %%
hill = History(Settings(z="normal", start=-3.0, batch=1000, seed=seed))
hill.play(1, 20)
for _ in range(100):
    hill.game.update_d()
hill.keep()
before, lengths, jumps = hill.game.state(), np.logspace(-3, 0.3, 30), []
for lr in lengths:
    hill.game.restore(before)
    hill.game.change(optimizer_g="sgd", lr_g=float(lr))
    hill.game.update_g()
    jumps.append(hill.game.record())
figures.moments(hill, [0, hill.at], ["at the start", "before G's step"])
plt.show()

# %%
mean, jsd_after = (np.array([jump[name] for jump in jumps]) for name in ("mean", "jsd"))
farthest, nearest, start = mean.max(), jsd_after.min(), hill.column("jsd")[-1]
m, j = "mean of the generated points (data: 0)", "JSD(p, q), nats (dotted: before the step)"
panels = {m: {"": (lengths, mean)}, j: {"": (lengths, jsd_after)}}
figures.compare(panels, "length of the step (learning rate)", marks={m: 0, j: start}, xlog=True)
plt.show()
print(
    f"best step: JSD {start:.2f} to {nearest:.2f}; a longer one carries the points to {farthest:.1f}, past the data"
)
assert (np.diff(mean[lengths < 0.05]) > 0).all() and farthest > 3 and jsd_after[-1] > nearest + 0.2

# %% [markdown]
# *Because* each point feels the slope of D under it, and nothing else: it moves to where D is high, and how far is for the learning
# rate to say. D never said that it knows anything about places beyond the data where no point has ever been. A step that is
# too long runs over the hill: the lecture's *overshoot*. Next time D will look there, and say "fake".
#
# Play it. **Play** (or space) starts and pauses, **Step** (or →) is one round (D learns, then G), **Reset** (or r) begins
# anew, and the **timeline** rewinds. Choose a preset and read what it promises. You may draw the data yourself.

# %%
ToyGAN()

# %% [markdown]
# ## 4 · D must wait while G learns
#
# The lecture: if D's weights may move in G's step, D simply says 1. We take the state from above and let G alone step,
# once with D frozen and once with D's weights free to follow G's loss.
#
# **Predict:** in which case does G's loss fall faster? In which case do the samples get better?

# %%
frozen = {}
for label in ("D frozen", "D free"):
    hill.game.restore(before)
    hill.game.change(freeze_d=label == "D frozen")
    frozen[label] = [hill.game.record() | {"loss_g": np.nan}]
    for _ in range(40):
        hill.game.update_g()
        frozen[label].append(hill.game.record())
names = {"loss_g": "G's loss, −log D(G(z))", "mean": "mean of the generated points (data: 0)"}
panels = {
    t: {k: (range(41), [r[name] for r in runs]) for k, runs in frozen.items()} for name, t in names.items()
}
figures.compare(panels, "step of G", log=[names["loss_g"]])
plt.show()
moved = {label: runs[-1]["mean"] - runs[0]["mean"] for label, runs in frozen.items()}
at_10 = {label: runs[10]["loss_g"] for label, runs in frozen.items()}
print({label: f"loss {at_10[label]:.3f} after 10 steps, moved {moved[label]:.2f} in 40" for label in frozen})
assert at_10["D free"] < at_10["D frozen"] / 3 and moved["D free"] < moved["D frozen"] / 2

# %% [markdown]
# *Because* two players now push the same way. It is easier for D to raise its bias than for G to find better points, and once D
# says 1 everywhere, its slope is 0 and G stands still: a splendid loss and no lesson. (Nor may one optimizer lower the sum of both
# losses. With log(1 − D) the two parts for the generated points cancel, and "real" for everything is what is left to learn. With
# −log D their sum is lowest at D = ½, wherever the points are.)
#
# ## 5 · Which loss for G?
#
# G wants D(G(z)) = 1. It may *lower log(1 − D)*, as the formula of the game says, or *lower −log D*. Both want the same.
# **Predict:** G is far off and the best D is nearly sure that its points are fake. Which loss has the steeper gradient?
#
# We take p = N(0, 1), q = N(μ, 1), the best D against it, and ask for the derivative by μ, by integrals.


# %%
def pull(loss, mu):
    """d(G's loss)/dμ at the best D. That one's logit is log p − log q = μ²/2 − μx, with slope −μ."""

    def up(x):  # −d(G's loss)/dx: which way a point x is pushed
        return float(losses.push(loss, torch.tensor(mu**2 / 2 - mu * x), torch.tensor(-mu)))

    return -integral(lambda x: norm.pdf(x, mu) * up(x))


both = ("minimax", "nonsaturating")  # lower log(1 − D), lower −log D
distances = np.linspace(0.25, 6, 24)
gradients = np.array([[pull(loss, mu) for loss in both] for mu in distances])  # (24, 2)
at_two = [pull(loss, 2.0) for loss in both]
print(
    f"at distance 2: {at_two[0]:.4f} for log(1 − D), {at_two[1]:.4f} for −log D; at 6: {gradients[-1, 0]:.1e}, {gradients[-1, 1]:.2f}"
)
assert abs(at_two[0] - 0.4496) < 1e-4 and abs(at_two[1] - 1.550) < 1e-3


def kl_less_jsd(mu):  # KL(q‖p) − 2·JSD; the first is μ²/2
    return mu**2 / 2 - (value_of(mu) + math.log(4))


for loss_of, gradient in ((value_of, at_two[0]), (kl_less_jsd, at_two[1])):  # value_of is 2·JSD − log 4
    assert abs((loss_of(2.001) - loss_of(1.999)) / 0.002 - gradient) < 1e-4

# %%
labels = ("lower −log D: non-saturating", "lower log(1 − D): saturating")
title = "gradient, nats per unit of x"
panel = {label: (distances, column) for label, column in zip(labels, gradients.T[::-1])}
figures.compare({title: panel}, "distance μ between data and generator", log=[title])
plt.show()

# %% [markdown]
# *Because* log(1 − D) is flat where D is near 0, and −log D is steep there. A G that is far behind needs the second.
# What does it lower, then? The gradient of log(1 − D) is that of 2·JSD, the one of −log D is that of KL(q‖p) − 2·JSD. We just
# checked both.
#
# ## 6 · What the losses tell
#
# Two games, the same data. In one D learns at a good pace, in the other fifty times more slowly and G faster.
# **Predict:** can you tell from D's loss which generator is the better one?

# %%
paces = {"good pace": {}, "weak D": {"lr_d": 1e-4, "lr_g": 5e-3}}
games = {name: History(Settings(seed=seed, **changes)) for name, changes in paces.items()}
for h in games.values():
    h.play(rounds // 10, 10)
titles = {"loss_d": "D's loss: what you see (dotted: log 4)", "jsd": "JSD(p, q), nats: what is true"}
panels = {t: {k: (h.column("step"), h.column(name)) for k, h in games.items()} for name, t in titles.items()}
figures.compare(panels, "round", marks={titles["loss_d"]: math.log(4)})[0].set_ylim(0.8, 2.2)
plt.show()
late = {k: [float(h.column(name)[-rounds // 30 :].mean()) for name in titles] for k, h in games.items()}
print({k: f"D's loss {loss:.3f}, JSD {jsd:.3f}" for k, (loss, jsd) in late.items()})
assert abs(late["good pace"][0] - late["weak D"][0]) < 0.15
assert late["weak D"][1] > 4 * late["good pace"][1]

# %% [markdown]
# *Because* a D that knows nothing and a D that has been fooled both say ½, and both pay log 4. D's loss is a divergence only
# at the best D, and nobody tells you whether yours is near it. So one sits and looks at pictures, as the
# lecture says; or one measures the samples with something that does not take part in the game (chapter 07).
#
# ## 7 · Well matched, badly matched
#
# How careful must one be? Some games for each pair of learning rates, and after each the mass that is in the wrong
# place: the total variation, ½∫|p − q|. We call a pair good that leaves less than 0.35 there. **Predict:** where on this map lies the good region? On the diagonal?


# %%
def wrong_mass(lr_d, lr_g, seed):
    h = History(Settings(seed=seed, lr_d=lr_d, lr_g=lr_g))
    h.play(1, map_rounds)
    h.play(10, max(map_rounds // 50, 1))  # the average over some late moments: games swing
    return h.column("tv")[-10:].mean()


wrong = np.mean(  # over seeds: (G's rate, D's rate)
    [[[wrong_mass(lr_d, lr_g, s) for lr_d in rates] for lr_g in rates] for s in range(map_seeds)], axis=0
)

# %%
plots.rate_map(wrong, rates, f"mass in the wrong place, {map_rounds} rounds, {map_seeds} seeds")
plt.show()
good = wrong < 0.35
faster_d = np.array([[lr_d > lr_g for lr_d in rates] for lr_g in rates])
print(f"{good.sum()} of {good.size} pairs are good; in {(good & faster_d).sum()} of them D is the faster one")
assert 0 < good.mean() < 0.75  # some pairs work, far from all

# %% [markdown]
# *Because* G follows the slope of D as D is *now*. A slow D still tells of where the generated points were some rounds ago, and
# sends G away from there, wherever the data are. If both take very long steps, D is another one in each round, and G follows
# none of them for long. If both are very slow, the game is only under way when it is stopped. On this line D may be the
# faster one by far.
#
# ## 8 · Collapse
#
# Three hills of data, whose widths are 0.3, 0.6 and 1. The two play at rates that suit them, and G spreads out. Then, in
# mid-game, we make D five times slower and G twenty times faster. The lecture: *G gives one image, whatever z is.* Here an
# image is a number, and the sign is that the points' standard deviation falls to nearly 0; we count it as a collapse below
# 0.5 (the data's is 2.7). **Predict:** do all z go to one place? If so, does G stay there?

# %%
half = rounds // 40  # moments before the change, and as many after it


def change_midway(settings, moments, **changes):
    h = History(settings)
    h.play(moments, 20)
    h.change(**changes)
    h.play(half, 20)
    return h


def columns(runs, name):  # (2, S, T): kinds of game, seeds, moments
    return np.stack([[h.column(name) for h in games] for games in runs.values()])


collapse = {
    k: [change_midway(Settings(data="three modes", seed=s), half, **new) for s in range(n_seeds)]
    for k, new in (("matched", {}), ("G too fast after the line", {"lr_d": 1e-3, "lr_g": 2e-2}))
}
std, mean, loss, jsd_at = (columns(collapse, name) for name in ("std", "mean", "loss_d", "jsd"))
titles = {f"standard deviation of the points, {n_seeds} seeds": std, "their mean, seed 0": mean[:, :1]}
panels = {
    t: {k: (range(0, 40 * half + 1, 20), y.T) for k, y in zip(collapse, ys)} for t, ys in titles.items()
}
for ax in figures.compare(panels, "round", marks={next(iter(titles)): 0.5}):
    ax.axvline(20 * half, color=plots.PRIOR, lw=1.2, ls=":")
z = collapse["matched"][0].column("z")[-1]
ends = {k: (z, y[:, -1].T) for k, y in zip(collapse, columns(collapse, "x"))}
figures.compare({f"G(z) at the end, {n_seeds} seeds": ends}, "z")
plt.show()

# %%
end = np.s_[..., -(half // 2) :]  # the second half of the time since the change
hops = [np.ptp(m[s < 0.5]) for m, s in zip(mean[1][end], std[1][end])]  # of the mean while collapsed, (S,)
narrow, spread_out = (std[end] < 0.5).mean(-1), (std[1, :, half].min(), std[0, :, half:].min())
late_loss, late_jsd = (column[end].mean((1, 2)) for column in (loss, jsd_at))
print("least standard deviation: {:.2f} at the change, {:.2f} if none comes".format(*spread_out))
print(f"collapsed in {narrow[1].mean():.0%} of the last moments; the mean runs over {min(hops):.1f} or more")
print("D's loss: matched {:.2f}, collapsed {:.2f}; JSD {:.2f} and {:.2f}".format(*late_loss, *late_jsd))
assert min(spread_out) > 2 and narrow[1].min() > 0.8 and min(hops) > 2
assert abs(late_loss[1] - late_loss[0]) < 0.3 and late_jsd[1] > 4 * late_jsd[0]

# %% [markdown]
# *Because* if D stood still, the best that G could do is to send *every* z to the one place where D is highest, and the
# faster G is, the nearer it comes to that game. D then learns that this place is fake and lowers it, and the points leave,
# all together: in one place they all feel the same slope. Where D is flat for a while they wait, collapsed all the same.
# Nothing in G's loss asks for variety; only D can, by being in time. How to see it in practice: samples of one batch that
# look alike. D's loss is no help: on average it is about that of the good game. And a G too fast may
# overshoot first: after the change the points of some seeds lie far wider apart than the data, before they fall together.
#
# ## 9 · Round and round
#
# The smallest GAN of all (Mescheder et al. 2018): the data are one point at 0, G is one point θ, D's logit is ψ·x. The
# equilibrium is θ = ψ = 0. We play minimax; near the equilibrium the non-saturating game is the same.
# **Predict:** do the two get there?

# %%
h_step, turns = 0.2, 400
paths = {g: dirac.trajectory((1.0, 0.0), h_step, turns, "minimax", r1=g) for g in (0.0, 0.3, 1.0)}
together = dirac.trajectory((1.0, 0.0), h_step, turns // 4, "minimax", alternating=False)
figures.dirac_planes(paths, together)
plt.show()
radius, grown = {g: float(path[-1].norm()) for g, path in paths.items()}, float(together[-1].norm())
print({g: f"{r:.1e}" for g, r in radius.items()}, f"at the same time: {grown:.2f}")
assert 0.8 < radius[0.0] < 1.25 and grown > 1.3 and radius[1.0] < 1e-3

# %% [markdown]
# *Because* each player runs where the other one sends it, a quarter of a turn behind: G is pushed by ψ, D by −θ. The matrix of
# that motion has the eigenvalues ±½i, so the game turns and never arrives. Alternating steps stay on their ring; steps at the same
# time spiral outwards, each one making the squared radius 1 + h²/4 times as large near the centre. The penalty **R1** brakes D:
# γ/2 times the squared slope of its logit at the data, here γ/2·ψ². The eigenvalues become −γ/2 ± √(γ²/4 − ¼): a negative real
# part, and both come to rest, with very small steps fastest at γ = 1.
#
# ## 10 · The end
#
# The two numbers need a brake to arrive. Do the networks? We play the same games without R1 and with γ = 1, the penalty now
# averaged over the data. z is normal, so that G(z) = z would be perfect, and for the last third the learning rates are
# lowered. **Predict:** in which game does D end nearer to ½? In which q nearer to p? And the lecture says that D's accuracy at
# the end is "0": is it?

# %%
last = {
    k: [
        change_midway(Settings(z="normal", r1=r1, seed=s), 2 * half, lr_d=5e-4, lr_g=1e-4)
        for s in range(end_seeds)
    ]
    for k, r1 in (("without R1", 0.0), ("with R1, γ = 1", 1.0))
}
braked = last["with R1, γ = 1"][0]
figures.moments(braked, [0, half // 2, braked.at])
here = braked.game.grid.p[1:-1].numpy() / braked.game.grid.dx > 0.02  # where there are data
distance, jsds = np.abs(columns(last, "d")[..., here] - 0.5).max(-1), columns(last, "jsd")
titles = {"the largest |D − ½| where data are": distance, "JSD(p, q), nats": jsds}
panels = {t: {k: (range(0, 60 * half + 1, 20), y.T) for k, y in zip(last, ys)} for t, ys in titles.items()}
figures.compare(panels, "round", log=list(titles))
plt.show()
d_end, jsd_end = (column[..., -10:].mean(-1) for column in (distance, jsds))  # (2, S) each
accuracy = float(columns(last, "accuracy")[..., -10:].mean())
print("at the worst place D is {:.3f} from ½ without R1, {:.3f} with it".format(*d_end.mean(1)))
print("JSD {:.4f} without R1, {:.4f} with it; accuracy {:.2f}".format(*jsd_end.mean(1), accuracy))
assert (d_end[1] < d_end[0] / 2).all()  # R1 brings D nearer to ½, on every seed
assert jsd_end[1].mean() > jsd_end[0].mean() and abs(accuracy - 0.5) < 0.05  # but q no nearer to p

# %% [markdown]
# *Because* R1 charges D for every slope where the data are, so D stays flatter there, and nearer to ½. It does not
# bring q closer to p: a flatter D pushes G less, and after as many rounds q is even a little farther off.
# These networks get near without a brake; the two numbers never do.
#
# Where p = q the best D is ½ everywhere, and half of its answers are right, by chance. An accuracy of 0 would be a perfect
# D with its two answers swapped.
#
# ## What the lecture said, what we measured

# %%
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 25 | D must be frozen when G learns, else D simply says 1 | G's loss after 10 steps: frozen {at_10["D frozen"]:.3f}, free {at_10["D free"]:.4f}; the points moved {moved["D frozen"]:.2f} and {moved["D free"]:.2f} in 40 | holds |
| 26 | the toy of the GAN paper: G moves to where D is high, and can overshoot | the best single step brings the JSD from {start:.2f} to {nearest:.2f}, a longer one carries the points to {farthest:.1f}, beyond the data | holds |
| 26 | D learns to tell p from q | D ends {d_error:.3f} from p/(p + q) on average, its value {best_value - value:.3f} below −log 4 + 2·JSD | holds: this D* is the best |
| 27 | a bad D and a good G look alike | D's loss {late["good pace"][0]:.2f} and {late["weak D"][0]:.2f}, true JSD {late["good pace"][1]:.3f} and {late["weak D"][1]:.3f} | holds |
| 28 | D and G must be well matched | {good.sum()} of {good.size} pairs of learning rates leave less than 0.35 of the mass in the wrong place; best {wrong.min():.2f}, worst {wrong.max():.2f} | holds; D may be the faster one |
| 29 | collapse: one image, whatever z is | G, spread out at first and then made too fast: in {narrow[1].mean():.0%} of the last moments all points lie in one place, with a spread below 0.5, on no seed in fewer than {narrow[1].min():.0%}; matched to the end, the spread stays above {spread_out[1]:.1f}. The place changes, over at least {min(hops):.1f} of x | holds, if G is far too fast |
| 30 | at the end D's accuracy is 0 | {accuracy:.2f}; at the worst place D is {d_end[1].mean():.3f} from ½ with R1, {d_end[0].mean():.3f} without, and the JSD {jsd_end[1].mean():.4f} and {jsd_end[0].mean():.4f} | a slip: it is ½ |

All divergences are exact for the cells of a grid, in nats, no samples drawn. Networks of two layers of 16 tanh units, 256 points a batch, Adam with β1 = 0.5; claims 25 to 27: seed {seed}; claim 28: the mean over {map_seeds} seeds of {map_rounds} rounds; claim 29: {n_seeds} seeds, the last quarter of each game; claim 30: the mean over {end_seeds} seeds and the last ten moments; {rounds} rounds a game, claim 30 {rounds * 3 // 2}. The numbers count the lecture's claims through all nine chapters.
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. After the
# example the check also tries inputs of other sizes, drawn anew each time, and extreme ones. `d` and `g` are networks;
# `d` gives logits, which may be as large as ±1000. All losses are in nats.
#
# **1. D's loss.** D must be able to learn from it: return a tensor that is differentiable with respect to all of D's
# weights. G must not learn from it, and only the loss is computed here: no `backward()`, and no weight is frozen.


# %%
def my_discriminator_loss(d, g, x, z):
    """−mean log D(x) − mean log(1 − D(G(z))) of real points x (N, 1) and noise z (N, 1); result ()."""
    # 1. the generated points, cut off from G
    # 2. the logits for both; −log σ(l) is softplus(−l), −log(1 − σ(l)) is softplus(l)
    # 3. the mean over each batch, then the sum
    raise NotImplementedError


# %%
checks.discriminator_loss(my_discriminator_loss)

# %% [markdown]
# **2. G's step.** The non-saturating loss, one step of the optimizer that is given (it holds G's weights), and D as it
# was. It must work just as well where D is sure that every point is made.


# %%
def my_generator_step(d, g, optimizer, z):
    """One step of G down −mean log D(G(z)) for noise z (N, 1); D does not change. Returns the loss, ()."""
    # 1. the logits of the generated points, and the loss
    # 2. gradients of earlier steps must not count
    # 3. backward, then the optimizer's step
    raise NotImplementedError


# %%
checks.generator_step(my_generator_step)

# %% [markdown]
# **3. The best D.** From two densities on a grid to what G is worth, in nats. The result is one number.


# %%
def my_best_value(p, q, dx):
    """The value of the best D: ∫ p·log D* + q·log(1 − D*) for densities p, q (G,), both above 0, cells dx; ()."""
    # 1. the best D at each place, (G,)
    # 2. what D plays for at each place, (G,)
    # 3. the integral: a sum over cells of width dx
    raise NotImplementedError


# %%
checks.best_value(my_best_value)
