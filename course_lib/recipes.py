"""How the models of the course's tables and files are trained: `python -m course_lib.recipes best`.

A recipe is a model and every number of its training. All of them go through the one loop, `training.Run`.
Several processes share a VAE's training: `torchrun --nproc-per-node=2 -m course_lib.recipes best`.
The figures of a VAE of black and white pixels are taken on the one fixed binarization of the test digits,
those of one with a Gaussian likelihood on the grey images.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.data import Digits, as_digits, fixed_binarization, mnist
from course_lib.device import knows_bfloat16
from course_lib.evaluation.classifier import Classifier, train_classifier
from course_lib.evaluation.likelihood import NLL, nll
from course_lib.evaluation.samples import judge
from course_lib.files import check_writable, reason, usable
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.probability.likelihoods import observed_pixels
from course_lib.training import Run
from course_lib.training.checkpoints import load_model, save_model
from course_lib.training.distributed import SharedFile, shared
from course_lib.training.gan import GANRecipe
from course_lib.training.processes import count, first, group, is_first, is_shared, own_device
from course_lib.training.vae import Recipe, likelihood_name

WEIGHTS = Path(__file__).with_name("weights")  # what is shipped: networks, and
QUALITY = WEIGHTS / "quality.json"  # the figures that benchmarks/quality.py measured
GAN_QUALITY = WEIGHTS / "gan_quality.json"  # and those of benchmarks/gan.py


WIDE = {"latent": 32, "hidden": [500, 500], "activation": "silu"}
# D sees more with a hidden layer; with one of its own, G collapsed. The kinds halved the Fréchet distance
SMALL_GAN = {"latent": 32, "kinds": 20, "hidden": [32, 64], "discriminator": [32, 64, 256]}
PLAYERS: dict[str, Any] = {"lr_generator": 4e-3, "lr_discriminator": 2e-3, "r1": 0.05, "r1_every": 8}
RECIPES: dict[str, Recipe | GANRecipe] = {
    # the network of the usual tutorials, and of Kingma & Welling 2014 but for its activation
    "plain": Recipe(),
    # what two cores make in four minutes; benchmarks/quality.py takes each ingredient away once
    "four_minutes": Recipe(
        config=WIDE, epochs=80, batch_size=256, lr=2e-3, cosine=True, warmup=0.1, mean_image=True
    ),
    # pixels that also hear from those before them: the shipped vae.safetensors
    "best": Recipe(
        AutoregressiveVAE,
        WIDE | {"before": 504},
        epochs=200,
        batch_size=256,
        lr=2e-3,
        cosine=True,
        warmup=0.1,
        mean_image=True,
        autocast=True,
    ),
    # beta above 1 pulls the codes of every label towards the one prior: a worse likelihood, but better
    # samples and less of the label in z (beta=1: 89 % read as asked, probe 18 %; beta=3: 96 %, 13 %)
    "conditional": Recipe(
        ConditionalVAE,
        WIDE | {"latent": 16},
        epochs=30,
        batch_size=256,
        lr=2e-3,
        cosine=True,
        warmup=0.1,
        beta=3.0,
        mean_image=True,
        autocast=True,
    ),
    # recognizable digits on two cores; rates and γ were picked in short runs, on training digits held out
    "gan_four_minutes": GANRecipe(SMALL_GAN, epochs=6, **PLAYERS),
    # the same players for longer, and in half the bits: the shipped gan.safetensors
    "gan": GANRecipe(SMALL_GAN, epochs=16, ema_decay=0.9995, autocast=True, **PLAYERS),
}


def train(
    recipe: Recipe | GANRecipe,
    digits: Any,
    seed: int = 0,
    epochs: float | None = None,
    checkpoint: str | Path | None = None,
    *,
    weights: Tensor | None = None,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    quiet: bool = False,
    **options: Any,
) -> tuple[Any, Run]:
    """The recipe's model trained on the digits, in eval mode, and its Run.

    digits: Digits, or any map-style data set, such as torchvision's ImageFolder(root), which is read into
    Digits first. epochs: in place of the recipe's. checkpoint: a file to resume from. weights: (N,), how
    often each row is drawn, as for `Run`. evaluate(model) returns a dict of numbers. options: those of
    `Run.train`; `autocast` overrides the recipe's. On a GPU, kernels make the batches and the loss where they
    can, and a CUDA graph the steps; which of them do is printed, unless quiet.
    In a `processes.group` all processes call it alike and get the same model, and process 0 alone evaluates,
    draws and writes. Interrupted, it returns the model so far: then `run.finished` is False.
    Raises ValueError for anything but a recipe, and for one that the group's processes cannot share.
    """
    digits = as_digits(digits)
    check_recipe(recipe)
    if is_shared():
        options["graph"] = False  # it would have to record the messages between the processes as well
    if not is_first():
        evaluate = options["picture"] = None
    torch.manual_seed(seed)
    model = recipe.build(digits)
    images = digits.images.flatten(1).contiguous()  # (N, D), bytes
    device = images.device
    batch, loss, words = ways(recipe, model, device)
    if not quiet:
        print(words)
    run = Run(
        (images, digits.labels) if getattr(model.config, "labels", 0) else (images,),
        batch_size=recipe.rows,
        seed=seed,
        weights=weights,
        batch=batch,
        checkpoint=checkpoint,
        hyperparameters=recipe.hyperparameters(model),
        run_file=SharedFile,
        **recipe.parts(model, capturable=device.type == "cuda" and options.get("graph") is not False),
    )
    options.setdefault("autocast", recipe.autocast and knows_bfloat16(device))
    quick = quick_products(device.type == "cpu" and recipe.rounds_products(model))
    with quick, shared(recipe.step(run, loss), run) as step:
        run.train(
            step,
            recipe.epochs if epochs is None else epochs,
            evaluate=partial(evaluate, model) if evaluate else None,
            variant=recipe.variant(run),
            quiet=quiet,
            **options,
        )
    return model.eval(), run


def check_recipe(recipe: Any) -> None:
    """Raise ValueError unless this is a recipe that the processes at hand can train."""
    if not isinstance(recipe, Recipe | GANRecipe):
        raise ValueError(f"train takes a recipe, not {type(recipe).__name__}.")
    against = reason_against(recipe)
    if against:
        raise ValueError(against)


def reason_against(recipe: Any) -> str:
    """Why the processes of a group cannot share this recipe's training; "" if they can, or for one alone."""
    if not is_shared():
        return ""
    if not isinstance(recipe, Recipe):
        return (
            "A GAN and the classifier normalize over all rows of a batch, and a process that shares it sees "
            "only its own: train them in one process, without torchrun."
        )
    if recipe.rows < count():
        return f"{count()} processes cannot share a batch of {recipe.rows} rows: start no more than these."
    return ""


