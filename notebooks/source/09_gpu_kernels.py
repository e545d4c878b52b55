# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "# Inside the GPU\n\n- Where does the time of one training step go?\n- Three ways to be slow: waiting, moving, multiplying\n- Say it once: a graph. Do it at once: a kernel\n- Noise that nobody stores, and a sum too large to write down"}
# # 09 · Inside the GPU
#
# After this notebook you will be able to
# - read a profile and say where the time of a training step goes;
# - explain why a small network waits, what a graph does about it, and what a graph cannot do;
# - place a computation under its roofline and say whether arithmetic, memory or waiting limits it;
# - read a [GPU kernel](../docs/glossary.md#gpu-kernel) line by line: its programs, its tiles, its masks, and what it
#   never writes to memory;
# - compute a log-sum-exp in one pass, and draw random numbers that nobody has to store.
#
# **Prerequisites:** the loss of [The VAE on MNIST](04_vae.ipynb) and a PyTorch training
# loop. No GPU is needed: the *kernels*, which are functions written for a GPU, run in an
# interpreter, on small inputs.
#
# **Time:** about a minute to run on a laptop with two cores, an hour to work through.
# **Memory:** the run takes 1.2 GB of memory.

# %% tags=["imports"]
import sys

if "google.colab" in sys.modules:  # Colab has no copy of the course yet
    import subprocess

    course = "git+https://github.com/OWNER/deep-generative-course"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", course], check=True)

# %% tags=["imports"]
import os

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported: kernels run in Python, on the CPU

import time
from functools import partial

import torch
from IPython.display import Markdown, display
from torch.profiler import record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms.functional import to_pil_image, to_tensor

# %% tags=["imports"]
from course_lib import checks, kernels, plots
from course_lib.data import binarize, mnist, uci_digits
from course_lib.device import FAST, pick_device
from course_lib.figures import gpu as figures
from course_lib.kernels import step_times, tl
from course_lib.models.vae import VAE, reparameterize
from course_lib.probability import em
from course_lib.probability.gaussians import kl_diag
from course_lib.probability.likelihoods import log_bernoulli
from course_lib.training import Run

plots.use_style()

# %% tags=["parameters"]
repeats = 5 if FAST else 100  # times that each step is timed
loop_steps = 5 if FAST else 20  # steps of each loop in the last section
rounds = 1 if FAST else 10  # times that each loop, or any other job longer than a step, is timed
widths = (4, 32, 256, 1024) if FAST else (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
largest = 22 if FAST else 24  # the largest array timed has 2^largest numbers: 16 million, 67 MB
seed = 0

# %% [markdown]
# ## 1 · One training step
#
# We look inside a single training step of the plain [VAE](../docs/glossary.md#variational-auto-encoder-vae), with
# images of 784 pixels, one hidden layer of 400 units, a 20-dimensional $z$, and batches of 128. The step draws a batch,
# computes the loss and its gradients, and lets Adam update the weights. You have
# written such a step several times. In the code below, each part carries a label for
# the *profiler*, a tool that records when each operation ran and how long it took.

# %%
device = pick_device()
digits = mnist(device=device)
images = digits.images.flatten(1)  # (N, 784) bytes


def make(shape=(28, 28), hidden=(400,), latent=20, where=device):
    torch.manual_seed(seed)
    model = VAE(shape, latent, hidden).to(where)
    on_gpu = torch.device(where).type == "cuda"
    return model, torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=on_gpu)


# %% slideshow={"slide_type": "slide"} slide={"text": "## One training step, with labels", "lines": "2-11"}
def step(model, optimizer, data, index):
    with record_function("batch"):
        x = binarize(data[index])  # (B, D)
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


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Predict.** How many operations on tensors is this: ten, a hundred, a thousand? Which part takes longest?"}
# **Predict.** How many separate operations on tensors does this step take: ten, a hundred, or a thousand? Which part
# takes longest?

# %% alt="A profile of one step in two rows. Above, the five parts from batch to Adam, of which backward is the widest and forward comes next. Below, a few wide blue bars for the matrix products and many narrow grey bars for all other operations, with white gaps between them." slideshow={"slide_type": "slide"} slide={"text": "## A profile of one step"}
model, optimizer = make()
index = torch.arange(128, device=device)
profiles = [step_times.profiled(lambda: step(model, optimizer, images, index)) for _ in range(8)]
operations, phases = min(profiles, key=lambda found: found[1][-1].end)  # the least disturbed one
figures.timeline(operations, phases)

# %%
end = phases[-1].end
in_products = sum(o.end - o.begin for o in operations if o.name in step_times.PRODUCTS)
in_operations = sum(o.end - o.begin for o in operations)
print(
    f"{len(operations)} operations in {end:,.0f} µs: "
    f"matrix products take {in_products / end:.0%} of the time,"
)
print(
    f"all other operations {(in_operations - in_products) / end:.0%}, "
    "and the gaps between operations take the rest"
)

# %% tags=["check"]
assert 50 < len(operations) < 500  # versions of PyTorch differ a little
assert phases[-1].name == "Adam"


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** A little more than a hundred. Backward takes longest, then forward. The gaps are bookkeeping."}
# **Answer.** It takes a little more than a hundred operations. The backward part takes longest, followed by the forward
# part, because these two contain all the matrix products.

# %% [markdown]
# Each bar in the lower row of the figure is one operation. To carry it out, PyTorch inspects the types and shapes of
# the tensors, finds the right function for the device, allocates memory, and starts the function. A CPU runs the
# function on the spot, and Python waits until it is done. On a GPU the function is *launched*: it is put into a queue,
# and Python moves on to the next operation. In the white gaps between the bars, Python and PyTorch do their
# bookkeeping.
#
# **Why does it matter?** A CPU is slow at multiplying, so matrix products fill much of the picture, and the gaps do
# comparatively little harm. Now imagine that every bar shrinks to a
# hundredth of its width, while the gaps stay as they are. That is a GPU.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Small networks wait\n\nHow long does an operation take if it has nothing to do?\n\n**Predict.** A network with 4 hidden units has less than a hundredth as many weights as one with 1,024. Is a step of the smaller network a hundred times as fast?"}
# ## 2 · Small networks wait
#
# How long does an operation take if it has nothing to do? And when does a network count as small? We can
# find out without a GPU: small images (8×8), small batches, and networks of different widths are enough.
#
# **Predict.** A network with 4 hidden units has less than a hundredth as many weights as one with 1,024. Is its step a
# hundred times as fast?


# %%
def microseconds(jobs, repeats):
    """The fastest of each job's repeats. The jobs take turns;
    other work on the machine can only add time.
    """
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(repeats):
        for name, work in jobs.items():
            begin = time.perf_counter()
            work()
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e6)
    return best


