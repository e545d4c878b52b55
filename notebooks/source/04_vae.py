# %% [markdown]
# # 04 · The VAE on MNIST
#
# After this notebook you will be able to
# - build and train a VAE on digits, with a loss in nats that you can compare with papers;
# - read the two halves of $L_b$ off its training, and say which of its dimensions are alive;
# - say how far $L_b$ is from log P(x), and what made one model better than another;
# - give the prior another shape, and show that the VAE is a mixture without end;
# - put another kind of model, pixel after pixel, beside it.
#
# **Time:** three to six minutes to run on a laptop with two cores, two hours to work through.
# **It needs** 1.7 GB of memory and no GPU; from you: chapters 02 and 03.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import json
import math

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_lib import checks, evaluation, plots
from course_lib.data import binarize, course_digits, fixed_binarization, shipped_models_fit
from course_lib.device import FAST
from course_lib.mixtures import GaussianMixture
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.vae import VAE
from course_lib.probability.elbo import Bound
from course_lib.recipes import QUALITY, WEIGHTS, Recipe, train
from course_lib.training import Run
from course_lib.training.checkpoints import describe, load_model
from course_lib.widgets import LatentExplorer

plots.use_style()

# %% tags=["parameters"]
n_train = 4_000 if FAST else 60_000  # digits to train on
epochs = 15 if FAST else 8  # of the first VAE
beta_epochs = 12 if FAST else 4  # of each VAE with another beta
plane_epochs = 4 if FAST else 6  # of each VAE with a z of two numbers
n_test = 200 if FAST else 1_000  # test digits for the likelihoods
grid_side = 101 if FAST else 161  # points along each axis of the integral over a plane of codes
many = 50 if FAST else 500  # draws of z for each of them
seed = 0

# %% [markdown]
# ## 1 · A likelihood first
#
# "How probable is this image?" needs a distribution that can produce images. The decoder will say, for each pixel, the
# probability of its being white. Such a distribution produces black and white pixels, never grey ones. So we make the
# digits black and white: a pixel of brightness 0.7 becomes white with probability 0.7, drawn anew each time it is looked
# at. (Feeding the grey values into the same formula trains as well, but the number that comes out is no likelihood, and
# not to be compared with one.)
#
# For the test digits we draw once and for all, so that every model is measured on the same images.

# %%
train_digits, test_digits = course_digits(train=True), course_digits(train=False)
on_mnist = shipped_models_fit(train_digits)  # some numbers asserted below were measured on MNIST
shape, pixels = train_digits.shape, train_digits.n_pixels  # (28, 28) and 784
images = train_digits.images[:n_train].flatten(1)  # (N, 784), bytes
x_test, y_test = fixed_binarization(test_digits.images[:n_test]).flatten(1), test_digits.labels[:n_test]

torch.manual_seed(seed)
grey = train_digits.pixels(slice(0, 10))
plots.digits(torch.cat([grey, binarize(images[:10]), binarize(images[:10])]), title="grey, binarized twice")
plt.show()

# %% [markdown]
# ## 2 · A VAE in twenty lines
#
# Chapter 03's model, for digits: an encoder from 784 pixels to the mean and the log-variance of q(z|x), 20 numbers each,
# and a decoder from a z back to 784 logits. One hidden layer each.


# %%
class SmallVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, 400), nn.ReLU(), nn.Linear(400, 2 * 20))
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, pixels))

    def loss(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)  # (N, 20) each
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)  # (N, 20)
        logits = self.decoder(z)  # (N, 784)
        reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
        kl = 0.5 * (logvar.exp() - 1 - logvar + mu**2).sum(1).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}


# %% [markdown]
# `loss` is $-L_b$: sums over the pixels and over z, a mean over images. It is in *nats per image*. If you average over
# pixels instead, the reconstruction becomes 784 times too small beside the KL, and you train a different model (a β-VAE
# with β = 784) without noticing. The package's `VAE` has the same loss. With equal weights and equal noise:


# %%
def to_package(model):
    packaged = VAE(shape=shape)
    packaged.encoder.layers.load_state_dict(model.encoder.state_dict())
    packaged.decoder.layers.load_state_dict(model.decoder.state_dict())
    return packaged


