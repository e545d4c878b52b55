# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# GANs on MNIST\n\n- What pixels cannot see\n- The arms race, and a tournament\n- The generator\u2019s only signal; collapse, and its cures\n- How good is a sample? And a quiz"}
# # 08 · GANs on MNIST
#
# After this notebook you will be able to
# - write both networks of a [GAN](../docs/glossary.md#generative-adversarial-network-gan), both updates and the loop,
#   and say where the [generator](../docs/glossary.md#generator)'s only signal comes from;
# - stage the arms race between the generator and the [discriminator](../docs/glossary.md#discriminator), and measure
#   who catches whom;
# - provoke a collapse that fools the discriminator, tell it from a generator that has simply lost, and cure it;
# - judge samples whose probability nobody knows, always against a floor and a ceiling.
#
# **Prerequisites:** [A GAN in one dimension](07_toy_gan.ipynb) and
# [The VAE on MNIST](04_vae.ipynb). Sections 1, 9 and 11 also use two trained models: the joined
# model from [How good is a VAE?](05_how_good.ipynb) and the model from
# [The conditional VAE](06_conditional_vae.ipynb). The text says what you need to know about them.
# No GPU needed.
#
# **Time:** four minutes to run on a laptop with two cores, two hours to work through, or ninety
# minutes without sections 10 to 12 and the last exercise.
# **Memory:** the run takes about 1.6 GB of memory.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import copy
from types import SimpleNamespace

import torch
from IPython.display import Markdown, display
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d, softplus

# %% tags=["imports"]
from course_lib import checks, evaluation, plots, recipes
from course_lib.data import course_digits, fixed_binarization, shipped_models_fit
from course_lib.device import FAST
from course_lib.evaluation.likelihood import elbo
from course_lib.evaluation.samples import frechet_distance, nearest, unexplained
from course_lib.figures import gan as figures
from course_lib.models.gan import r1_penalty
from course_lib.shipped import classifier_for, model_for
from course_lib.widgets import Quiz

plots.use_style()

# %% tags=["parameters"]
seeds = range(2) if FAST else range(3)  # of the arms race
small_seeds = range(2) if FAST else range(5)  # of the small games of section 7
edited = 20 if FAST else 400  # digits of each class that are edited
rounds = 16 if FAST else 320  # of the arms race
looks = 4 if FAST else 8  # how often both players are copied in it
frozen_rounds = 4 if FAST else 40  # with D frozen and free in G's step
updates = 44 if FAST else 440  # of each uneven game, D's and G's together
samples = 200 if FAST else 3_000  # images of each kind that are judged, if there are as many
copies = 20 if FAST else 100  # samples whose nearest training digit we find
mixed = 6 if FAST else 20  # images to mix
columns = 60 if FAST else 200  # training digits that each is mixed from

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## What pixels cannot see\n\nFive pixels are set to white: all at the edge of a stroke, or scattered over the black background. Both edits have the same squared error."}
# ## 1 · What pixels cannot see
#
# A [VAE](../docs/glossary.md#variational-auto-encoder-vae) learns by imitation: its
# [decoder](../docs/glossary.md#decoder)'s output is compared with the image, pixel by pixel. To show what is wrong with
# this comparison, the lecture takes a 7 that differs from the original in a single pixel. A wrong pixel at the end of a
# stroke makes the stroke a little longer, and nobody minds. A wrong pixel that stands alone on the
# black background gives the image away as machine-made. Yet both images have the same squared
# error.
#
# We add wrong pixels of both kinds to real digits. A single pixel barely changes some of the scores below, so we turn
# five pixels white, either all at the edge of a stroke or scattered away from the ink. Four judges assess the edited
# images:
# - the squared error;
# - the negative bound $-L_b$ of the VAE that comes with the course, in [nats](../docs/glossary.md#nat)
#   ([The evidence lower bound](02_elbo.ipynb)). This VAE is the joined model from
#   [How good is a VAE?](05_how_good.ipynb), section 8, in which each pixel also depends on earlier pixels;
# - the [logit](../docs/glossary.md#logit) for "real" from the discriminator D of a trained GAN. This GAN comes with the
#   course, and section 8 describes how it was trained;
# - the probability that the course's classifier, a small network trained to recognize digits, assigns to the right
#   digit.
#
# The next cell loads the digits, the classifier (`referee`), and the GAN (`shipped`). It also loads a
# [conditional VAE](../docs/glossary.md#conditional-vae) (`cvae`), a VAE that draws the digit that it is asked for.
# From section 9 on, its images are compared with the GAN's.

# %%
train, test = course_digits(train=True), course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # what was measured on MNIST is asserted on MNIST only
torch.manual_seed(0)
# MNIST's first 5,000 test digits are cleaner than the others.
test = test.subset(torch.randperm(len(test)))
held_out = test.pixels()  # (N, D), pixels in [0, 1]
referee = classifier_for(train)
shipped, cvae = model_for(train, "gan"), model_for(train, "conditional_vae")
classes = torch.arange(train.n_classes)

# %% [markdown]
# To place the white pixels, we need to know which pixels are near a stroke. We call a pixel *near the ink* if there is
# ink in a small square around it.

# %%
side = torch.arange(28.0)
places = torch.cartesian_prod(side, side)  # (784, 2), row and column of each pixel
inner = ((places >= 4) & (places < 24)).all(1)  # (784,), the part where MNIST's digits lie


def near_ink(x, size):
    """Whether the `size` × `size` pixels around each pixel contain ink: x (N, 784) to (N, 784)."""
    ink = (x > 0).float().view(-1, 1, 28, 28)
    return max_pool2d(ink, size, stride=1, padding=size // 2).flatten(1) > 0


# %%
def five_white(x, allowed, order):
    """x (N, 784) with five more white pixels, the allowed ones of smallest `order` (N, 784)."""
    order = order.masked_fill(~allowed, torch.inf)
    chosen = order.topk(5, largest=False).indices  # (N, 5)
    return x.scatter(1, chosen, 1.0)


def at_a_stroke(x):
    allowed = (x == 0) & inner & near_ink(x, 3)
    first = torch.multinomial(allowed.float(), 1)[:, 0]  # one allowed pixel of each image
    return five_white(x, allowed, torch.cdist(places[first], places))  # and its nearest neighbours


def scattered(x):
    allowed = (x == 0) & inner & ~near_ink(x, 5)
    return five_white(x, allowed, torch.rand(x.shape))


# %% alt="Three rows of sixteen sevens: the originals, the same with a small white patch touching a stroke, and the same with five separate white dots on the black background." slideshow={"slide_type": "-"}
if on_mnist:
    torch.manual_seed(0)
    sevens = held_out[test.labels == 7][:edited]
    edits = {"original": sevens, "at a stroke": at_a_stroke(sevens), "scattered": scattered(sevens)}
    figures.digit_rows(edits)
else:
    print("The edits are made to MNIST's digits, so this comparison is skipped.")


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Four judges\n\nThe squared error; the $-L_b$ of a VAE; the logit of a GAN\u2019s discriminator; a classifier\u2019s $P(7)$.\n\n**Predict.** Which of them will call the scattered pixels worse than those at a stroke?"}
# **Predict.** Which of the four judges will call the scattered pixels worse than those at a stroke?
#
# The VAE models only black and white pixels, so for this judge we make the same kinds of edits to binarized sevens.


# %%
@torch.no_grad()
def bound(x):
    """The VAE's −L_b, in nats: the mean over black and white images x (N, 784)."""
    return -float(elbo(vae, x, 2).elbo)


@torch.no_grad()
def three_judges(x, original):
    """Means over the images: squared error, D's logit, and the classifier's probability of a 7."""
    error = (x - original).square().sum(1).mean()
    seven = referee(x).softmax(1)[:, 7].mean()
    return float(error), float(shipped.logit(x).mean()), float(seven)


# %% slideshow={"slide_type": "slide"} slide={"text": "## A sum does not know its neighbours", "show": "output"}
if on_mnist:
    vae = model_for(train, "vae")
    binary = fixed_binarization(test.images).flatten(1)[test.labels == 7][:edited]
    bounds = {
        "original": bound(binary),
        "at a stroke": bound(at_a_stroke(binary)),
        "scattered": bound(scattered(binary)),
    }
    verdicts = {name: three_judges(x, sevens) for name, x in edits.items()}
    for name, (error, logit, seven) in verdicts.items():
        print(
            f"{name:>11}: squared error {error:.2f}, D's logit {logit:+.2f}, "
            f"P(7) {seven:.3f}, −L_b {bounds[name]:.0f} nats"
        )

# %% tags=["check"]
# Five pixels from 0 to 1 cost 5 in both edits; the VAE's bound minds scattered pixels more.
if on_mnist:
    assert all(abs(verdicts[name][0] - 5) < 1e-3 for name in ("at a stroke", "scattered"))
    assert bounds["scattered"] > bounds["at a stroke"]

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** The VAE\u2019s bound does, clearly; the discriminator hardly does. The squared error is the same to the last digit, and the classifier barely notices: it was never asked."}
# **Answer.** The VAE clearly does, whereas the discriminator hardly tells the two edits apart. The scattered pixels
# raise $-L_b$ much more than the pixels next to a stroke do, but both edits lower D's mean logit by almost the same
# amount. The squared error is 5 for both edits, and neither edit makes much difference to the classifier.
#
# **Why?** A squared error is a sum over pixels, and a sum does not know which pixels are neighbours. The
# discriminator is a network that looks at all pixels at once, so in principle it can tell the two edits apart. It was
# trained to answer a single question, real or made, and both edits make a digit look less real to it. The end of this
# section explains why the scattered pixels look hardly any worse to it. The classifier was trained to answer a
# different question: which digit an image shows, not whether it shows a digit at all.
#
# In fairness to the VAE, the lecture is right only about the decoder's *output*: a wrong pixel there costs the same
# squared error wherever it is. But an *image* with scattered white pixels is improbable under the model, and the bound
# on $\log P(x)$ says so: the decoder is nearly sure that pixels far from any stroke are black, so each white pixel
# there costs many nats. What the VAE never does is learn from its own samples.

# %% [markdown]
# So far we have looked only at sevens.
#
# **Predict.** Does the discriminator prefer the edit at a stroke for every digit?

# %% alt="For each digit from 0 to 9 a point with an error bar: the share of images whose edit at a stroke D prefers. It is a little below three quarters for 3 and between 0.55 and 0.66 for 1, 2, 4, 5, 7 and 8; for 6 and 9 it lies near the dotted line at one half, and for 0 slightly below it."
shares, errors = [], []
if on_mnist:
    for digit in range(10):
        x = held_out[test.labels == digit][:edited]
        with torch.no_grad():
            prefers = (shipped.logit(at_a_stroke(x)) > shipped.logit(scattered(x))).double()
        shares.append(float(prefers.mean()))
        errors.append(float(prefers.std() / len(x) ** 0.5))
    figures.preference_by_digit(shares, errors)

# %% [markdown]
# **Answer.** No. D prefers the edit at a stroke for almost three quarters of the threes. For ones, twos, fours, fives,
# sevens and eights, the share is smaller, between 55 % and 66 %. For sixes and nines, the share cannot be told apart
# from one half, and for zeros it is even slightly below one half.
#
# **Why?** A discriminator is only as good as the fakes it was trained on. Our discriminator learned to tell real digits
# from the images of *its own generator*, which had little reason to scatter white pixels over the black background. So
# D had little reason to learn that scattered pixels are worse than other mistakes.

# %% [markdown] slideshow={"slide_type": "notes"}
# ## 2 · Two networks
#
# The *generator* G turns a code z, drawn from a standard normal distribution, into an image, just as the decoder of a
# VAE does. The *discriminator* D turns an image x into one number, the logit of "real". The sigmoid of this logit is
# $D(x)$, D's estimate of the probability that x is real. G and D each have two convolutional layers. The generator's
# convolutions are *transposed* and double the height and width; the discriminator's convolutions halve both. (On
# MNIST, Goodfellow et al. 2014 used fully connected layers. Convolutions became the standard with Radford et al. 2016.)
#
# The generator also uses *batch normalization* (Ioffe & Szegedy 2015). Batch normalization rescales each channel to
# mean 0 and variance 1 over the batch, and then applies a learned scale and shift. The discriminator does without it.

# %%
CODES = 64  # numbers in a code z
channels, height, width = (1, *train.shape)[-3:]
h, w = height // 4, width // 4  # after two halvings


def make_generator():
    """Codes (N, CODES) to images (N, D) with pixels in [0, 1]."""
    return nn.Sequential(
        nn.Linear(CODES, 32 * h * w),
        nn.Unflatten(1, (32, h, w)),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),  # (N, 16, 2h, 2w)
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, channels, 4, stride=2, padding=1),  # (N, channels, 4h, 4w)
        nn.Flatten(),
        nn.Sigmoid(),
    )


