# %% [markdown]
# # 09 · Inside the GPU
#
# After this notebook you will be able to
# - read a profile, and say where the time of one training step goes;
# - say why a small network waits for launches, and what a graph does about it;
# - read a GPU kernel line by line: programs, tiles, masks, and what never goes to memory;
# - compute a log-sum-exp in one pass, and make random numbers that nobody has to store.
#
# **Time:** about a minute to run on a laptop with two cores, an hour to work through.
# **It needs** 1.1 GB of memory and no GPU: the kernels run in an interpreter, on small tiles. From you: chapter 04's loss, and a PyTorch training loop.

# %%
import os
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported: kernels are played in Python, on the CPU

import time

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from torch.profiler import record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from torchvision.transforms.functional import to_pil_image, to_tensor

from course_lib import checks, kernels, plots
from course_lib.data import binarize, mnist, uci_digits
from course_lib.device import FAST, pick_device
from course_lib.kernels import step_times, tl
from course_lib.models.vae import VAE, reparameterize
from course_lib.probability import em
from course_lib.probability.gaussians import kl_diag
from course_lib.probability.likelihoods import log_bernoulli
from course_lib.training import Run

plots.use_style()

# %% tags=["parameters"]
repeats = 5 if FAST else 100  # of a step that is timed
loop_steps = 5 if FAST else 20  # of the loops in the last section
rounds = 1 if FAST else 10  # of each loop
widths = (4, 32, 256, 1024) if FAST else (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
seed = 0

# %% [markdown]
# ## 1 · One training step
#
# The plain VAE of chapter 04: images of 784 pixels, one hidden layer of 400, z of 20, batches of 128. A step draws a batch,
# computes the loss and its gradients, and lets Adam move the weights. You have written it several times. Here it is
# once more, with a label on each part, so that a profiler can show them.
#
# **Predict:** how many separate operations on tensors is that, ten, a hundred, a thousand? Which part takes longest?

# %%
device = pick_device()
digits = mnist(device=device)
images = digits.images.flatten(1)  # (N, 784) bytes


def make(shape=(28, 28), hidden=(400,), latent=20, where=device):
    torch.manual_seed(seed)
    model = VAE(shape, latent, hidden).to(where)
    graph = torch.device(where).type == "cuda"
    return model, torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=graph)


def step(model, optimizer, data, index):
    with record_function("batch"):
        x = binarize(data[index])
    with record_function("forward"):
        mu, logvar = model.encode(x)
        logits = model.decode(reparameterize(mu, logvar))
    with record_function("loss"):
        loss = (kl_diag(mu, logvar) - log_bernoulli(logits, x)).mean()
    with record_function("backward"):
        optimizer.zero_grad()
        loss.backward()
    with record_function("Adam"):
        optimizer.step()
    return loss.detach()


# %%
model, optimizer = make()
index = torch.arange(128, device=device)
profiles = [step_times.profiled(lambda: step(model, optimizer, images, index)) for _ in range(8)]
operations, phases = min(profiles, key=lambda found: found[1][-1].end)  # the one least disturbed
step_times.timeline(operations, phases)
plt.show()
products = sum(o.end - o.begin for o in operations if o.name in step_times.PRODUCTS) / phases[-1].end
print(f"{len(operations)} operations in {phases[-1].end:,.0f} µs; matrix products {products:.0%} of the time")
assert 50 < len(operations) < 500 and phases[-1].name == "Adam"

# %% [markdown]
# Each bar of the lower row is one operation: PyTorch looks at the types and shapes, finds the function for this device, asks for
# memory, and *launches* it. On a CPU the operation then runs in the same place. On a GPU it is put into a queue, and
# Python goes on to the next one. The white gaps are Python and PyTorch's own bookkeeping.
#
# *Because* a CPU is slow at multiplying, the matrix products fill much of the picture, and the gaps do not hurt. Now
# imagine every coloured bar a hundred times shorter, and the gaps as they are. That is a GPU.
#
# ## 2 · Small networks wait
#
# How long does an operation take that does nothing? And where does a network stop to be small? We need no GPU to see
# it: take smaller images (8×8), small batches, and networks of different widths.
#
# **Predict:** a network with 4 hidden units has less than a hundredth of the weights of one with 1,024. Is its step
# a hundred times as fast?


