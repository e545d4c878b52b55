# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# Gaussian mixtures and EM\n\n- To generate is to know $P(x)$.\n- A complicated density can be a sum of many Gaussians.\n- EM has two steps. We derive them, and then we watch them.\n- How many components do we need? And what can even 512 of them not do?"}
# # 01 · Gaussian mixtures and EM
#
# After this notebook you will be able to
# - explain why *generating* images can be reduced to *estimating a probability density*, and do both with a mixture of
#   Gaussians;
# - sample from a mixture, and check the samples against its density;
# - derive both steps of the [EM algorithm](../docs/glossary.md#em-algorithm-expectation-maximization), write them from
#   memory, and recognize a plateau and a local optimum;
# - explain why the likelihood of a mixture has no maximum, and how `reg_covar` keeps EM out of trouble;
# - choose the number of components, and say what even a mixture of 512 Gaussians cannot do.
#
# **Time:** two to three minutes to run on a laptop with two cores, ninety minutes to work through.
#
# **Prerequisites:** [Start here](00_start_here.ipynb), Gaussians, Bayes' rule and derivatives. The notebook uses
# 1.6 GB of memory and needs no GPU.
#
# The first cells import everything. The cell after the imports contains all the settings that you may want to change.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import math
import warnings

import torch
from IPython.display import Markdown, display
from scipy.stats import kstest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import Normal

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.data import course_digits, eight_modes, shipped_models_fit, skyline
from course_lib.device import FAST
from course_lib.figures import mixtures as figures
from course_lib.mixtures.estimator import GaussianMixture
from course_lib.probability.em import e_step, m_step
from course_lib.widgets import EMStepper

torch.set_default_dtype(torch.float64)  # EM subtracts numbers that are nearly equal
warnings.simplefilter("ignore", ConvergenceWarning)  # we often stop EM early, on purpose
plots.use_style()

# %% tags=["parameters"]
n_points = 4_000 if FAST else 20_000  # points drawn from the 1-D density
components = (1, 2, 4, 8, 16, 32) if FAST else (1, 2, 4, 8, 16, 32, 64, 128)  # tried in 1-D
n_starts = 4 if FAST else 10  # starts of EM that are compared
n_data_sets = 2 if FAST else 5  # data sets on which BIC chooses
sizes = (1, 4, 16, 32) if FAST else (1, 4, 16, 64, 128, 256, 512)  # components tried on the digits
digit_steps = 5 if FAST else 20  # steps of EM on the digits
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## To generate is to know P(x)\n\nIf somebody told us how likely every image is, we could draw new ones.\n\nWe begin with an $x$ that is a single number, and a density that we know exactly.\n\n**Predict.** What will a single Gaussian get right, and what will it get most wrong?"}
# ## 1 · To generate is to know P(x)
#
# Think of an image as a point $x$ in a space with one axis per pixel. Suppose that somebody told us $P(x)$, that is,
# how likely every possible image is. Then we could generate new images by drawing from $P(x)$, and every kind of
# image would come up as often as it does in the data. The lecture's plan for generating images is to estimate $P(x)$
# and then to sample from it.
#
# We begin with the simplest case: $x$ is a single number, so everything can be plotted. The lecture
# illustrates $P(x)$ with a complicated black curve. We do not have the lecture's curve, so we made
# up one of our own and called it `skyline`. Because we know this density exactly, we can tell how
# close a model comes to it. For a continuous $x$,
# $P(x)$ is a *probability density*, that is, a probability per unit of length. A density can exceed 1; only the area
# under it must be 1.
#
# We draw points from `skyline`. Our first model is a single Gaussian with the same mean and standard deviation as
# the points we drew.

# %% [markdown]
# **Predict.** What will a single Gaussian get right, and what will it get most wrong?

# %%
generator = torch.Generator().manual_seed(seed)
x = skyline.sample(n_points, generator)  # (N,)
grid = torch.linspace(*skyline.limits, 4001)  # (G,)
p = skyline.log_prob(grid).exp()  # (G,), the density that made the points
one = Normal(x.mean(), x.std())

# %% alt="A black curve with many uneven bumps over a grey histogram that follows it; a single broad blue bell passes below the tall peaks and above the gaps between them." slideshow={"slide_type": "slide"} slide={"text": "## One Gaussian"}
figures.density(grid, {"truth": p, "one Gaussian": one.log_prob(grid).exp()}, samples=x)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The centre and the spread are right, and every bump is wrong. A Gaussian has two numbers to adjust."}
# **Answer.** The Gaussian gets the centre and the spread right and every bump wrong. The Gaussian also wastes
# probability on the gaps between the bumps and on regions without data.
#
# **Why?** A Gaussian has only two parameters. Once the mean and the variance are right, nothing is left to
# adjust.

# %% [markdown]
# How wrong is the Gaussian? To put a number on the error, we use the **[Kullback–Leibler
# divergence](../docs/glossary.md#kl-divergence-kullbackleibler-divergence)** from the data's density $p$ to the
# model's density $q$,
#
# $$\mathrm{KL}(p\,\|\,q) \;=\; \int p(x)\,\log\frac{p(x)}{q(x)}\,dx .$$
#
# KL is zero if the two densities agree and positive otherwise, as we prove in
# [The evidence lower bound](02_elbo.ipynb). The logarithm is natural, so the unit is the
# [nat](../docs/glossary.md#nat). We compute the integral numerically, with the trapezoidal rule on a grid of values of
# $x$.


# %%
def kl_from_data(log_q):
    """KL(data‖model) in nats, from the model's log-density log_q (G,) on the grid."""
    inside = p > 0  # where p is 0, the integrand is 0 too
    integrand = torch.zeros_like(p)
    integrand[inside] = p[inside] * (p.log() - log_q)[inside]
    return float(torch.trapezoid(integrand, grid))


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## How wrong, in one number\n\n$$\\mathrm{KL}(p\\,\\|\\,q) = \\int p(x)\\,\\log\\frac{p(x)}{q(x)}\\,dx$$\n\nIt is the expectation of $\\log p(x) - \\log q(x)$ over points from $p$.\n\nSo on held-out points, the model with the higher average log-likelihood is closer to the truth, and we need not know $p$."}
# In practice we rarely know $p$. But the KL divergence has a second meaning: it is the expectation of
# $\log p(x) - \log q(x)$ over points $x$ drawn from $p$. The mean of $\log q(x)$ over a set of points is the model's
# *mean [log-likelihood](../docs/glossary.md#log-likelihood)* on that set. On many *held-out* points, that is, points
# not used for fitting, the mean log-likelihood of the model is lower than that of the true density by about the KL
# divergence. Without knowing $p$, we can therefore find out which of two models is closer to the truth: the one with
# the higher mean log-likelihood on many held-out points.

# %% slideshow={"slide_type": "-"} slide={"show": "output"}
kl_one = kl_from_data(one.log_prob(grid))
fresh = skyline.sample(100_000, generator)  # held out: not used for fitting
shortfall = float((skyline.log_prob(fresh) - one.log_prob(fresh)).mean())
print(f"by the integral:        {kl_one:.3f} nats")
print(f"on 100,000 new points:  {shortfall:.3f} nats")