def ways(recipe: Recipe | GANRecipe, model: Any, device: torch.device) -> tuple[Any, Any, str]:
    """What makes the batches, what computes the loss (None: the recipe's own way), and both in words."""
    batch = recipe.batch(model)
    loss = getattr(model, "loss", None)
    if is_shared():  # a kernel's noise is that of a whole batch: all processes would draw the same
        return batch, loss, f"Batches and loss: plain PyTorch functions, on {device.type}, in each process."
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return batch, loss, f"Batches and loss: plain PyTorch functions, on {device.type}."
    from course_lib.kernels.training import fused  # only here, because it loads Triton

    fused_batch, fused_loss, words = fused(model, device)
    return fused_batch or batch, fused_loss or loss, words


@contextmanager
def quick_products(on: bool) -> Iterator[None]:
    """oneDNN's products instead of MKL's: on some of AMD's processors twice as fast.

    A CPU that knows bfloat16 may round the factors to it; their products are added up in float32.
    """
    before = torch.get_float32_matmul_precision()
    if on:
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def likelihood_of(model: Any, x: Tensor, k: int, y: Tensor | None = None) -> NLL:
    """`evaluation.nll` with 1, 50 and k draws, its matrix products in bfloat16 on a device that knows it.

    Half the time on such a CPU; on 100 digits the figures moved by 0.003 nats at most. A Gaussian's stay in
    float32, because it divides what was rounded by its variance.
    """
    rows = 250 if isinstance(model, AutoregressiveVAE) else 1000  # what a CPU's cache takes
    half = knows_bfloat16(x.device) and likelihood_name(model) != "gaussian"
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        return nll(model, x, (1, 50, k), y=y, rows_at_once=rows)