# %%
def make_discriminator():
    """Images (N, D) to logits of "real" (N, 1)."""
    return nn.Sequential(
        nn.Unflatten(1, (channels, height, width)),
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),  # (N, 16, 2h, 2w)
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),  # (N, 32, h, w)
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(32 * h * w, 1),
    )


# %% [markdown]
# Each player has its own optimizer. We run Adam without momentum ($\beta_1 = 0$), because by the next step the other
# player has moved, and the old slope would be misleading. G's learning rate is twice D's, although
# [A GAN in one dimension](07_toy_gan.ipynb), section 7, recommends a faster D. There, both players
# have the same architecture. Two different networks that learn at the same rate need not be equally
# fast, so which rates match depends on the networks.


# %%
def make_players(seed, make_g=make_generator, make_d=make_discriminator, g_rate=4e-3, d_rate=2e-3):
    torch.manual_seed(seed)
    g, d = make_g(), make_d()
    return SimpleNamespace(
        g=g,
        d=d,
        g_optimizer=torch.optim.Adam(g.parameters(), g_rate, betas=(0.0, 0.99)),
        d_optimizer=torch.optim.Adam(d.parameters(), d_rate, betas=(0.0, 0.99)),
    )


def noise(n):
    return torch.randn(n, CODES)


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Two updates\n\n$D$ lowers $-\\log D(x) - \\log(1 - D(G(z)))$, and $G$ lowers $-\\log D(G(z))$. One `detach` makes the difference."}
# ## 3 · Two updates
#
# The losses of D and G are the same as in [A GAN in one dimension](07_toy_gan.ipynb), and they are
# measured in nats. D minimizes $-\log D(x) - \log(1 - D(G(z)))$, which is the usual loss of a
# classifier that tells real images from generated ones. G minimizes $-\log D(G(z))$. If D's logit
# is $a$, then $-\log D = \log(1 + e^{-a})$ is the softplus of $-a$, and $-\log(1 - D)$ is the
# softplus of $a$.
#
# A single call to `detach` makes the difference between D's update and G's. In D's update, the generated images are
# treated as plain data, so no gradient reaches G. In G's update, the gradient flows *through* D into G, but the
# optimizer contains only G's weights, so D stays frozen.


# %% slideshow={"slide_type": "-"} slide={"lines": "8, 10-11, 14-15, 17, 19-20"}
def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def update_d(players, x, r1=0.0):
    """One step of D on real x (N, D) and as many made images; r1 weighs section 7's R1 penalty."""
    made = players.g(noise(len(x))).detach()  # (N, D), no gradient reaches G
    loss = softplus(-players.d(x)).mean() + softplus(players.d(made)).mean()
    if r1:
        loss = loss + r1 * r1_penalty(lambda images: players.d(images)[:, 0], x)
    return step(players.d_optimizer, loss)


def update_g(players, n):
    """One step of G on n new codes."""
    loss = softplus(-players.d(players.g(noise(n)))).mean()  # −log D(G(z)), no detach
    return step(players.g_optimizer, loss)


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The arms race\n\nThe bird eats what is not brown: the butterfly turns brown. The bird eats what has no veins: the butterfly grows veins."}
# ## 4 · The arms race
#
# The lecture explains the arms race with a butterfly and a bird. The bird eats whatever is not brown, so the
# butterfly turns brown. The bird then eats whatever has no veins, so the butterfly grows veins like those of a leaf. In
# the same way, a first generator meets a first discriminator, a second generator fools that discriminator, a second
# discriminator catches that generator, and so on.
#
# Our loop updates each player once per round, and saves a copy of both players every few dozen rounds. We play the
# whole game several times, each time with a different seed.


# %%
def some_digits(n=64):
    return train.pixels(torch.randint(len(train), (n,)))  # (n, D)


