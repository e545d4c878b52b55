"""Kernels for training: they draw batches of black-and-white pixels and compute a VAE's loss.

On a GPU, `course_lib.recipes` calls `fused`, and falls back to the plain PyTorch function wherever
`fused` returns None. CUDA graphs, which work for every model, are part of the training loop
(`course_lib.training.cuda_graph`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.kernels.backend import which
from course_lib.kernels.batch import gather_binarize
from course_lib.kernels.vae_loss import fused_loss, reason_against

Batch = Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]
Loss = Callable[..., dict[str, Tensor]]
PLAIN = "plain PyTorch functions"


def fused(model: Any, device: torch.device) -> tuple[Batch | None, Loss | None, str]:
    """Return kernel versions of the model's batch and loss functions, and a line that says which
    functions are used.

    A function is replaced by None if its plain PyTorch version must be used.
    """
    computer = which(device)
    if not computer.startswith("Triton"):
        return None, None, f"Batches and loss: {PLAIN} ({computer.removeprefix('PyTorch: ')})."
    batch = batch_for(model)
    loss = loss_for(model)
    if not batch:
        why = "there are no kernels for this model"
        return None, None, f"Batches and loss: {PLAIN}, because {why}."
    trouble = _trouble(device)
    if trouble:
        why = f"Triton fails on this machine ({trouble})"
        return None, None, f"Batches and loss: {PLAIN}, because {why}."
    if not loss:
        return batch, None, f"Batches: kernels ({computer}). Loss: {PLAIN}."
    return batch, loss, f"Batches and loss: kernels ({computer})."


def _trouble(device: torch.device) -> str:
    """Return a description of the error that Triton raises, for example if there is no C compiler,
    or "" if Triton works.
    """
    image = torch.zeros(1, 1, dtype=torch.uint8, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        gather_binarize(image, index, seed=0)
    except Exception as error:  # whatever the error is, the plain functions can be used
        first_line = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"
    return ""


def batch_for(model: Any) -> Batch | None:
    """Return a function that draws batches with `gather_binarize`.

    Labels, if there are any, are selected along with the images. Returns None if the model has no
    Bernoulli likelihood.
    """
    if getattr(model.config, "likelihood", "") != "bernoulli":
        return None

    def batch(data: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
        images, *labels = data
        return (gather_binarize(images, index), *(y.index_select(0, index) for y in labels))

    return batch


def loss_for(model: Any) -> Loss | None:
    """Return `fused_loss` with the signature of `model.loss`,
    or None if no kernels can compute the loss.
    """
    if reason_against(model):
        return None

    def loss(
        x: Tensor, y: Tensor | None = None, *, beta: float | Tensor = 1.0
    ) -> dict[str, Tensor]:
        return fused_loss(model if y is None else model.given(y), x, beta)

    return loss
