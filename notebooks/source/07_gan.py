# %% [markdown]
# # 07 · GANs on MNIST
#
# After this notebook you will be able to
# - write both updates of a GAN, and say where the generator's only signal comes from;
# - stage the arms race of generator and discriminator, and see who catches whom;
# - provoke a collapse, see it in numbers, and cure it;
# - judge samples whose probability nobody knows, with a floor and a ceiling beside every figure.
#
# **Time:** four to five minutes to run on a laptop with two cores, two hours to work through.
# **It needs** 1.7 GB of memory and no GPU; from you: chapters 04 and 06.

# %%
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

import copy
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from scipy.stats import spearmanr
from torch.nn.functional import avg_pool2d, max_pool2d, pad, softplus

from course_lib import checks, evaluation, plots, recipes
from course_lib.data import course_digits, fixed_binarization, shipped_models_fit
from course_lib.device import FAST
from course_lib.evaluation import gan_figures
from course_lib.evaluation.likelihood import elbo
from course_lib.evaluation.samples import class_shares, frechet_distance, kl_to_uniform, nearest, unexplained
from course_lib.models import gan
from course_lib.shipped import classifier_for, model_for
from course_lib.training.gan import train_gan
from course_lib.widgets import Quiz

plots.use_style()

# %% tags=["parameters"]
steps, looks = (60, 4) if FAST else (700, 10)  # of the arms race, and how often both players are kept
map_steps = 12 if FAST else 120  # of each game of the map
rates = (1e-4, 4e-2) if FAST else (1e-4, 1e-3, 1e-2)  # of the map, both players
frozen_steps = 20 if FAST else 120  # with D frozen and unfrozen in G's step
collapse_steps = 60 if FAST else 300  # of each of its three games
samples = 1_000 if FAST else 10_000  # of the shipped generator, to be judged
sevens, copies = (20, 100) if FAST else (200, 500)  # digits edited; samples whose neighbour is looked for
mixed, columns = (6, 100) if FAST else (40, 300)  # images that are mixed, from how many training digits
seed = 0

# %% [markdown]
# ## 1 · What pixels cannot see
#
# A VAE learns to *imitate*: its decoder's output is compared with the image pixel by pixel. The lecture's example is a 7
# with a few pixels too many. Put them at the edge of a stroke, and nobody minds. Scatter them over the black, and no
# human hand wrote this. The squared error is the same to the last digit: it counts the pixels and not where they are.
#
# Below, both edits are made to real sevens. Four judges look at them: the squared error, a VAE's bound, the
# discriminator of a trained GAN and the course's classifier.
#
# **Predict:** which of the four will hold the scattered pixels to be worse?


# %%
def set_pixels(x, allowed, close, count=5):
    """Set `count` allowed pixels of each image (N, 784) to 1, all of them close to one, or anywhere."""
    at = torch.cartesian_prod(torch.arange(28.0), torch.arange(28.0))  # (784, 2)
    first = torch.multinomial(allowed.float(), 1)[:, 0]
    order = torch.cdist(at[first], at) if close else torch.rand(x.shape)  # (N, 784)
    return x.scatter(1, order.masked_fill(~allowed, torch.inf).topk(count, largest=False).indices, 1.0)