# %%
small = uci_digits(quiet=True).images.flatten(1)  # (1437, 64) bytes
few = torch.arange(16)
pairs = {width: make((8, 8), (width,), 4, "cpu") for width in widths}
jobs = {width: partial(step, *pair, small, few) for width, pair in pairs.items()}
by_width = microseconds(jobs, repeats)

# %% [markdown]
# For comparison we time the smallest operation there is, adding 1 to a single number, and multiply its time by the
# number of operations in a step.

# %%
one = torch.zeros(1)


def add_a_hundred_times():
    for _ in range(100):
        one.add_(1)


adding = microseconds({"a hundred": add_a_hundred_times}, repeats)
per_operation = adding["a hundred"] / 100
floor = len(operations) * per_operation
print(
    f"an operation that does nothing takes {per_operation:.2f} µs, "
    f"{len(operations)} of them {floor:,.0f} µs"
)

# %% alt="Microseconds per step against the number of hidden units, both axes logarithmic: nearly level for narrow networks, then rising. A dashed line for the same number of operations that do nothing lies below the level part." slideshow={"slide_type": "slide"} slide={"text": "## Left of the bend, smaller is no faster"}
figures.step_by_width(by_width, floor)

# %%
weights = {width: sum(p.numel() for p in pairs[width][0].parameters()) for width in (4, 1024)}
more = weights[1024] / weights[4]
slower = by_width[1024] / by_width[4]
print(f"{more:.0f} times as many weights take {slower:.1f} times the time")

# %% tags=["check"]
assert slower < more / 10  # far from proportional, on every machine
# as many idle operations cannot take longer; ½ leaves room for a busy machine
assert min(by_width.values()) > floor / 2

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Not even close. The time goes into *saying* what to do, not into doing it."}
# **Answer.** No, not remotely. The wide network has 207 times as many weights as the narrow one, but in
# our run its step took less than twice as long. To the left of the bend in the curve, shrinking the
# network does not make the step faster, because the time is spent on *saying* what to do, not on doing it.

# %% [markdown]
# However, the dashed line in the figure accounts for only part of the time that a step takes.
# Nothing is launched on a CPU, so where does the rest of the time go? We time a step of the
# narrowest network piece by piece: the forward pass without autograd's recording, the forward pass
# with it, both passes together, and the whole step. Each piece contains the one before it, so the
# difference between two consecutive times is the time of the part that was added. On a busy machine
# such a difference can come out negative, and the figure then shows a time of 0.

# %%
narrow, its_optimizer = pairs[widths[0]]
x_small = binarize(small[few])


def forward():
    mu, logvar = narrow.encode(x_small)
    logits = narrow.decode(reparameterize(mu, logvar))
    return (kl_diag(mu, logvar) - log_bernoulli(logits, x_small)).mean()


@torch.no_grad()
def forward_only():
    return forward()


def forward_and_backward():
    narrow.zero_grad()
    forward().backward()


# %% alt="Four bars, each beginning where the last one ends: forward and loss, recording them for backward, backward, and batch with Adam and labels. The microseconds are given next to each bar; recording takes the least time by far."
pieces = {"only": forward_only, "recorded": forward, "backward": forward_and_backward}
pieces["step"] = partial(step, narrow, its_optimizer, small, few)
found = microseconds(pieces, repeats)
parts = {
    "forward and loss": found["only"],
    "recording them for backward": found["recorded"] - found["only"],
    "backward": found["backward"] - found["recorded"],
    "batch, Adam and the labels": found["step"] - found["backward"],
}
figures.parts_of_a_step(parts)

# %% [markdown]
# In our run, three of the four parts each took about a third of the time: the forward pass with the
# loss, the backward pass, and the last part (the batch, Adam and the labels). Recording the
# operations for the backward pass cost next to nothing. In a network as narrow as this one, none of
# the parts involves much arithmetic, so the rest of the time is mostly bookkeeping. PyTorch chooses a
# function for every operation, modules look for hooks, memory is allocated and freed, the backward
# pass walks through autograd's records, the optimizer collects its tensors, and even the labels for
# the profiler cost something. On a GPU each operation also has to be launched, which takes a few
# microseconds more.
#
# Where the curve bends depends on the machine. One step of the VAE in section 1 involves about 0.4 billion
# multiplications and additions. A processor that performs $10^{13}$ of these a second would finish the step in about 40
# µs, while Python and PyTorch need a millisecond or more to go through its operations one after another. For such a
# processor, the plain VAE is a small network.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Numbers should not travel\n\nAn A100 could do fifty operations in the time it takes to read *one* number from its memory.\n\n**Predict.** We add 1 to all numbers of an array. How does the speed, in bytes a second, change as it grows from 64 numbers to sixteen million?"}
# ## 3 · Memory, or why numbers should not travel
#
# A processor computes only with the numbers in its *registers*. All other numbers must first travel to the registers,
# and the farther away a number is, the longer this takes. The levels of memory, from near to far, form the *memory
# hierarchy*. The table shows these levels for one GPU, NVIDIA's A100 with 40 GB, as given in its white paper (NVIDIA
# 2020). An A100 has 108 *multiprocessors*, each of which runs many *programs* (section 5 explains what a program is).
#
# | where | how much | who sees it |
# |---|---|---|
# | registers | 256 kB in each multiprocessor | the program that holds them |
# | L1 cache and shared memory | 192 kB in each multiprocessor | the programs that run there |
# | L2 cache | 40 MB | all programs |
# | the GPU's memory | 40 GB, at 1,555 GB/s | all programs |
# | the computer's memory | behind PCIe, at most 32 GB/s each way | all programs, by copying |
#
# The A100 performs up to $19.5 \cdot 10^{12}$ float32 operations a second. In the time it takes to
# read *one* 4-byte number from memory, it could perform fifty operations. A CPU has a memory
# hierarchy of the same kind, with different sizes and speeds. To see the effect of this hierarchy,
# we add 1 to every number in an array, in place, and count the bytes read and written per second.
#
# **Predict.** How will the speed change as the array grows from 64 numbers to sixteen million?

# %%
arrays = {2**k: torch.zeros(2**k) for k in range(6, largest + 1, 2)}
jobs = {n: partial(array.add_, 1) for n, array in arrays.items()}
times = microseconds(jobs, rounds)
# bytes: GB/s; each number is read and written
speeds = {4 * n: 8 * n / us / 1e3 for n, us in times.items()}

