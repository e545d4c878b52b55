# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# The VAE on MNIST\n\n- Pixels that have a probability, and a loss in nats per image\n- The two parts of the loss, and a popular mistake\n- What a sample is, and what lies between two digits\n- What a code says: distributed, but not disentangled"}
# # 04 · The VAE on MNIST
#
# After this notebook you will be able to
# - write the model, the loss and the training loop of a [VAE](../docs/glossary.md#variational-auto-encoder-vae) for
#   digits, with the loss in [nats](../docs/glossary.md#nat) per image;
# - follow the two parts of $L_b$ during training, and say how noisy a loss from a single draw of $z$ is;
# - tell a reconstruction from a sample, and a mean image from an image that the model really draws;
# - say what a single dimension of the code tells you, and what it does not;
# - recognize overfitting when you meet it, and [posterior collapse](../docs/glossary.md#posterior-collapse), in which
#   the code, or some of its dimensions, says nothing about the image.
#
# **Time:** about two minutes to run on a laptop with two cores, and an hour and a half to work through.
#
# **Prerequisites:** [The evidence lower bound](02_elbo.ipynb) and
# [From auto-encoder to VAE](03_autoencoder_to_vae.ipynb). The notebook needs 1.3 GB of memory and no GPU.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import math
import time

import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy_with_logits

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.data import binarize, course_digits, fixed_binarization, shipped_models_fit
from course_lib.device import FAST
from course_lib.evaluation.likelihood import elbo_surgery
from course_lib.figures import vae as figures
from course_lib.mixtures import GaussianMixture
from course_lib.models.vae import VAE

plots.use_style()

# %% tags=["parameters"]
n_train = 4_000 if FAST else 60_000  # digits to train on
n_test = 200 if FAST else 1_000  # test digits
epochs = 12 if FAST else 5  # of the main model
record_every = 10 if FAST else 50  # steps between two looks at the test digits
beta_epochs = 10 if FAST else 2  # of each VAE with another β
n_few = 200 if FAST else 1_000  # a small training set, for overfitting
few_epochs = 60 if FAST else 100  # of the model trained on it
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Pixels that have a probability\n\nBrightness 0.7 means: white with probability 0.7. The training pixels are redrawn each time; the test digits are drawn once."}
# ## 1 · Pixels that have a probability
#
# A VAE assigns a probability to an image. We therefore have to say which images are possible, and the simplest choice
# is to allow only images whose pixels are either black (0) or white (1). The [decoder](../docs/glossary.md#decoder)
# then has a single job: to give the probability that each pixel is white.
#
# The pixels of MNIST images are shades of grey. To make them black or white, we treat brightness as a probability: a
# pixel of brightness 0.7 becomes white with probability 0.7. During training we draw the pixels afresh each time an
# image is used, so the model hardly ever sees exactly the same image twice. For the test images we draw the pixels only
# once, so that every model is evaluated on the same images.

# %%
train_digits = course_digits(train=True)
test_digits = course_digits(train=False)
on_mnist = shipped_models_fit(train_digits)  # some checks below assert what was measured on MNIST

# %% [markdown]
# We store each image in memory as a row of 784 bytes. All sizes below are read from the data, so the notebook also runs
# on other sets of images.

# %%
shape = train_digits.shape  # (28, 28)
pixels = train_digits.n_pixels  # 784
images = train_digits.images[:n_train].flatten(1)  # (N, 784), bytes
x_test = fixed_binarization(test_digits.images[:n_test]).flatten(1)  # (T, 784), zeros and ones
y_test = test_digits.labels[:n_test]  # (T,), used only to choose two different digits

# %% alt="Three rows of ten digits: smooth grey ones, then two rows in pure black and white whose edges are ragged and differ between the rows." slideshow={"slide_type": "-"}
torch.manual_seed(seed)
grey = train_digits.pixels(slice(0, 10)).flatten(1)
rows = {"grey": grey, "drawn once": binarize(images[:10]), "drawn again": binarize(images[:10])}
figures.labelled_rows(rows, shape)


# %% [markdown]
# You could also put the grey values straight into the formula for the loss, as many tutorials do. Training works, but
# the resulting number is not a bound on the negative log-probability of the grey image.
# [How good is a VAE?](05_how_good.ipynb) shows how much the treatment of the pixels changes the number.
#
# ## 2 · The model and its loss
#
# The two networks of our VAE are larger versions of those in the previous chapter, with ReLU in place of tanh. The
# **[encoder](../docs/glossary.md#encoder)** maps an image $x$ to the mean and the log-variance of a Gaussian $q(z|x)$
# over codes of 20 numbers. The **decoder** maps a code $z$ to 784 *[logits](../docs/glossary.md#logit)*. The sigmoid
# of a logit is the probability that the pixel is white. We keep the logits because log-probabilities can be computed
# from them without loss of precision. Each network has one hidden layer.


# %% slideshow={"slide_type": "slide"} slide={"text": "## The model\n\nThe encoder returns the mean and the log-variance of 20 numbers, the decoder 784 *logits*, one for each pixel.", "lines": "11-16"}
class DigitVAE(nn.Module):
    def __init__(self, latent=20, hidden=400):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def encode(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)  # (N, 784) to (N, 20) each
        return mu, logvar

    def decode(self, z):
        return self.decoder(z)  # (N, 20) to logits (N, 784)


# %% [markdown]
# We train the model to minimize $-L_b$. As we saw in [The evidence lower bound](02_elbo.ipynb), this loss has two
# parts:
#
# $$-L_b = \underbrace{-\,\mathbb{E}_{q(z|x)}\left[\log P(x|z)\right]}_{\text{reconstruction}}
#   \;+\; \underbrace{\mathrm{KL}\left(q(z|x)\,\|\,P(z)\right)}_{\text{KL}}$$
#
# Given $z$, the pixels are independent, so $\log P(x|z)$ is a *sum* over pixels. The dimensions of $z$ are independent
# under both $q$ and the [prior](../docs/glossary.md#prior), so the KL is a sum over dimensions. We average only over
# images. The loss is therefore measured in **nats per image**, the unit in which most papers report it.


