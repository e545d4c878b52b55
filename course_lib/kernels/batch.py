"""From the whole data set as bytes, and a permutation, straight to the next batch of black and white pixels.

The usual way first copies the rows, then makes floats of them, then draws random numbers, then compares: each
step reads and writes the batch once more. Here one byte a pixel is read and one number a pixel written.
"""

import math

import torch
from torch import Tensor

from course_lib.kernels.backend import check, jit, kernel_runs, tl, triton
from course_lib.kernels.philox import as_seed, uniform


def gather_binarize_reference(
    images: Tensor, index: Tensor, seed: Tensor | int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """What `gather_binarize` must equal; from the same seed the same pixels."""
    grey = images.index_select(0, index).flatten(1)  # (B, D) bytes
    quarter = -(-grey.shape[1] // 4)  # one random counter serves a pixel of each quarter of the image
    counter = torch.arange(len(grey) * quarter, device=grey.device).view(len(grey), quarter)
    u = torch.cat(uniform(as_seed(seed, grey.device), counter), 1)[:, : grey.shape[1]]  # (B, D)
    return (u * 255 < grey).to(dtype)


@jit
def _gather_kernel(images, index, seed, out, D, quarter, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    image = tl.load(index + row).to(tl.int64)  # which image of the data set this row of the batch shows
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    numbers = tl.rand4x(tl.load(seed), row * quarter + i)  # four for each counter: none is thrown away
    for part in tl.static_range(4):
        pixel = part * quarter + i
        inside = (i < quarter) & (pixel < D)
        byte = tl.load(images + image * D + pixel, mask=inside, other=0).to(tl.float32)
        # never for byte 0, always for 255: a random number is below 1
        ink = tl.where(numbers[part] * 255.0 < byte, 1.0, 0.0)
        tl.store(out + row.to(tl.int64) * D + pixel, ink, mask=inside)


def gather_binarize(
    images: Tensor, index: Tensor, seed: Tensor | int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The images `index` (B,) of images (N, …) uint8, each pixel drawn anew: (B, D) of 0 and 1.

    A pixel is 1 with probability byte/255, to 2⁻²³: "dynamic binarization" (see `data.binarize`). seed: one
    int64 number, on the device if it is a tensor; None draws one from torch's global generator. Rows that
    `index` names must exist; on a GPU this is not checked. Raises ValueError for arguments that do not fit.
    """
    kinds = f"{type(images).__name__} and {type(index).__name__}"
    both = isinstance(images, Tensor) and isinstance(index, Tensor)
    check(both, f"images and index are torch tensors, not {kinds}: `torch.tensor([3, 1])` names two rows.")
    check(
        images.dtype == torch.uint8 and images.ndim >= 2 and images.numel() > 0 and images.is_contiguous(),
        f"images are contiguous bytes (uint8) of shape (N, …), not {images.dtype} {tuple(images.shape)}.",
    )
    check(
        index.dtype == torch.int64 and index.ndim == 1 and len(index) > 0,
        f"index must hold at least one row number, int64 (B,), not {index.dtype} {tuple(index.shape)}.",
    )
    check(images.device == index.device, "images and index must be on one device.")
    check(dtype.is_floating_point, f"A batch has a floating type, not {dtype}.")
    if index.device.type == "cpu":  # a kernel would read beyond the end without a word
        low, high = (int(v) for v in index.aminmax())
        check(
            low >= 0 and high < len(images),
            f"index reaches from {low} to {high}, but there are {len(images):,} images.",
        )
    pixels = math.prod(images.shape[1:])
    quarter = -(-pixels // 4)
    check(len(index) * quarter < 2**31, "One seed serves fewer than 2³³ pixels: take a smaller batch.")
    seed = as_seed(seed, index.device)
    if not kernel_runs("gather_binarize", index):
        return gather_binarize_reference(images, index, seed, dtype)
    out = torch.empty(len(index), pixels, dtype=dtype, device=index.device)
    block = min(1024, triton.next_power_of_2(quarter))
    programs = (len(index), triton.cdiv(quarter, block))
    _gather_kernel[programs](images, index.contiguous(), seed, out, pixels, quarter, BLOCK=block)
    return out
