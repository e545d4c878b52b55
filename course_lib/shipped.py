"""The shipped networks, and the networks that replace them if the data set is not MNIST.

The shipped networks were trained on MNIST only. Chapters 06 and 08 need a classifier, a conditional
VAE and a GAN for the data in use. If the data set is not MNIST, these models are trained briefly
when a chapter runs.
"""

import math
from dataclasses import replace
from typing import Any

from torch import nn

from course_lib import recipes
from course_lib.data import Digits
from course_lib.data.corpora import MNIST
from course_lib.device import FAST
from course_lib.evaluation.classifier import Classifier, train_classifier
from course_lib.training.checkpoints import load_model

STEPS = 200 if FAST else 2_000  # for a replacement: half a minute to a few minutes on two cores
# Maps each shipped network to its replacement's recipe. Two cores can train the VAE and the GAN.
STAND_INS = {"vae": "four_minutes", "conditional_vae": "conditional", "gan": "gan_four_minutes"}


def model_for(digits: Digits, name: str, steps: int = STEPS, seed: int = 0) -> nn.Module:
    """Return a shipped network, or a replacement trained on `digits` if `digits` is not MNIST.

    name: "vae", "conditional_vae" or "gan". steps: the approximate number of training steps;
    training ends earlier if the recipe's number of epochs is reached first.
    """
    if digits.name == MNIST.name:
        return load_model(recipes.WEIGHTS / f"{name}.safetensors", digits.images.device)
    recipe = recipes.RECIPES[STAND_INS[name]]
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(digits)))
    epochs = min(recipe.epochs, _epochs(digits, recipe.batch_size, steps))
    model, _ = recipes.train(recipe, digits, seed, epochs, quiet=True)
    print(
        f"The shipped {name} was trained on MNIST only, "
        f"so a new one was trained (epochs: {epochs:.3g})."
    )
    return model


def classifier_for(digits: Digits, steps: int = STEPS, seed: int = 0) -> Classifier:
    """Return the shipped classifier, or one trained on `digits` if `digits` is not MNIST.

    steps: the minimum number of training steps, which is rounded up to whole epochs.
    """
    if digits.name == MNIST.name:
        return Classifier.load(digits.images.device)
    batch_size = min(256, len(digits))
    epochs = math.ceil(_epochs(digits, batch_size, steps))
    options: dict[str, Any] = {
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "quiet": True,
    }
    model = train_classifier(digits, **options)
    print(
        "The shipped classifier was trained on MNIST only, "
        f"so a new one was trained (epochs: {epochs})."
    )
    return model


def _epochs(digits: Digits, batch_size: int, steps: int) -> float:
    return steps / math.ceil(len(digits) / batch_size)
