# %% [markdown]
# # 01 · Gaussian mixtures and EM
#
# After this notebook you will be able to
# - explain why *generating* images means *estimating a probability density*, and do both with a mixture of Gaussians;
# - draw from a mixture, and check that what you drew has the right density;
# - write EM from memory, see each of its two steps, and say why the log-likelihood never falls;
# - choose the number of components, and say what a mixture of even 512 Gaussians cannot do.
#
# **Time:** one to two minutes to run on a laptop with two cores, an hour and a half to work through.
# **It needs** 1.7 GB of memory and no GPU; from you: Gaussians, Bayes' rule, and chapter 00.
#
# The second cell below holds everything that you may want to change.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import warnings

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from scipy.stats import kstest
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture as SklearnMixture

from course_lib import checks, plots
from course_lib.data import course_digits, eight_modes, shipped_models_fit, skyline
from course_lib.device import FAST
from course_lib.mixtures.estimator import GaussianMixture
from course_lib.probability.em import e_step, m_step
from course_lib.widgets import EMStepper

torch.set_default_dtype(torch.float64)  # EM subtracts numbers that nearly agree
plots.use_style()

# %% tags=["parameters"]
n_points = 4_000 if FAST else 20_000  # drawn from the 1-D density
many = (1, 2, 4, 8, 16, 32) if FAST else (1, 2, 4, 8, 16, 32, 64, 128)  # components tried in 1-D
sizes = (1, 10, 40) if FAST else (1, 10, 50, 100, 200, 512)  # components tried on the digits
digit_steps = 5 if FAST else 20  # steps of EM on the digits
seed = 0

# %% [markdown]
# ## 1 · To generate is to know P(x)
#
# Think of every image as one point x. Somewhere in that space lie the images that look like digits, and P(x) is high
# there; elsewhere it is low. Whoever knows P(x) can generate: draw from it, and the draws look like the data.
#
# We begin where everything can be seen: x is one number. The black curve is the density that the lecture draws on its
# slide, lopsided and full of bumps. We know it exactly, so that we can tell how well we do.
#
# **Predict:** how well will a single Gaussian do, and what will it get most wrong?

# %%
generator = torch.Generator().manual_seed(seed)
x = skyline.sample(n_points, generator)  # (N,)
grid = torch.linspace(*skyline.limits, 4001)
p = skyline.log_prob(grid).exp()  # the density that made the data
one = torch.distributions.Normal(x.mean(), x.std())
plots.density(grid, {"truth": p, "one Gaussian": one.log_prob(grid).exp()}, samples=x)
plt.show()

# %% [markdown]
# One number says how well: the mean of log P(x) over points that were *not* used for fitting. No model can beat the
# true density on average. What is missing is the Kullback–Leibler divergence KL(data‖model) = ∫ p (log p − log q) dx,
# in nats. We take the integral by the trapezoid rule on the grid.


# %%
def kl_from_data(log_q):
    """KL(data‖model) in nats, from the model's log-density on the grid."""
    inside = p > 0
    integrand = torch.zeros_like(p)
    integrand[inside] = p[inside] * (p.log() - log_q)[inside]
    return float(torch.trapezoid(integrand, grid))


fresh = skyline.sample(100_000, generator)
shortfall = float((skyline.log_prob(fresh) - one.log_prob(fresh)).mean())
print(
    f"one Gaussian falls short by {shortfall:.3f} nats a point; the integral says {kl_from_data(one.log_prob(grid)):.3f}"
)
# 100,000 draws leave a standard error near 0.002 nats: five of them
assert abs(shortfall - kl_from_data(one.log_prob(grid))) < 0.01

# %% [markdown]
# ## 2 · Drawing from a mixture
#
# A mixture adds up K Gaussians, each with a weight: P(x) = Σₖ P(k) P(x|k), where the weights P(k) add up to 1. To draw
# from it, do not add anything up. First pick a component by its weight (a *multinomial* draw), then draw from that one
# Gaussian. Going from the top of the model to the bottom like this is called *ancestral sampling*.
#
# **Predict:** if you averaged one draw from each Gaussian instead, how many bumps would the histogram have?
#
# Do the draws have the right density? The Kolmogorov–Smirnov test compares the share of draws below each x with the
# exact one. The cell does it for the wrong recipe too, the weighted average of one draw from each Gaussian.

