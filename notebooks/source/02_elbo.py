# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# The evidence lower bound\n\n- A latent variable, and infinitely many Gaussians\n- $\\log P(x) = L_b + \\mathrm{KL}$, line by line\n- The trap: a higher bound, and a lower likelihood\n- The cure, which is EM, and what a VAE cannot promise"}
# # 02 · The evidence lower bound
#
# After this notebook you will be able to
# - write $P(x)$ as a sum, or an integral, over a [latent variable](../docs/glossary.md#latent-variable) $z$, and
#   compute it;
# - prove that a [KL divergence](../docs/glossary.md#kl-divergence-kullbackleibler-divergence) is never negative, and
#   derive $\log P(x) = L_b + \mathrm{KL}$ line by line;
# - explain why raising $L_b$ through $P$ alone can *lower* the likelihood, and how adjusting $q$ first prevents it;
# - say what EM guarantees, what it loses when its E-step is unfinished, and what a
#   [VAE](../docs/glossary.md#variational-auto-encoder-vae) therefore cannot promise;
# - split $L_b$ into a reconstruction and a regularizer, and choose the less noisy way to estimate it from samples.
#
# **Time:** about a minute to run on a laptop with two cores, and two hours to work through,
# or ninety minutes if you run section 8 without working through it and leave out the last exercise. Section 6 is a good
# place for a break.
#
# **Prerequisites:** [Gaussian mixtures and EM](01_gaussian_mixtures_em.ipynb),
# expectations and a little calculus. The notebook needs 1.5 GB of memory and no GPU.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import math
from itertools import pairwise

import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Categorical, Independent, MultivariateNormal, Normal, kl_divergence

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.data import course_digits, pinwheel, shipped_models_fit
from course_lib.device import FAST
from course_lib.figures import bound as figures
from course_lib.probability.elbo import (
    LatentModel,
    LinearGaussian,
    elbo,
    importance_weighted_bound,
    log_posterior,
    mixture_model,
)
from course_lib.probability.em import e_step, m_step
from course_lib.probability.gaussians import kl_diag
from course_lib.widgets import ElboBars

torch.set_default_dtype(torch.float64)  # the identities hold to 1e-10; float32 would end at 1e-6
plots.use_style()

# %% tags=["parameters"]
rounds = 8 if FAST else 25  # a round improves q, then P
fit_steps = 60 if FAST else 300  # gradient steps on q while P is fixed
encoder_steps = 240 if FAST else 600  # training steps of the linear encoder on digits
n_train = 2_000 if FAST else 20_000  # digits used for training
seed = 0


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Infinitely many Gaussians\n\nReplace the label $k$ with a *number* $z \\sim \\mathcal N(0, 1)$, and the sum with an integral:\n\n$$P(x) = \\int P(z)\\, P(x|z)\\, dz$$\n\n*Prior* $P(z)$, *decoder* $z \\mapsto P(x|z)$, *evidence* $P(x)$."}
# ## 1 · Infinitely many Gaussians
#
# In a [Gaussian mixture](../docs/glossary.md#gaussian-mixture), each point $x$ has a label $k$ that says which Gaussian
# it came from. We never observe this label, so it is called a *latent variable*. Let us now replace the label with a
# *number* $z$, drawn from a standard normal distribution $P(z)$. Each $z$ stands for a Gaussian whose mean and standard
# deviation are functions of $z$: $x|z \sim \mathcal N(\mu(z), \sigma(z)^2)$. There are infinitely many of these
# Gaussians, and neighbouring values of $z$ stand for similar ones. The sum over the labels $k$ becomes an integral over
# $z$:
#
# $$P(x) = \int P(z)\, P(x|z)\, dz$$
#
# Each part has a name. $P(z)$ is the *[prior](../docs/glossary.md#prior)*, which says what we believe about $z$ before
# we see $x$. The function that turns $z$ into a distribution over $x$ is the *[decoder](../docs/glossary.md#decoder)*.
# $P(x)$ is the *evidence*, also called the marginal likelihood. The evidence is the probability density that the model
# as a whole assigns to the $x$ we observed. In a VAE the decoder is a neural network; here, two lines of code are
# enough.


# %%
def decoder(z):
    mean = 2.2 * torch.tanh(2 * z) + 0.6 * z
    sigma = 0.25 + 0.2 * torch.sigmoid(3 * z)
    return Normal(mean, sigma)


prior = Normal(torch.tensor(0.0), torch.tensor(1.0))

# %% [markdown]
# Because $z$ is a single number, we can compute the integral as a sum over a fine grid.

# %%
z = torch.linspace(-8, 8, 1601)  # (Z,)
x = torch.linspace(-7, 7, 1401)  # (X,)
dz = z[1] - z[0]
p_z = prior.log_prob(z).exp()  # (Z,)
p_x_given_z = decoder(z[:, None]).log_prob(x).exp()  # (Z, X)
p_x = (p_z[:, None] * p_x_given_z * dz).sum(0)  # (X,)

# %% tags=["check"]
# P(x) integrates to 1; on a fine grid the sums are exact up to rounding,
# as both integrands fall smoothly to 0
assert abs(torch.trapezoid(p_x, x) - 1) < 1e-10


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Cut the prior into $K$ equal slices. How many Gaussians does it take before you see no difference?"}
# An ordinary mixture of finitely many Gaussians can approximate the integral. Cut the prior into
# $K$ slices of equal probability, and let the middle of each slice stand for the whole slice.
#
# **Predict.** How many Gaussians does it take before you can no longer see the difference?


# %%
def finite_mixture(K):
    z_k = prior.icdf((torch.arange(K) + 0.5) / K)  # (K,): the middles of the slices
    return decoder(z_k[:, None]).log_prob(x).exp().mean(0)  # (X,)


def kl_from_integral(p_k):
    ratio = p_x / p_k.clamp_min(1e-300)  # far out, both densities underflow
    return float(torch.trapezoid(torch.xlogy(p_x, ratio), x))


# %% alt="Four panels of one black density with two peaks and a low bridge between them. Three Gaussians give three separate spikes, and eight leave ripples on the bridge; with 32 and with 512 the curves lie on top of each other." slideshow={"slide_type": "slide"} slide={"text": "## A finite mixture turns into the integral"}
mixtures = {K: finite_mixture(K) for K in (3, 8, 32, 512)}
kl = {K: kl_from_integral(p_k) for K, p_k in mixtures.items()}
figures.finite_mixtures(x, p_x, mixtures, kl)

# %% tags=["check"]
assert kl[512] < kl[8] / 100  # what is left lies in the tails, where slices are wide

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** With 32 the eye sees none. The KL divergence still does, and it keeps falling."}
# **Answer.** Of the four numbers we tried, 32 is the smallest that suffices. With three Gaussians we see three
# spikes, and with eight there are still ripples between the peaks, but with 32 the difference is no longer visible.
# At $K = 32$ the KL divergence is still 0.004 [nats](../docs/glossary.md#nat); at $K = 512$ it is only 0.0001.
#
# **Why?** Two Gaussians of equal weight and width merge into a single peak if their means are at most two standard
# deviations apart. With 32 slices, no two neighbouring means are more than two standard deviations
# apart. Convergence is slowest in the tails, where slices of equal probability are wide.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Around the integral, with a second distribution\n\n- We want a large $\\log P(x)$. A grid in 20 dimensions has $10^{40}$ points.\n- The posterior $P(z|x)$ contains $P(x)$: it is out of reach as well.\n- So choose *any* distribution that we can handle, $q(z|x)$, and make it similar to the posterior."}
# ## 2 · $\log P(x) = L_b + \mathrm{KL}$, line by line
#
# We want parameters that give the data a high likelihood, or equivalently a large sum of $\log P(x)$ over all data
# points. For images the evidence is out of reach: if $z$ has twenty dimensions, a grid with a hundred points per
# dimension has $10^{40}$ points in all. The derivation below gets around the integral with the help of a second
# distribution over $z$.
#
# Once we have seen $x$, Bayes' rule gives us the *[posterior](../docs/glossary.md#posterior)*
# $P(z|x) = P(z)\, P(x|z) / P(x)$, which tells us which values of $z$ may have produced $x$. The posterior contains the
# evidence, so it is out of reach as well. We therefore choose a distribution that we can handle, the
# *[approximate posterior](../docs/glossary.md#approximate-posterior)* $q(z|x)$, and try to bring it close to the
# posterior. For now $q$ may be *any* distribution over $z$, even one chosen at random.
# The approach is called *variational*, after the calculus of variations, because the unknown that we vary is a whole
# function, $q$.
#
# On our one-dimensional grid nothing is out of reach, so we can compute both sides of each line
# of the derivation. We take $x = 1$ and a $q$ that was chosen without looking at the model.

# %%
x0 = torch.tensor(1.0)
log_prior = prior.log_prob(z)  # log P(z), (Z,)
log_likelihood = decoder(z).log_prob(x0)  # log P(x|z), (Z,)
log_joint = log_prior + log_likelihood  # log P(z, x), (Z,)
log_evidence = torch.logsumexp(log_joint + dz.log(), 0)  # log P(x), one number
log_post = log_joint - log_evidence  # log P(z|x), (Z,)