# %%
def loss_of(model):
    torch.manual_seed(seed)
    return {name: value.item() for name, value in model.loss(x_test).items()}


ours = SmallVAE()
mine, theirs = loss_of(ours), loss_of(to_package(ours))
agreement = max(abs(mine[name] - theirs[name]) for name in mine)
print({name: round(value, 3) for name, value in mine.items()}, f"largest difference {agreement:.0e}")
assert agreement < 1e-2  # float32: sums of 784 terms that are added up in another order

# %% [markdown]
# ## 3 · Training, and the two halves of $L_b$
#
# The course's training loop is given an `update`, does it for batch after batch, and shows pictures as it goes. Stop it
# when you like (the square button): the model so far is kept, and running the cell again goes on.
#
# **Predict:** at the start, which is larger, the reconstruction's error or the KL? In which direction does each move?

# %%
torch.manual_seed(seed)
vae = SmallVAE()
optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
run = Run(images, model=vae, optimizer=optimizer, batch_size=128, seed=seed)
some_z = torch.randn(20, 20)


def update(batch):
    losses = vae.loss(binarize(batch))
    optimizer.zero_grad()
    losses["loss"].backward()
    optimizer.step()
    return losses


def picture(run):
    return plots.digits(
        torch.sigmoid(vae.decoder(some_z)), title=f"20 codes, after {run.epoch:.1f} epochs"
    ).figure


@torch.no_grad()
def evaluate():
    return {f"test {name}": float(value) for name, value in vae.loss(x_test).items()}


untrained = evaluate()
history = run.train(update, epochs, picture=picture, evaluate=evaluate, evaluate_every=0.25)

# %%
log = run.evaluations
halves = zip(log["test reconstruction"], log["test kl"])
bounds = [Bound(torch.tensor(-r), torch.tensor(k), None, torch.zeros(())) for r, k in halves]
plots.bound_parts(bounds, [step * epochs / run.step for step in log["step"]], xlabel="epoch")
plt.show()
print(f"KL before training {untrained['test kl']:.1f}, after {log['test kl'][-1]:.1f} nats")
assert log["test kl"][-1] > untrained["test kl"] or not on_mnist  # it pays for information, …
assert bounds[-1].elbo > bounds[0].elbo or not on_mnist  # … and gains more than it pays

# %% [markdown]
# *Because:* a z that says nothing about x costs nothing, so the KL starts near 0 and the reconstruction is poor. Each nat
# spent in the KL, on telling the decoder something of x, must buy more than one nat of reconstruction, or the loss would
# not go down.
#
# The KL is known in closed form for Gaussians. Is it also what sampling says? And the reconstruction is the
# auto-encoder's squared error in disguise: give the decoder a Gaussian likelihood of fixed variance s² instead, and
# $-\log P(x|z) = \|x - \hat x\|^2 / 2 s^2$ + a constant.

# %%
packaged = to_package(vae)  # the package's model brings q, prior and likelihood
with torch.no_grad():
    q = packaged.posterior(x_test)
    z = q.sample((100,))  # (100, T, 20)
    ratio = (q.log_prob(z) - packaged.prior.log_prob(z)).double().mean(1)  # (100,), each over all images
    closed = float(torch.distributions.kl_divergence(q.base_dist, packaged.prior.base_dist).sum(1).mean())
sampled, sampled_se = float(ratio.mean()), float(ratio.std() / 10)
print(f"KL(q‖P(z)): closed form {closed:.3f}, from 100 draws an image {sampled:.3f} ± {sampled_se:.3f} nats")
assert abs(sampled - closed) < 4.5 * sampled_se  # once in 100,000 runs by chance

gaussian, s2 = VAE(shape=shape, likelihood="gaussian", variance=0.1), 0.1
with torch.no_grad():
    likelihood = gaussian.likelihood(torch.randn(10, 20))
    minus_log_p = -likelihood.log_prob(grey).double()
    squared = (grey - likelihood.mean).double().square().sum(1)