# %%
def microseconds(jobs, repeats):
    """Of each job the quickest of its repeats, in turns: whatever else the machine does can only add."""
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, work in jobs.items():
            begin = time.perf_counter()
            work()
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e6)
    return best


one = torch.zeros(1)
small = uci_digits(quiet=True).images.flatten(1)  # (1437, 64) bytes
few = torch.arange(16)
pairs = {width: make((8, 8), (width,), 4, "cpu") for width in widths}
jobs = {width: lambda pair=pair: step(*pair, small, few) for width, pair in pairs.items()}
by_width = microseconds(jobs | {"adding": lambda: [one.add_(1) for _ in range(100)]}, repeats)
launch = by_width.pop("adding") / 100
print(f"adding 1 to one number: {launch:.2f} µs")
slower = by_width[1024] / by_width[4]
weights = [sum(p.numel() for p in VAE((8, 8), 4, (w,)).parameters()) for w in (4, 1024)]
print(f"{weights[1] / weights[0]:.0f} times the weights, {slower:.1f} times the time")
assert slower < weights[1] / weights[0] / 10

# %%
floor = len(operations) * launch
figure, ax = plt.subplots(figsize=(7, 3.2))
ax.loglog(list(by_width), list(by_width.values()), "o-", color=plots.MODEL, label="a step, 16 images of 8×8")
ax.axhline(floor, color=plots.GAP, ls="--", label=f"{len(operations)} operations that do nothing")
ax.set(xlabel="hidden units", ylabel="microseconds", ylim=(floor / 3, None))
plots.plain_numbers(ax.xaxis, ax.yaxis)
ax.legend()
plt.show()
assert min(by_width.values()) > floor / 2  # doing nothing as often is no slower; ½: a busy machine may err

# %% [markdown]
# *Because* every operation costs its launch, however little it computes. Left of the bend a smaller network is not
# faster: the time is what it takes to *say* what to do, not to do it.
#
# Where the bend lies depends on the machine. The step of section 1 needs about half a billion multiplications and
# additions. A processor that does 10¹³ of them a second would need 50 µs, while launching the operations one by
# one takes Python some hundred microseconds and more. On such a machine the VAE of chapter 04 is a small network.
#
# ## 3 · Say it once: a graph
#
# If every step is the same list of operations, record the list, and let the machine play it. That is a *CUDA graph*: one
# launch for all. The list holds operations and addresses of memory, nothing else. So
# - a new batch must be *copied into* the memory of the recorded one;
# - what Python did while recording (an `if`, a print, a learning rate as a Python number) happens never again;
# - random numbers must come from a generator that the replay moves on.
#
# A graph needs a GPU, but we can build one to look at. The recorder below notes each operation that PyTorch runs, and can
# do them again on the same memory. It makes nothing faster, because it launches them one by one.
#
# **Predict:** twenty replays against twenty ordinary steps: equal weights? equal noise in each step?


# %%
class Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, out in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(again)):
                if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)  # the result goes to where the recorded one lies


# %%
python_calls = {"eager": 0, "graph": 0}
ends, losses = {}, []
for way in python_calls:
    net, adam = make((8, 8), (32,), 4, "cpu")
    step(net, adam, small, few)  # Adam makes its memory at the first step
    static = few.clone()
    for i in range(20):
        static.copy_(few + 16 * i)  # the next batch, into the same memory
        if way == "eager" or i == 0:
            python_calls[way] += 1
            with (recorder := Recorder()):
                loss = step(net, adam, small, static)
        else:
            recorder.replay()
        losses += [loss.item()] if way == "graph" else []
    ends[way] = torch.cat([p.detach().flatten() for p in net.parameters()])
apart = float((ends["eager"] - ends["graph"]).abs().max())
print(
    f"{len(recorder.calls)} calls recorded; Python ran the step {python_calls}; weights differ by {apart:.1g}"
)
views = sum(function.is_view for function, *_ in recorder.calls)
print(f"{views} of the calls are views of memory that is there already: they compute nothing")
print(f"losses of the first replays: {', '.join(f'{v:.2f}' for v in losses[1:5])}")
assert apart == 0 and len(set(losses)) == 20