# %% slideshow={"slide_type": "slide"} slide={"text": "## The loss: sums over pixels, a mean over images\n\n$$-L_b = -\\,\\mathbb{E}_{q(z|x)}\\left[\\log P(x|z)\\right] + \\mathrm{KL}\\left(q(z|x)\\,\\|\\,P(z)\\right)$$", "lines": "2-3"}
def log_bernoulli(logits, x):
    cross_entropy = binary_cross_entropy_with_logits(logits, x, reduction="none")  # (N, 784)
    return -cross_entropy.sum(1)  # (N,): log P(x|z) in nats


# %% [markdown]
# For a Gaussian $q$ and a standard normal prior, the KL of each dimension has a closed form, which we used in [From
# auto-encoder to VAE](03_autoencoder_to_vae.ipynb).


# %%
def kl_to_prior(mu, logvar):
    return 0.5 * (logvar.exp() - 1 - logvar + mu**2)  # (N, 20): one KL for each dimension


# %% [markdown]
# We estimate the expectation over $q$ from one draw of $z$. The draw is computed from `mu`, `logvar` and independent
# noise, so that gradients reach both `mu` and `logvar`.


# %%
def reparameterize(mu, logvar):
    e = torch.randn_like(mu)  # (N, 20)
    return mu + torch.exp(0.5 * logvar) * e


# %% [markdown]
# The next function puts these pieces together and returns the two parts of the loss.


# %% slideshow={"slide_type": "-"} slide={"lines": "2-5"}
def parts_of_loss(model, x):
    mu, logvar = model.encode(x)  # (N, 20) each
    z = reparameterize(mu, logvar)  # one draw for each image
    reconstruction = -log_bernoulli(model.decode(z), x).mean()
    kl = kl_to_prior(mu, logvar).sum(1).mean()
    return reconstruction, kl


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Before training\n\n**Predict.** A fresh network gives logits close to 0. How large is its reconstruction term for 784 pixels? And its KL?"}
# **Predict.** A network with fresh random weights gives logits close to 0. Before you run anything, estimate both parts
# of its loss for images of 784 pixels: the [reconstruction term](../docs/glossary.md#reconstruction-term) and the KL.

# %% slideshow={"slide_type": "slide"} slide={"text": "## A coin for each pixel", "show": "output"}
torch.manual_seed(seed)
vae = DigitVAE()
with torch.no_grad():
    reconstruction, kl = parts_of_loss(vae, x_test)
print(f"untrained: reconstruction {reconstruction:.1f}, KL {kl:.2f} nats per image")

# %% tags=["check"]
# The small random logits cost about 1 % more than logits of 0; 3 % leaves room for other data.
assert abs(reconstruction - pixels * math.log(2)) < 0.03 * pixels * math.log(2)

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** $784 \\cdot \\log 2 = 543$ nats, and a KL near 0. If your own VAE does not start near $D \\log 2$, its loss is probably not in nats per image.\n\n---\n\n## Training\n\n**Predict.** One of the two parts of the loss rises during training. Which one, and why does an optimizer that minimizes the sum let it?"}
# **Answer.** The reconstruction is close to $784 \cdot \log 2 = 543$ nats, and the KL is close to 0.
#
# **Why?** A logit of 0 means a probability of ½. An untrained decoder tosses a coin for each pixel, and each toss costs
# $\log 2$ nats. An untrained encoder returns a mean and a log-variance close to 0, so $q(z|x)$ is almost equal to the
# prior. If your own VAE, with $D$ pixels and ordinary initial weights, does
# not start near $D \log 2$, its loss is probably not in nats per image.
#
# ## 3 · Training
#
# Here is the whole training loop. Along the way we record the loss on the test images, but we never train on them.
#
# **Predict.** One of the two parts of the loss rises during training. Which part rises, and why would an optimizer that
# minimizes the sum of the two allow this?

# %%
started = time.perf_counter()
optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
history = [(0, float(reconstruction), float(kl))]  # step, and both parts on the test images
step = 0
for _ in range(epochs):
    for batch in torch.randperm(len(images)).split(128):
        reconstruction, kl = parts_of_loss(vae, binarize(images[batch]))
        optimizer.zero_grad()
        (reconstruction + kl).backward()
        optimizer.step()
        step += 1
        if step % record_every == 0:
            with torch.no_grad():
                reconstruction, kl = parts_of_loss(vae, x_test)
            history.append((step, float(reconstruction), float(kl)))
seconds = time.perf_counter() - started  # exercise 3 compares your training time with it

# %% [markdown]
# The figure stacks the two parts of the loss, so its upper edge is $-L_b$. The very first values are too large to be
# shown.

# %% alt="Two coloured areas stacked over the training steps: the lower one, the KL, grows from nothing and levels off; the upper one, the reconstruction, shrinks quickly at first and then slowly, and so does their sum." slideshow={"slide_type": "slide"} slide={"text": "## The KL is the price of what the code says"}
figures.loss_parts(history)

# %% slideshow={"slide_type": "fragment"}
_, reconstruction_start, kl_start = history[0]
_, reconstruction_end, kl_end = history[-1]
display(
    Markdown(
        f"**Answer.** The KL rises, from {kl_start:.1f} to {kl_end:.1f} nats, while "
        f"the reconstruction falls from {reconstruction_start:.0f} to {reconstruction_end:.0f}."
    )
)