# %% tags=["check"]
# 100,000 draws leave a standard error near 0.002 nats; we allow five of them
assert abs(shortfall - kl_one) < 0.01

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Sampling from a mixture\n\n$$P(x) = \\sum_{k} \\pi_k\\, \\mathcal N(x;\\,\\mu_k,\\,\\sigma_k^2)$$\n\nPick a component $k$ with probability $\\pi_k$, then draw $x$ from that one Gaussian: *ancestral sampling*."}
# ## 2 · Sampling from a mixture
#
# A *mixture* of $K$ Gaussians, called its *components*, has the density
#
# $$P(x) \;=\; \sum_{k=1}^{K} \pi_k\, \mathcal N(x;\,\mu_k,\,\sigma_k^2), \qquad \pi_k \ge 0, \quad \sum_k \pi_k = 1 .$$
#
# The weight $\pi_k$ is $P(k)$, the probability of component $k$, and the $k$-th Gaussian is $P(x\,|\,k)$.
#
# The formula adds up densities, but when we *sample* from the mixture, we add nothing up. We pick a component $k$ with
# probability $\pi_k$ (from a multinomial distribution, as the lecture says) and then draw $x$ from that one Gaussian.
# Drawing the causes first, and then whatever depends on them, is called
# *[ancestral sampling](../docs/glossary.md#ancestral-sampling)*.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** You draw one number from *each* Gaussian and take the weighted average. How many bumps does the histogram have?"}
# **Predict.** Suppose that you draw one number from *each* Gaussian instead and take the weighted average. How many
# bumps will a histogram of many such weighted averages have?

# %%
weights = torch.tensor([0.15, 0.35, 0.10, 0.25, 0.15])  # (K,)
means = torch.tensor([-4.0, -1.5, 0.0, 1.2, 4.0])
stds = torch.tensor([0.5, 0.8, 0.2, 0.4, 0.7])
exact = (weights * Normal(means, stds).log_prob(grid[:, None]).exp()).sum(1)  # (G,)

# %%
# which Gaussian each sample comes from, (N,)
k = torch.multinomial(weights, 10_000, replacement=True, generator=generator)
drawn = means[k] + stds[k] * torch.randn(10_000, generator=generator)  # then a draw from it, (N,)

# %%
each = means + stds * torch.randn(10_000, 5, generator=generator)  # one draw from each, (N, K)
averaged = (weights * each).sum(1)  # (N,): not how a mixture is sampled

# %% alt="Left: a histogram with five bumps that fills the area under the black curve. Right: the same black curve, and a histogram with one narrow tall bump near zero." slideshow={"slide_type": "slide"} slide={"text": "## Densities are averaged, not numbers"}
figures.two_ways_to_sample(grid, exact, drawn, averaged)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** One. A weighted sum of Gaussian numbers is Gaussian; ancestral samples show all five bumps."}
# **Answer.** One bump. The weighted averages follow a single narrow Gaussian, whereas ancestral samples reproduce all
# five bumps.
#
# **Why?** A weighted sum of independent Gaussian random numbers is again Gaussian. A mixture averages *densities*,
# which is not the same as averaging random numbers.

# %% [markdown]
# The Kolmogorov–Smirnov test confirms what the histograms show. For each $x$, the test compares the fraction of samples
# below $x$ with the exact probability of falling below $x$, and it reports the largest difference.


# %%
def mixture_cdf(t):
    """Return the exact probability that a sample is below t."""
    return (weights * Normal(means, stds).cdf(torch.as_tensor(t)[:, None])).sum(1).numpy()


distance = kstest(drawn, mixture_cdf).statistic
distance_averaged = kstest(averaged, mixture_cdf).statistic
print(
    f"largest difference: {distance:.4f} for ancestral samples, "
    f"{distance_averaged:.3f} for averages"
)

# %% tags=["check"]
# with 10,000 samples of the right density, the difference exceeds 0.0195 once in a thousand runs
assert distance < 0.0195 < distance_averaged


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The E-step: Bayes\u2019 rule\n\nWhich component produced the point $x_n$?\n\n$$r_{nk} = P(k\\,|\\,x_n) = \\frac{\\pi_k\\,\\mathcal N(x_n;\\mu_k,\\sigma_k^2)}{\\sum_j \\pi_j\\,\\mathcal N(x_n;\\mu_j,\\sigma_j^2)}$$"}
# ## 3 · EM, derived
#
# We now turn to the inverse problem: given points $x_1,\dots,x_N$ and the number of components, which weights, means
# and variances produced them? We choose the parameters that maximize the mean log-likelihood of the points,
#
# $$\ell \;=\; \frac1N\sum_{n=1}^{N} \log P(x_n), \qquad P(x) = \sum_k \pi_k\,\mathcal N(x;\mu_k,\sigma_k^2).$$
#
# **The E-step.** If we knew the parameters, Bayes' rule would tell us how probable it is that component $k$ produced
# the point $x_n$. This [posterior](../docs/glossary.md#posterior) probability is called the
# *[responsibility](../docs/glossary.md#responsibility)* of component $k$ for point $n$:
#
# $$r_{nk} \;=\; P(k\,|\,x_n) \;=\; \frac{\pi_k\,\mathcal N(x_n;\mu_k,\sigma_k^2)}{\sum_j \pi_j\,\mathcal N(x_n;\mu_j,\sigma_j^2)} .$$
#
# Far from all components, every density rounds to 0, and Bayes' rule would give $0/0$. We therefore work with
# logarithms and let `logsumexp` compute the logarithm of the denominator.


# %% slideshow={"slide_type": "-"} slide={"lines": "2-6"}
def expectation(x, weights, means, variances):
    log_px_k = Normal(means, variances.sqrt()).log_prob(x[:, None])  # (N, K): log P(x|k)
    log_joint = weights.log() + log_px_k  # (N, K): log P(x, k)
    log_px = torch.logsumexp(log_joint, 1)  # (N,): log P(x)
    resp = torch.exp(log_joint - log_px[:, None])  # (N, K): P(k|x)
    return resp, log_px.mean()


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The M-step: derivatives set to zero\n\n$$\\mu_k = \\frac{1}{N_k}\\sum_n r_{nk}\\,x_n, \\quad \\sigma_k^2 = \\frac{1}{N_k}\\sum_n r_{nk}\\,(x_n-\\mu_k)^2, \\quad \\pi_k = \\frac{N_k}{N}$$\n\nEach point counts towards a component in proportion to the component's responsibility for it: $N_k = \\sum_n r_{nk}$."}
# **The M-step.** We set the derivatives of $\ell$ to zero. For the mean of component $k$, the chain rule gives
#
# $$\frac{\partial \log P(x_n)}{\partial \mu_k}
# = \frac{\pi_k\,\mathcal N(x_n;\mu_k,\sigma_k^2)}{P(x_n)}\;\frac{\partial \log \mathcal
# N(x_n;\mu_k,\sigma_k^2)}{\partial \mu_k} = r_{nk}\,\frac{x_n-\mu_k}{\sigma_k^2}.$$
#
# The first factor is the responsibility, so each point counts towards a component only in
# proportion to that component's
# responsibility for it. The derivative with respect to the variance is found in the same way. We sum both derivatives
# over the points, set the sums to zero, and write $N_k = \sum_n r_{nk}$:
#
# $$\sum_n r_{nk}\,\frac{x_n-\mu_k}{\sigma_k^2} = 0
# \quad\Longrightarrow\quad \mu_k = \frac{1}{N_k}\sum_n r_{nk}\,x_n ,$$
#
# $$\sum_n r_{nk}\left[\frac{(x_n-\mu_k)^2}{2\sigma_k^4} - \frac{1}{2\sigma_k^2}\right] = 0
# \quad\Longrightarrow\quad \sigma_k^2 = \frac{1}{N_k}\sum_n r_{nk}\,(x_n-\mu_k)^2 .$$
#
# The weights must add up to 1, so we cannot change one of them without changing others. The method of Lagrange
# multipliers takes this into account: we add $\lambda\,(1-\sum_j \pi_j)$ to the function that we maximize, set the
# derivatives of the sum to zero, and choose the number $\lambda$ such that the weights add up to 1. Since
# $\partial \log P(x_n) / \partial \pi_k = \mathcal N(x_n;\mu_k,\sigma_k^2) / P(x_n) = r_{nk} / \pi_k$,
#
# $$\frac{\partial}{\partial \pi_k}\Big[\sum_n \log P(x_n) + \lambda\big(1-\textstyle\sum_j \pi_j\big)\Big]
# = \frac{N_k}{\pi_k} - \lambda = 0
# \quad\Longrightarrow\quad \pi_k = \frac{N_k}{\lambda} = \frac{N_k}{N},$$
#
# where the last equality follows from $\sum_k \pi_k = 1$ and $\sum_k N_k = N$. Each of the three formulas is one line
# of code.