# %% alt="Three densities of z: a broad dotted prior around 0, a tall narrow posterior near 0.2, and a dashed q of middling width around 0.7, whose left flank alone overlaps the posterior."
log_q = Normal(0.7, 0.4).log_prob(z)  # (Z,)
q = log_q.exp()
figures.distributions_of_z(z, log_prior.exp(), log_post.exp(), q)


# %%
def integral(values):
    return (values * dz).sum()


def compare(left, right):
    print(f"left {left:.12f}   right {right:.12f}   difference {abs(left - right):.0e}")


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Three lines\n\n$$\\log P(x) = \\int q(z|x)\\, \\log P(x)\\, dz$$"}
# **Line 1.** $\log P(x)$ does not depend on $z$, and $q$ integrates to 1. Averaging $\log P(x)$ over $q$ therefore
# leaves it unchanged:
#
# $$\log P(x) = \int q(z|x)\, \log P(x)\, dz$$

# %%
line_1 = integral(q * log_evidence)
compare(log_evidence, line_1)

# %% tags=["check"]
assert abs(log_evidence - line_1) < 1e-10  # 1,601 terms in float64 leave rounding errors near 1e-13

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "$$\\phantom{\\log P(x)} = \\int q(z|x)\\, \\log \\frac{P(z, x)}{P(z|x)}\\, dz$$"}
# **Line 2.** By the definition of conditional probability, $P(x) = P(z, x) / P(z|x)$ for every $z$:
#
# $$\phantom{\log P(x)} = \int q(z|x)\, \log \frac{P(z, x)}{P(z|x)}\, dz$$

# %%
line_2 = integral(q * (log_joint - log_post))
compare(line_1, line_2)

# %% tags=["check"]
assert abs(line_1 - line_2) < 1e-10  # rounding, as above

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "$$\\phantom{\\log P(x)} = \\underbrace{\\int q(z|x) \\log \\frac{P(z, x)}{q(z|x)}\\, dz}_{L_b} + \\underbrace{\\int q(z|x) \\log \\frac{q(z|x)}{P(z|x)}\\, dz}_{\\mathrm{KL}(q(z|x)\\, \\|\\, P(z|x))}$$"}
# **Line 3.** Multiply and divide by $q$ inside the logarithm, and split the logarithm of the product into a sum:
#
# $$\phantom{\log P(x)} = \underbrace{\int q(z|x) \log \frac{P(z, x)}{q(z|x)}\, dz}_{L_b} + \underbrace{\int q(z|x) \log \frac{q(z|x)}{P(z|x)}\, dz}_{\mathrm{KL}(q(z|x)\, \|\, P(z|x))}$$
#
# The second term is a *Kullback–Leibler divergence*, which measures how far $q$ is
# from the posterior. The first term does not contain the posterior: it depends only on
# $q$ and the joint density $P(z, x) = P(z)\, P(x|z)$, both of which we can compute.

# %%
bound = integral(q * (log_joint - log_q))
gap = integral(q * (log_q - log_post))
compare(line_2, bound + gap)

# %% tags=["check"]
assert abs(line_2 - (bound + gap)) < 1e-10  # rounding, as above

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A KL divergence is never negative\n\nThe logarithm never rises above its tangent: $\\log t \\le t - 1$. With $t = p/q$,\n\n$$-\\mathrm{KL}(q\\,\\|\\,p) = \\int q \\log \\frac{p}{q}\\, dz \\le \\int q \\left(\\frac{p}{q} - 1\\right) dz = 1 - 1 = 0$$"}
# ### Why a KL divergence is never negative
#
# The lecture asks you to remember that a KL divergence is never negative. The proof takes three
# steps, and it needs only one property of the logarithm, namely that its graph never rises above
# the tangent at $t = 1$,
#
# $$\log t \le t - 1,$$
#
# and touches the tangent only there. (The slope of $t - 1 - \log t$ is $1 - 1/t$, which is negative before $t = 1$ and
# positive after it. The difference between the tangent and the logarithm is therefore smallest at $t = 1$, where it is
# 0.)

# %% alt="The curve log t never rises above the dashed straight line t minus 1 and touches it only in one marked point, at t = 1."
t = torch.linspace(0.05, 4, 396)  # t[95] is 1
figures.tangent(t)

# %% tags=["check"]
distance_to_tangent = t - 1 - t.log()
assert distance_to_tangent.min() > -1e-15  # float64 resolves numbers near 1 to 2e-16
assert distance_to_tangent.argmin() == 95  # the smallest value is at t = 1

# %% [markdown]
# Write $p$ for the posterior. **First,** invert the fraction inside the logarithm, which changes the sign, and
# replace the logarithm with its tangent, where $t$ is $p/q$ at every $z$:
#
# $$-\mathrm{KL}(q\,\|\,p) = \int q \log \frac{p}{q}\, dz \;\le\; \int q \left(\frac{p}{q} - 1\right) dz$$

# %%
minus_kl = integral(q * (log_post - log_q))
with_tangent = integral(q * ((log_post - log_q).exp() - 1))
print(f"−KL = {minus_kl:.6f}   with the tangent in place of the logarithm {with_tangent:.1e}")

# %% tags=["check"]
assert abs(minus_kl + gap) < 1e-10  # the same number as in line 3, with the opposite sign
assert minus_kl <= with_tangent + 1e-10  # 1e-10 allows for rounding

# %% [markdown]
# **Second,** multiply out. **Third,** use the fact that both densities integrate to 1:
#
# $$\int q \left(\frac{p}{q} - 1\right) dz = \int p\, dz - \int q\, dz = 1 - 1 = 0$$

# %%
multiplied_out = integral(log_post.exp()) - integral(q)
compare(with_tangent, multiplied_out)

# %% tags=["check"]
assert abs(with_tangent - multiplied_out) < 1e-10
assert abs(multiplied_out) < 1e-10

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "So $L_b \\le \\log P(x)$ for every $q$: the *evidence lower bound*. The gap is $\\mathrm{KL}(q(z|x)\\,\\|\\,P(z|x))$.\n\n**Predict.** We draw a thousand Gaussians $q$ at random. How many give an $L_b$ above $\\log P(x)$?"}
# So $-\mathrm{KL} \le 0$, which is what we wanted to show. Equality requires $p/q = 1$ wherever $q > 0$, so the
# divergence is zero only if the two distributions are the same. (In that case $p$ already has all its mass where
# $q > 0$, so it is zero everywhere else.) The same proof works for sums in place of integrals.
#
# Line 3 now says that $\log P(x)$ is $L_b$ plus a term that is never negative. Hence
#
# $$L_b \le \log P(x) \quad \text{for every } q.$$
#
# $L_b$ is the *[evidence lower bound](../docs/glossary.md#evidence-lower-bound-elbo)*, or ELBO. The difference
# $\log P(x) - L_b$ is the *gap*, and line 3 tells us what it is: $\mathrm{KL}(q(z|x)\,\|\,P(z|x))$.
#
# **Predict.** If we draw a thousand Gaussians $q$ at random, how many of them give an $L_b$ above $\log P(x)$?

# %% slideshow={"slide_type": "slide"} slide={"text": "## A thousand random q", "show": "output"}
torch.manual_seed(seed)
many_q = Normal(torch.empty(1000).uniform_(-2, 2), torch.empty(1000).uniform_(0.1, 1))
many = elbo(LatentModel(prior, decoder), many_q, x0.expand(1000), grid=z)  # the same sums
print(f"log P(x) = {log_evidence:.3f}")
print(f"L_b of 1,000 q: from {many.elbo.min():.2f} to {many.elbo.max():.3f}")

# %% tags=["check"]
assert (many.log_px - log_evidence).abs().max() < 1e-10  # the package finds the same evidence
assert many.gap.min() >= -1e-10  # no q gets above it; 1e-10 allows for rounding

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** None, and no other $q$ would do it either."}
# **Answer.** None of them does, and no other $q$ could. The best of the thousand comes within
# a tenth of a nat of $\log P(x)$, while the worst is more than a hundred nats below it.
#
# **Why?** The gap is never negative. A $q$ that puts mass where $P(z, x)$ is
# tiny leaves a large gap, because $\log P(z, x)$ is large and negative there.

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Line 4** is the form in which a VAE is trained:\n\n$$L_b = \\underbrace{\\int q(z|x) \\log P(x|z)\\, dz}_{\\text{reconstruction}} - \\underbrace{\\mathrm{KL}(q(z|x) \\,\\|\\, P(z))}_{\\text{regularizer}}$$"}
# **Line 4.** Write $P(z, x) = P(x|z)\, P(z)$ and split the logarithm once more:
#
# $$L_b = \underbrace{\int q(z|x) \log P(x|z)\, dz}_{\text{reconstruction}} - \underbrace{\mathrm{KL}(q(z|x) \,\|\, P(z))}_{\text{regularizer}}$$
#
# A VAE is trained with the bound in the form of line 4. The first term measures how well the
# decoder can reproduce $x$ from the $z$ that $q$ proposes. The second term keeps $q$ close to the prior. Do
# not confuse the two KL divergences: the regularizer is the divergence of $q$ from the *prior*, which we
# can compute, whereas the gap is the divergence of $q$ from the *posterior*, which in general we cannot.

