"""Figures and tables for the chapter "How good is a VAE?",
with one function per figure or table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from course_lib import plots
from course_lib.models.vae import reparameterize

# The contents of weights/quality.json: the measurements of each training run.
Quality = Mapping[str, Mapping[str, Any]]

EVERYTHING = "30 epochs, everything"
INGREDIENTS = {  # the name in quality.json: the name in the figure
    "two layers of 500 (one of 400)": "two layers of 500 in place of one of 400",
    "KL warm-up": "the slow start of the KL",
    "SiLU (ReLU)": "the smooth activation",
    "bias at the mean image": "the mean image as the start",
    "cosine decay (constant rate)": "the falling learning rate",
    "batch 256, rate 2e-3 (128, 1e-3)": "the larger batch and rate",
    "z of 32 (20)": "32 dimensions in place of 20",
}


def bound_and_integral(nlls: Mapping[int, Tensor], exact: Tensor) -> None:
    """Plot the mean bound on the NLL against the number of draws,
    with a line at the mean of the exact NLLs.

    nlls: maps the number of draws to the bounds, of shape (T,). exact: shape (T,).
    """
    _against_integral(
        nlls, exact, "draws of $z$ from $q(z|x)$, $k$", "bound with $k$ draws", plots.BOUND
    )


def mixture_and_integral(nlls: Mapping[int, Tensor], exact: Tensor) -> None:
    """Plot the mean NLL under a mixture against its number of components,
    with a line at the mean of the exact NLLs.

    nlls: maps the number of components to the NLLs, of shape (T,). exact: shape (T,).
    """
    label = "mixture of $K$ components"
    _against_integral(
        nlls, exact, "components drawn from the prior, $K$", label, plots.COMPONENTS[3]
    )


def _against_integral(
    nlls: Mapping[int, Tensor], exact: Tensor, xlabel: str, label: str, colour: str
) -> None:
    _, ax = plt.subplots(figsize=(7.5, 3.2))
    sizes = list(nlls)
    means = [float(values.mean()) for values in nlls.values()]
    ax.semilogx(sizes, means, "o-", color=colour, lw=2, label=label)
    ax.axhline(float(exact.mean()), color=plots.MODEL, ls="--", lw=2, label="exact integral")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel="NLL, nats per image")
    ax.legend()
    plt.show()


def image_by_image(a: Tensor, b: Tensor, name_a: str, name_b: str) -> None:
    """Plot the NLL of each image under one network, `b`, against its NLL under another, `a`.

    a, b: shape (T,).
    """
    _, ax = plt.subplots(figsize=(4.4, 4.2))
    ax.scatter(a, b, s=10, color=plots.MODEL, alpha=0.5, linewidths=0)
    ends = [float(torch.minimum(a, b).min()), float(torch.maximum(a, b).max())]
    ax.plot(ends, ends, color=plots.PRIOR, lw=1.5, ls="--", label="equal")
    ax.set(xlabel=f"NLL under {name_a}, nats", ylabel=f"NLL under {name_b}, nats", aspect="equal")
    ax.legend()
    plt.show()


def protocols(as_trained: Mapping[str, float], on_drawn: Mapping[str, float]) -> None:
    """Draw two bars for each kind of training pixel: the loss on pixels of that kind
    and the loss on randomly drawn pixels.
    """
    _, ax = plt.subplots(figsize=(7.5, 3.4))
    places = torch.arange(len(as_trained)).double()
    for shift, values, colour, hatch, label in (
        (-0.2, as_trained, plots.Q, "", "measured on its own pixels"),
        (0.2, on_drawn, plots.MODEL, "//", "measured on drawn pixels"),
    ):
        heights = [values[name] for name in as_trained]
        bars = ax.bar(
            (places + shift).tolist(), heights, 0.38, color=colour, hatch=hatch, edgecolor="white"
        )
        bars.set_label(label)
        ax.bar_label(bars, fmt="%.1f", padding=2)
    ax.set_xticks(places.tolist(), [f"trained on {name}" for name in as_trained])
    ax.set(
        ylabel="loss, nats per image",  # of grey pixels, not a bound
        ylim=(0, 1.3 * max(*as_trained.values(), *on_drawn.values())),
    )
    ax.legend(ncols=2, loc="upper center")
    plt.show()


def beside_a_paper(quality: Quality, best: Mapping[str, Any]) -> str:
    """Return a Markdown table that compares the course's models on MNIST
    with those of Burda et al. 2016.
    """
    plain = _average(quality, "plain, seed {}")
    larger = _average(quality, "four minutes, seed {}")
    rows = [("plain VAE of the previous chapter, 784-400-20", 20, *plain)]
    rows.append(("two layers of 500, 32 dimensions", 80, *larger))
    elbo, nll = best["test_nll"]["1"][0], best["test_nll"]["5000"][0]
    shipped = "shipped model: the same, with a pixel-by-pixel decoder"
    rows.append((shipped, best["epochs"], f"{elbo:.2f}", f"{nll:.2f}"))
    rows.append(("Burda et al. 2016: VAE, two layers of 200, 50 dimensions", 3_280, "", "86.76"))
    rows.append(("Burda et al. 2016: the same, trained with the k = 50 bound", 3_280, "", "84.78"))
    table = "| MNIST, all 10,000 test digits | epochs | $-L_b$ | NLL, k = 5,000 |\n"
    table += "|---|---|---|---|\n"
    for name, epochs, minus_elbo, nll in rows:
        table += f"| {name} | {epochs:,} | {minus_elbo} | {nll} |\n"
    return table


def _average(quality: Quality, name: str) -> tuple[str, str]:
    """Format −L_b and the NLL for k = 5,000, as means over three seeds with standard deviations.

    The NLL is "" if it is missing for any seed.
    """
    rows = [quality[name.format(seed)] for seed in range(3)]
    found = [torch.tensor([row["minus_elbo"][0] for row in rows])]
    if all("nll" in row for row in rows):
        found.append(torch.tensor([row["nll"]["5000"][0] for row in rows]))
    shown = [f"{values.mean():.2f} (± {values.std():.2f}, 3 seeds)" for values in found]
    return shown[0], shown[1] if len(shown) > 1 else ""


def ingredients(quality: Quality) -> dict[str, float]:
    """Plot the increase in NLL (k = 100), in nats, when each ingredient is removed,
    and return these numbers as a dict keyed by ingredient.
    """
    whole = quality[EVERYTHING]["nll"]["100"][0]
    lost = {}
    for name, shown in INGREDIENTS.items():
        lost[shown] = quality[f"30 epochs, without {name}"]["nll"]["100"][0] - whole
    order = sorted(lost, key=lambda shown: lost[shown])
    _, ax = plt.subplots(figsize=(7.5, 3.4))
    bars = ax.barh(order, [lost[shown] for shown in order], color=plots.MODEL)
    ax.bar_label(bars, [f"{lost[shown]:+.1f}".replace("-", "−") for shown in order], padding=3)
    ax.axvline(0, color=plots.DATA, lw=1)
    # room for the label of a bar that points to the left
    ax.set(xlabel="nats of NLL lost without the ingredient", xlim=(-1.0, 1.15 * max(lost.values())))
    plt.show()
    return lost


def seeds(nlls: Mapping[str, Tensor]) -> None:
    """Plot the exact NLL for each seed, with one column of points per prior and a bar at each mean.

    nlls: maps each prior to its NLLs, of shape (S,).
    """
    _, ax = plt.subplots(figsize=(5, 3.4))
    columns = zip(nlls.values(), (plots.MODEL, plots.Q), strict=False)
    for place, (values, colour) in enumerate(columns):
        ax.plot([place] * len(values), values.tolist(), "o", ms=8, color=colour, alpha=0.8)
        ax.hlines(float(values.mean()), place - 0.2, place + 0.2, color=colour, lw=3)
    ax.set_xticks(range(len(nlls)), [f"{name} prior" for name in nlls])
    ax.set(ylabel="exact NLL, nats per image", xlim=(-0.6, len(nlls) - 0.4))
    plt.show()


def priors(draws: Mapping[str, Tensor]) -> None:
    """Plot draws from each prior in a panel of its own, with the prior's name as the title.

    All panels have the same axis limits. draws: maps each prior to draws of shape (N, 2).
    """
    _, axes = plt.subplots(
        1, len(draws), figsize=(4 * len(draws), 4), squeeze=False, sharex=True, sharey=True
    )
    for ax, (name, z) in zip(axes[0], draws.items(), strict=True):
        ax.scatter(*z.T, s=4, color=plots.PRIOR, alpha=0.4, linewidths=0)
        ax.set(xlabel="$z_1$", ylabel="$z_2$", title=name, aspect="equal")
    plt.show()


@torch.no_grad()
def codes_over_prior(models: Mapping[str, Any], x: Tensor, y: Tensor) -> None:
    """Plot each model's two-dimensional codes for x on top of samples from its prior.

    x: images of shape (T, D).
    """
    _, axes = plt.subplots(1, len(models), figsize=(5 * len(models), 4.8), squeeze=False)
    for ax, (name, model) in zip(axes[0], models.items(), strict=True):
        cloud = model.prior.sample((4_000,))  # (4000, 2)
        ax.scatter(*cloud.T, s=4, color=plots.PRIOR, alpha=0.25, linewidths=0)
        z = reparameterize(*model.encode(x))  # (T, 2)
        plots.latent_plane(z, y, ax, f"{name} prior")
    plt.show()


def sheets(images: Mapping[str, Tensor], shape: Sequence[int], columns: int = 10) -> None:
    """Draw sheets of images side by side, each with its name above it.

    images: maps each name to images of shape (N, D).
    """
    count = len(images)
    rows = max(-(-len(sheet) // columns) for sheet in images.values())
    size = (0.5 * columns * count, 0.5 * rows * shape[-2] / shape[-1] + 0.5)
    _, axes = plt.subplots(1, count, figsize=size, squeeze=False)
    for ax, (name, sheet) in zip(axes[0], images.items(), strict=True):
        plots.digits(sheet, columns=columns, ax=ax, title=name, shape=shape)
    plt.show()