# %%
weights = torch.tensor([0.15, 0.35, 0.10, 0.25, 0.15])
means = torch.tensor([-4.0, -1.5, 0.0, 1.2, 4.0])
stds = torch.tensor([0.5, 0.8, 0.2, 0.4, 0.7])

k = torch.multinomial(weights, 10_000, replacement=True, generator=generator)  # which Gaussian, (N,)
drawn = means[k] + stds[k] * torch.randn(10_000, generator=generator)  # then that one, (N,)
exact = (weights * torch.distributions.Normal(means, stds).log_prob(grid[:, None]).exp()).sum(1)
plots.density(grid, {"exact density": exact}, samples=drawn)
plt.show()


def cdf(t):
    return (weights * torch.distributions.Normal(means, stds).cdf(torch.as_tensor(t)[:, None])).sum(1).numpy()


averaged = (weights * (means + stds * torch.randn(10_000, 5, generator=generator))).sum(1)
distance, wrong_distance = kstest(drawn, cdf).statistic, kstest(averaged, cdf).statistic
print(f"largest difference in distribution: ancestral {distance:.4f}, averaged {wrong_distance:.3f}")
# 10,000 draws of the right density exceed 0.0195 once in a thousand times
assert distance < 0.0195 < wrong_distance

# %% [markdown]
# ## 3 · EM: two steps, over and over
#
# Going back from the points to the Gaussians is harder: if we knew which Gaussian made which point, the weights, means
# and variances would be simple averages; if we knew those, Bayes' rule would tell which Gaussian made which point. EM
# does one, then the other.
#
# **E-step:** the *responsibility* of Gaussian k for point n is P(k|xₙ) = P(k) P(xₙ|k) / Σⱼ P(j) P(xₙ|j).
# **M-step:** weights, means and variances are averages in which point n counts for Gaussian k as much as its
# responsibility.


# %%
def expectation(x, weights, means, variances):
    log_joint = weights.log() + torch.distributions.Normal(means, variances.sqrt()).log_prob(
        x[:, None]
    )  # (N, K)
    log_px = torch.logsumexp(log_joint, 1)  # (N,): log of a sum, without leaving the logarithm
    return torch.exp(log_joint - log_px[:, None]), log_px.mean()


def maximization(x, resp):
    counts = resp.sum(0)  # (K,): how many points each Gaussian answers for
    means = resp.T @ x / counts
    variances = (resp * (x[:, None] - means) ** 2).sum(0) / counts
    return counts / len(x), means, variances


# %% [markdown]
# Start with three Gaussians in a bad place and look at the steps. Each tick below the curves is a data point, in the
# mixed colour of the Gaussians that answer for it; the pale thick curve is their sum.
#
# **Predict:** will the first E-step give clear colours or muddy ones? Will the log-likelihood ever fall?
#
# It must not: chapter 02 shows why in one picture. A fall would be a bug, so we assert that there is none, and that the
# package's steps (`course_lib.mixtures.estimator`), made for whole covariance matrices, agree with those that you have just read.

# %%
few = x[:400]
theta = torch.full((3,), 1 / 3), torch.tensor([-1.0, 0.0, 1.0]), torch.ones(3)
history, shown = [], {}
for step in range(61):
    resp, log_likelihood = expectation(few, *theta)
    history.append(float(log_likelihood))
    if step in (0, 2, 8, 60):
        shown[step] = (*theta, resp)
    theta = maximization(few, resp)

figure, axes = plt.subplots(2, 2, figsize=(10, 5.6))
for ax, (step, (w, m, v, resp)) in zip(axes.flat, shown.items()):
    plots.mixture_1d(few, w, m, v, resp, ax=ax)
    ax.set_title(f"after {step} steps: {history[step]:.3f} nats a point")
plt.show()

# %%
gains = torch.tensor(history).diff()
print(f"{len(gains)} steps of EM: the smallest gain is {gains.min():.1e} nats, the largest {gains.max():.3f}")
assert (gains > -1e-12).all()  # float64 keeps 16 digits; a sum of 400 terms may lose four of them
w, m, v = theta
resp, _ = expectation(few, w, m, v)
assert torch.allclose(e_step(few[:, None], w, m[:, None], v[:, None, None])[0], resp, atol=1e-12)
variances = m_step(few[:, None], resp).covariances.flatten()
assert torch.allclose(variances, maximization(few, resp)[2], atol=1e-12)

