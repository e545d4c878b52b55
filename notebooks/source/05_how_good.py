# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# How good is a VAE?\n\n- $-\\log P(x)$ by importance weights, and on which side it errs\n- An honest error bar, and the protocol behind a number\n- A prior like a flower, and why samples fail\n- Pixel after pixel: an exact likelihood"}
# # 05 · How good is a VAE?
#
# After this notebook you will be able to
# - measure $-\log P(x)$ of a [VAE](../docs/glossary.md#variational-auto-encoder-vae) by
#   [importance weighting](../docs/glossary.md#importance-weighting), in five lines, and say on which side of the truth
#   the result errs;
# - put an honest error bar on a comparison of two models;
# - name the protocol behind a number in a paper, and say which numbers it must not be compared with;
# - change the shape of the [prior](../docs/glossary.md#prior), and explain why samples can fail while the likelihood
#   hardly notices;
# - build a model with an exact likelihood, pixel after pixel, and compare it with the VAE.
#
# **Time:** two to three minutes to run on a laptop with two cores, and an hour and a half to work through.
#
# **Prerequisites:** [The VAE on MNIST](04_vae.ipynb), and [The evidence lower bound](02_elbo.ipynb) for importance
# weights. The notebook uses 1.4 GB of memory and needs no GPU.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import json
import math

import torch
from IPython.display import Markdown, display
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)
from torch.nn.functional import softplus

# %% tags=["imports"]
from course_lib import checks, evaluation, plots
from course_lib.data import binarize, course_digits, fixed_binarization, flower, shipped_models_fit
from course_lib.device import FAST
from course_lib.figures import likelihood as figures
from course_lib.figures.vae import labelled_rows
from course_lib.mixtures import GaussianMixture
from course_lib.models.vae import VAE
from course_lib.probability.likelihoods import log_bernoulli
from course_lib.recipes import QUALITY, WEIGHTS
from course_lib.training.checkpoints import describe, load_model
from course_lib.widgets import LatentExplorer

plots.use_style()

# %% tags=["parameters"]
n_train = 3_000 if FAST else 20_000  # digits to train on
n_test = 100 if FAST else 500  # test digits
epochs = 10 if FAST else 5  # of each VAE with 20 dimensions
plane_epochs = 10 if FAST else 3  # of each VAE with 2 dimensions
n_seeds = 2 if FAST else 5  # networks for each prior
pixel_epochs = 8 if FAST else 6  # of the model without a code
grid_side = 101 if FAST else 121  # points along each side of the grid for the exact integral
many = 100 if FAST else 500  # the largest number of draws of z
components = 5 if FAST else 30  # of a mixture as the prior
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Tighten the bound\n\nDraw $k$ codes from $q(z|x)$ and average their weights:\n\n$$w_i = \\frac{P(x|z_i)\\,P(z_i)}{q(z_i|x)}, \\qquad -\\log P(x) \\le -\\,\\mathbb{E}\\Big[\\log \\frac1k \\sum_{i=1}^k w_i\\Big]$$\n\nFor $k = 1$ this is $-L_b$."}
# ## 1 · Five lines
#
# In [The VAE on MNIST](04_vae.ipynb) we maximized $L_b$, a lower bound on $\log P(x)$. To judge how good a model is, we
# want $\log P(x)$ itself. We keep the trained networks and tighten the bound: we draw $k$ codes from $q(z|x)$ and
# average the *weights*
#
# $$w_i = \frac{P(x|z_i)\,P(z_i)}{q(z_i|x)}, \qquad
#   -\log P(x) \;\le\; -\,\mathbb{E}\Big[\log \frac1k \sum_{i=1}^k w_i\Big] .$$
#
# For $k = 1$ the right-hand side is $-L_b$. As $k$ grows, this bound falls towards $-\log P(x)$, the
# **[negative log-likelihood](../docs/glossary.md#negative-log-likelihood-nll)** or NLL (Burda et al. 2016).
#
# First we need a model. In this notebook we train each model only briefly, on 20,000 digits, so that we can afford to
# train many models.

# %%
train_digits = course_digits(train=True)
test_digits = course_digits(train=False)
on_mnist = shipped_models_fit(train_digits)  # some checks below assert what was measured on MNIST

# %% [markdown]
# All sizes below are read from the data. The test pixels are drawn once and for all, so that every
# model is evaluated on the same images. As always, the training pixels are redrawn at every step.
# The argument `pixels_of` of `train` is the function that turns bytes into pixels; in section 4 we
# will pass other functions instead.

# %%
shape = train_digits.shape  # (28, 28)
pixels = train_digits.n_pixels  # 784
images = train_digits.images[:n_train].flatten(1)  # (N, 784), bytes
bytes_test = test_digits.images[:n_test]  # (T, 28, 28)
x_test = fixed_binarization(bytes_test).flatten(1)  # (T, 784), zeros and ones
y_test = test_digits.labels[:n_test]


# %%
def train(seed, epochs=epochs, pixels_of=binarize, **config):
    torch.manual_seed(seed)
    model = VAE(shape=shape, **config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(256):
            loss = model.loss(pixels_of(images[batch]))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %%
vae = train(seed)


# %% [markdown]
# Here is the estimator. We work with logarithms until the end, because a weight may be as small as $e^{-200}$, which
# underflows to 0 in single precision.


# %%
def q_of(model, x):
    mu, logvar = model.encode(x)  # (N, 20) each
    return Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)  # N Gaussians over codes


# %% slideshow={"slide_type": "slide"} slide={"text": "## Five lines", "lines": "2-6"}
def importance_weighted_nll(model, prior, x, k):
    q = q_of(model, x)
    z = q.sample((k,))  # (k, N, 20)
    log_px_z = log_bernoulli(model.decoder(z), x)  # (k, N)
    log_w = log_px_z + prior.log_prob(z) - q.log_prob(z)  # (k, N)
    return math.log(k) - log_w.logsumexp(0)  # (N,)


# %% [markdown]
# Since each test image requires $k$ decoded images, we process only a few test images at a time.