# %%
reconstruction = integral(q * log_likelihood)
kl_prior = integral(q * (log_q - log_prior))
compare(bound, reconstruction - kl_prior)

# %% tags=["check"]
assert abs(bound - (reconstruction - kl_prior)) < 1e-10
assert abs(kl_prior - kl_divergence(Normal(0.7, 0.4), prior)) < 1e-10  # torch has its closed form

# %% [markdown]
# ### Nothing needed $z$ to be one number
#
# If $z$ is a label, the integrals are sums. If the decoder is linear and all distributions are Gaussian, the
# integrals have closed forms. The function `elbo` of the course package handles the grid and
# both of these cases, and returns the terms of line 3 for every $x$ at once. We test line 3 on
# random models with a random $q$, and have PyTorch compute the KL divergence independently.

# %%
weights = torch.rand(4).softmax(0)  # (K,)
factors = torch.randn(4, 2, 2)
covariances = factors @ factors.mT + 0.1 * torch.eye(2)  # (K, 2, 2)
mixture = mixture_model(weights, torch.randn(4, 2), covariances)
points = torch.randn(50, 2)  # (N, 2)
random_q = Categorical(torch.rand(50, 4))  # for each point, any weights

# %% [markdown]
# For the mixture, the evidence is a sum over four labels, and the posterior is the vector of responsibilities.

# %%
b = elbo(mixture, random_q, points)  # every part (N,)
posterior = Categorical(logits=log_posterior(mixture, points).T)  # (N, K)
error_mixture = (b.log_px - b.elbo - kl_divergence(random_q, posterior)).abs().max()
print(f"mixture of four Gaussians: largest difference {error_mixture:.0e}")

# %% [markdown]
# For the linear decoder, the evidence is a Gaussian density in five dimensions, and the posterior is Gaussian as well.

# %%
linear = LinearGaussian.create(torch.randn(5, 2), torch.randn(5), 0.3)  # z of 2 numbers, x of 5
points = torch.randn(50, 5)  # (N, 5)
variances = torch.rand(50, 2) + 0.1
random_q = MultivariateNormal(torch.randn(50, 2), torch.diag_embed(variances))

# %%
b = elbo(linear, random_q, points)
posterior = linear.true_posterior(points)
error_linear = (b.log_px - b.elbo - kl_divergence(random_q, posterior)).abs().max()
print(f"linear decoder: largest difference {error_linear:.0e}")

# %% tags=["check"]
identity = float(max(error_mixture, error_linear))
assert identity < 1e-10  # 50 points, evidence and divergence computed along different routes

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A distance that is not one\n\nThe same pair of distributions has two KL divergences. Let $p$ have two humps, and let $q$ be a single Gaussian.\n\n**Predict.** Which Gaussian makes $\\mathrm{KL}(q\\,\\|\\,p)$ smallest, and which $\\mathrm{KL}(p\\,\\|\\,q)$?"}
# ## 3 · A distance that is not one
#
# The lecture calls the KL divergence a distance. Like a distance, the divergence is never negative, and it is zero
# only if the two distributions agree. But a distance is the same in both directions, whereas in
# general a KL divergence is not.
#
# The direction matters when $q$ cannot match its target. Let $p$ have two humps, and let $q$ be a single Gaussian.
#
# **Predict.** Which Gaussian makes $\mathrm{KL}(q\,\|\,p)$ smallest, and which $\mathrm{KL}(p\,\|\,q)$?

# %%
u = z[::4]  # (U,): a coarser grid is enough here
du = u[1] - u[0]
p = 0.6 * Normal(-1.8, 0.5).log_prob(u).exp() + 0.4 * Normal(1.6, 0.6).log_prob(u).exp()
means = torch.linspace(-3, 3, 61)
widths = torch.linspace(0.3, 3, 55)
log_q_all = Normal(means[:, None, None], widths[:, None]).log_prob(u)  # (M, W, U): every q

# %% [markdown]
# We compute both divergences for every Gaussian $q$ on a grid of means and widths.

# %%
log_ratio = log_q_all - p.log()  # (M, W, U)
q_to_p = (log_q_all.exp() * log_ratio * du).sum(-1)  # KL(q‖p), (M, W)
p_to_q = (-p * log_ratio * du).sum(-1)  # KL(p‖q), (M, W)


# %%
def where_smallest(divergence):
    m, w = torch.unravel_index(divergence.argmin(), divergence.shape)
    return Normal(means[m], widths[w])


# %% alt="A black density with two separate humps. The orange Gaussian sits on the taller, left hump alone; the dashed blue Gaussian is low and wide, covers both humps and has its peak in the valley between them." slideshow={"slide_type": "slide"} slide={"text": "## Two directions"}
seeking = where_smallest(q_to_p)
covering = where_smallest(p_to_q)
figures.two_directions(u, p, seeking.log_prob(u).exp(), covering.log_prob(u).exp())

# %% [markdown]
# Now take $p$ and the orange Gaussian in the figure, and compute the divergence between them in both directions.

# %%
best = q_to_p.argmin()
there = float(q_to_p.flatten()[best])
back = float(p_to_q.flatten()[best])
print(f"the same pair of distributions: KL(q‖p) = {there:.3f}, KL(p‖q) = {back:.3f} nats")

# %% tags=["check"]
assert min(q_to_p.min(), p_to_q.min()) > 0
assert back > 2 * there
p_mean = (p * u * du).sum()
p_sigma = ((p * (u - p_mean) ** 2 * du).sum()).sqrt()
assert abs(covering.mean - p_mean) < 0.06  # the grid's step is 0.1
assert abs(covering.stddev - p_sigma) < 0.06  # the grid's step is 0.05

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** $\\mathrm{KL}(q\\,\\|\\,p)$: narrow, on the heavier hump. $\\mathrm{KL}(p\\,\\|\\,q)$: wide, over both."}
# **Answer.** $\mathrm{KL}(q\,\|\,p)$ is smallest for a narrow $q$ on the heavier hump. $\mathrm{KL}(p\,\|\,q)$ is
# smallest for a wide $q$ with the mean and the variance of $p$, although its peak lies where $p$ is almost zero. Even
# for one and the same pair, $p$ and the orange $q$, the divergence is 0.51 nats in one direction and 8.59 nats in the
# other.
#
# **Why?** $\mathrm{KL}(q\,\|\,p)$ averages over $q$. Places where $q$ is almost zero do not count, so $q$ may ignore
# one hump, but it pays heavily wherever it is large and $p$ is small. $\mathrm{KL}(p\,\|\,q)$ averages over $p$, so $q$
# must not be small anywhere that $p$ is large (Bishop 2006, section 10.1). The gap of our bound is
# $\mathrm{KL}(q\,\|\,P(z|x))$, which averages over $q$. The $q$ that a VAE's
# [encoder](../docs/glossary.md#encoder) returns therefore tends to be too narrow rather than too wide.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The trap\n\n$z \\sim \\mathcal N(0, 1)$, $x|z \\sim \\mathcal N(wz, \\frac14)$, and one point, $x = 2$. A lazy $q$ has hardly looked at $x$:\n$q = \\mathcal N(0.1, 1)$."}
# ## 4 · The trap: raising $L_b$ through $P$ alone
#
# $L_b$ lies below $\log P(x)$. If we push $L_b$ up by changing the decoder, does $\log P(x)$ go
# up too? The bound alone does not tell us, because the same change in the decoder also changes the gap.
# The lecture answers the question, and we test its answer on a small model.
#
# Take $z \sim \mathcal N(0, 1)$ and $x|z \sim \mathcal N(wz, s^2)$ with $s = \tfrac12$. The model $P$ has a
# single parameter, $w$, and we observe a single point, $x = 2$. If we choose $q(z|x) = \mathcal N(m, \sigma^2)$,
# every quantity has a closed form. The evidence is a Gaussian density with mean 0 and variance $w^2 + s^2$. The
# reconstruction follows from $\mathbb E_q[(x - wz)^2] = (x - wm)^2 + w^2\sigma^2$, and the KL divergence of $q$
# from the standard normal prior is given by a well-known formula. (You will implement it in exercise 1.)

# %%
x_seen = torch.tensor(2.0)
s = 0.5


def evidence_at(w):
    return Normal(0.0, torch.sqrt(w**2 + s**2)).log_prob(x_seen)


def bound_at(w, m, sigma):
    reconstruction = Normal(w * m, s).log_prob(x_seen) - (w * sigma) ** 2 / (2 * s**2)
    kl_prior = 0.5 * (m**2 + sigma**2 - 1) - torch.log(sigma)
    return reconstruction - kl_prior


# %% [markdown]
# Formulas derived by hand deserve suspicion, so we check these two functions against integrals on a grid.