# %% [markdown]
# ## 4 · In two dimensions, beside scikit-learn
#
# With x in the plane each Gaussian has a covariance matrix: the ellipses stand at one and two sigma. Our class has the
# interface of scikit-learn's, so what you know of one holds for the other. Both start from the same weights, means and
# precisions (inverse covariances), and stop after the same number of steps.
#
# **Predict:** after how many steps will the two disagree in the eighth decimal?

# %%
points = eight_modes.sample(600, torch.Generator().manual_seed(seed))  # (N, 2)
start = {
    "weights_init": torch.full((8,), 1 / 8).numpy(),
    "means_init": points[:8].numpy(),
    "precisions_init": torch.eye(2).expand(8, 2, 2).numpy(),
}


def run(kind, steps):
    with warnings.catch_warnings():  # so few steps are not meant to be enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kind(8, max_iter=steps, tol=0, **start).fit(points.numpy())


steps = (1, 5, 20, 60)
ours, theirs = [run(GaussianMixture, s) for s in steps], [run(SklearnMixture, s) for s in steps]

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3))
for ax, s, model in zip(axes, steps, ours):
    plots.mixture_2d(points, model.means_, model.covariances_, model.predict_proba(points), ax=ax)
    ax.set(
        title=f"step {s}: {model.score(points):.3f} nats", xlim=eight_modes.limits, ylim=eight_modes.limits
    )
plt.show()
apart = max(abs(a.means_ - b.means_).max() for a, b in zip(ours, theirs))
apart = max(apart, max(abs(a.score(points) - b.score(points.numpy())) for a, b in zip(ours, theirs)))
print(f"largest difference from scikit-learn, in means and log-likelihood: {apart:.1e}")
fresh_2d = eight_modes.sample(20_000, generator)
short_2d = float((eight_modes.log_prob(fresh_2d) - ours[-1].score_samples(fresh_2d)).mean())
print(f"on fresh points the mixture is {short_2d:.3f} nats short of the truth")
assert apart < 1e-8  # rounding is 1e-16; EM from the same start has no freedom to differ

# %% [markdown]
# Eight clouds and eight Gaussians, and yet the start decides which Gaussian finds which cloud: two may share one, and
# then another must stretch over two. EM climbs to the nearest top, not the highest. Starting several times (`n_init`)
# and a better start (k-means, the default) help.
#
# Try it yourself. **E-step** colours the points, **M-step** moves the ellipses. Drag a mean into a corner and see where it ends.
# The bar beside the points belongs to chapter 02: log P(x) in two parts, a bound and a gap. Watch which of the two each
# button changes.

# %%
stepper = EMStepper(points[:240], n_components=5, seed=seed)
stepper

# %% [markdown]
# ## 5 · With enough Gaussians, any curve
#
# Back to the black curve. The lecture says that a complicated density is many Gaussians added up. How many?
#
# **Predict:** each time K doubles, what happens to KL(data‖mixture)? Does it ever stop falling?

# %%
kl, fitted = {}, {}
for K in many:
    mixture = GaussianMixture(K, tol=1e-4, max_iter=300, random_state=seed).fit(x[:, None])
    fitted[K] = mixture.score_samples(grid[:, None])
    kl[K] = kl_from_data(fitted[K])
K_best, K_most = min(kl, key=kl.get), many[-1]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.6), width_ratios=(3, 2))
plots.density(grid, {"truth": p} | {f"K = {K}": fitted[K].exp() for K in (1, K_most, K_best)}, ax=left)
right.loglog(kl.keys(), kl.values(), "o-", color=plots.GAP, label="KL(data‖mixture)")
price = [(3 * K - 1) / (2 * n_points) for K in many]
right.loglog(many, price, ":", color=plots.PRIOR, label="price of finite data")
right.set(xlabel="number of Gaussians K", ylabel="nats")
right.legend()
plt.show()

# %%
print("   ".join(f"K={K}: {value:.4f}" for K, value in kl.items()))
# one Gaussian misses the bumps; sixteen leave at most a twentieth of that, in the small run as well
assert kl[16] < kl[1] / 20 and kl[1] > 0.2
assert all(value > 0 for value in kl.values())  # KL is never negative