# %%
@torch.no_grad()
def nll(model, x, k, prior=None):
    at_once = max(1, 5_000 // k)  # images at a time, so that the logits stay below 20 MB
    parts = []
    for part in x.split(at_once):
        parts.append(importance_weighted_nll(model, prior or model.prior, part, k))
    return torch.cat(parts)  # (N,)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "With $k = 1$ the bound is about 114 nats.\n\n**Predict.** How many nats does it gain from $k = 1$ to $k = 50$, and how many more from there to the largest $k$?"}
# With $k = 1$ the bound of our model is about 114 [nats](../docs/glossary.md#nat) per image.
#
# **Predict.** How many nats will the bound gain from $k = 1$ to $k = 50$, and how many more from there to the largest
# $k$ that we try?

# %% slideshow={"slide_type": "slide"} slide={"text": "## Always state the k", "show": "output"}
torch.manual_seed(seed)
nlls = {}
for k in (1, 50, many):
    nlls[k] = nll(vae, x_test, k)  # (T,)
    print(f"k = {k:<3}  {nlls[k].mean():.2f} nats per image")

# %% tags=["check"]
# On average more draws can only tighten the bound;
# 50 draws gain whole nats, far more than the noise of k = 1.
assert nlls[50].mean() < nlls[1].mean()
assert nlls[many].mean() < nlls[50].mean() + 0.1
# The package's function, with draws of its own, gives the same up to hundredths of a nat.
assert abs(evaluation.nll(vae, x_test, 50, progress=False)[50].mean - nlls[50].mean()) < 0.3

# %% slideshow={"slide_type": "-"}
gain_first = float((nlls[1] - nlls[50]).mean())
gain_then = float((nlls[50] - nlls[many]).mean())
display(
    Markdown(
        f"**Answer.** From 1 to 50 draws the bound gains {gain_first:.2f} nats, "
        f"from 50 to {many} another {gain_then:.2f}."
    )
)

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "All three are upper bounds on average, because the rare draws that matter most are often missed."}
# **Why?** With one draw the gap between the bound and $-\log P(x)$ is, on average, $\mathrm{KL}(q(z|x)\,\|\,P(z|x))$,
# which is positive because our Gaussian $q$ does not have the shape of the true
# [posterior](../docs/glossary.md#posterior), and because one encoder has to serve all images. When there are many
# draws, some of them fall where the true posterior is much larger than $q$, and these contribute most to the mean
# weight. Such draws are rare, so each further nat of improvement takes many more draws than the one before. On average,
# the results for all three values of $k$ are upper bounds on $-\log P(x)$. The difference between the first result and
# the last is therefore an *underestimate* of the gap between $L_b$ and $\log P(x)$.

# %% [markdown]
# Papers often use as many as $k = 5{,}000$ draws. That many would take too long here, but
# `benchmarks/quality.py` used that number to evaluate a larger VAE (two layers of 500 units,
# 80 epochs, three seeds, all 10,000 test digits):

# %%
quality = json.loads(QUALITY.read_text())
for row in range(3):
    measured = quality[f"four minutes, seed {row}"]["nll"]  # k: [mean, standard error]
    print(f"seed {row}: ", "   ".join(f"k = {k}: {mean:.2f}" for k, (mean, _) in measured.items()))

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Where does the bound end?\n\nWith a code of two numbers, $P(x) = \\int P(z)\\,P(x|z)\\,dz$ can be computed on a grid of 15,000 codes."}
# Always state the $k$ behind a reported NLL. Half a nat can decide between two good models, and the results for
# $k = 50$ and $k = 5{,}000$ differ by more than that.
#
# ## 2 · Where does the bound end?
#
# As $k$ grows, how close does the bound come to the truth? A code of only two numbers lets us find out, because we can
# then compute the integral over the plane
#
# $$P(x) = \int P(z)\,P(x|z)\,dz$$
#
# on a grid. For a Bernoulli [decoder](../docs/glossary.md#decoder) with [logits](../docs/glossary.md#logit) $\ell$, the
# [log-likelihood](../docs/glossary.md#log-likelihood) is
# $\log P(x|z) = \sum_j x_j \ell_j - \sum_j \log(1 + e^{\ell_j})$. Taken over all codes and images
# at once, the first sum is a matrix product, so the computation for 15,000 codes and all the test
# images takes only seconds.

# %%
plane = {"latent": 2, "hidden": (200, 200), "activation": "silu"}
flat_vae = train(seed, plane_epochs, **plane)


# %% [markdown]
# First we compute the log-likelihood of every test image under every code on the grid. The integral then becomes a sum
# over the cells of the grid.


# %%
def log_likelihoods(model, z, x):
    logits = model.decoder(z)  # (G, 784)
    return logits @ x.T - softplus(logits).sum(1, keepdim=True)  # (G, T): log P(x|z)


# %%
@torch.no_grad()
def exact_nll(model, x, side=grid_side, reach=4.5):
    axis = torch.linspace(-reach, reach, side)
    log_area = 2 * math.log(2 * reach / (side - 1))  # of one cell of the grid
    parts = []
    for z in torch.cartesian_prod(axis, axis).split(5_000):  # (5000, 2) at a time
        log_joint = log_likelihoods(model, z, x) + model.prior.log_prob(z)[:, None]  # (5000, T)
        parts.append(log_joint.logsumexp(0))
    return -(torch.stack(parts).logsumexp(0) + log_area)  # (T,)


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** How far above the exact value is the bound with 1 draw, with 50, and with the largest number?"}
# **Predict.** For this model, how far above the exact value will the bound be with one draw, with 50, and with the
# largest number?

# %%
exact = exact_nll(flat_vae, x_test)  # (T,)
flat_nlls = {}
for k in (1, 5, 50, many):
    flat_nlls[k] = nll(flat_vae, x_test, k)  # (T,)

# %% alt="The bound on the NLL falls with the number of draws on a logarithmic axis, steeply at first, and flattens out a little above a dashed horizontal line, the exact integral." slideshow={"slide_type": "slide"} slide={"text": "## The bound errs on the safe side"}
figures.bound_and_integral(flat_nlls, exact)