# %% slideshow={"slide_type": "-"} slide={"lines": "2-4"}
def maximization(x, resp):
    counts = resp.sum(0)  # (K,): N_k, the number of points that each component accounts for
    weights = counts / len(x)  # (K,)
    means = resp.T @ x / counts  # (K,)
    variances = (resp * (x[:, None] - means) ** 2).sum(0) / counts  # (K,)
    return weights, means, variances


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## EM breaks the circle\n\nThe right-hand sides depend on all the parameters. EM therefore alternates: it updates the responsibilities, then the parameters, and repeats.\n\nWe start three Gaussians in a bad place."}
# These equations look like a solution, but they are circular: the responsibilities on their right-hand sides depend on
# all the parameters. The *expectation-maximization algorithm*, EM, breaks the circle (Dempster, Laird & Rubin 1977). EM
# alternates two steps: the E-step computes the responsibilities from the current parameters, and the M-step solves the
# three equations with these responsibilities held fixed. If EM converges, all the derivatives above are zero in the
# limit.
#
# We start EM from three badly placed Gaussians and run it for 150 steps on 400 points.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Does the log-likelihood rise evenly? Can it ever fall?"}
# **Predict.** Does the log-likelihood rise evenly? Can it ever fall?

# %%
few = skyline.sample(400, torch.Generator().manual_seed(seed))  # (N,)
theta = (torch.full((3,), 1 / 3), torch.tensor([-1.0, 0.0, 1.0]), torch.ones(3))
trace, history = [], []
for _ in range(151):
    resp, log_likelihood = expectation(few, *theta)
    trace.append((*theta, resp))
    history.append(float(log_likelihood))
    theta = maximization(few, resp)

# %% [markdown]
# Each tick below the curves marks a data point; its colour blends those of the Gaussians responsible for it. The
# thin curves are the weighted Gaussians, and the thick pale curve is their sum.

# %% alt="Four panels. At first three equal Gaussians sit side by side in the middle, and the ticks below them fade from one colour to the next; later the Gaussians have moved apart, and each covers its own region with its own width." slideshow={"slide_type": "slide"} slide={"text": "## Four moments of EM"}
figures.em_steps_1d(few, trace, history, steps=(0, 4, 50, 150))

# %% alt="The log-likelihood against the step of EM: it rises fast, is almost flat for some time, rises steeply again, and is level from about step 70 to the end." slideshow={"slide_type": "slide"} slide={"text": "## It never falls, and it has a plateau"}
figures.log_likelihood(history)

# %%
gains = torch.tensor(history).diff()
for first, last in ((0, 1), (1, 10), (10, 30), (30, 50), (50, 100), (100, 150)):
    gain = history[last] - history[first]
    print(f"steps {first:3d} to {last:3d}: gain {gain:.6f} nats per point")
weights_3, means_3, variances_3, resp_3 = trace[-1]  # where EM ended

# %% tags=["check"]
# the log-likelihood never falls; of float64's 16 digits, a sum of 400 terms may lose four
assert (gains > -1e-12).all()
# the plateau: these twenty steps gain less than a quarter of what the next fifty gain
assert history[50] - history[30] < (history[100] - history[50]) / 4
# the package's steps, written for any number of dimensions, agree with those above
package_resp, _ = e_step(few[:, None], weights_3, means_3[:, None], variances_3[:, None, None])
assert torch.allclose(package_resp, resp_3, atol=1e-12)
package_variances = m_step(few[:, None], resp_3).covariances.flatten()
assert torch.allclose(package_variances, maximization(few, resp_3)[2], atol=1e-12)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** It never falls, but it does not rise evenly. A small gain does not prove that EM has converged."}
# **Answer.** It never falls, but it does not rise evenly either. After a large first leap, which is not shown in the
# figure, the log-likelihood climbs slowly and reaches a *plateau*, where it gains little for many steps. Steps 30 to 50
# gain less than a quarter of what steps 50 to 100 gain. From step 100 on, the curve is level.
#
# **Why?** It is a theorem that the log-likelihood never falls, and [The evidence lower bound](02_elbo.ipynb) shows in
# one picture why. A plateau arises when Gaussians overlap, as the blue and orange ones do in the second and third
# panels. Overlapping Gaussians are fitted to the points that they share, so one step changes the responsibilities for
# these points only a little, and it takes many steps to divide the points up. A small gain in log-likelihood therefore
# does not prove that EM has converged. Programs that stop as soon as the gain is small sometimes stop too early, so we
# run all 150 steps here.

# %% [markdown]
# Next we run EM from other starts, each with the three means on three data points chosen at random.
#
# **Predict.** Do all starts end at the same log-likelihood?


# %%
def end_of_em(x, means, steps=300):
    theta = (torch.full((3,), 1 / 3), means, torch.ones(3))
    for _ in range(steps):
        resp, log_likelihood = expectation(x, *theta)
        theta = maximization(x, resp)
    return float(log_likelihood)


# %%
ends = []
for start in range(n_starts):
    chosen = torch.randperm(len(few), generator=torch.Generator().manual_seed(start))[:3]
    ends.append(end_of_em(few, few[chosen]))

# %% alt="A row of dots on an axis of log-likelihoods: several dots share one value, and others are at lower or higher values."
figures.where_starts_end({"random points": ends})


# %% [markdown]
# **Answer.** No. The runs end at several different log-likelihoods.
#
# **Why?** EM only ever goes uphill; it cannot accept a loss now for a greater gain later. EM therefore usually ends
# in a *local optimum*, on which no small move can improve. The starting point determines which
# local optimum EM finds, and this is not always the nearest one.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## In two dimensions\n\n$$\\Sigma_k = \\frac1{N_k}\\sum_n r_{nk}\\,(x_n-\\mu_k)(x_n-\\mu_k)^{\\!\\top}$$"}
# ## 4 · In two dimensions
#
# If $x$ is a point in the plane, each component has a mean vector and a covariance matrix. The M-step computes the
# covariance matrix as
#
# $$\Sigma_k \;=\; \frac1{N_k}\sum_n r_{nk}\,(x_n-\mu_k)(x_n-\mu_k)^{\!\top},$$
#
# and everything else stays the same. From now on we use `e_step` and `m_step` from `course_lib`, which generalize our
# two functions to any number of dimensions; this `e_step` returns $\log P(x_n)$ for every point
# instead of the mean over the points. Our data are 600 points in eight clouds, and we fit a mixture
# of eight Gaussians.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Eight clouds and eight Gaussians: does each Gaussian find a cloud of its own?"}
# **Predict.** There are as many Gaussians as clouds. Does each Gaussian find a cloud of its own?


# %%
def em(x, theta, steps=150):
    trace, history = [], []
    for _ in range(steps + 1):
        resp, log_px = e_step(x, *theta)  # (N, K), (N,)
        trace.append((*theta, resp))
        history.append(float(log_px.mean()))
        theta = m_step(x, resp, reg_covar=1e-6)  # reg_covar: section 6
    return trace, history


