"""Batches of black-and-white pixels, drawn directly from a data set stored as bytes.

The usual approach is to copy the selected images, convert them to floats, draw random numbers, and
compare these with the pixels. Each of these steps passes over the whole batch, whereas the kernel
reads one byte and writes one number per pixel.
"""

import math

import torch
from torch import Tensor

from course_lib.kernels.backend import check, jit, kernel_runs, tl, triton
from course_lib.kernels.philox import as_seed, uniform


def gather_binarize_reference(
    images: Tensor,
    index: Tensor,
    seed: Tensor | int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The PyTorch reference for `gather_binarize`. The same seed gives the same pixels."""
    grey = images.index_select(0, index).flatten(1)  # (B, D) bytes
    # each random counter gives one number for each quarter of the image
    quarter = -(-grey.shape[1] // 4)
    counter = torch.arange(len(grey) * quarter, device=grey.device).view(len(grey), quarter)
    u = torch.cat(uniform(as_seed(seed, grey.device), counter), 1)[:, : grey.shape[1]]  # (B, D)
    return (u * 255 < grey).to(dtype)


@jit
def _gather_kernel(images, index, seed, out, D, quarter, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    image = tl.load(index + row).to(tl.int64)  # the index in the data set of this row's image
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    numbers = tl.rand4x(tl.load(seed), row * quarter + i)  # four numbers per counter, all used
    for part in tl.static_range(4):
        pixel = part * quarter + i
        inside = (i < quarter) & (pixel < D)
        byte = tl.load(images + image * D + pixel, mask=inside, other=0).to(tl.float32)
        # random numbers are below 1, so byte 0 always gives 0 and byte 255 always gives 1
        ink = tl.where(numbers[part] * 255.0 < byte, 1.0, 0.0)
        tl.store(out + row.to(tl.int64) * D + pixel, ink, mask=inside)


def gather_binarize(
    images: Tensor,
    index: Tensor,
    seed: Tensor | int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Select images by index, and draw each pixel as 0 or 1 at random: (N, …) → (B, D).

    images: bytes (uint8) of shape (N, …). index: row numbers (int64) of shape (B,), not
    range-checked on a GPU. Each pixel is 1 with probability byte/255, to within 2⁻²³ ("dynamic
    binarization"; see `data.binarize`). seed: an int or a one-element int64 tensor; if None, a seed
    is drawn from torch's global generator. Raises ValueError for incompatible arguments.
    """
    kinds = f"{type(images).__name__} and {type(index).__name__}"
    both = isinstance(images, Tensor) and isinstance(index, Tensor)
    check(
        both,
        f"images and index must be torch tensors, but got {kinds}: to select rows 3 and 1, pass "
        "index=torch.tensor([3, 1]).",
    )
    check(
        images.dtype == torch.uint8
        and images.ndim >= 2
        and images.numel() > 0
        and images.is_contiguous(),
        "images must be a non-empty, contiguous tensor of bytes (uint8) with shape (N, …), but got "
        f"{images.dtype} {tuple(images.shape)}.",
    )
    check(
        index.dtype == torch.int64 and index.ndim == 1 and len(index) > 0,
        "index must be an int64 tensor of shape (B,) with at least one row number, but got "
        f"{index.dtype} {tuple(index.shape)}.",
    )
    check(images.device == index.device, "images and index must be on the same device.")
    check(dtype.is_floating_point, f"dtype must be a floating-point type, but got {dtype}.")
    if index.device.type == "cpu":  # a kernel would read past the end without raising an error
        low, high = (int(v) for v in index.aminmax())
        check(
            low >= 0 and high < len(images),
            f"index must contain numbers from 0 to {len(images) - 1}, but these range "
            f"from {low} to {high}.",
        )
    pixels = math.prod(images.shape[1:])
    quarter = -(-pixels // 4)
    check(
        len(index) * quarter < 2**31,
        "A batch must contain fewer than 2³³ pixels, because it uses a single seed: "
        "choose a smaller batch.",
    )
    seed = as_seed(seed, index.device)
    if not kernel_runs("gather_binarize", index):
        return gather_binarize_reference(images, index, seed, dtype)
    out = torch.empty(len(index), pixels, dtype=dtype, device=index.device)
    block = min(1024, triton.next_power_of_2(quarter))
    programs = (len(index), triton.cdiv(quarter, block))
    _gather_kernel[programs](images, index.contiguous(), seed, out, pixels, quarter, BLOCK=block)
    return out