def command_line() -> argparse.Namespace:
    """What was asked for, with `out` a file that can be written. Ends the program if it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="Train a model, save it."
    )
    parser.add_argument("recipe", choices=[*RECIPES, "classifier"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, help="other than the recipe's")
    parser.add_argument("--out", type=Path, help="the file to write (default: RECIPE.safetensors, here)")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--k", type=int, default=5000, help="draws for each test digit's likelihood; 0: none")
    asked = parser.parse_args()
    whole = asked.epochs is None or (asked.epochs >= 1 and asked.epochs % 1 == 0)
    if asked.recipe == "classifier" and not whole:
        parser.error(f"the classifier takes a whole number of epochs, at least 1, not {asked.epochs:g}.")
    against = reason_against(RECIPES.get(asked.recipe))
    if against:
        parser.error(against)
    try:
        own_device(asked.device)
        out = usable(asked.out or f"{asked.recipe}.safetensors")
        check_writable(out)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{asked.out or 'this folder'} cannot be written ({reason(error)}): pass another --out.")
    asked.out = out
    return asked


def main() -> None:
    """The command line: one recipe, from MNIST to a file that says how it was made and what it reaches."""
    with group():  # of the processes that torchrun has started, if it has
        asked = first(command_line)
        speaks = is_first()
        device = own_device(asked.device)
        digits, test = (half.to(device) for half in first(lambda: (mnist(train=True), mnist(train=False))))
        metadata: dict[str, Any] = {"recipe": asked.recipe, "seed": asked.seed, "torch": torch.__version__}
        if asked.recipe == "classifier":
            make_classifier(asked, digits, test, metadata)
            return
        recipe, going = RECIPES[asked.recipe], asked.out.with_suffix(".run.safetensors")
        metadata["epochs"] = recipe.epochs if asked.epochs is None else asked.epochs
        model, run = train(recipe, digits, asked.seed, asked.epochs, going)
    if not speaks:
        return
    if not run.finished:
        sys.exit(f"{asked.out} is not written yet: the same command continues from {run.checkpoint}.")
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    if run.checkpoint:  # this run's own file, which has another name if a second run took the first
        run.checkpoint.unlink(missing_ok=True)  # there is none of no epochs
    saved: Any = load_model(asked.out, device)  # what is measured is what was saved
    if isinstance(recipe, GANRecipe):
        torch.manual_seed(asked.seed)
        images, real = saved.generate(len(test)), test.pixels()
        metadata["test"] = judge(images, real, Classifier.load(device))
    elif asked.k:
        y = test.labels if recipe.model is ConditionalVAE else None
        x = observed_pixels(test.images, likelihood_name(saved), fixed=True).flatten(1)  # (N, D)
        found = likelihood_of(saved, x, asked.k, y)
        metadata["test_nll"] = {str(k): list(found[k]) for k in found.ks}  # mean, standard error
    save_model(saved, asked.out, dtype=torch.float16, **metadata)
    print(f"{asked.out}: {metadata}")


def make_classifier(
    asked: argparse.Namespace, digits: Digits, test: Digits, metadata: dict[str, Any]
) -> None:
    """The classifier into the file `asked.out`, with the metadata and its accuracies on the test digits."""
    metadata["epochs"] = 12 if asked.epochs is None else int(asked.epochs)
    half = knows_bfloat16(digits.images.device)
    model = train_classifier(digits, seed=asked.seed, epochs=metadata["epochs"], bf16=half)
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    metadata["test_accuracy"] = model.accuracy(test.images, test.labels)
    metadata["test_accuracy_binarized"] = model.accuracy(fixed_binarization(test.images), test.labels)
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    print(f"{asked.out}: {metadata}")


if __name__ == "__main__":
    main()