constant = pixels / 2 * math.log(2 * math.pi * s2)
error_18 = float((minus_log_p - (squared / (2 * s2) + constant)).abs().max())
print(f"largest difference {error_18:.0e} nats, of about {float(minus_log_p.abs().mean()):.0f}")
assert error_18 < 1e-2  # float32: one part in 10⁷ of some 1,000 nats, added up over 784 pixels

# %% [markdown]
# ## 4 · Reconstructions and inventions

# %%
with torch.no_grad():
    rebuilt = packaged.likelihood(packaged.encode(x_test[:10])[0]).mean
    invented = packaged.generate(20)
plots.digits(
    torch.cat([x_test[:10], rebuilt, invented]), title="test digits · rebuilt from their mean code · invented"
)
plt.show()

# %% [markdown]
# The rebuilt digits are soft, and some invented ones are no digits at all. The pictures are each pixel's *mean*; a pixel
# that the decoder is unsure of is grey.
#
# ## 5 · What is in z?
#
# A mixture of Gaussians has a code as well: *which* component, one of K. It is one label; a VAE's code is many numbers,
# each of which says something. Fit a mixture of 10 to the digits (on 50 principal components) and let both describe the
# same test digits.
#
# **Predict:** how many nats can a choice of one in ten carry at most?

# %%
black_white = binarize(images[:10_000])
pca = PCA(min(50, pixels), random_state=seed).fit(black_white)
projected = torch.from_numpy(pca.transform(black_white)).double()
mixture = GaussianMixture(10, covariance_type="diag", random_state=seed, reg_covar=1e-3, tol=1e-2)
mixture.fit(projected)
codes_of = torch.from_numpy(pca.transform(x_test)).double()
resp = torch.as_tensor(mixture.predict_proba(codes_of))  # (T, 10)
label_mean = torch.from_numpy(pca.inverse_transform(resp @ mixture.means_)).clamp(0, 1)  # (T, 784)
with torch.no_grad():
    mu, logvar = packaged.encode(x_test)
    from_z = packaged.likelihood(mu).mean
by_label, by_code = (float((x_test - x).square().sum(1).mean()) for x in (label_mean, from_z))

figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), width_ratios=(2, 3, 5))
plots.digits(x_test[:6], columns=1, ax=axes[0], title="x")
axes[1].imshow(resp[:6], cmap="Blues", vmin=0, vmax=1, aspect="auto")
axes[1].set(title="mixture: one of 10", xlabel="component", yticks=[], xticks=range(0, 10, 3))
shown = axes[2].imshow(mu[:6], cmap="PuOr", vmin=-3, vmax=3, aspect="auto")
axes[2].set(title="VAE: 20 numbers (means of q)", xlabel="dimension of z", yticks=[], xticks=range(0, 20, 4))
figure.colorbar(shown, ax=axes[2])
plt.show()
print(f"squared error of the image rebuilt from the label {by_label:.1f}, from z {by_code:.1f}")
print(f"a label carries at most log 10 = {math.log(10):.1f} nats; the VAE's code spends {closed:.1f}")
assert (by_code < by_label and closed > math.log(10)) or not on_mnist

# %% [markdown]
# *Because:* the mixture has to squeeze thickness, slant and style into one choice. The VAE can say "a 7, thin, slanted to
# the right": each dimension takes a share. That is what is meant by a *distributed* code.
#
# Which dimensions speak, and of what? Their KL tells. Weighing the KL by β makes information dearer or cheaper.
#
# **Predict:** what happens to a dimension that cannot earn its price?


# %%
def train_with(beta):
    torch.manual_seed(seed)
    model = VAE(shape=shape)
    adam = torch.optim.Adam(model.parameters(), lr=2e-3)

    def update(batch):
        losses = model.loss(binarize(batch), beta)
        adam.zero_grad()
        losses["loss"].backward()
        adam.step()
        return losses

    Run(images, model=model, optimizer=adam, batch_size=256, seed=seed).train(update, beta_epochs, quiet=True)
    return model.eval()


settings = {beta: train_with(beta) for beta in (0.25, 1.0, 4.0)}

