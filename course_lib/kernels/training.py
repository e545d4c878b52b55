"""What the kernels do of a model's training: batches of black and white pixels, and the loss of a VAE.

`course_lib.recipes` asks here on a GPU, and takes the plain functions wherever the answer is None. The third
piece, the CUDA graph, fits every model and is the loop's own (`course_lib.training.cuda_graph`).
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
    """The model's batches and its loss by kernels, None where none fits; and one line that says so."""
    computer = which(device)
    if not computer.startswith("Triton"):
        return None, None, f"Batches and loss: {PLAIN} ({computer.removeprefix('PyTorch: ')})."
    batch = batch_for(model)
    loss = loss_for(model)
    if not batch:
        return None, None, f"Batches and loss: {PLAIN}, as there are no kernels for these."
    trouble = _trouble(device)
    if trouble:
        return None, None, f"Batches and loss: {PLAIN}, as Triton fails here ({trouble})."
    if not loss:
        return batch, None, f"Batches: kernels, {computer}; loss: {PLAIN}."
    return batch, loss, f"Batches and loss: kernels, {computer}."


def _trouble(device: torch.device) -> str:
    """Why Triton cannot make a kernel on this machine, such as for lack of a C compiler; "" if it can."""
    image = torch.zeros(1, 1, dtype=torch.uint8, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        gather_binarize(image, index, seed=0)
    except Exception as error:  # whatever it is, the plain functions serve
        first_line = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"
    return ""


def batch_for(model: Any) -> Batch | None:
    """`gather_binarize` of the images, and the labels as they are; None for a model of grey pixels."""
    if getattr(model.config, "likelihood", "") != "bernoulli":
        return None

    def batch(data: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
        images, *labels = data
        return (gather_binarize(images, index), *(y.index_select(0, index) for y in labels))

    return batch


def loss_for(model: Any) -> Loss | None:
    """`fused_loss` in the form of the model's own loss; None where that is another one."""
    if reason_against(model):
        return None

    def loss(x: Tensor, y: Tensor | None = None, *, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
        return fused_loss(model if y is None else model.given(y), x, beta)

    return loss