def play(players, rounds, looks):
    """Copies (G, D) of both players, one per look, and the mean losses between looks."""
    versions, losses = [], []
    for i in range(1, rounds + 1):
        losses.append((update_d(players, some_digits()), update_g(players, 64)))
        if i % (rounds // looks) == 0:
            versions.append(copy.deepcopy((players.g, players.d)))
    means = torch.tensor(losses).view(looks, -1, 2).mean(1)  # (looks, 2): D's loss and G's
    return versions, means


# %%
games = [play(make_players(seed), rounds, looks) for seed in seeds]


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** One update each, 64 digits a round, less than one pass through MNIST in all. From which version of $G$ onwards will you recognize digits?"}
# **Predict.** Each round uses 64 digits, so a whole game takes less than one pass through MNIST. In
# the first game, which version of G will be the first whose digits you can recognize?


# %%
@torch.no_grad()
def images_of(g, z):
    """Images (N, D) of codes z (N, CODES), with batch normalization in evaluation mode."""
    return g.eval()(z)


# %% alt="Eight rows of sixteen images, one row per version of the generator and one column per code: grids of grey dots in the first two rows, then thick strokes, which come to resemble digits further down." slideshow={"slide_type": "slide"} slide={"text": "## Versions of the generator"}
torch.manual_seed(0)
z = noise(16)
versions, _ = games[0]
figures.digit_rows({f"v{i + 1}": images_of(g, z) for i, (g, _) in enumerate(versions)})


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** First textures, then strokes; from about the fifth on, some shapes can be read."}
# Each row comes from one version of the generator, and each column from one code.
#
# **Answer.** The first two versions draw textures, the next ones draw strokes, and from about the fifth on you can
# read some of the shapes as digits. The digits stay rough, because this game is short.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The tournament\n\n*Every* $D$ judges the images of *every* $G$: how often does it rank a real digit above a made one? 1 is caught, 0 is fooled.\n\n**Predict.** To the right of the diagonal, the judge is newer than the generator. Where will generators be caught?"}
# Now for the tournament. *Every* D judges the images of *every* G, even those of generators that it has never met.
# We report how often D ranks a real digit above an image from G, as a share of all such pairs. A share of 1 means that
# the generator is caught, ½ that D cannot tell its images from real digits, and 0 that D is fooled. (In statistics this
# share is called the area under the ROC curve.) The share depends only on the order of D's logits and not on their
# level, so different versions of D can be compared.
#
# **Predict.** In the table below, the judge is newer than the generator to the right of the diagonal and older to the
# left. On which side will the numbers be larger?


# %%
@torch.no_grad()
def ranking(d, real, made):
    """How often D gives a real image a larger logit than a made one, over all pairs."""
    on_real, on_made = d(real)[:, 0], d(made)[:, 0]  # (N,), (M,)
    return float((on_real[:, None] > on_made).double().mean())


def tournament(versions, n=200):
    """ranking of the D of version j on images of the G of version i: (G, D)."""
    z, real = noise(n), held_out[:n]
    table = torch.zeros(len(versions), len(versions))
    for i, (g, _) in enumerate(versions):
        made = images_of(g, z)
        for j, (_, d) in enumerate(versions):
            table[i, j] = ranking(d, real, made)
    return table


# %% alt="A table of eight generators by eight discriminators, coloured from orange through white to purple. The purple cells, where the generator is caught, lie mostly right of the diagonal, where the judge is newer than the generator; left of it most cells are pale orange." slideshow={"slide_type": "slide"} slide={"text": "## Each new D catches the old G"}
tables = torch.stack([tournament(versions) for versions, _ in games])  # (seeds, G, D)
figures.tournament(tables[0])

# %% [markdown]
# The lecture's claim is about consecutive versions. Does each new D catch the old G more often than the old D did? Does
# each new G fool the old D more often than the old G did?

# %%
own = tables.diagonal(dim1=1, dim2=2)  # (seeds, versions), D_i on G_i
next_d = tables.diagonal(1, dim1=1, dim2=2)  # (seeds, versions − 1), D_{i+1} on G_i
next_g = tables.diagonal(-1, dim1=1, dim2=2)  # D_i on G_{i+1}
caught, fooled = next_d > own[:, :-1], next_g < own[:, :-1]
print(
    f"the next D catches the old G better in {int(caught.sum())} "
    f"of {caught.numel()} pairs of versions,"
)
print(f"the next G fools the old D better in {int(fooled.sum())} of {fooled.numel()}")


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** To the right of the diagonal. Neither player has met the other\u2019s future."}
# **Answer.** To the right of the diagonal, where a newer judge meets an older generator, nearly all numbers are 0.8 or
# more. To the left, most numbers are below ½. The first two generators draw so poorly that almost every judge catches
# them. Over all seeds, in about four out of five pairs of versions the new D catches the old G more
# often than the old D did, and in every pair the new G fools the old D more often than the old G did.
#
# **Why?** D has been trained against the generators of the past, so it knows their mistakes. G has been trained
# against the discriminators of the past, so it knows what they like. Neither player has met later versions of its
# opponent.

# %% [markdown]
# ## 5 · Do the losses tell?
#
# The lecture complains that a GAN's losses do not say whether the images are getting better. If D does well, G may
# simply be poor; if D cannot tell real images from fakes, D may be poor. So people sit at the computer and look at
# pictures.
#
# To test this, we need a yardstick for the images. The *[Fréchet distance](../docs/glossary.md#fréchet-distance)*
# (Heusel et al. 2017, equation 6) compares two sets of images by the features that a trained network computes from
# them. If the features have means $\mu, \mu'$ and covariances $\Sigma, \Sigma'$, the distance is
#
# $$ d^2 = \lVert \mu - \mu' \rVert^2 + \operatorname{tr}\left(\Sigma + \Sigma' - 2\,(\Sigma\Sigma')^{1/2}\right). $$
#
# The Fréchet distance is 0 if both the means and the covariances agree. Published Fréchet distances ("FID") are
# computed from the features of the Inception network. Our features are the 64 numbers that enter the last layer of the
# course's classifier, so our distances must never be compared with published ones.


# %%
@torch.no_grad()
def features(images):
    """Images (N, D) to the classifier's features (N, 64)."""
    return torch.cat([referee.features(x) for x in images.split(1000)])


real_features = features(held_out)


def distance(g, n=1000):
    """The Fréchet distance from n images of G to the test digits."""
    return frechet_distance(features(images_of(g, noise(n))), real_features)


# %%
runs = []
for versions, losses in games:
    of_d, of_g = losses.T.tolist()
    distances = [distance(g) for g, _ in versions]
    runs.append({"discriminator": of_d, "generator": of_g, "distance": distances})

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Do the losses tell?\n\nAs a yardstick, the *Fr\u00e9chet distance* in the features of the course\u2019s classifier.\n\n**Predict.** As a game goes on, its images get better. Will $D$\u2019s loss rise as they do? Will $G$\u2019s loss fall?"}
# **Predict.** As a game goes on, its images get better. Will D's loss rise as the images improve? Will G's loss fall?

# %% alt="Two panels with one line per seed, each running from large Fr\u00e9chet distances on the right to small ones on the left. As the distance falls, D's loss rises from about 1 almost to a dotted line at log 4, and G's loss first climbs and then falls to about 0.7." slideshow={"slide_type": "slide"} slide={"text": "## Within a healthy game, a little"}
figures.losses_against_distance(runs)

# %%
tells = {}
for key in ("discriminator", "generator"):
    tells[key] = [spearmanr(run[key], run["distance"])[0] for run in runs]
    by_game = ", ".join(f"{v:+.2f}" for v in tells[key])
    print(f"{key}'s loss, rank correlation with the distance: {by_game}")

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Here both do. But a loss near $\\log 4$ has two readings: the images are good, or $D$ is poor."}
# **Answer.** Yes to both, though not at every step. In the figure, each line runs from right to left as the game goes
# on, and a circle marks its end. As the Fréchet distance falls, D's loss rises towards $\log 4$, and G's loss falls.
# The rank correlations say the same: those of D's loss are negative (a larger loss goes with a smaller distance), and
# those of G's loss are positive.
#
# **Why?** When the images get better, D's task gets harder, so D's loss rises as long as D's skill stays about the
# same. But each loss depends on the *opponent* as much as on the images. D's loss equals $\log 4 - 2\,\mathrm{JSD}$,
# where JSD is the [Jensen–Shannon divergence](../docs/glossary.md#jensenshannon-divergence-jsd) between real and
# generated images, only if D is the best possible discriminator. So a loss of D near $\log 4$ can mean two things: the
# images are good, or D is poor. Section 7 shows the second case: a game that ends with D's loss near $\log 4$ although
# G draws no digit at all. Within a healthy game the losses tell you something, but they do not tell you whether the
# game is healthy. To find that out, we must look at the images or use a yardstick.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The generator\u2019s only signal\n\n$$\\frac{\\partial \\ell}{\\partial \\theta} = \\sum_{\\text{images}} \\frac{\\partial \\ell}{\\partial x}\\,\\frac{\\partial x}{\\partial \\theta}, \\qquad x = G_\\theta(z)$$\n\n$G$ never sees a real image. $D$\u2019s slope says which pixels should be brighter (red) or darker (blue)."}
# ## 6 · The generator's only signal
#
# G never sees a real image. By the chain rule, the gradient of G's loss with respect to G's weights $\theta$ is
#
# $$ \frac{\partial \ell}{\partial \theta} = \sum_{\text{images}} \frac{\partial \ell}{\partial x}\,\frac{\partial x}{\partial \theta}, \qquad x = G_\theta(z), \quad \ell = -\log D(x). $$
#
# The first factor comes from D's slope: for each pixel of a generated image, it says whether D would prefer that pixel
# to be brighter or darker. The second factor comes from G itself. Nothing else enters the gradient. We compute the
# gradient twice, once as the product of these two factors and once in a single backward pass.

# %%
g, d = copy.deepcopy(games[0][0][-1])  # the last version of the first game
weights = list(g.train().parameters())
x = g(noise(64))  # (64, D)
loss = softplus(-d(x)).mean()
slope = torch.autograd.grad(loss, x, retain_graph=True)[0]  # D's part: (64, D)
in_two_parts = torch.autograd.grad(x, weights, slope, retain_graph=True)  # and then G's
whole = torch.autograd.grad(loss, weights)

# %% tags=["check"]
for a, b in zip(in_two_parts, whole):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)  # float32, in another order

# %% alt="Above, sixteen rough digits made by G; below each, a map in red and blue. Red specks lie on and next to the strokes, where D asks for more ink, and the background is mostly blue." slideshow={"slide_type": "-"}
figures.pull(x.detach(), -slope, shape=train.shape)

# %% [markdown]
# To please D, G should make the pixels marked red brighter and those marked blue darker. A D that gives every image the
# same logit has no slope, so G learns nothing from it. To check this, we set the weights of D's last layer to 0.