# %%
points = eight_modes.sample(600, torch.Generator().manual_seed(seed))  # (N, 2)
equal, round_ones = torch.full((8,), 1 / 8), torch.eye(2).expand(8, 2, 2)
trace_2d, history_2d = em(points, (equal, points[:8], round_ones))  # the means start on 8 points
truth_2d = float(eight_modes.log_prob(points).mean())

# %% alt="Four panels with eight clouds of points on a ring and eight ellipses. Early ellipses are large and overlap; at the end most clouds have an ellipse of their own, but one ellipse still spans two clouds and two ellipses share one cloud." slideshow={"slide_type": "slide"} slide={"text": "## A local optimum"}
figures.em_steps_2d(points, trace_2d, history_2d, steps=(5, 20, 60, 150))

# %% alt="The log-likelihood of eight Gaussians over 150 steps rises in a few steep steps with long level stretches between them, and ends below a dashed line that marks the true density."
figures.log_likelihood(history_2d, truth=truth_2d)

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Not from this start: two share one cloud, and another spans two. The way out would lead downhill."}
# **Answer.** Not from this start. Two Gaussians share one cloud, so a third must stretch over two clouds. The
# log-likelihood climbs in steps separated by long plateaus, and it levels off below that of the true density.
#
# **Why?** This is a local optimum again. To reach a better solution, one of the two Gaussians that share a cloud would
# have to cross the empty space between the clouds, and the likelihood would fall on the way.

# %% [markdown]
# The curve ends below the dashed line. Is our program at fault? To find out, we run scikit-learn's `GaussianMixture`
# from the same weights, means and precisions (inverse covariances) for the same number of steps.

# %%
start = {
    "weights_init": equal.numpy(),
    "means_init": points[:8].numpy(),
    "precisions_init": round_ones.numpy(),
}
differences = []
for steps in (1, 20, 60, 150):
    theirs = SklearnMixture(8, max_iter=steps, tol=0, **start).fit(points.numpy())
    differences.append(abs(theirs.means_ - trace_2d[steps][1].numpy()).max())
    differences.append(abs(theirs.score(points.numpy()) - history_2d[steps]))
apart = max(differences)
print(f"largest difference from scikit-learn, in means and log-likelihood: {apart:.1e}")

# %% tags=["check"]
# EM is deterministic given its start; rounding is 1e-16, and plateaus enlarge it
assert apart < 1e-8

# %% [markdown]
# Our program is not at fault: scikit-learn takes the same steps and ends in the same place.
#
# Now run EM by hand. The **E-step** button colours the points, and the **M-step** button moves the ellipses. Drag a
# mean into a corner and see where EM takes it. The bar next to the points splits $\log P(x)$ into a bound and a gap.
# We explain the bound and the gap in [The evidence lower bound](02_elbo.ipynb), but you can already watch how each
# button changes them.

# %% alt="Strip of pictures of the EM widget: five ellipses among points on a ring, at the start, after the first E-step, after the first M-step, and after forty rounds, each with its log-likelihood." slideshow={"slide_type": "slide"} slide={"text": "## E-step and M-step by hand"}
stepper = EMStepper(points[:240], n_components=5, seed=seed)
stepper


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## k-means is EM\u2019s hard limit\n\nEqual weights, and one fixed covariance $\\sigma^2 I$: the E-step is a softmax of squared distances."}
# ## 5 · k-means is EM's hard limit
#
# The best-known clustering method is *k-means* (MacQueen 1967, Lloyd 1982). The algorithm alternately assigns every
# point to the nearest of $K$ means and moves every mean to the average of its points. This looks much
# like EM. To compare the two methods, keep all weights equal and give all components the same fixed covariance
# $\sigma^2 I$. Then the weights and the normalizing factors cancel, and the E-step becomes a softmax of squared
# distances,
#
# $$r_{nk} \;=\; \frac{\exp\!\big(-\lVert x_n-\mu_k\rVert^2 / 2\sigma^2\big)}{\sum_j \exp\!\big(-\lVert x_n-\mu_j\rVert^2 / 2\sigma^2\big)} .$$

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** What happens to the colours of the points as $\\sigma$ shrinks?"}
# **Predict.** What happens to the colours of the points as $\sigma$ shrinks?


# %%
def em_with_fixed_width(x, means, sigma, steps=100):
    for _ in range(steps):
        squared = torch.cdist(x, means) ** 2  # (N, K)
        resp = torch.softmax(-squared / (2 * sigma**2), 1)  # (N, K)
        means = resp.T @ x / resp.sum(0)[:, None]  # (K, 2)
    return means, resp


# %%
found = {}
for sigma in (1.5, 0.7, 0.3, 0.01):
    found[sigma] = em_with_fixed_width(points, points[:8], sigma)

# %% alt="Four panels of the same eight clouds for a shrinking common width. At the largest width all points share one muddy colour and all crosses are in the middle; at the smallest, every point has one pure colour, two colours split one cloud, and one cross is between two clouds." slideshow={"slide_type": "slide"} slide={"text": "## As \u03c3 shrinks"}
figures.hardening(points, found)

# %%
lloyd = KMeans(8, init=points[:8].numpy(), n_init=1, tol=0).fit(points.numpy())
hard_means, hard_resp = found[0.01]
apart_k_means = abs(lloyd.cluster_centers_ - hard_means.numpy()).max()
print(f"largest difference between these means and those of k-means: {apart_k_means:.1e}")

# %% tags=["check"]
# beyond a few σ from every border, responsibilities round to 0 or 1; only rounding errors remain
assert apart_k_means < 1e-6


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The colours become pure, and the result is that of k-means, which is a good *start* for EM."}
# **Answer.** The colours become pure: every responsibility tends to 0 or 1, and EM gives the same result as k-means.
# For a large $\sigma$, in contrast, all components share all points, and their means coincide. At $\sigma = 0.7$ every
# mean happens to be in a cloud of its own; at smaller widths, two means share one cloud, and another mean lies between
# two clouds. From this start, harder assignments thus lead to a worse local optimum.
#
# **Why?** As $\sigma \to 0$, the softmax gives all the responsibility to the nearest mean. The M-step then averages
# the points of each cluster, just as k-means does.

# %% [markdown]
# We can use k-means as a cheap approximation to EM, or as a *start* for EM: the clusters of k-means, taken
# as responsibilities of 0 and 1, yield the initial weights, means and covariances. Both scikit-learn and our package
# start from k-means by default.
#
# **Predict.** Do all k-means starts find the eight clouds?


# %%
def random_start(generator):
    chosen = torch.randperm(len(points), generator=generator)[:8]
    return equal, points[chosen], round_ones


def k_means_start(number):
    labels = KMeans(8, n_init=1, random_state=number).fit(points.numpy()).labels_  # (N,)
    resp = torch.nn.functional.one_hot(torch.tensor(labels, dtype=torch.long), 8).double()  # (N, 8)
    return m_step(points, resp, reg_covar=1e-6)


# %%
random_ends, k_means_ends = [], []
for start in range(n_starts):
    _, from_random = em(points, random_start(torch.Generator().manual_seed(start)))
    _, from_k_means = em(points, k_means_start(start))
    random_ends.append(from_random[-1])
    k_means_ends.append(from_k_means[-1])

# %% alt="Two rows of dots on an axis of log-likelihoods, with a dashed line at the true density. The dots of the random starts are scattered, most of them to the left of the line; those of the k-means starts gather at one value just to the right of it."
figures.where_starts_end({"random points": random_ends, "k-means": k_means_ends}, truth=truth_2d)

# %%
print(f"true density: {truth_2d:.3f} nats per point")
print(f"random starts: {min(random_ends):.3f} to {max(random_ends):.3f}")
print(f"k-means starts: {min(k_means_ends):.3f} to {max(k_means_ends):.3f}")