# %% tags=["check"]
# On MNIST the KL ends above 20 nats and −L_b falls by hundreds;
# with other images the model may learn less.
assert kl_end > kl_start or not on_mnist
assert reconstruction_end + kl_end < reconstruction_start + kl_start


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A popular mistake\n\n`binary_cross_entropy_with_logits` averages over pixels by default. That is the same as $\\beta = 784$.\n\n**Predict.** What will the KL be after such training, and what will all the samples look like?"}
# **Why?** The KL is the price of what the encoder tells the decoder. At the start the code says almost nothing about
# $x$, so the KL is close to 0 and the reconstruction is poor. A nat of KL is well spent as long as it saves more than a
# nat of reconstruction, and early in training it saves many.
#
# ### A popular mistake
#
# By default, `binary_cross_entropy_with_logits` averages over pixels as well as over images. It is easy to overlook
# this default, and no error message warns you. With the default, the reconstruction term is 784 times too small. Apart
# from the overall scale of the loss, averaging over pixels amounts to multiplying the KL by $\beta = 784$.
#
# To try out different values of $\beta$, we turn the training loop into a function that multiplies the KL by $\beta$.
# To save time, this function uses larger batches and a higher learning rate than the loop above.
#
# **Predict.** What will the KL be after training with $\beta = 784$, and what will the samples look like?


# %%
def train(beta, epochs, rows=images):
    torch.manual_seed(seed)
    model = DigitVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(256):
            reconstruction, kl = parts_of_loss(model, binarize(rows[batch]))
            loss = reconstruction + beta * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


# %% alt="Two rows of ten pictures: the ten samples above are nearly the same grainy grey blob, which resembles the smooth mean of the training images below." slideshow={"slide_type": "slide"} slide={"text": "## Posterior collapse"}
averaged = train(beta=pixels, epochs=1, rows=images[:20_000])
with torch.no_grad():
    _, kl_averaged = parts_of_loss(averaged, x_test)
    samples = torch.sigmoid(averaged.decode(torch.randn(10, 20)))  # (10, 784)
mean_image = (images.float().mean(0) / 255).expand(10, -1)  # the same image ten times
figures.labelled_rows({"samples": samples, "mean image": mean_image}, shape)

# %%
print(f"KL after training with the averaged loss: {kl_averaged:.4f} nats")

# %% tags=["check"]
assert kl_averaged < 0.1 * kl_end  # several orders of magnitude below on MNIST

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The KL all but vanishes, and every sample is close to the mean image. A decoder that is told nothing can do no better.\n\n---\n\n## A loss from one draw\n\nOne $z$ for each image: the loss is an *estimate* of $-L_b$, right on average.\n\n**Predict.** Compute the loss of one fixed image 300 times. By how many nats does it vary? And the mean over 128 images?"}
# **Answer.** The KL all but vanishes, and every sample is nearly the same blurred image, close to the mean of the
# training images.
#
# **Why?** Each nat of KL would now have to save 784 nats of reconstruction, which is impossible. The encoder therefore
# tells the decoder nothing, and $q(z|x)$ is almost exactly the prior for every $x$. This is called
# **[posterior](../docs/glossary.md#posterior) collapse**. A decoder that is told nothing can do no better than return
# the average image. If all the samples of a VAE look alike, first check that the loss is summed over pixels.
#
# ## 4 · A loss from one draw
#
# `parts_of_loss` draws a single $z$ for each image. The sum of the two parts that it returns is therefore only an
# *estimate* of $-L_b$. This estimate is right on average, but it varies from call to call.
#
# **Predict.** If we compute the loss of the same test image 300 times, by how many nats will the results vary? And if
# we compute the mean loss of the same 128 images 300 times, by how many nats will this mean vary?

# %%
one_image = x_test[:1].expand(300, -1)  # the same image 300 times
with torch.no_grad():
    mu, logvar = vae.encode(one_image)
    z = reparameterize(mu, logvar)  # 300 different codes of it
    single = kl_to_prior(mu, logvar).sum(1) - log_bernoulli(vae.decode(z), one_image)  # (300,)

# %% [markdown]
# Next, we take one fixed batch of 128 different images and compute its mean loss 300 times.

# %%
batch_losses = []
with torch.no_grad():
    for _ in range(300):
        reconstruction, kl = parts_of_loss(vae, x_test[:128])
        batch_losses.append(float(reconstruction + kl))
batch_losses = torch.tensor(batch_losses)

# %% alt="Two histograms of 300 losses each, both centred at zero: that of a single image spreads over many nats, and that of a batch of 128 images is a narrow peak." slideshow={"slide_type": "slide"} slide={"text": "## Enough to train, not to compare"}
figures.scatter_of_losses(single - single.mean(), batch_losses - batch_losses.mean())

# %% slideshow={"slide_type": "fragment"}
display(
    Markdown(
        "**Answer.** The loss of this one image has a standard deviation "
        f"of {single.std():.1f} nats. "
        f"The mean over a batch of 128 has one of {batch_losses.std():.2f} nats."
    )
)

# %% tags=["check"]
# 128 images of equal scatter would give a factor of 11.3; images differ, so we ask for only 5.
assert single.std() > 5 * batch_losses.std() or not on_mnist

# %% [markdown]
# **Why?** The errors of different images are independent, so averaging over $n$ images divides the standard deviation
# by about $\sqrt n$. A batch with one draw per image is good enough to *train* on, because the next step uses fresh
# draws. A single batch is too noisy, however, to *compare* two models whose losses differ by half a nat. To compare
# models, average over more images and take several draws of $z$ for each image, as `course_lib.evaluation.elbo` does.

# %% [markdown]
# For a given image, the KL has no sampling noise at all, because there is a formula for the KL between two Gaussians.
# We can check the formula by sampling, because $\mathrm{KL}(q\,\|\,P) = \mathbb{E}_q[\log q(z|x) - \log P(z)]$. When
# there is no such formula, for instance because the prior is a mixture, sampling is the only option.

# %%
with torch.no_grad():
    mu, logvar = vae.encode(x_test)
q = Normal(mu, torch.exp(0.5 * logvar))
z = q.sample((100,))  # (100, T, 20)
log_ratio = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(2)  # (100, T)

# %% [markdown]
# The mean of $\log q(z|x) - \log P(z)$ over draws and images should agree with the formula for the KL.

