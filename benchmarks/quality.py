"""Measure the VAEs of the course on MNIST, and the effect of each choice, for docs/measurements.md.

    python benchmarks/quality.py           print the stored figures
    python benchmarks/quality.py --make    measure missing figures (hours on two cores)

The models are trained on the 60,000 training digits, with pixels binarized anew at each step. The
figures are for the fixed binarization of all 10,000 test digits, with standard errors. Each figure
is stored as soon as it has been measured, so measuring can be stopped at any time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import Any

import torch

from course_lib.data import fixed_binarization, mnist
from course_lib.evaluation.likelihood import elbo
from course_lib.files import write_whole
from course_lib.recipes import QUALITY, RECIPES, WIDE, Recipe, likelihood_of, train

FOUR = RECIPES["four_minutes"]
# The comparisons use a third of the epochs, and bfloat16.
FAST = dataclasses.replace(FOUR, epochs=30, autocast=True)
WITHOUT = {
    "30 epochs, everything": FAST,
    "two layers of 500 (one of 400)": dataclasses.replace(FAST, config=WIDE | {"hidden": [400]}),
    "SiLU (ReLU)": dataclasses.replace(FAST, config=WIDE | {"activation": "relu"}),
    "z of 32 (20)": dataclasses.replace(FAST, config=WIDE | {"latent": 20}),
    "batch 256, rate 2e-3 (128, 1e-3)": dataclasses.replace(FAST, batch_size=128, lr=1e-3),
    "cosine decay (constant rate)": dataclasses.replace(FAST, cosine=False),
    "KL warm-up": dataclasses.replace(FAST, warmup=0.0),
    "bias at the mean image": dataclasses.replace(FAST, mean_image=False),
}
JOBS: dict[str, tuple[Recipe, int, int]] = {  # recipe, seed, number of importance samples k
    **{f"plain, seed {s}": (RECIPES["plain"], s, 0) for s in range(3)},
    **{f"four minutes, seed {s}": (FOUR, s, 5000) for s in range(3)},
    **{
        f"30 epochs, without {name}" if i else name: (r, 0, 100)
        for i, (name, r) in enumerate(WITHOUT.items())
    },
}


def measure(recipe: Recipe, seed: int, k: int) -> dict[str, Any]:
    """Train and measure a recipe. −ELBO and NLL are given as [mean, standard error]."""
    digits, test = mnist(True, quiet=True), mnist(False, quiet=True)
    x = fixed_binarization(test.images).flatten(1)
    begin = time.perf_counter()
    model, _ = train(recipe, digits, seed)
    row: dict[str, Any] = {"epochs": recipe.epochs, "seconds": round(time.perf_counter() - begin)}
    bound = elbo(model, x, 100)
    row |= {"threads": torch.get_num_threads(), "minus_elbo": [-float(bound.elbo), float(bound.se)]}
    if k:
        found = likelihood_of(model, x, k)
        row["nll"] = {str(k): list(found[k]) for k in found.ks}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--make", nargs="*", metavar="NAME", help="measure these rows, or all missing rows"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only print the stored figures, as without arguments"
    )
    asked = parser.parse_args().make
    rows = json.loads(QUALITY.read_text()) if QUALITY.exists() else {}
    for name in asked if asked else JOBS if asked is not None else ():
        if asked or name not in rows:
            row = measure(*JOBS[name])
            rows = (json.loads(QUALITY.read_text()) if QUALITY.exists() else {}) | {name: row}
            rows = {name: rows[name] for name in JOBS if name in rows}  # in the order of the tables
            write_whole(QUALITY, f"{json.dumps(rows, indent=1)}\n".encode())
    print("| | epochs | seconds (threads) | −ELBO | NLL (k) |\n|---|---|---|---|---|")
    for name, row in rows.items():
        seconds = f"{row['seconds']} ({row['threads']})"
        k, best = list(row.get("nll", {"": None}).items())[-1]
        likelihood = f"{best[0]:.2f} ± {best[1]:.2f} ({k})" if best else ""
        bound = f"{row['minus_elbo'][0]:.2f}"
        print(f"| {name} | {row['epochs']:g} | {seconds} | {bound} | {likelihood} |")


if __name__ == "__main__":
    main()