# %% tags=["check"]
coarser = exact_nll(flat_vae, x_test, side=grid_side * 3 // 4)
assert abs(coarser.mean() - exact.mean()) < 0.1  # a grid with fewer points gives the same integral
assert flat_nlls[many].mean() > exact.mean() - 0.1  # a bound, up to the noise of its draws
assert flat_nlls[many].mean() < flat_nlls[1].mean() + 0.1

# %%
for k in flat_nlls:
    gap = flat_nlls[k] - exact  # (T,)
    share = float((gap > 1).float().mean())
    print(
        f"k = {k:<3}  {gap.mean():.2f} nats above the integral; "
        f"more than a nat for {share:.0%} of images"
    )

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** A nat or two with one draw, a fraction of a nat with many; a few images keep a large gap.\n\n---\n\n## A mixture of infinitely many\n\nDraw $K$ codes from the *prior*. Each is a distribution over images; together they are a mixture of $K$ components.\n\n**Predict.** How many components do we need to come within a nat of the integral?"}
# **Answer.** With one draw the bound is too high by a nat or two, and with 50 draws or more by less than half a nat.
# Look at the percentages, too: with the largest number of draws, the bound is within a nat of the integral for most
# images, but for a few the gap remains larger than that.
#
# **Why?** Our $q$ is a single Gaussian, but the same image may well be explained by codes in two different parts of the
# plane. If $q$ covers only one of these parts, its draws hardly ever reach the other, whose contribution to the
# integral is then missing from the estimate. More draws help, but slowly. In 20 dimensions we have no grid to check
# against, and extra draws gain more nats than in the plane, as section 1 showed. But the bound errs on the safe side:
# on average, it does not make a model look better than it is.
#
# ### A mixture of infinitely many
#
# The same matrix product shows what the lecture means when it calls the VAE a mixture of infinitely many components.
# Draw $K$ codes from the prior. Each code defines a distribution over images, and these $K$ distributions, each with
# weight $1/K$, form a mixture of $K$ components.
#
# **Predict.** How many components do we need to come within a nat of the integral? Note that the codes are drawn from
# the *prior*, not from $q$.

# %%
torch.manual_seed(seed)
sizes = [1, 10, 100, 1_000, 10_000]
with torch.no_grad():
    log_px_z = log_likelihoods(flat_vae, flat_vae.prior.sample((10_000,)), x_test)  # (10000, T)
mixture_nlls = {}
for size in sizes:
    mixture_nlls[size] = math.log(size) - log_px_z[:size].logsumexp(0)  # (T,)

# %% alt="The NLL of a mixture falls as the number of its components grows from one to ten thousand, steeply at first, until it meets the dashed line of the exact integral." slideshow={"slide_type": "slide"} slide={"text": "## A sum becomes an integral"}
figures.mixture_and_integral(mixture_nlls, exact)

# %% [markdown]
# By how much does the NLL of each mixture, averaged over the test images, exceed the exact value?

# %%
distance = {}
for size in sizes:
    distance[size] = float((mixture_nlls[size] - exact).mean())
    print(f"{size:>6,} components: {distance[size]:6.2f} nats above the integral")

# %% tags=["check"]
assert distance[10_000] < distance[100] < distance[1] or not on_mnist

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Between a hundred and a thousand, in the plane. In 20 dimensions no number that we can afford would do: that is what $q$ is for.\n\n---\n\n## How sure are we?\n\nEvery NLL is a mean over test images, so it has a standard error.\n\n**Predict.** The NLLs of two networks differ by 0.5 nats, and each has a standard error of 1.2. Is the difference noise?"}
# **Answer.** Between a hundred and a thousand components, for this model.
#
# **Why?** The mixture is a [Monte Carlo estimate](../docs/glossary.md#monte-carlo-estimate) of $\int P(z) P(x|z)\,dz$,
# and most codes from the prior have nothing to do with a given $x$. In the plane, a thousand codes suffice, because two
# numbers say little about a digit: the decoded images are blurred, and each code serves many digits. In 20 dimensions,
# we could never afford enough codes. This is why we need $q$: it tells us where to look for suitable codes.
#
# ## 3 · How sure are we?
#
# Each NLL that we compute is a mean over a few hundred test images, so it has a
# **[standard error](../docs/glossary.md#standard-error)**: the standard deviation over images, divided by the square
# root of the number of images. We train two more networks that differ from the first only in the
# seed, and evaluate all three on the same images.
#
# **Predict.** Suppose the NLLs of two networks differ by 0.5 nats, and each has a standard error of 1.2. Is the
# difference noise?

# %%
seeds = [seed, seed + 1, seed + 2]
of_seed = {seed: nlls[50]}
for other in seeds[1:]:
    of_seed[other] = nll(train(other), x_test, 50)  # (T,)


# %% [markdown]
# We compute the standard error of the mean, first for each network by itself and then for the image-by-image difference
# between two networks.


# %%
def standard_error(values):
    return float(values.std()) / math.sqrt(len(values))


# %%
for s, values in of_seed.items():
    print(f"seed {s}: {values.mean():.2f} ± {standard_error(values):.2f}")
for s in seeds[1:]:
    difference = of_seed[s] - of_seed[seed]  # (T,), image by image
    print(
        f"seed {s} minus seed {seed}: {difference.mean():+.2f} ± {standard_error(difference):.2f}"
    )

# %% [markdown]
# The next figure compares the first two networks image by image.

# %% alt="A narrow band of points along the dashed diagonal: images that are improbable under one network are improbable under the other, too." slideshow={"slide_type": "slide"} slide={"text": "## Compare image by image"}
figures.image_by_image(of_seed[seed], of_seed[seed + 1], f"seed {seed}", f"seed {seed + 1}")

# %% slideshow={"slide_type": "fragment"}
paired_se = standard_error(of_seed[seed + 1] - of_seed[seed])
single_se = standard_error(of_seed[seed])
means = torch.stack([values.mean() for values in of_seed.values()])
apart = []  # how many paired standard errors the networks are apart
for s in seeds[1:]:
    difference = of_seed[s] - of_seed[seed]
    apart.append(abs(float(difference.mean())) / standard_error(difference))
clearly = "clearly shows" if max(apart) > 3 else "does not clearly show"
display(
    Markdown(
        f"**Answer.** It need not be. Each NLL has a standard error of {single_se:.2f}, "
        f"but the difference between two has only {paired_se:.2f}. Our two "
        f"differences are {apart[0]:.1f} and {apart[1]:.1f} times their paired standard errors, "
        f"which {clearly} that the networks differ. "
        f"The means of the three seeds have a standard deviation of {means.std():.2f} nats."
    )
)

# %% tags=["check"]
assert paired_se < single_se / 2 or not on_mnist


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What the pixels are\n\n- **drawn:** redrawn at every step, with the brightness as the probability of white\n- **threshold:** white if brighter than \u00bd\n- **grey:** the grey value, put into the cross-entropy\n\n**Predict.** Which reaches the lowest loss, and does that make it the best model?"}
# **Why?** Some digits are hard for every network: a thick, unusual 8 may cost a hundred nats more than a plain 1. This
# variation between images dominates the standard error of each mean, but most of it cancels when we take the difference
# *image by image*. There are therefore three different uncertainties, and you must state which one you are quoting:
#
# - the standard error over images tells you how much the mean typically varies from one test set to another;
# - the paired standard error tells you whether *these two networks* differ;
# - the spread between seeds tells you whether *two methods* differ. You can measure it only by training several times.
#
# ## 4 · What the pixels are
#
# Papers turn the grey images of MNIST into training and test data in several ways, three of which we compare here. We
# train the same network once in each way, always with the same budget:
#
# - **drawn**: each pixel is redrawn at every step, with its brightness as the probability of white (our protocol);
# - **threshold**: a pixel is white if its brightness exceeds ½;
# - **grey**: the grey value is put into the formula for the cross-entropy as if it were a 0 or a 1.
#
# **Predict.** Which of the three reaches the lowest loss, and does that make it the best model?


# %%
def threshold(images):
    return (images > 127).float()


def as_grey(images):
    return images.float() / 255


# %%
threshold_vae = train(seed, pixels_of=threshold)
grey_vae = train(seed, pixels_of=as_grey)


# %% [markdown]
# `evaluation.elbo` raises an error for grey pixels, and with good reason, as we shall see. We therefore average the
# model's own loss over 20 draws of $z$.


# %%
@torch.no_grad()
def minus_elbo(model, x, draws=20):
    losses = torch.stack([model.loss(x)["loss"] for _ in range(draws)])
    return float(losses.mean())


# %% [markdown]
# We evaluate each model twice: once on test pixels made in the same way as its training pixels, and
# once on test pixels drawn at random.

# %%
flat_bytes = bytes_test.flatten(1)
as_trained = {
    "drawn": minus_elbo(vae, x_test),
    "threshold": minus_elbo(threshold_vae, threshold(flat_bytes)),
    "grey": minus_elbo(grey_vae, as_grey(flat_bytes)),
}
on_drawn = {
    "drawn": as_trained["drawn"],
    "threshold": minus_elbo(threshold_vae, x_test),
    "grey": minus_elbo(grey_vae, x_test),
}

# %% alt="Two bars for each of three ways to treat pixels. Measured on its own pixels, the model trained on thresholded ones has the lowest bar by many nats; measured on drawn pixels, all three bars are about equal." slideshow={"slide_type": "slide"} slide={"text": "## The number measures the data, too"}
figures.protocols(as_trained, on_drawn)

# %%
for name in as_trained:
    print(
        f"{name:<10} on its own pixels {as_trained[name]:6.1f}, "
        f"on drawn pixels {on_drawn[name]:6.1f} nats"
    )

# %% tags=["check"]
if on_mnist:
    # Nine nats in the full run; the advantage on the network's own pixels vanishes on drawn ones.
    assert as_trained["threshold"] < as_trained["drawn"] - 3
    assert on_drawn["threshold"] > as_trained["threshold"] + 3

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The thresholded one. Measured on drawn pixels it has no advantage left."}
# **Answer.** The thresholded pixels give by far the lowest loss, but that does not make the model
# better. On randomly drawn pixels, the advantage of the network trained on thresholded pixels
# disappears.
#
# **Why?** Thresholding leaves smooth edges and adds no randomness, so a thresholded image is easier to predict. The
# value of the loss depends on the data as much as on the model.
#
# The loss of a grey image is not a bound on the negative log-probability of that grey image. Because
# $x \log p + (1 - x) \log (1 - p)$ is linear in $x$, the loss of a grey image equals the *expected* loss over random
# draws of its pixels, with $q$ always computed from the grey image. This loss is therefore an upper bound on the
# average NLL of the drawn images. But this bound is looser than the loss measured on the drawn images themselves,
# because $q$ sees only the grey image and cannot adapt to the pixels that were drawn. The loss must
# not be read as a likelihood of the *grey* images themselves, because the terms
# $p^x (1 - p)^{1 - x}$ for all the grey values $x$ of a pixel do not add up to 1.
#
# Two results can therefore be compared only if their test pixels were made in the same way.
#
# ## 5 · Next to a published result, and what bought what
#
# The usual reference for a VAE on MNIST is Burda et al. (2016). The protocol of that paper is close to ours: pixels
# redrawn during training, one layer of [latent variables](../docs/glossary.md#latent-variable), $k = 5{,}000$, and all
# 10,000 test digits. The authors trained for 3,280 epochs. The course's models were trained on
# 60,000 digits and evaluated on all 10,000 test digits, with one fixed
# [binarization](../docs/glossary.md#binarization). The numbers in the
# first two rows of the table below come from `benchmarks/quality.py`; ± is the standard deviation over three seeds. The
# numbers in the third row are stored with the shipped model. We have no numbers for the empty cells; in particular, the
# NLL of the first model was not measured.

# %%
display(Markdown(figures.beside_a_paper(quality, describe(WEIGHTS / "vae.safetensors"))))

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What bought what\n\n**Predict.** Which ingredient bought the most: two layers of 500 in place of one of 400, a smooth activation, the initial bias, a falling learning rate, the slow start of the KL, a larger batch, or 32 dimensions?"}
# What makes the model in the second row of the table so good? To find out, we removed its
# ingredients one at a time, keeping all the others (`benchmarks/quality.py`). One ingredient is the
# *slow start of the KL*: over the first tenth of training, the KL term is multiplied by a factor
# that rises from 0 to 1. The comparison uses *separate* runs of only 30 epochs, in which the
# learning rate falls and the KL factor rises correspondingly faster. In these runs, matrix products
# are computed in bfloat16, a 16-bit number format. Each variant was run with one seed, and its NLL
# was measured with $k = 100$.
#
# **Predict.** Which ingredient bought the most: two hidden layers of 500 units in place of one of 400, the smooth
# activation (SiLU in place of ReLU), initializing the decoder's last bias at the mean image, a learning rate that falls
# along a cosine, the slow start of the KL, a larger batch with a higher learning rate, or 32 dimensions in place of 20?

# %% alt="Horizontal bars show the nats lost when one ingredient is taken away: with one layer of 400 in place of two of 500 the loss is by far the largest, without four others it is between one and two nats, with the smaller batch it is a fraction of a nat, and with fewer dimensions nothing is lost." slideshow={"slide_type": "slide"} slide={"text": "## Nats lost without each ingredient"}
lost = figures.ingredients(quality)

# %% slideshow={"slide_type": "fragment"}
biggest = max(lost, key=lost.get)
display(
    Markdown(
        f"**Answer.** {biggest.capitalize()}, with {lost[biggest]:.1f} nats. "
        f"The smallest change is {min(lost.values()):+.1f}."
    )
)

# %% [markdown]
# **Why?** With a second layer and wider layers (the comparison does not separate the two), the
# [encoder](../docs/glossary.md#encoder) and the decoder can represent more complicated functions. Most of the other
# ingredients make these larger networks easier to train. Extra dimensions of $z$ bring no
# improvement, probably because they collapse to the prior.

# %% [markdown]
# How far can you trust the bars in this figure? The NLL of each run has a standard error of about a quarter of a nat,
# but this error comes from the choice of test images, which all runs share. Differences between runs are therefore
# known more precisely (section 3). With the 80-epoch recipe, the NLLs for the three seeds differ by less than 0.05
# nats. This spread between seeds was measured for *one* recipe, so do not read anything into differences of a tenth of
# a nat.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A prior like a flower\n\nThe lecture: the prior may have any shape; and a normal one hardly restricts $P(x)$, because the network is powerful.\n\n**Predict.** A normal prior or a flower: which gives the better likelihood? Is the difference larger than the spread between seeds?"}
# ## 6 · A prior like a flower
#
# Must the prior be normal? The lecture says no: the prior may have any shape, for instance that of a flower. It adds
# that a normal prior hardly restricts $P(x)$, because a network with enough neurons can represent any function. Does
# this hold in practice? If the shape of the prior does not matter for a network like ours, a normal and a flower-shaped
# prior should lead to equally good models.
#
# It is tempting to test this with a prior that is uniform on a square, obtained by passing a normal
# $z$ through a fixed map. But if $q$ is passed through the same map, such a test shows nothing. The
# model then *is* a VAE with a normal prior whose decoder begins with the fixed map, and both
# formulations give the same loss up to rounding. A flower-shaped prior is a genuine test, because
# $q$ remains a Gaussian in the plane in which the prior is flower-shaped.
#
# Our flower has five petals. Each contour of its density is a scaled copy of the curve
# $\rho(\varphi) = 1 + 0.6 \cos 5\varphi$ in polar coordinates. With $s = r / \rho(\varphi)$, the density at the radius
# $r$ and the angle $\varphi$ is
#
# $$P(z) = \frac{s^2}{9.44\,\pi}\, e^{-(s/2)^4} .$$
#
# The density is 0 at the centre and largest at $s = 2^{3/4} \approx 1.7$. Here are draws from both
# priors:

# %% alt="Two planes side by side with grey points. The draws from the normal prior form a round cloud that is densest in the centre. Those from the flower-shaped prior form five separate petals, which grow wider towards their ends, around an empty centre."
torch.manual_seed(seed)
figures.priors(
    {"normal prior": flat_vae.prior.sample((4_000,)), "flower prior": flower.sample(4_000)}
)

# %% [markdown]
# The KL from a Gaussian to the flower-shaped prior has no closed form. In the loss, the KL is therefore replaced by an
# unbiased estimate, $\log q(z|x) - \log P(z)$, computed from the same draw of $z$ as the reconstruction.
#
# We train both models with five seeds each and compare their *exact* NLLs, computed by integrating over the plane.
#
# **Predict.** Which prior gives the better likelihood, and is the difference larger than the spread between seeds?

# %%
planes = {"normal": [flat_vae], "flower": []}
for s in range(seed + 1, seed + n_seeds):
    planes["normal"].append(train(s, plane_epochs, **plane))
for s in range(seed, seed + n_seeds):
    planes["flower"].append(train(s, plane_epochs, prior="flower", **plane))

# %% [markdown]
# We compute the exact NLL of every model: one number for each prior and seed.

# %%
exact_means = {}
for prior, models in planes.items():
    means = [exact_nll(model, x_test).mean() for model in models]
    exact_means[prior] = torch.stack(means)  # (seeds,)

# %% alt="Two columns of points, the exact NLL for each seed, with a bar for each mean: all points of the normal prior lie below all those of the flower-shaped prior, and the two means are several nats apart." slideshow={"slide_type": "slide"} slide={"text": "## Exact likelihoods, several seeds"}
figures.seeds(exact_means)

# %% slideshow={"slide_type": "fragment"}
mean_normal, spread_normal = float(exact_means["normal"].mean()), float(exact_means["normal"].std())
mean_flower, spread_flower = float(exact_means["flower"].mean()), float(exact_means["flower"].std())
prior_gap = mean_flower - mean_normal
prior_se = math.sqrt((spread_normal**2 + spread_flower**2) / n_seeds)
display(
    Markdown(
        f"**Answer.** Exact NLL, mean and standard deviation over {n_seeds} seeds: "
        f"normal {mean_normal:.1f} (± {spread_normal:.1f}), "
        f"flower {mean_flower:.1f} (± {spread_flower:.1f}). "
        f"Flower minus normal: {prior_gap:+.1f} nats, with a standard error of {prior_se:.1f}."
    )
)

# %% [markdown]
# **Why?** The normal prior gives the better likelihood, and the difference is larger than the
# spread between seeds. The lecture's argument is about what a decoder *can* represent, and for a
# decoder of unlimited capacity, it is right. The
# [ELBO](../docs/glossary.md#evidence-lower-bound-elbo) adds a second demand: the true posterior
# should be close to a Gaussian. Where the true posterior is far from Gaussian, the bound is loose,
# and training pushes the decoder towards posteriors that are closer to Gaussian, even at some cost
# in likelihood. A flower has thin petals and a hole in the middle, and a Gaussian $q$ fits neither
# well. In addition, a small network that is trained only briefly cannot approximate every function
# well. Its gradients are also noisier with the flower-shaped prior, because the KL is then
# estimated from a single draw. Our experiment cannot tell these causes apart.
#
# ## 7 · Why samples fail
#
# Look at where the codes of real digits lie and where the prior places new codes.
#
# **Predict.** In which regions of each prior does the decoder draw something that is not a digit?

# %% alt=["Two planes side by side, in which coloured numerals, the codes of test digits, lie over grey points drawn from the prior. In the round cloud the numerals crowd unevenly; in the flower they leave some of the petals nearly empty.", "Two sheets of samples. From the normal prior, a few are digits and many are blurred mixtures of two; from the flower-shaped prior, more are digits, and some are glaring or broken shapes."]
torch.manual_seed(seed)
flower_vae = planes["flower"][0]
figures.codes_over_prior({"normal": flat_vae, "flower": flower_vae}, x_test, y_test)
figures.sheets({"normal": flat_vae.generate(30), "flower": flower_vae.generate(30)}, shape)

# %% [markdown]
# The widget below shows the codes of the model with the normal prior. Drag across the plane, and
# look at what the decoder draws where one digit has a region to itself, where the regions of
# several digits overlap, and where there are no digits.

# %% alt="On the left, the plane with numerals at the codes of test digits; on the right, a square grid of images decoded from points of the same plane, in which digits turn into one another." slideshow={"slide_type": "slide"} slide={"text": "## Where are the codes, and where does the prior draw?"}
LatentExplorer(
    lambda z: torch.sigmoid(flat_vae.decoder(z)).reshape(-1, *shape),
    flat_vae.encode(x_test)[0].detach(),
    y_test if train_digits.n_classes <= 10 else None,  # a point is shown as one numeral
)

# %% [markdown]
# **Answer.** In two kinds of places. In the crowded middle of the plane, where the codes of different digits overlap,
# the decoder draws blurred mixtures. Where the codes of real digits hardly ever fall, as in two petals of the flower,
# it draws overly bright or broken shapes. Where one digit has a region to itself, the images are mostly clear.
#
# **Why?** In the middle, two numbers are too few to tell the digits apart, so the reconstructions of real digits are
# blurred there, too. The failures in the empty regions have a different cause, and adding dimensions does not remove
# it. Let $q(z)$ be the average of $q(z|x)$ over all images. The decoder is trained on codes from $q(z)$, but when we
# sample, we draw the codes from $P(z)$. In regions where $P(z)$ is much larger than $q(z)$, we draw many codes on which
# the decoder was hardly trained.
#
# **Why does the likelihood hardly notice?** Suppose that a third of the prior's probability lies where no code ever
# falls. If we removed this third from the prior and rescaled the rest, the probability of every digit would grow by a
# factor of 1.5. This factor saves only $\log 1.5 = 0.4$ nats out of about a hundred. Yet with the full prior, one
# sample in three fails.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Why samples fail\n\nThe decoder is trained on codes from the *aggregate posterior* $q(z)$; samples start from $P(z)$. We fit a mixture to the codes, and use it as the prior.\n\n**Predict.** Will the samples improve visibly? And the NLL?"}
# The average of $q(z|x)$ over all images, $q(z)$, is called the
# **[aggregate posterior](../docs/glossary.md#aggregate-posterior)**. What happens if we draw $z$ from a distribution
# that is closer to $q(z)$ than the normal prior is? For our 20-dimensional VAE, we fit a mixture of Gaussians to its
# codes for the training digits and use the mixture as the prior (Ghosh et al. 2020). Neither the encoder nor the
# decoder changes.
#
# **Predict.** Will the samples improve visibly? Will the NLL improve, and by how many nats?

# %%
torch.manual_seed(seed)
with torch.no_grad():
    codes = q_of(vae, binarize(images)).sample()  # (N, 20), draws from q(z)
fitted = GaussianMixture(
    components, covariance_type="full", random_state=seed, reg_covar=1e-3, tol=1e-2
)
fitted = fitted.fit(codes.double())

# %% [markdown]
# We turn the fitted mixture into a distribution object with the methods `sample` and `log_prob`. A prior needs nothing
# else.

# %%
weights = torch.as_tensor(fitted.weights_).float()  # (K,)
means = torch.as_tensor(fitted.means_).float()  # (K, 20)
covariances = torch.as_tensor(fitted.covariances_).float()  # (K, 20, 20)
mixture_prior = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, covariances))