# %%
closed_form = float(kl_to_prior(mu, logvar).sum(1).mean())
estimates = log_ratio.double().mean(1)  # (100,), each a mean over all images
sampled, sampled_se = float(estimates.mean()), float(estimates.std()) / 10
print(f"KL by the formula {closed_form:.3f}, by sampling {sampled:.3f} ± {sampled_se:.3f} nats")

# %% tags=["check"]
assert abs(sampled - closed_form) < 4.5 * sampled_se  # exceeded by chance about once in 50,000 runs

# %% [markdown]
# The formula and the sampled estimate agree to within the sampling error. (The last KL of section 3 may differ from
# these by a nat or so. It was recorded shortly before the end of training, and every step changes
# the encoder.)
#
# According to the lecture, the reconstruction part of $-L_b$ has the same goal as an
# [auto-encoder](../docs/glossary.md#auto-encoder): an output that is as close as possible to the input. With a Gaussian
# decoder of fixed variance $s^2$, this part is indeed the squared error, up to a factor and a constant:
# $-\log P(x|z) = \|x - \hat x\|^2 / 2s^2 + \tfrac{D}{2} \log 2\pi s^2$, where $\hat x$ is the output of the decoder
# and $D$ the number of pixels. We compute both sides.

# %% [markdown]
# As inputs, we use the ten grey digits shown above, because a Gaussian decoder makes more sense for grey images than
# for black-and-white ones.

# %%
variance = 0.1
with torch.no_grad():
    x_hat = torch.sigmoid(vae.decode(vae.encode(grey)[0])).double()  # (10, 784)
minus_log_p = -Normal(x_hat, variance**0.5).log_prob(grey.double()).sum(1)  # (10,)
squared_error = (grey - x_hat).square().sum(1)  # (10,)
constant = pixels / 2 * math.log(2 * math.pi * variance)

# %%
difference = float((minus_log_p - squared_error / (2 * variance) - constant).abs().max())
print(f"largest difference between the two sides: {difference:.0e} nats")

# %% tags=["check"]
assert difference < 1e-9  # rounding in float64 leaves about 1e-13 nats in a sum of 784 terms

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What \u201csample\u201d means\n\nTo sample, draw $z$ from the prior, and decode: each pixel gets a probability of white.\n\nThe figure shows test digits, their reconstructions, and, for $z$ from the prior, the probabilities (*mean*) and pixels *drawn* from them.\n\n**Predict.** Which row shows samples of this model?"}
# ## 5 · Reconstructions, samples, and what "sample" means
#
# To **reconstruct** a test digit, we encode it, take the mean of $q(z|x)$, and decode. To **sample**, we need no
# encoder: we draw $z$ from the prior and decode. In both cases the decoder returns, for each pixel, the probability of
# white, which we can show as a shade of grey. Or we can take the model at its word and *draw* each pixel as either
# black or white.
#
# The figure below has four rows: test digits, their reconstructions as shades of grey, and, for ten codes drawn from
# the prior, the probabilities of white as shades of grey (*mean*) and pixels drawn from these probabilities (*drawn*).
#
# **Predict.** The model is a distribution over black-and-white images. Which of the four rows show samples from the
# model?

# %% alt="Four rows of ten digits: test digits in black and white; soft grey reconstructions of the same digits; soft grey samples, only a few of which are clear digits; and the same samples in black and white with speckled edges." slideshow={"slide_type": "slide"} slide={"text": "## Means, and draws"}
torch.manual_seed(seed)
with torch.no_grad():
    reconstructions = torch.sigmoid(vae.decode(vae.encode(x_test[:10])[0]))  # (10, 784)
    probabilities = torch.sigmoid(vae.decode(torch.randn(10, 20)))  # (10, 784)
drawn = torch.bernoulli(probabilities)
rows = {
    "test digits": x_test[:10],
    "reconstructed": reconstructions,
    "mean": probabilities,
    "drawn": drawn,
}
figures.labelled_rows(rows, shape)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Only the row *drawn*. Compare means with means, or draws with draws."}
# **Answer.** Only in the row *drawn*. Each image in the row *mean* is the mean of all the samples with the same $z$,
# and not an image that the model itself can produce. The same holds for the reconstructions;
# moreover, their codes come from test digits and not from the prior.
#
# **Why the speckles?** Given $z$, each pixel is drawn independently. Where the decoder is unsure, as at the edge of a
# stroke, each pixel turns out black or white regardless of its neighbours.

# %% [markdown]
# Are the images drawn from the model more ragged than the test digits? To find out, we count the pairs of neighbouring
# pixels that differ.


# %%
def edges(x):
    image = x.reshape(-1, *shape)  # (N, 28, 28)
    beside = (image[:, :, 1:] != image[:, :, :-1]).sum((1, 2))  # (N,)
    below = (image[:, 1:] != image[:, :-1]).sum((1, 2))  # (N,)
    return float((beside + below).float().mean())


# %% [markdown]
# We compare the test digits with an equal number of images drawn from the model.

# %%
torch.manual_seed(seed)
with torch.no_grad():
    many_means = torch.sigmoid(vae.decode(torch.randn(len(x_test), 20)))  # (T, 784)
many_drawn = torch.bernoulli(many_means)
print(
    f"neighbours that differ: {edges(x_test):.0f} in a test digit, "
    f"{edges(many_drawn):.0f} in a drawn one"
)

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Between two digits\n\nA straight line from one code to the other, and a cross-fade, which mixes the pixels themselves.\n\n**Predict.** What does each of the two rows show half way?"}
# The images drawn from the model are indeed more ragged than the test digits. Papers mostly show means, because means
# look better than draws. When you compare models by their samples, make sure that you compare means with means, or
# draws with draws.
#
# Many of the samples are not digits at all, whether you look at the means or at the draws. The codes of these failures
# lie in regions where the codes of training images hardly ever fall. We look for such regions on a map of the codes in
# [How good is a VAE?](05_how_good.ipynb).
#
# ## 6 · Between two digits
#
# We encode two test digits, move in steps along the straight line from the first code to the second in the
# 20-dimensional space, and decode each of these points. For comparison, a cross-fade mixes the pixels of the two
# decoded digits.
#
# **Predict.** What will the decoder show half way between the two codes, and what will the cross-fade show at its
# midpoint?