# %%
figure, ax = plt.subplots(figsize=(7.5, 3))
rows = {}
for (beta, model), colour, marker in zip(settings.items(), (plots.Q, plots.MODEL, plots.GAP), "so^"):
    per_dimension = evaluation.kl_per_dimension(model, x_test).sort(descending=True).values
    bound, alive = evaluation.elbo(model, x_test), int((per_dimension > 0.1).sum())
    rows[beta] = (alive, float(bound.kl), -float(bound.reconstruction), -float(bound.elbo))
    ax.plot(per_dimension, color=colour, marker=marker, ms=5, label=f"β = {beta:g}: {alive} of 20 alive")
ax.set(xlabel="dimension of z, sorted", ylabel="KL, nats", xticks=range(0, 20, 4), ylim=(0, None))
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
plt.show()
for beta, (alive, kl, rec, minus) in rows.items():
    print(f"β = {beta:<5g} {alive:2d} alive, KL {kl:5.1f}, reconstruction {rec:6.1f}, −L_b {minus:6.1f}")
if on_mnist:
    assert rows[0.25][1] > rows[1.0][1] > rows[4.0][1]  # dearer information, less of it
    assert rows[4.0][0] <= rows[1.0][0]

# %% [markdown]
# *Because:* a dimension whose information buys less reconstruction than it costs is given back: its q becomes the prior,
# its KL 0, and the decoder learns to ignore it. This is *posterior collapse*, one dimension at a time. With β = 1 it is
# an honest bargain, and the loss is a bound: −log P(x) is at most as large. With a larger β that still holds, but the bound
# is looser; with a smaller one it is no bound any more. (We call a dimension alive above 0.1 nats. The usual count,
# `evaluation.active_units`, asks only whether the mean moves by a tenth, and finds nearly all of them active.)
#
# Walk along the dimension that says the most and the one that says the least, from the code of one test digit:

# %%
model = settings[4.0]
kl_each = evaluation.kl_per_dimension(model, x_test)
order = kl_each.argsort(descending=True)
with torch.no_grad():
    start = model.encode(x_test[:1])[0]  # (1, 20)
    walks = start.repeat(4, 11, 1)  # (4, 11, 20)
    for row, dimension in zip(walks, (order[0], order[1], order[2], order[-1])):
        row[:, dimension] = torch.linspace(-2.5, 2.5, 11)
    walk = model.likelihood(walks).mean
ends = (walk[:, 0] - walk[:, -1]).square().sum(1)  # (4,): how much a whole walk changes
names = ", ".join(f"{float(kl_each[d]):.2f}" for d in (order[0], order[1], order[2], order[-1]))
plots.digits(
    walk.flatten(0, 1), columns=11, title=f"along the three that say most, and the least: KL {names} nats"
)
plt.show()
if on_mnist:
    assert (
        ends[0] > 5 * ends[3]
    )  # a silent dimension moves next to nothing; on few digits it is not silent yet

# %% [markdown]
# ## 6 · The prior may have any shape
#
# "Why must P(z) be normal?" It need not. With two numbers in z we can see it. The same network, three priors: a normal, a
# uniform square, and a flower.
#
# **Predict:** which prior will give the best likelihood?

# %%
digits_used = train_digits.subset(slice(0, n_train))
plane = Recipe(
    config={"latent": 2, "hidden": [300, 300], "activation": "silu"},
    epochs=plane_epochs, batch_size=128, lr=2e-3, cosine=True, mean_image=True,
)  # fmt: skip
planes, likelihoods, each = {}, {}, {}
for prior in ("normal", "uniform", "flower"):
    recipe = Recipe(**{**vars(plane), "config": plane.config | {"prior": prior}})
    planes[prior], _ = train(recipe, digits_used, seed, quiet=True)
    estimate = evaluation.nll(planes[prior], x_test, (1, many), progress=False)
    likelihoods[prior], each[prior] = estimate[many], estimate.per_image[-1]

figure, axes = plt.subplots(2, 3, figsize=(11.5, 7.2), height_ratios=(3, 2))
for (prior, model), (top, bottom) in zip(planes.items(), axes.T):
    with torch.no_grad():
        codes, cloud = model.posterior(x_test).sample(), model.prior.sample((4000,))
    top.scatter(*cloud.T, s=3, color=plots.PRIOR, alpha=0.25, linewidths=0)
    plots.latent_plane(
        codes, y_test, top, f"{prior}: NLL {likelihoods[prior].mean:.1f} ± {likelihoods[prior].se:.1f}"
    )
    plots.digits(model.generate(32), columns=8, ax=bottom, title="invented")