# %% tags=["check"]
assert sum(k_means_ends) > sum(random_ends)  # better on average, over the starts tried here

# %% [markdown]
# **Answer.** All those that we tried do. The runs started from k-means all end at the same
# log-likelihood, at the right of the figure, whereas the runs from random starts end at various
# values. On these data, k-means starts are far more reliable than random ones.
#
# **Why?** After k-means, EM starts with means that are far apart, and each component has a covariance that fits its
# group. But k-means has local optima of its own (the panel for $\sigma = 0.01$ above shows one), so success is not
# guaranteed. The remedy is to run EM from several starts and keep the result with the highest log-likelihood; the
# argument `n_init` sets the number of starts. The best runs actually end slightly above the
# log-likelihood of the true density (the dashed line), because a fitted mixture adapts to its 600
# points, whereas the true density does not.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The likelihood has no maximum\n\n20 points. One broad component; a second one sits exactly on $x_1$, with standard deviation $s$."}
# ## 6 · The likelihood has no maximum
#
# So far, we have met only local optima. What is the global optimum?
#
# Take 20 points and a mixture of two Gaussians of equal weight. The first Gaussian is broad and covers all points. The
# second Gaussian sits exactly on the point $x_1$ and has standard deviation $s$.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** How does the mean log-likelihood change as $s$ shrinks to $10^{-100}$?"}
# **Predict.** How does the mean log-likelihood change as $s$ shrinks from 1 to $10^{-100}$?

# %%
twenty = few[:20]
broad = Normal(twenty.mean(), twenty.std())
widths = torch.logspace(0, -100, 201)  # (W,)
narrow = Normal(twenty[0], widths[:, None])  # (W, 1): one Gaussian for each width
log_two = torch.logaddexp(broad.log_prob(twenty), narrow.log_prob(twenty)) - math.log(2)  # (W, 20)

# %% alt="The mean log-likelihood against a shrinking width on a logarithmic axis: after a small dip it rises along a straight line all the way to the right edge."
figures.spike(widths, log_two.mean(1))

# %% tags=["check"]
# each time s shrinks by a factor of e, the point on the spike gains 1 nat, so the mean gains 1/20
rise = log_two.mean(1)[-1] - log_two.mean(1)[100]
assert abs(rise - 50 * math.log(10) / 20) < 1e-9


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A spike on one point\n\n**Answer.** It rises without bound:\n\n$$\\ell \\ge \\frac1{20}\\log\\frac{1}{2 s\\sqrt{2\\pi}} + \\text{constant} \\longrightarrow \\infty$$\n\nAll useful solutions are local optima. A floor under the variances, `reg_covar`, keeps EM out of this trap."}
# **Answer.** After a small dip, the log-likelihood rises by the same amount each time $s$ shrinks by a factor of ten,
# and nothing stops it.
#
# **Why?** At its own point the narrow Gaussian has the density $1/(s\sqrt{2\pi})$, which grows without limit. Each of
# the other points loses at most $\log 2$ nats, compared with the broad Gaussian alone, because the mixture still gives
# it at least half that Gaussian's density. Hence, as $s \to 0$,
#
# $$\ell \;\ge\; \frac1{20}\log\frac{1}{2 s\sqrt{2\pi}} + \text{constant} \;\longrightarrow\; \infty .$$
#
# The likelihood of a mixture of two or more Gaussians is unbounded if each of them has its own variance (Day 1969,
# *Biometrika*). Taken literally, *maximum* likelihood has no solution for such a mixture. All useful solutions are
# local optima: a mixture with a sufficiently narrow spike on a single point has a higher likelihood than any of them.

# %% [markdown]
# When a component is left with a single point, EM shrinks it to a spike on that point, because the component's variance
# becomes 0. To prevent this collapse, the M-step adds a small number to every variance; scikit-learn and our package
# both call this number `reg_covar`. With this floor under every variance, the likelihood is bounded. How high should
# the floor be? We fit eight components to each of five sets of 40 points, for several values of `reg_covar`, and
# measure the mean log-likelihood of the fitted points and of fresh ones.
#
# **Predict.** Which of the two log-likelihoods falls as `reg_covar` grows, and which one rises?


# %%
def fit_forty(floor, number):
    forty = skyline.sample(40, torch.Generator().manual_seed(number))[:, None]  # (40, 1)
    mixture = GaussianMixture(8, reg_covar=floor, max_iter=200, tol=1e-6, random_state=number)
    mixture.fit(forty)
    return mixture.score(forty), mixture.score(fresh[:20_000, None])


# %%
floors = (1e-9, 1e-6, 1e-4, 1e-2, 1e-1, 1.0)
on_forty = torch.zeros(6, 5)  # one row for each floor, one column for each set
on_fresh = torch.zeros(6, 5)
for row, floor in enumerate(floors):
    for number in range(5):
        on_forty[row, number], on_fresh[row, number] = fit_forty(floor, number)

# %% alt="Mean log-likelihood against reg_covar. The curve of the fitted points falls to the right; the curve of fresh points stays far below it at first, then rises until the two nearly meet at the right, where it dips slightly."
figures.price_of_narrowness(floors, fitted=on_forty, fresh=on_fresh)

# %% tags=["check"]
assert (on_forty[0] > on_forty[-1]).all()  # a lower floor fits the points better, in all five sets
assert (on_fresh[0] < on_fresh[-1]).all()  # and fresh points far worse

# %% [markdown]
# **Answer.** As `reg_covar` grows, the log-likelihood of the 40 points falls. The log-likelihood of fresh points stays
# low as long as `reg_covar` is tiny, then rises (by about a nat on average over the five sets), and falls slightly at
# the end.
#
# **Why?** Narrow components describe random peculiarities of the sample. A floor under the variances expresses a
# [prior](../docs/glossary.md#prior) belief that the true density has no spikes. On data of this scale, the default
# `reg_covar` of $10^{-6}$ does no more than keep the computation finite. Such a low floor does not cure *overfitting*,
# in which a model fits the random peculiarities of its sample. To reduce overfitting, you need more data, fewer
# components, or a higher floor under the variances. Use held-out points to choose the number of components and the
# floor.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## With enough Gaussians, any curve?"}
# ## 7 · With enough Gaussians, any curve
#
# We return to `skyline`. According to the lecture, a weighted sum of many Gaussians can produce a very complicated
# density. How many Gaussians does it take?

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Each time $K$ doubles, what happens to $\\mathrm{KL}(\\text{data}\\,\\|\\,\\text{mixture})$? Does it ever stop falling?"}
# **Predict.** Each time $K$ doubles, what happens to $\mathrm{KL}(\text{data}\,\|\,\text{mixture})$? Does it ever stop
# falling?

# %%
kl, fitted = {}, {}
for K in components:
    mixture = GaussianMixture(K, tol=1e-4, max_iter=300, random_state=seed).fit(x[:, None])
    fitted[K] = mixture.score_samples(grid[:, None])  # (G,)
    kl[K] = kl_from_data(fitted[K])

# %%
K_best = min(kl, key=kl.get)
for K, nats in kl.items():
    print(f"K = {K:3d}: KL = {nats:.4f} nats")

# %% alt="Three panels with the true density as a grey area. One Gaussian misses all bumps, eight follow the large ones, and the line of the largest mixture follows all of them with a jagged edge."
figures.fitted_densities(grid, p, {K: fitted[K] for K in (1, 8, components[-1])})

# %% [markdown]
# The next figure shows the KL divergence against $K$. Its dotted line shows what the
# parameters cost: about $1/(2N)$ nats for each of the $3K - 1$ free parameters of a mixture.

# %% alt="KL against the number of components on logarithmic axes: it falls steeply, reaches its minimum near a dotted line that rises from the lower left, and then rises along with that line." slideshow={"slide_type": "slide"} slide={"text": "## The price of each parameter"}
figures.kl_and_price(kl, price=[(3 * K - 1) / (2 * n_points) for K in components])