# %% alt="Two rows of eleven images that lead from a 7 to a 2: in the upper row a single shape changes step by step and is faint and broken half way; in the lower row the 7 fades out while the 2 fades in over it." slideshow={"slide_type": "slide"} slide={"text": "## One shape, or two ghosts"}
first = int((y_test == y_test[0]).nonzero()[0])
second = int((y_test != y_test[0]).nonzero()[0])
t = torch.linspace(0, 1, 11)[:, None]  # (11, 1)
with torch.no_grad():
    mu, _ = vae.encode(x_test)  # (T, 20)
    line = (1 - t) * mu[first] + t * mu[second]  # (11, 20)
    decoded = torch.sigmoid(vae.decode(line))  # (11, 784)
    ends = torch.sigmoid(vae.decode(mu[[first, second]]))  # (2, 784)
cross_fade = (1 - t) * ends[0] + t * ends[1]  # (11, 784)
figures.labelled_rows({"through the code": decoded, "cross-fade": cross_fade}, shape)


# %% [markdown]
# One pair proves little. For 500 random pairs of test digits we count the *undecided* pixels, those with a probability
# between 0.3 and 0.7, at the ends and in the middle of each path.


# %%
def undecided(p):
    return float(((p > 0.3) & (p < 0.7)).sum(1).float().mean())


# %% [markdown]
# For each pair of digits, we decode both codes and the midpoint between them. The middle image of the cross-fade is the
# average of the two decoded digits.

# %%
a = torch.randint(len(x_test), (500,))
b = torch.randint(len(x_test), (500,))
with torch.no_grad():
    end_a = torch.sigmoid(vae.decode(mu[a]))  # (500, 784)
    end_b = torch.sigmoid(vae.decode(mu[b]))
    half_way = torch.sigmoid(vae.decode((mu[a] + mu[b]) / 2))
at_ends, in_code, in_pixels = undecided(end_a), undecided(half_way), undecided((end_a + end_b) / 2)

# %% slideshow={"slide_type": "fragment"}
display(
    Markdown(
        "**Answer.** Half way through the code there is one shape, though a blurred one; "
        "half way through the cross-fade there are two ghosts. "
        f"Undecided pixels: {at_ends:.0f} at the ends, {in_code:.0f} half way through the code, "
        f"{in_pixels:.0f} half way through the cross-fade."
    )
)

# %% tags=["check"]
assert in_code < in_pixels or not on_mnist

# %% [markdown]
# **Why?** The decoder is continuous, and because of the encoder's noise it has been trained on whole regions of codes.
# Either fact may explain why the decoder draws a single shape at the midpoint between two codes. In
# *From auto-encoder to VAE*, a plain auto-encoder produced a single coherent shape from a point
# between two codes even without noise, but here we have not trained one for comparison. The
# cross-fade only mixes pixels, so it is undecided wherever the two digits differ.

# %% [markdown]
# But is a straight line a good path between two codes? The squares of the 20 numbers in a code drawn from the prior add
# up to 20 on average, so the length of the code is about $\sqrt{20} \approx 4.5$, with a standard deviation of only
# about 0.7. The midpoint of two independent draws from the prior lies closer to the centre, at a
# distance of about $\sqrt{10} \approx 3.2$. The density of the prior is *higher* so close to the
# centre, yet few draws land there, because there is so much more room farther out.

# %%
torch.manual_seed(seed)
z = torch.randn(10_000, 20)
z_middle = (z[:5_000] + z[5_000:]) / 2  # (5000, 20)
length = z.norm(dim=1)
middle = z_middle.norm(dim=1)
print(
    f"length of a draw {length.mean():.2f} ± {length.std():.2f}, of a midpoint {middle.mean():.2f}"
)
shorter = (length < middle.mean()).float().mean()
print(f"draws that are shorter than the average midpoint: {shorter:.1%}")

# %% [markdown]
# For digits, a straight line between the codes works well enough. With models that draw sharper images, people often
# follow an arc on a sphere instead (White 2016), and now you know why.
#
# ## 7 · What does a code say?
#
# The lecture contrasts two kinds of code. A mixture of Gaussians puts each image into one cluster, so the code is a
# single label. A VAE assigns each image a vector: a *distributed* code in which several numbers
# describe different aspects of the image. We let a mixture with ten components and our VAE describe
# the same test digits, and ask how well the digits can be rebuilt from each description.
#
# **Predict.** How many nats of information can the choice of one component out of ten carry at most? Will the VAE's
# code carry more information than that?

# %%
black_white = binarize(images[:10_000])
# a mixture in 784 dimensions would be slow
pca = PCA(min(50, pixels), random_state=seed).fit(black_white)
projected = torch.from_numpy(pca.transform(black_white)).double()
mixture = GaussianMixture(10, covariance_type="diag", random_state=seed, reg_covar=1e-3, tol=1e-2)
mixture = mixture.fit(projected)

# %% [markdown]
# With the mixture, we rebuild each image as the mean of the component to which it was assigned. With the VAE, we
# rebuild each image by decoding the mean of $q(z|x)$.

# %%
labels = mixture.predict(torch.from_numpy(pca.transform(x_test)).double())  # (T,)
from_label = torch.from_numpy(pca.inverse_transform(mixture.means_[labels]))  # (T, 784)
with torch.no_grad():
    from_code = torch.sigmoid(vae.decode(mu))
error_label = float((x_test - from_label).square().sum(1).mean())
error_code = float((x_test - from_code).square().sum(1).mean())
print(f"squared error per image: from the label {error_label:.1f}, from the code {error_code:.1f}")

# %% [markdown]
# How much does the code really tell us about the image? The KL term of the loss does not answer this question. Averaged
# over the images, the KL is only an upper bound on the information that $z$ carries about $x$ (Hoffman & Johnson 2016).
# For a *finite* set of $N$ images, however, we can measure how well $z$ identifies the image that it came from.
# Identifying one image among $N$ takes at most $\log N$ nats. The package's function `elbo_surgery`
# measures how many nats of information the code carries, but it works only with models of the
# package's own class `VAE`. This class has the same two networks and the same loss as our
# `DigitVAE`, so we copy our weights into it.