# %% [markdown]
# *Because* the replay does the same operations in the same order, on the same memory, with the same generator. The weights
# agree to the last bit, and each replay draws noise of its own.
#
# Why more calls than section 1 counts operations, if the step is the same? The profile shows an operation and all that it
# calls as one bar; the recorder stands further inside, where a `linear` is two calls (a transposed view, and a product
# with addition), and it notes the labels of the five parts as well.
#
# In the course's loop it is one word: `run.train(update, epochs, graph=True)`. The first three steps run as usual,
# the fourth is recorded, all others of full size are replays. What cannot be recorded (an `.item()` waits for the GPU in the middle of the step)
# runs as before, and a sentence says why.
#
# ## 4 · Do it at once: a kernel
#
# A graph removes the waiting between operations. What remains is that each of them reads its input from memory and
# writes its output there, for the next to read it again. Memory is the slowest part of a GPU.
#
# **Predict:** from the decoder's logits to the loss and back to the gradient with respect to the logits: how many times is an array of
# the logits' size read or written?


# %%
logits, x = (3 * torch.randn(128, 784)).requires_grad_(), torch.rand(128, 784).round()
mu, logvar = torch.randn(2, 128, 20).unbind()
moved = step_times.passes(
    lambda: kernels.elbo_twin(logits, x, mu, logvar).reconstruction.mean().backward(), logits.numel()
)
print(f"{moved} times; one each of logits, pixels and gradient is what must be")
assert moved >= 9  # three times what must be, or more: it depends on how softplus is written

# %% [markdown]
# A *kernel* is a function that we write for the GPU itself. It can read a logit and a pixel once, do everything in
# the processor's registers, and write the gradient. The GPU runs it many times at once. Each of these runs is a
# *program*. All have the same text. What differs is their number, `tl.program_id`, and from it each finds its
# share of the work, its *tile*. Nobody says in which order they run.
#
# Our tile: 16 pixels of one image. Read the kernel line by line:
# - a tensor arrives as a *pointer*, the address of its first number. `logits + at` are 16 addresses;
# - 37 pixels do not divide into tiles of 16. The last tile hangs over the edge: `inside` is the *mask*, and what is masked
#   is neither read nor written;
# - log(1 + eᵃ) is computed as max(a, 0) + log(1 + e^−|a|), because e⁵⁰⁰ is no number;
# - a masked lane still takes part in the arithmetic, so it is set to 0 before the sum.


# %%
@kernels.jit
def reconstruction_kernel(logits, x, nats, d_logits, who, D, tiles, BLOCK: tl.constexpr):
    row, tile = tl.program_id(0), tl.program_id(1)  # who am I?
    pixel = tile * BLOCK + tl.arange(0, BLOCK)  # my 16 pixels
    inside = pixel < D  # the mask
    at = row * D + pixel  # where they lie, counted from the first
    a = tl.load(logits + at, mask=inside, other=0.0)
    t = tl.load(x + at, mask=inside, other=0.0)
    small = tl.exp(-tl.abs(a))  # between 0 and 1
    terms = tl.maximum(a, 0.0) - t * a + tl.log(1.0 + small)  # −log P of each pixel
    tl.store(nats + row * tiles + tile, tl.sum(tl.where(inside, terms, 0.0), 0))
    p = tl.where(a >= 0, 1.0, small) / (1.0 + small)  # sigmoid(a)
    tl.store(d_logits + at, p - t, mask=inside)
    tl.store(who + at, row * tiles + tile, mask=inside)  # my signature


# %% [markdown]
# The square brackets hold the *grid*: 4 × 3 programs. Before they run, all results are set to NaN, so that a pixel that
# nobody wrote would show.
#
# **Predict:** which program writes pixel 20 of the last image?