# %%
nn.init.zeros_(d[-1].weight)  # now the logit is the same for every image
loss = softplus(-d(g(noise(64)))).mean()
gradients = torch.autograd.grad(loss, weights)
left_over_gradient = max(float(part.abs().max()) for part in gradients)
print("the largest gradient that is left:", left_over_gradient)


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## When G learns, D must be frozen\n\nThree kinds of $G$\u2019s step: $D$ frozen; $D$ free, at its own rate; $D$ free, at $G$\u2019s rate.\n\n**Predict.** In which games will $G$\u2019s loss be lowest? In which will the images be best?"}
# The lecture also warns that D must be frozen while G learns. If G's step could also change D's weights, the easiest
# way to lower $-\log D(G(z))$ would be to make D say "real" to everything.
#
# We continue each game of the arms race from its last version in three different ways. In G's step, D is either frozen,
# free to move at its own learning rate, or free to move at G's learning rate, which is twice as large. D's own updates
# go on as before.
#
# **Predict.** In which kind of game will G's loss be lowest, and in which kind will the images be best?


# %%
def go_on(version, d_rate):
    """Play on from (G, D); D also moves in G's step, at `d_rate` (0: frozen).
    Returns G's loss and the distance.
    """
    torch.manual_seed(0)
    g, d = copy.deepcopy(version)
    learners = [{"params": g.train().parameters()}]
    if d_rate > 0:
        learners.append({"params": d.parameters(), "lr": d_rate})
    players = SimpleNamespace(g=g, d=d)
    players.g_optimizer = torch.optim.Adam(learners, 4e-3, betas=(0.0, 0.99))
    players.d_optimizer = torch.optim.Adam(d.parameters(), 2e-3, betas=(0.0, 0.99))
    for _ in range(frozen_rounds):
        update_d(players, some_digits())
        loss = update_g(players, 64)
    return loss, distance(g)


# %% alt="Two panels of points, one row per kind of game and one point per seed. With D free at G's rate, the points of G's loss lie near 0 and those of the Fr\u00e9chet distance far to the right; the other two rows lie close together." slideshow={"slide_type": "slide"} slide={"text": "## The lowest loss, the worst images"}
last = [versions[-1] for versions, _ in games]
after = {}
d_rates = {"D frozen": 0.0, "D free, its own rate": 2e-3, "D free, G's rate": 4e-3}
for name, d_rate in d_rates.items():
    after[name] = [go_on(version, d_rate) for version in last]
figures.frozen_and_free(after)

# %% tags=["check"]
fixed, _, free = [torch.tensor(found) for found in after.values()]  # (seeds, 2): G's loss, distance
if on_mnist and rounds >= 300:  # on every seed: a lower loss, and worse images
    assert (free[:, 0] < fixed[:, 0]).all() and (free[:, 1] > fixed[:, 1]).all()

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** With $D$ free at $G$\u2019s rate the loss is lowest of all, and the images are ruined."}
# **Answer.** G's loss is by far the lowest with D free at G's rate, and in these games the images are ruined. After so
# few rounds, the other two kinds of game differ far less from each other: with D free at its own rate, the Fréchet
# distance is on average only slightly larger than with D frozen, and G's loss is somewhat lower.
#
# **Why?** There are two ways to lower $-\log D(G(z))$: better images, or a D that calls generated images real. The
# second way takes no more than a change to a few of D's weights. If D moves at the same rate in its own step and in
# G's, the two updates pull in opposite directions and nearly cancel on generated images. If D moves twice as fast in
# G's step, that step wins. D then calls generated images real, and its slope no longer says anything about digits.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Well matched, fooled, or lost\n\nIf $D$ stands still, the best $G$ maps every $z$ to the one image that $D$ rates highest: *mode collapse*."}
# ## 7 · Well matched, fooled or lost: collapse
#
# According to the lecture, the two players must stay well matched. The lecture also describes a
# failure: G returns nearly the same image for every z, and somehow this image *fools* D. This is
# *[mode collapse](../docs/glossary.md#mode-collapse)*. Why should it happen? Suppose that D stays
# as it is while G learns. Then the best G maps every z to the one image that D rates highest:
#
# $$ \mathbb{E}_z\left[-\log D(G(z))\right] \;\text{ is smallest for }\; G(z) = \arg\max_x D(x) \;\text{ for all } z. $$
#
# Nothing in G's loss asks G to draw different images for different codes. So a G that learns much faster than D should
# collapse, and the image that it draws should fool D.
#
# We play three kinds of games. The total number of updates, D's and G's together, is the same in all of them:
# - *well matched*: one update of each, in turn, with learning rates of 0.01 for G and 0.001 for D;
# - *G too fast*: ten updates of G for each update of D, with the same learning rates;
# - *G too slow*: one update of each, but with a tenth of the learning rate for G. Both rates are then equal, but as
#   section 2 says, equal rates do not make two different networks equally fast.
#
# Two numbers describe the outcome. D's *ranking* is the measure used in the tournament, taken after G's last update: it
# is 0 if D is fooled and 1 if G is caught. The *spread* is the variance of G's images, summed over the pixels and
# divided by the same sum for real digits. If the spread is near 0, all images are alike. To save time, we use smaller,
# fully connected players without batch normalization.

# %%
pixels = train.n_pixels


def bare_generator():
    return nn.Sequential(nn.Linear(CODES, 128), nn.ReLU(), nn.Linear(128, pixels), nn.Sigmoid())


def bare_discriminator():
    return nn.Sequential(nn.Linear(pixels, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))