plt.show()
gaps = [each[prior] - each["normal"] for prior in ("uniform", "flower")]  # (N,), on the same images
apart = [f"{float(gap.mean()):.1f} ± {float(gap.std()) / len(gap) ** 0.5:.1f}" for gap in gaps]
print(f"nats more than the normal prior: uniform {apart[0]}, flower {apart[1]}")

# %% [markdown]
# *Because:* a decoder that can bend a normal z into digits can also bend a square or a flower into them: it only has to
# learn one more twist. Encoder and decoder settle together where things lie. For the square, q is bent along with the
# prior, so that it ends where the square ends; a flower's petals a Gaussian q fits badly. The rest of the difference is how
# easily each shape is learnt, with one seed: compare the likelihoods image by image, as the last line does.
#
# And look at the samples. Where codes leave a part of the prior empty, as they easily do with a flower's petals, the decoder
# has never been asked about it, and what is drawn from there is no digit. The likelihood hardly notices: an unused third of
# the prior costs a digit log 1.5 = 0.4 nats.
#
# Drag through the plane of the first one, and watch digits turn into each other. Where the colours meet, so do digits.

# %%
LatentExplorer(
    lambda z: planes["normal"].likelihood(z).mean.reshape(-1, *shape),
    planes["normal"].encode(x_test)[0],
    y_test if train_digits.n_classes <= 10 else None,  # a point is shown as one numeral
)

# %% [markdown]
# ## 7 · A mixture of infinitely many
#
# Draw K codes z from the prior. Each gives a distribution over images; with weight 1/K each they are a mixture of K
# components that we can evaluate exactly. As K grows it becomes the VAE. With z in a plane we can also do the integral on
# a fine grid.
#
# **Predict:** how many components until the mixture is within a nat of the integral?

# %%
model, few = planes["normal"], x_test[:100]
axis = torch.linspace(-5, 5, grid_side)
with torch.no_grad():
    grid = torch.cartesian_prod(axis, axis)[:, None]  # (G, 1, 2)
    log_area = 2 * math.log(float(axis[1] - axis[0]))
    log_grid = torch.cat([model.likelihood(part).log_prob(few) for part in grid.split(500)])  # (G, 100)
    integral = torch.logsumexp(log_grid + model.prior.log_prob(grid) + log_area, 0)  # (100,)
    torch.manual_seed(seed)
    drawn = model.prior.sample((10_000, 1))
    log_drawn = torch.cat([model.likelihood(part).log_prob(few) for part in drawn.split(500)])  # (K, 100)
sizes = (1, 10, 100, 1_000, 10_000)
mixtures = [float((log_drawn[:K].logsumexp(0) - math.log(K)).mean()) for K in sizes]
exact = float(integral.mean())

figure, ax = plt.subplots(figsize=(7, 2.8))
ax.semilogx(sizes, mixtures, "o-", color=plots.COMPONENTS[4], label="mixture of K components")
ax.axhline(exact, color=plots.MODEL, label="the integral: the VAE itself")
ax.set(xlabel="K, components drawn from the prior", ylabel="log P(x), nats per image")
ax.legend()
plt.show()
print({K: round(value, 1) for K, value in zip(sizes, mixtures)}, f"integral {exact:.1f}")
assert mixtures == sorted(mixtures)
if on_mnist:
    # 10,000 codes lie some 0.03 apart where the prior is dense, farther outside
    assert abs(mixtures[-1] - exact) < 3

