"""Compare the course's GANs on MNIST with its VAEs and with real digits, in quality and speed.

    python benchmarks/gan.py            print the stored figures
    python benchmarks/gan.py --make     measure missing figures (half an hour on one core)
    python benchmarks/gan.py --quick    print the pace of both loops on a twentieth of the digits,
                                        and store nothing
    python benchmarks/gan.py --closely  print our scores after every quarter of an epoch, and the
                                        pace of both loops (a quarter of an hour), and store nothing

Measuring can be stopped at any time: each figure is stored as soon as it has been measured.

Quality: 10,000 samples are compared with the 10,000 test digits, using the course's classifier, for
three seeds of the samples. Black-and-white images are compared with the fixed binarization of the
test digits, and grey images with the grey digits. Speed: the number of epochs until 5,000 samples
have a classifier score of 8.5, checked after each epoch, times the seconds per epoch, measured
alternately for the tutorial's loop and for ours. Both train the same networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from course_lib.data import Digits, fixed_binarization, mnist
from course_lib.evaluation.classifier import Classifier
from course_lib.evaluation.samples import classifier_score, judge, taken_for_real
from course_lib.files import write_whole
from course_lib.models.gan import GAN
from course_lib.recipes import GAN_QUALITY, RECIPES, WEIGHTS, train
from course_lib.training.checkpoints import load_model

GOAL, PATIENCE = 8.5, 16  # a classifier score; the largest number of epochs to reach it
SEEDS = range(3)


def chimeras(digits: Digits) -> Tensor:
    """Join the upper half of each digit to the lower half of another, so that all strokes
    are real.
    """
    x = digits.pixels().reshape(-1, 28, 28)
    return torch.cat([x[:, :14], x.roll(1, 0)[:, 14:]], 1).flatten(1)


def sources(digits: Digits, test: Digits) -> dict[str, tuple[Callable[[int], Tensor], bool]]:
    """Return the sources of images, keyed by their names.

    Each source consists of a function that returns n images, and a flag that is true if these
    images are binary.
    """

    def some(images: Tensor) -> Callable[[int], Tensor]:
        return lambda n: images[torch.randperm(len(images))[:n]]

    def of(file: str) -> Callable[[int], Tensor]:
        model: Any = load_model(WEIGHTS / file)
        return lambda n: torch.cat([model.generate(500) for _ in range(n // 500)])

    def labelled(n: int) -> Tensor:
        model: Any = load_model(WEIGHTS / "conditional_vae.safetensors")
        return model.generate(torch.arange(10).repeat(n // 10))

    @cache
    def plain() -> Any:
        return train(RECIPES["plain"], digits, 0, quiet=True)[0]

    @cache
    def quick() -> GAN:
        return train(RECIPES["gan_four_minutes"], digits, 0, quiet=True)[0]

    return {
        "training digits": (some(digits.pixels()), False),
        "training digits, binarized": (some(fixed_binarization(digits.images).flatten(1)), True),
        "halves of two digits": (some(chimeras(digits)), False),
        "GAN, shipped": (of("gan.safetensors"), False),
        "GAN, four minutes": (lambda n: quick().generate(n), False),
        "VAE, shipped: pixels drawn": (of("vae.safetensors"), True),
        "plain VAE: means": (lambda n: plain().generate(n), False),
        "plain VAE: pixels drawn": (lambda n: torch.bernoulli(plain().generate(n)), True),
        "conditional VAE: means": (labelled, False),
    }


def quality(
    generate: Callable[[int], Tensor], real: Tensor, referee: Classifier
) -> dict[str, list[float]]:
    """Return the value of each measure for each seed."""
    rows = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        images = generate(len(real))
        row = judge(images, real, referee)
        rows.append(row | {"taken for real": taken_for_real(real, images, seed=seed)})
    return {name: [row[name] for row in rows] for name in rows[0]}


class Tutorial:
    """The training loop of the usual DCGAN tutorials.

    Their Adam settings and batch size are kept, as are their labels of ones and zeros. Their
    initialization, N(0, 0.02²), is left out in their favour: with it, this network draws nothing
    for five epochs.
    """

    def __init__(self, digits: Digits, config: dict[str, Any], seed: int) -> None:
        torch.manual_seed(seed)
        self.gan, self.criterion = GAN(**config), nn.BCEWithLogitsLoss()
        self.loader = DataLoader(TensorDataset(digits.pixels()), batch_size=128, shuffle=True)
        betas = (0.5, 0.999)
        self.of_d = torch.optim.Adam(self.gan.discriminator.parameters(), 2e-4, betas)
        self.of_g = torch.optim.Adam(self.gan.generator.parameters(), 2e-4, betas)

    def epoch(self) -> None:
        self.gan.train()
        for (x,) in self.loader:
            ones, zeros = torch.ones(len(x)), torch.zeros(len(x))
            self.of_d.zero_grad()
            fake = self.gan.images(self.gan.noise(len(x)))
            loss = self.criterion(self.gan.logit(x), ones) + self.criterion(
                self.gan.logit(fake.detach()), zeros
            )
            loss.backward()
            self.of_d.step()
            self.of_g.zero_grad()
            loss = self.criterion(self.gan.logit(fake), ones)
            loss.backward()
            self.of_g.step()

    def images(self, n: int) -> Tensor:
        self.gan.eval()
        with torch.no_grad():
            return self.gan.images(self.gan.noise(n))


def score_of(images: Tensor, referee: Classifier) -> float:
    with torch.no_grad():
        return classifier_score(torch.cat([referee(x) for x in images.split(1000)]))


def tutorials(digits: Digits, referee: Classifier, seed: int, epochs: int) -> list[float]:
    """Return the tutorial's score after each epoch, until the goal is reached."""
    loop, scores = Tutorial(digits, RECIPES["gan_four_minutes"].config, seed), [0.0]
    while scores[-1] < GOAL and len(scores) <= epochs:
        loop.epoch()
        scores.append(score_of(loop.images(5000), referee))
    return scores[1:]