# %% alt="Two sheets of samples from the same decoder: with codes from the normal prior, many are broken or blurred; with codes from the fitted mixture, most are clear digits." slideshow={"slide_type": "slide"} slide={"text": "## The same decoder, another prior"}
torch.manual_seed(seed)
with torch.no_grad():
    from_normal = torch.sigmoid(vae.decoder(vae.prior.sample((1_000,))))  # (1000, 784)
    from_mixture = torch.sigmoid(vae.decoder(mixture_prior.sample((1_000,))))
    from_codes = torch.sigmoid(vae.decoder(q_of(vae, x_test).sample()))  # (T, 784)
samples = {"z from the normal prior": from_normal[:30], "z from the mixture": from_mixture[:30]}
figures.sheets(samples, shape)

# %% [markdown]
# Changing the prior also changes $P(x)$, so we measure the NLL again with the same five lines of code.

# %%
gain = nlls[50] - nll(vae, x_test, 50, prior=mixture_prior)  # (T,), image by image
print(f"the mixture prior gains {gain.mean():.2f} ± {standard_error(gain):.2f} nats")

# %% [markdown]
# To put a number on the quality of the samples, we count how often the course's classifier is more than 90 % sure of a
# digit. For reference, we also decode the codes of real test digits: a prior that matched $q(z)$ perfectly would do
# about as well.