# %% tags=["check"]
line_model = LatentModel(prior, lambda z: Normal(0.7 * z, s))
by_grid = elbo(line_model, Normal(0.3, 0.6), x_seen[None], grid=z)
assert abs(by_grid.elbo - bound_at(torch.tensor(0.7), torch.tensor(0.3), torch.tensor(0.6))) < 1e-10
assert abs(by_grid.log_px - evidence_at(torch.tensor(0.7))) < 1e-10


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** We move $w$ to where $L_b$ is highest. Does $\\log P(x)$ rise or fall?"}
# For a fixed $q$, the bound is a parabola in $w$, and setting its derivative to zero gives the best $w$:
# $w = xm / (m^2 + \sigma^2)$. We start at $w = 1$ with a *lazy* $q$, one that has hardly adapted to
# $x$: its mean is 0.1 and its standard deviation is 1.
#
# **Predict.** We move $w$ to where $L_b$ is highest. Does $\log P(x)$ rise or fall?


# %%
def best_w(m, sigma):
    return x_seen * m / (m**2 + sigma**2)


w_start = torch.tensor(1.0)
m_lazy = torch.tensor(0.1)
sigma_lazy = torch.tensor(1.0)
w_trap = best_w(m_lazy, sigma_lazy)

# %%
rise = float(bound_at(w_trap, m_lazy, sigma_lazy) - bound_at(w_start, m_lazy, sigma_lazy))
fall = float(evidence_at(w_trap) - evidence_at(w_start))
print(
    f"w from {w_start:.2f} to {w_trap:.2f}: "
    f"L_b changes by {rise:+.2f}, log P(x) by {fall:+.2f} nats"
)

# %% alt="Two curves against w. The solid one, log P(x), climbs steeply from minus 8 and flattens near minus 2 around w = 2; the dashed bound is a parabola with its top near w = 0.2. From start (w = 1) to end (w = 0.2) the bound's arrow points up and the evidence's arrow points down." slideshow={"slide_type": "slide"} slide={"text": "## The bound rises, the likelihood falls"}
ws = torch.linspace(0, 2.5, 251)
bound_lazy = bound_at(ws, m_lazy, sigma_lazy)
figures.over_w(ws, evidence_at(ws), bound_lazy, float(w_start), float(w_trap), y_min=-13)

# %% tags=["check"]
assert abs(w_trap - ws[bound_lazy.argmax()]) < 0.01  # the formula against the grid of step 0.01
assert rise > 1
assert fall < -4


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** It falls, by 4.6 nats, while the bound rises by 1.3. The gap shrank by more."}
# **Answer.** It falls, by 4.6 nats, while the bound rises by 1.3. This confirms the lecture's warning.
#
# **Why?** Whatever $x$ is, this $q$ places $z$ around 0, give or take 1. If the decoder is given a $z$ from this $q$,
# a large $w$ can only do harm, because $wz$ is then mostly noise, centred far from $x = 2$. The best decoder *for this
# $q$* nearly ignores $z$, but a decoder that ignores $z$ can hardly explain $x = 2$. The bound rose all the same,
# because the posterior moved towards $q$ and the gap shrank by more than $\log P(x)$ fell. (Exercise 4 asks how far
# $\log P(x)$ can fall at most.)

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The cure: q first\n\n$\\log P(x)$ does not depend on $q$. The best $q$ is the posterior: the gap is zero.\n\n**Predict.** First set $q$ to the posterior, then move $w$ to the new maximum of $L_b$. Which step can lower $\\log P(x)$?"}
# ## 5 · The cure: raise $L_b$ through $q$ first
#
# $\log P(x)$ does not depend on $q$. If we raise $L_b$ by changing $q$ alone, $\log P(x)$ stays where it is, so the
# gap shrinks by exactly as much as $L_b$ rises. The best possible $q$ is the posterior, for which the gap is zero and
# $L_b$ touches $\log P(x)$. In our model the posterior is Gaussian, with mean $wx / (w^2 + s^2)$ and variance
# $s^2 / (w^2 + s^2)$.
#
# **Predict.** If we first set $q$ to the posterior and then move $w$ to the new maximum of $L_b$, which of the two
# steps can lower $\log P(x)$?


# %%
def posterior_at(w):
    m = w * x_seen / (w**2 + s**2)
    sigma = s / torch.sqrt(w**2 + s**2)
    return m, sigma


def heights(w, m, sigma):
    return evidence_at(w).item(), bound_at(w, m, sigma).item()


# %% [markdown]
# We compare four states: the start, the trap, and the results of the two steps, taken in the right order.

# %%
m_post, sigma_post = posterior_at(w_start)
w_next = best_w(m_post, sigma_post)
states = {
    "start": heights(w_start, m_lazy, sigma_lazy),
    "P alone\n(the trap)": heights(w_trap, m_lazy, sigma_lazy),
    "from the start:\nq first": heights(w_start, m_post, sigma_post),
    "… then P": heights(w_next, m_post, sigma_post),
}
start, trap, q_first, then_p = states.values()

# %% alt="Four states, each with a solid level for log P(x), a dashed level for the bound, and the gap shaded between. At the start the gap is large. P alone lifts the bound a little and drops log P(x). With q first the two levels coincide; then P lifts both, leaving a thin gap." slideshow={"slide_type": "slide"} slide={"text": "## q first, then P"}
figures.levels(states)

# %% tags=["check"]
assert abs(q_first[0] - start[0]) < 1e-10  # q has no say in log P(x)
assert abs(q_first[0] - q_first[1]) < 1e-10  # the gap is closed
assert then_p[0] >= then_p[1] > q_first[0]  # L_b rose from the old log P(x), at most to the new one

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Neither: $\\;\\log P_{\\text{old}}(x) = L_b^{\\text{old}} \\le L_b^{\\text{new}} \\le \\log P_{\\text{new}}(x)$. This is EM."}
# **Answer.** Neither can. Here the step in $q$ leaves $\log P(x)$ at −2.63, and the step in $P$ raises it to −2.41.
#
# **Why?** The step in $q$ leaves $\log P(x)$ alone and lifts $L_b$ to the same value.
# The step in $P$ raises $L_b$ further, and $\log P(x)$ can never lie below the bound:
#
# $$\log P_{\text{old}}(x) = L_b^{\text{old}} \le L_b^{\text{new}} \le \log P_{\text{new}}(x)$$
#
# The equality on the left is the whole point, and it holds only if the gap is *fully* closed. In
# fact $\log P(x)$ rises by at least as much as $L_b$, because a closed gap can only open again.

# %% [markdown]
# Alternating between these two steps gives us the algorithm of the previous chapter, *expectation–maximization* (EM).
# The E-step sets $q$ to the posterior, that is, to the responsibilities; the M-step finds the best parameters for that
# $q$. Both the E-step and the M-step climb the same function, $L_b(q, P)$ (Dempster, Laird & Rubin 1977; Neal & Hinton
# 1998).
#
# Now try it yourself. Drag the orange curve, $q$, and watch the bars. Press **fit q** until the gap is
# closed, then **fit P**. To see the opposite order, choose **the trap: P alone** and press **fit P**
# first. If you choose **two humps**, the posterior is not Gaussian, and a Gaussian $q$ cannot close the gap.

# %% alt="Three panels with the same posterior, onto which an orange q moves from panel to panel, and a fourth panel of bars, in which the hatched gap above the bound shrinks while the total height log P stays the same." slideshow={"slide_type": "slide"} slide={"text": "## Move q by hand: does log P(x) move?"}
ElboBars()


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## An unfinished E-step\n\nThree versions of the $q$-step, each from the starting values of the trap:\n\n- **full:** $q$ becomes the posterior;\n- **a tenth** of the way;\n- **fixed width:** the right mean, but $\\sigma$ stays 1.\n\n**Predict.** In which can $\\log P(x)$ fall? Which one ends highest?"}
# ## 6 · What an unfinished E-step loses
#
# EM's guarantee that $\log P(x)$ never falls depends on the gap being closed. In a VAE the gap
# stays open, because the encoder learns in small steps and can produce only certain distributions.
# To see what small steps and a restricted $q$ cost us, we run three versions of the $q$-step in the
# model of section 4, each from the starting values of the trap:
#
# - **full**: $q$ becomes the posterior;
# - **a tenth**: $m$ and $\sigma$ move only a tenth of the way towards those of the posterior;
# - **fixed width**: $m$ becomes the posterior's mean, but $\sigma$ stays 1, so that the posterior is out of reach.
#
# **Predict.** In which versions can $\log P(x)$ fall? Which version ends at the highest $\log P(x)$?


# %%
def full(w, m, sigma):
    return posterior_at(w)


def a_tenth(w, m, sigma):
    m_post, sigma_post = posterior_at(w)
    return m + 0.1 * (m_post - m), sigma + 0.1 * (sigma_post - sigma)


def fixed_width(w, m, sigma):
    return posterior_at(w)[0], sigma


# %% [markdown]
# All three versions use the same loop; only the function that improves $q$ differs.


# %%
def alternate_on_line(q_step, n_rounds=20):
    w = w_start
    m = m_lazy
    sigma = sigma_lazy
    history = []
    for _ in range(n_rounds):
        m, sigma = q_step(w, m, sigma)
        history.append(heights(w, m, sigma))
        w = best_w(m, sigma)
        history.append(heights(w, m, sigma))
    return history