# %% [markdown]
# It falls as long as there are bumps to learn. *Because* estimating is not free, it does not fall for ever: a mixture of K
# Gaussians in 1-D has 3K − 1 free numbers, and each costs about 1/(2N) nats on fresh data when it is estimated from N
# points (the dotted line). Where that price is most of what is left, more Gaussians make the fit worse; with more data the
# price sinks, and more of them pay off. It is a rule for models that fit, and no floor: with more Gaussians than bumps
# some do nothing, EM stops before it has fitted all the noise, and the curve may end below the line.
#
# ## 6 · How many? Ask the data
#
# The log-likelihood of the training data always prefers more Gaussians. The *Bayesian information criterion*
# −2 log-likelihood + parameters · log N charges for each free number; the smallest value wins. On data that really are
# eight Gaussians it should say eight.

# %%
cloud, candidates = eight_modes.sample(1_000, torch.Generator().manual_seed(seed)), range(2, 13)
bics = [GaussianMixture(K, n_init=3, random_state=seed).fit(cloud).bic(cloud) for K in candidates]
K_bic = candidates[bics.index(min(bics))]
figure, ax = plt.subplots(figsize=(6, 2.8))
ax.plot(candidates, bics, "o-", color=plots.MODEL)
ax.set(xlabel="number of Gaussians K", ylabel="BIC", title=f"lowest at K = {K_bic}; the data have 8")
plt.show()
assert K_bic == 8  # so it was on each of three seeds: a ninth Gaussian gains less than its six numbers cost

# %% [markdown]
# ## 7 · Digits
#
# Now real digits, points in 784 dimensions. A full covariance there has 307,720 numbers, for each Gaussian. So we keep
# the 20 directions in which the digits differ most (PCA, fitted on the training digits) and fit the mixture to those 20
# numbers, up to the 512 Gaussians that the lecture names. The test digits are never used for fitting.
#
# An outside reference keeps us honest: the same pipeline with scikit-learn, one Gaussian fitted on the first 20,000
# digits, gives −31.635 nats on the test digits of the whole MNIST. One Gaussian has a closed form, so only rounding may
# differ there.

# %%
train, test = course_digits(train=True), course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # the numbers asserted below were measured on MNIST
pixels, test_pixels = train.pixels().numpy(), test.pixels().numpy()  # (N, 784), in [0, 1]
pca = PCA(20, random_state=seed).fit(pixels.astype("float64"))  # float64 copies only while they are needed
z = torch.from_numpy(pca.transform(pixels.astype("float64")))  # (N, 20)
z_test = torch.from_numpy(pca.transform(test_pixels.astype("float64")))
reference = GaussianMixture(1).fit(z[:20_000]).score(z_test)
print(f"one Gaussian on {min(len(z), 20_000):,} of {len(z):,} digits: {reference:.3f} nats a test digit")
if on_mnist and len(z) == 60_000:
    assert abs(reference + 31.635) < 0.001  # the figure holds for the whole of MNIST

models, sizes = {}, [K for K in sizes if len(z) >= 50 * K]  # a Gaussian has 231 numbers to learn
for K in sizes:
    models[K] = GaussianMixture(K, max_iter=digit_steps, tol=0, random_state=seed, verbose=K >= 100).fit(z)
    print(f"K={K:3d}: train {models[K].score(z):7.2f}, test {models[K].score(z_test):7.2f} nats")

# %%
per_digit = {
    K: model.bic(z) / (2 * len(z)) for K, model in models.items()
}  # in nats a digit, to fit the axis
tests = {K: model.score(z_test) for K, model in models.items()}
K_digits, K_test = min(per_digit, key=per_digit.get), max(tests, key=tests.get)
figure, ax = plt.subplots(figsize=(7, 3.2))
ax.semilogx(sizes, [-models[K].score(z) for K in sizes], "o-", color=plots.DATA, label="training digits")
ax.semilogx(sizes, [-tests[K] for K in sizes], "s-", color=plots.GAP, label="test digits")
ax.semilogx(sizes, per_digit.values(), "^--", color=plots.MODEL, label="BIC / 2N")
ax.set(xlabel="number of Gaussians K", ylabel="−log P, nats a digit", title="lower is better")
ax.legend()
plt.show()
# %% [markdown]
# The training digits ask for ever more Gaussians; where the test digits' curve parts from theirs, the mixture begins to
# learn the training digits by heart. BIC, which sees the training digits only, warns in time, and often earlier than it
# must. (Is the test curve still falling at its end? Then these sizes are too small to tell.)
#
# Now generate. We draw 20 numbers from the mixture and let PCA turn them back into pixels.
#
# **Predict:** which row will look best, and what will be wrong with even the best one?

