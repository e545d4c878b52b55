"""Compare the training of the plain VAE with a tutorial's loop and with bare matrix products.

    python benchmarks/vae.py [--quick]

784-400-20, batch 128, Adam with learning rate 1e-3, pixels binarized anew at each step; the loops
alternate in one process. The first table shows the seconds per epoch (medians). Our training uses
float32 products with torch's precision "medium", for which a CPU uses oneDNN instead of MKL, or
bfloat16 if the device supports it. The bare products are timed with torch's default precision and
with "medium". The second table shows the seconds of training until the test −ELBO is at most 102.6
nats. The tutorial's loop is measured after each epoch, and ours uses a schedule that ends there;
the time of measuring is excluded. The −ELBO is computed on the fixed binarization of the test
digits, with 10 draws per image.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor
from torchvision.transforms.functional import to_pil_image

from course_lib.data import Digits, fixed_binarization, mnist
from course_lib.device import knows_bfloat16, pick_device
from course_lib.evaluation.likelihood import elbo
from course_lib.models.vae import VAE
from course_lib.recipes import RECIPES, Recipe, train

GOAL = 102.6  # nats, the value that this network reaches after ten epochs of the tutorial's loop
# tuned on the last 10,000 training digits, after training on the others
FASTER = Recipe(
    epochs=3.75, batch_size=256, lr=7e-3, decay=0.33, warmup=0.15, mean_image=True, autocast=True
)
SEEDS = 5
PLAIN = RECIPES["plain"]
HALF = dataclasses.replace(PLAIN, autocast=True)


class OneByOne(Dataset):
    """A data set that converts one digit at each access, first to a PIL image and then to a tensor.

    This is what torchvision's MNIST does.
    """

    def __init__(self, digits: Digits) -> None:
        self.data, self.targets = digits.images.cpu(), digits.labels.cpu()
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = to_pil_image(self.data[index].numpy(), mode="L")
        return self.transform(picture), int(self.targets[index])


class Tutorial:
    """The training loop of PyTorch's tutorials and of its VAE example."""

    def __init__(self, digits: Digits, workers: int = 0) -> None:
        torch.manual_seed(0)
        images = OneByOne(digits)
        self.loader = DataLoader(images, batch_size=128, shuffle=True, num_workers=workers)
        self.model = VAE().to(digits.images.device)  # the same network as ours
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def epoch(self) -> float:
        self.model.train()
        train_loss = 0.0
        for data, _ in self.loader:
            data = torch.bernoulli(data.to(self.model.decoder.bias.device)).view(-1, 784)
            self.optimizer.zero_grad()
            mu, logvar = self.model.encode(data)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            recon = torch.sigmoid(self.model.decoder(z))
            bce = F.binary_cross_entropy(recon, data, reduction="sum")
            kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss = (bce + kld) / len(data)
            loss.backward()
            train_loss += loss.item()
            self.optimizer.step()
        return train_loss / len(self.loader)


def ours(digits: Digits, recipe: Recipe = PLAIN, **options: bool) -> Callable[[], object]:
    return lambda: train(recipe, digits, epochs=1, quiet=True, **options)


def medium(work: Callable[[], object]) -> Callable[[], object]:
    """Return the same work with torch's float32 matrix-product precision set to "medium"."""

    def run() -> None:
        torch.set_float32_matmul_precision("medium")
        work()
        torch.set_float32_matmul_precision("highest")

    return run


def products(digits: Digits) -> Callable[[], object]:
    """Return a function that computes only the matrix products of an epoch's forward and backward
    passes.
    """
    shapes = [(784, 400), (400, 40), (20, 400), (400, 784)]
    device = digits.images.device
    pairs = []
    for n, (inputs, outputs) in enumerate(shapes):
        x, w = torch.randn(128, inputs, device=device), torch.randn(inputs, outputs, device=device)
        g = torch.randn(128, outputs, device=device)
        pairs += [(x, w), (x.T, g)]
        if n > 0:  # the first layer needs no gradient with respect to the pixels
            pairs.append((g, w.T))
    jobs = [(a, b, torch.empty(len(a), b.shape[1], device=device)) for a, b in pairs]

    def epoch() -> None:
        for _ in range(len(digits) // 128):
            for a, b, out in jobs:
                torch.mm(a, b, out=out)

    return epoch


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two rounds on a tenth of the digits, without the second table",
    )
    quick = parser.parse_args().quick
    device = pick_device()
    digits, test = mnist(True, device), mnist(False, device)
    if quick:
        digits = Digits(digits.images[::10], digits.labels[::10], digits.source)
    print(
        f"{platform.system()}, {torch.get_num_threads()} threads, {device}, torch "
        f"{torch.__version__}\n"
    )

    tutorial, helped = Tutorial(digits), Tutorial(digits, workers=2)
    loops = {
        "the tutorial's loop": tutorial.epoch,
        "the same, 2 workers": helped.epoch,
        "ours": ours(digits),
        "matrix products": products(digits),
        "matrix products, precision medium": medium(products(digits)),
    }
    if knows_bfloat16(device):
        loops["ours, bfloat16"] = ours(digits, HALF)
    if device.type == "cuda":
        loops["ours, graph"] = ours(digits, graph=True)
        loops["ours, graph, bfloat16"] = ours(digits, HALF, graph=True)
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(2 if quick else 5):
        for name, work in loops.items():
            taken[name].append(seconds(work))
    base = statistics.median(taken["ours"])
    print("| one epoch of the plain VAE | seconds | relative to ours |\n|---|---|---|")
    for name, runs in taken.items():
        print(f"| {name} | {statistics.median(runs):.2f} | {statistics.median(runs) / base:.2f} |")
    if not quick:
        to_quality(digits, fixed_binarization(test.images).flatten(1))


def to_quality(digits: Digits, x: Tensor) -> None:
    """Print the seconds of training until the test −ELBO is at most GOAL."""
    rows: list[tuple[str, float, float, float]] = []
    tutorial, spent, epochs = Tutorial(digits), 0.0, 0
    reached = float("inf")
    while reached > GOAL and epochs < 20:
        spent, epochs = spent + seconds(tutorial.epoch), epochs + 1
        reached = -float(elbo(tutorial.model, x).elbo)
    rows.append(("the tutorial's loop", epochs, spent, reached))
    for seed in range(SEEDS):
        models = []

        def train_one(seed: int = seed, models: list[VAE] = models) -> None:
            models.append(train(FASTER, digits, seed, quiet=True)[0])

        spent = seconds(train_one)
        reached = -float(elbo(models[0], x).elbo)
        rows.append((f"ours, seed {seed}", FASTER.epochs, spent, reached))
    print(f"\n| to a test −ELBO of {GOAL} | epochs | seconds | −ELBO reached |\n|---|---|---|---|")
    for name, n, s, bound in rows:
        print(f"| {name} | {n:g} | {s:.1f} | {bound:.2f} |")
    missed = [name for name, _, _, bound in rows if bound > GOAL]
    if missed:
        print(f"\nNot reached by {', '.join(missed)}.")
        return
    slowest = max(s for _, _, s, _ in rows[1:])
    ratio = rows[0][2] / slowest
    print(f"\nOurs reaches this quality {ratio:.1f} times as fast, with its slowest seed.")


if __name__ == "__main__":
    main()