# %% [markdown]
# *Because:* a finite sum of components drawn from P(z) is a Monte Carlo estimate of $\int P(z) P(x|z)\, dz$. In two
# dimensions ten thousand codes cover the plane. In twenty they would not, and that is what q is for: it says where to
# look.
#
# ## 8 · How far is $L_b$ from log P(x)?
#
# Drawing k codes from q(z|x) and averaging the *weights* P(x, z)/q(z|x), instead of their logarithms, gives a bound that
# rises to log P(x) as k grows (chapter 02). **Predict:** how many nats will it gain?
#
# And what makes one VAE better than another? The network above is the classical one. A two-core laptop can do better in
# four minutes: two wider layers on each side, a smooth activation, a start at the mean image, a learning rate that falls to
# zero, a KL that is switched on slowly. These models
# take too long to train here; `benchmarks/quality.py` trained each of them, and measured it on the whole test set. The
# last rows are that recipe at 30 of its 80 epochs, with one ingredient taken away at a time. `python -m course_lib.recipes
# four_minutes` makes the whole of it for you. **Predict:** which ingredient buys most?

# %%
nll = evaluation.nll(packaged, x_test, (1, 10, many), progress=False)
print(nll)
assert nll[1].mean > nll[many].mean  # on average a larger k can only raise the bound

table = "On MNIST:\n\n| model | epochs | −$L_b$ | NLL (k) |\n|---|---|---|---|\n"
for name, row in json.loads(QUALITY.read_text()).items():
    k, value = list(row.get("nll", {"": None}).items())[-1]
    table += f"| {name} | {row['epochs']:g} | {row['minus_elbo'][0]:.2f} | "
    table += f"{value[0]:.2f} ± {value[1]:.2f} ({k}) |\n" if value else "|\n"
display(Markdown(table))

# %% [markdown]
# So $L_b$, which is k = 1, lies at least as far below log P(x) as its line and that of the largest k are apart: that one is a
# bound too, only a tighter one. What buys most is the layers, *because* a second, wider one lets both networks say more
# (4.9 nats of NLL), and the rest makes them easier to train: 1.7
# for the slow start of the KL, by which z is in use before it is taxed, 1.5 for the smooth activation, 1.1 for the start at
# the mean image, 1.0 for the falling rate, 0.3 for batch and rate. More numbers in z buy nothing: those to spare are
# given back, as in section 5. Each is one run, with a standard error of 0.2 over the images.
#
# ## 9 · Another way: pixel after pixel
#
# A likelihood does not need a z. Any distribution is a product, $P(x) = \prod_i P(x_i | x_1 \dots x_{i-1})$, and a network
# can learn the factors: each pixel is told rows above it (here eight) and the pixels to its left (PixelRNN and its kin). The
# likelihood is then exact: no bound, no q. What it lacks is a code, and samples have to be drawn one pixel at a time.
#
# The two can be joined: let z say what is to be drawn, and let the pixels see to the strokes. That is the course's best
# model, trained by `python -m course_lib.recipes best` and shipped. **Predict:** will it use z more or less than ours?

# %%
torch.manual_seed(seed)
pixelwise = Autoregressive(shape=shape, hidden=4 * shape[1])  # 112
adam = torch.optim.Adam(pixelwise.parameters(), lr=3e-3)


def update_pixels(batch):
    loss = -pixelwise.log_prob(binarize(batch)).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    return {"loss": loss}


Run(images, model=pixelwise, optimizer=adam, batch_size=128, seed=seed).train(update_pixels, 3, quiet=True)
with torch.no_grad():
    exact_nll = -pixelwise.log_prob(x_test)
ar_nll, ar_se = float(exact_nll.mean()), float(exact_nll.std()) / math.sqrt(len(x_test))
print(f"pixel after pixel, exact: {ar_nll:.2f} ± {ar_se:.2f}; the VAE of section 3, bound: {nll[many]}")

sheet, title = [pixelwise.sample(10), packaged.generate(10)], "pixel after pixel · our VAE's means"
joined = "the shipped model, both joined, knows MNIST only"
if on_mnist:
    best, facts = load_model(WEIGHTS / "vae.safetensors"), describe(WEIGHTS / "vae.safetensors")
    best_kl = float(evaluation.elbo(best, x_test[:200]).kl)
    joined = "both joined {:.2f} ± {:.2f}".format(*facts["test_nll"]["5000"])
    sheet, title = [*sheet, best.generate(10)], f"{title} · both (the shipped model)"
    print(f"shipped, on the whole test set: {joined}; KL {best_kl:.1f} nats, ours {closed:.1f}")
    assert best_kl < closed