# %%
figure, axes = plt.subplots(4, 1, figsize=(9, 4.6))
rows = {
    "real test digits": test.pixels(slice(0, 15)),
    "the same through 20 numbers and back": torch.from_numpy(pca.inverse_transform(z_test[:15])),
    "drawn from 1 Gaussian": torch.from_numpy(pca.inverse_transform(models[1].sample(15)[0])),
    f"drawn from {sizes[-1]} Gaussians": torch.from_numpy(
        pca.inverse_transform(models[sizes[-1]].sample(15)[0])
    ),
}
for ax, (title, images) in zip(axes, rows.items()):
    plots.digits(images.clamp(0, 1), columns=15, ax=ax, title=title)  # PCA may go beyond black and white
plt.show()

# %% [markdown]
# ## 8 · What a mixture cannot do
#
# First, it does not get all the way to pixels: a full covariance of 784 dimensions is too much, so we left the rest to
# PCA, and what PCA leaves out is missing from every sample. Second, its code for an image is *one label*: for most
# digits a single Gaussian takes nearly all the responsibility. A vector of numbers, each telling something else about
# the image, is a richer, *distributed* code. Ours are PCA's 20 numbers, the best that straight lines can do;
# chapter 04 puts a VAE's code here. To see the difference, ask how much of an image, of its slant and of its amount of
# ink, one can tell from the label alone, and from the 20 numbers.
#
# Third, the price: to tell slant, ink and shape together, a label needs a value for every *combination*; the vector
# needs one number for each. That is why the next chapters replace the label k by a vector z, and the sum over k by an
# integral over z.


# %%
def slant(images):
    """Horizontal shift of the ink per row, a ratio of second moments: (N, 784) -> (N,)."""
    ink = torch.as_tensor(images).reshape(-1, *train.shape)  # (N, 28, 28)
    at = torch.arange(train.shape[0]).to(ink)  # (28,), the pixels' places
    mass = ink.sum((1, 2))[:, None].clamp(min=1e-9)  # an empty image has no slant
    dx, dy = at - ink.sum(1) @ at[:, None] / mass, at - ink.sum(2) @ at[:, None] / mass  # (N, 28)
    spread = torch.einsum("nyx,ny->n", ink, dy**2).clamp(min=1e-9)  # nor has a single row of ink
    return (-torch.einsum("nyx,ny,nx->n", ink, dy, dx) / spread).numpy()