# %% tags=["check"]
# one Gaussian misses the bumps; sixteen leave at most a twentieth of its KL, even in the fast run
assert kl[16] < kl[1] / 20
assert kl[1] > 0.2
assert min(kl.values()) > 0  # KL is never negative

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** It falls while there are bumps left. Once $K$ is too large for the number of points, it rises."}
# **Answer.** The KL divergence falls steeply as long as there are bumps left to describe, and then flattens. Once $K$
# is too large for the number of points, the KL divergence rises again.
#
# **Why?** Two effects compete. A larger mixture can follow the true curve more closely, and with unlimited data the KL
# divergence would tend to 0. But we have only $N$ points, and parameters estimated from them are slightly off. If a
# model contains the truth, each free parameter costs about $1/(2N)$ nats on fresh data (Akaike
# 1974). A mixture of $K$ Gaussians in one dimension has $3K-1$ free parameters. The dotted line
# shows their total cost. In our case, this
# cost is only a rule of thumb, not a bound, for three reasons: the true curve is not a mixture of Gaussians, a surplus
# component does not make full use of its three parameters, and EM stops before it has fitted all the noise. With more
# points, each parameter costs less, so it pays to use more components.

# %% [markdown]
# ## 8 · How many components? Ask the data
#
# The likelihood of the fitted points cannot tell us how many components to use. A mixture of $K+1$ components can
# imitate any mixture of $K$ components, so the *highest possible* likelihood (with a floor under the variances) never
# falls as $K$ grows. EM, however, finds a local optimum, whose likelihood may well fall as $K$ grows.
#
# The *Bayesian information criterion* imposes a penalty for each parameter (Schwarz 1978),
#
# $$\mathrm{BIC} \;=\; -2\sum_n \log P(x_n) \;+\; (\text{number of parameters})\cdot\log N ,$$
#
# and we choose the $K$ with the smallest [BIC](../docs/glossary.md#bayesian-information-criterion-bic). Divided by
# $-2$, BIC approximates the logarithm of the probability that the model as a whole assigns to the
# data: the probability of the data, averaged over all possible values of the parameters.

# %% [markdown]
# **Predict.** We draw several data sets of 1,000 points from the eight clouds. How often does BIC choose eight
# components? And how often is the likelihood *lower* with one more component if EM is started only once for each $K$?

# %%
candidates = range(2, 13)
bics, falls = [], 0
for number in range(n_data_sets):
    cloud = eight_modes.sample(1_000, torch.Generator().manual_seed(number))
    of_three, once = [], []
    for K in candidates:
        of_three.append(GaussianMixture(K, n_init=3, random_state=number).fit(cloud).bic(cloud))
        once.append(GaussianMixture(K, random_state=number).fit(cloud).score(cloud))
    bics.append(of_three)
    falls += int((torch.tensor(once).diff() < 0).sum())

# %% alt="BIC, minus its minimum, against the number of components, with one line for each data set: all lines fall to a dot at eight, which a dashed vertical line marks, and rise slowly after it."
figures.bic_curves(candidates, bics, truth=8)

# %%
chosen_by_bic = [candidates[row.index(min(row))] for row in bics]
print(f"BIC chooses {chosen_by_bic}; the data have 8 clouds")
print(
    "with a single start, an extra component lowered the likelihood "
    f"in {falls} of {10 * n_data_sets} cases"
)

# %% tags=["check"]
# a ninth Gaussian gains less than its six parameters cost, 3 · log 1000 = 21 nats
assert all(K == 8 for K in chosen_by_bic)

# %% [markdown]
# **Answer.** BIC chooses eight components on every one of these data sets. The task is easy, because the clouds are
# well separated and EM has three starts for each $K$. With a single start, an extra component rarely lowers the
# likelihood; the second line of the output shows how often that happened.
#
# **Why?** A new component that has a cloud to describe gains hundreds of nats, far more than its price. A ninth
# component has nothing left to describe, and it gains less than its six parameters cost. Where an
# extra component
# lowered the likelihood, EM had an unlucky start. A comparison of models is only as good as the optima that EM has
# found for them.

# %% [markdown]
# ## 9 · Digits
#
# We now turn to real digits. A full covariance matrix in 784 dimensions has 307,720 distinct entries, and each
# component needs its own matrix. We therefore first reduce the dimension with *principal component analysis*, PCA,
# which finds the directions in which the digits vary most. We describe every digit by its coordinates along the first
# 20 directions and fit the mixture to these 20 numbers. Note that $P(x)$ is now a density over 20 numbers and no
# longer over images.
#
# We use three separate sets of digits: one to fit the mixtures, a *validation* set to choose $K$, and a test set that
# serves only to report the result.

# %%
train, test = course_digits(train=True), course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # the numbers asserted below were measured on MNIST
test_pixels = test.pixels()  # (M, 784), in [0, 1]
pca = PCA(40, random_state=seed).fit(train.pixels().numpy())
codes = torch.from_numpy(pca.transform(train.pixels().numpy())).double()  # (N, 40)
test_codes = torch.from_numpy(pca.transform(test_pixels.numpy())).double()  # (M, 40)