# %%
sure = {}
if on_mnist:
    referee = evaluation.Classifier.load()
    groups = {
        "normal prior": from_normal,
        "mixture": from_mixture,
        "codes of test digits": from_codes,
    }
    for name, group in groups.items():
        with torch.no_grad():
            sure[name] = float((referee(group).softmax(1).amax(1) > 0.9).float().mean())
        print(f"{name:<21} {sure[name]:.1%} of the samples are clear digits")

# %% tags=["check"]
# The small set of digits used offline cannot decide this.
if on_mnist and len(train_digits) == 60_000:
    assert sure["normal prior"] < sure["mixture"]
    assert gain.mean() > 0

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The samples improve a great deal, the NLL by only a few nats out of a hundred.\n\n---\n\n## Pixel after pixel\n\n$$P(x) = \\prod_{i=1}^{784} P(x_i \\,|\\, x_1, \\dots, x_{i-1})$$\n\nEach factor is a logistic regression. There is no $z$, no $q$ and no bound."}
# **Answer.** The samples improve a great deal, while the NLL improves by only a few nats out of a hundred. (This gain
# is larger than the 0.4 nats calculated above, because the mixture not only leaves out the empty places but also
# follows the shape of $q(z)$ elsewhere.)
#
# **Why?** We reduced the mismatch between $P(z)$ and $q(z)$, and changed nothing else. A mixture prior can also be
# learned together with the networks (Tomczak & Welling 2018). The lesson for evaluation is that the likelihood and the
# quality of samples are different things: each can be good while the other is poor (Theis et al. 2016).
#
# ## 8 · Pixel after pixel
#
# A VAE is not the only model with a likelihood: the lecture mentions another, PixelRNN. Any distribution over images
# can be written as a product,
#
# $$P(x) = \prod_{i=1}^{784} P(x_i \,|\, x_1, \dots, x_{i-1}),$$
#
# and each factor can be a separate small model. The simplest choice for each factor is a logistic regression, in which
# the logit of pixel $i$ is $b_i + \sum_{j<i} w_{ij} x_j$. For all pixels at once, the logits are given by a single
# matrix product with a **mask**, which hides from each pixel its own value and the values of all later pixels. Here is
# the mask for an image of four pixels:

# %%
mask = torch.tril(torch.ones(4, 4), diagonal=-1)  # row i: which pixels pixel i may see
weight = torch.full((4, 4), 0.5)
x = torch.tensor([1.0, 0.0, 1.0, 1.0])
print((weight * mask) @ x)  # pixel 0 sees nothing, pixel 1 sees x[0], pixel 2 sees x[0] and x[1], …


# %% [markdown]
# The product of all factors is the exact likelihood. This model needs no $z$, no $q$ and no bound. The biases start at
# the logits of the mean image, so that the model need not learn that the corners are black.


# %%
class PixelAfterPixel(nn.Module):
    def __init__(self, mean_image):
        super().__init__()
        pixels = len(mean_image)
        self.weight = nn.Parameter(torch.zeros(pixels, pixels))
        self.bias = nn.Parameter(torch.logit(mean_image.clamp(0.001, 0.999)))
        self.register_buffer("mask", torch.tril(torch.ones(pixels, pixels), diagonal=-1))

    def logits(self, x):
        return x @ (self.weight * self.mask).T + self.bias  # (N, 784)

    def log_prob(self, x):
        return log_bernoulli(self.logits(x), x)  # (N,): log P(x), exact


# %% tags=["check"]
# The probabilities of all 16 images of four pixels add up to 1, whatever the weights.
tiny = PixelAfterPixel(torch.full((4,), 0.5))
nn.init.normal_(tiny.weight)
every_image = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)  # (16, 4)
assert abs(tiny.log_prob(every_image).exp().sum() - 1) < 1e-5  # float32

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Is its exact NLL better or worse than the bound of our VAE?"}
# **Predict.** This model has one layer and no code. Our VAE has four layers and twice as many weights (not counting
# masked ones), and was trained on the same digits. Will the exact NLL of the one-layer model be better or worse than
# the bound of the VAE?