def explained(truth, guess):
    return float(1 - ((truth - guess) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum())


# %%
def by_label(values, test_values, model):
    """What of the test values is told by each label's training mean."""
    resp = model.predict_proba(z)  # (N, K), one-hot or nearly
    values = torch.as_tensor(values).reshape(len(z), -1)  # (N, D)
    means = resp.T.to(values.dtype) @ values / (resp.sum(0)[:, None] + 1e-9)  # (K, D)
    return explained(test_values, means[model.predict(z_test)].numpy().reshape(test_values.shape))


def by_code(values, test_values):
    """What of them is told by a straight line through the 20 numbers."""
    return explained(test_values, LinearRegression().fit(z, values).predict(z_test))


aspects = {
    "slant": (slant(pixels), slant(test_pixels)),
    "ink": (pixels.sum(1), test_pixels.sum(1)),
}
K_label = min(100, sizes[-1])
# PCA has already found the best straight line from the 20 numbers back to the pixels
pixels_by_code = explained(test_pixels, pca.inverse_transform(z_test))
table = {"pixels": (by_label(pixels, test_pixels, models[K_label]), pixels_by_code)}
table |= {name: (by_label(*pair, models[K_label]), by_code(*pair)) for name, pair in aspects.items()}

# %%
sure = float(models[K_label].predict_proba(z_test).max(1).values.mean())
print(f"of {K_label} Gaussians, one has {sure:.1%} of the responsibility for a digit on average")
print(f"samples lack the {1 - table['pixels'][1]:.0%} of a digit's variance that 20 numbers leave out")
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for offset, name, colour in ((0, f"one label of {K_label}", plots.Q), (1, "20 numbers", plots.MODEL)):
    told = [both[offset] for both in table.values()]
    bars = ax.barh([i + 0.38 * offset for i in range(3)], told, 0.36, color=colour, label=name)
    ax.bar_label(bars, fmt="{:.0%}", padding=3)
ax.set_yticks([i + 0.19 for i in range(3)], list(table))
ax.set(xlim=(0, 1.12), xlabel="share of the test digits' variance explained")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
assert (sure > 0.9 and all(code > label for label, code in table.values())) or not on_mnist


# %% [markdown]
# ## What the lecture said, what we measured

# %%
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 1 | to generate is to estimate P(x), then to draw from it | one Gaussian is {kl[1]:.3f} nats short in 1-D, eight from one start {short_2d:.3f} in 2-D; on digits {tests[1]:.1f} nats, {K_test} Gaussians {tests[K_test]:.1f} | holds |
| 2 | a complicated density is many Gaussians added up | KL falls from {kl[1]:.3f} (K=1) to {kl[K_best]:.4f} nats (K={K_best}, {n_points:,} points) | holds, up to the price of finite data |
| 3 | to draw: pick a component by weight, then draw from it | largest difference from the exact distribution {distance:.4f} (chance allows 0.0195) | holds |
| 4 | given the number of components, EM finds the rest | log-likelihood never fell in {len(gains)} steps; {apart:.0e} from scikit-learn | holds, but it finds the nearest top |
| 4 | the number of components must be chosen | BIC: {K_bic} of 8 true ones; on digits {K_digits}, where held-out digits say {K_test} | can be read from the data, if BIC's caution is allowed for |
| 4 | 512 Gaussians at most: too few | the test digits prefer {K_test} of {", ".join(map(str, sizes))} | {"no end in sight with these sizes" if K_test == sizes[-1] else "not here: more data are missing"} (full covariances, {digit_steps} steps; the best size was read off the same test digits) |
| 5 | a mixture is a clustering; a vector says more | one of {K_label} Gaussians takes {sure:.0%}; slant: {table["slant"][0]:.0%} from the label, {table["slant"][1]:.0%} from 20 numbers | holds |

Digits: {len(z):,} for fitting, {len(z_test):,} others for testing, pixels in [0, 1], {z.shape[1]} principal components, one seed. The numbers count the lecture's claims through all nine chapters.
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. The numbers
# of points, components and dimensions change from call to call: read them from the inputs.
#
# **1. Responsibilities.** The E-step is Bayes' rule: how probable is it that component $k$ made the point
# $x$? Write it for one dimension. A point far from every component is the trap: all its densities round to 0,
# and $0/0$ is no probability. Logarithms do not round to 0, and near and far points may come together. A small
# number in the denominator would only hide the problem.


# %%
def my_responsibilities(x, weights, means, stds):
    """P(component k | x): x (N,), weights, means and stds (K,) give resp (N, K), each row summing to 1."""
    # 1. the log-density of every point under every component, (N, K): compare x[:, None] with means
    # 2. add the logarithm of the weights: now it is log P(x, k)
    # 3. subtract its logsumexp over the components: now it is log P(k | x)
    # 4. take the exponential
    raise NotImplementedError


# %%
checks.responsibilities(my_responsibilities)

# %% [markdown]
# **2. The M-step.** Given the responsibilities, each component takes the mean and the covariance of "its"
# points. A point belongs to a component only in part, so it counts with its responsibility as weight. Divide
# by $N_k$, the sum of these weights.


# %%
def my_m_step(x, resp):
    """x (N, D) and resp (N, K) give weights (K,), means (K, D) and covariances (K, D, D)."""
    # 1. N_k, how many points each component holds, (K,): sum resp over the points
    # 2. the weights: which part of all N points is that?
    # 3. the means, (K, D): the sum of the points weighted by resp, over N_k
    # 4. the points minus each component's own mean, (N, K, D)
    # 5. the covariances, (K, D, D): the weighted sum of the outer products of step 4, over N_k
    raise NotImplementedError  # return weights, means, covariances


# %%
checks.m_step(my_m_step)

# %% [markdown]
# **3. Draw from the mixture.** To generate is to sample: first pick a component, then draw from that Gaussian
# alone. Mixing densities is not the same as adding up random numbers, and the check knows the difference. The
# draws must be independent of each other. All chance comes from `generator`, so that the same seed gives the same
# draw.


# %%
def my_sample_mixture(n, weights, means, stds, generator):
    """n draws, (n,), from the 1-D mixture with weights, means and stds (K,)."""
    # 1. pick a component for each of the n draws, (n,): torch.multinomial(..., generator=generator)
    # 2. the mean and the std of the picked components, (n,) each: index with step 1
    # 3. draw standard normal noise, one number for each draw: torch.randn(n, generator=generator)
    # 4. scale and shift the noise
    raise NotImplementedError


# %%
checks.sample_mixture(my_sample_mixture)