# %% alt="Three panels of log P(x) and the bound over twenty rounds. Full: both climb together and level off above the dotted start. A tenth: log P(x) first drops sharply, then recovers above the start while the bound rises from far below. Fixed width: log P(x) falls below its starting value and stays there, with a gap that remains open." slideshow={"slide_type": "slide"} slide={"text": "## Slow is harmless, restricted is not"}
runs = {
    "full": alternate_on_line(full),
    "a tenth": alternate_on_line(a_tenth),
    "fixed width": alternate_on_line(fixed_width),
}
figures.half_rounds(runs, y_min=-5)

# %%
for name, history in runs.items():
    log_p = torch.tensor(history)[:, 0]
    print(
        f"{name:12s} log P(x): start {log_p[0]:.3f}, lowest {log_p.min():.3f}, end {log_p[-1]:.3f}"
    )

# %% tags=["check"]
for history in runs.values():
    bounds = torch.tensor(history)[:, 1]
    assert bounds.diff().min() > -1e-12  # every step raises L_b, finished or not
assert torch.tensor(runs["full"])[:, 0].diff().min() > -1e-12  # only here does log P(x) never fall
partly = torch.tensor(runs["a tenth"])[:, 0]
dip = float(partly.min() - partly[0])
assert dip < -1
assert partly[-1] > partly[0]
stuck = torch.tensor(runs["fixed width"])[:, 0]
settled = float(stuck[-1] - stuck[0])
assert settled < -0.2

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** A tenth drops at once, then recovers. The fixed width settles below its start. No step lowered $L_b$."}
# **Answer.** It falls in two of the three versions. With the full step, $\log P(x)$ never falls, and its final value is
# the highest of the three, −2.11. With a step one tenth the size, $\log P(x)$ drops by 1.8 nats in the first round,
# because $q$ is still lazy and the decoder falls into the trap. Afterwards $\log P(x)$ recovers towards the same
# maximum as with the full step, and ends only 0.03 nats lower. With the fixed width, $\log P(x)$
# falls and settles 0.3 nats below its starting value. Yet in none of the three versions did a step
# lower $L_b$.
#
# **Why?** Here an unfinished step costs us only time. The alternation comes to rest only where neither the
# $q$-step nor the $P$-step changes anything, and there $q$ is the posterior. A restricted $q$, however, cannot
# reach the exact posterior. The decoder settles where the *bound* is highest. At this point, the
# decoder has adapted to a $q$ of width 1, so its posterior is wider than that of the best decoder.
# (With $\sigma = 1$ and the best $m$, the part of the bound that depends on $w$ is
# $-\frac{x^2}{2(w^2 + s^2)} - \frac{w^2}{2s^2}$.)

# %% [markdown]
# In this model we can compute where the decoder should settle. With a $q$ of width 1, the bound is highest where
# $w^2 + s^2 = xs$, which gives $w \approx 0.87$; we compare this with the end of the fixed-width run. The likelihood is
# highest where $w^2 = x^2 - s^2$, which gives $w \approx 1.94$; we compare this with the curve of section 4.

# %% tags=["check"]
w_biased = math.sqrt(2 * s - s**2)
settled_at = runs["fixed width"][-1][0]
assert abs(settled_at - evidence_at(torch.tensor(w_biased))) < 1e-6  # 20 rounds get this close
w_best = math.sqrt(2**2 - s**2)
assert evidence_at(torch.tensor(w_best)) >= evidence_at(ws).max()

# %% [markdown]
# So what can a VAE claim? When we train it, we raise a lower bound on the
# [log-likelihood](../docs/glossary.md#log-likelihood). The likelihood itself need not rise with
# every step: the encoder is not yet fully trained, it can produce only certain distributions $q$,
# and even $L_b$ is only estimated from random samples. Still, the log-likelihood never lies below
# the bound, so a high bound guarantees a high likelihood.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## EM, a fitted q, an encoder: one idea\n\n- **EM** sets $q$ to the posterior.\n- **A fitted $q$** has a row of numbers for each point, and climbs $L_b$ by gradient steps.\n- **An encoder** is a network that reads $x$ and returns $q$: *amortized* inference."}
# ## 7 · EM, a fitted $q$, an encoder: one idea
#
# The recipe is always the same: improve $q$, improve $P$, and repeat. Methods differ in how they find $q$.
# We compare three methods on the same data, with the same mixture of five Gaussians and from the same start:
#
# - **EM** sets $q$ to the posterior;
# - **a fitted $q$** keeps a row of $K$ numbers for each point, and climbs $L_b$ with a few gradient steps per round;
# - **an encoder** is a network that reads $x$ and returns $q$. The work of finding $q$ is shared among all points; this
#   is called *amortized* inference.

# %%
data = pinwheel.sample(500, torch.Generator().manual_seed(seed))  # (N, 2)
K = 5
beginning = torch.full((K,), 1 / K), data[:K].clone(), torch.eye(2).expand(K, 2, 2).clone()


def alternate(q_step):
    theta = beginning
    history = []
    for _ in range(rounds):
        q = q_step(theta)
        history.append(elbo(mixture_model(*theta), q, data).mean())
        theta = m_step(data, q.probs)  # the best P for this q, whatever q is
        history.append(elbo(mixture_model(*theta), q, data).mean())
    return history, theta


# %% [markdown]
# EM's $q$-step is the E-step of the previous chapter. The other two methods raise $L_b$ by gradient
# ascent in their $q$-steps, and differ in where the [logits](../docs/glossary.md#logit) of $q$ come
# from (and in their learning rates).


# %%
def exact_q(theta):
    responsibilities, _ = e_step(data, *theta)  # (N, K)
    return Categorical(probs=responsibilities)


def gradient_step(model, logits, optimizer):
    b = elbo(model, Categorical(logits=logits), data).mean()
    optimizer.zero_grad()
    (-b.elbo).backward()
    optimizer.step()
    return b


# %% [markdown]
# For the fitted $q$, the logits are the rows of numbers themselves.

# %%
rows = nn.Parameter(torch.zeros(len(data), K))  # K numbers for each point
row_optimizer = torch.optim.Adam([rows], lr=0.3)


def fitted_q(theta):
    for _ in range(5):
        gradient_step(mixture_model(*theta), rows, row_optimizer)
    return Categorical(logits=rows.detach())


# %% [markdown]
# For the encoder, the logits are the output of a small network.
# We learn the weights of this network, which all points share.

# %%
torch.manual_seed(seed)
encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, K))  # one network for all points
encoder_optimizer = torch.optim.Adam(encoder.parameters(), lr=0.03)


def encoded_q(theta):
    for _ in range(5):
        gradient_step(mixture_model(*theta), encoder(data), encoder_optimizer)
    return Categorical(logits=encoder(data).detach())


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Which has no gap after its $q$-step? Given the same $P$, can the encoder beat the fitted $q$?"}
# **Predict.** Which of the three has no gap after its $q$-step? Given the same $P$, can the encoder ever do better than
# the fitted $q$?

# %% alt="On the left log P(x) rises over the rounds for EM, the fitted q and the encoder. On the right, on a logarithmic scale, the gaps of the fitted q and of the encoder drop from a few tenths of a nat to some hundredths and stay open, while EM's points lie on a bottom line that is marked as closed." slideshow={"slide_type": "slide"} slide={"text": "## Gaps of the three methods"}
em_history, em_theta = alternate(exact_q)
histories = {
    "EM": em_history,
    "fitted q": alternate(fitted_q)[0],
    "encoder": alternate(encoded_q)[0],
}
figures.methods(histories)

# %%
for name, history in histories.items():
    last = history[-2]
    print(f"{name:9s} after the last q-step: log P(x) {last.log_px:.4f}, gap {last.gap:.1e} nats")

# %% tags=["check"]
assert max(b.gap for b in em_history[::2]) < 1e-10  # after every E-step the gap is closed
q_moves = max(abs(float(b.log_px - a.log_px)) for a, b in zip(em_history[1::2], em_history[2::2]))
assert q_moves < 1e-10  # an E-step leaves log P(x) alone
assert all(b.log_px - a.log_px > -1e-10 for a, b in pairwise(em_history))  # log P(x) never falls
final_gap = {name: float(history[-2].gap) for name, history in histories.items()}
# a few gradient steps do not close the gap
assert min(final_gap["fitted q"], final_gap["encoder"]) > 1e-6


# %% [markdown]
# To find out whether the encoder can do better than the fitted $q$, we must hold $P$ fixed.
# We take EM's final mixture, initialize a new encoder and new rows of numbers for the fitted $q$,
# and train both for many steps.


# %%
def gaps_while_fitting(logits_of, parameters, lr):
    model = mixture_model(*em_theta)
    optimizer = torch.optim.Adam(parameters, lr=lr)
    gaps = []
    for _ in range(fit_steps):
        gaps.append(gradient_step(model, logits_of(data), optimizer).gap.item())
    return gaps