# %%
n, D, block = 4, 37, 16
tiles = -(-D // block)
a, t = 3 * torch.randn(n, D), torch.rand(n, D).round()
nats, d_logits = torch.full((n, tiles), torch.nan), torch.full((n, D), torch.nan)
who = torch.full((n, D), -1, dtype=torch.int32)
if kernels.triton:
    reconstruction_kernel[(n, tiles)](a, t, nats, d_logits, who, D, tiles, BLOCK=block)
else:
    print("Triton is not to be had for this system: the pictures of its programs are left out.")

# %%
if kernels.triton:
    torch.testing.assert_close(nats.sum(1), -log_bernoulli(a, t))
    torch.testing.assert_close(d_logits, torch.sigmoid(a) - t)
    print(f"{n * tiles} programs; pixel 20 of the last image was written by program {who[-1, 20]}")
    assert (who >= 0).all() and who[-1, 20] == 3 * tiles + 1
    step_times.programs(who)
    plt.show()

# %% [markdown]
# Twelve programs, each with its own tile, the last of each row 5 pixels wide. Together they have computed −log P of
# each image and the gradient by each logit, and the asserts say that both are right.
#
# **Predict:** now leave the mask out. Where do the numbers of a tile that hangs over the edge go?


# %%
@kernels.jit
def count_kernel(count, D, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (pixel < D) if MASKED else (pixel >= 0)
    tl.atomic_add(count + tl.program_id(0) * D + pixel, 1, mask=inside)


if kernels.triton:
    figure, axes = plt.subplots(1, 2, figsize=(12, 2.6))
    for ax, masked in zip(axes, (True, False)):
        count = torch.zeros(n + 1, D, dtype=torch.int32)  # one row more than there are images
        count_kernel[(n, tiles)](count, D, MASKED=masked, BLOCK=block)
        step_times.counts(
            count, f"with{'' if masked else 'out'} the mask: how often each place was written", ax
        )
        assert (count[:n].max() == 1) == masked and (count[n].sum() == 0) == masked
    plt.show()

# %% [markdown]
# *Because* to memory there are no rows. Behind the last pixel of one image comes the first of the next, and behind the last
# image something that belongs to somebody else. Which of two programs wins a place is a matter of chance on a GPU. Here,
# where they run one after the other, the result may even be right. Such a mistake shows on another machine.
#
# The course's kernel (`course_lib/kernels/elbo.py`) does the same for whole images, and the KL with it. One program
# walks over all tiles of its image, so that the sums never leave the processor. In `backward` nothing is
# left to do: the gradients are there already. It must equal the course's plain functions, its *twin*.

# %%
leaves = [torch.randn(3, width).requires_grad_() for width in (37, 5, 5)]
pixels, found = torch.rand(3, 37).round(), []
for function in (kernels.fused_elbo, kernels.elbo_twin):
    terms = function(leaves[0], pixels, *leaves[1:])
    gradients = torch.autograd.grad((terms.reconstruction + terms.kl).mean(), leaves)
    found.append(torch.cat([v.detach().flatten() for v in (*terms, *gradients)]))
kernel_error = float((found[0] - found[1]).norm() / found[1].norm())
print(f"the kernel, by {kernels.ran['fused_elbo']}, differs from its twin by {kernel_error:.1g} (relative)")
assert kernel_error < 1e-5  # float32, sums in another order

# %% [markdown]
# ## 5 · Noise that nobody stores
#
# z = μ + σ·e. To compute the gradient by σ, backward needs the e of the forward pass, so PyTorch keeps it in memory. A
# kernel can do without. Its random numbers are a *function*: number i of seed s follows from i and s
# alone, by ten rounds of multiplying and mixing (Philox). Whoever knows the seed can make e again, in any order.
#
# The same trick draws a batch: one byte a pixel comes in, 0 or 1 goes out, and the random number in between is never
# in memory. The twins compute Philox with PyTorch's integers, so that kernel and twin give the *same* noise.
#
# **Predict:** left is a digit, then three draws of it. What is the mean of two hundred draws?

# %%
mu, logvar = torch.zeros(8, 20), torch.zeros(8, 20, requires_grad=True)
z = kernels.fused_reparameterize(mu, logvar, seed=7)
z.sum().backward()
noise_error = float((2 * logvar.grad - z.detach()).abs().max())  # at σ = 1: z is e, and dz/dlogvar is e/2
print(f"noise made again in backward differs by {noise_error:.1g} from that of forward")
assert noise_error < 1e-6

byte_image, first = digits.images[:1].cpu(), torch.tensor([0])
both = [f(byte_image, first, seed) for f in (kernels.gather_binarize, kernels.gather_binarize_twin)]
with kernels.twins():
    drawn = kernels.gather_binarize(byte_image, first.expand(200), seed).view(200, 28, 28)
sheet = torch.stack([byte_image[0] / 255, *drawn[:3], drawn.mean(0)])
figure, ax = plt.subplots(figsize=(9, 2.2))
plots.digits(sheet, columns=5, ax=ax, title="the digit, three draws, the mean of 200")
plt.show()
assert torch.equal(*both)  # kernel and twin: the same pixels, bit by bit
# a mean of 200 draws has a standard error of at most 0.035 (grey ½); 784 pixels stay within 4.5 of them
assert (sheet[0] - sheet[4]).abs().max() < 0.16

# %% [markdown]
# *Because* a pixel is drawn with its grey level as probability, the mean of many draws is the grey digit again.
#
# ## 6 · A sum too large to write down
#
# The E-step of chapter 01 computes log P(x) = log Σₖ exp(log wₖ + log N(x|k)), for N points and K components. At N = 60,000 and
# K = 512 the matrix of log-densities takes 123 MB in float32, and the responsibilities as much again. A kernel
# makes a tile of it, uses it, and forgets it. But the sum of exponentials needs the largest term first, or `exp`
# underflows to 0. How does one subtract a maximum that is known only at the end?
#
# Keep the largest *so far*. When a tile brings a larger one, the total up to here was taken relative to the old one:
# multiply it by exp(old − new). It is one line, and it is why long contexts fit into a language model's memory.
#
# **Predict:** one MNIST digit, 40 components, tiles of 4. Each tile adds something positive to the total, relative to the
# largest so far. Can that total fall?

# %%
k, d, tile_size = 40, 50, 4
sample = images[:2000].cpu().float()  # grey levels, 0 to 255: densities are per level
centred = sample - sample.mean(0)
points = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:d].T  # (2000, 50)
parameters = torch.full((k,), 1 / k), points[:k].clone(), points.var(0).expand(k, d)
joint = em.log_joint(points[500:501], *parameters, "diag")[0]  # (K,)
print(f"exp first: Σ exp = {joint.exp().sum()}, in float32; the terms lie near {joint.median():.0f} nats")
assert joint.exp().sum() == 0

# %%
largest, total, seen = torch.tensor(-torch.inf), torch.tensor(0.0), []
for part in joint.split(tile_size):
    new = torch.maximum(largest, part.max())
    total = total * torch.exp(largest - new) + torch.exp(part - new).sum()
    largest = new
    seen.append((largest, total))
log_px = float(largest + total.log())
maxima, totals = torch.tensor(seen).T
falls = int((totals.diff() < 0).sum())
print(f"with the running maximum: log Σ exp = {log_px:.3f} nats; the total fell at {falls} tiles")
assert abs(log_px - float(joint.logsumexp(0))) < 1e-3  # float32 has 3e-5 at 350

# %%
figure, (ax, right) = plt.subplots(1, 2, figsize=(12, 3.4))
tile_ends = torch.arange(tile_size, k + 1, tile_size)
ax.plot(range(1, k + 1), joint, ".", color=plots.PRIOR, label="log-densities, as they come")
ax.step(tile_ends, maxima, where="post", color=plots.Q, label="largest so far")
ax.plot(tile_ends, maxima + totals.log(), "o--", color=plots.MODEL, label="log Σ exp so far")
ax.axhline(joint.logsumexp(0), color=plots.DATA, lw=1, ls=":", label="log P(x)")
ax.set(xlabel="component", ylabel="nats")
right.plot(tile_ends, totals, "o-", color=plots.MODEL)
rescaled = (maxima.diff() > 0).nonzero()[:, 0] + 1
right.plot(
    tile_ends[rescaled], totals[rescaled], "s", ms=11, mfc="none", color=plots.GAP,
    label="a larger term came: rescaled",
)  # fmt: skip
right.set(xlabel="component", ylabel="total: Σ exp ÷ exp(largest)", ylim=(0, None))
for panel in (ax, right):
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
plt.show()

# %% [markdown]
# *Because* the total is counted in units of the largest term so far. When that grows, all that was added before counts less,
# and what is lost from the total is in the maximum: their log Σ exp never falls.
#
# The kernel `mixture_statistics` walks twice: once for log P(x), one number a point, and once for the sums that
# the M-step needs. They hold K·(1 + 2d) numbers, whatever N is. Here is one E-step by the interpreter, on few points,
# against the textbook's.

# %%
x_few, small_mixture = points[:40], (torch.full((5,), 0.2), points[:5].clone(), parameters[2][:5])
sums, log_px = kernels.mixture_statistics(x_few, *small_mixture)
resp, expected = em.e_step(x_few, *small_mixture, "diag")
torch.testing.assert_close(log_px, expected, rtol=1e-4, atol=1e-3)
torch.testing.assert_close(sums[:, 1 : d + 1], resp.T @ x_few, rtol=1e-3, atol=0.1)  # of 40 × 255
e_step_error = float((log_px - expected).abs().max())
memory = {"N×K matrix": 60_000 * 512 * 4, "sums and log P(x)": (512 * (1 + 2 * d) + 60_000) * 4}
print(f"log P(x) differs by {e_step_error:.1g} nats at most;", end=" ")
print("; ".join(f"{name}: {size / 1e6:.1f} MB" for name, size in memory.items()))

# %% [markdown]
# ## 7 · Microseconds, here and there
#
# What does all of that bring? First on your machine: the loop that PyTorch's tutorials show (a data set of single images, a
# `DataLoader`, `.item()` after each step) against the course's loop, which keeps the bytes on the device. With a CUDA GPU
# there is a third row, the same step as a graph.
#
# **Predict:** the network is the same, and so is the arithmetic. How many times as fast is the second loop?


# %%
class OneByOne(torch.utils.data.Dataset):
    def __len__(self):
        return 128 * steps

    def __getitem__(self, i):
        return to_tensor(to_pil_image(pictures[i].numpy(), mode="L"))


def tutorial():
    model, optimizer = make()
    total = 0.0
    for data in DataLoader(OneByOne(), 128, shuffle=True):
        batch = torch.bernoulli(data.to(device)).view(-1, 784)
        loss = model.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        total += loss.item()
        optimizer.step()


def ours(**options):
    model, optimizer = make()
    run = Run(images, batch_size=128, model=model, optimizer=optimizer)

    def update(batch):
        losses = model.loss(binarize(batch))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    run.train(update, steps / (-(-len(images) // 128)), quiet=True, **options)


# %%
pictures = digits.images.cpu()
steps = loop_steps * (20 if device.type == "cuda" else 1)  # the graph's row includes recording it
jobs = {"the tutorial's loop": tutorial, "our eager loop": ours}
if device.type == "cuda":
    jobs["graph"] = lambda: ours(graph=True)
here = {name: us / steps for name, us in microseconds(jobs, rounds).items()}
gpu = step_times.shipped()
print(step_times.describe(gpu))
name = "this machine's " + ("CPU" if device.type == "cpu" else "GPU")
step_times.bars(here, f"{name}, threads: {torch.get_num_threads()}", gpu)
plt.show()
gain = here["the tutorial's loop"] / here["our eager loop"]
print(
    f"our loop is {gain:.1f} times as fast as the tutorial's"
)  # not asserted: a busy machine may say anything

# %% [markdown]
# *Because* the tutorial's loop makes 128 small Python objects for each batch, one image at a time, while the network waits;
# ours asks for 128 rows at once. On a CPU the arithmetic of the step itself remains, and it is most of the time. The faster
# the device, the more of the step is waiting, and the more a graph and fused kernels can take away.
#
# Whether they do is a matter of measuring. `benchmarks/gpu.py` writes down the two floors first, the bytes that a step
# must move and the launches that it makes, then times the tutorial's loop, ours, compiled code, the graph, and the graph with
# fused kernels, in one run on one machine.
#
# The README's factor belongs to another comparison (`benchmarks/vae.py`): there the tutorial's loop also has its own
# loss (a sigmoid, then `binary_cross_entropy`) and Adam as it comes, and ours its quicker matrix products, while here both
# share network, loss and optimizer, and only the way to the batch and the `.item()` differ.
#
# ## What the lecture said, what we measured
#
# The lecture does not speak of machines. What its formulas say must not depend on how they are computed.

# %%
by = "holds" if kernels.triton else "not measured here: Triton is missing, its twin was compared with itself"
claims = f"""
| # | the lecture | measured here | verdict |
|---|---|---|---|
| 17 | $L_b$ is a regularizer and a reconstruction | the fused kernel's terms and gradients equal the plain functions' to {kernel_error:.1g} (relative) | {by} |
| 8 | c = m + noise, and gradients pass through | noise made again in backward, from its seed, differs by {noise_error:.1g} from forward's | {by} |
| 4 | EM weighs every component for every point | log P(x) without the N×K matrix differs by {e_step_error:.1g} nats at most, on {len(x_few)} points | {by} |
| – | (ours) small networks wait for launches | {weights[1] / weights[0]:.0f} times the weights take {slower:.1f} times the time; {len(operations)} operations a step, {launch:.1f} µs each if they do nothing | holds |
| – | (ours) a graph is the same training | {len(losses) - 1} replays: weights differ by {apart:.1g} from eager steps | holds |
| – | (ours) a plain loss moves more than it must | {moved} arrays of the logits' size are read or written, where 3 must be | holds |
| – | (ours) the loop counts, not only the network | {gain:.1f} times as fast as the tutorial's loop, same network | {"holds here" if gain > 1 else "not here and now: was the machine busy?"} |

Kernels by {kernels.ran["fused_elbo"]}, on small tiles. Times: the quickest of {repeats} steps, and of {rounds} runs of {steps} steps in the last row (the plain VAE, batch 128); threads of this machine: {torch.get_num_threads()}. {step_times.describe(gpu)}
"""
display(Markdown(claims))

# %% [markdown]
# ## Exercises
#
# Fill in the steps, run the cell, then run the check below it. It says "Correct", or names the mistake. After the
# example the check also tries inputs of other sizes, drawn anew each time, and extreme ones. All three exercises are
# plain PyTorch; no GPU and no Triton is needed.
#
# **1. A tile and its mask.** Play one program of a kernel: the sum of log(1 + e^logit) over its own tile, in nats. As in
# a kernel, there is no tensor of logits to slice. `logits` is the *address* of the image's first logit, a whole number,
# and `load(addresses, mask)` is the only way to read memory. A program always has `block` lanes, so it takes `block`
# addresses at once and a mask of `block` truth values, both tensors. Where the mask is False, nothing is read and 0
# comes back. On a GPU, reading beyond the image gives other people's numbers without a word; this `load` stops you.


# %%
def my_tile_sum(load, logits, D, program, block):
    """Of an image of D logits, the first at address `logits`, the sum of softplus over this program's tile, ()."""
    # 1. the numbers of my pixels, (block,): where does my tile begin?
    # 2. the mask, (block,): which of them lie inside the image?
    # 3. load: where does pixel i lie in memory?
    # 4. torch.nn.functional.softplus of each lane; and what is that of a masked 0?
    # 5. the sum over the lanes that count
    raise NotImplementedError


# %%
checks.tile_sum(my_tile_sum)

# %% [markdown]
# **2. Log-sum-exp in one pass.** As in section 6, for many rows at once. Only one tile of `block` columns is computed
# with at a time, and the last one may be narrower. The rows may lie far from 0, far from each other, and the numbers
# of one row far apart.


# %%
def my_online_logsumexp(joint, block):
    """joint (N, K) gives log Σ exp over its columns, (N,), visiting them in tiles of `block`."""
    # 1. the largest so far, (N,): what is smaller than every number? and the total so far, (N,)
    # 2. for each tile joint.split(block, 1): the new largest
    # 3. the total, relative to the new largest, plus the tile's exponentials relative to it
    # 4. at the end: back to the logarithm, and the largest added
    raise NotImplementedError


# %%
checks.online_logsumexp(my_online_logsumexp)

# %% [markdown]
# **3. Gradients with all their factors.** What the fused kernel writes, for a loss that is the mean over images of
# reconstruction + KL, in nats. Derive the three formulas on paper and write them down: the check refuses autograd.


# %%
def my_elbo_gradients(logits, x, mu, logvar):
    """logits, x (N, D) and mu, logvar (N, d) give d_logits (N, D), d_mu and d_logvar (N, d)."""
    # 1. with respect to a logit a: what is the derivative of log(1 + e^a) − x·a?
    # 2. with respect to mu and logvar: the derivatives of ½ (exp(logvar) − 1 − logvar + mu²)
    # 3. the loss is a mean over the N images
    raise NotImplementedError  # return d_logits, d_mu, d_logvar


# %%
checks.elbo_gradients(my_elbo_gradients)