def ours(
    digits: Digits, referee: Classifier, seed: int, epochs: int, every: float = 1
) -> list[float]:
    """Return the scores of the four-minute recipe, one for every `every` epochs of its schedule.

    All kinds are equally probable, because their weights are estimated only after training.
    """
    scores: list[float] = []

    def look(gan: GAN) -> dict[str, float]:
        scores.append(score_of(gan.generate(5000), referee))
        return {"score": scores[-1]}

    recipe = RECIPES["gan_four_minutes"]
    recipe = replace(recipe, epochs=min(recipe.epochs, epochs), weigh_kinds=False)
    train(recipe, digits, seed, evaluate=look, evaluate_every=every, quiet=True)
    return scores


LOOPS = {"ours": ours, "the tutorial's loop": tutorials}


def pace(digits: Digits, rounds: int = 3, part: float = 0.2) -> dict[str, list[float]]:
    """Measure the seconds per epoch on a part of the digits.

    The loops alternate, for a fair comparison.
    """
    # only epochs are timed; the weights of the kinds are estimated once, after the last epoch
    recipe = replace(RECIPES["gan_four_minutes"], weigh_kinds=False)
    some = round(part * len(digits))
    loop = Tutorial(digits.subset(slice(some)), recipe.config, 0)
    runs = {
        "ours": lambda: train(recipe, digits, 0, part, quiet=True),
        "the tutorial's loop": loop.epoch,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - begin) / part)
    return {name: each[1:] for name, each in seconds.items()}  # the first round warms up


def keep(name: str, row: dict[str, Any]) -> None:
    rows = (json.loads(GAN_QUALITY.read_text()) if GAN_QUALITY.exists() else {}) | {name: row}
    write_whole(GAN_QUALITY, f"{json.dumps(rows, indent=1)}\n".encode())


def show() -> None:
    rows = json.loads(GAN_QUALITY.read_text()) if GAN_QUALITY.exists() else {}
    tables = {name: row for name, row in rows.items() if "frechet" in row}
    if tables:
        columns = list(next(iter(tables.values())))
        print("| |", " | ".join(columns), "|\n|---|" + "---:|" * len(columns))
        for name, row in tables.items():
            spread = [(statistics.mean(row[c]), statistics.stdev(row[c])) for c in columns]
            cells = " | ".join(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in spread)
            print(f"| {name} | {cells} |")
    paces = rows.get("seconds an epoch", {})
    print(
        f"\n| to a classifier score of {GOAL} | epochs | last score | seconds per epoch | seconds |"
    )
    print("|---|---:|---:|---:|---:|")
    for name, row in rows.items():
        if "scores" in row:
            reached = next((i for i, score in enumerate(row["scores"], 1) if score >= GOAL), None)
            each = statistics.median(paces.get(name.split(", seed")[0], [float("nan")]))
            epochs = "not reached" if reached is None else f"{reached}"
            took = "" if reached is None else f"{reached * each:.0f}"
            print(f"| {name} | {epochs} | {row['scores'][-1]:.2f} | {each:.1f} | {took} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--make", nargs="*", metavar="NAME", help="measure these rows, or all missing rows"
    )
    parser.add_argument(
        "--quick", action="store_true", help="print the pace on a twentieth of the digits"
    )
    parser.add_argument(
        "--closely", action="store_true", help="score every quarter of an epoch, store nothing"
    )
    asked = parser.parse_args()
    digits, test, referee = mnist(True, quiet=True), mnist(False, quiet=True), Classifier.load()
    if asked.closely:
        print({name: statistics.median(each) for name, each in pace(digits).items()})
        for seed in SEEDS:
            print(seed, [f"{s:.2f}" for s in ours(digits, referee, seed, PATIENCE, every=0.25)])
        return
    if asked.quick:
        seconds = {name: each[0] for name, each in pace(digits, 1, part=0.05).items()}
        print("Seconds per epoch:", ", ".join(f"{name} {s:.0f}" for name, s in seconds.items()))
        return
    real = {False: test.pixels(), True: fixed_binarization(test.images).flatten(1)}
    there = json.loads(GAN_QUALITY.read_text()) if GAN_QUALITY.exists() else {}
    names = [*sources(digits, test)] if asked.make is not None else []
    jobs: dict[str, Callable[[], dict[str, Any]]] = {}
    for name, (generate, binary) in (sources(digits, test) if names else {}).items():
        jobs[name] = lambda g=generate, b=binary: quality(g, real[b], referee)
    jobs["seconds an epoch"] = lambda: pace(digits)
    for loop, scores in LOOPS.items():
        for seed in SEEDS:
            jobs[f"{loop}, seed {seed}"] = lambda f=scores, s=seed: {
                "scores": f(digits, referee, s, PATIENCE)
            }
    for name in (asked.make or jobs) if asked.make is not None else ():
        if asked.make or name not in there:
            keep(name, jobs[name]())
    show()


if __name__ == "__main__":
    main()