# %% alt="Two gaps on a logarithmic scale against gradient steps. Both curves start together and fall steeply; then the encoder's flattens, while the fitted q's goes on falling and ends far lower."
fresh_rows = nn.Parameter(torch.zeros(len(data), K))
fresh_encoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, K))
gaps = {
    "fitted q": gaps_while_fitting(lambda data: fresh_rows, [fresh_rows], lr=0.3),
    "encoder": gaps_while_fitting(fresh_encoder, fresh_encoder.parameters(), lr=0.03),
}
figures.closing(gaps)

# %% tags=["check"]
assert gaps["fitted q"][-1] < gaps["fitted q"][0] / 10
assert gaps["encoder"][-1] < gaps["encoder"][0] / 2

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Only EM closes its gap. An encoder cannot beat a $q$ that is fitted to convergence, but it serves all points at once."}
# **Answer.** Only EM has no gap after its $q$-step. Even after their last $q$-step, the fitted $q$ and the
# encoder are left with gaps measured in hundredths of a nat. Given the same $P$, the encoder cannot beat a
# $q$ that has been fitted to convergence, and in the second figure its gap ends up far larger.
# While both are still learning, the encoder may be ahead of the fitted $q$, as it is in the first
# steps shown in that figure.
# (The encoder's gap is larger in the second figure than in the first because the encoder starts from scratch there, and
# $P$ is the final one of EM. In the first figure, $q$ and $P$ learn together from the beginning.)
#
# **Why?** The E-step jumps to the posterior. With a row of numbers for each point, $q$ can represent the posterior
# exactly, so the gap goes to zero if we take enough steps. The encoder is a single function, and it has to be right for
# all points at once. What the encoder loses compared with the best $q$ of the same family, fitted to each point
# separately, is called the *amortization gap* (Cremer, Li & Duvenaud 2018). Part of this gap is due
# to incomplete training, and the rest would remain even after endless training. In this small
# example, most of it is due to incomplete training: when we gave the encoder of the second figure
# 3,000 steps instead of 300, its gap fell from 0.37 to 0.13 nats, and was still falling. In return,
# every gradient step teaches the encoder something about all points, and a new point costs only a
# single pass through the network. These two advantages are why a VAE has an encoder.

# %% [markdown]
# ## 8 · On digits, still exact
#
# Let the decoder be linear: $x|z \sim \mathcal N(Wz + b, s^2 I)$, where $z$ has twenty dimensions and $x$
# has one for each pixel. Then $P(x)$ is Gaussian, and the best $W$, $b$ and $s^2$ follow from a principal
# component analysis (Tipping & Bishop 1999). We can therefore train an *encoder* on real digits, as in a
# VAE, and for once compare its bound with the exact $\log P(x)$.

# %%
train = course_digits(train=True)
test = course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # some numbers asserted below were measured on MNIST
n_fit = min(n_train, len(train))
held_out = test.pixels(slice(0, 1000), torch.float64)  # (N, D), grey pixels in [0, 1]

# %% [markdown]
# Principal component analysis gives twenty directions and the variance of the digits along each of
# them. Each column of $W$ is one of these directions, multiplied by the standard deviation that
# remains once the noise variance $s^2$ has been subtracted.

# %%
pca = PCA(20, random_state=seed).fit(train.pixels(slice(0, n_fit), torch.float64).numpy())
s2 = float(pca.noise_variance_)
scale = (pca.explained_variance_ - s2) ** 0.5
W = torch.from_numpy(pca.components_.T * scale)  # (D, 20)
mean_image = torch.from_numpy(pca.mean_)  # (D,)
digits_model = LinearGaussian.create(W, mean_image, s2)

# %% [markdown]
# scikit-learn computes the same density in its own way, so we can compare the two results.

# %%
log_p = float(digits_model.log_px(held_out).mean())
library = float(pca.score(held_out.numpy()))  # a mean over the images, too
print(
    f"log P of {len(held_out):,} test digits: {log_p:.4f} nats per image; "
    f"scikit-learn: {library:.4f}"
)

# %% tags=["check"]
assert abs(log_p - library) < 1e-6 * abs(library)  # two routes through a covariance of all pixels

# %% [markdown]
# The probability density of an image with grey pixels may well be larger than 1, so its logarithm may be
# positive. Do not compare the log-density of grey pixels with the log-likelihood of black-and-white pixels.
#
# The encoder is linear, too, and returns the mean of $q(z|x)$. The standard deviations of $q$ are twenty more
# parameters, the same for all images. At first $q$ is the prior, because every mean starts at 0 and every standard
# deviation at 1.

# %%
torch.manual_seed(seed)
to_mu = nn.Linear(train.n_pixels, 20)
nn.init.zeros_(to_mu.weight)
nn.init.zeros_(to_mu.bias)
log_sigma = nn.Parameter(torch.zeros(20))


# %% [markdown]
# The loss is $-L_b$ in the form of line 4, except that one draw of $z$ for each image replaces the integral in
# the reconstruction. If we write the draw as $\mu + \sigma \varepsilon$, with a standard normal $\varepsilon$,
# the gradient can pass through it to $\mu$ and $\sigma$. The next chapter,
# [From auto-encoder to VAE](03_autoencoder_to_vae.ipynb), takes a close look at this trick.
# Replace the linear encoder and the linear decoder with networks, and you have the loss of a VAE.


# %%
def bound_estimate(x):
    mu = to_mu(x - mean_image)  # (N, 20)
    z = mu + log_sigma.exp() * torch.randn_like(mu)  # one draw from q for each image
    reconstruction = Normal(z @ W.T + mean_image, s2**0.5).log_prob(x).sum(1)  # log P(x|z), (N,)
    kl_prior = kl_diag(mu, 2 * log_sigma)  # 2 log σ is the log-variance, (N,)
    return (reconstruction - kl_prior).mean()


def q_of(x):
    return Independent(Normal(to_mu(x - mean_image), log_sigma.exp()), 1)


# %% [markdown]
# The loss is noisy, so we let Adam's learning rate fall to zero on a cosine schedule.

# %%
groups = [{"params": to_mu.parameters(), "lr": 0.01}, {"params": [log_sigma], "lr": 0.1}]
optimizer = torch.optim.Adam(groups)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, encoder_steps)
every = encoder_steps // 60
at_step = range(0, encoder_steps + 1, every)
history = []

# %% [markdown]
# **Predict.** The decoder is fixed, so only the encoder learns. Which will
# improve, the reconstruction or the regularizer, and which will get worse?

# %%
for step in range(encoder_steps + 1):
    if step in at_step:
        with torch.no_grad():
            history.append(elbo(digits_model, q_of(held_out), held_out).mean())  # exact, no draws
    batch = train.pixels(torch.randint(n_fit, (256,)), torch.float64)  # (256, D)
    loss = -bound_estimate(batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

# %% alt="On the left, the gap on a logarithmic scale falls during training, from more than a thousand nats to less than one. On the right, the reconstruction enters from below the panel, rises steeply and levels off, while the dashed KL to the prior rises from zero to some tens of nats."
figures.training(history, list(at_step))
gap_first = float(history[0].gap)
gap_last = float(history[-1].gap)
print(f"gap on test digits: {gap_first:.1f} nats per image at first, {gap_last:.2f} at the end")

# %% tags=["check"]
assert 0 < gap_last < gap_first
assert gap_last < gap_first / 100 or not on_mnist  # at least 99 percent of the gap is closed

# %% [markdown]
# **Answer.** The reconstruction improves, and the KL divergence to the prior gets worse. On balance, $L_b$ rises
# and the gap nearly closes. On MNIST the gap shrinks from more than a thousand nats per image to less than one.
#
# **Why?** At first $q$ is the prior. The KL divergence is then zero, but the decoder has to reproduce
# every image from random codes. Training accepts a larger KL in exchange for a better
# reconstruction, as long as $L_b$ rises on balance. A perfect encoder exists here, because the
# true posterior is Gaussian, its mean is linear in $x$, and its covariance is diagonal and the same
# for all $x$. (It is diagonal because the columns of $W$ are orthogonal.) With a deep decoder none
# of this is true in general, and a gap remains.

# %% [markdown]
# ## 9 · Estimating the bound from samples
#
# In general we must estimate the reconstruction from samples of $z$. For a Gaussian $q$ the KL divergence to the
# prior has a closed form, but it may be estimated from samples as well:
#
# $$\mathrm{KL}(q(z|x)\,\|\,P(z)) = \mathbb E_q\left[\log q(z|x) - \log P(z)\right]$$
#
# **Predict.** How much shorter does the error bar become with ten times as many samples?

# %%
mu = torch.tensor([0.8, -0.5, 1.2])
logvar = torch.tensor([-1.0, 0.3, -2.0])
exact_kl = float(kl_diag(mu, logvar))
some_q = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
standard = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)

# %%
counts = (10, 100, 1_000, 10_000, 100_000)
estimated = []
errors = []
for n in counts:
    draws = some_q.sample((n,))  # (n, 3)
    log_ratios = some_q.log_prob(draws) - standard.log_prob(draws)  # (n,)
    estimated.append(float(log_ratios.mean()))
    errors.append(float(log_ratios.std()) / math.sqrt(n))