# %%
def short_game(
    seed,
    g_steps=1,
    g_rate=1e-2,
    d_rate=1e-3,
    make_g=bare_generator,
    make_d=bare_discriminator,
    r1=0.0,
):
    """`g_steps` updates of G after each update of D, about `updates` in all."""
    players = make_players(seed, make_g, make_d, g_rate, d_rate)
    for _ in range(updates // (g_steps + 1)):
        update_d(players, some_digits(), r1)
        for _ in range(g_steps):
            update_g(players, 64)
    return players


# %%
@torch.no_grad()
def outcome(players, n=500):
    """D's ranking, the spread of G's images and their Fréchet distance, after G's last update."""
    real, made = held_out[:n], images_of(players.g, noise(n))
    rank = ranking(players.d, real, made)
    spread = float(made.var(0).sum() / held_out.var(0).sum())
    return rank, spread, frechet_distance(features(made), real_features)


# %%
kinds = {"well matched": {}, "G too fast": {"g_steps": 10}, "G too slow": {"g_rate": 1e-3}}
played, ends = {}, {}
for name, change in kinds.items():
    played[name] = [short_game(seed, **change) for seed in small_seeds]
    ends[name] = [outcome(players) for players in played[name]]

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** $G$ ten times too fast; $G$ ten times too slow. In which games is $D$ fooled, and in which does it win? Where is the spread near 0?"}
# **Predict.** In which games will D be fooled, and in which will it win? Which games will end with a spread near 0?

# %% alt="Three panels with one row per kind of game and one point per seed. D's ranking is near 0 where G is too fast and near 1 where it is too slow. The spread is near 0 in both and about one half for well-matched players, who also have the smallest Fr\u00e9chet distances." slideshow={"slide_type": "slide"} slide={"text": "## Two ways to lose the spread"}
figures.matching(ends)

# %% alt="Three rows of sixteen images from different codes: varied blots that resemble digits for well-matched players, one and the same pattern of dots where G is too fast, and faint, nearly equal blots where it is too slow." slideshow={"slide_type": "slide"} slide={"text": "## Collapsed and fooling, or collapsed and caught"}
torch.manual_seed(0)
z = noise(16)
of_each_kind = {name: images_of(found[0].g, z) for name, found in played.items()}
figures.digit_rows(of_each_kind, shape=train.shape)

# %% tags=["check"]
means = {name: torch.tensor(found).mean(0) for name, found in ends.items()}
well, fast, slow = means.values()  # ranking, spread and distance of each
if on_mnist and updates >= 400:
    assert max(fast[1], slow[1]) < well[1] / 3  # both have collapsed,
    assert fast[0] < 0.4 and slow[0] > 0.8  # and only the fast one has fooled D


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Both collapse. The fast one has found $D$\u2019s blind spot; the slow one fools nobody."}
# **Answer.** A G that is too fast collapses and fools D: all codes give nearly the same image, and D ranks it above
# real digits. This image shows no digit: G has found a blind spot of D. A G that is too slow collapses as well, but it
# fools nobody: D ranks real digits above its images. Only in the well-matched games do the samples stay spread out.
#
# **Why?** For the fast G, D is a nearly fixed landscape, and G climbs its highest peak with all its codes. When D is
# finally updated, it catches that image, and G moves on to the next peak. A slow G starts with nearly identical images,
# and D's slope pushes them all the same way. Long before G can make its images differ, D can tell them all from real
# digits.
#
# So a small spread alone does not tell us who has won. The fast G has collapsed as the lecture describes, whereas the
# slow G has simply lost. These are two different failures, and we shall look for a cure for the
# first.

# %% [markdown]
# And the losses? We compare the final losses of the games in which G is too fast with those at the
# end of the arms race.


# %%
@torch.no_grad()
def final_losses(g, d, n=500):
    """D's loss on n test digits and n images of G, and G's loss on these images, in nats."""
    on_real, on_made = d(held_out[:n]), d(images_of(g, noise(n)))
    of_d = softplus(-on_real).mean() + softplus(on_made).mean()
    return float(of_d), float(softplus(-on_made).mean())


# %%
in_race = torch.tensor([final_losses(g, d) for g, d in last]).mean(0)
collapsed = [final_losses(players.g, players.d) for players in played["G too fast"]]
in_collapse = torch.tensor(collapsed).mean(0)
in_distance = torch.tensor([run["distance"][-1] for run in runs]).mean()
print(
    f"arms race:  D's loss {in_race[0]:.2f}, G's {in_race[1]:.2f}, "
    f"Fréchet distance {in_distance:.0f}"
)
print(
    f"G too fast: D's loss {in_collapse[0]:.2f}, G's {in_collapse[1]:.2f}, "
    f"Fréchet distance {fast[2]:.0f}"
)


# %% [markdown]
# Both kinds of game end with losses near $\log 4 = 1.39$ for D and $\log 2 = 0.69$ for G, which are the losses of the
# best possible D and a perfect generator. Yet the generators of the arms race draw rough digits, whereas the fast G
# draws a single pattern of noise. This is what the lecture means: the losses do not tell you how good the images are.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Cures, one at a time\n\nWe keep the fast $G$, and change one thing: R1; batch normalization in $G$; a faster $D$; a $D$ that sees the spread of its batch; one update of each."}
# ### Cures, one at a time
#
# We start from the fast G, which makes ten updates for each update of D, and change one thing at a time.
# - *R1* (Mescheder et al. 2018): D pays for the slope of its logit $a$ at real images,
#   $\frac{\gamma}{2}\,\mathbb{E}\,\lVert \nabla_x a(x) \rVert^2$, so that its peaks become less steep. In exercise 1,
#   you will write this penalty yourself.
# - *Batch normalization in G*: the inputs of the hidden units are rescaled to variance 1 over the batch, so the
#   hidden layer can hardly be the same for all codes.
# - *A faster D*: D's learning rate is ten times as large.
# - *A D that sees the spread*: one more input tells D how much the images in its batch differ (Karras et al. 2018, a
#   simple form of the minibatch discrimination of Salimans et al. 2016). D can then recognize a batch of identical
#   images.
# - *One update of each*: this is the well-matched game.


# %%
class SeesSpread(nn.Module):
    """A discriminator that is also told how different the images of its batch are."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(pixels + 1, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
        )

    def forward(self, x):
        spread = x.std(0).mean().expand(len(x), 1)  # (N, 1), the same number for the whole batch
        return self.layers(torch.cat([x, 10 * spread], 1))


def normalized_generator():
    return nn.Sequential(
        nn.Linear(CODES, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, pixels), nn.Sigmoid()
    )


# %%
cures = {
    "R1, γ = 1": {"r1": 1.0},
    "batch norm in G": {"make_g": normalized_generator},
    "a faster D": {"d_rate": 1e-2},
    "a D that sees the spread": {"make_d": SeesSpread},
}
cured = {}
for name, change in cures.items():
    cured[name] = [outcome(short_game(seed, g_steps=10, **change)) for seed in small_seeds]

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Which of the cures will bring the spread back?"}
# **Predict.** Which of the cures will bring the spread back?

# %% alt="Three panels with one row for the fast G without a cure, one row per cure, and one point per seed. The spread stays below 0.2 in all rows but two, a D that sees the spread and one update of each; only with one update of each does D's ranking reach one half, and there the Fr\u00e9chet distances are smallest." slideshow={"slide_type": "slide"} slide={"text": "## Two of five"}
rows = {
    "G too fast, no cure": ends["G too fast"],
    **cured,
    "one update of each": ends["well matched"],
}
figures.matching(rows)

# %%
for name, found in rows.items():
    rank, spread, apart = torch.tensor(found).mean(0).tolist()
    print(f"{name:>24}: D's ranking {rank:.2f}, spread {spread:.2f}, Fréchet distance {apart:.0f}")
print(f"(means of {len(small_seeds)} seeds)")

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** One update of each, and the $D$ that sees the spread: a batch of identical images gives itself away."}
# **Answer.** Two of the five do: one update of each, and the D that sees the spread. With a D that sees the spread, G's
# images differ again, but D is still fooled, and the Fréchet distance remains far above that of the well-matched games.
# Batch normalization raises the spread a little, but the Fréchet distance does not fall. R1 and a faster D make almost
# no difference here.
#
# **Why?** The collapsed G exploits a D that stands still for ten updates. R1 makes D's peaks flatter, but a flatter
# peak is still a peak. Even a D with a larger learning rate stands still while G climbs. Batch normalization maintains
# the variance inside G, but G's last layer can still shrink it. A D that judges the whole batch is another matter: a
# batch of identical images now looks generated, so repeating a single image is no longer the best answer to a frozen D.
#
# All these results were obtained with small players and only a few hundred updates, so they need not
# hold for larger players or longer games. The recipe in the next section uses R1 and batch
# normalization all the same, because a collapse is not the only thing that can go wrong.

# %% [markdown]
# ## 8 · What a good recipe adds
#
# The GAN that comes with the course has networks like ours, but they are twice as wide, with one more
# layer in D and a few additions that help training. The networks are in `course_lib.models.gan`, and
# `course_lib.recipes.train` trains them.
# - *Batch normalization* in G and *R1* in D's loss, as above. R1 is computed only at every eighth step, but with eight
#   times the weight.
# - *SiLU.* Where our networks use ReLU (in G) and leaky ReLU (in D), both networks use the smooth activation
#   $u\,\sigma(u)$, where $\sigma$ is the sigmoid. In our runs, this raised the classifier score after one pass through
#   the data, a yardstick that section 9 explains, from between 8.1 and 8.5 to between 8.6 and 9.2.
# - *Kinds.* In addition to normally distributed numbers, z contains a one-hot vector that picks one of twenty kinds.
#   The [prior](../docs/glossary.md#prior) is then a mixture, as in
#   [Gaussian mixtures and EM](01_gaussian_mixtures_em.ipynb), so G, which is a continuous function, need not tear a
#   single cloud of codes apart into ten separate digits. In training, all kinds are equally probable, but the digits
#   need not share them out evenly, and a digit that too many kinds represent is drawn too often. After training, EM
#   therefore estimates the probability of each kind from the training digits, without using their labels, and
#   `generate` draws the kinds with these probabilities. For each image x, the E-step needs the densities $P(x|k)$ of
#   all kinds k, up to a common factor. A GAN cannot compute them. But a classifier that has learned to recognize the
#   kinds of generated images estimates $P(k|x)$, and if all kinds are equally probable, $P(k|x)$ is proportional to
#   $P(x|k)$ (Saerens et al. 2002; `course_lib.training.kinds`).
# - *A start at the mean image.* The bias of each output pixel is initialized so that the first images resemble the mean
#   digit rather than a uniform grey.
# - *Averaging.* The game circles, so samples are drawn with a running average of G's weights,
#   $\bar\theta \leftarrow \alpha\,\bar\theta + (1 - \alpha)\,\theta$. With a constant $\alpha$ near 1, this is called
#   an exponential moving average, or EMA (Yazıcı et al. 2019). Here, $\alpha$ is $n / (9 + n)$ in step $n$, so the
#   average looks back over roughly the last tenth of the steps taken so far, and G's initial weights are soon
#   forgotten. The number printed below is the upper limit of $\alpha$, which the shipped GAN, with its 7,504 steps,
#   never reaches.
# - *Two learning rates* (Heusel et al. 2017), which fall to 0 along half a cosine.

# %% alt="Two rows of sixteen images: above, those of the shipped generator, nearly all of them clear digits, of eight different classes; below, the rough ones of the game played in this notebook."
recipe = recipes.RECIPES["gan"]
print(
    f"the shipped GAN: {recipe.epochs} passes through the data, "
    f"R1 with γ = {recipe.r1}, α = {recipe.ema_decay}"
)
torch.manual_seed(0)
shipped_and_ours = {"shipped": shipped.generate(16), "ours": images_of(last[0][0], noise(16))}
figures.digit_rows(shipped_and_ours, shape=train.shape)


# %% [markdown]
# ## 9 · How good is a sample?
#
# Nobody knows the $P(x)$ of a GAN, so likelihoods are out of reach. All yardsticks in this section therefore rely on
# the classifier.
# - The *Fréchet distance* of section 5. Lower is better.
# - *Precision* and *recall* (Kynkäänniemi et al. 2019). In the space of features, draw a ball around each real image,
#   just large enough to reach its $k$-th nearest real neighbour; here $k = 3$. Precision is the share of generated
#   images that lie inside at least one of these balls. Recall swaps the roles: it is the share of real images that lie
#   inside at least one ball around a generated image. For both, higher is better.
# - The *classifier score*, which is the inception score of Salimans et al. (2016) with our own classifier. The score is
#   high if each image clearly belongs to one class and all classes occur. If $P(y)$ is the mean of $P(y|x)$ over the
#   images, the score is $\exp \mathbb{E}_x\,\mathrm{KL}\left(P(y|x) \,\Vert\, P(y)\right)$. This score lies between 1
#   and the number of classes. Higher is better.
# - The *smallest share*, that of the rarest class, which is at most 0.1 for ten classes, and the *class KL*,
#   $\mathrm{KL}(\text{shares of the classes} \,\Vert\, \text{equal shares})$ in nats.
#   Both check whether all classes occur equally often. Higher is better for the smallest share,
#   and lower for the class KL.
# - *Diversity*: the mean squared distance between the features of two images of the same class. Neither lower nor
#   higher is better. Good samples are as diverse as real digits.
#
# None of these numbers means anything on its own, so we need a reference at the good end and one at the bad end. All
# images are compared with digits from one half of the test set. The good end is set by two groups of real digits: test
# digits from the other half, and training digits. A perfect generator would score about as well as these digits, and
# the difference between the two groups shows how much the numbers vary by chance. The bad end is set by nonsense made
# of real digits: the upper half of one digit on top of the lower half of another. We call the good end the *floor* and
# the bad end the *ceiling*. These names fit the Fréchet distance, where lower is better. Where higher is better, the
# floor is the larger number.


# %%
def halves(x, y):
    """The upper half of images x (N, D) on the lower half of images y (N, D)."""
    upper = torch.zeros(channels, height, width, dtype=torch.bool)
    upper[:, : height // 2] = True
    return torch.where(upper.flatten(), x, y)


# %%
torch.manual_seed(0)
index = torch.randperm(len(train))
half = len(held_out) // 2
n = min(samples, half)  # as many of each kind: a Fréchet distance of fewer images is larger
some = train.pixels(index[:n])  # real digits that are not in the test set
beside, others = held_out[:n], held_out[half : half + n]  # all kinds are compared with `beside`
made = {
    "other test digits": others,
    "training digits": some,
    "shipped GAN": shipped.generate(n),
    "our short game": images_of(last[0][0], noise(n)),
    "conditional VAE, means": cvae.generate(classes.repeat(n // len(classes) + 1)[:n]),
    "halves of two digits": halves(some, train.pixels(index[-n:])),
}

# %%
judged = {name: evaluation.judge(x, beside, referee) for name, x in made.items()}
figures.judgements(judged)

# %% tags=["check"]
# The shipped GAN draws all ten digits, and lies far nearer the floor than the ceiling.
if on_mnist and n >= 3_000:  # with fewer images, chance has too much weight
    assert judged["shipped GAN"]["smallest share"] > 0.04
    ceiling = judged["halves of two digits"]["frechet"]
    assert judged["shipped GAN"]["frechet"] < ceiling / 10


# %% [markdown]
# Read each row as a whole, because each yardstick measures only one aspect of quality. By Fréchet distance, the shipped
# GAN almost reaches the floor, although its recall is clearly lower than that of real digits. Our short game actually
# ends up above the ceiling. Precision alone rewards a model that produces only a few
# typical images: the conditional VAE's means have higher precision than real digits, but much lower
# recall. Recall alone hardly penalizes nonsense: images made of the halves of two digits have a
# recall close to that of real digits and even higher than that of the shipped GAN. Diversity alone
# rewards nonsense: the images made of two halves are the most diverse of all.

# %% [markdown]
# ### A test between two samples
#
# One yardstick comes with its own reference point. Train a fresh classifier to tell real images from generated ones,
# and look at its accuracy on images that it was not trained on. If both kinds of images come from the same
# distribution, the classifier can only guess, and its accuracy is ½. This is the
# *[classifier two-sample test](../docs/glossary.md#classifier-two-sample-test-c2st)* (Lopez-Paz & Oquab 2017). As the
# fresh classifier, we use a logistic regression on the 64 features and their squares. To check the reference point of
# ½, we also test one half of the test digits against the other.
#
# **Predict.** Put the six kinds of images in order, starting with the kind that is easiest to tell from test digits.


# %%
def two_sample_accuracy(real, other, seed):
    """Held-out accuracy of a classifier that learned to tell real (N, d) from other rows (M, d)."""
    n = min(len(real), len(other))  # as many of each, so that guessing gives ½
    x = torch.cat([real[:n], other[:n]])
    x = torch.cat([x, x.square()], 1).numpy()  # (2n, 2d)
    y = torch.arange(2 * n) < n
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    learn, check = order.chunk(2)
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return judge.fit(x[learn], y[learn]).score(x[check], y[check])


# %% alt="A row of points for each kind of images. Other test digits lie on the dotted line at one half and training digits right next to it; farther and farther to the right lie the shipped GAN, the conditional VAE's means, the halves, and our short game."
real_side, accuracies = features(beside), {}
for name, x in made.items():
    other = features(x)
    accuracies[name] = [two_sample_accuracy(real_side, other, seed) for seed in range(5)]
figures.two_sample_test(accuracies)

# %% [markdown]
# **Answer.** The images of our short game are easiest to tell from test digits, followed by the halves and then by the
# conditional VAE's means. For the shipped GAN, the accuracy is only a little above ½, so with these features its images
# can hardly be told from real digits. The accuracy for training digits and other test digits is about ½, as expected.

# %% [markdown]
# The test says whether a difference *can be seen with these features*, not how much it would bother a person. Nor does
# the test say how many of the images people would take for real. To find that out, section 14 turns
# to a human judge: you.

# %% [markdown]
# ## 10 · Are they copies?
#
# The lecture concludes that a generator's images are new because it never sees a real one. That reason does not hold.
# On a finite training set, the optimum of the game is the *empirical distribution*: against a G
# that samples uniformly from the training images and produces nothing else, even the best D can
# only answer ½ (Goodfellow et al. 2014, theorem 1, with the
# training set as the data). Nothing in the game forbids copying. If D has memorized the training set, its slope *shows*
# G how to copy it.
#
# So ask D first. If D knows its training digits, it should rank them above test digits, which it has never seen. (If
# the message in section 1 says that the shipped models were trained on all the digits in use, D has seen the test
# digits, too. The ranking should then be near 50 %, whatever D knows about its training digits.)

# %%
with torch.no_grad():
    on_train, on_test = shipped.logit(some), shipped.logit(beside)  # (N,) each
knows = float((on_train[:, None] > on_test).double().mean())
print(
    f"D ranks a training digit above a test digit in {knows:.1%} of the pairs "
    "(50 %: it does not know them)"
)


# %% [markdown]
# Now for the images. For each sample, we look for the nearest of all training digits. A copy that is shifted by a pixel
# would still be a copy, so we try all nine shifts of up to one pixel in each direction and keep the nearest. Test
# digits serve as a comparison: they are not copies, and they show how close new handwriting comes to the training
# digits by chance.
#
# **Predict.** Will the samples be nearer to the training digits than the test digits are, or farther?


# %%
def nearest_shifted(x, known):
    """For images x (N, D), shifted by up to one pixel:
    distance (N,) to the nearest known image, and its index.
    """
    pictures = x.view(-1, *train.shape)
    best = torch.full((len(x),), torch.inf)
    index = torch.zeros(len(x), dtype=torch.long)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            shifted = pictures.roll((down, right), (-2, -1)).flatten(1)
            gaps, found = nearest(shifted, known)
            index = torch.where(gaps < best, found, index)
            best = torch.minimum(gaps, best)
    return best, index


# %% alt="Two rows of ten digits: above, for each class the sample that came nearest to a training digit; below it that training digit, which is similar in form but not identical."
known = train.pixels()  # (N, 784) in float32
images = made["shipped GAN"][:copies]
gaps, index = nearest_shifted(images, known)
test_gaps, _ = nearest_shifted(held_out[:copies], known)
read = referee(images).argmax(1)  # (N,), the class of each sample
of_each = [torch.where(read == label, gaps, torch.inf).argmin() for label in read.unique()]
closest = torch.stack(of_each)  # the nearest sample of each class
nearest_pairs = {"nearest samples": images[closest], "their neighbours": known[index[closest]]}
figures.digit_rows(nearest_pairs, shape=train.shape)

# %%
print(
    "median distance to the nearest training digit: "
    f"samples {gaps.median():.2f}, test digits {test_gaps.median():.2f}"
)
print(f"smallest distance: samples {gaps.min():.2f}, test digits {test_gaps.min():.2f}")

# %% tags=["check"]
assert gaps.min() > 0.3 or not on_mnist  # a copy would be at a distance of 0, up to grey levels

# %% [markdown]
# **Answer.** Neither by much. The samples are about as far from the training digits as new handwriting is, and none
# of them is a copy.
#
# **Why?** This D saw each training digit eight times, once in each pass. In our run on the whole of MNIST, it ranked
# training digits above test digits in about 63 % of the pairs, so it had begun to memorize the
# training digits. But this is far below the 100 % that D would reach if it had memorized its training set, so D's
# slope gives G little reason to copy individual images. A larger D, trained for longer on fewer images, could give G
# such a reason.

# %% [markdown]
# ## 11 · Linear combinations of training images?
#
# The lecture says that a VAE's images are often no more than linear combinations of images that the VAE has seen. So
# let us try to combine training images. With arbitrary weights, thousands of images can be combined into almost
# anything. We therefore allow only *mixtures*, whose weights are not negative and add up to 1. Non-negative least
# squares finds the best mixture of an image's nearest training digits. We report the squared error that remains, as a
# share of the image's squared length.
#
# **Predict.** Order these four by their unexplained share: means of the conditional VAE, GAN samples, test digits,
# and the same test digits blurred.

# %%
sharp = held_out[:mixed].view(-1, channels, height, width)
blurred = avg_pool2d(sharp, 3, stride=1, padding=1).flatten(1)
to_mix = {
    "VAE, means": made["conditional VAE, means"],
    "GAN": made["shipped GAN"],
    "test digits": held_out,
    "test digits, blurred": blurred,
}

# %% alt="Four horizontal box plots of the share that no mixture explains: the VAE's means and the blurred test digits have small shares, GAN samples and test digits larger ones."
left_over = {}
for name, x in to_mix.items():
    left_over[name] = torch.tensor([unexplained(image, known, columns) for image in x[:mixed]])
figures.boxes(left_over, f"share of |x|² that no mixture of the {columns} nearest explains")

# %%
for name, share in left_over.items():
    print(
        f"{name:>20}: {share.mean():.3f} of the squared length is unexplained "
        f"(mean of {len(share)} images)"
    )
del known  # 188 MB for the 60,000 digits of MNIST

# %% [markdown]
# **Answer.** The blurred digits and the VAE's means have the smallest unexplained shares, with all of MNIST only two or
# three percent; GAN samples and test digits have seven or eight percent. So the VAE's means are indeed nearly mixtures of
# training digits. But so are real digits once they are blurred, and no model drew those.
#
# **Why?** Averaging blurs, and blurred images are easily mixed from others. A decoder's mean *is* an average over all
# images that the code z could stand for. Nothing in a GAN's loss favours an average, and D
# would notice the blur.

# %% [markdown]
# ## 12 · A walk through z
#
# In the lecture's example, a GAN draws rooms. On the way from one code to another, a window slowly turns into something
# like a television. We walk from one code to another in twelve equal steps, which gradually change the code's kind
# (section 8) as well. For comparison, we draw a cross-fade, which mixes the pixels of the first and the last image.
#
# **Predict.** Will the walk leap anywhere? Halfway through, how will the walk differ from the cross-fade?

# %%
torch.manual_seed(0)
start, end = shipped.noise(400).view(2, 200, 1, -1)  # (200, 1, codes) each
t = torch.linspace(0, 1, 13)[:, None]  # (13, 1)
with torch.no_grad():
    walk = shipped.images(torch.lerp(start, end, t), ema=True)  # (200, 13, D)
fade = torch.lerp(walk[:, :1], walk[:, -1:], t)  # (200, 13, D), between the same end images

# %% alt="Four rows of thirteen images, two walks, each above a cross-fade between the same ends. In the walks, strokes bend, shrink and grow until one digit has become the other; in the cross-fades one digit fades out while the other fades in."
strips = {"walk": walk[0], "cross-fade": fade[0], "walk ": walk[1], "cross-fade ": fade[1]}
figures.digit_rows(strips, shape=train.shape)

# %%
of_the_fade = fade.diff(dim=1).norm(dim=-1)  # (200, 12)
sizes = walk.diff(dim=1).norm(dim=-1) / of_the_fade  # 1 is a step of the cross-fade
leap = float((sizes.amax(1) / sizes.mean(1)).mean())


@torch.no_grad()
def confidence(paths):
    """Paths (200, 13, D) to the classifier's mean largest probability at each place, (13,)."""
    return torch.stack([referee(x).softmax(1).amax(1).mean() for x in paths.transpose(0, 1)])


# %% alt="Left, the lengths of the twelve steps: the walks' steps are about twice as long as the cross-fade's and longest in the middle. Right, the classifier's confidence along the way, which sags in the middle for both, a little less and over a shorter stretch for the walk."
sure = {"walk": confidence(walk), "cross-fade": confidence(fade)}
figures.step_sizes(sizes, sure)
print(
    f"the largest of a walk's twelve steps is {leap:.2f} times their mean; "
    "a single leap would give 12"
)


# %% [markdown]
# **Answer.** The walk does not leap: on average, its largest step is only about a third longer than its mean step. The
# steps of the walk are about twice as long as those of the cross-fade, because the cross-fade goes straight from one
# image to the other and the walk takes a detour. Halfway through, the cross-fade shows both digits at once, whereas the
# walk shows a single intermediate shape, though sometimes a smudged one.
#
# **Why?** G is a continuous function of z, and it is nowhere very steep along these walks, so small
# steps in z give small steps in the image. In both the walk and the cross-fade, the classifier is
# less sure halfway than at the ends. The codes at the two ends of a walk usually belong to
# different kinds of image, and D has never judged an image whose code lies between two kinds. Nor
# is the classifier a strict judge of a cross-fade: it was trained to say which digit it sees, not
# whether it sees two.

# %% [markdown]
# ## 13 · VAE or GAN? And what came after
#
# | | VAE | GAN |
# |---|---|---|
# | sharpness | means are averages, and therefore blurred | nothing rewards a blur |
# | coverage | pays for each training image that it misses | may leave out whole classes |
# | likelihood | a bound, comparable between models | none |
# | code of a given image | from the encoder | must be searched for |
# | training | one loss that falls | a game that must be watched |
#
# Choose a VAE when you need an estimate of $P(x)$, a code, or peace of mind. Choose a GAN when you need sharp samples
# from a single pass through the network.
#
# The lecture was given just as the decade of GANs was beginning. Wasserstein GANs (Arjovsky et
# al. 2017) gave D's loss a
# meaning, and they gave G a gradient even where the distributions do not overlap. Spectral normalization (Miyato et al.
# 2018) and R1 tamed D. With progressive growing, BigGAN and StyleGAN (Karras et al. 2018, Brock et al. 2019, Karras et
# al. 2019) the samples came to look like photographs. Then *diffusion models* took over (Sohl-Dickstein et al. 2015, Ho
# et al. 2020). A diffusion model learns to remove noise step by step by minimizing a squared error,
# and it needs no opponent. Up to the weights of its terms, the loss of a diffusion model is a negative
# [ELBO](../docs/glossary.md#evidence-lower-bound-elbo) with many layers of z, so diffusion models are relatives of the
# VAE. Diffusion models cover the data better than GANs do (Dhariwal & Nichol 2021), but they need many passes through
# the network for a single image. The adversarial loss lives on in the training of image compressors, such as the
# [auto-encoders](../docs/glossary.md#auto-encoder) whose codes "latent" diffusion operates on (Esser et al. 2021,
# Rombach et al. 2022). An adversarial loss also helps to distil a diffusion model into one that needs only a few steps
# (Sauer et al. 2023).

# %% [markdown]
# ## 14 · The quiz: real or made?
#
# The lecture reports that people took 21 % of a generator's images for real. And you? For each class, the quiz has
# eight test digits and eight images from the shipped generator. The classifier assigns both kinds of images to classes,
# so an image's class does not give away whether it is real. The images are shown one at a time. *Pairs* shows two
# images of the same digit side by side, one of them real. *Class mode* is meant for a projector and counts raised
# hands.
#
# **Predict.** What share of the generated images, which the quiz calls *made*, will you take for
# real? Then answer at least twenty questions. You have answered enough questions when the 95 %
# interval is narrower than 25 percentage points, because a share near 21 % can then be
# distinguished from guessing (50 %). The quiz tells you how many more answers you need. Below the
# quiz, we discuss what the lecture's 21 % most likely means and what to compare it with.


# %%
@torch.no_grad()
def eight_of_each(images):
    """Eight images of each class, as the classifier reads them."""
    read = torch.cat([referee(x).argmax(1) for x in images.split(1000)])
    return torch.cat([images[read == label][:8] for label in classes])


# %% alt="A strip of six pairs of digits. Both digits of a pair are of the same class; one is real, and the other was made by the generator." slideshow={"slide_type": "slide"} slide={"text": "## Real or made? Show of hands"}
torch.manual_seed(0)
real_ones = held_out[torch.randperm(len(held_out))[:2000]]
quiz = Quiz(eight_of_each(real_ones), eight_of_each(made["shipped GAN"]), seed=0)
quiz

# %% [markdown]
# **Answer.** Only you can give it. One share alone says little, so the quiz reports two: the share of
# the generated images that you took for real, and the share of the real ones that you took for
# generated. People who cannot tell real digits from generated ones answer "real" equally often for
# both kinds, so their two shares add up to 100 %, however much they favour that answer. The further
# the sum of your two shares is below 100 %, the better you can tell real digits from generated ones.
# The intervals show how little can be learned from two dozen answers by one person.

# %% [markdown]
# The study behind the lecture's 21 % is most likely that of Salimans et al. (2016). Its abstract gives 21.3 % as
# people's *error rate*, on small photographs (CIFAR-10). So the number to compare with 21.3 % is the
# mean of your two shares: the share of generated images that you took for real, and the share of real
# images that you took for generated. The abstract also says that people could not tell the MNIST
# digits of the authors' GAN from real ones.

# %% [markdown]
# ## What the lecture said, what we measured

# %% tags=["claims"]
gap = {name: share.mean() for name, share in left_over.items()}
two_edits = "skipped: it was measured on MNIST only"
if on_mnist:
    two_edits = (
        f"squared errors {verdicts['at a stroke'][0]:.2f} and {verdicts['scattered'][0]:.2f}; "
        f"−L_b {bounds['at a stroke']:.0f} and {bounds['scattered']:.0f} nats; "
        f"D prefers the stroke in {min(shares):.0%} to {max(shares):.0%} of the images, by digit"
    )
holds = {True: "holds", False: "not shown"}
catches, fools = float(caught.double().mean()), float(fooled.double().mean())
correlations = "; ".join(
    f"{key}'s {min(found):+.2f} to {max(found):+.2f}" for key, found in tells.items()
)
worse = int((free[:, 1] > fixed[:, 1]).sum())
mild = torch.tensor(after["D free, its own rate"]).mean(0)
spreads = ", ".join(
    f"{name} {torch.tensor(found)[:, 1].mean():.2f}" for name, found in cured.items()
)


# %% tags=["claims"]
# D's loss rises and G's falls as the images get better, in every game
tell = max(tells["discriminator"]) < -0.4 and min(tells["generator"]) > 0.4
within, not_within = ("they do", ", not within one") if tell else ("this is not shown", "")


def your_error_rate():
    """The mean of your two shares in the quiz, as text."""
    wrong = [quiz.score("one")[kind] for kind in ("made_taken_for_real", "real_called_made")]
    if not all(wrong):
        return "answer the quiz, then run this cell"
    return f"{sum(w['share'] for w in wrong) / 2:.0%}"


# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 21 | pixel distance calls two errors equal that an eye does not (one pixel there, five here) | {two_edits} | holds for the squared error; the VAE's bound does see it, and a discriminator sees it for some digits only |
| 22 | a VAE's images are mostly linear combinations of training images | unexplained: VAE's means {gap["VAE, means"]:.3f}, GAN {gap["GAN"]:.3f}, test digits {gap["test digits"]:.3f}, the same blurred {gap["test digits, blurred"]:.3f} ({mixed} images each) | {"holds for the VAE's means, but just as well for blurred test digits" if gap["VAE, means"] < gap["test digits"] / 2 else "not shown"} |
| 23 | each new D catches the old G; each new G fools the old D | in {int(caught.sum())} and {int(fooled.sum())} of {caught.numel()} pairs of versions | D: {holds[catches > 0.75]}, G: {holds[fools > 0.75]} (asked for: three quarters of the pairs) |
| 24 | G never sees a real image | its gradient is D's slope times its own, to float32; a flat D leaves {left_over_gradient:g} | holds |
| 24 | so its images are new | no copy among {copies} samples; but copying would be an optimum of the game | the conclusion holds for these samples, the reason does not |
| 25 | D must be frozen in G's step | free, at G's rate: G's loss {free[:, 0].mean():.2f} against {fixed[:, 0].mean():.2f}, Fréchet distance {free[:, 1].mean():.0f} against {fixed[:, 1].mean():.0f}; worse on {worse} of {len(seeds)} seeds. At D's own rate {mild[0]:.2f} and {mild[1]:.0f} | {holds[worse == len(seeds)]}; it shows where G's step moves D further than D's own |
| 27 | the losses do not say whether the images get better | within a game {within}: rank correlation with the distance {correlations} ({looks} looks a game). Between games they do not: D's loss {in_race[0]:.2f} and {in_collapse[0]:.2f}, G's {in_race[1]:.2f} and {in_collapse[1]:.2f}, Fréchet distance {in_distance:.0f} and {fast[2]:.0f} (arms race; G too fast) | holds between games{not_within} |
| 28 | the players must be well matched | Fréchet distance {well[2]:.0f}; with G too fast {fast[2]:.0f}, too slow {slow[2]:.0f} | {holds[bool(well[2] < min(fast[2], slow[2]))]} |
| 29 | collapse: one image whatever z is, and it fools D | ten updates of G for one of D: spread {fast[1]:.2f} (matched: {well[1]:.2f}), D ranks a real digit first in {fast[0]:.0%} of the pairs; spreads with a cure: {spreads} | {holds[bool(fast[1] < well[1] / 3 and fast[0] < 0.5)]}; a slow G collapses too, but fools nobody ({slow[0]:.0%}) |
| 31 | a walk through z is smooth | the largest of twelve steps is {leap:.2f} times their mean (a leap: 12); the classifier's confidence falls from {sure["walk"][0]:.2f} to {sure["walk"][6]:.2f} halfway | {holds[leap < 3]}: no leap; halfway the classifier is less sure |
| 32 | people took 21 % of the generated images for real | your error rate: {your_error_rate()} | you are one person, these are digits, and the 21 % was most likely an error rate |

Real digits: {train.name}'s {len(held_out):,} test digits. Games of sections 4 to 6: {len(seeds)} seeds; of section 7: {len(small_seeds)}; figures are means over them. {"Loaded" if on_mnist else "Trained briefly, in place of the shipped ones"}: the GAN of section 8, the VAEs and the classifier. The Fréchet distance is in features of the course's own classifier and must not be compared with published FIDs.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, and then run the check below it. In exercises 1 to 3, the check says "Correct" or
# names the mistake. After the example, it also tries random inputs of other sizes, which are new each time, and extreme
# inputs. Exercise 4 has no check, because you choose the cure yourself.
#
# **1. A flat D.** Implement the [R1 penalty](../docs/glossary.md#r1-penalty) from section 7 without
# its weight $\gamma$: half the mean squared slope of D's logit at real images. The penalty is part
# of D's loss, so it must be differentiable with respect to D's weights. The slope must therefore
# itself be differentiable, and its gradient must be finite even where D is flat. Do not change the
# `.grad` of D's weights.


# %%
def my_r1_penalty(logit, x):
    """logit: images (N, D) to logits (N,).
    Real images x (N, D) give ½ · mean of ‖∂logit/∂x‖², a tensor ().
    """
    # 1. make x a leaf that requires a gradient
    # 2. the gradient of the sum of the logits with respect to x, (N, D);
    #    row i is the slope at image i; create_graph=True
    # 3. the squared norm of each row, and half of their mean
    raise NotImplementedError


# %%
checks.r1_penalty(my_r1_penalty)


# %% [markdown]
# **2. Which classes are missing?** Write a function that computes the class KL defined in
# section 9: the divergence of the shares of the ten classes from equal shares,
# $\mathrm{KL}(\text{shares} \,\Vert\, \text{uniform})$, in nats. The result must be finite
# even when a class does not occur.


# %%
def my_class_kl(labels):
    """labels (N,), integers 0 to 9, give KL(shares ‖ uniform) in nats, a tensor ()."""
    # 1. the share of each of the ten classes, including those that do not occur
    #    (see bincount's minlength)
    # 2. the sum of share · log(share / 0.1), where 0 · log 0 counts as 0
    raise NotImplementedError


# %%
checks.class_kl(my_class_kl)


# %% [markdown]
# **3. Precision.** Implement precision as defined in section 9: the share of generated points that
# lie within the radius of at least one real point. The radius of a real point is its distance to
# the $k$-th nearest of the other real points. A point at exactly this distance still lies within
# the radius.


# %%
def my_precision(real, fake, k):
    """real (N, d) and fake (M, d) give a tensor ():
    the share of fake points within some real point's radius.
    """
    # 1. the distances between real points, (N, N); each point's smallest is 0, to itself
    # 2. each real point's radius: the distance to its k-th nearest other, (N,)
    # 3. the distances from fake to real points, (M, N):
    #    is there a real point whose radius covers it?
    # 4. the share of fake points for which there is
    raise NotImplementedError


# %%
checks.precision(my_precision)

# %% [markdown]
# **4. Design it.** In section 7, a D that sees the spread of its batch cured the collapse. Invent another cure, try it
# on five seeds with `short_game`, and plot the outcomes next to ours with `figures.matching`. If your cure is a
# network, pass it as `make_g` or `make_d`. If your cure changes a loss, define your own `update_d` or `update_g` under
# the same name and with the same arguments. `short_game` also passes the weight `r1` to `update_d`, so keep that
# argument even if your loss ignores it. From then on, every game that you play uses your update,
# including those in sections 4, 6 and 7 if you run their cells again. To return to the original
# updates, run the cell in section 3 that defines them. Five games take about ten seconds. If `Mine`
# is your discriminator, the following code plays five games and plots them:
#
# ```python
# mine = [outcome(short_game(seed, g_steps=10, make_d=Mine)) for seed in small_seeds]
# figures.matching(rows | {"mine": mine})
# ```
#
# Before the run, write down where you expect your points to lie, and which result would make you give up the idea.

# %%
# your cure, its five games, and the figure

# %% [markdown]
# ## Further reading
#
# - Goodfellow et al. 2014, *Generative Adversarial Nets*. The game, its optimum and both losses of G, in nine pages.
# - Salimans et al. 2016, *Improved Techniques for Training GANs*. Minibatch discrimination, the inception score, and
#   the study with people.
# - Mescheder et al. 2018, *Which Training Methods for GANs do actually Converge?* Why the game circles, and why R1
#   stops it.
# - Heusel et al. 2017, *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*. Two
#   learning rates, and the Fréchet distance.
# - Saerens et al. 2002, *Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple Procedure*. How
#   EM finds the class frequencies of unlabelled data from the outputs of a classifier.
# - Kynkäänniemi et al. 2019, *Improved Precision and Recall Metric for Assessing Generative Models*. Why one number
#   is not enough.
# - Prince 2023, *Understanding Deep Learning*, chapters 15 and 18. GANs and diffusion models, with good pictures.