plots.digits(torch.cat(sheet), title=title)
plt.show()

# %% [markdown]
# *Because:* what the neighbouring pixels can tell, z need not. A decoder that is strong enough by itself would ignore z
# altogether: posterior collapse again, and the reason why a better likelihood is not always a better code.
#
# ## What the lecture said, what we measured

# %%
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 5 | a mixture gives one label per x; a distributed code is richer | squared error from the label {by_label:.1f}, from z {by_code:.1f}; {closed:.1f} nats against at most {math.log(10):.1f} | holds |
| 12 | the VAE is a mixture of infinitely many Gaussians (for black and white pixels: of Bernoullis) | {sizes[1]} components {mixtures[1]:.1f}, {sizes[-1]:,} {mixtures[-1]:.1f}, the integral {exact:.1f} nats | holds |
| 13 | the prior may have any shape, even a flower | NLL normal {likelihoods["normal"]}, uniform {likelihoods["uniform"]}, flower {likelihoods["flower"]} | holds for the likelihood: uniform {apart[0]}, flower {apart[1]} nats above the normal, image by image; samples from parts of a prior that no code uses are no digits |
| 17 | $L_b$ is a regularizer and a reconstruction | KL in closed form {closed:.3f}, by sampling {sampled:.3f} ± {sampled_se:.3f} | holds |
| 18 | with a fixed variance the reconstruction is a squared error | equal to {error_18:.0e} nats | holds |
| 33 | there are other ways, such as PixelRNN | exact NLL {ar_nll:.1f} ± {ar_se:.1f} pixel after pixel; the VAE's bound {nll[many]}; {joined} | holds |

Protocol: {len(images):,} training digits, binarized anew at each step; {len(x_test):,} test digits in the one fixed binarization (the shipped model: all 10,000, k = 5,000); NLL by importance weighting with k = {many}, ± one standard error over images; one seed. Trainings here are short: {epochs} epochs for the VAE, {plane_epochs} for each prior, 3 pixel after pixel.
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. All logarithms
# are natural, so the results are in nats. Exercises 1 and 3 are parts of a loss, so they must be differentiable: stay
# with torch, because `item`, `detach` and NumPy cut the gradient.
#
# **1. The reconstruction.** Pixels are 0 or 1, the decoder gives logits. A decoder that is very sure of itself gives
# logits of ±200, and the sigmoid of those is 0 or 1 to the last digit: its logarithm is not your friend, and a clamp only
# hides it. Nor may `exp` overflow for logits of ±1000.


# %%
def my_log_bernoulli(logits, x):
    """log P(x|z) in nats: logits (N, D) and x (N, D), zeros and ones, give (N,)."""
    # 1. log p of each pixel that is 1, log (1 − p) of each that is 0, with p = sigmoid(logits), (N, D)
    # 2. pixels are independent given z: what does that make of their logarithms? (N,)
    raise NotImplementedError


# %%
checks.log_bernoulli(my_log_bernoulli)

# %% [markdown]
# **2. New images.** No encoder is needed: the prior says which z, the decoder what it looks like. `decode` gives logits;
# it takes all n codes at once, some of them, or a single one (d,). Return each pixel's probability, not a draw of it.


# %%
def my_generate(decode, n, d):
    """n new images as pixels in [0, 1], (n, D): decode turns z (n, d) into logits (n, D)."""
    # 1. draw z (n, d) from the prior N(0, I)
    # 2. decode, and turn logits into probabilities
    raise NotImplementedError


# %%
checks.generate(my_generate)

# %% [markdown]
# **3. The bound on the NLL.** You are given, for k draws of z and N images, the three logarithms that make a weight. Stay
# with logarithms until the end: they may be −5000 for one image and 3000 for another.


# %%
def my_nll_bound(log_px_z, log_pz, log_qz):
    """A bound of −log P(x), averaged over images, in nats: three times (k, N) give a tensor ()."""
    # 1. the logarithm of each weight P(x|z) P(z) / q(z|x), (k, N)
    # 2. the logarithm of the mean weight of each image, (N,)
    # 3. minus its mean over the images
    raise NotImplementedError


# %%
checks.nll_bound(my_nll_bound)