# %% alt="Five estimates with error bars against the number of samples on a logarithmic axis. The bars shrink from about one nat either way at ten samples to nothing visible at 100,000, and the points settle on a level line, the closed form."
figures.estimates(counts, estimated, errors, exact_kl)
print(f"closed form {exact_kl:.4f}; 100,000 samples {estimated[-1]:.4f} ± {errors[-1]:.4f} nats")

# %% tags=["check"]
misses = [abs(v - exact_kl) / e for v, e in zip(estimated, errors)]
# in standard errors; chance exceeds 4.5 in one run out of 30,000, and ten draws are too few to tell
assert max(misses[1:]) < 4.5

# %% [markdown]
# **Answer.** It shrinks to about a third of its length, more precisely by a factor of $\sqrt{10} \approx 3.16$. With
# 100,000 samples the [standard error](../docs/glossary.md#standard-error) is about four thousandths of a nat.
#
# **Why?** The variance of a mean of $n$ independent draws is the variance of one draw divided by $n$, and the length of
# the error bar is proportional to the square root of that variance.

# %% [markdown]
# When the KL divergence has a closed form, it seems pointless to estimate it from samples. But $L_b$ has two terms, and
# if both are sampled *with the same* $z$, their errors may cancel. We compare two estimates of $L_b$ from one draw
# $z \sim q$:
#
# - KL in closed form: $\log P(x|z) - \mathrm{KL}(q(z|x)\,\|\,P(z))$;
# - KL sampled, too: $\log P(x|z) + \log P(z) - \log q(z|x)$.
#
# Both estimates are right on average. We take one test digit and the linear model of section 8, whose posterior is
# known exactly. The mean of our $q$ is that of the posterior, and its standard deviations are those
# of the posterior multiplied by a factor that ranges from well below 1 to above 1.
#
# **Predict.** Which estimate varies less from draw to draw?

# %%
one_digit = held_out[:1]  # (1, D)
exact = digits_model.true_posterior(one_digit)
exact_sigma = exact.variance.sqrt()  # (1, 20)


def deviations_of_one_draw(width, n=2_000):
    q = Independent(Normal(exact.mean, width * exact_sigma), 1)
    z = q.sample((n,))  # (n, 1, 20)
    log_likelihood = digits_model.likelihood(z).log_prob(one_digit)  # (n, 1)
    log_ratio = q.log_prob(z) - digits_model.prior.log_prob(z)
    # the closed-form KL is the same number in every draw, so it adds no deviation
    return log_likelihood.std().item(), (log_likelihood - log_ratio).std().item()


# %% alt="Standard deviation of one draw against the width of q. The solid line, KL in closed form, rises from near zero and keeps rising. The dashed line, KL sampled too, falls from about three nats to exactly zero where q is the posterior, then rises again below the other; the two cross near a width of 0.7."
factors = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)
deviations = [deviations_of_one_draw(factor) for factor in factors]
with_closed_form = [closed for closed, sampled in deviations]
fully_sampled = [sampled for closed, sampled in deviations]
figures.estimator_noise(factors, with_closed_form, fully_sampled)

# %%
at_posterior = factors.index(1.0)
noise_closed = with_closed_form[at_posterior]
noise_sampled = fully_sampled[at_posterior]
print(
    "q is the posterior: "
    f"deviation {noise_closed:.1f} nats with the closed form, {noise_sampled:.0e} sampled"
)

# %% tags=["check"]
assert noise_sampled < 1e-9  # a constant, up to rounding in sums over all pixels, which reach 1e3
assert noise_closed > 1
assert with_closed_form[0] < fully_sampled[0]  # a narrow q: the closed form is quieter
assert with_closed_form[-1] > fully_sampled[-1]  # a wide q: it is noisier

# %% [markdown]
# **Answer.** It depends on $q$. If $q$ is much narrower than the posterior, the estimate with the
# closed-form KL varies less; if $q$ is about as wide as the posterior, or wider, the fully sampled
# estimate varies less. If $q$ *is* the posterior, the fully sampled estimate has no noise at all,
# while the estimate with the closed form has a standard deviation of about three nats.
#
# **Why?** Bayes' rule gives $\log P(x|z) + \log P(z) = \log P(x) + \log P(z|x)$. The fully sampled estimate is
# therefore
#
# $$\log P(x) - \log \frac{q(z|x)}{P(z|x)},$$
#
# and when $q$ is the posterior, it equals $\log P(x)$ for *every* $z$. The closed form replaces
# $\log P(z) - \log q(z|x)$ with its mean, so nothing is left to cancel the noise of $\log P(x|z)$. If $q$ is very
# narrow, $z$ hardly varies and neither does $\log P(x|z)$. But $\log q(z|x)$ is a constant minus
# $\frac12 \lVert \varepsilon \rVert^2$, so it has a standard deviation of $\sqrt{d/2}$ nats in $d$ dimensions, however
# narrow $q$ is. (We can also say where the two lines in the figure cross. Let $r$ be the width of $q$ divided by that
# of the posterior. Near the crossing, most of the noise comes from terms that are quadratic in $z$.
# The standard deviation of their sum is about $r^2 \sqrt{d/2}$ if the KL is in closed form, and
# about $|1 - r^2| \sqrt{d/2}$ if it is sampled as well. The two are equal at
# $r = 1/\sqrt 2 \approx 0.7$.) We face the same choice when we estimate the gradient of $L_b$
# (Roeder, Wu & Duvenaud 2017).

# %% [markdown]
# ## 10 · A tighter bound, and where the squared error comes from
#
# With a deep decoder the $q$ that we find is never perfect, and $\log P(x)$ is out of reach. It then helps to draw
# several values of $z$ for each $x$. Each draw from $q$ has an importance weight $P(x, z) / q(z|x)$, and the mean of
# these weights under $q$ is exactly $P(x)$. The expected logarithm of the mean of $k$ such weights is also a lower
# bound on $\log P(x)$. The reason is Jensen's inequality: the logarithm is concave, so the mean of a logarithm is at
# most the logarithm of the mean, which here is $\log P(x)$. For $k = 1$ this bound is $L_b$, and the larger $k$ is, the
# tighter the bound becomes (Burda, Grosse & Salakhutdinov 2016). To watch the bound tighten, we spoil $q$ by making it
# 1.5 times as wide as the posterior.
#
# **Predict.** How much of the gap at $k = 1$ is left at $k = 10$, and how much at $k = 1000$?

# %%
ks = (1, 10, 100, 1_000)
some = held_out[:100]
true_values = digits_model.log_px(some)  # (N,)
exact = digits_model.true_posterior(some)
too_wide = Independent(Normal(exact.mean, 1.5 * exact.variance.sqrt()), 1)

# %% [markdown]
# With the linear model of section 8 we know $\log P(x)$, so we can say how far each bound falls short.

# %% alt="Nats below log P(x) against k on a logarithmic axis: several nats at k = 1, falling with every step, and close to the level line log P(x) at k = 1,000."
missing = []
missing_errors = []
for k in ks:
    below = true_values - importance_weighted_bound(digits_model, too_wide, some, k)  # (N,)
    missing.append(float(below.mean()))
    missing_errors.append(float(below.std()) / math.sqrt(len(some)))
figures.tightening(ks, missing, missing_errors)

# %%
print("nats below log P(x):", "   ".join(f"k = {k}: {nats:.2f}" for k, nats in zip(ks, missing)))

# %% tags=["check"]
if on_mnist:
    assert missing[0] > missing[1] > missing[2] > missing[3]
    assert missing[3] > -4 * missing_errors[3]  # bounds hold on average; 100 digits leave an error

# %% [markdown]
# **Answer.** Ten draws remove most of the gap, and a thousand remove nearly all of it. On MNIST, the gap
# is more than four nats at $k = 1$, less than one at $k = 10$, and less than a tenth of a nat at $k = 1000$.
#
# **Why?** The mean of many weights is close to $P(x)$, so its logarithm is close to $\log P(x)$. With only one
# draw, a $z$ that does not fit $x$ pulls the logarithm down. With many draws, the good ones dominate the mean.

# %% [markdown]
# ### The squared error of an auto-encoder
#
# The lecture's last step is to ignore the decoder's variance. If $s^2$ is fixed, the logarithm of a Gaussian density is
#
# $$\log P(x|z) = -\frac{\|x - \hat x(z)\|^2}{2 s^2} - \frac{D}{2} \log(2 \pi s^2),$$
#
# where $\hat x(z)$ is the decoder's mean and $D$ the number of pixels. So to raise the reconstruction
# term *is* to lower the squared error of an [auto-encoder](../docs/glossary.md#auto-encoder).

# %%
with torch.no_grad():
    codes = q_of(some).sample()  # (N, 20)
decoded = digits_model.likelihood(codes)
squared_error = ((some - decoded.mean) ** 2).sum(1)  # (N,)
constant = -0.5 * train.n_pixels * math.log(2 * math.pi * s2)
from_error = constant - squared_error / (2 * s2)  # (N,)

# %%
error_difference = float((decoded.log_prob(some) - from_error).abs().max())
print(
    f"log P(x|z) and its form with the squared error differ by at most {error_difference:.0e} nats"
)