# %% alt="GB moved per second against the size of the array, both axes logarithmic: a steep rise for small arrays that flattens out, and nearly the same level for all arrays above 1 MB." slideshow={"slide_type": "slide"} slide={"text": "## Up, and then level"}
figures.bandwidth(list(speeds), list(speeds.values()))
bytes_per_second = 1e9 * list(speeds.values())[-1]
print(
    f"the largest array: {bytes_per_second / 1e9:.1f} GB/s; "
    f"the fastest: {max(speeds.values()):.1f} GB/s"
)

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Small arrays wait to be started. On many machines the speed falls again at the end, where arrays leave the cache."}
# **Answer.** The speed rises steeply and then levels off. On many machines the speed falls again for the largest
# arrays.
#
# **Why?** Small arrays wait for the operation to be started, as in section 2. Arrays that fit into a cache can be read
# and written at the speed of the cache. The largest arrays must be fetched from memory, and it is the speed of memory
# that matters for large models. If memory is much slower than the caches, the curve has a clear peak. In our run the
# curve had no peak.

# %% [markdown]
# ### Neighbours should read neighbours
#
# Memory is never read one number at a time. A typical CPU fetches *lines* of 64 bytes, and a GPU fetches *sectors*
# of 32 bytes. A GPU runs its *lanes* in groups of 32, called *warps*. Each lane works on
# its own number, and all lanes of a warp carry out the same instruction at the same time. If the
# lanes of a warp ask for neighbouring numbers, a few sectors are enough for all of them, and the
# reads are called *coalesced*. Now suppose that lane $i$ of a warp reads the number at position
# $s \cdot i$ of an array, where $s$ is called the *stride*.
#
# **Predict.** A warp reads 32 numbers of 4 bytes with stride $s$. How many sectors
# must the GPU fetch? At which stride does the number of sectors stop growing?

