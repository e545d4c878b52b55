# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# From auto-encoder to VAE\n\n- A code of one number, and the holes between codes\n- Noise on the code, and a price for the code\n- A gradient through a random draw\n- Let everyone mark their own exam: all get 100"}
# # 03 · From auto-encoder to VAE
#
# After this notebook you will be able to
# - train an [auto-encoder](../docs/glossary.md#auto-encoder) and a
#   [VAE](../docs/glossary.md#variational-auto-encoder-vae) with a loop of ten lines, and name the two ways in which the
#   models differ;
# - say what a hole between two codes is, when it appears, and what noise can and cannot do about it;
# - explain why the code is drawn as $e^{\sigma} \varepsilon + m$, and when another estimator of the gradient does
#   better;
# - show that the noise dies down without the KL term, write that term correctly, and estimate it where it has no
#   formula.
#
# **Time:** two to four minutes to run on a laptop with two cores, and about 90 minutes to work through.
#
# **Prerequisites:** [The evidence lower bound](02_elbo.ipynb), and a little PyTorch. You need no GPU, and no data
# either, because we draw the moon ourselves. The notebook uses 1.3 GB of memory.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import copy
import math

import torch
from IPython.display import Markdown, display
from scipy.optimize import minimize_scalar
from torch import nn
from torch.distributions import Normal

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.data import draw_moon, moon_phases
from course_lib.device import FAST
from course_lib.figures import autoencoder as figures
from course_lib.models.networks import mlp
from course_lib.widgets import CodeLine

plots.use_style()

# %% tags=["parameters"]
steps = 250 if FAST else 600  # of each training run
n_seeds = 2 if FAST else 8  # training runs of each kind in sections 3 and 6
n_draws = 5_000 if FAST else 20_000  # for the variance of a gradient
n_orders = 50 if FAST else 300  # ways to shuffle the codes
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Moons, and a code of one number\n\nAn *encoder* maps a picture to a short code $z$, a *decoder* maps the code back. The loss is $\\lVert x - \\hat x \\rVert^2$."}
# ## 1 · Moons, and a code of one number
#
# Here is the moon from new to full: 33 pictures of 20×20 pixels, or 33 points in 400 dimensions. Yet each picture is
# determined by a single number, the phase of the moon. An *auto-encoder* (Hinton & Salakhutdinov 2006) tries to find
# such a number on its own. One network, the *[encoder](../docs/glossary.md#encoder)*, maps a picture $x$ to a short
# *code* $z$. A second network, the *[decoder](../docs/glossary.md#decoder)*, maps the code back to a picture $\hat x$.
# The loss is the squared error $\lVert x - \hat x \rVert^2$. Nobody tells the networks what a phase is.

# %%
size = 20
moons = moon_phases(33, size)[0].flatten(1)  # (N, D): 33 pictures of 400 pixels

# %% alt="Seventeen moons in a row, from a black new moon through crescents and the half moon to a full disc." slideshow={"slide_type": "-"}
figures.image_rows({"every second moon": moons[::2]})

# %% [markdown]
# Because we drew these moons ourselves, we can draw as many *true* moons as we like and judge a decoder against them.
# For any picture that the decoder produces, we measure the distance to the nearest of 1,001 true moons. The distance is
# the square root of the sum of the squared pixel differences.

# %%
truth = moon_phases(1001, size)[0].flatten(1)  # (M, D)
crescent, full = draw_moon(torch.tensor([0.125, 0.5]), size).flatten(1).split(1)  # (1, D) each


def distance_to_truth(pictures):
    return torch.cdist(pictures, truth).amin(1)  # (N, D) -> (N,)


# %% [markdown]
# The simplest way to go from a crescent to the full moon is a *cross-fade*, the weighted average of the two pictures,
# pixel by pixel.
#
# **Predict.** Half way through the cross-fade, how far is the picture from the nearest true moon? Give your answer as a
# fraction of the distance between the crescent and the full moon.

# %%
walk = torch.linspace(0, 1, 101)[:, None]  # (T, 1), positions from crescent (0) to full moon (1)
cross_fade = crescent + (full - crescent) * walk  # (T, D)
fade = distance_to_truth(cross_fade)  # (T,)
print(
    f"distance between crescent and full moon {(full - crescent).norm():.1f}, "
    f"half way {fade[50]:.1f}"
)

# %% alt="Eleven pictures from crescent to full moon: the bright crescent stays and the rest of the disc turns from black through grey to white."
figures.image_rows({"cross-fade": cross_fade[::10]})


# %% [markdown]
# **Answer.** It is nearly half as far from the nearest true moon as the two moons are from each other.
#
# **Why?** The average is a grey disc with a bright edge, and no moon has a grey half. Remember how far off the
# cross-fade is: a decoder whose pictures are just as far from any true moon is doing no
# better than a cross-fade.

# %% [markdown]
# Now we build the auto-encoder. The encoder and the decoder each have one hidden layer. The decoder outputs
# *[logits](../docs/glossary.md#logit)*, which the sigmoid squashes into pixel values between 0 and 1.


# %% slideshow={"slide_type": "slide"} slide={"text": "## The auto-encoder", "lines": "2-5, 13-15"}
class AutoEncoder(nn.Module):
    def __init__(self, pixels=400, hidden=32, latent=1):
        super().__init__()
        self.encoder = mlp([pixels, hidden, latent], "tanh")
        self.decoder = mlp([latent, hidden, pixels], "tanh")

    def encode(self, x):
        return self.encoder(x)  # (N, D) -> (N, d), the code

    def decode(self, z):
        return self.decoder(z)  # (N, d) -> (N, D), logits

    def loss(self, x):
        x_hat = torch.sigmoid(self.decode(self.encode(x)))  # (N, D)
        return {"loss": (x - x_hat).square().sum(1).mean()}  # sum over pixels, mean over images