# %%
packaged = VAE(shape=shape)
packaged.encoder.layers.load_state_dict(vae.encoder.state_dict())
packaged.decoder.layers.load_state_dict(vae.decoder.state_dict())
surgery = elbo_surgery(packaged, x_test)

# %%
information = surgery["information"].mean
print(f"a label: at most log 10 = {math.log(10):.2f} nats")
most = math.log(len(x_test))
print(f"the code: {information:.2f} of at most log {len(x_test)} = {most:.2f} nats")

# %% tags=["check"]
assert error_code < error_label or not on_mnist
assert information > math.log(10) or not on_mnist


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Distributed is not disentangled\n\nIn a *disentangled* code, each dimension stands for one property. Here are three: *ink*, *slant* and *width*. How much of each does one of the 20 dimensions explain?\n\n**Predict.** Will ink be explained by one dimension, or by several?"}
# **Answer.** The choice of one component out of ten carries at most $\log 10 = 2.3$ nats. The VAE's code carries far
# more. It tells nearly all the test images apart, so the measured number of nats is close to its ceiling, the logarithm
# of the number of images. With more images the number could be larger still. Images rebuilt from the code rather
# than from the label have a far smaller error.
#
# ### Distributed is not disentangled
#
# Does the code go further, with one dimension for thickness, another for slant, and so on? A code
# in which each dimension stands for one property is called **disentangled**. The lecture says that
# each dimension stands for some attribute. Let us see. We take three properties that we can compute
# from the pixels: the amount of *ink*, the *slant*, and the *width* (the mean squared distance of
# the ink from the vertical centre line). For each of the 20 dimensions we ask how much of the
# variance of each property it explains by itself ($R^2$, from 0 to 1). Then we ask what share of
# the variance all 20 dimensions together explain in a linear regression. (Fitting 20 coefficients
# to 1,000 images raises $R^2$ by about 0.02 by chance, which does not matter here.)
#
# **Predict.** Will ink be explained by one dimension or by several?


# %%
def properties(x):
    image = x.reshape(-1, *shape)
    row = torch.arange(shape[0]).float()[:, None] - shape[0] / 2  # (28, 1)
    column = torch.arange(shape[1]).float() - shape[1] / 2  # (28,)
    ink = image.sum((1, 2))  # (N,)
    spread = (image * column**2).sum((1, 2)) / ink.clamp(min=1)
    slant = (image * row * column).sum((1, 2)) / ink.clamp(min=1)
    return torch.stack([ink, slant, spread], 1)  # (N, 3)


# %% [markdown]
# We fit a linear regression by least squares and compute $R^2$, the share of the variance that it
# explains.


# %%
def r_squared(features, target):
    features = torch.cat([features, torch.ones(len(features), 1)], 1)  # an intercept
    fit = torch.linalg.lstsq(features, target).solution
    residual = target - features @ fit
    return float(1 - residual.var() / target.var())


# %% [markdown]
# For each property, we fit a separate regression on each single dimension of the code and one more
# on all 20 dimensions together.

# %%
names = ["ink", "slant", "width"]
alone = torch.zeros(3, 20)
together = torch.zeros(3)
targets = properties(x_test)  # (T, 3)
for i in range(3):
    together[i] = r_squared(mu, targets[:, i : i + 1])
    for j in range(20):
        alone[i, j] = r_squared(mu[:, j : j + 1], targets[:, i : i + 1])

# %% alt="Three rows of 20 bars, one row each for ink, slant and width: each property is spread over several low bars, and a dashed line far above them shows what all dimensions explain together." slideshow={"slide_type": "slide"} slide={"text": "## By several"}
figures.shares(alone, together, names)

# %%
best = alone.max(dim=1).values
table = "| $R^2$ | best single dimension | all 20 together |\n|---|---|---|\n"
for i in range(3):
    table += f"| {names[i]} | {best[i]:.2f} | {together[i]:.2f} |\n"
display(Markdown(table))

# %% tags=["check"]
assert (best < together - 0.1).all() or not on_mnist

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** By several. Nothing in the loss asks for one property in each dimension."}
# **Answer.** By several, and the same holds for slant and width. No single dimension explains a property nearly as
# well as all of them together.
#
# **Why?** Nothing in the loss asks for one property in each dimension. The prior is the same in every direction, and
# the decoder's first layer can mix the dimensions as it likes. The result is a **distributed** code, in which several
# numbers together describe the image. Disentanglement is a much stronger requirement. Locatello et
# al. (2019) prove that, without further assumptions, unlabelled data alone cannot single out a
# disentangled code.

# %% [markdown]
# How does the image change if we vary a single dimension of the code? We take the code of one test digit, move one of
# its coordinates from −2.5 to 2.5 in steps, and decode at every step. The KL of a dimension, averaged over images, is
# an upper bound on the information that this dimension carries. We therefore vary the three dimensions with the largest
# KL and, for comparison, the one with the smallest.
#
# **Predict.** What will change along a row, one property of the digit or several? Will the pictures at the two ends of
# a row still be digits?

# %% alt="Four rows of eleven images, each a walk along one dimension of the code from \u22122.5 to 2.5, as the numbers above the columns say: in the upper rows the strokes of a digit bend, fade or grow from left to right; in the lowest row hardly anything changes."
with torch.no_grad():
    mu, logvar = vae.encode(x_test)
kl_each = kl_to_prior(mu, logvar).mean(0)  # (20,)
order = kl_each.argsort(descending=True)
places = torch.linspace(-2.5, 2.5, 11)
walks = {}
for dimension in (order[0], order[1], order[2], order[-1]):
    z = mu[first].repeat(11, 1)  # (11, 20)
    z[:, dimension] = places
    with torch.no_grad():
        walks[f"KL {kl_each[dimension]:.2f}"] = torch.sigmoid(vae.decode(z))