# %%
z, z_test = codes[:, :20].contiguous(), test_codes[:, :20].contiguous()  # (N, 20), (M, 20)
order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
fit, validation = order[: len(z) * 5 // 6], order[len(z) * 5 // 6 :]
print(f"{len(fit):,} digits to fit, {len(validation):,} to validate, {len(z_test):,} to test")

# %% tags=["check"]
# one Gaussian has a closed form: on MNIST's first 20,000 digits, scikit-learn gives −31.635 nats
reference = GaussianMixture(1).fit(z[:20_000]).score(z_test)
# the tolerance is 0.005, because PCA runs in float32 here
assert abs(reference + 31.635) < 0.005 or not (on_mnist and len(z) == 60_000)

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Digits, through 20 numbers\n\nAccording to the lecture, mixtures used to have at most 512 components. We try mixtures of up to that size."}
# According to the lecture, mixtures used to have at most 512 components. We try mixtures of up to that size.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Does the log-likelihood of held-out digits rise all the way to 512?"}
# **Predict.** Does the log-likelihood of held-out digits rise all the way to 512?

# %%
sizes = [K for K in sizes if len(fit) >= 40 * K]  # at least two digits per component and dimension
models = {}
for K in sizes:
    models[K] = GaussianMixture(K, max_iter=digit_steps, tol=0, random_state=seed).fit(z[fit])
    print(f"K = {K:3d} is fitted")

# %%
on_fitted, held_out, bic_per_digit = {}, {}, {}
for K, model in models.items():
    on_fitted[K] = model.score(z[fit])
    held_out[K] = model.score(z[validation])
    bic_per_digit[K] = model.bic(z[fit]) / (2 * len(fit))  # in nats per digit, like the others

# %% alt="\u2212log P per digit against the number of components. The curve of the fitted digits keeps falling; the curve of the held-out digits diverges from it, flattens and rises at the end; the dashed BIC curve is above both from 16 components on and turns up earlier." slideshow={"slide_type": "slide"} slide={"text": "## Held-out digits turn back"}
figures.digit_likelihoods(on_fitted, held_out, bic_per_digit)

# %%
K_held_out, K_bic = max(held_out, key=held_out.get), min(bic_per_digit, key=bic_per_digit.get)
test_one, test_best = models[1].score(z_test), models[K_held_out].score(z_test)
print(f"validation digits prefer K = {K_held_out}, BIC prefers K = {K_bic}")
print(f"test digits: {test_one:.2f} nats with one Gaussian, {test_best:.2f} with {K_held_out}")

# %% tags=["check"]
if on_mnist and sizes[-1] == 512:
    assert K_bic < K_held_out < 512  # the held-out curve has turned, and BIC is more cautious


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Not all the way (the figure shows $-\\log P$: lower is better). Each component is fitted only to its share of the digits."}
# **Answer.** It rises for a long time, but not all the way to 512. (The figure shows $-\log P$, so lower is better.)
# Judged by the fitted digits, more components are always better. The curve for the held-out digits
# diverges from the one for the fitted digits once the mixture begins to describe quirks of the
# fitted digits, and eventually the held-out curve turns upwards. BIC is computed from the fitted
# digits alone, yet the $K$ that it selects is even smaller than the one that is best on the
# validation digits.
#
# **Why?** Every component has 231 parameters and is fitted only to its share of the digits. With 512 components, each
# of them is fitted to about a hundred digits. We should therefore expect the best $K$ to grow with the amount of data.
# The best $K$ also depends on our choice of 20 directions and on the number of EM steps, so this experiment does not
# settle whether 512 components are too few.

# %% [markdown]
# To generate a digit, we draw 20 numbers from the mixture and let PCA turn them back into pixels.
#
# **Predict.** Which digits will look better, those drawn from the single Gaussian or those from the best mixture? And
# what will still be wrong with the better ones?


# %%
def to_images(z):
    """Map the 20 coordinates of each digit back to pixels: (N, 20) -> (N, 784)."""
    directions = torch.from_numpy(pca.components_[:20]).double()  # (20, 784)
    return z @ directions + torch.from_numpy(pca.mean_)


# %% alt="Four rows of fifteen digits: sharp real digits; the same digits blurred; blurred shapes of which few can be read; and blurred shapes of which many look like digits." slideshow={"slide_type": "slide"} slide={"text": "## Generated digits"}
figures.digit_sheets(
    {
        "real test digits": test_pixels[:15],
        "the same, through 20 numbers and back": to_images(z_test[:15]),
        "drawn from 1 Gaussian": to_images(models[1].sample(15)[0]),
        f"drawn from {K_held_out} Gaussians": to_images(models[K_held_out].sample(15)[0]),
    }
)


# %% [markdown] slideshow={"slide_type": "notes"}
# **Answer.** The samples of the large mixture look better: many of them can be read as digits, whereas few of the
# single Gaussian's samples can. But even the better samples are blurred, and so are real digits once they have been
# reduced to 20 numbers and turned back into pixels.
#
# **Why?** The digits form separate groups. A single Gaussian that covers all the groups must also cover the empty
# regions between them, and many of its samples fall there. A mixture of many Gaussians can avoid these empty regions.
# The blur comes from PCA: the 20 numbers leave out detail, and no mixture over them can restore it.

# %% [markdown]
# ## 10 · One label, or a vector?
#
# On average, a single component takes most of the responsibility for a digit, as we shall see below. A mixture
# therefore describes a digit with little more than a *single label*. The lecture argues that a
# cluster label is not enough, and that a vector describing different aspects of $x$, a
# *distributed representation*, is better. To compare labels
# and vectors fairly, we count bits. A label with $K$ values carries at most $\log_2 K$ bits, so 512
# components give at most 9 bits. Each bit of our vector belongs to one PCA direction and indicates
# whether the digit lies above or below the mean in that direction.
#
# We guess the pixels of each test digit from its label or its vector, and we measure the fraction of their variance
# that the guess explains. For the label, the guess is the mean image of all fitted digits that are assigned to the same
# component; for the vector, it is a linear function of the bits.

# %% [markdown]
# **Predict.** With 9 bits each, which code tells us more about the pixels? And how many bits does the other code need
# to tell us as much?


# %%
def explained(guess):
    """Return the fraction of the variance of the test pixels that a guess (M, 784) explains."""
    around_mean = test_pixels - test_pixels.mean(0)
    return 1 - float((test_pixels - guess).square().sum() / around_mean.square().sum())


def explained_by_label(model, K):
    label = model.predict(z[fit])  # (N,), integers from 0 to K − 1
    counts = torch.bincount(label, minlength=K).clamp(min=1)  # (K,)
    totals = torch.zeros(K, pixels.shape[1], dtype=pixels.dtype).index_add(0, label, pixels)
    mean_images = totals / counts[:, None]  # (K, 784)
    return explained(mean_images[model.predict(z_test)])


# %%
def with_constant(bits):
    """Convert bits to numbers and append a constant 1 for the intercept: (N, B) -> (N, B + 1)."""
    return torch.nn.functional.pad(bits.to(pixels.dtype), (0, 1), value=1.0)


def explained_by_bits(count):
    bits, test_bits = codes[fit, :count] > 0, test_codes[:, :count] > 0  # (N, B), (M, B)
    line = torch.linalg.pinv(with_constant(bits)) @ pixels  # (B + 1, 784), by least squares
    return explained(with_constant(test_bits) @ line)


# %%
pixels = train.pixels(fit)  # (N, 784), the digits to fit
by_label = {math.log2(K): explained_by_label(model, K) for K, model in models.items()}
by_bits = {count: explained_by_bits(count) for count in (1, 2, 4, 6, 9, 14, 20, 30, 40)}
unrounded = explained(torch.from_numpy(pca.inverse_transform(test_codes.float().numpy())))
sure = float(models[sizes[-1]].predict_proba(z_test).max(1).values.mean())

# %% alt="Fraction of variance explained against the number of bits. The curve of the label rises steeply and ends at nine bits; the curve of the vector rises more slowly and reaches the same height at forty bits; a dotted line is far above both."
figures.bits_with_bits(by_label, by_bits, unrounded)

# %%
label_bits, label_share = max(by_label), by_label[max(by_label)]
print(
    f"on average, the most responsible of {sizes[-1]} components "
    f"has {sure:.0%} of the responsibility"
)
print(
    f"label of {label_bits:.0f} bits: {label_share:.1%} of the variance, "
    f"from {sizes[-1]} mean images"
)
for count in (9, 40):
    print(f"vector of {count} bits: {by_bits[count]:.1%} of the variance, from {count + 1} images")

# %% tags=["check"]
if on_mnist and sizes[-1] == 512:
    assert by_label[9.0] > by_bits[9]  # with the same number of bits, the label tells us more
    assert by_bits[40] > by_bits[9] + 0.1  # further bits keep helping
    assert sure > 0.8

# %% [markdown]
# **Answer.** Bit for bit, the *label* tells us more. The vector needs about 40 bits to explain as much as a label of 9
# bits does. The advantage of the vector is that it can afford so many bits.
#
# **Why?** A vector of 9 bits has $2^9 = 512$ values, so it *is* a label with 512 values, except that its 512 images
# must all be sums of images from the same set of ten. If the labels and all 512 images can be chosen freely, the label
# can do at least as well as the vector. But this freedom is expensive. The label needs 512 images, each learned from
# about a hundred digits; the vector needs only ten images, each learned from all the digits. Every further bit doubles
# the number of images that the label needs, but adds only one to the number that the vector needs.
# The vector of 40 bits, which explains about as much as the label of 9 bits, uses 41 images instead
# of 512. A label of 40 bits would need $2^{40}$ images, about a trillion.

# %% [markdown]
# Because its parts can vary independently, a vector can describe many combinations with few
# parameters. The signs of the PCA coordinates are only the simplest version of the vector that the
# lecture asks for. The next chapters replace the
# label $k$ with a vector $z$ and the sum over $k$ with an integral over $z$.

# %% [markdown]
# ## What the lecture said, what we measured

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 1 | to generate, estimate P(x), then sample from it | mean log-density of a test digit's 20 PCA numbers: {test_one:.1f} nats with one Gaussian, {test_best:.1f} with {K_held_out}; the samples above are blurred | holds for 20 numbers; no density of pixels was fitted |
| 2 | enough weighted Gaussians can produce a very complicated density | KL falls from {kl[1]:.3f} nats (K = 1) to {kl[K_best]:.4f} (K = {K_best}); {n_points:,} points, one data set | holds for this density, until the data run out |
| 3 | to sample, pick a component by its weight, then sample that Gaussian | largest difference from the exact distribution {distance:.4f}; chance exceeds 0.0195 once in a thousand runs | holds |
| 4 | if the number of components is known, EM easily finds the rest | in 1-D the log-likelihood never fell in {len(gains)} steps; {apart:.0e} is the largest difference from scikit-learn. {n_starts} random starts ended between {min(random_ends):.2f} and {max(random_ends):.2f} nats in 2-D, where the true density has {truth_2d:.2f} | easy to run; it finds a local optimum that depends on the start |
| 4 | the number of components must be decided | eight clouds: BIC chose {chosen_by_bic} on {n_data_sets} data sets; digits: BIC chose {K_bic}, validation digits {K_held_out} | data can guide the decision |
| 4 | 512 components at most were used; that is too few | validation digits prefer {K_held_out} of {", ".join(map(str, sizes))} ({digit_steps} steps, 20 PCA numbers, one seed) | not settled here, because more components would need more digits |
| 5 | a cluster label is not enough; a vector describes different aspects | {label_share:.0%} of the pixels' variance from a label of {label_bits:.0f} bits, {by_bits[9]:.0%} from a vector of 9 bits, {by_bits[40]:.0%} from one of 40 | bit for bit the label tells more; the vector can afford more bits, at the cost of one image for each |

Digits: {len(fit):,} to fit, {len(validation):,} to choose K, {len(z_test):,} to test; pixels in [0, 1]; PCA on all training digits.
Claims are numbered across the whole course.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In exercises 1 to 3, fill in the missing steps, run the cell, and then run the check below it. The check says
# "Correct" or names the mistake. Exercise 4 has no such check: you judge your result yourself, with
# the help of the cells below it.
#
# The numbers of points, components and dimensions change from call to call, so read them from the shapes of the inputs.
#
# **1. Responsibilities.** Do this one without scrolling up. The E-step is Bayes' rule: how probable is it that
# component $k$ produced the point $x$? Write it for one dimension. Beware of points far from every component: all
# densities round to 0 there, and $0/0$ is not a probability. Work with logarithms throughout; adding a small number to
# the denominator would only hide the problem. The `x` of a single call may contain both
# points near the components and points far from all of them.


# %%
def my_responsibilities(x, weights, means, stds):
    """Return P(component k | x) for x (N,) and weights, means, stds (K,):
    resp (N, K), with rows that sum to 1.
    """
    # 1. the log-density of every point under every component, (N, K): compare x[:, None] with means
    # 2. add the logarithm of the weights, which gives log P(x, k)
    # 3. subtract the logsumexp over the components, which gives log P(k | x)
    # 4. take the exponential
    raise NotImplementedError


# %%
checks.responsibilities(my_responsibilities)


# %% [markdown]
# **2. The M-step in $D$ dimensions.** Section 3 derived the M-step for one dimension. In $D$ dimensions the variance
# becomes the covariance matrix of section 4. Each point is weighted by the component's responsibility for it, and the
# weighted sums are divided by $N_k$. Do not add `reg_covar` here.


# %%
def my_m_step(x, resp):
    """Return weights (K,), means (K, D) and covariances (K, D, D) for x (N, D) and resp (N, K)."""
    # 1. N_k, the number of points that each component accounts for, (K,): sum resp over the points
    # 2. the weights, (K,): what fraction of all N points is N_k?
    # 3. the means, (K, D): the sum of the points weighted by resp, divided by N_k
    # 4. the points minus each component's own mean, (N, K, D)
    # 5. the covariances, (K, D, D): the weighted sum of step 4's outer products, divided by N_k
    raise NotImplementedError  # return weights, means, covariances


# %%
checks.m_step(my_m_step)


# %% [markdown]
# **3. Sample from the mixture.** Pick a component, then draw from that Gaussian alone. Do not average random
# numbers; the check can tell the difference. The samples must be independent of each other. All randomness
# must come from `generator`, so that the same seed gives the same samples.


# %%
def my_sample_mixture(n, weights, means, stds, generator):
    """Return n samples, (n,), from the 1-D mixture with weights, means and stds (K,)."""
    # 1. pick a component for each sample, (n,): torch.multinomial(..., generator=generator)
    # 2. the mean and the std of the picked components, (n,) each: index with step 1
    # 3. draw standard normal noise, one number for each sample: torch.randn(n, generator=generator)
    # 4. scale and shift the noise
    raise NotImplementedError


# %%
checks.sample_mixture(my_sample_mixture)

# %% [markdown]
# **4. Derive a constrained M-step.** Suppose that all components must share *one* variance $\sigma^2$. Derive the
# corresponding M-step on paper. With the responsibilities fixed, the M-step maximizes
# $\sum_n \sum_k r_{nk} \log \mathcal N(x_n;\mu_k,\sigma^2)$ as a function of the means and the variance. Then replace
# `None` with your formula. The first line of that cell applies the M-step of section 3 to `resp_3`.
# The second cell computes the slope of the function at your value of the variance,
# with the means at their best values.
# If your derivation is right, the slope is 0 up to rounding errors. (A slope that is merely small proves little: where
# the variance is far too large, the function is almost flat.) Which familiar method do you get if you also keep the
# weights equal and, instead of fitting $\sigma^2$, let it tend to 0?

# %%
new_weights, new_means, new_variances = maximization(few, resp_3)  # one variance for each component
my_shared_variance = None  # your formula, a number, from few (N,), resp_3 (N, K) and the line above

# %%
print(checks.mixtures.shared_variance(my_shared_variance, few, resp_3))

# %% [markdown]
# **Answer.** In the equation for a mean, the shared variance cancels as before, so the means keep their formula. The
# derivative with respect to the variance is zero if
#
# $$\sigma^2 \;=\; \frac1N\sum_n\sum_k r_{nk}\,(x_n-\mu_k)^2 \;=\; \sum_k \pi_k\,\sigma_k^2,
# \qquad \pi_k = \frac{N_k}{N},$$
#
# where $\sigma_k^2$ is the variance that the M-step of section 3 would give component $k$. The shared variance is
# thus the average of these variances, weighted by the components' weights. If you keep the
# weights equal and let $\sigma^2$ tend to 0, you get k-means, as in section 5.

# %% [markdown]
# ## Further reading
#
# - A. Dempster, N. Laird & D. Rubin (1977), *Maximum likelihood from incomplete data via the EM algorithm*. The paper
#   that named EM and showed how general it is; the discussion that follows it is as instructive as the paper.
# - C. Bishop (2006), *Pattern Recognition and Machine Learning*, chapter 9. The standard derivation for mixtures,
#   including k-means as a limit and the collapse of a component; our M-step is its equations 9.24 to 9.26.
# - D. MacKay (2003), *Information Theory, Inference, and Learning Algorithms*, chapters 20 and 22. Soft k-means and
#   [maximum likelihood](../docs/glossary.md#maximum-likelihood) in a few lively pages, including the trap of our
#   section 6; free online.
# - H. Akaike (1974), *A new look at the statistical model identification*. The paper derives what each parameter
#   costs on fresh data.
# - G. Schwarz (1978), *Estimating the dimension of a model*. Four pages that derive BIC.
# - G. McLachlan & D. Peel (2000), *Finite Mixture Models*. The reference work on starting values, local optima and
#   the number of components.