# %%
torch.manual_seed(seed)
first = AutoEncoder()
optimizer = torch.optim.Adam(first.parameters(), lr=5e-3)
errors = []
for _ in range(steps):
    loss = first.loss(moons)["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    errors.append(loss.item())
print(f"squared error per image: {errors[0]:.1f} at first, {errors[-1]:.2f} after {steps} steps")

# %% tags=["check"]
assert errors[-1] < errors[0] / 15  # little of the error is left


# %% [markdown]
# A single number captures nearly everything in each picture.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The VAE changes two things\n\n**Noise.** The encoder outputs a mean and a scale: $\\; c = e^{\\sigma} \\varepsilon + m, \\quad \\varepsilon \\sim N(0, 1)$.\n\nThe exponential keeps the scale positive."}
# ## 2 · The VAE: noise on the code, and a price for the code
#
# A *variational auto-encoder* (VAE; Kingma & Welling 2014, Rezende et al. 2014) differs from an auto-encoder in two
# ways.
#
# **Noise.** The encoder outputs two numbers for each picture, called $m$ and $\sigma$ in the lecture. The code is
#
# $$c = e^{\sigma} \varepsilon + m, \qquad \varepsilon \sim N(0, 1).$$
#
# Here $m$ takes the place of the auto-encoder's code, $\varepsilon$ is noise (the lecture calls it $e$), and $e^\sigma$
# sets the scale of the noise. Why the exponential? A linear layer can output any number, positive or negative, but a
# scale must be positive. Besides, a step of 0.1 in $\sigma$ changes the scale by about a tenth, whether the scale is
# 0.01 or 100.
#
# Almost all published code uses a different notation, which we follow except where we discuss the lecture's own
# formulas (sections 7 and 8). The code is $z$, its mean is $\mu = m$, and the encoder outputs the logarithm of the
# *variance*, `logvar` $= 2\sigma$. Section 8 shows why the factor of 2 deserves care.


# %%
def reparameterize(mu, logvar):
    return mu + torch.exp(logvar / 2) * torch.randn_like(mu)  # (N, d)


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**A price.** With $q(z|x) = N(\\mu, v)$ and the prior $P(z) = N(0, 1)$,\n\n$$\\mathrm{KL} = \\frac12\\left(v - 1 - \\log v + \\mu^2\\right)$$"}
# **A price.** The encoder now describes a distribution $q(z|x) = N(\mu, v)$ with $v = e^{\text{logvar}}$. We add to the
# loss the [KL divergence](../docs/glossary.md#kl-divergence-kullbackleibler-divergence) of $q$ from the
# *[prior](../docs/glossary.md#prior)* $P(z) = N(0, 1)$, the regularizer that we derived in
# [The evidence lower bound](02_elbo.ipynb). In one dimension it is
#
# $$\mathrm{KL} = \tfrac12\left(v - 1 - \log v + \mu^2\right).$$
#
# **The exchange rate.** The squared error becomes a
# [negative log-likelihood](../docs/glossary.md#negative-log-likelihood-nll) if $P(x|z)$ is a Gaussian around the
# decoder's picture with variance $s^2$ in each pixel: $-\log P(x|z) = \lVert x - \hat x \rVert^2 / 2s^2$ plus a
# constant, which we leave out. We *fix* $s^2$. Our moons contain no noise at all, so a learned variance would keep
# shrinking with the error, and the density could grow without limit. A fixed $s$ acts as a ruler: it says which pixel
# differences count as large (here $s = \tfrac12$, half the step from black to white), and so sets the exchange rate
# between squared error and KL.
#
# Up to a constant, the loss is the negative [evidence lower bound](../docs/glossary.md#evidence-lower-bound-elbo),
# estimated from one $z$ per image. The loss is measured in [nats](../docs/glossary.md#nat) per image: we sum over the
# pixels and over the numbers in the code, and average over the images. The KL term is multiplied by a factor $\beta$,
# which is 1 in a VAE; in section 6 we set it to 0.

# %% slideshow={"slide_type": "slide"} slide={"text": "## The whole loss", "lines": "19-25"}
variance = 0.25  # s²


class VAE(nn.Module):
    def __init__(self, pixels=400, hidden=32, latent=1):
        super().__init__()
        self.encoder = mlp([pixels, hidden, 2 * latent], "tanh")
        self.decoder = mlp([latent, hidden, pixels], "tanh")

    def encode(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar  # (N, d) each

    def decode(self, z):
        return self.decoder(z)  # (N, d) -> (N, D), logits

    def kl(self, mu, logvar, z):
        return 0.5 * (logvar.exp() - 1 - logvar + mu**2).sum(1)  # (N,)

    def loss(self, x, beta=1.0):
        mu, logvar = self.encode(x)  # (N, d) each
        z = reparameterize(mu, logvar)  # (N, d)
        x_hat = torch.sigmoid(self.decode(z))  # (N, D)
        reconstruction = ((x - x_hat).square().sum(1) / (2 * variance)).mean()
        kl = self.kl(mu, logvar, z).mean()
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}


# %% [markdown]
# We turn the training loop from section 1 into a function that works for both models. The learning rate decays to 0, so
# that the last steps are small. In the same number of steps, the auto-encoder therefore does not
# get as far as it did in section 1. Both models are trained in this way, so the comparison between
# them is fair.


# %%
def train(model, x, watch=None, **options):
    """Train with Adam on all images at once.
    Return the loss of every step, or what `watch(model)` returns after each step.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)  # fused: only faster
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history = []
    for _ in range(steps):
        loss = model.loss(x, **options)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append(watch(model) if watch else loss.item())
    return history


# %%
torch.manual_seed(seed)
ae = AutoEncoder()
vae = VAE()
ae_losses = train(ae, moons)
vae_losses = train(vae, moons)
print(f"loss of the AE: {ae_losses[0]:.0f} at first, {ae_losses[-1]:.1f} at the end")
print(f"loss of the VAE: {vae_losses[0]:.0f} at first, {vae_losses[-1]:.1f} at the end")


# %% [markdown]
# Do not compare the losses of the two models: one is a squared error, and the other is in nats. To put the models on an
# equal footing, we write three small functions. We call the standard deviation of the codes their *spread*.


# %%
@torch.no_grad()
def code(model, x):
    """Each image's code without noise, and the standard deviation of the noise: (N, 1) each."""
    if isinstance(model, AutoEncoder):
        z = model.encode(x)
        return z, torch.zeros_like(z)
    mu, logvar = model.encode(x)
    return mu, torch.exp(logvar / 2)


@torch.no_grad()
def picture(model, z):
    return torch.sigmoid(model.decode(z))  # (N, 1) -> (N, D)


def squared_error(model, x, draws=100):
    x = x.repeat(draws, 1)  # every image with many draws of the noise
    mean, std = code(model, x)
    x_hat = picture(model, mean + std * torch.randn_like(mean))
    return (x - x_hat).square().sum(1).mean().item()


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Predict.** Which has the smaller squared error, the auto-encoder or the VAE? Whose codes lie farther apart?"}
# **Predict.** Which of the two models has the smaller squared error? Whose codes lie farther apart?

# %% slideshow={"slide_type": "slide"} slide={"text": "## Noise costs reconstruction", "show": "output"}
for name, model in {"AE": ae, "VAE": vae}.items():
    mean, std = code(model, moons)
    error = squared_error(model, moons)
    print(
        f"{name:4} squared error {error:.2f}, "
        f"spread of the codes {mean.std():.2f}, noise {std.mean():.2f}"
    )

# %% alt="Three rows of eleven moons from new to full. The rows of the two models look like the row of true moons." slideshow={"slide_type": "-"}
some = moons[::3]
rows = {"true": some, "AE": picture(ae, code(ae, some)[0]), "VAE": picture(vae, code(vae, some)[0])}
figures.image_rows(rows)

# %% tags=["check"]
# noise costs reconstruction, on every seed tried
assert squared_error(ae, moons) < squared_error(vae, moons)
assert code(vae, moons)[0].std() < code(ae, moons)[0].std()


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The auto-encoder has the smaller error, and its codes lie farther apart: it has neither noise nor a price."}
# **Answer.** The auto-encoder has the smaller error, and its codes lie farther apart.
#
# **Why?** The auto-encoder minimizes the error and nothing else. The VAE has to reconstruct each picture from a noisy
# code. It also pays a price of $\tfrac12 \mu^2$ for each code, which keeps the codes near 0.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Half way between crescent and full moon\n\nThe auto-encoder was never trained there: the code may have a *hole*. In a VAE, noise makes neighbours overlap.\n\n**Predict.** Half way, is the auto-encoder\u2019s picture a moon? Is the VAE\u2019s?"}
# ## 3 · Half way between crescent and full moon
#
# Why add noise at all? The lecture takes the code of a full moon and the code of a crescent, and asks what the decoder
# makes of the point half way between them. One would hope for an intermediate phase. But networks are not linear, and
# the auto-encoder was never trained on points between its codes, so the picture may be something else altogether. In
# that case, there is a *hole* between the two codes. In a VAE, the noise makes the codes of neighbouring moons overlap.
# Where two codes overlap, a single picture must do for both moons, and it may show a phase between them.
#
# This argument needs a test. We begin with the two models that we have just trained.
#
# **Predict.** Half way between the two codes, does the auto-encoder's picture show a moon? Does the VAE's?


# %%
def between(model):
    """The pictures at 101 codes between the crescent's and the full moon's: (T, D)."""
    start = code(model, crescent)[0]  # (1, 1)
    end = code(model, full)[0]  # (1, 1)
    return picture(model, start + (end - start) * walk)


# %% alt="Three rows from crescent to full moon. The cross-fade turns the disc grey; in the rows of both models the bright part grows as it does on the real moon." slideshow={"slide_type": "slide"} slide={"text": "## No hole"}
rows = {"cross-fade": cross_fade[::10], "AE": between(ae)[::10], "VAE": between(vae)[::10]}
figures.image_rows(rows)

# %%
for name, model in {"AE": ae, "VAE": vae}.items():
    distance = distance_to_truth(between(model))
    print(
        f"{name:4} distance to the truth: half way {distance[50]:.2f}, worst {distance.max():.2f}"
    )


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Both are. Nothing in the loss forbids holes, but a small smooth network has no room for them."}
# **Answer.** Both pictures show moons, if slightly blurred, and so does every other picture on the two lines. Even the
# worst of these pictures is only about a quarter as far from the nearest true moon as the middle of the cross-fade is.
# There is no hole.
#
# **Why?** Nothing in the auto-encoder's *loss* forbids holes, so we suspect its *network*. The network is not linear,
# but it is smooth, and the codes of the 33 moons lie close together. Between two neighbouring codes, a smooth network
# has little room to do anything strange.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What does a hole need?\n\nA decoder that can *turn* quickly. One change at a time: a deep network; codes far apart; waves $\\sin \\omega z$,\n$\\cos \\omega z$; faster waves; waves with codes far apart."}
# ### What does a hole need?
#
# Nothing in the loss of an auto-encoder forbids holes, so whether there are any depends on the network. A hole requires
# a decoder that can *turn* quickly: its output must be able to rise and fall on the way from one code to the next. We
# change one thing at a time, except in the last case, which combines two changes:
#
# - **plain**: the networks from above;
# - **deep**: three hidden layers of 64 units in both networks, in place of one of 32;
# - **far apart**: the encoder starts with codes seven times as far apart;
# - **waves**: the decoder first maps the code to 32 pairs of waves, $\sin \omega z$ and $\cos \omega z$, so its
#   output can turn quickly (Tancik et al. 2020);
# - **faster waves**: the same with four times the frequency $\omega$;
# - **waves, far apart**: both changes at once.


# %%
class Waves(nn.Module):
    def __init__(self, pitch, n=32):
        super().__init__()
        self.omega = nn.Parameter(pitch * torch.randn(1, n))  # frequencies, learned like any weight

    def forward(self, z):
        phase = z @ self.omega  # (N, n)
        return torch.cat([phase.sin(), phase.cos()], dim=1)  # (N, 2n)


# %%
def deep(model):
    outputs = model.encoder[-1].out_features
    model.encoder = mlp([400, 64, 64, 64, outputs], "tanh")
    model.decoder = mlp([1, 64, 64, 64, 400], "tanh")


def far_apart(model):
    model.encoder[-1].weight.data[0] *= 7  # the row that makes the code, or its mean


def waves(model, pitch=4.0):
    model.decoder = nn.Sequential(Waves(pitch), mlp([64, 32, 400], "tanh"))


def faster_waves(model):
    waves(model, pitch=16.0)


# %%
changes = {
    "plain": [],
    "deep": [deep],
    "far apart": [far_apart],
    "waves": [waves],
    "faster waves": [faster_waves],
    "waves, far apart": [waves, far_apart],
}


# %% [markdown]
# For every case, we train auto-encoders and VAEs with several seeds. A hole can be anywhere, so we examine the whole
# line from the crescent's code to the full moon's, not just its midpoint. From now on, we say that
# there is a hole if the distance from some picture on the line to its nearest true moon is more
# than half the largest such distance in the cross-fade. A dashed line in the next figure marks this
# threshold.


# %%
def train_seeds(kind, change, x, **options):
    """Return networks from several seeds, and how far their pictures on the line
    are from true moons: (seeds, T).
    """
    trained = []
    for number in range(n_seeds):
        torch.manual_seed(number)
        model = kind()
        for modify in change:
            modify(model)
        train(model, x, **options)
        trained.append(model)
    distances = [distance_to_truth(between(model)) for model in trained]
    return trained, torch.stack(distances)


def count_holes(line):
    return (line.amax(1) > fade.max() / 2).sum().item()


# %%
models = {}
lines = {}
for case, change in changes.items():
    models[case] = {}
    lines[case] = {}
    for name, kind in {"AE": AutoEncoder, "VAE": VAE}.items():
        models[case][name], lines[case][name] = train_seeds(kind, change, moons)

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** In which cases does the auto-encoder have holes? Does the VAE have holes in the same cases?"}
# **Predict.** In which cases does the auto-encoder have holes? Does the VAE have holes in the same cases?

# %% alt="For each case a group of points, one for each seed and kind of model: the worst distance on the line. Without waves all points lie low. With waves many of the auto-encoders' points lie far higher, many above a dashed line at half the height of the dotted line of the cross-fade, and some above the dotted line; the VAEs' points stay low." slideshow={"slide_type": "slide"} slide={"text": "## Holes need waves"}
figures.worst_places(lines, fade)

# %%
for case in lines:
    for name, line in lines[case].items():
        worst = line.amax(1)  # (seeds,)
        result = f"worst distance {worst.mean():5.2f} ± {worst.std():.2f}"
        print(f"{case:16} {name:4} {result}, a hole on {count_holes(line)} of {n_seeds} seeds")

# %% tags=["check"]
for case in ("plain", "deep", "far apart"):  # slow decoders, whatever the seed
    assert count_holes(lines[case]["AE"]) == count_holes(lines[case]["VAE"]) == 0
assert count_holes(lines["waves, far apart"]["AE"]) > 0


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Only with waves, and in these runs the VAE never has any."}
# **Answer.** Without waves there are no holes, not even in deep networks or with codes that start far apart. Waves
# alone cause holes with some of the seeds; faster waves, or waves combined with codes that start
# far apart, cause them with nearly all. In these runs, the VAE has no hole in any of the cases.
#
# **Why?** What counts is how often the decoder can turn between two neighbouring codes. A wave $\sin \omega z$ depends
# only on the product $\omega z$, so doubling its frequency has the same effect as moving the codes twice as far apart.
# If $\omega z$ changes a lot from one code to the next, the decoder is free to do what it likes in between. A plain
# network starts with low frequencies, and gradient descent learns low frequencies first (Rahaman et al. 2019), so
# moving its codes apart was not enough to cause holes. The holes that the lecture warns of are possible, since nothing
# in the loss forbids them. Our plain networks, however, have no holes.

# %% [markdown]
# ### Noise or price?
#
# The VAE adds both noise and a price, so we cannot yet say which of the two closes the holes. We return to the last
# case, waves and codes far apart, and again change one thing at a time. *Price only* is an auto-encoder that pays
# $\tfrac12 z^2$ for its code. *Noise only* is a VAE without the KL term.


# %%
class PricedAutoEncoder(AutoEncoder):
    def loss(self, x):
        reconstruction = super().loss(x)["loss"] / (2 * variance)  # in nats, as in the VAE
        price = 0.5 * self.encode(x).square().sum(1).mean()
        return {"loss": reconstruction + price}


# %%
restless = changes["waves, far apart"]
parts = {
    "neither": {"AE": lines["waves, far apart"]["AE"]},
    "price only": {"AE": train_seeds(PricedAutoEncoder, restless, moons)[1]},
    "noise only": {"VAE": train_seeds(VAE, restless, moons, beta=0.0)[1]},
    "price and noise": {"VAE": lines["waves, far apart"]["VAE"]},
}

# %% [markdown]
# **Predict.** Which does more to prevent holes, the noise or the price?

# %% alt="Four groups of points, the worst distance of each seed: with neither noise nor price, with the price only, with noise only, and with both. Most points of the first group lie high and most of the last group low; the two groups in between have points in both places. A dashed line at half the height of the dotted one separates the places."
figures.worst_places(parts, fade)

# %%
for case, kinds in parts.items():
    line = next(iter(kinds.values()))
    worst = line.amax(1)
    print(
        f"{case:16} worst distance {worst.mean():5.2f} ± {worst.std():.2f}, "
        f"a hole on {count_holes(line)} of {n_seeds}"
    )

# %% [markdown]
# **Answer.** Noise and price each help for some seeds, neither is reliable on its own, and the two together do best.
# With so few seeds, we cannot tell whether the noise or the price does more.
#
# **Why?** The price pulls the codes together, so the decoder turns less often between them. With noise, the decoder is
# trained at *every* point near the code of a moon, not just at the 33 codes themselves. But without the price the
# network can make its noise as small as it likes (section 6). With both noise and a price, the
# codes are close together, and the decoder is also trained at the points between them. There is no
# guarantee, though: a few seeds cannot show that a VAE never has a hole.

# %% [markdown]
# Move along the line yourself. The auto-encoder's pictures are above, the VAE's below. Both models
# use waves, both started with codes far apart, and both were trained with the same seed.

# %%
shown = {name: models["waves, far apart"][name][1] for name in ("AE", "VAE")}
limits = {name: (code(m, crescent)[0].item(), code(m, full)[0].item()) for name, m in shown.items()}
marks = {name: code(m, moons[8:])[0].flatten() for name, m in shown.items()}  # from the crescent on


def frames(model):
    def decode(z):
        return picture(model, z).reshape(-1, size, size)

    return decode


# %% alt="Two films from crescent to full moon, the auto-encoder's above the VAE's, and below them each model's distance to the nearest true moon along the line. Part of the auto-encoder's film shows a dark disc in a grey sky, and there its curve has a high peak; the VAE's film shows the phases in order, and its curve stays low." slideshow={"slide_type": "slide"} slide={"text": "## Walk along the line of codes"}
decoders = {name: frames(model) for name, model in shown.items()}
CodeLine(decoders, truth=truth[::5].reshape(-1, size, size), limits=limits, marks=marks)

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Can noise invent a moon?\n\nWe hide the phases in between: five crescents and five moons that are nearly full.\n\n**Predict.** Half way, does the VAE show a phase in between? What would squared error prefer?"}
# ### Can noise invent a moon?
#
# The lecture considers only two moons, a crescent and a full moon, so we now hide the phases in between. The networks
# are trained on five crescents and five moons that are full or nearly full.
#
# **Predict.** Half way, does the VAE show a phase in between, as the lecture suggests? Which picture would squared
# error prefer?

# %%
crescents = moon_phases(5, size, (0.1, 0.15))[0]
full_moons = moon_phases(5, size, (0.45, 0.5))[0]
two_groups = torch.cat([crescents, full_moons]).flatten(1)  # (10, D)

# %%
gap_models = {}
gap_lines = {}
for name, kind in {"AE": AutoEncoder, "VAE": VAE}.items():
    gap_models[name], gap_lines[name] = train_seeds(kind, [], two_groups)

# %% alt="Two panels against the position on the line. With all phases both models stay low. With a gap every curve has one peak nearly as high as the dotted cross-fade's: the VAE's peaks lie together near the middle, while the auto-encoder's are scattered, most of them nearer the crescent." slideshow={"slide_type": "slide"} slide={"text": "## No: the blend is an average"}
figures.distance_along_line({"all phases": lines["plain"], "a gap": gap_lines}, fade)

# %% alt="Two rows from crescent to full moon, both trained without the phases in between. In both rows the dark part of the disc turns grey and then white, as in a cross-fade, in the VAE's row near the middle and in the auto-encoder's nearer the crescent."
figures.image_rows({name: between(gap_models[name][0])[::10] for name in ("AE", "VAE")})

# %% tags=["check"]
for name in ("AE", "VAE"):
    # no moon in between was shown, so somewhere on the line
    # every network is nearly as far off as the cross-fade
    assert gap_lines[name].amax(1).min() > 0.6 * fade.max()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** It shows a cross-fade. Noise makes neighbours blend, but it cannot tell the decoder about moons that were never in the training data."}
# **Answer.** No. Half way between the two codes, the VAE shows a cross-fade, nearly as far from any true moon as the
# cross-fade of section 1. The auto-encoder passes through a cross-fade too, but where on the line this happens depends
# on the seed.
#
# **Why?** Where two codes overlap, one picture must serve both moons, and the picture with the least squared error is a
# weighted *average* of the two. The average of two similar moons is nearly a moon itself, whereas the average of a
# crescent and a full moon is a cross-fade. Noise makes neighbouring moons blend; it cannot invent moons that the
# network has never seen. The lecture says only that the blend *may* show a phase between the two
# moons; it does so if the moons are similar.

# %% [markdown]
# ## 4 · Why neighbours become neighbours
#
# Which arrangement of the codes does noise favour? If we fix the codes and the noise, we can write down the decoder
# with the smallest squared error. At a point $z$, this decoder cannot know which moon was encoded, so it shows the
# average of all moons, each weighted by how likely its noisy code is to land at $z$:
#
# $$\hat x(z) = \frac{\sum_n q(z|x_n)\, x_n}{\sum_n q(z|x_n)}.$$
#
# The squared error of this decoder can also be written compactly. At each $z$, the weights
# $q(z|x_n) / \sum_j q(z|x_j)$ add up to 1, so they form a distribution over the moons. For any distribution, the mean
# squared distance from the mean is half the mean squared distance between two independent draws. Every pair $(n, k)$ of
# moons therefore contributes half the squared distance between the two, times the overlap of their codes:
#
# $$\text{error} = \frac1N \sum_{n,k} \tfrac12 \lVert x_n - x_k \rVert^2 \int \frac{q(z|x_n)\, q(z|x_k)}{\sum_j q(z|x_j)}\, dz.$$
#
# Without training anything, we can now compute how large the error is when the codes of nine moons
# lie along a line in the right order, and how large it is when their order is shuffled. We compute
# the integral by *[quadrature](../docs/glossary.md#quadrature)*, that is, as a sum over a fine
# grid.

# %%
nine = moon_phases(9, size)[0].flatten(1).double()  # (9, D)
squares = torch.cdist(nine, nine).square()  # (9, 9)
places = torch.linspace(-2, 2, 9, dtype=torch.float64)  # the nine codes, half a unit apart
grid = torch.linspace(-14, 14, 5601, dtype=torch.float64)  # (G,)


# %%
def shared(scale):
    """The integral above, the overlap of the codes of every pair: (9, 9)."""
    log_q = Normal(places, scale).log_prob(grid[:, None])  # (G, 9)
    weights = log_q.softmax(1)  # (G, 9), the weights of the best decoder
    return torch.trapezoid(log_q.exp()[:, :, None] * weights[:, None, :], grid, dim=0)


def best_error(overlap, order):
    """The best decoder's squared error when moon order[i] has place i."""
    pairs = squares[order][:, order]  # (9, 9)
    return (overlap * pairs).sum().item() / (2 * 9)


# %%
orders = [torch.randperm(9) for _ in range(n_orders)]
scales = torch.logspace(-1.5, 0.3, 19, dtype=torch.float64)
in_order = []
shuffled = []
for scale in scales:
    overlap = shared(scale)
    in_order.append(best_error(overlap, torch.arange(9)))
    shuffled.append([best_error(overlap, order) for order in orders])
in_order = torch.tensor(in_order)  # (S,)
shuffled = torch.tensor(shuffled)  # (S, orders)

# %% [markdown]
# **Predict.** At which noise levels does the order not matter at all?

# %% alt="Against the noise: the error of the moons' own order is 0 for little noise and then rises; a band for shuffled orders rises earlier and stays above the curve. A dotted line marks noise of 0.25, where the band is well above the curve."
figures.order_costs(scales, in_order, shuffled, neighbours=0.5)

# %%
half = (scales - 0.25).abs().argmin()  # noise of half the distance between neighbours
cheapest = (shuffled[half].min() / in_order[half]).item()
print(
    f"noise {scales[half]:.2f}: "
    f"the best of {n_orders} shuffled orders costs {cheapest:.1f} times as much"
)

# %% tags=["check"]
assert shuffled[0].max() < 1e-6  # no overlap, no preference
assert cheapest > 1.2  # noise tells the orders apart, and prefers the moons' own


# %% [markdown]
# **Answer.** The order does not matter when there is very little noise. If the noisy codes do not overlap, no order of
# the codes adds to the error, just as in an auto-encoder. (With far more noise than the figure shows, the order stops
# mattering again: all places then look alike, and every order costs the variance of the moons.) Once the noise reaches
# the neighbouring codes, the moons' own order is cheaper than any shuffled order we tried.
#
# **Why?** Without noise every code has its own place, and the loss has no reason to prefer one order to another. With
# noise, two neighbouring codes share part of the line, where the decoder can only show a blend of their moons. If the
# two moons are *similar*, the blend is nearly right for both.

# %% [markdown]
# Noise is one reason why the codes end up in order. Is it the only one? We check whether the plain networks of section
# 3 put the codes of nine moons in order.


# %%
def in_moon_order(model):
    """Whether the codes of nine moons only rise, or only fall, with the phase."""
    rises = code(model, moons[::4])[0].flatten().diff() > 0  # (8,)
    return bool(rises.all() or (~rises).all())


for name in ("AE", "VAE"):
    ordered = [in_moon_order(model) for model in models["plain"][name]]
    count = sum(ordered)
    print(f"plain {name}: codes in the moons' order for {count} of {n_seeds} seeds")

# %% [markdown]
# Noise is not the only reason for order: the auto-encoder has no noise, and yet its codes follow the moon's phase just
# as well as the VAE's do. The order comes from the encoder, which is a continuous function. If no two phases may share
# a code, the code of a continuous encoder must either always rise or always fall as the moon grows. What noise adds is
# a *cost* for codes that are out of order.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A gradient through a draw\n\n- **Reparameterization:** $z = \\mu + s\\,\\varepsilon$. One draw gives $f'(z)$.\n- **Score function:** never look inside $f$. One draw gives $f(z)\\, \\varepsilon / s$."}
# ## 5 · A gradient through a draw
#
# The encoder must learn the mean $\mu$ of the code and the scale $s = \sqrt v$ of its noise, but a random draw stands
# between them and the loss. We compare two ways to estimate the gradient of the expected loss $\mathbb E_q[f(z)]$
# with respect to $\mu$.
#
# - **Reparameterization.** Draw $\varepsilon$ first. Then $z = \mu + s\,\varepsilon$ is an ordinary function of
#   $\mu$, and the gradient passes through it, so one draw gives the estimate $f'(z)$. (This $s$ is the scale of the
#   noise, not the ruler of section 2.)
# - **Score function**, or REINFORCE (Williams 1992). Never look inside $f$; use only its value. One draw then gives
#   the estimate $f(z)\, \partial \log q(z) / \partial \mu = f(z)\, \varepsilon / s$. One may subtract a constant from
#   $f$, a *baseline*, which does not change the mean of the estimate, because $\mathbb E\,\varepsilon = 0$.
#
# For $f$ we take the reconstruction loss of the trained VAE on a half moon. Because $z$ is a single number, we can
# compute the exact gradient as an integral on a grid.

# %%
half_moon = draw_moon(torch.tensor([0.25]), size).flatten(1)  # (1, D)
mu, s = (number.item() for number in code(vae, half_moon))
precise = copy.deepcopy(vae).double().requires_grad_(False)


def f(z):
    """The reconstruction part of the half moon's loss, in nats: (n,) -> (n,)."""
    x_hat = torch.sigmoid(precise.decode(z[:, None]))  # (n, D)
    return (half_moon.double() - x_hat).square().sum(1) / (2 * variance)


# %%
z = mu + s * torch.linspace(-9, 9, 3601, dtype=torch.float64)
q = Normal(mu, s).log_prob(z).exp()
# the derivative of ∫ q f with respect to µ
exact = torch.trapezoid(f(z) * q * (z - mu) / s**2, z).item()

# %%
torch.manual_seed(seed)
eps = torch.randn(n_draws, dtype=torch.float64)
z = (mu + s * eps).requires_grad_()
values = f(z)  # (n,)
slopes = torch.autograd.grad(values.sum(), z)[0]  # (n,), f′ at every draw
values = values.detach()

# %%
gradients = {
    "reparameterization": slopes,
    "score function": values * eps / s,
    "score function, baseline": (values - values.mean()) * eps / s,
}

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Are the estimates right on average? Which of them scatters most?"}
# **Predict.** Are the estimates right on average? Which of them scatters most? We compute all three from the same draws
# of $\varepsilon$, so if chance makes one of them too low, the other two tend to be too low as well.

# %%
print(f"exact gradient {exact:+.2f}")
for name, g in gradients.items():
    error = g.std() / math.sqrt(n_draws)
    off = (g.mean() - exact) / error
    result = f"{g.mean():+.2f} ± {error:.2f}, off by {off:+.1f} standard errors"
    print(f"{name:25} {result}, variance of one draw {g.var():.0f}")

# %% tags=["check"]
for g in gradients.values():  # within five standard errors of the exact gradient
    assert abs(g.mean() - exact) < 5 * g.std() / math.sqrt(n_draws)
score_ratio = (gradients["score function"].var() / slopes.var()).item()
assert score_ratio > 2  # far beyond its own uncertainty of a few per cent

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Slopes are worth more than values\n\n**Answer.** All are right on average. The score function scatters most, and the more dimensions the code has, the more it scatters."}
# **Answer.** All three agree with the exact gradient to within a few
# [standard errors](../docs/glossary.md#standard-error). (Because they share their draws, three deviations with the same
# sign are little more evidence of a bias than one. If you change the seed in the cell that draws $\varepsilon$ and run
# these cells again, the deviations change too.) The score function's estimates scatter most, and a
# baseline removes most of the excess.
#
# **Why?** Reparameterization uses the slope of $f$. The score function uses only the values of $f$, so its estimates
# scatter even when $f$ is a constant and has no slope at all.

# %% [markdown]
# A code of one number is the easiest case for the score function. If the code has twenty numbers, $f$ also varies with
# the other nineteen, which have nothing to do with the gradient we want. Take a bowl,
# $f(z) = \tfrac12 \lVert z - a \rVert^2$ in $d$ dimensions, with $\mu - a = 1$ in each dimension and noise of
# scale 1. The exact gradient in the first dimension is 1, whatever $d$ is.

# %%
dimensions = (1, 2, 5, 10, 20, 50)
bowl = {name: [] for name in gradients}
for d in dimensions:
    eps = torch.randn(n_draws, d)
    slope = eps[:, 0] + 1  # the bowl's slope in its first dimension
    value = 0.5 * (eps + 1).square().sum(1)
    bowl["reparameterization"].append(slope.var().item())
    bowl["score function"].append((value * eps[:, 0]).var().item())
    bowl["score function, baseline"].append(((value - value.mean()) * eps[:, 0]).var().item())

# %% alt="Against 1 to 50 dimensions on logarithmic axes: the variance of reparameterization stays at 1, the score function's climbs to over a thousand, or to about eighty with a baseline." slideshow={"slide_type": "-"}
figures.estimator_variances(dimensions, bowl, xlabel="dimensions of the code")

# %%
bowl_ratio = bowl["score function"][4] / bowl["reparameterization"][4]
print(
    "20 dimensions: the score function's variance "
    f"is {bowl_ratio:.0f} times that of reparameterization"
)

# %% tags=["check"]
assert 350 < bowl_ratio < 600  # exactly 473; heavy tails leave an uncertainty of several per cent

# %% [markdown]
# Reparameterization is what made VAEs easy to train: one draw per image and step is enough, and our training loop uses
# no more.

# %% [markdown]
# ### Two footnotes that matter
#
# **Predict.** Is reparameterization *always* better? Try $f(z) = \sin 10z$ with $z \sim N(0, 1)$.

# %%
z = torch.randn(n_draws, dtype=torch.float64)
sine_slopes = 10 * torch.cos(10 * z)  # reparameterization
sine_scores = torch.sin(10 * z) * z  # score function
print(f"reparameterization: variance of one draw {sine_slopes.var():.1f}")
print(f"score function: variance of one draw {sine_scores.var():.2f}")

# %% tags=["check"]
# exactly 50 and ½ up to e⁻¹⁰⁰; ten per cent exceeds three standard errors, even with 5,000 draws
assert abs(sine_slopes.var() - 50) < 5
assert abs(sine_scores.var() - 0.5) < 0.05

# %% [markdown]
# **Answer.** No, it is not always better. For this $f$, the variance of the score function is a hundredth of that of
# reparameterization.
#
# **Why?** The values of this $f$ stay between −1 and 1, while its slopes reach 10. If the slope of $f$ changes sign
# many times within the width of the noise, the slope at a single draw says little about how the expected value changes.
# A decoder that is smooth on the scale of the noise does not have this problem. In exercise 4 you will find the
# frequency at which the two estimators have the same variance (see also Mohamed et al. 2020).
#
# **Predict.** A baseline must not depend on the draw that it is subtracted from. Yet the baseline above was the mean
# over all draws, with none left out. Does that matter? Consider batches of $n$ draws for the one-dimensional bowl,
# whose exact gradient is 1.

# %%
results = {}
for n in (2, 5, 20):
    eps = torch.randn(200_000 // n, n, dtype=torch.float64)  # (batches, n)
    value = 0.5 * (eps + 1).square()
    baseline = value.mean(1, keepdim=True)  # (batches, 1)
    estimate = ((value - baseline) * eps).mean(1)  # (batches,)
    results[n] = (estimate.mean().item(), estimate.std().item() / math.sqrt(len(eps)))
    print(f"n = {n:2}: mean of the estimates {results[n][0]:.3f}, 1 − 1/n = {1 - 1 / n:.3f}")

# %% tags=["check"]
for n, (mean, error) in results.items():
    assert abs(mean - (1 - 1 / n)) < 5 * error


# %% [markdown]
# **Answer.** It does, in small batches. On average, the estimate is only $1 - 1/n$ times the exact gradient, or half of
# it for $n = 2$.
#
# **Why?** The baseline contains $1/n$ of each draw's own value, so subtracting it removes that share of the signal. The
# cure is to use the mean of the *other* draws, which amounts to multiplying the estimate by $n/(n-1)$. With thousands
# of draws, as above, the error is far too small to notice. The score function still has its place where $f$ has no
# slope to follow, as with discrete codes, the score of a game, or a reader's verdict on a language model's answer.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Let everyone mark their own exam\n\nThe network chooses its noise, and only the reconstruction counts ($\\beta = 0$)."}
# ## 6 · Let everyone mark their own exam
#
# If the network may choose its noise, and only the reconstruction counts, how much noise will it choose? The lecture's
# answer is none: let pupils mark their own exams, and everyone gets 100. We train the same VAE without the KL term
# ($\beta = 0$).
#
# One detail needs care. Noise is large or small only *compared with the distances between the codes*. A network can
# get rid of noise either by shrinking it or by moving the codes apart. We therefore track the ratio of the noise to the
# spread of the codes.


# %%
def relative_noise(model):
    mean, std = code(model, moons)
    return (std.mean() / mean.std()).item()


# %%
torch.manual_seed(seed)
noise = {"VAE": [train(VAE(), moons, watch=relative_noise)], "VAE without KL": []}
free = []
for number in range(n_seeds):
    torch.manual_seed(number)
    free.append(VAE())
    noise["VAE without KL"].append(train(free[-1], moons, watch=relative_noise, beta=0.0))

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Does the noise reach 0? What becomes of the VAE?"}
# **Predict.** Does the noise reach 0? What becomes of the VAE?

# %% alt="Noise over spread during training, on a logarithmic axis. The one curve with the KL term levels off high up; the curves without it, one for each seed, fall well below it and gradually flatten." slideshow={"slide_type": "slide"} slide={"text": "## All get 100"}
figures.noise_histories(noise)

# %%
groups = {"AE": models["plain"]["AE"], "VAE": models["plain"]["VAE"], "VAE without KL": free}
last = {}
for name in ("VAE", "VAE without KL"):
    last[name] = torch.tensor([relative_noise(model) for model in groups[name]])  # (seeds,)
    print(f"{name:15} noise / spread at the end {last[name].mean():.4f} ± {last[name].std():.4f}")

# %%
errors = {}
for name, group in groups.items():
    errors[name] = torch.tensor([squared_error(model, moons) for model in group])
    print(f"{name:15} squared error {errors[name].mean():.2f} ± {errors[name].std():.2f}")

# %% tags=["check"]
assert last["VAE without KL"].max() < last["VAE"].min()
assert last["VAE without KL"].mean() < last["VAE"].mean() / 2
# what noise is left costs little: the error is nearer to the auto-encoder's than to the VAE's
cost_without_kl = errors["VAE without KL"] - errors["AE"]
cost_with_kl = errors["VAE"] - errors["AE"]
assert cost_without_kl.mean() < 0.5 * cost_with_kl.mean()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Not quite, but it falls far below the usual VAE's. What is left of the VAE is an auto-encoder."}
# **Answer.** Not quite. Without the KL term, the noise falls far below that of the usual VAE, but it can never *be* 0,
# because its scale is an exponential. The squared error, however, ends up close to that of the auto-encoder. What is
# left of the VAE is an auto-encoder.
#
# **Why?** Noise hurts the reconstruction, so every step has a reason to reduce it. The noise curves flatten all the
# same, for two reasons: the less noise is left, the less there is to gain by reducing it, and our learning rate falls
# to 0 at the end of training.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The price of noise\n\nBlue: $e^\\sigma$. Red: $1 + \\sigma$. Green: their difference.\n\n**Predict.** Where is the green curve lowest, and how much noise does that mean?"}
# ## 7 · The price, drawn
#
# The lecture draws the price of $\sigma$ with three curves: $e^\sigma$ in blue, $1 + \sigma$ in red, and their
# difference in green.
#
# **Predict.** Where is the green curve lowest, and how much noise does that mean?

# %%
sigma = torch.linspace(-3, 2, 400)
green = minimize_scalar(lambda t: math.exp(t) - (1 + t), bracket=(-1, 0.7), tol=1e-10)
lowest = green.x
print(f"minimum found at σ = {lowest:.0e}, where the difference is {green.fun:.0e}")

# %% alt="A rising exponential in blue and a straight line in red that touch at \u03c3 = 0. Their difference in green has its minimum, 0, at that point and rises on both sides." slideshow={"slide_type": "slide"} slide={"text": "## Noise of scale 1 is free"}
figures.price_of_noise(sigma, sigma.exp(), 1 + sigma, lowest)

# %% tags=["check"]
# the curve is flat at its minimum, so σ is found to about the root of 1e-16
assert abs(lowest) < 1e-6
assert abs(green.fun) < 1e-12

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** At $\\sigma = 0$. The red line is tangent to the blue curve. The rest of the price is $m^2$."}
# **Answer.** It is lowest at $\sigma = 0$, which means noise of scale 1.
#
# **Why?** The red line is the tangent to the blue curve at 0, and an exponential lies above all its tangents. Noise
# of scale 1 costs nothing. Small noise costs about $-\sigma - 1$, which grows without limit as the noise shrinks. This
# price keeps the noise from dying out.

# %% [markdown]
# The rest of the price is $m^2$, the squared length of the code, a term known as an L2 penalty. Without this penalty,
# the codes could drift apart until noise of scale 1 was negligible compared with the distances between them.
#
# The lecture compares this penalty with the regularization that makes an auto-encoder's codes *sparse*, that is,
# mostly zeros. Does an L2 penalty make codes sparse? Take a single code $c$ that would lie at $a$
# if there were no penalty. With a penalty, it minimizes
# $\tfrac12 (c - a)^2 + \text{penalty}(c)$ instead.
#
# **Predict.** Which codes become exactly 0 under the penalty $\tfrac12 c^2$? Which do under $\lvert c \rvert$, the L1
# penalty?

# %%
a = torch.linspace(-3, 3, 600)  # (A,) free codes, none of them exactly 0
c = torch.linspace(-3, 3, 6001)[:, None]  # (C, 1) candidates, a thousandth apart
distance = 0.5 * (c - a).square()  # (C, A)
l2_codes = c[(distance + 0.5 * c.square()).argmin(0), 0]  # (A,) the best candidate for each
l1_codes = c[(distance + c.abs()).argmin(0), 0]

# %% alt="Penalized code against free code. The L2 line is straight, rises half as steeply as the dotted line without a penalty, and crosses zero once; the L1 line is flat at zero between \u22121 and 1."
figures.penalized_codes(a, {"L2: ½c²": l2_codes, "L1: |c|": l1_codes})

# %%
l2_zeros = (l2_codes.abs() < 0.0005).float().mean().item()  # the candidate 0, up to rounding
l1_zeros = (l1_codes.abs() < 0.0005).float().mean().item()
print(f"share of codes at 0: L2 {l2_zeros:.1%}, L1 {l1_zeros:.1%}")

# %% [markdown]
# **Answer.** Under L2, no code becomes exactly 0 unless it was 0 already. Under L1, every code with
# $\lvert a \rvert \le 1$ becomes 0; in our example, that is a third of the codes.
#
# **Why?** The slope of $\tfrac12 c^2$ vanishes at 0, so nothing pulls a code all the way to 0. The slope of
# $\lvert c \rvert$, by contrast, has size 1 however close $c$ is to 0. L2 makes codes small; L1 makes them sparse. The
# lecture's other reasons for a penalty, such as reducing overfitting, do not depend on sparsity.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Two slips\n\nThe sign on the slide of the week before was wrong: $\\; T = \\sum_i \\left( e^{\\sigma_i} - (1 + \\sigma_i) + m_i^2 \\right)$.\n\n$\\sigma$ is a log-*variance* in $T$, and a log-*standard deviation* in $c = e^\\sigma \\varepsilon + m$.\n\n**Predict.** Under one of the two readings $T$ is exactly twice the KL. Which one?"}
# ## 8 · Two slips
#
# The lecture makes two slips in the KL term, and corrects the first of them itself. **The sign.** On the slide of the
# previous lecture, the term had the wrong sign. The term to be minimized, along with the reconstruction error, is
#
# $$T = \sum_i \left( e^{\sigma_i} - (1 + \sigma_i) + m_i^2 \right).$$
#
# **The two meanings of σ.** In words, the lecture calls $e^\sigma$ the *variance* of the noise. But in
# $c = e^\sigma \varepsilon + m$, $e^\sigma$ multiplies the noise, so there it is a *standard deviation*. Either reading
# is fine on its own, but the two contradict each other. We compute the KL divergence by quadrature under each reading
# of $\sigma$.
#
# **Predict.** Under one of the two readings $T$ is exactly twice the KL. Which one?

# %%
z = torch.linspace(-40, 40, 160_001, dtype=torch.float64)
prior = Normal(0.0, 1.0)
log_normal = prior.log_prob(z)


def kl_by_quadrature(mean, scale, log_prior):
    log_q = Normal(mean, scale).log_prob(z)
    return torch.trapezoid(log_q.exp() * (log_q - log_prior), z)


# %%
values = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)
m, sigma = torch.cartesian_prod(values, values).T  # (49,) each: all pairs
T = sigma.exp() - (1 + sigma) + m**2


def kl_of_pairs(scales):
    pairs = zip(m, scales)
    return torch.stack([kl_by_quadrature(mean, scale, log_normal) for mean, scale in pairs])


kl_variance = kl_of_pairs((sigma / 2).exp())  # (49,), σ read as log v, the log-variance
kl_deviation = kl_of_pairs(sigma.exp())  # (49,), σ read as ½ log v, the log of the scale

# %%
off_variance = (T - 2 * kl_variance).abs().max().item()
off_deviation = (T - 2 * kl_deviation).abs().max().item()
print("largest |T − 2 KL| over 49 pairs (m, σ):")
print(f"  σ a log-variance: {off_variance:.0e}")
print(f"  σ a log-standard-deviation: {off_deviation:.1f}")

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The factor 2 deserves care\n\n**Answer.** $T = 2\\,\\mathrm{KL}$ exactly if $\\sigma$ is the log-variance: $c = e^{\\sigma/2} \\varepsilon + m$.\n\nFor the lecture\u2019s own $c = e^\\sigma \\varepsilon + m$:\n\n$$\\mathrm{KL} = \\frac12 \\sum_i \\left( e^{2\\sigma_i} - 1 - 2\\sigma_i + m_i^2 \\right)$$"}
# **Answer.** $T = 2\,\mathrm{KL}$ exactly if $\sigma$ is the logarithm of the variance, that is, with
# $c = e^{\sigma/2} \varepsilon + m$.

# %% [markdown]
# Which formula goes with the lecture's own $c = e^\sigma \varepsilon + m$? Substituting
# $v = e^{2\sigma}$ into the formula from section 2 gives
#
# $$\mathrm{KL} = \tfrac12 \sum_i \left( e^{2\sigma_i} - 1 - 2\sigma_i + m_i^2 \right), \qquad
# T = \mathrm{KL} + \sum_i \left( \tfrac12 m_i^2 - \tfrac12 (e^{\sigma_i} - 1)^2 \right).$$

# %% tags=["check"]
right = 0.5 * ((2 * sigma).exp() - 1 - 2 * sigma + m**2)
assert off_variance < 1e-8  # rounding of a sum of 160,001 terms
assert (right - kl_deviation).abs().max() < 1e-8
assert (T - (kl_deviation + 0.5 * m**2 - 0.5 * (sigma.exp() - 1) ** 2)).abs().max() < 1e-8

# %%
ratios = (T / kl_deviation)[kl_deviation > 1e-6]  # at m = σ = 0 both are 0
print(f"with c = exp(σ)·ε + m, T is between {ratios.min():.2f} and {ratios.max():.2f} times the KL")


# %% [markdown]
# If $T$ is used with the lecture's $c$, it charges more than the bound requires for codes other
# than 0, and less for noise of any scale other than 1. $T$ and the KL are both lowest at
# $m = \sigma = 0$, so a network trains with either, and nobody notices. With $T$, however, the loss
# no longer gives a bound on $\log P(x)$.
#
# The factor of 2 between $T$ and the KL is not a slip. If $\sigma$ is read as a log-variance, the
# squared error plus $T$ is twice the sum $\lVert x - \hat x \rVert^2/2s^2 + \mathrm{KL}$, with
# $s^2 = 1$. In other words, the lecture's loss is twice the loss of a VAE in which $s$ is a full
# step from black to white.

# %% [markdown]
# ## 9 · Where the KL has no formula
#
# The closed form of the KL divergence in section 2 assumes a Gaussian $q$ and a Gaussian prior. The lecture remarks
# that the prior may have any shape. Suppose that our prior has two humps,
# $P(z) = \tfrac12 N(z; -1.5, (\tfrac12)^2) + \tfrac12 N(z; 1.5, (\tfrac12)^2)$. The KL divergence from this prior has
# no closed form. But a KL divergence is an expectation, so we can estimate it from the draw of $z$ that we already
# have:
#
# $$\mathrm{KL} = \mathbb E_q\left[\log q(z|x) - \log P(z)\right] \approx \log q(z|x) - \log P(z), \qquad z \sim q(z|x).$$


# %%
def log_two_humps(z):
    left = Normal(-1.5, 0.5).log_prob(z)
    right = Normal(1.5, 0.5).log_prob(z)
    return torch.logaddexp(left, right) - math.log(2)


class TwoHumps(VAE):
    def kl(self, mu, logvar, z):
        log_q = Normal(mu, torch.exp(logvar / 2)).log_prob(z)  # (N, d)
        return (log_q - log_two_humps(z)).sum(1)  # (N,), right on average


# %% [markdown]
# **Predict.** A KL divergence is never negative. Can this estimate of the KL divergence be
# negative? We compare the average of many estimates with quadrature, for $q = N(1, 0.4^2)$.

# %%
q = Normal(1.0, 0.4)
draws = q.sample((n_draws,))
estimates = q.log_prob(draws) - log_two_humps(draws)  # (n,)
by_quadrature = kl_by_quadrature(1.0, 0.4, log_two_humps(z)).item()
error = (estimates.std() / math.sqrt(n_draws)).item()
print(f"quadrature {by_quadrature:.3f}, mean of the draws {estimates.mean():.3f} ± {error:.3f}")
print(f"standard deviation of one draw {estimates.std():.2f}")
print(f"share of draws below 0: {(estimates < 0).float().mean():.0%}")

# %% tags=["check"]
assert abs(estimates.mean().item() - by_quadrature) < 5 * error

# %% [markdown]
# **Answer.** Yes, a single estimate can be negative, as about a tenth of ours are. The average of the estimates agrees
# with quadrature.
#
# **Why?** Only the expectation is a KL divergence. Where $P(z)$ is larger than $q(z|x)$, the estimate
# $\log q(z|x) - \log P(z)$ is negative. For training, the estimate is good enough, because its gradient is right on
# average, and training averages over many steps.

# %% [markdown]
# We run the same training loop with the new prior.

# %%
torch.manual_seed(seed)
humps = TwoHumps()
train(humps, moons)
z_line = torch.linspace(-3.5, 3.5, 701)
densities = {"normal prior": prior.log_prob(z_line).exp(), "two humps": log_two_humps(z_line).exp()}
codes = {
    "normal prior": code(vae, moons)[0].flatten(),
    "two humps": code(humps, moons)[0].flatten(),
}

# %% alt="Two panels, each with a prior's density and below it ticks for the codes of the moons. In both, the ticks crowd at the two ends. Between the ends, they are closest near 0 under the bell-shaped prior, and closer below the humps than near 0 under the two-humped one."
figures.codes_and_prior(z_line, densities, codes)

# %%
for name, z in codes.items():
    print(f"{name}: {(z.abs() < 0.5).sum()} of {len(z)} codes lie between −0.5 and 0.5")


# %% [markdown]
# Nothing else had to change. The prior with two humps has a valley around 0, and in this one training run, slightly
# fewer codes lie there than with the normal prior. With codes on both sides, the valley cannot become empty: the
# encoder is continuous, and the moons form an unbroken line, so the codes of some phases must lie in it. The same trick
# works for any prior whose log-density can be computed, and for any $q$ from which we can draw by reparameterization
# and whose log-density we know. The drawback is that the estimate is noisy.
#
# In the package, the VAE is the class `course_lib.models.vae.VAE`. This class has the encoder, the decoder and the loss
# that you have just seen, and offers a choice of likelihoods and priors.

# %% [markdown]
# ## What the lecture said, what we measured


# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
def spread(values):
    return f"{values.mean():.2f} ± {values.std():.2f}"


worst = {(case, name): spread(line.amax(1)) for case in lines for name, line in lines[case].items()}
gap_middle = {name: spread(line[:, 50]) for name, line in gap_lines.items()}
gap_worst = {name: spread(line.amax(1)) for name, line in gap_lines.items()}
both = "waves, far apart"
holes = {case: count_holes(next(iter(kinds.values()))) for case, kinds in parts.items()}
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 6 | half way between the codes of two moons, an auto-encoder may show something other than a moon | worst distance to a true moon on the line, AE / VAE: plain {worst["plain", "AE"]} / {worst["plain", "VAE"]}, deep {worst["deep", "AE"]} / {worst["deep", "VAE"]}, far apart {worst["far apart", "AE"]} / {worst["far apart", "VAE"]}, waves {worst["waves", "AE"]} / {worst["waves", "VAE"]}, faster waves {worst["faster waves", "AE"]} / {worst["faster waves", "VAE"]}, waves and far apart {worst[both, "AE"]} / {worst[both, "VAE"]}; cross-fade {fade.max():.1f} | possible, but here it takes a decoder that can turn quickly between its codes, and without waves there are no holes, not even in deep networks |
| 7 | noise makes neighbours overlap, and where they do, the picture may be a phase in between | holes with waves and codes far apart, of {n_seeds} seeds: AE {holes["neither"]}, price only {holes["price only"]}, noise only {holes["noise only"]}, VAE {holes["price and noise"]}. With the phases in between hidden, half way AE {gap_middle["AE"]}, VAE {gap_middle["VAE"]}, worst place AE {gap_worst["AE"]}, VAE {gap_worst["VAE"]}. The best of {n_orders} random orders costs {cheapest:.1f} times as much as the right one | noise and price together close the holes on more of these seeds than either does alone; a blend is a phase in between only if the neighbours are similar. Otherwise it is a cross-fade, not the phase that the lecture suggests |
| 8 | $c = e^\\sigma \\varepsilon + m$; the exponential keeps the scale positive | the gradient agrees with quadrature within a few standard errors; the score function's variance is {score_ratio:.0f} times as large in 1 dimension, {bowl_ratio:.0f} times in a bowl of 20; for $\\sin 10z$ a hundredth | holds; it has less variance than the score function in two of these three cases |
| 9 | left alone the network picks noise 0 | noise / spread of the codes {last["VAE without KL"].mean():.4f} ± {last["VAE without KL"].std():.4f} without KL, {last["VAE"].mean():.3f} ± {last["VAE"].std():.3f} with; squared error without KL {spread(errors["VAE without KL"])}, AE {spread(errors["AE"])}, VAE {spread(errors["VAE"])} | largely holds: the noise falls far below the VAE's but cannot be exactly 0, and the squared error ends close to the auto-encoder's |
| 10 | $e^\\sigma - (1 + \\sigma)$ is lowest at $\\sigma = 0$ | minimum found at σ = {lowest:.0e} | holds |
| 10 | $m^2$ is an L2 penalty; such penalties make a code sparse | share of codes at 0: L2 {l2_zeros:.1%}, L1 {l1_zeros:.1%} | it is an L2 penalty, which makes codes small; L1 makes them sparse |
| 11 | the term $T = \\sum (e^\\sigma - (1 + \\sigma) + m^2)$ | equal to 2·KL within {off_variance:.0e} if σ is a log-variance; with $c = e^\\sigma \\varepsilon + m$ it is {ratios.min():.2f} to {ratios.max():.2f} times the KL | right with $c = e^{{\\sigma/2}} \\varepsilon + m$ |

Moons: 33 from new to full (phases hidden: 10), 20×20 pixels, {steps} steps of Adam on all of them at once, Gaussian likelihood with variance {variance}. Claims 6, 7 and 9: {n_seeds} seeds, ± is the standard deviation between them. Claim 8: {n_draws:,} draws from one trained VAE. Distances are roots of summed squared pixel differences. Claims are numbered across the whole course.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In exercises 1 to 3, fill in the missing steps, run the cell, and then run the check below it. The check says
# "Correct" or names the mistake. Exercise 4 has no such check: you judge your result yourself, with
# the help of the cells below it.
#
# The encoder outputs `logvar`, here and in all later chapters. Training a VAE sends gradients through the three
# functions of exercises 1 to 3, so each must be differentiable. Avoid `item`, `detach` and NumPy, which stop the
# gradient. You need no clamping and no small added constant, even for log-variances as extreme as ±60.
#
# **1. The draw.** Draw fresh Gaussian noise for every number in the code, at every call. Gradients must reach both
# inputs.


# %%
def my_reparameterize(mu, logvar):
    """A draw z from N(mu, exp(logvar)): mu and logvar (N, d) give (N, d)."""
    # 1. the standard deviation, (N, d): logvar is the logarithm of its square
    # 2. standard normal noise of the same shape: torch.randn_like
    # 3. scale the noise and shift it
    raise NotImplementedError


# %%
checks.reparameterize(my_reparameterize)


# %% [markdown]
# **2. The price.** Compute the KL divergence from the standard normal, in nats, and avoid both of
# the slips described in section 8. (If
# you have solved the first exercise of [The evidence lower bound](02_elbo.ipynb), you can use your answer again.)


# %%
def my_kl(mu, logvar):
    """KL(N(mu, exp(logvar)) ‖ N(0, I)) in nats: mu and logvar (N, d) give (N,)."""
    # 1. the KL of each dimension, (N, d): which reading of section 8 does logvar follow?
    # 2. the sum over dimensions, (N,)
    raise NotImplementedError


# %%
checks.kl(my_kl)


# %% [markdown]
# **3. The loss.** Add the [reconstruction term](../docs/glossary.md#reconstruction-term) and the KL term, in nats per
# image. Averaging the squared error over the pixels looks harmless, but it gives the KL 400 times too much weight.
# Leave out the constant term of the Gaussian's log-density. Gradients must reach x_hat, mu and
# logvar.


# %%
def my_vae_loss(x, x_hat, mu, logvar, variance):
    """‖x − x_hat‖² / (2 variance) + KL, as a tensor ():
    x and x_hat (N, D) are pixels, mu and logvar are (N, d), and variance is a number.
    """
    # 1. the squared error of each image, (N,), divided by twice the variance
    # 2. the KL of each image, (N,): exercise 2
    # 3. their sum, averaged over the images: one number
    raise NotImplementedError


# %%
checks.vae_loss(my_vae_loss)

# %% [markdown]
# **4. Derive it: where the two estimators have the same variance.** Take $f(z) = \sin kz$ with
# $z \sim N(0, 1)$. Show that one draw of the reparameterization estimate $k \cos kz$ has variance
# $\tfrac12 k^2 (1 - e^{-k^2})^2$. (Use $\cos^2 kz = \tfrac12 + \tfrac12 \cos 2kz$ and
# $\mathbb E \cos kz = e^{-k^2/2}$.) Derive the variance of the score-function estimate $z \sin kz$
# in the same way; it helps to differentiate $\mathbb E \cos 2kz$ twice with respect to $k$. At
# which $k > 0$ are the two variances equal? There is no formula for this $k$, so find it to two
# decimals, either from a plot of both variances or with `scipy.optimize.brentq`. Write your $k$ in
# the next cell. The cell after that measures both variances at two frequencies, half a per cent
# below your $k$ and half a per cent above it, to see whether their order is reversed between the
# two.

# %%
my_k = None  # your answer, a number

# %%
if my_k is None:
    print("Write your k in the cell above.")
elif my_k <= 0:
    print("We are looking for a positive k.")
else:
    z = torch.randn(4_000_000)  # enough to see the difference within half a per cent of the right k
    slope_is_better = []  # below your k, and above it
    for k in (0.995 * my_k, 1.005 * my_k):
        by_slope = (k * torch.cos(k * z)).var()
        by_score = (z * torch.sin(k * z)).var()
        slope_is_better.append(bool(by_slope < by_score))
        print(f"k = {k:.3f}: reparameterization {by_slope:.4f}, score function {by_score:.4f}")
    if slope_is_better == [True, False]:
        print("They change places within half a per cent of your k.")
    elif slope_is_better == [True, True]:
        print("Reparameterization has the smaller variance at both points, so your k is too small.")
    else:
        print("The score function has the smaller variance at both points, so your k is too large.")

# %% [markdown]
# **Answer.** $\mathbb E\, z^2 \sin^2 kz = \tfrac12 - \tfrac12\, \mathbb E\, z^2 \cos 2kz$. Differentiating
# $\mathbb E \cos az = e^{-a^2/2}$ twice with respect to $a$ gives $\mathbb E\, z^2 \cos az = (1 - a^2)\, e^{-a^2/2}$,
# and differentiating once gives $\mathbb E\, z \sin az = a\, e^{-a^2/2}$. The variance of the score-function estimate
# is therefore $\tfrac12 - \tfrac12 (1 - 4k^2)\, e^{-2k^2} - k^2 e^{-k^2}$. The two variances are equal at
# $k \approx 1.11$: for slower waves, the slope is the better guide, and for faster ones, the score function is.
# %% [markdown]
# ## Further reading
#
# - Hinton & Salakhutdinov 2006, *Reducing the dimensionality of data with neural networks*, Science 313: the deep
#   auto-encoder, with pictures of its codes.
# - Kingma & Welling 2014, *Auto-encoding variational Bayes*, ICLR: the VAE and reparameterization. Appendix B derives
#   the KL term of section 2.
# - Rezende, Mohamed & Wierstra 2014, *Stochastic backpropagation and approximate inference in deep generative
#   models*, ICML: the same model, found independently.
# - Doersch 2016, *Tutorial on variational autoencoders*, arXiv:1606.05908: a slower introduction, for a second
#   reading.
# - Mohamed, Rosca, Figurnov & Mnih 2020, *Monte Carlo gradient estimation in machine learning*, JMLR 21: both
#   estimators of section 5, and when each has the smaller variance.
# - Tancik et al. 2020, *Fourier features let networks learn high frequency functions in low dimensional domains*,
#   NeurIPS: what the waves of section 3 are good for. Rahaman et al. 2019, *On the spectral bias of neural networks*,
#   ICML, explains why plain networks do not turn quickly.