above = [f"{place:g}".replace("-", "−") for place in places.tolist()]
figures.labelled_rows(walks, shape, above)

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The price of information\n\nThe factor $\\beta$ makes information cheaper or dearer. We train with $\\beta$ = \u00bc, 1 and 4.\n\n**Predict.** What happens to a dimension whose KL costs more than it saves in reconstruction?"}
# **Answer.** Several properties change at once. In the upper rows, some strokes bend while others grow or fade, and
# some of the pictures at the ends are hardly digits any more. In the bottom row, the digit
# hardly changes.
#
# **Why do the ends go wrong?** In any one dimension, few codes of training images reach ±2.5, and hardly any of these
# share the other 19 coordinates of this digit.
#
# ## 8 · The price of information
#
# The factor $\beta$ makes information cheaper or dearer (Higgins et al. 2017). We train three networks that differ only
# in $\beta$ and look at the KL of each dimension.
#
# **Predict.** What happens to a dimension whose KL costs more than it saves in reconstruction?

# %%
models = {}
for beta in (0.25, 1, 4):
    models[beta] = train(beta, beta_epochs)

# %% [markdown]
# We average the KL of each dimension over the test digits and sort the dimensions from the largest KL to the smallest.

# %%
kl_sorted = {}
for beta, model in models.items():
    with torch.no_grad():
        mu_beta, logvar_beta = model.encode(x_test)
    kl_beta = kl_to_prior(mu_beta, logvar_beta).mean(0)  # (20,)
    kl_sorted[beta] = kl_beta.sort(descending=True).values

# %% alt="Three falling curves, the KL of the 20 dimensions in descending order: the one for \u03b2 = \u00bc stays highest, the one for \u03b2 = 4 is the lowest and falls almost to zero well before the last dimension." slideshow={"slide_type": "slide"} slide={"text": "## It goes unused"}
figures.kl_by_dimension(kl_sorted)

# %% [markdown]
# We measure all three models with the same yardstick: $-L_b$ itself, in which the KL has weight 1.

# %%
table = "| β | dimensions with a KL above 0.1 nats | KL | reconstruction | $-L_b$ |\n"
table += "|---|---|---|---|---|\n"
for beta, model in models.items():
    with torch.no_grad():
        reconstruction, kl = parts_of_loss(model, x_test)
    alive = int((kl_sorted[beta] > 0.1).sum())
    total = reconstruction + kl
    table += f"| {beta} | {alive} of 20 | {kl:.1f} | {reconstruction:.1f} | {total:.1f} |\n"
display(Markdown(table))

# %% tags=["check"]
if on_mnist:
    assert kl_sorted[0.25].sum() > kl_sorted[1].sum() > kl_sorted[4].sum()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Its $q$ stays close to the prior, and the decoder ignores it. Only with $\\beta = 1$ is the loss itself $-L_b$.\n\n---\n\n## Can a VAE overfit?\n\nThe KL is often called a regularizer.\n\n**Predict.** One model is trained on all our digits, one on only 1,000. How large is the gap between training and test digits, in nats?"}
# **Answer.** Such a dimension goes unused: its $q$ stays close to the prior, its KL stays close to 0, and the decoder
# ignores it. With $\beta = 4$, about half of the dimensions go unused. This is posterior collapse again, but one
# dimension at a time.

# %% [markdown]
# **Why care about β = 1?** Only with $\beta = 1$ is the training loss itself $-L_b$, a bound on $-\log P(x)$. With
# $\beta > 1$ the training loss is still an upper bound on $-\log P(x)$, but a looser one than $-L_b$. With $\beta < 1$
# the training loss need not be a bound at all. The table compares the models by $-L_b$ itself, whatever the value of
# $\beta$ in training.
#
# ## 9 · Can a VAE overfit?
#
# The KL term is often called a regularizer, so one might hope that it protects against overfitting.
#
# **Predict.** By how many nats will $-L_b$ be higher on test digits than on training digits? Make one guess for our
# model and another for a model trained on only 1,000 digits.

# %%
few = images[:n_few]
overfitted = train(beta=1, epochs=few_epochs, rows=few)


# %% [markdown]
# To compare models, we average over 20 draws of $z$ for each image, as section 4 recommends.


# %%
@torch.no_grad()
def minus_elbo(model, x, draws=20):
    total = 0.0
    for _ in range(draws):
        reconstruction, kl = parts_of_loss(model, x)
        total += float(reconstruction + kl)
    return total / draws


# %% slideshow={"slide_type": "slide"} slide={"text": "## Yes", "show": "output"}
x_train = binarize(few)  # also the first training digits of the main model
gap_main = minus_elbo(vae, x_test) - minus_elbo(vae, x_train)
gap_few = minus_elbo(overfitted, x_test) - minus_elbo(overfitted, x_train)
display(
    Markdown(
        "**Answer.** $-L_b$ on test digits exceeds that on training digits "
        f"by {gap_main:.1f} nats for the model trained on {len(images):,} digits, "
        f"and by {gap_few:.1f} nats for the one trained on {n_few:,}."
    )
)