def edit(x):
    """Digits x (N, 784), and the same with five white pixels more: at a stroke, scattered far from any."""
    ink = (x > 0).float().view(-1, 1, 28, 28)
    near, nearly = (max_pool2d(ink, size, 1, size // 2).flatten(1) > 0 for size in (3, 5))
    free = (x == 0) & (pad(torch.ones(20, 20), (4, 4, 4, 4)).flatten() > 0)  # where MNIST's digits lie
    return {"original": x, "at a stroke": set_pixels(x, free & near, True),
            "scattered": set_pixels(x, free & ~nearly, False)}  # fmt: skip


# %%
train, test = course_digits(train=True), course_digits(train=False, quiet=True)
on_mnist = shipped_models_fit(train)  # some numbers asserted below were measured on MNIST
held_out, every = test.pixels(), torch.arange(train.n_classes)
referee = classifier_for(train)
shipped, cvae = (model_for(train, name) for name in ("gan", "conditional_vae"))
torch.manual_seed(seed)
is_seven = test.labels == 7
grey = edit(held_out[is_seven][:sevens]) if on_mnist else {}
binary = edit(fixed_binarization(test.images).flatten(1)[is_seven][:sevens]) if on_mnist else {}


# %%
def judges(kind, x):
    """Squared error, the VAE's −L_b, D's logit and P(7): four means over the sevens."""
    error = (x - grey["original"]).square().sum(1).mean()
    bound = -elbo(vae, binary[kind], 2).elbo
    return [float(v) for v in (error, bound, shipped.score(x).mean(), referee(x).softmax(1)[:, 7].mean())]


def preferred(edits):
    """The share of images whose pixels at a stroke D prefers to scattered ones."""
    return float((shipped.score(edits["at a stroke"]) > shipped.score(edits["scattered"])).double().mean())


if on_mnist:
    vae = model_for(train, "vae")
    with torch.no_grad():
        verdicts = {kind: judges(kind, x) for kind, x in grey.items()}
        d_minds, of_zeros = preferred(grey), preferred(edit(held_out[test.labels == 0][:sevens]))
    gan_figures.digit_rows(grey)
    plt.show()
    says = "squared error {:.2f}, VAE's −L_b {:.0f} nats, D's score {:.2f}, classifier's P(7) {:.3f}"
    for kind, numbers in verdicts.items():
        print(f"{kind:>12}: {says.format(*numbers)}")
    print(
        f"D prefers the pixels at a stroke in {d_minds:.0%} of the sevens, and in {of_zeros:.0%} of the zeros"
    )
    assert abs(verdicts["at a stroke"][0] - verdicts["scattered"][0]) < 1e-4
    assert d_minds > 0.5 and verdicts["scattered"][1] > verdicts["at a stroke"][1]
else:
    print("The edits are made to MNIST's sevens, so this comparison is skipped.")

# %% [markdown]
# *Because* a squared error is a sum over pixels, and a sum does not know which pixels are neighbours. D is a network
# that looks at all of them at once, and was trained on nothing but the question "real or made?". It is no infallible judge
# even so: look at what it says of zeros.
#
# Be fair to the VAE. The *loss term* with which it compares output and image is blind, so its decoder pays the same for
# both errors. But the *model*, asked for its bound on log P(x), is not blind at all: its −L_b rises more for the
# scattered pixels. It knows that they are improbable. It only never learns from its own mistakes when it draws. The
# classifier is no judge of this: it is asked which digit, never whether it is one.
#
# ## 2 · Both updates
#
# The generator is the class that decodes in the VAE: z in, an image out. The discriminator is an encoder that ends in one
# number, its *score*, a logit of "real". Each player has an optimizer of its own. D's update is a classification of real
# against made. G's update asks D about new images, and follows D's slope upwards; it is handed no real image at all.
#
# `course_lib.models.gan` holds the same two functions, with other losses and penalties to choose from. The second cell plays
# one round with both and asserts that they agree.


# %%
def step(optimizer, loss, weights):
    optimizer.zero_grad()
    loss.backward(inputs=list(weights))
    optimizer.step()
    return float(loss.detach())


def update_d(game, x, optimizer):
    fake = game.images(game.noise(len(x))).detach()  # only images from here on: no gradient reaches G
    loss = softplus(-game.score(x)).mean() + softplus(game.score(fake)).mean()  # −log D(x) − log(1 − D(G(z)))
    return step(optimizer, loss, game.discriminator.parameters())


def update_g(game, n, optimizer):
    loss = softplus(-game.score(game.images(game.noise(n)))).mean()  # −log D(G(z)), no detach
    return step(optimizer, loss, game.generator.parameters())  # D is frozen: only G's weights get a gradient


# %%
recipe = recipes.RECIPES["gan_four_minutes"]
x, rounds = train.pixels(slice(0, 64)), []
for of_d, of_g in ((update_d, update_g), (gan.update_discriminator, gan.update_generator)):
    torch.manual_seed(seed)
    game = gan.GAN(shape=train.shape, **recipe.config)
    adams = [torch.optim.Adam(part.parameters(), 1e-3) for part in (game.discriminator, game.generator)]
    rounds.append([of_d(game, x, adams[0]), of_g(game, 64, adams[1]), of_g(game, 64, adams[1])])
mine, theirs = rounds[0], [float(next(iter(terms.values()))) for terms in rounds[1]]
torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)  # the losses of D, G and G again, in float32

# %% [markdown]
# ## 3 · The arms race
#
# A butterfly turns brown and is no longer seen; the bird learns that prey is not colourful; the butterfly grows veins
# like a leaf. So the lecture tells it: generator v1 against discriminator v1, v2 against v2. We play some hundred updates,
# on MNIST less than one pass through the data, and keep a copy of both players every few dozen.
#
# **Predict:** from which version on will you recognise digits?


# %%
def features(images):
    with torch.no_grad():
        return torch.cat([referee.features(x) for x in images.split(1000)])  # (N, 64)


def look(game):
    versions.append(copy.deepcopy(game).eval())
    return {"Fréchet distance": frechet_distance(features(versions[-1].generate(2000)), real_features)}


def play(recipe, updates, **options):
    passes = updates / -(-len(train) // recipe.batch_size)
    return train_gan(recipe, train, seed, passes, evaluate_every=passes / looks, quiet=True, **options)


real_features, versions = features(held_out), []
short = replace(recipe, cosine=False)  # the recipe's rates, all the way
game, run = play(short, steps, evaluate=look, report_every=10)
torch.manual_seed(seed)
z = game.noise(16)
with torch.no_grad():
    gan_figures.digit_rows({f"v{i + 1}": version.images(z) for i, version in enumerate(versions)})
plt.show()

# %% [markdown]
# Each row is one version of G, each column one z. Now the tournament: *every* D judges the images of *every* G, also of
# those that it never met. An entry is the mean probability "real" that D_j gives to images of G_i.
#
# **Predict:** where will the matrix be dark (caught), where bright (fooled)? Above the diagonal stand generators of the
# past, which this D has been trained to catch; below it those of the future.

# %%
torch.manual_seed(seed)
with torch.no_grad():
    made = [version.images(version.noise(500)) for version in versions]
    judged = [*made, held_out[:500]]
    *belief, real = (torch.stack([d.score(x).sigmoid().mean() for d in versions]) for x in judged)
belief = torch.stack(belief)  # (i, j): D_j on G_i
trust = belief / real  # beside the same D on real digits: some versions believe more of everything
own = trust.diagonal()
caught = trust.diagonal(1) < own[:-1]  # the next D on this G, beside this D on it
fooled = trust.diagonal(-1) > own[:-1]  # the next G before this D, beside this G before it
gan_figures.tournament(belief)
plt.show()
print("measured by what the same D believes of real digits,")
print(f"the new D catches the old G better in {caught.sum()} of {len(caught)} rounds,")
print(f"the new G fools the old D better in {fooled.sum()} of {len(fooled)} rounds")

# %% [markdown]
# *Because* each player is trained against the other as it is *now*. A new D has just seen the old G's images and knows
# their faults; a new G has just followed the old D's slope. But nobody keeps D from forgetting: what it learned about a
# generator long gone may be lost again, and then a column is bright far above the diagonal.
#
# ## 4 · Where G's signal comes from
#
# G never sees a real image. All it gets is the gradient of D's score with respect to the pixels of its own image: for each pixel, whether
# D would like it brighter or darker. G's weights then move so that its pixels move there. The cell computes G's gradient
# in these two parts and asserts that it is the whole of it. It also asks what is left if D says the same of all images.


# %%
def loss_and_images(game):
    x = game.images(game.noise(64))
    return softplus(-game.score(x)).mean(), x


latest = copy.deepcopy(versions[-1])
weights = list(latest.generator.parameters())
loss, x = loss_and_images(latest)
(slope,) = torch.autograd.grad(loss, x, retain_graph=True)  # by the pixels, (64, 784)
whole = torch.autograd.grad(loss, weights, retain_graph=True)
assert all(
    torch.allclose(a, b, atol=1e-5) for a, b in zip(whole, torch.autograd.grad(x, weights, slope))
)  # float32
torch.nn.init.zeros_(latest.discriminator.layers[-1].weight)  # a D that says the same of every image
assert not any(part.any() for part in torch.autograd.grad(loss_and_images(latest)[0], weights))
gan_figures.pull(x.detach(), -slope)
plt.show()

# %% [markdown]
# When G learns, D must stand still. Otherwise the cheapest way to lower G's loss is not a better image but a D that says
# 1 to everything. Two games go on from the last version: one as it should be, and one in which D's weights move along
# in G's step.
#
# **Predict:** G's loss and the quality of the samples in both games.


# %%
def go_on(frozen):
    torch.manual_seed(seed)
    game = copy.deepcopy(versions[-1]).train()
    of_d = torch.optim.Adam(game.discriminator.parameters(), recipe.lr_discriminator, recipe.betas)
    learners = [*game.generator.parameters(), *(() if frozen else game.discriminator.parameters())]
    of_g = torch.optim.Adam(learners, recipe.lr_generator, recipe.betas)
    for i in range(frozen_steps):
        x = train.pixels(torch.arange(64 * i, 64 * i + 64) % len(train))
        r1 = recipe.r1 * recipe.r1_every if i % recipe.r1_every == 0 else 0.0  # as in the game so far
        gan.update_discriminator(game, x, of_d, r1=r1)
        g_loss = step(of_g, loss_and_images(game)[0], learners)
    with torch.no_grad():
        noise_is_real = float(game.score(torch.rand(500, train.n_pixels)).sigmoid().mean())
        return (
            g_loss,
            frechet_distance(features(game.eval().images(game.noise(2000))), real_features),
            noise_is_real,
        )


games = {"frozen": go_on(True), "unfrozen": go_on(False)}
before = frechet_distance(features(versions[-1].images(game.noise(2000)).detach()), real_features)
for name, (loss, distance, noise) in games.items():
    print(f"D {name}: G's loss {loss:.3f}, Fréchet distance {distance:.1f} (before {before:.1f}), "
          f"D believes noise to {noise:.0%}")  # fmt: skip
assert games["unfrozen"][0] < games["frozen"][0] or not on_mnist

# %% [markdown]
# *Because* there are two ways to lower −log D(G(z)): better images, or a D that says "real" to everything. The second
# needs a few weights only. The unfrozen D ends up believing noise, and its slope no longer says anything about digits.
# The frozen game's distance is about what it was before, or a little better: both games begin with optimizers that remember
# nothing, and a hundred updates from there gain little.
#
# ## 5 · The losses do not tell
#
# The lecturer's complaint: with any other network the loss falls and you go for a coffee. Here both losses go up and down
# between two players, so you sit and watch the pictures. We have a yardstick now: the *Fréchet distance* between samples
# and test digits, in the space of the classifier's last hidden layer, by means and covariances.
#
# **Predict:** does D's loss rise and fall with it?

# %%
log, evaluations = run.history, run.evaluations
distances = evaluations["Fréchet distance"]
at = [min(range(len(log["step"])), key=lambda i: abs(log["step"][i] - s)) for s in evaluations["step"]]
tells = {name: spearmanr([log[name][i] for i in at], distances)[0] for name in ("discriminator", "generator")}
gan_figures.game(log, evaluations["step"], distances)
plt.show()
print(
    "rank correlation with the Fréchet distance:", ", ".join(f"{k}'s loss {v:.2f}" for k, v in tells.items())
)

# %% [markdown]
# *Because* a loss of D near log 4 has two readings: G is perfect, or D is poor. What D's loss does say is who is ahead at
# the moment. G's loss may well go along with the distance, as it does here, while both players get better together. Do
# not rely on it: with D unfrozen, G's loss was lowest of all, for the worst pictures.
#
# ## 6 · Well and badly matched players
#
# The two must keep step. The map below plays one short game for each pair of learning rates, everything else equal.
#
# **Predict:** what happens if G is much faster than D, and what if D is much faster than G?

# %%
found = torch.zeros(len(rates), len(rates))
for i, of_g in enumerate(rates):
    for j, of_d in enumerate(rates):
        pair = replace(short, lr_generator=of_g, lr_discriminator=of_d, batch_size=32, average=0.0)
        player, _ = play(pair, map_steps)
        torch.manual_seed(seed)
        found[i, j] = frechet_distance(features(player.generate(1000)), real_features)
plots.rate_map(found, rates, f"Fréchet distance after {map_steps} updates", log=True)
plt.show()

# %% [markdown]
# *Because* G can only follow the slope that D has at that moment. Where D's rate is ten times G's (right of the diagonal)
# the pictures are worse, and not for want of a slope: −log D is steep where D is sure, see chapter 06. A likely reason is
# that each step follows the slope of another D. Where G is slow (lowest row), nothing happens in so few updates, whatever
# D does: that is no mismatch. And a G that is faster than D (above the diagonal) does little harm here. For that side of
# the claim see chapter 06.
#
# ## 7 · Collapse
#
# The generator wins against *this* D with any image that this D believes. Nothing in its loss asks for two different
# ones. A collapsed generator draws the same for every z, the lecture's "one picture, whatever you put in", and may run
# from one such image to the next. What provokes it here is one fully connected layer more between z and G's convolutions.
# Two cures: leave the layer out; and give G what our recipe has besides, batch normalization, and a z whose last part
# is a choice among twenty *kinds*. A prior of kinds is chapter 01's mixture again: pick a component, then draw within it.
#
# **Predict:** will the losses tell? Which two numbers would?


# %%
def seen(images):
    """The shares of the classes, and the mean squared distance of two images as a share of two test digits'."""
    with torch.no_grad():
        shares = class_shares(referee(images).argmax(1), train.n_classes)
        return shares, float(images.var(0).sum() / held_out.var(0).sum())


bare = recipe.config | {"norm": False, "kinds": 0}
players = {
    "one layer more in G": bare | {"hidden": [32, 64, 256]},
    "without that layer": bare,
    "with batch norm and kinds": recipe.config,
}
cases, spreads, kls = {}, [], []
for name, config in players.items():
    player, of_it = play(replace(short, config=config, lr_generator=1e-3, average=0.0), collapse_steps)
    images, log = player.generate(2000), of_it.history
    shares, spread = seen(images)
    says = f"spread {spread:.0%}, losses: D {log['discriminator'][-1]:.2f}, G {log['generator'][-1]:.2f}"
    cases[name] = (images, shares, says)
    spreads, kls = [*spreads, spread], [*kls, kl_to_uniform(shares)]
gan_figures.classes(cases)
plt.show()
assert spreads[0] < 0.5 * spreads[-1] or not on_mnist

# %% [markdown]
# *Because* the pairwise distance asks the question that no loss asks: do two z give two images? And the histogram shows a
# milder form that the distance misses, some classes rare and the others fine, also after both cures. D's loss is low in
# *this* collapse, where D has won; it is also low wherever D is merely ahead, and in chapter 06's collapse it was not low.
# Why one layer more? A likely reason: at the start, two z give nearly the same
# image there, and the quickest way along D's slope moves all images alike.
#
# ## 8 · How good is a sample?
#
# Nobody knows a GAN's P(x), so chapter 04's likelihoods are out of reach. The yardsticks here ask the classifier instead.
# *Fréchet distance*: are means and covariances of its features those of real digits? *Classifier score*: is each image
# clearly one digit, and are all there? (1 to 10.) *Precision*: the share of samples that lie among the real features.
# *Recall*: the share of real features that lie among the samples. None means anything alone, so real digits that the
# test set does not contain stand beside: they are what a perfect generator would get.

# %%
torch.manual_seed(seed)
images = shipped.generate(samples)
floor = evaluation.judge(train.pixels(torch.randperm(len(train))[:samples]), held_out, referee)
ours = evaluation.judge(images, held_out, referee)
measured = json.loads(recipes.GAN_QUALITY.read_text())
rows = {"training digits": floor, "GAN, here": ours}
for name, row in measured.items():
    if on_mnist and "frechet" in row and name not in rows:
        rows[f"{name} *"] = {key: sum(values) / len(values) for key, values in row.items()}
head = list(ours)
table = ["| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
table += [f"| {name} | " + " | ".join(f"{row[key]:.3g}" for key in head) + " |" for name, row in rows.items()]
note = f"""
\\* measured by `benchmarks/gan.py`, 10,000 samples; here: {samples:,}. Black and white images are judged beside the test
digits' fixed binarization: their floor is the row “training digits, binarized”."""
display(Markdown("\n".join([*table, note])))
assert (ours["smallest share"] > 0.05 and ours["classifier score"] > 9) or not on_mnist

# %% [markdown]
# *Because* each yardstick sees one side only. Precision alone rewards few and typical images: the conditional VAE's means
# have more of it than real digits, and little recall. Diversity, the mean squared distance of two images of one class in
# the same features, rewards nonsense as well: halves of two digits have most. The class KL is from
# the shares of the ten classes to equal shares, in nats. So read a row as a whole, and beside the real digits of its kind.
#
# Are they copies? For each sample, the nearest of all training digits, in pixels. Test digits beside: they are no copies,
# and just as near as new handwriting of the same kind is. Shown are the most suspicious: of each digit the sample that
# came nearest. **Predict:** will the samples be nearer than test digits, or farther?

# %%
gaps, index = nearest(images[:copies], train.pixels())
real_gaps, _ = nearest(held_out[:copies], train.pixels())
read = referee(images[:copies]).argmax(1)
close = torch.stack([torch.where(read == digit, gaps, torch.inf).argmin() for digit in read.unique()])
gan_figures.digit_rows({"nearest samples": images[close], "their neighbours": train.pixels(index[close])})
plt.show()
print(f"median distance: samples {gaps.median():.2f}, test digits {real_gaps.median():.2f}")
assert gaps.min() > 0.5 or not on_mnist  # an exact copy would be at 0

# %% [markdown]
# *Because* G was handed no image that it could keep: all that it ever got is D's slope. A generator that stored digits
# would show distances near 0.
#
# ## 9 · Linear combinations of training images?
#
# The lecture suspects that a VAE only mixes what it has seen. So try: for an image, the best mixture of training digits,
# with weights that are not negative and add up to 1, found by non-negative least squares among the training digits
# that are nearest to it. What remains, as a share of the image's own squared length, no mixture can explain.
#
# **Predict:** order these four: means of the conditional VAE, GAN samples, real digits that no model has seen, and the same
# digits blurred.

# %%
kinds = {"VAE, means": cvae.generate(every.repeat(mixed // train.n_classes + 1)), "GAN": images, "test digits": held_out,
         "test digits, blurred": avg_pool2d(held_out[:mixed].view(-1, 1, *train.shape), 3, 1, 1).flatten(1)}  # fmt: skip
known, left_over = train.pixels(), {}
for name, x in kinds.items():
    left_over[name] = torch.tensor([unexplained(image, known, columns) for image in x[:mixed]])
    share = (x[x > 0.1] < 0.9).float().mean()
    print(f"{name}: {left_over[name].mean():.3f} unexplained; {share:.0%} of its ink is grey")
gan_figures.boxes(left_over, f"share of |x|² that no mixture of the {columns} nearest explains")
plt.show()

# %% [markdown]
# *Because* averaging blurs, and a blurred image is easy to mix from others: so are handwritten digits that nobody drew
# from a model, once they are blurred. A decoder's mean *is* an average, over all images that its z could stand for. A GAN
# is never asked for an average: D would see at once that it is blurred.
#
# ## 10 · A walk through z
#
# Go from one z to another in twelve equal steps, the choice of kind included. Beside it a cross-fade of the two end
# images, pixel by pixel: its steps are all of one size, because it is linear. The lecture's rooms grow a television where
# a window was, and each picture on the way is a room.
#
# **Predict:** does the walk leap somewhere, and which of the two shows digits half way?

# %%
del known  # all training digits in float32 take 188 MB
torch.manual_seed(seed)
ends, t = shipped.noise(400).view(2, 200, 1, -1), torch.linspace(0, 1, 13)[:, None]
with torch.no_grad():
    walk = shipped.images((1 - t) * ends[0] + t * ends[1], average=True)  # (200, 13, 784)
    fade = (1 - t) * walk[:, :1] + t * walk[:, -1:]
    sure = [referee(path[:, 1:-1].flatten(0, 1)).softmax(1).amax(1).mean() for path in (walk, fade)]
    at = (walk[:, 0], walk[:, 6], fade[:, 6])
    ends, half, half_fade = (referee(x).softmax(1).amax(1).mean() for x in at)
sizes = walk.diff(dim=1).norm(dim=-1) / fade.diff(dim=1).norm(dim=-1)  # (200, 12): 1 is the cross-fade's
gan_figures.digit_rows({"walk": walk[0], "cross-fade": fade[0], "walk ": walk[1], "cross-fade ": fade[1]})
plt.show()
leap = float((sizes.amax(1) / sizes.mean(1)).mean())
print(
    f"a step of the walk is {sizes.mean():.2f} of the cross-fade's, the largest {leap:.2f} of the walk's mean;"
)
print(f"the classifier's confidence on the way: {sure[0]:.3f} on the walk, {sure[1]:.3f} in the cross-fade;")
print(f"{ends:.3f} at the start; half way {half:.3f} on the walk and {half_fade:.3f} in the cross-fade")
assert sure[0] > sure[1] - 0.02 or not on_mnist

# %% [markdown]
# *Because* G is a continuous function of z: it bends, and does not leap. The steps of a cross-fade are the smallest that
# there are, since it goes straight; the walk goes round. Half way a cross-fade shows both digits at once. The classifier
# still reads one of them, and nearly as surely as on the walk: it is asked which digit, never whether it is one. And most
# pairs of ends are of different *kinds*; between two kinds lie codes that D never judged, and the digits there are less sure.
#
# ## 11 · VAE or GAN?
#
# | | VAE | GAN |
# |---|---|---|
# | sharpness | means are averages, and blurred | nothing rewards a blur |
# | coverage | pays for each training image that it misses | may leave out what it likes, see section 7 |
# | likelihood | a bound, comparable between models | none |
# | code of a given image | the encoder's | none, it must be searched |
# | training | one loss that falls | a game, to be watched |
#
# So take a VAE where you need P(x), a code, or peace of mind, and a GAN where you need samples that look right.
#
# ## 12 · The quiz: real or made?
#
# People who judged the images of a generator took 21 % of them for real, the lecture says. And you? Below are eight test
# digits and eight images of the shipped generator for each digit, as the classifier reads it, so that the digit itself
# gives nothing away. They are asked one at a time. *Pairs* shows two of one digit side by side, one of
# them real. *Class mode* is for a projector and counts hands.
#
# **Predict:** what share of the made ones will you take for real? Then answer at least twenty. Enough is when the 95 %
# interval is narrower than 25 points, so that it can tell guessing (50 %) from the lecture's 21 %; the quiz says how many
# more that takes.


# %%
def eight_each(images):
    with torch.no_grad():
        read = torch.cat([referee(x).argmax(1) for x in images.split(1000)])
    return torch.cat([images[read == digit][:8] for digit in every])  # (80, 784)


torch.manual_seed(seed)
quiz = Quiz(eight_each(held_out[torch.randperm(len(held_out))]), eight_each(images.flip(0)), seed=seed)
quiz

# %% [markdown]
# *Because* a share alone says little, there are two. Whoever cannot tell the two kinds apart says "real" equally often to
# both, and then the shares add up to 100 %, with any taste for the word. The farther below that they stay, the better you
# can tell. The intervals show how little two dozen answers of one person say: they are about you and this generator.
#
# The study is most likely that of Salimans et al. 2016. Its abstract gives 21.3 % as people's *error rate*, on small
# photographs (CIFAR-10), so it is the mean of your two shares that belongs beside it; of its GAN's digits it says that
# people could not tell them from real ones.
#
# ## What the lecture said, what we measured

# %%
judge = {k: sum(measured[k]["taken for real"]) / 3 for k in ("GAN, shipped", "training digits")}
two_edits = machine = "skipped: it was measured on MNIST only"
if on_mnist:
    errors, bounds = ([verdicts[kind][i] for kind in ("at a stroke", "scattered")] for i in (0, 1))
    two_edits = f"squared errors {errors[0]:.2f} and {errors[1]:.2f}; D prefers the pixels at a stroke in {d_minds:.0%} of the sevens; a VAE's −L_b is {bounds[0]:.0f} and {bounds[1]:.0f} nats"
    machine = f"a fresh discriminator, a machine, takes {judge['GAN, shipped']:.0%} of the shipped GAN's images for real, and {judge['training digits']:.0%} of real digits passed off as made *"
answered = quiz.score("one")["made_taken_for_real"]
yours = f"{answered['share']:.0%} of {answered['images']}" if answered else "answer the quiz, then run this"
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 21 | pixel distance calls two errors equal that an eye does not | {two_edits} | holds for the loss; a VAE's −L_b does see it |
| 22 | a VAE's images are nearly linear combinations of training images | unexplained: conditional VAE's means {left_over["VAE, means"].mean():.3f}, GAN {left_over["GAN"].mean():.3f}, test digits {left_over["test digits"].mean():.3f}, blurred {left_over["test digits, blurred"].mean():.3f} | {"holds for the VAE's means, as for any blurred image" if left_over["VAE, means"].mean() < left_over["test digits"].mean() / 2 else "not shown"}; a GAN's images are about as far from mixtures as real ones |
| 23 | each new D catches the old G, each new G fools the old D | in {int(caught.sum())} and {int(fooled.sum())} of {len(caught)} rounds | {"; ".join(f"{who}: {'holds' if n > 0.75 * len(caught) else 'not shown'}" for who, n in (("D", caught.sum()), ("G", fooled.sum())))} (asked for: more than three quarters of the rounds) |
| 24 | G never sees a real image | its gradient is D's slope times its own, to float32; no D, no gradient | holds |
| 25 | D must be frozen in G's step | unfrozen: G's loss {games["unfrozen"][0]:.3f} beside {games["frozen"][0]:.3f}, Fréchet distance {games["unfrozen"][1]:.1f} beside {games["frozen"][1]:.1f} ({before:.1f} before) | holds |
| 27 | the losses do not tell | rank correlation with the Fréchet distance: D's {tells["discriminator"]:.2f}, G's {tells["generator"]:.2f} | D's loss does not fall as the pictures get better; G's may, but it is lowest of all with D unfrozen ({games["unfrozen"][0]:.3f}), for the worst pictures |
| 28 | the players must be matched | Fréchet distance {found[-2, -2]:.0f} with equal rates, {found[-2, -1]:.0f} with D's ten times G's, {found[-1, -2]:.0f} with G's ten times D's (middle of the map) | one-sided here: see which of the two is far from the first |
| 29 | collapse: one image whatever z is | spread {spreads[0]:.0%} of the test digits', class KL {kls[0]:.2f}; with both cures {spreads[-1]:.0%} and {kls[-1]:.2f} | happens, and shows; the cures ease it |
| 31 | a walk through z is smooth | the largest of twelve steps is {leap:.2f} times their mean (a leap: 12); the classifier's confidence {ends:.2f} at the start, half way {half:.2f}, half way of a cross-fade {half_fade:.2f} | holds: no leap; half way, between two kinds, the digits are less sure |
| 32 | people took 21 % of the generated images for real | {machine}; you: {yours} | the machine says nothing about people, and you are one person |

Real digits: {train.name}'s {len(held_out):,} test digits. Trained here: the arms race, {steps} updates of 64 images, and the small games; {"loaded" if on_mnist else "trained briefly, in place of the shipped ones"}: the GAN, VAEs and classifier. One seed. The Fréchet distance is in features of the course's own classifier and says nothing beside published FIDs. \\* Stored by `benchmarks/gan.py`: trained for 400 updates on half of the images, asked about the other half, mean of three runs; who cannot tell takes 50 %.
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. After the
# example the check also tries inputs of other sizes, drawn anew each time, and extreme ones.
#
# **1. A flat D.** The games above add a penalty to D's loss: R1, half the mean squared slope of D's score at real images.
# Write it. It is part of D's loss, so it must be differentiable with respect to D's weights: the gradient must itself
# have a gradient, and a finite one where D is flat. Leave the `.grad` of D's weights alone.


# %%
def my_r1_penalty(score, x):
    """score: images (N, D) to (N,). Real images x (N, D) give ½ · mean of ‖∂score/∂x‖², a tensor ()."""
    # 1. make x a leaf that wants a gradient
    # 2. the gradient of the sum of the scores with respect to x, (N, D): each row is one image's own;
    #    create_graph=True
    # 3. the squared norm of each row, and half of their mean
    raise NotImplementedError


# %%
checks.r1_penalty(my_r1_penalty)

# %% [markdown]
# **2. Which classes are missing?** The KL divergence KL(shares ‖ uniform) of the shares of the ten classes from equal
# shares, in nats. It must be finite also when a class does not occur.


# %%
def my_class_kl(labels):
    """labels (N,), integers 0 to 9, give KL(shares ‖ uniform) in nats, a tensor ()."""
    # 1. the share of each of the ten classes, also of those that do not occur: look at bincount's minlength
    # 2. the sum of share · log(share / 0.1), where 0 · log 0 counts as 0
    raise NotImplementedError


# %%
checks.class_kl(my_class_kl)

# %% [markdown]
# **3. Precision.** The share of made points that lie *among* the real ones: within the distance of at least one real
# point to its k-th nearest other real point.


# %%
def my_precision(real, fake, k):
    """real (N, d) and fake (M, d) give the share of fake points among the real ones, a tensor ()."""
    # 1. the distances between real points, (N, N); each point's smallest is 0, to itself
    # 2. each real point's radius: the distance to its k-th nearest other, (N,)
    # 3. the distances from fake to real points, (M, N): is there a real point whose radius covers it?
    # 4. the share of fake points for which there is
    raise NotImplementedError


# %%
checks.precision(my_precision)