# %% tags=["check"]
size = train.n_pixels + from_error.abs().max()
assert error_difference < 1e-13 * size  # rounding of a sum over all pixels, each term about 1

# %% [markdown]
# The second term of the formula is a constant, but $s^2$ matters all the same: it
# sets the exchange rate between squared error and nats of KL. If you minimize squared
# error plus KL without mentioning $s^2$, you have silently set $s^2$ to one half.

# %% [markdown]
# ## What the lecture said, what we measured

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| # | the lecture's idea | measured here | verdict |
|---|---|---|---|
| 12 | a VAE is a mixture of infinitely many Gaussians | KL from the integral to 8 Gaussians {kl[8]:.2f} nats, to 512 of them {kl[512]:.0e} | holds, for a one-dimensional $z$ |
| 14 | $\\log P(x) = L_b + \\mathrm{{KL}}(q(z\\mid x)\\,\\Vert\\,P(z\\mid x))$ for any $q$ | largest difference over 100 random points and $q$, in a mixture and a linear model: {identity:.0e} | holds exactly |
| 15 | raising $L_b$ through $P$ alone may lower the likelihood | one model, $w$ from 1.0 to {w_trap:.1f}: $L_b$ {rise:+.2f}, $\\log P(x)$ {fall:+.2f} nats | confirmed: the likelihood may fall |
| 16 | raising $L_b$ through $q$ leaves $\\log P(x)$ alone and closes the gap; then raising it through $P$ must raise $\\log P(x)$ | {rounds} rounds of EM on a mixture: E-steps move $\\log P(x)$ by at most {q_moves:.0e} nats, and it never falls. In the one-point model, with a tenth of an E-step it falls by {-dip:.2f} nats in the first round; with a $q$ of fixed width it ends {-settled:.2f} nats below its start | holds if the gap is *fully* closed in each round, as in EM; a VAE has no such guarantee |
| 17 | $L_b$ is a reconstruction minus $\\mathrm{{KL}}(q(z\\mid x)\\,\\Vert\\,P(z))$ | the two sides differ by {float(abs(bound - reconstruction + kl_prior)):.0e}; a KL in closed form {exact_kl:.4f}, from 100,000 samples {estimated[-1]:.4f} ± {errors[-1]:.4f} nats | holds |
| 18 | with the variance ignored, raising the reconstruction is what an auto-encoder does | with $s^2$ fixed, the reconstruction of 100 test digits is minus the squared error, up to a constant and the factor $1/2s^2$; largest difference {error_difference:.0e} nats | holds; $s^2$ still sets the weight against the KL |
| 19 | the KL divergence is a distance between distributions | never negative (proved); one pair: {there:.2f} nats one way, {back:.2f} the other | not a distance in the strict sense, because it is not symmetric |

Claims are numbered across the whole course. Rows 12, 14 and 15 and the E-step of row 16 are exact
computations; in row 14 the models are random. Section 8: {n_fit:,} digits for training, {len(held_out):,} test digits for the bound, grey
pixels under a Gaussian decoder. One seed; none of the verdicts rests on a difference between random runs.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In exercises 1 to 3, fill in the missing steps, run the cell, and then run the check below it. The check says
# "Correct" or names the mistake. Exercise 4 has no such check: you judge your result yourself, with
# the help of the cells below it.
#
# Any of the three functions may be used for training, so each must be differentiable with respect to all its inputs.
# Stay within torch, because `item`, `detach` and NumPy cut off the gradient. All logarithms are natural, so results are
# in nats.
#
# **1. The KL divergence to the prior.** This is the regularizer of every VAE in the following chapters. For a Gaussian
# $q$ and a standard normal prior, the divergence has a closed form, so nothing needs to be sampled. The encoder
# returns the logarithm of the *variance*. Mistaking the log-variance for the logarithm
# of the standard deviation is a slip that even lecturers make. Your function must also
# give the right result for log-variances such as $\pm 60$, without clamping them or adding a small
# constant.


# %%
def my_kl_to_standard_normal(mu, logvar):
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats: mu and logvar are (N, D), the result is (N,)."""
    # 1. the variance of each dimension, (N, D)
    # 2. the KL of each dimension, (N, D): it is 0 where mu = 0 and logvar = 0
    # 3. the sum over dimensions, (N,): they are independent, so their KLs add up
    raise NotImplementedError


# %%
checks.kl_to_standard_normal(my_kl_to_standard_normal)


# %% [markdown]
# **2. The lower bound.** For a discrete $z$, the whole of $L_b$ is a single sum over $z$, whatever $q$ is. Three things
# can go wrong:
#
# - A $q$ that rules out some values of $z$ contains zeros. There $0 \cdot \log 0$ must count as 0, because $t \log t$
#   goes to 0 with $t$, but your computer returns NaN.
# - If you clamp $q$ or add a small number to it, you change the gradient.
# - $\log P(x, z)$ may be near $-1000$, so do not exponentiate it.
#
# The check also tests the gradient, but only where $q$ is positive, and only for changes in $q$
# that keep the sum of each row at 1.


# %%
def my_lower_bound(log_joint, q):
    """L_b in nats: log_joint is log P(x, z), q is q(z|x), both (N, K); the result is (N,)."""
    # 1. the average of log P(x, z) under q, (N,)
    # 2. the average of log q under q, (N,), to which q = 0 adds nothing: torch.xlogy
    # 3. L_b is the first minus the second
    raise NotImplementedError


# %%
checks.lower_bound(my_lower_bound)


# %% [markdown]
# **3. The importance-weighted bound.** Draw $k$ values of $z$ from $q$, and take the logarithm of the mean weight
# $w = P(x, z) / q(z|x)$, not the mean of the logarithms. For an image, $\log w$ can easily be $-110$. In
# float32 `exp(-110)` is already 0, so work with logarithms throughout. Your function must be right however
# large or small $\log w$ is, even if $\log w$ is near $-5000$ for one image and near $3000$ for another.


# %%
def my_importance_weighted_bound(log_w):
    """The log of the mean of k weights, in nats: log_w is (k, N), the result is (N,)."""
    # 1. the logarithm of the sum of the k weights, (N,): torch.logsumexp over the draws
    # 2. a mean is a sum divided by k: what does this do to the logarithm?
    raise NotImplementedError


# %%
checks.importance_weighted_bound(my_importance_weighted_bound)

# %% [markdown]
# **4. Derive it: how far can the likelihood fall?** Suppose that a step in $P$ alone raises $L_b$ by
# `rise`, and that the gap before the step was `gap_before`. Use line 3, before and after the step, to
# find the lowest value that the change in $\log P(x)$ can take. Write your formula in place of `None`.
# The cell below tries your formula on the trap of section 4. Why does the formula imply EM's guarantee that
# $\log P(x)$ never falls?

# %%
gap_before = start[0] - start[1]
lowest_change = None  # your formula of gap_before and rise

# %%
print(checks.bound.lowest_change(lowest_change, start, trap))

# %% [markdown]
# **Answer.** By line 3, $\log P(x)$ is the sum of $L_b$ and the gap, before the step as well as after it. The change
# in $\log P(x)$ is therefore `rise` plus the gap after the step minus `gap_before`. The gap after the step is never
# negative, so the change is at least `rise - gap_before`.
#
# In EM, the E-step closes the gap before the M-step changes $P$. Then `gap_before` is zero, and $\log P(x)$ rises by
# at least `rise`. An M-step never lowers $L_b$, so `rise` is not negative, and $\log P(x)$ cannot fall. The E-step
# itself leaves $\log P(x)$ as it is.

# %% [markdown]
# ## Further reading
#
# - A. P. Dempster, N. M. Laird and D. B. Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, 1977.
#   The paper that gave EM its name.
# - R. M. Neal and G. E. Hinton, *A view of the EM algorithm that justifies incremental, sparse, and other variants*,
#   1998. EM as the alternating maximization of one bound; the source of sections 5 and 6.
# - C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, sections 9.4 and 10.1. The same derivation with the
#   same picture, and the two directions of KL.
# - D. M. Blei, A. Kucukelbir and J. D. McAuliffe, *Variational inference: a review for statisticians*, 2017. What to do
#   when the posterior is out of reach, with and without neural networks.
# - C. Cremer, X. Li and D. Duvenaud, *Inference suboptimality in variational autoencoders*, 2018. How much of the gap
#   is due to the encoder, and how much to the family of $q$; the source of the term in section 7.
# - M. E. Tipping and C. M. Bishop, *Probabilistic principal component analysis*, 1999. The linear model of section 8.
# - D. P. Kingma and M. Welling, *Auto-encoding variational Bayes*, 2014, and *An introduction to variational
#   autoencoders*, 2019. The encoder and the loss of section 8 with deep networks; the second is the gentler of the two.
# - G. Roeder, Y. Wu and D. Duvenaud, *Sticking the landing: simple, lower-variance gradient estimators for variational
#   inference*, 2017. It does for the gradient what section 9 does for the bound.
# - Y. Burda, R. Grosse and R. Salakhutdinov, *Importance weighted autoencoders*, 2016. The tighter bound of section 10,
#   and why it tightens with $k$.