# %% tags=["check"]
assert gap_few > gap_main + 5 or not on_mnist

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "The KL limits what a code says about *one* image. It does not limit what the weights remember about all of them."}
# **Why?** The KL limits how much a code says about *one* image. It does not limit what the weights remember about the
# whole training set, and two networks with more than 300,000 weights each can remember a lot about 1,000 images. A
# small gap between test and training digits is partly due to the luck of the draw, because some
# digits are easier to model than others. Even between two sets of 1,000 digits, neither of which
# the model has seen, the mean loss differs by a nat or so. Always report likelihoods on test
# images.
#
# ## What the lecture said, what we measured

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 5 | a cluster label is not enough; a distributed code describes different sides of $x$ | squared error from a label {error_label:.1f}, from the code {error_code:.1f}; information among {len(x_test):,} images {information:.1f} nats, a label at most {math.log(10):.1f} | holds against a label of ten, which carries far less information; bit for bit a label can tell more (*Gaussian mixtures and EM*) |
| 5 | each dimension of $z$ stands for some attribute | R² of the best single dimension: ink {best[0]:.2f}, slant {best[1]:.2f}, width {best[2]:.2f}; of all 20 together {together[0]:.2f}, {together[1]:.2f}, {together[2]:.2f} | not confirmed here: each attribute is spread over several dimensions |
| 17 | $L_b$ is a KL to the prior and a reconstruction | KL by the formula {closed_form:.3f}, by sampling {sampled:.3f} ± {sampled_se:.3f} nats | holds |
| 18 | without the variance, the reconstruction is the auto-encoder's error | a Gaussian of fixed variance gives the squared error to {difference:.0e} nats | holds; our Bernoulli decoder gives a cross-entropy instead |

Protocol: {len(images):,} training digits, binarized anew at each step; {epochs} epochs, one network, seed {seed}; {len(x_test):,} test digits in one fixed binarization. Claims are numbered across the whole course.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In exercises 1 and 2, fill in the missing steps, run the cell, and then run the check below it. The check says
# "Correct" or names the mistake. Exercise 3 is open-ended: you judge the result yourself. All
# logarithms are natural, so the results are in nats.
#
# **1. The reconstruction, by hand.** In section 2, PyTorch computed the cross-entropy for us. Now compute $\log P(x|z)$
# step by step, given the decoder's logits and pixels that are either 0 or 1. (The check also
# accepts PyTorch's cross-entropy, but try without it.) A decoder that is very sure of itself gives
# logits of ±200, whose sigmoid rounds to 0 or 1 in single precision. The logarithm of 0 is
# $-\infty$, and a clamp only hides the problem. Make sure, too, that `exp` does not overflow for
# logits of ±1000. The function is part of a loss and must be differentiable. Use only PyTorch
# operations, because `item`, `detach` and NumPy stop the gradient from flowing back.


# %%
def my_log_bernoulli(logits, x):
    """log P(x|z) in nats: logits (N, D) and x (N, D), zeros and ones, give (N,)."""
    # 1. log p where a pixel is 1, log (1 − p) where it is 0, with p = sigmoid(logits): (N, D)
    # 2. given z the pixels are independent; what does that mean for their log-probabilities? (N,)
    raise NotImplementedError


# %%
checks.log_bernoulli(my_log_bernoulli)


# %% [markdown]
# **2. New images.** You need no encoder, because the prior supplies $z$ and the decoder turns it into an image.
# `decode` accepts all $n$ codes at once, a few of them, or a single code of shape (d,), and returns logits. Your
# function should return, for each pixel, the probability that it is white, not a pixel value drawn
# with that probability.


# %%
def my_generate(decode, n, d):
    """n new images as pixels in [0, 1], (n, D): decode turns z (n, d) into logits (n, D)."""
    # 1. draw z (n, d) from the prior N(0, I)
    # 2. decode, and turn logits into probabilities
    raise NotImplementedError


# %%
checks.generate(my_generate)

# %% [markdown]
# **3. Design: one nat better.** In no more than a minute of training (or, on a slow or busy machine, twice the time
# that our own training loop took in section 3), reach an $L_b$ on the test digits that is at least one nat higher than
# that of our model. You may change the networks, the optimizer, the learning rate and its schedule, the batch size, or
# the way the decoder's last bias is initialized. To choose among your designs, use training digits that you have set
# aside. If you try ten designs and pick the one that is best on the test digits, you have tuned on
# the test set. Put your training code between the first and last lines of the next cell, which
# measure the time, and assign your model to `my_model`. The model must have the methods `encode`
# and `decode`, and `decode` must see nothing but the codes.

# %%
started = time.perf_counter()
my_model = None  # your trained model
my_seconds = time.perf_counter() - started


# %%
def judged(gain, my_seconds, limit):
    if my_seconds > limit:
        return f"The exercise allows only {limit:.0f} seconds of training."
    if gain >= 1:
        return "Well done!"
    if gain < -50 or math.isnan(gain):
        return (
            "That is so far below that something must be broken. Does the loss start near D log 2, "
            "does it fall, and does `decode` return logits?"
        )
    return (
        "Is your training loss still falling at the end? Try a larger learning rate that decays "
        "to 0. Has it levelled off? Change the networks."
    )


# %%
if my_model is None:
    print("Not started: assign your trained model to my_model.")
elif not (hasattr(my_model, "encode") and hasattr(my_model, "decode")):
    print("Your model must have the methods `encode` and `decode`, as DigitVAE has.")
else:
    shuffled = x_test[torch.randperm(len(x_test))]  # so no decoder can know which digit comes next
    gain = minus_elbo(vae, shuffled) - minus_elbo(my_model, shuffled)
    print(f"Your training took {my_seconds:.0f} seconds, and ours took {seconds:.0f}.")
    print(f"Your training changes the bound by {gain:+.2f} nats.")
    print(judged(gain, my_seconds, limit=max(60, 2 * seconds)))

# %% [markdown]
# ## Further reading
#
# - Kingma & Welling 2014, *Auto-Encoding Variational Bayes*. The paper that introduced the VAE; appendix B derives the
#   KL.
# - Rezende, Mohamed & Wierstra 2014, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*.
#   The same idea, found independently, with several layers of [latent variables](../docs/glossary.md#latent-variable).
# - Higgins et al. 2017, *β-VAE*. The origin of the factor β, and what it was meant to achieve.
# - Locatello et al. 2019, *Challenging Common Assumptions in the Unsupervised Learning of Disentangled
#   Representations*. Why disentangled codes do not come for free.
# - Hoffman & Johnson 2016, *[ELBO](../docs/glossary.md#evidence-lower-bound-elbo) surgery*. What the KL term is made
#   of, and why it only bounds the information.
# - Prince 2023, *Understanding Deep Learning*, chapter 17. A patient textbook treatment with many figures.