# %%
steps_apart = (1, 2, 4, 8, 16, 32)
lanes = torch.arange(32)
sectors = [len((4 * s * lanes // 32).unique()) for s in steps_apart]  # number s·i at byte 4·s·i

# %%
views = {s: arrays[2**largest][::s] for s in steps_apart}  # every s-th number of the largest array
times = microseconds({s: view.sum for s, view in views.items()}, rounds)
nanoseconds = [1e3 * us / len(views[s]) for s, us in times.items()]  # for each number that is read

# %% alt="Two panels against the stride. Left, counted: the sectors of a warp rise from 4 at stride 1 to 32 at stride 8 and stay there. Right, measured on the CPU: the time for each number read rises with the stride."
figures.strides(steps_apart, sectors, nanoseconds)
del arrays, jobs, views  # 67 MB

# %% [markdown]
# **Answer.** A warp that reads neighbours needs four sectors. With a stride of 8 or more, each lane needs its own
# sector, so 32 sectors are fetched, and seven eighths of the bytes are thrown away. On the CPU, too, the time to read a
# number grows with the stride. If only the number of lines mattered, the time per number would stop growing at a stride
# of 16, where each number needs its own line. The time may grow further, because it also depends on how well the CPU
# predicts the next line.

# %% [markdown]
# It therefore matters which axis of an array a kernel's lanes run along. In our
# kernels the lanes will run along the pixels of one image, which are neighbours in memory.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## The roofline\n\nWith an *intensity* of $I$ operations per byte moved, a computation does at most\n\n$$\\min(\\text{peak}, \\; I \\cdot \\text{bandwidth})$$\n\n**Predict.** Adding two arrays: $I = 1/12$. The product of $n \\times n$ matrices: $I = n/6$. Which is limited by memory? Where do products of small matrices lie?"}
# ### The roofline
#
# How fast can a computation be? A computation must perform its operations and move its bytes, and at best it does both
# at the same time. Let the *intensity* $I$ be the number of operations per byte moved, *peak* the number of operations
# that the processor can perform in a second, and *bandwidth* the number of bytes that memory can deliver in a second.
# Then the computation does at most
#
# $$ \min(\text{peak}, \; I \cdot \text{bandwidth}) $$
#
# operations a second. This bound is called the *roofline* (Williams, Waterman & Patterson 2009). Adding two arrays
# takes one operation for every twelve bytes, so $I = 1/12$. The product of two $n \times n$ matrices takes $2n^3$
# operations on $3n^2$ numbers of four bytes, so $I = n/6$.
#
# **Predict.** Which of the two is limited by memory? How far below the roofline will the products
# of small matrices lie?

# %%
sides = (16, 64, 256, 1024)
squares = {n: torch.randn(n, n) for n in sides}
times = microseconds({n: partial(torch.matmul, a, a) for n, a in squares.items()}, rounds)
intensity = [n / 6 for n in sides]
speed = [2 * n**3 / (us / 1e6) for n, us in times.items()]

# %%
a, b, out = torch.zeros(3, 2 ** (largest - 2)).unbind()


def add():
    torch.add(a, b, out=out)


us = microseconds({"add": add}, rounds)["add"]
points = {
    "products of n × n matrices": (intensity, speed),
    "adding two arrays": ([1 / 12], [len(a) / (us / 1e6)]),
}

# %% alt="Operations a second against operations for each byte, both axes logarithmic. Two roofs rise and then stay level, the A100's far above this machine's. Adding lies low on the rising part; matrix products climb to the level part as they grow, and the smallest lies far below its roof." slideshow={"slide_type": "slide"} slide={"text": "## Three ways to be slow", "show": "figure"}
figures.roofline(points, max(speed), bytes_per_second)
print(
    f"this machine's peak: {max(speed) / 1e9:,.0f} billion operations a second; "
    f"its bandwidth: {bytes_per_second / 1e9:.1f} billion bytes a second"
)


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Adding, by memory; large products, by arithmetic; small ones, by waiting."}
# **Answer.** Adding is limited by memory, and faster arithmetic would not help it. Large matrix
# products are limited by arithmetic, so we take the speed of the fastest one as this machine's peak.
# The product of the smallest matrices lies far below the roofline, because most of its time is spent
# waiting to be started. (A point may lie above the sloping part if its numbers are in a cache already.)

# %% [markdown]
# A computation can be slow for three reasons, and each has its own remedy. A *graph* removes the
# waiting (section 4), and a *fused kernel* reduces the memory traffic (section 5). If arithmetic is
# the limit, only a faster processor or a smaller network helps.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Say it once: a graph\n\nRecord the list of operations and addresses, and let the machine play it: one launch for all.\n\n- A new batch is *copied into* the old one\u2019s memory.\n- What Python did while recording happens never again."}
# ## 4 · Say it once: a graph
#
# If every step goes through the same list of operations, we can record the list once and let the machine play it back.
# Such a recording is called a *[CUDA graph](../docs/glossary.md#cuda-graph)*: a single launch starts all its
# operations. The recording contains operations, addresses in memory and the values of Python numbers, and nothing else.
# Three things follow.
# - A new batch must be *copied into* the memory of the recorded batch.
# - Whatever Python did during the recording (an `if`, a print) does not happen again, and a learning rate that is a
#   Python number keeps its recorded value.
# - Random numbers must come from a generator that each replay advances.
#
# A CUDA graph needs a GPU, but we can build an imitation to see how one works. The class
# below records all operations that PyTorch runs, and it can repeat them on the same
# memory. Our imitation saves no time, because it still starts the operations one by one.


# %%
class Recorder(TorchDispatchMode):
    """Notes every operation with its tensors;
    `replay` repeats them, writing each result over the recorded one.
    """

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
                    old.copy_(new)


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Twenty ordinary steps; and one recorded step with nineteen replays. Are the weights equal?"}
# **Predict.** We train twice from the same seed, once with twenty ordinary steps, and once with one recorded step and
# nineteen replays. Will the weights be equal? Will each replay draw new noise?


# %%
def train_twenty(recorded):
    """The weights after twenty steps on twenty batches, the losses, and the recorder."""
    net, adam = make((8, 8), (32,), 4, "cpu")
    step(net, adam, small, few)  # Adam allocates its state in the first step
    static, losses, recorder = few.clone(), [], Recorder()
    for i in range(20):
        static.copy_(few + 16 * i)  # the next batch, into the same memory
        if recorded and i > 0:
            recorder.replay()
        else:
            with recorder:
                loss = step(net, adam, small, static)
        losses.append(loss.item())
    return torch.cat([p.detach().flatten() for p in net.parameters()]), losses, recorder


# %% slideshow={"slide_type": "slide"} slide={"text": "## Equal to the last bit", "show": "output"}
eager, eager_losses, _ = train_twenty(recorded=False)
graph, losses, recorder = train_twenty(recorded=True)
apart = float((eager - graph).abs().max())
print(f"the largest difference between two weights: {apart}")
print("losses of the first replays:", ", ".join(f"{loss:.2f}" for loss in losses[1:5]))

# %% tags=["check"]
# the same operations in the same order: equal to the last bit
assert apart == 0 and losses == eager_losses
assert len(set(losses)) == 20

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** Yes, and every replay draws its own noise."}
# **Answer.** Yes to both. The weights of the two runs agree to the last bit. The losses agree as
# well. Each ordinary step draws fresh noise, so each replay must have drawn fresh noise too, and
# the same noise as the ordinary step with which it is compared.
#
# **Why?** The replay performs the same operations in the same order, on the same memory, with
# the same random number generator. Replaying a step does not change its arithmetic.

# %%
are_views = sum(function.is_view for function, *_ in recorder.calls)
print(
    f"{len(recorder.calls)} calls were recorded; "
    f"{are_views} of them are views of existing memory and compute nothing"
)

# %% [markdown]
# The recorder finds more operations than the profiler found in section 1, because the two
# count differently. The profile shows an operation and everything it calls as one bar. The
# recorder sits deeper inside PyTorch, where a `linear` is two calls (a transposed view, and
# a product with an addition). The labels of the five parts of the step are recorded too.
#
# In the course's training loop, a single argument turns a step into a graph:
# `run.train(step, epochs, graph=True)`. The first three steps run as usual, the fourth is recorded, and all
# later steps with a full batch are replays. An update that cannot be recorded runs without a graph, and a
# message says why. A common reason is a call to `.item()`, which waits for the GPU in the middle of
# the step.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Do it at once: a kernel\n\nA graph removes the waiting. Each operation still reads its input from memory and writes its output there.\n\n**Predict.** From the logits to the loss and back: how often is an array of their size read or written? The minimum is 3."}
# ## 5 · Do it at once: a kernel
#
# A graph removes the waiting between operations. But each operation still reads its input
# from memory and writes its output back, only for the next operation to read it again.
#
# **Predict.** We go from the [decoder](../docs/glossary.md#decoder)'s [logits](../docs/glossary.md#logit) to the loss,
# and back to the gradient with respect to the logits. How many times does the computation read or
# write an array as large as the logits?

# %% slideshow={"slide_type": "slide"} slide={"text": "## Passes over memory", "show": "output"}
logits = (3 * torch.randn(128, 784)).requires_grad_()
x = torch.rand(128, 784).round()
mu, logvar = torch.randn(2, 128, 20).unbind()


def plain_loss():
    terms = kernels.elbo_reference(logits, x, mu, logvar)
    terms.reconstruction.mean().backward()


moved = step_times.passes(plain_loss, logits.numel())
print(
    f"{moved} times; the least is 3: "
    "each logit and each pixel read once, each gradient written once"
)

# %% tags=["check"]
# at least three times the minimum; the exact count depends on how softplus is written
assert moved >= 9


# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Answer.** In our run, 25 times. Fewer passes are the only way to become faster."}
# **Answer.** Such an array is read or written 25 times in our run, because each operation reads its inputs and writes
# its result. Three times would be enough. (The count depends on how your version of PyTorch computes $\log(1 + e^a)$.)
#
# The loss and its gradient take about a dozen operations per logit. With three passes over memory,
# each of which moves four bytes per logit, the intensity is about 1, and with more passes it is
# lower still. Such intensities lie far down the slope of the A100's roofline. The only way to speed
# up such a computation is to make fewer passes over memory.

# %% [markdown]
# A *kernel* is a function that runs on the GPU itself. PyTorch has ready-made kernels for its operations, but we can
# write our own. Our kernel reads each logit and each pixel once, computes everything in registers,
# and writes the loss and the gradient. Such a kernel is called *fused*, because it does the work of many kernels.
#
# The GPU runs many copies of the kernel at once, and each of these copies is called a *program*. All
# programs execute the same code. Programs differ only in their number, `tl.program_id`, from which
# each one works out its share of the data, its *tile*. The programs may run in any order. We write
# our kernels in Triton (Tillet et al. 2019), a dialect of Python that is compiled for the GPU.
#
# In our example, each image has 37 pixels, and a tile consists of 16 pixels of one image. Read the kernel line by line:
# - A tensor arrives as a *pointer*, the address of its first number. `logits + at` stands for 16 neighbouring
#   addresses. Addresses here count numbers, not bytes, so the next number is at the next address.
# - Since 37 is not a multiple of 16, the last tile hangs over the edge of the image. `inside` is the *mask*: where it
#   is False, nothing is read and nothing is written.
# - $\log(1 + e^a)$ is computed as $\max(a, 0) + \log(1 + e^{-|a|})$, because $e^{500}$ would overflow to infinity.
# - A masked lane still takes part in the arithmetic, so its term is set to 0 before the sum.


# %% slideshow={"slide_type": "slide"} slide={"text": "## A kernel, line by line", "show": "code", "lines": "3-10, 11-13"}
@kernels.jit
def reconstruction_kernel(logits, x, nats, d_logits, who, D, tiles, BLOCK: tl.constexpr):
    row, tile = tl.program_id(0), tl.program_id(1)  # who am I?
    pixel = tile * BLOCK + tl.arange(0, BLOCK)  # my 16 pixels
    inside = pixel < D  # the mask
    at = row * D + pixel  # their positions, counted from the first pixel of the first image
    a = tl.load(logits + at, mask=inside, other=0.0)
    t = tl.load(x + at, mask=inside, other=0.0)
    small = tl.exp(-tl.abs(a))  # between 0 and 1
    terms = tl.maximum(a, 0.0) - t * a + tl.log(1.0 + small)  # −log P of each pixel
    tl.store(nats + row * tiles + tile, tl.sum(tl.where(inside, terms, 0.0), 0))
    p = tl.where(a >= 0, 1.0, small) / (1.0 + small)  # sigmoid(a)
    tl.store(d_logits + at, p - t, mask=inside)
    tl.store(who + at, row * tiles + tile, mask=inside)  # my signature


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Predict.** Four images of 37 pixels, tiles of 16. Which program writes pixel 20 of the last image?"}
# When we call the kernel, we specify the *grid* in square brackets, here 4 × 3 programs.
# Before the programs run, the arrays for the [nats](../docs/glossary.md#nat) and for the
# gradient are filled with NaN, so that an entry that no program has written would be noticed.
#
# **Predict.** Which program writes pixel 20 of the last image?

# %%
n, D, block = 4, 37, 16
tiles = -(-D // block)  # 3: −(−D // block) rounds up
a, t = 3 * torch.randn(n, D), torch.rand(n, D).round()
nats, d_logits = torch.full((n, tiles), torch.nan), torch.full((n, D), torch.nan)
who = torch.full((n, D), -1, dtype=torch.int32)
if kernels.triton:
    reconstruction_kernel[(n, tiles)](a, t, nats, d_logits, who, D, tiles, BLOCK=block)
else:
    print("Triton is not available for this system: the figures of its programs are left out.")

# %% alt="A grid of four images by 37 pixels, cut into twelve tiles of two alternating pale colours. Each tile carries the number of its program, from 0 at the upper left to 11 at the lower right; the last tile of each row is only five pixels wide." slideshow={"slide_type": "slide"} slide={"text": "## Twelve programs"}
if kernels.triton:
    figures.programs(who)
    print(f"pixel 20 of the last image was written by program {int(who[-1, 20])}")

# %% tags=["check"]
if kernels.triton:
    torch.testing.assert_close(nats.sum(1), -log_bernoulli(a, t))  # float32
    torch.testing.assert_close(d_logits, torch.sigmoid(a) - t)
    assert who[-1, 20] == 3 * tiles + 1


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Program 10: $3 \\cdot 3 + 1$.\n\n---\n\n## Without the mask\n\n37 pixels do not divide into tiles of 16.\n\n**Predict.** Leave the mask out. Where will the numbers written beyond the edge end up?"}
# **Answer.** Program 10 does. Counting from 0, the last image is row 3, and pixel 20 is in tile 1 of that row. Each row
# has three tiles, so the number of the program is $3 \cdot 3 + 1$. Together the twelve programs have computed $-\log P$
# of each image and the gradient with respect to each logit, and the check confirms that both are right.
#
# **Predict.** Now leave out the mask. If a program writes numbers beyond the edge of its image, where
# will they end up?


# %%
@kernels.jit
def count_kernel(count, D, MASKED: tl.constexpr, BLOCK: tl.constexpr):
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (pixel < D) if MASKED else (pixel >= 0)
    tl.atomic_add(count + tl.program_id(0) * D + pixel, 1, mask=inside)


# %% alt="Two grids of counts, with one row for each image and one row below that belongs to no image. With the mask, each place of an image was written once, and the row below never. Without it, the first eleven places of images 1 to 3 were written twice, and those of the row below once." slideshow={"slide_type": "slide"} slide={"text": "## Memory knows no rows"}
counted = {}
for title, masked in {"with the mask": True, "without the mask": False}.items():
    counted[title] = torch.zeros(n + 1, D, dtype=torch.int32)  # one more row than there are images
    if kernels.triton:
        count_kernel[(n, tiles)](counted[title], D, MASKED=masked, BLOCK=block)
if kernels.triton:
    figures.counts(counted)

# %% tags=["check"]
if kernels.triton:
    assert counted["with the mask"][:n].max() == 1 and counted["with the mask"][n].sum() == 0
    assert counted["without the mask"][:n].max() == 2 and counted["without the mask"][n].sum() > 0


# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Into the next image, and the last ones into memory that belongs to somebody else."}
# **Answer.** They end up in the next image, and those of the last image end up in memory that belongs to somebody else.
#
# **Why?** Memory knows no rows. The last pixel of one image is followed in memory by the first pixel of the next, so
# without a mask two programs write to the same place. On a GPU, chance decides which of the two programs wins. In the
# interpreter, the programs run one after the other, so the result may even be right, and the mistake shows up only on
# another machine.

# %% [markdown]
# ### The course's kernel
#
# The kernel in `course_lib/kernels/elbo.py` follows the same idea as our example, but handles whole images and includes
# the KL term. It differs in three ways.
# - One program walks over all tiles of its image, so that the running sums never leave the registers.
# - It computes $\log(1 + s)$ in such a way that a small $s$ is not lost when it is added to 1 (a trick due to Kahan).
# - Its forward pass already writes the gradients for the usual loss, the mean over the images with its factor $1/N$.
#   The backward pass launches a second kernel, which compares the factor that it actually receives with $1/N$ and
#   rewrites the gradients only where the two factors differ.
#
# Does a fused kernel change the answer? We compare the kernel with the course's
# plain functions for two losses, the mean over the images and a weighted sum.


# %%
def terms_and_gradients(function, weight):
    """−log P, KL and all gradients of a weighted sum of both, in one row."""
    terms = function(*inputs)
    loss = (weight * (terms.reconstruction + terms.kl)).sum()
    gradients = torch.autograd.grad(loss, [inputs[0], inputs[2], inputs[3]])
    return torch.cat([part.detach().flatten() for part in (*terms, *gradients)])


# %%
torch.manual_seed(seed)
logits, mu, logvar = [torch.randn(3, size).requires_grad_() for size in (37, 5, 5)]
inputs = (logits, torch.rand(3, 37).round(), mu, logvar)
kernel_errors = {}
weight_of = {"mean": torch.full((3,), 1 / 3), "weighted sum": torch.tensor([1.0, -2.0, 0.5])}
for name, weight in weight_of.items():
    fused = terms_and_gradients(kernels.fused_elbo, weight)
    plain = terms_and_gradients(kernels.elbo_reference, weight)
    kernel_errors[name] = float((fused - plain).norm() / plain.norm())
    print(f"loss = {name}: the kernel's numbers differ by {kernel_errors[name]:.1g} of their size")

# %% tags=["check"]
# float32 rounds by up to 6e-8; sums are taken in another order
assert max(kernel_errors.values()) < 1e-5

# %% [markdown]
# **Answer.** No. The results differ only by float32 rounding errors, because the sums are computed
# in a different order.

# %% [markdown]
# ## 6 · Noise that nobody stores
#
# In $z = \mu + \sigma e$, the gradient with respect to $\sigma$ depends on the noise $e$ of the forward pass, so
# PyTorch keeps $e$ in memory. A kernel need not store its noise, because its random numbers are the values of a
# *function*. Random number $i$ for the seed $s$ is computed from $i$ and $s$ alone, in ten rounds of multiplying
# and mixing (Philox; Salmon et al. 2011). Anyone who knows the seed can compute the noise again, in any order.

# %%
mu, logvar = torch.zeros(8, 20), torch.zeros(8, 20, requires_grad=True)
z = kernels.fused_reparameterize(mu, logvar, seed=7)  # σ = 1 and μ = 0, so z is e
z.sum().backward()
noise_error = float((2 * logvar.grad - z.detach()).abs().max())  # dz/dlogvar is e/2
print(f"the noise recomputed in backward differs from forward's by {noise_error:.1g} at most")

# %% tags=["check"]
assert noise_error < 1e-6  # float32

# %% [markdown]
# The pixels of a batch are binarized with the same trick. One byte per pixel comes in, a 0 or a 1
# goes out, and the random number in between is never stored in memory. Philox can also be computed in
# plain PyTorch, with integer tensors, so the kernel and the plain function draw the *same* pixels.
#
# **Predict.** The next figure shows a digit and three random draws of it. What will the mean of two hundred draws
# look like?

# %%
byte_image, first = digits.images[:1].cpu(), torch.tensor([0])
by_kernel = kernels.gather_binarize(byte_image, first, seed)
by_function = kernels.gather_binarize_reference(byte_image, first, seed)
with kernels.switched_off():  # the interpreter would be slow for two hundred
    draws = kernels.gather_binarize(byte_image, first.expand(200), seed).view(200, 28, 28)

# %% alt="A grey digit, three black-and-white draws of it with ragged edges, and the mean of two hundred draws, which looks like the grey digit again."
grey = byte_image[0] / 255
sheet = torch.stack([grey, *draws[:3], draws.mean(0)])
figures.digits_in_a_row(sheet, ["the digit", "a draw", "another", "a third", "mean of 200"])

# %% tags=["check"]
assert torch.equal(by_kernel, by_function)  # bit by bit
# a mean of 200 draws has a standard error of at most 0.035 (grey ½);
# 784 pixels stay within 4.5 of them
assert (grey - draws.mean(0)).abs().max() < 0.16

# %% [markdown]
# **Answer.** It looks like the grey digit again, because the probability that a pixel is drawn white is its grey
# level.

# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## A sum too large to write down\n\n$$\\log P(x) = \\log \\sum_k \\exp\\left(\\log w_k + \\log N(x \\mid \\mu_k, \\Sigma_k)\\right)$$\n\nA kernel makes a tile of the matrix, uses it, and forgets it: keep the largest *so far*, and rescale."}
# ## 7 · A sum too large to write down
#
# The E-step of [Gaussian mixtures and EM](01_gaussian_mixtures_em.ipynb) computes
#
# $$ \log P(x) = \log \sum_k \exp\left(\log w_k + \log N(x \mid \mu_k, \Sigma_k)\right) $$
#
# for $N$ points and $K$ components. At $N = 60{,}000$ and $K = 512$ the matrix of log-densities takes 123 MB in
# float32, and the responsibilities take as much again. A kernel computes one tile of the matrix, uses it, and forgets
# it. But the largest term has to be subtracted before we exponentiate and sum, or `exp` underflows
# to 0. How can
# we subtract a maximum that is known only at the end?

# %%
k, d, tile_size = 40, 50, 4
sample = images[:2000].cpu().float()  # grey levels, 0 to 255
centred = sample - sample.mean(0)
directions = torch.linalg.svd(centred, full_matrices=False).Vh[:d]  # (50, 784)
points = centred @ directions.T  # (2000, 50), principal components
parameters = torch.full((k,), 1 / k), points[:k].clone(), points.var(0).expand(k, d)
joint = em.log_joint(points[500:501], *parameters, "diag")[0]  # (K,), of one digit
print(f"exp first: Σ exp = {joint.exp().sum()}; the log-terms lie near {joint.median():.0f} nats")

# %% [markdown] slideshow={"slide_type": "-"} slide={"text": "**Predict.** Each tile adds something positive to the total, which is relative to the largest so far. Can this total fall?"}
# We keep the largest term *so far*, and a running total of the exponentials relative to it. When a tile contains a new
# maximum, we multiply the running total by $\exp(\text{old} - \text{new})$. This rescaling (Milakov & Gimelshein 2018)
# is also part of the reason why long contexts fit into a language model's memory (Dao et al. 2022).
#
# **Predict.** Take one digit, 40 components and tiles of 4. Each tile adds something positive to
# the running total. Can the total, which is relative to the largest term so far, nevertheless fall?

# %%
top, total = torch.tensor(-torch.inf), torch.tensor(0.0)
tops, totals = [], []
for part in joint.split(tile_size):
    new = torch.maximum(top, part.max())
    total = total * torch.exp(top - new) + torch.exp(part - new).sum()
    top = new
    tops.append(top)
    totals.append(total)
log_px = float(top + total.log())

# %% alt="Left, forty log-densities as grey dots, the largest so far as a staircase, and the log-sum-exp so far, which rises to the dotted line of log P(x). Right, the total relative to the largest so far. Four squares mark where a larger term appeared; at two of them the total falls." slideshow={"slide_type": "slide"} slide={"text": "## The running maximum"}
tops, totals = torch.stack(tops), torch.stack(totals)
figures.running_maximum(joint, tile_size, tops, totals)
fell = int((totals.diff() < 0).sum())
print(f"log Σ exp = {log_px:.3f} nats; the total fell at {fell} of {len(totals) - 1} tiles")

# %% tags=["check"]
assert joint.exp().sum() == 0  # underflow: float32 ends near exp(−104)
assert abs(log_px - float(joint.logsumexp(0))) < 1e-3  # float32 resolves 3e-5 at 350

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** Yes: when the unit grows, all that was added before counts less."}
# **Answer.** Yes. In our run on MNIST, the total falls at two of the nine tiles after the first, although
# $\log \sum \exp$ of the terms so far never falls. (With other digits, the number printed above may differ.)
#
# **Why?** The total is counted in units of the exponential of the largest term so far. When a new
# maximum enlarges this unit, everything added so far amounts to fewer units. What the total loses,
# the maximum has gained.

# %% [markdown]
# The kernel `mixture_statistics` makes two passes over the components. The first pass gives $\log P(x)$, one number per
# point. The second pass gives the sums that the M-step needs, $K(1 + 2d)$ numbers regardless of $N$. We run one E-step
# of the kernel in the interpreter, on a few points, and compare the result with the E-step of the chapter on mixtures.

# %%
x_few, small_mixture = points[:40], (torch.full((5,), 0.2), points[:5].clone(), parameters[2][:5])
sums, log_px = kernels.mixture_statistics(x_few, *small_mixture)
resp, expected = em.e_step(x_few, *small_mixture, "diag")
e_step_error = float((log_px - expected).abs().max())
print(f"log P(x) differs by {e_step_error:.1g} nats at most, of about {expected.abs().mean():.0f}")
print(f"at N = 60,000 and K = 512 the matrix takes {60_000 * 512 * 4 / 1e6:.0f} MB,")
print(f"the sums and log P(x) {(512 * (1 + 2 * d) + 60_000) * 4 / 1e6:.1f} MB")

# %% tags=["check"]
# float32 at several hundred nats
torch.testing.assert_close(log_px, expected, rtol=1e-4, atol=1e-3)
# sums over 40 points, in units of grey levels
torch.testing.assert_close(sums[:, 1 : d + 1], resp.T @ x_few, rtol=1e-3, atol=0.1)


# %% [markdown] slideshow={"slide_type": "slide"} slide={"text": "## Microseconds, here and there\n\nImages one by one; a `TensorDataset`; bytes on the device, 128 rows at once.\n\n**Predict.** The arithmetic is the same. How many times as fast is the third loop as the first?"}
# ## 8 · Microseconds, here and there
#
# How much time does all this machinery save in practice? We time three training loops on your
# machine. They share the network, the loss and the optimizer, and differ in how they get each batch:
# - the loop of many tutorials: a data set of single images, each converted on its own, a `DataLoader`, and `.item()`
#   in each step;
# - the same loop with a `TensorDataset` of converted images, so that only the `DataLoader`'s own work is left;
# - the course's loop, which keeps the bytes on the device and asks for 128 rows at once.
#
# On a machine with a CUDA GPU, we also time a fourth loop, which runs the same step as a graph. On all other machines
# the figure shows three loops. (`DataLoader` can also use worker processes, which hide its work behind the step if
# there are cores to spare.)
#
# **Predict.** The arithmetic is the same. By what factor will the third loop beat the first?


# %%
class OneByOne(Dataset):
    """The first images, one at a time, each through a picture object, as in many tutorials."""

    def __len__(self):
        return 128 * steps

    def __getitem__(self, i):
        return (to_tensor(to_pil_image(pictures[i].numpy(), mode="L")),)


# %%
def with_loader(data):
    model, optimizer = make()
    total = 0.0
    for (batch,) in DataLoader(data, 128, shuffle=True):
        x = torch.bernoulli(batch.to(device)).view(-1, 784)
        loss = model.loss(x)["loss"]
        optimizer.zero_grad()
        loss.backward()
        total += loss.item()
        optimizer.step()


# %%
def ours(**options):
    model, optimizer = make()
    run = Run(images, batch_size=128, model=model, optimizer=optimizer)

    def step(batch):
        losses = model.loss(binarize(batch))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    run.train(step, steps / (-(-len(images) // 128)), quiet=True, **options)


# %%
pictures = digits.images.cpu()
steps = loop_steps * (20 if device.type == "cuda" else 1)  # the graph's time includes recording it
ready = TensorDataset(pictures[: 128 * steps].float() / 255)
jobs = {
    "images one by one": partial(with_loader, OneByOne()),
    "TensorDataset": partial(with_loader, ready),
    "our loop": partial(ours, graph=False),
}
if device.type == "cuda":
    jobs["our loop, as a graph"] = partial(ours, graph=True)
here = {name: us / steps for name, us in microseconds(jobs, rounds).items()}

# %% alt="Horizontal bars of the microseconds per step for three loops on this machine: the loop that converts images one by one has by far the longest bar, and the course's loop has the shortest, only a little shorter than that of the TensorDataset." slideshow={"slide_type": "slide"} slide={"text": "## Three loops", "show": "figure"}
gpu = step_times.shipped()
name = "this machine's " + ("CPU" if device.type == "cpu" else "GPU")
figures.bars(here, f"{name}, threads: {torch.get_num_threads()}", gpu)
print(step_times.describe(gpu))

# %%
gains = {name: here[name] / here["our loop"] for name in ("images one by one", "TensorDataset")}
for name, gain in gains.items():
    print(f"our loop is {gain:.1f} times as fast as the one with {name}")

# %% [markdown] slideshow={"slide_type": "fragment"} slide={"text": "**Answer.** The bars show it, for one machine. The faster the device, the more of a step is waiting."}
# **Answer.** The lines above give the factors for this machine. In our run on a CPU, the third loop was more than
# twice as fast as the first, but hardly faster than the second. On a busy machine the factors can take almost any
# value, so no check tests them.
#
# **Why?** The first loop creates 128 small Python objects for each batch while the network waits. With a
# `TensorDataset` nothing is converted, but the loader still fetches 128 rows one by one and stacks them. The third loop
# asks for all 128 rows at once. What remains on a CPU is the arithmetic of the step itself, which takes most of the
# time. The faster the device, the more of the time is spent waiting, and the more a graph and fused kernels can save.

# %% [markdown]
# Only measurements can tell whether a graph and fused kernels actually save time. The script
# `benchmarks/gpu.py` first reports two lower bounds on the time of an ordinary step: the time it
# takes to move the step's bytes and the time it takes to launch its operations.
# The script then times a tutorial's loop, ours, compiled code, the graph, and the graph with fused kernels, all
# in one run on one machine. The factors in `docs/measurements.md` were measured on CPUs (`benchmarks/vae.py`).
# In both benchmarks, the tutorial's loop also uses its own loss and PyTorch's default Adam.

# %% [markdown]
# ## What the lecture said, what we measured
#
# The lecture does not discuss hardware, so none of its claims is tested here. But the result of a formula must not
# depend on how it is computed. The first table therefore asks, for each piece of machinery, whether it changes the
# answer. The second table lists what is slow without such machinery.

# %% tags=["claims"] slideshow={"slide_type": "slide"} slide={"text": "## What we measured"}
by = kernels.ran["fused_elbo"]
claims = f"""
| formula | machinery | does it change the answer? | measured |
|---|---|---|---|
| $L_b$ = reconstruction − KL, and its gradients | the fused kernel | {"no, beyond rounding" if kernels.triton else "not tested: Triton is missing"} | relative difference {kernel_errors["mean"]:.1g} for the mean, {kernel_errors["weighted sum"]:.1g} for a weighted sum, on 3 images |
| $z = \\mu + \\sigma e$ | noise recomputed from its seed | {"no, beyond rounding" if kernels.triton else "not tested: Triton is missing"} | forward's and backward's noise differ by {noise_error:.1g} at most |
| $\\log P(x)$ of a mixture | one tile at a time, without the N×K matrix | {"no, beyond rounding" if kernels.triton else "not tested: Triton is missing"} | {e_step_error:.1g} nats at most, on {len(x_few)} points |
| a training step | recorded and replayed | no, not by one bit | {len(losses) - 1} replays: weights differ by {apart:g} |

| what is slow | measured |
|---|---|
| small networks wait | {more:.0f} times as many weights take {slower:.1f} times the time |
| a plain loss moves more than it must | {moved} arrays of the logits' size read or written, where 3 would do |
| fetching single images | our loop is {gains["images one by one"]:.1f} times as fast as loading them one by one, {gains["TensorDataset"]:.1f} times as fast as a `TensorDataset` |

Kernels by {by}, on small tiles. Times: the fastest of {repeats} steps, and of {rounds} runs of {steps} steps in the last row (plain VAE, batches of 128; threads: {torch.get_num_threads()}). {step_times.describe(gpu)}
"""
display(Markdown(claims))


# %% [markdown]
# ## Exercises
#
# In the first three exercises, fill in the steps, run the cell, then run the check below it. The check says "Correct"
# or names the mistake. After the example, the check also tries extreme inputs and random inputs
# of other sizes; the random inputs are drawn anew each time. These exercises are plain PyTorch and
# need neither a GPU nor Triton. The fourth exercise is done on paper, and its answer is given
# below it.
#
# **1. A tile and its mask.** Play the part of one program of a kernel: compute the sum of $\log(1 + e^a)$ over the
# logits $a$ of its own tile, in nats. As in a kernel, there is no
# tensor of logits to slice. Instead, you are given the following:
# - `logits` is the *address* of the image's first logit, an integer. As in the kernel of section 5, addresses count
#   numbers, not bytes.
# - `load(addresses, mask)` is the only way to read memory. A program always has `block` lanes, so `load` takes two
#   tensors of length `block`, the addresses and a boolean mask.
# - Where the mask is False, nothing is read, and 0 is returned.
#
# On a GPU, a read beyond the image silently returns whatever numbers lie there. The `load` in
# this exercise requires a mask, and it raises an error if an unmasked lane reads outside the image.


# %%
def my_tile_sum(load, logits, D, program, block):
    """The sum of softplus over this program's tile, (),
    in an image of D logits, the first at address `logits`.
    """
    # 1. the numbers of my pixels, (block,): where does my tile begin?
    # 2. the mask, (block,): which of them lie inside the image?
    # 3. load: where does pixel i lie in memory?
    # 4. torch.nn.functional.softplus of each lane. What does it give for a masked 0?
    # 5. the sum over the lanes that count
    raise NotImplementedError


# %%
checks.tile_sum(my_tile_sum)


# %% [markdown]
# **2. Log-sum-exp in one pass.** Compute the log-sum-exp as in section 7, but for many rows
# at once. Work on one tile of `block` columns at a time; the last tile may be narrower. The
# numbers may be far from 0, and they may differ greatly between rows and within a row. Keep
# the running maximum yourself, without `logsumexp` or `logaddexp`.


# %%
def my_online_logsumexp(joint, block):
    """joint (N, K) gives log Σ exp over its columns, (N,), visiting them in tiles of `block`."""
    # 1. the largest so far, (N,), which starts below every number; and the total so far, (N,)
    # 2. for each tile joint.split(block, 1): the new largest
    # 3. the total, relative to the new largest, plus the tile's exponentials relative to it
    # 4. at the end: back to the logarithm, and the largest added
    raise NotImplementedError


# %%
checks.online_logsumexp(my_online_logsumexp)


# %% [markdown]
# **3. Gradients with all their factors.** Compute the same gradients as the fused kernel
# does. The loss is the sum of the reconstruction and KL terms in nats, averaged over the images.
# Derive the three formulas on paper, and then code them. The check rejects any use of autograd.


# %%
def my_elbo_gradients(logits, x, mu, logvar):
    """logits, x (N, D) and mu, logvar (N, d) give d_logits (N, D), d_mu and d_logvar (N, d)."""
    # 1. with respect to a logit a: what is the derivative of log(1 + e^a) − x·a?
    # 2. with respect to mu and logvar: the derivatives of ½ (exp(logvar) − 1 − logvar + mu²)
    # 3. the loss is a mean over the N images
    raise NotImplementedError  # return d_logits, d_mu, d_logvar


# %%
checks.elbo_gradients(my_elbo_gradients)

# %% [markdown]
# **4. Derive it.** A layer multiplies a batch of $B$ rows of 784 numbers by a 784 × 400 matrix.
# Count the operations of this layer and the bytes that it must move in float32, and write down the
# intensity as a function of
# $B$. Above which batch size $B$ is the layer limited by arithmetic on the A100 of section 3? Is our batch size of
# 128 large enough for that? Then find the corresponding $B$ for your own machine, from the peak and the bandwidth that
# section 3 prints below its roofline (in the code: `max(speed)` and `bytes_per_second`).

# %% [markdown]
# **Answer.** The layer performs $2 \cdot 784 \cdot 400 \cdot B$ operations. It reads $784 B$ inputs and
# $784 \cdot 400$ weights and writes $400 B$ results, each of four bytes. The intensity is therefore
#
# $$ I(B) = \frac{2 \cdot 784 \cdot 400 \cdot B}{4 \, (784 \cdot 400 + 1184 B)} \approx \frac{B}{2 + B / 132} $$
#
# operations per byte. On the A100, arithmetic is the limit if the intensity exceeds the peak divided by the bandwidth,
# $19{,}500 / 1{,}555 \approx 12.5$. This is the case for $B \ge 28$. With a batch of 128, the layer
# has an intensity of 43, so the batch is large enough. For your own machine, replace 12.5 with the
# machine's peak divided by its bandwidth, and find the $B$ at which $I(B)$ has this value.

# %% [markdown]
# ## Further reading
#
# - Williams, Waterman & Patterson 2009, *Roofline: An Insightful Visual Performance Model for Multicore
#   Architectures*. The figure of section 3, with worked examples.
# - Tillet, Kung & Cox 2019, *Triton: An Intermediate Language and Compiler for Tiled Neural Network Computations*.
#   The language of our kernels. Its tutorials, starting with vector addition, are the best next step.
# - Milakov & Gimelshein 2018, *Online normalizer calculation for softmax*. The running maximum of section 7.
# - Dao et al. 2022, *FlashAttention*. What one pass and good tiles did for language models.
# - Hwu, Kirk & El Hajj 2022, *Programming Massively Parallel Processors*. The textbook on warps, coalescing and
#   tiling.
# - Rush, *GPU Puzzles* and *Triton Puzzles* (GitHub). Exercises like our first one, in an interpreter.