# %%
torch.manual_seed(seed)
pixelwise = PixelAfterPixel(images.float().mean(0) / 255)
optimizer = torch.optim.Adam(pixelwise.parameters(), lr=1e-2)  # chosen on training digits set aside
for _ in range(pixel_epochs):
    for batch in torch.randperm(len(images)).split(128):
        loss = -pixelwise.log_prob(binarize(images[batch])).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

# %% [markdown]
# No bound is needed here. We compute the exact NLL of the test images and compare it image by image with the bound of
# the VAE.

# %% slideshow={"slide_type": "slide"} slide={"text": "## A pixel resembles its neighbours", "show": "output"}
with torch.no_grad():
    pixel_nll = -pixelwise.log_prob(x_test)  # (T,), exact
pixel_difference = pixel_nll - nlls[many]  # (T,)
display(
    Markdown(
        f"**Answer.** Exact NLL {pixel_nll.mean():.1f} ± {standard_error(pixel_nll):.1f} nats. "
        f"The bound of the VAE is {nlls[many].mean():.1f}; the paired difference is "
        f"{pixel_difference.mean():+.1f} ± {standard_error(pixel_difference):.1f}."
    )
)


# %% [markdown]
# What do samples from this model look like? Each sample has to be drawn one pixel after another.


# %%
@torch.no_grad()
def draw(model, n):
    x = torch.zeros(n, pixels)
    for i in range(pixels):
        x[:, i] = torch.bernoulli(torch.sigmoid(model.logits(x)[:, i]))
    return x


# %% alt="Rows of ten black-and-white images. Pixel after pixel gives solid strokes and stray dots, but few clear digits; the VAE's drawn pixels give speckled shapes; and, where it is shown, the shipped model that joins both gives thin, connected strokes and mostly clear digits." slideshow={"slide_type": "-"}
torch.manual_seed(seed)
rows = {
    "pixel after pixel": draw(pixelwise, 10),
    "our VAE, drawn": torch.bernoulli(from_normal[:10]),
}
if on_mnist:
    best = load_model(WEIGHTS / "vae.safetensors")
    rows["both joined"] = best.generate(10)
labelled_rows(rows, shape)

# %% [markdown]
# **Why?** The exact NLL of this model is better than the bound of the VAE, by many times the standard error of the
# difference. A pixel resembles its neighbours, and this model sees the neighbours that come before it. Once $z$ is
# given, the VAE must draw each pixel along the edge of a stroke independently, which costs nats. What the pixelwise
# model lacks is a plan for the whole image: a single layer that sees only earlier pixels cannot plan a digit. The VAE
# has the opposite problem: $z$ supplies the plan, but each pixel is drawn without regard to its neighbours.

# %% [markdown]
# The best model in the course, the *joined model*, combines the two approaches: $z$ says what to
# draw, and each pixel also depends on those before it (see the row "shipped model" in the table in
# section 5).
#
# How much does the joined model rely on its $z$? The KL, averaged over images, is an upper bound on the information
# that $z$ carries about the image.
#
# **Predict.** Will the KL of the joined model be larger or smaller than that of our VAE?

# %%
kl_ours = float(evaluation.elbo(vae, x_test[:100]).kl)
if on_mnist:
    kl_joined = float(evaluation.elbo(best, x_test[:100]).kl)
    print(f"KL of our VAE {kl_ours:.1f} nats, of the joined model {kl_joined:.1f}")

# %% tags=["check"]
if on_mnist:
    assert kl_joined < kl_ours

# %% [markdown]
# **Answer.** Smaller. The joined model is larger, was trained for longer and has a better
# likelihood, but it spends fewer nats on its $z$.
#
# **Why?** The code $z$ need not carry what the neighbouring pixels already reveal. A sufficiently powerful decoder may
# even ignore $z$ altogether. That is [posterior collapse](../docs/glossary.md#posterior-collapse) again.
#
# ## What the lecture said, what we measured

