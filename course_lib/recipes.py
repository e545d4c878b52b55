"""Train the course's own models, for example with `python -m course_lib.recipes best`.

A recipe specifies a model and all of its training settings. A single loop, `training.Run`, trains
the models of all recipes. VAEs that model black-and-white pixels are evaluated on the fixed
binarization of the test digits; VAEs with a Gaussian likelihood are evaluated on the grey test
digits. Several processes can share the training of a VAE, for example with
`torchrun --nproc-per-node=2 -m course_lib.recipes best`.
"""

import argparse
import math
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
from course_lib.training.checkpoints import load_model, save_model
from course_lib.training.distributed import SharedFile, shared
from course_lib.training.gan import GANRecipe
from course_lib.training.loop import Run, is_saved
from course_lib.training.processes import count, first, group, is_first, is_shared, own_device
from course_lib.training.vae import Recipe, likelihood_name

WEIGHTS = Path(__file__).with_name("weights")  # the shipped networks and their measured quality
QUALITY = WEIGHTS / "quality.json"  # measured by benchmarks/quality.py
GAN_QUALITY = WEIGHTS / "gan_quality.json"  # measured by benchmarks/gan.py


WIDE = {"latent": 32, "hidden": [500, 500], "activation": "silu"}
# A fully connected hidden layer improved D, but in G it led to collapse. Without `kinds`, the
# Fréchet distance was several times as large. With SiLU instead of ReLU, the classifier score after
# one epoch was 8.9 instead of 8.3 (means over seeds).
SMALL_GAN = {
    "latent": 32,
    "kinds": 20,
    "hidden": [32, 64],
    "discriminator": [32, 64, 256],
    "activation": "silu",
}
PLAYERS: dict[str, Any] = {
    "lr_generator": 4e-3,
    "lr_discriminator": 2e-3,
    "r1": 0.05,
    "r1_every": 8,
    "weigh_kinds": True,
}
RECIPES: dict[str, Recipe | GANRecipe] = {
    # the network of most tutorials; Kingma & Welling (2014) used another activation and width
    "plain": Recipe(),
    # trains in three to six minutes on two cores; benchmarks/quality.py removes one ingredient at
    # a time
    "four_minutes": Recipe(
        config=WIDE, epochs=80, batch_size=256, lr=2e-3, cosine=True, warmup=0.1, mean_image=True
    ),
    # each pixel also depends on those before it; this recipe made the shipped vae.safetensors
    "best": Recipe(
        AutoregressiveVAE,
        WIDE | {"before": 504, "first": 252, "told": 48},
        epochs=300,
        batch_size=256,
        lr=2e-3,
        cosine=True,
        warmup=0.1,
        mean_image=True,
        autocast=True,
    ),
    # With beta above 1, the codes of every label are closer to the common prior. The likelihood is
    # worse, but more samples show the requested label (96 % for beta=3, 89 % for beta=1), and a
    # probe finds less of the label in z (accuracy 13 % instead of 18 %).
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
    # recognizable digits on two cores; the rates and γ were chosen in short runs
    # on held-out training digits
    "gan_four_minutes": GANRecipe(SMALL_GAN, epochs=4, **PLAYERS),
    # the same players, trained longer; with seed 1, this recipe made the shipped gan.safetensors
    "gan": GANRecipe(SMALL_GAN, epochs=8, ema_decay=0.9995, **PLAYERS),
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
    """Train the recipe's model on the digits. Return the model in eval mode, along with its Run.

    digits: Digits or a map-style data set, such as torchvision's ImageFolder(root), which is
    converted to Digits. epochs: overrides the recipe's number of epochs. checkpoint: a file to save
    to and resume from. weights (N,): the relative probability of drawing each row. evaluate: a
    function that maps the model to a dict of numbers. options: further arguments of `Run.train`;
    `autocast` overrides the recipe's value.
    On a CUDA device, single-process training prepares the batches and computes the loss with Triton
    kernels where possible, and replays the steps as a CUDA graph. Unless `quiet` is True, a message
    says which of these methods are used. In a `processes.group`, all processes must make the same
    call, and all return the same model; process 0 evaluates it, draws pictures and writes files.
    If training is interrupted, the model trained so far is returned, and `run.finished` is False.
    After the last step, `recipe.finish` completes the model: with `weigh_kinds`, it estimates the
    weights of a GAN's kinds. After any further `run.train`, call
    `recipe.finish(model, digits, weights)` again, with Digits. Raises KeyboardInterrupt if it is
    interrupted and the trained model is in `run.checkpoint`; otherwise, `_finish` prints a message.
    Raises ValueError if `recipe` is not a recipe, or if the processes cannot share its training.
    """
    digits = as_digits(digits)
    check_recipe(recipe)
    if is_shared():
        options["graph"] = False  # a graph would have to record the communication, too
    if not is_first():
        evaluate = options["picture"] = None
    torch.manual_seed(seed)
    model = recipe.build(digits)
    device = digits.images.device
    batch, loss, words = ways(recipe, model, device)
    if not quiet:
        print(words)
    capturable = device.type == "cuda" and options.get("graph") is not False
    settings = {"seed": seed, "weights": weights, "batch": batch, "checkpoint": checkpoint}
    run = _new_run(recipe, model, digits, capturable, **settings)
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
    model.eval()
    if run.finished and run.step:
        _finish(recipe, model, digits, run, weights)
    return model, run


def _finish(
    recipe: Recipe | GANRecipe, model: Any, digits: Digits, run: Run, weights: Tensor | None
) -> None:
    """Do what the recipe does after the last step.

    Raises KeyboardInterrupt if the user interrupts it and the trained model is in the run's
    checkpoint, so that a call with this file can continue from there. Otherwise, a message is
    printed instead, so that the trained model is not lost; `run.finished` is True all the same.
    """
    try:
        recipe.finish(model, digits, weights)
    except KeyboardInterrupt:
        if is_saved(run):
            raise
        print(
            "Interrupted after the last training step. The model is trained, but recipe.finish did "
            "not complete. Call recipe.finish(model, digits, weights), with the digits, as Digits, "
            "and the weights used in training."
        )


def _new_run(
    recipe: Recipe | GANRecipe, model: Any, digits: Digits, capturable: bool, **settings: Any
) -> Run:
    """Return a run that trains the recipe's model on the images
    and, if the model takes them, the labels.
    """
    images = digits.images.flatten(1).contiguous()  # (N, D), bytes
    return Run(
        (images, digits.labels) if getattr(model.config, "labels", 0) else (images,),
        batch_size=recipe.rows,
        hyperparameters=recipe.hyperparameters(model),
        run_file=SharedFile,
        **settings,
        **recipe.parts(model, capturable=capturable),
    )


def check_recipe(recipe: Any) -> None:
    """Raise ValueError if `recipe` is not a recipe,
    or if the running processes cannot train its model.
    """
    if not isinstance(recipe, Recipe | GANRecipe):
        raise ValueError(
            f"train expects a recipe, such as RECIPES['plain'], but got {type(recipe).__name__}."
        )
    against = reason_against(recipe)
    if against:
        raise ValueError(against)


def reason_against(recipe: Any) -> str:
    """Return the reason why the running processes cannot train the recipe's model together,
    or "" if they can.
    """
    if not is_shared():
        return ""
    if not isinstance(recipe, Recipe):
        return (
            "GANs and the classifier normalize over all rows of a batch, so several processes "
            "cannot share their training: use a single process, without torchrun."
        )
    if recipe.rows < count():
        return (
            f"{count()} processes cannot share a batch of {recipe.rows} rows: "
            "start fewer processes."
        )
    return ""


def ways(recipe: Recipe | GANRecipe, model: Any, device: torch.device) -> tuple[Any, Any, str]:
    """Return the functions that make batches and compute the loss, and a description of the two.

    For a GAN, both functions are None, because its recipe needs neither.
    """
    batch = recipe.batch(model)
    loss = getattr(model, "loss", None)
    if is_shared():
        # kernels draw noise for a whole batch, so all processes would draw the same noise
        words = f"Batches and loss: plain PyTorch functions, on {device.type}, in each process."
        return batch, loss, words
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return batch, loss, f"Batches and loss: plain PyTorch functions, on {device.type}."
    from course_lib.kernels.training import fused  # imported here because it loads Triton

    fused_batch, fused_loss, words = fused(model, device)
    return fused_batch or batch, fused_loss or loss, words


@contextmanager
def quick_products(on: bool) -> Iterator[None]:
    """A context manager within which the CPU computes matrix products with oneDNN if `on` is True.

    On some AMD processors, oneDNN is twice as fast as MKL. On a CPU that supports bfloat16, the
    operands of each product may be rounded to bfloat16; sums are computed in float32.
    """
    before = torch.get_float32_matmul_precision()
    if on:
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def likelihood_of(model: Any, x: Tensor, k: int, y: Tensor | None = None) -> NLL:
    """Return `evaluation.nll` for 1, 50 and k draws, using bfloat16 where the device supports it.

    On a CPU, bfloat16 halves the time; on 100 digits, it changed the results by at most 0.003 nats.
    A Gaussian likelihood is computed in float32, because dividing by its variance would amplify
    rounding errors.
    """
    # as many rows as fit into a CPU's cache
    rows = 250 if isinstance(model, AutoregressiveVAE) else 1000
    half = knows_bfloat16(x.device) and likelihood_name(model) != "gaussian"
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        return nll(model, x, (1, 50, k), y=y, rows_at_once=rows)


def command_line() -> argparse.Namespace:
    """Return the parsed arguments.

    Exits with an error message if an argument is invalid or if the output file cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="Train a model and save it."
    )
    parser.add_argument("recipe", choices=[*RECIPES, "classifier"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, help="number of epochs (default: the recipe's)")
    parser.add_argument(
        "--out",
        type=Path,
        help="the file to write (default: RECIPE.safetensors in the current folder)",
    )
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best one available)")
    parser.add_argument(
        "--k",
        type=int,
        default=5000,
        help="number of codes z drawn per test digit to estimate its likelihood "
        "(default: 5000; 0 skips the estimate)",
    )
    asked = parser.parse_args()
    if asked.k < 0:
        parser.error(f"--k must be a non-negative integer, but got {asked.k}.")
    if asked.epochs is not None and not 0 <= asked.epochs < math.inf:
        parser.error(f"--epochs must be a finite, non-negative number, but got {asked.epochs:g}.")
    whole = asked.epochs is None or (asked.epochs >= 1 and asked.epochs % 1 == 0)
    if asked.recipe == "classifier" and not whole:
        parser.error(
            "the number of epochs of the classifier must be a positive integer, "
            f"not {asked.epochs:g}."
        )
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
        parser.error(
            f"{asked.out or 'this folder'} cannot be written ({reason(error)}): pass another --out."
        )
    asked.out = out
    return asked


def main() -> None:
    """Train the model of one recipe on MNIST, evaluate it,
    and save it with its settings and results.
    """
    with group():  # of the processes that torchrun started, if any
        asked = first(command_line)
        speaks = is_first()
        device = own_device(asked.device)
        halves = first(lambda: (mnist(train=True), mnist(train=False)))
        digits, test = (half.to(device) for half in halves)
        metadata: dict[str, Any] = {
            "recipe": asked.recipe,
            "seed": asked.seed,
            "torch": torch.__version__,
        }
        if asked.recipe == "classifier":
            make_classifier(asked, digits, test, metadata)
            return
        recipe, going = RECIPES[asked.recipe], asked.out.with_suffix(".run.safetensors")
        metadata["epochs"] = recipe.epochs if asked.epochs is None else asked.epochs
        try:
            model, run = train(recipe, digits, asked.seed, asked.epochs, going)
        except KeyboardInterrupt:  # outside the training loop, usually in recipe.finish
            sys.exit(
                f"{asked.out} is not written yet: run the same command again. "
                "Training continues from the checkpoint, if there is one."
            )
    if not speaks:
        return
    if not run.finished:
        sys.exit(
            f"{asked.out} is not written yet: "
            f"run the same command again to continue from {run.checkpoint}."
        )
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    if run.step and not recipe.is_complete(model):
        sys.exit(f"{asked.out} is written, but recipe.finish did not complete, as said above.")
    if run.checkpoint:  # its name differs from `going` if another run uses that file
        run.checkpoint.unlink(missing_ok=True)  # after 0 epochs, the file does not exist
    saved: Any = load_model(asked.out, device)  # evaluate the model as it was saved
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
    """Train the classifier and save it to `asked.out` with its metadata and test accuracies."""
    metadata["epochs"] = 12 if asked.epochs is None else int(asked.epochs)
    half = knows_bfloat16(digits.images.device)
    model = train_classifier(digits, seed=asked.seed, epochs=metadata["epochs"], bf16=half)
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    metadata["test_accuracy"] = model.accuracy(test.images, test.labels)
    binarized = fixed_binarization(test.images)
    metadata["test_accuracy_binarized"] = model.accuracy(binarized, test.labels)
    save_model(model, asked.out, dtype=torch.float16, **metadata)
    print(f"{asked.out}: {metadata}")


if __name__ == "__main__":
    main()