# %% tags=["claims"]
spread = (
    f"{mean_normal:.1f} (± {spread_normal:.1f}), flower {mean_flower:.1f} (± {spread_flower:.1f})"
)
surely = abs(prior_gap) > 3 * prior_se
if on_mnist:
    sampled = (
        f"clear digits: {sure['normal prior']:.0%} from the prior, "
        f"{sure['mixture']:.0%} from the mixture"
    )
else:
    sampled = "clear digits are counted on MNIST only"
verdict = (
    "here, with networks of this size and training, the shape made a difference"
    if surely
    else "no difference beyond the spread"
)

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 12 | the VAE is a mixture of infinitely many Gaussians (here of Bernoullis) | distance to the exact integral: {distance[10]:.1f} nats with 10 components, {distance[1000]:.1f} with 1,000, {distance[10000]:.1f} with 10,000 | holds |
| 13 | the prior may have any shape, even a flower; a normal one hardly restricts $P(x)$, because a network with enough neurons can represent any function | exact NLL, mean (± standard deviation) over {n_seeds} seeds: normal {spread}; flower minus normal {prior_gap:+.1f}, with a standard error of {prior_se:.1f} | a flower can be used, too; {verdict} |
| – | no claim of the lecture: does every part of the prior give digits? | {sampled}; NLL (k = 50) gains {gain.mean():.1f} ± {standard_error(gain):.1f} nats | no; a prior fitted to the codes gives far more clear digits |
| 33 | there are other ways, such as PixelRNN | exact NLL of one masked layer {pixel_nll.mean():.1f}, bound of the VAE {nlls[many].mean():.1f}; paired difference {pixel_difference.mean():+.1f} ± {standard_error(pixel_difference):.1f} | holds |

Protocol: {len(images):,} training digits, drawn black or white anew at each step; {epochs} epochs ({plane_epochs} in the plane, {pixel_epochs} pixel after pixel); {len(x_test):,} test digits in one fixed binarization; k = {many} unless stated; ± is one standard error over images, or over seeds for the priors. One seed for every row but 13. Claims are numbered across the whole course.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. The check says "Correct" or names the mistake. In
# exercise 3, it cannot see your derivation, only the resulting formula.
#
# **1. The bound on the NLL.** For $k$ draws of $z$ and $N$ images, you are given the logarithms of
# the three quantities that make up each weight. Work with logarithms until the end, because the
# log-weights may be −5000 for one image and 3000 for another. The result is in nats. Burda et al.
# *train* with this bound, so your function must be differentiable.


# %%
def my_nll_bound(log_px_z, log_pz, log_qz):
    """A bound on −log P(x) in nats, averaged over images: three tensors (k, N) give a tensor ()."""
    # 1. the logarithm of each weight P(x|z) P(z) / q(z|x), (k, N)
    # 2. the logarithm of the mean weight for each image, (N,)
    # 3. minus its mean over the images
    raise NotImplementedError


# %%
checks.nll_bound(my_nll_bound)


# %% [markdown]
# **2. A paired error bar.** Two models were evaluated on the same $N$ images.
# Return the standard error of the difference between their mean NLLs.


# %%
def my_paired_error(nll_a, nll_b):
    """The standard error of mean(nll_a) − mean(nll_b) for the same images:
    (N,) and (N,) give a number or ().
    """
    # 1. what can you subtract before you average? (N,)
    # 2. its standard deviation, estimated from N values whose mean is estimated as well
    # 3. how does the standard error of a mean of N values follow from it?
    raise NotImplementedError


# %%
checks.paired_error(my_paired_error)

# %% [markdown]
# **3. Derive it: how much does a second draw gain?** Let $a$ and $b$ be the logarithms of two
# weights. The bound with $k = 2$ uses $\log \frac{e^a + e^b}{2}$, and the average of two bounds
# with $k = 1$ uses $\frac{a + b}{2}$. Show that the gain (the first expression minus the second)
# depends on $d = a - b$ alone, that it is never negative, and that it is close to $d^2/8$ for small
# $d$. What does this say about the gain if $q$ is the true posterior? Write the gain as a function
# of $d$ in the next cell. The function receives a tensor, so use PyTorch operations.


# %%
def my_gain(d):
    """The gain in nats from a second draw, for each difference d of two log-weights: (M,) to (M,)."""
    raise NotImplementedError


# %%
checks.second_draw(my_gain)

# %% [markdown]
# **Answer.** Because $a = \frac{a+b}{2} + \frac d2$ and $b = \frac{a+b}{2} - \frac d2$, we have
# $\frac{e^a + e^b}{2} = e^{(a+b)/2} \cdot \frac{e^{d/2} + e^{-d/2}}{2} = e^{(a+b)/2} \cosh \frac d2$. We take the
# logarithm and subtract $\frac{a+b}{2}$. The gain is $\log \cosh \frac d2$, which depends on $d$ alone. Since $\cosh$
# is at least 1, the gain is never negative, and it is 0 only for $d = 0$. For small $d$,
# $\cosh \frac d2 \approx 1 + \frac{d^2}{8}$ and $\log(1 + u) \approx u$, so the gain is close to $d^2/8$.
#
# If $q$ is the true posterior, the second draw gains nothing. In that case $P(x|z)\,P(z) = q(z|x)\,P(x)$, so every
# weight is $P(x)$, whichever $z$ was drawn. Therefore $a = b$, $d = 0$, and the gain is 0. There is nothing left to
# gain, because the bound with one draw already equals $\log P(x)$.

# %% [markdown]
# ## Further reading
#
# - Burda, Grosse & Salakhutdinov 2016, *Importance Weighted Autoencoders*. Introduces the estimator of section 1, and
#   trains with it.
# - Theis, van den Oord & Bethge 2016, *A Note on the Evaluation of Generative Models*. Why a good likelihood does not
#   imply good samples, nor good samples a good likelihood.
# - Larochelle & Murray 2011, *The Neural Autoregressive Distribution Estimator*, and Germain et al. 2015, *MADE*. Two
#   models that add hidden layers to the single masked layer of section 8.
# - van den Oord, Kalchbrenner & Kavukcuoglu 2016, *Pixel Recurrent Neural Networks*. The model that the lecture
#   mentions.
# - Tomczak & Welling 2018, *VAE with a VampPrior*, and Ghosh et al. 2020, *From Variational to Deterministic
#   Autoencoders*. Two ways to obtain a prior that fits the aggregate posterior.
# - Nalisnick et al. 2019, *Do Deep Generative Models Know What They Don't Know?* A warning: a model can assign a higher
#   probability to images from another data set than to those on which it was trained.
