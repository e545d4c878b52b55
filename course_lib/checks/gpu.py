"""Checks for “Inside the GPU”.

The exercises cover tiles and their masks, one-pass log-sum-exp, and the constant factors in
gradients.
"""

import math
import secrets
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, arange, inf, stack, tensor
from torch.nn.functional import softplus

from course_lib.checks.report import (
    Inputs,
    Mistake,
    Student,
    Table,
    agrees,
    call,
    exercise,
    expect,
    number_or_tensor,
    other_inputs,
    other_units,
    parts,
    plain,
)
from course_lib.checks.watch import watched, without_autograd

# ---------------------------------------------------------------- a tile and its mask

LOGITS = tensor([1.3, -0.4, 2.1, 0.7, -1.6, 0.9, 3.2, -2.3, -0.7, 1.8])  # (D,): D = 10 pixels


class Memory:
    """Simulated GPU memory that stores the logits of one image between those of other images.

    A program reads `block` addresses at once with `load`. The mask must exclude every address
    outside the image.
    """

    def __init__(self, logits: Tensor, block: int, first: int = 20) -> None:
        self.size = len(logits)
        self.block = block
        self.first = first  # the address of the image's first logit
        self.was_read = False
        self.was_asked = False  # whether the mask was True for any lane
        others = 5.0 + arange(first + block + self.size) % 3  # the numbers of other images
        self.numbers = torch.cat([others[:first], logits, others])

    def load(self, addresses: object, mask: object = None, other: float = 0.0) -> Tensor:
        """Return the numbers at `addresses` where `mask` is True, and `other` elsewhere."""
        self.was_read = True
        says = (
            "`load` takes addresses that are integers. Add the numbers of your pixels to `logits`."
        )
        if not isinstance(addresses, Tensor):
            raise Mistake(
                "`load` takes a tensor of addresses, one for each lane of the program, but got "
                f"{type(addresses).__name__}. Use `torch.arange` for the numbers of your pixels."
            )
        expect(not addresses.is_floating_point() and addresses.dtype != torch.bool, says)
        lanes = f"`load` reads {self.block} addresses at once, one for each lane of the program"
        says = (
            f"{lanes}, but the addresses have shape {tuple(addresses.shape)}. Mask lanes instead "
            "of cutting them off."
        )
        expect(addresses.shape == (self.block,), says)
        says = "`load` without a mask also reads beyond the image. Call `load(addresses, mask)`."
        expect(mask is not None, says)
        if not isinstance(mask, Tensor):
            says = "the mask must be a tensor with True or False for each lane, but got "
            raise Mistake(f"{says}{type(mask).__name__}.")
        expect(
            mask.dtype == torch.bool,
            "the mask must be True or False for each lane. Compare the pixel numbers with D.",
        )
        expect(
            mask.shape == (self.block,),
            f"the mask must have one element for each lane, but its shape is {tuple(mask.shape)}.",
        )
        self.was_asked |= bool(mask.any())
        self.expect_inside(addresses, mask)
        known = addresses.clamp(0, len(self.numbers) - 1)
        return torch.where(mask, self.numbers[known], other)

    def expect_inside(self, addresses: Tensor, mask: Tensor) -> None:
        """Raise Mistake if a lane whose mask is True reads outside the image."""
        pixels = addresses - self.first  # (block,), counted from the image's first pixel
        inside = (pixels >= 0) & (pixels < self.size)
        strays = mask & ~inside
        if not strays.any():
            return
        expect(not torch.equal(mask, ~inside), "the mask is inverted. True means inside the image.")
        says = (
            "addresses count numbers, not bytes, but yours are 4 apart. Pixel i is at `logits + i`."
        )
        expect(not (len(pixels) > 1 and (pixels.diff() == 4).all()), says)
        pixel = int(pixels[strays][0])
        says = "the mask includes one lane too many. The last pixel has number D − 1, so use `< D`."
        is_next = pixel == self.size and strays.sum() == 1
        expect(not (is_next and inside.any() and not mask.all()), says)
        before = "an address is before the image, which starts at `logits`"
        expect(pixel >= 0, f"{before}. Pixel i is at `logits + i`.")
        lane = int(strays.nonzero()[0, 0])
        raise Mistake(
            f"lane {lane} reads pixel {pixel} of an image of {self.size} pixels. That address "
            "belongs to another image, so the mask must be False there."
        )


def sum_of_tile(
    load: Callable[..., Tensor], logits: int, D: int, program: int, block: int
) -> Tensor:
    """Return the correct answer to `tile_sum`."""
    pixel = program * block + arange(block)  # (block,)
    inside = pixel < D
    return torch.where(inside, softplus(load(logits + pixel, inside)), 0.0).sum()


def tile(student: Student, logits: Tensor, program: int, block: int) -> object:
    """Return the result of the student's program, which must read memory with `load`."""
    memory = Memory(logits, block)
    answer = call(student, memory.load, memory.first, len(logits), program, block)
    expect(memory.was_read, "`load` is never called, but it is the only way to read memory.")
    if not memory.was_asked:
        # no lane is inside the image, although each program has at least one pixel
        first = Memory(logits, block)
        call(student, first.load, first.first, len(logits), 0, block)
        says = (
            "the mask is False for every lane, even in program 0. Compare the numbers of the "
            "pixels with D, not their addresses."
        )
        expect(first.was_asked, says)
    return answer


@exercise
def tile_sum(student: Student) -> None:
    """Each program sums its own tile, and lanes beyond the image are neither read nor counted."""
    block = 4  # tiles of 4, 4 and 2 pixels
    last, right = tile(student, LOGITS, 2, block), softplus(LOGITS[8:]).sum()
    Table({}, right, wrong_tiles() | other_units(right)).judge(last, "the last program's sum")
    for k in (0, 1):
        right = softplus(LOGITS[k * block : (k + 1) * block]).sum()
        yours = tile(student, LOGITS, k, block)
        says = (
            "the last program is right, but a full tile is wrong. Where does program k begin and "
            "end?"
        )
        Table({}, right, otherwise=says).judge(yours, f"program {k}'s sum")

    def draw(source: torch.Generator, pixels: int, width: int) -> Inputs:
        first = int(torch.randint(30, 90, (), generator=source))
        memory = Memory(torch.randn(pixels, generator=source), width, first)
        # never program 0, for which an answer that reads only the first pixels would be correct
        program = int(torch.randint(1, -(-pixels // width), (), generator=source))
        return {
            "load": memory.load,
            "logits": first,
            "D": pixels,
            "program": program,
            "block": width,
        }

    other_inputs(student, sum_of_tile, draw, (10, 4), (30 + secrets.randbelow(20), 7))
    right = softplus(LOGITS[:3]).sum()
    says = "a value is wrong if the image is smaller than the tile. Here 5 of 8 lanes are masked."
    Table({}, right, otherwise=says).judge(tile(student, LOGITS[:3], 0, 8), "the sum of 3 pixels")
    expect_large_logits(student, block)
    expect_a_zero_logit(student, block)


def wrong_tiles() -> dict[str, Tensor]:
    """Return the results that typical mistakes produce for the last of three programs."""
    return wrong_lanes() | wrong_terms()


def wrong_lanes() -> dict[str, Tensor]:
    """Return the results obtained with a wrong mask or tile in the last of three programs."""
    block, bits = 4, softplus(LOGITS)
    terms = bits[8:]  # 2 pixels, next to 2 masked lanes
    right, log_2 = terms.sum(), softplus(tensor(0.0))
    return {
        (
            "a masked lane loads 0, so log(1 + e⁰) = log 2 is added. Mask the terms after the "
            "softplus."
        ): right + 2 * log_2,
        "log 2 is subtracted for the whole tile. Mask the terms after the softplus.": (
            right - block * log_2
        ),
        "the mask includes one lane too few. The last pixel, number D − 1, is inside.": (
            terms[:-1].sum()
        ),
        (
            "the mask is one lane short, and log 2 is added for masked lanes. The last pixel is "
            "number D − 1."
        ): terms[:-1].sum() + 3 * log_2,
        "the mask compares with the block size. Compare the pixel numbers with D.": tensor(0.0),
        (
            "the mask compares with the block size, and log 2 is added for each lane. Compare "
            "with D."
        ): block * log_2,
        "the result is the sum of the first tile. Program k begins at k · block.": bits[:4].sum(),
        "the result is the sum of the previous tile. Program k begins at k · block.": (
            bits[4:8].sum()
        ),
        "the tile begins at k, but program k begins at k · block.": bits[2 : 2 + block].sum(),
        "the result is the sum over the whole image. Each program sums only one tile.": bits.sum(),
        "the result is the sum of all previous tiles. Each program sums only one tile.": (
            bits[:8].sum()
        ),
    }


def wrong_terms() -> dict[str, Tensor]:
    """Return the results obtained with wrong terms or wrong sums in the last of three programs."""
    block, mine = 4, LOGITS[8:]  # 2 pixels, next to 2 masked lanes
    terms = softplus(mine)
    right, log_2 = terms.sum(), softplus(tensor(0.0))
    return {
        "the softplus is missing. The result is the sum of the logits.": mine.sum(),
        "the exponential is summed. Compute log(1 + e^logit) of each pixel first.": (
            mine.exp().sum()
        ),
        (
            "the exponential is summed, including masked lanes. Compute log(1 + e^logit) of each "
            "pixel first."
        ): mine.exp().sum() + 2,
        "the softplus of the sum is returned. Compute the softplus of each pixel.": (
            softplus(mine.sum())
        ),
        (
            "the logarithm of the sum of exponentials is returned. Compute log(1 + e^logit) of "
            "each pixel."
        ): mine.logsumexp(0),
        "the sigmoid is summed. Sum log(1 + e^logit).": mine.sigmoid().sum(),
        "the logarithm of the sigmoid is summed. Sum log(1 + e^logit).": (mine - terms).sum(),
        "the sign of the logit is flipped. Sum log(1 + e^logit).": softplus(-mine).sum(),
        "only max(logit, 0) is summed. The term log(1 + e^−|logit|) is missing.": mine.relu().sum(),
        "max(logit, 0) is missing. Add it to log(1 + e^−|logit|).": softplus(-mine.abs()).sum(),
        "the sign of the sum is flipped.": -right,
        "the terms are averaged over the lanes. Take the sum.": right / block,
        (
            "the terms are averaged over the lanes, with log 2 for masked ones. Mask the lanes, "
            "and sum."
        ): (right + 2 * log_2) / block,
        "the terms are averaged over the pixels. Take the sum.": terms.mean(),
        "the largest term is returned. Sum the terms of the tile.": terms.max(),
        "the result has one number per lane. Sum the terms of the tile.": (
            torch.cat([terms, tensor([0.0, 0.0])])
        ),
        (
            "the result has one number per lane, and log 2 for masked lanes. Mask the lanes, and "
            "sum."
        ): torch.cat([terms, log_2.expand(2)]),
    }


def expect_large_logits(student: Student, block: int) -> None:
    """Raise Mistake unless the sum is finite and right for logits of ±900."""
    far = 900 * LOGITS.sign()
    memory = Memory(far, block)
    what = "the sum for logits of ±900"
    yours = number_or_tensor(tile(student, far, 2, block), what, False)
    knows = "Use softplus, which computes log(1 + eᵃ) = max(a, 0) + log(1 + e^−|a|)."
    if not yours.isfinite().all():
        watch = watched(lambda: student(memory.load, memory.first, len(far), 2, block))
        by_log = "the sigmoid of ±900 is 1 or 0, and the logarithm of 0 is minus infinity"
        cause = by_log if watch.broken_by.startswith("log") else "exp(900) overflows"
        raise Mistake(f"{what} is not finite, because {cause}. {knows}")
    cut = f"a clamp or a small added number limits the value. {knows}"
    Table({}, softplus(far[8:]).sum(), otherwise=cut).judge(yours, what)


def expect_a_zero_logit(student: Student, block: int) -> None:
    """Raise Mistake if a pixel with logit 0 is left out as though its lane were masked."""
    logits = torch.cat([LOGITS[:8], tensor([0.0, 1.8])])
    right = softplus(logits[8:]).sum()
    says = "a pixel with logit 0 is left out. Use the mask to leave lanes out, not their values."
    wrong = {says: right - math.log(2)}
    Table({}, right, wrong).judge(tile(student, logits, 2, block), "the sum with a logit of 0")


# ---------------------------------------------------------------- log-sum-exp in one pass


def logsumexp_of(joint: Tensor, block: int) -> Tensor:
    """Return the correct answer to `online_logsumexp`, computed in one step."""
    return joint.logsumexp(1)


def one_pass(
    joint: Tensor,
    block: int,
    largest_of: Callable[[Tensor, Tensor], Tensor],
    rescale: Callable[[Tensor, Tensor], Tensor] = lambda old, new: (old - new).exp(),
    relative_to: Callable[[Tensor, Tensor], Tensor] = lambda old, new: new,
    start: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the final values of the running reference (the number subtracted before exp)
    and of the running total.

    The reference is normally the largest number so far. Each result has the shape (N,).
    start: the initial reference; if None, the reference of the first tile.
    """
    joint = joint.double()
    running, total = torch.full_like(joint[:, 0], start or 0.0), torch.zeros_like(joint[:, 0])
    for i, part in enumerate(joint.split(block, 1)):
        old = largest_of(part, part[:, 0] * 0 - inf) if start is None and i == 0 else running
        new = largest_of(part, old)
        total = total * rescale(old, new) + (part - relative_to(old, new)[:, None]).exp().sum(1)
        running = new
    return running, total


def own_largest(part: Tensor, old: Tensor) -> Tensor:
    """Return the largest number seen so far in each row."""
    return part.amax(1).maximum(old)


@exercise
def online_logsumexp(student: Student) -> None:
    """The result is log Σ exp of each row, computed tile by tile,
    and it is accurate no matter how large or small the numbers are.
    """
    joint = -tensor(
        [
            [3.0, 1.2, 4.5, 0.3, 2.2, 6.0, 1.1, 2.7, 0.8, 3.9],
            [0.4, 5.0, 2.0, 3.3, 0.9, 1.5, 4.0, 0.2, 2.8, 1.7],
        ]
    )  # (N, K)
    right, block = joint.logsumexp(1), 3  # K = 10, so the tiles have 3, 3, 3 and 1 columns
    nan = (
        f"{FACTOR.capitalize()}, which is infinite at the first tile. Subtract the new maximum "
        "from each tile."
    )
    mistakes = wrong_sums(joint, block) | other_units(right)
    Table({"joint": joint}, right, mistakes, not_finite=nan).judge(call(student, joint, block))

    def draw(source: torch.Generator, n: int, k: int, width: int) -> Inputs:
        return {"joint": 2 * torch.randn(n, k, generator=source) - 4, "block": width}

    other_inputs(student, logsumexp_of, draw, (2, 10, 3), (4 + secrets.randbelow(3), 23, 5))
    says = (
        "the result is wrong if K is smaller than the block. The only tile is then narrower than "
        "`block`."
    )
    few = call(student, joint[:, :2], block)
    expect(agrees(few, joint[:, :2].logsumexp(1)), says)
    expect_any_size(student, joint, block)
    expect_own_maximum(student)
    expect_tiles(student)


FACTOR = "multiply the total so far by exp(old maximum − new maximum), not by exp(new − old)"


def wrong_sums(joint: Tensor, block: int) -> dict[str, Tensor]:
    """Return the results that typical mistakes produce in place of log Σ exp."""
    return wrong_maxima(joint, block) | wrong_tile_sums(joint, block)


def wrong_maxima(joint: Tensor, block: int) -> dict[str, Tensor]:
    """Return the results obtained by using the running maximum
    or the final logarithm incorrectly.
    """
    largest = joint.amax(1)
    total = (joint - largest[:, None]).exp().sum(1)
    of_last_tile = joint.split(block, 1)[-1].amax(1)

    def run(**changes: Any) -> Tensor:
        running, total = one_pass(joint, block, own_largest, **changes)
        return running + total.log()

    def keep(old: Tensor, new: Tensor) -> Tensor:
        return torch.ones_like(old)

    return {
        "the total so far is not rescaled. Multiply it by exp(old maximum − new maximum).": (
            run(rescale=keep)
        ),
        f"the factor is inverted: {FACTOR}.": run(rescale=lambda old, new: (new - old).exp()),
        "the factor is applied twice. Multiply the total by exp(old maximum − new maximum) once.": (
            run(rescale=lambda old, new: (2 * (old - new)).exp())
        ),
        "a tile uses the old maximum. Subtract the new maximum.": (
            run(relative_to=lambda old, new: old)
        ),
        "the maximum is not added back. Return maximum + log(total).": total.log(),
        "the maximum is subtracted at the end. Return maximum + log(total).": total.log() - largest,
        "the maximum of the last tile is added. Add the maximum of all tiles.": (
            of_last_tile + total.log()
        ),
        "log2 of the total is taken. Use the natural logarithm to match exp.": (
            largest + total.log2()
        ),
        "log10 of the total is taken. Use the natural logarithm to match exp.": (
            largest + total.log10()
        ),
        "the logarithm is missing. The result is the total of the exponentials.": (
            joint.logsumexp(1).exp()
        ),
        "the total is relative to the maximum. Take its logarithm and add the maximum.": total,
        "the maximum is added to the total. Take the logarithm of the total first.": (
            largest + total
        ),
        "the result is only the maximum. Add the exponentials of all numbers.": largest,
    }


def wrong_tile_sums(joint: Tensor, block: int) -> dict[str, Tensor]:
    """Return the results of using the wrong tiles or of combining numbers or tiles incorrectly."""
    right = joint.logsumexp(1)
    largest = joint.amax(1)
    tiles = joint.split(block, 1)
    of_tiles = stack([part.logsumexp(1) for part in tiles])  # (4, N)
    maxima = stack([part.amax(1) for part in tiles])  # (4, N)
    so_far = maxima.cummax(0).values  # (4, N)
    return {
        "a tile's exponentials use its own maximum. Subtract the new maximum from each tile.": (
            (so_far + of_tiles - maxima).logsumexp(0)
        ),
        "the result is only that of the last tile. Keep the total from tile to tile.": of_tiles[-1],
        "the last tile is left out. K need not be a multiple of the block.": (
            joint[:, :9].logsumexp(1)
        ),
        "the first tile is left out.": joint[:, 3:].logsumexp(1),
        "the result is only that of the first tile. Continue up to K.": of_tiles[0],
        "the result is summed over the rows, but the components are along axis 1.": (
            joint.logsumexp(0)
        ),
        "the result is summed over rows and columns. Return one number per row.": (
            joint.logsumexp((0, 1))
        ),
        "the rows are summed at the end. Return one number per row.": right.sum(),
        "the mean of the exponentials is taken. Do not divide the sum.": (
            right - math.log(joint.shape[1])
        ),
        "the sum is divided by the block. Do not divide the sum.": right - math.log(block),
        "the sum is divided by the number of tiles. Do not divide the sum.": (
            right - math.log(len(tiles))
        ),
        "the logarithms of the tiles are summed. Add the exponentials.": of_tiles.sum(0),
        "the logarithms of the tiles are averaged. Add the exponentials.": of_tiles.mean(0),
        "the largest result of all tiles is returned. Add the exponentials.": of_tiles.amax(0),
        "only the tiles' maxima are exponentiated and added. Add all numbers.": maxima.logsumexp(0),
        "the numbers themselves are summed. Exponentiate them first.": joint.sum(1),
        "the numbers themselves are averaged. Exponentiate them first.": joint.mean(1),
        "the totals are relative to different maxima. Subtract the same maximum in all tiles.": (
            maxima[0] + (of_tiles - maxima).exp().sum(0).log()
        ),
        (
            "the totals of all tiles are relative to different maxima. Subtract the same one in "
            "all tiles."
        ): largest + (of_tiles - maxima).exp().sum(0).log(),
        "the sign is flipped.": -right,
    }


def expect_any_size(student: Student, joint: Tensor, block: int) -> None:
    """Raise Mistake unless the result is right for numbers far from 0 but close to one another."""
    why = "exp(900) overflows. Subtract the largest number so far before exp."
    table = Table({"joint": joint + 900}, joint.logsumexp(1) + 900, not_finite=why)
    table.judge(call(student, joint + 900, block))
    start = (
        "the running maximum must start below every number, at minus infinity. Yours starts above "
    )
    # the spacing of float32 at 1e12 is 65,536, so the result there is the largest number
    for far in (joint - 5000, torch.full_like(joint, -1e12)):
        right = far.logsumexp(1)
        yours = plain(call(student, far, block), "your result")
        near = float(right.max())
        says = f"{start}numbers near {near:.0e}, so their exponentials round to 0."
        is_lost = yours.shape == right.shape and not yours.isfinite().all()
        expect(not is_lost, says)
        cut = "Is something clamped, or does the running maximum not start at minus infinity?"
        says = f"a value is wrong for numbers near {near:.0e}. {cut}"
        Table({}, right, otherwise=says).judge(yours)


def scattered_rows() -> Tensor:
    """Build 8 rows of 23 numbers that reveal whether the wrong number is subtracted before exp.

    If the wrong number is subtracted, the exponentials overflow or underflow. The right number to
    subtract is the largest one seen so far in the row. The tiles have 10, 10 and 3 columns.
    """
    near, far = -0.1 * (arange(23) % 7), -4000.0
    rows = near.repeat(8, 1)
    rows[0, 1:] = far  # the first number is the largest
    rows[1, :22] = far  # the last number is the largest
    rows[1, 14] = -1.0  # a large number inside the second tile comes before the last one
    rows[2] = far  # the largest numbers are neither first nor last in their tiles
    rows[2, 1], rows[2, 14] = -1.0, -2.0
    rows[3] -= 3000  # all are far below those in the other rows
    # the mean of the tile is still near the largest number, but the smallest is not
    rows[4, 4] = -800.0
    rows[5, 13:19] = far  # the median of the row is near the largest number, but the mean is not
    rows[6] = far  # the largest number is the last in its tile
    rows[6, 9] = 0.0
    rows[7, :10] = far  # the first tile is far below the others
    return rows


def expect_own_maximum(student: Student) -> None:
    """Raise Mistake unless the largest number seen so far in a row is subtracted from that row."""
    rows, block = scattered_rows(), 10
    right = rows.logsumexp(1)

    def fixed(shift: Tensor) -> Tensor:
        return shift + (rows.double() - shift[:, None]).exp().sum(1).log()

    def running(largest_of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        reference, total = one_pass(rows, block, largest_of)
        return reference + total.log()

    wanted = (
        "Subtract each row's own largest number so far: the larger of the tile's `amax(1)` and "
        "the old maximum."
    )
    same_for_all = torch.ones(len(rows), dtype=torch.float64)
    mistakes = {
        "all rows share one maximum, but each row needs its own. Use `amax(1)`.": (
            running(lambda part, old: old.maximum(part.amax()))
        ),
        f"the smallest of all numbers is subtracted. {wanted}": fixed(same_for_all * rows.min()),
        f"the first tile's maximum is kept. {wanted}": fixed(rows[:, :block].amax(1)),
        f"the first number of the row is subtracted. {wanted}": fixed(rows[:, 0]),
        f"the mean of the row is subtracted. {wanted}": fixed(rows.double().mean(1)),
        f"the smallest number of the row is subtracted. {wanted}": fixed(rows.amin(1)),
        f"the median of the row is subtracted. {wanted}": fixed(rows.median(1).values),
        f"the largest mean of a tile so far is subtracted. {wanted}": (
            running(lambda part, old: old.maximum(part.mean(1)))
        ),
        f"the first number of a tile is used as its maximum. {wanted}": (
            running(lambda part, old: old.maximum(part[:, 0]))
        ),
        f"the last number of a tile is used as its maximum. {wanted}": (
            running(lambda part, old: old.maximum(part[:, -1]))
        ),
        f"the smallest number of a tile is used as its maximum. {wanted}": (
            running(lambda part, old: old.maximum(part.amin(1)))
        ),
        f"each tile's own maximum replaces the previous one, even if it is smaller. {wanted}": (
            running(lambda part, old: part.amax(1))
        ),
    }
    why = f"Some numbers of a row are far below others. {wanted}"
    cut = (
        f"a value is wrong in a row with numbers that are far apart. Is something clamped? {wanted}"
    )
    table = Table({"joint": rows}, right, mistakes, not_finite=why, otherwise=cut)
    table.judge(call(student, rows, block))


def expect_tiles(student: Student) -> None:
    """Raise Mistake unless the function works tile by tile,
    without `logsumexp` or similar functions.

    Each tile may have between `block` and 2 · `block` columns, or only one column.
    """
    n, block, k = 2, 7, 91  # 13 tiles
    joint = -(arange(n * k) % 17.0).reshape(n, k)
    watch = watched(lambda: student(joint.clone(), block))
    # the limit is two tiles: enough for the results of 13 tiles, but not for a third of a row
    says = (
        "the result is right, but one operation takes more columns than a tile has. Loop over "
        "tiles of `block`."
    )
    expect(watch.most <= 2 * n * block, says)
    # processing one column at a time is also allowed, although it is narrower than any tile
    says = (
        "the result is right, but the tiles do not have `block` columns. Is their width hard-coded?"
    )
    expect(watch.most <= n or watch.most >= block, says)
    by_library = sorted(watch.names & {"logsumexp", "logaddexp", "_log_softmax", "log_softmax"})
    if by_library:
        raise Mistake(
            f"the result is right, but `{by_library[0].removeprefix('_')}` keeps the maximum for "
            "you. Keep the running maximum and the total yourself, with `exp` and `log`."
        )


# ---------------------------------------------------------------- gradients with all their factors

# logits and x are (N, D), mu and logvar are (N, d), and N, D and d all differ
GIVEN = {
    "logits": tensor([[1.3, -0.4, 2.1, 0.7], [-1.6, 0.9, 3.2, -2.3], [0.5, 1.8, -0.2, 1.1]]),
    "x": tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]),
    "mu": tensor(
        [[0.8, -1.1, 0.5, 1.4, -0.9], [0.3, 1.7, -0.6, 2.1, 0.2], [-0.4, 0.6, 1.2, -1.8, 0.7]]
    ),
    "logvar": tensor(
        [[-0.5, 0.9, 0.3, -0.8, 1.2], [0.4, -1.3, 0.6, 1.0, -0.2], [1.1, 0.7, -0.9, 0.5, -1.6]]
    ),
}
NAMES = ("d_logits", "d_mu", "d_logvar")


def three_gradients(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the correct answer to `elbo_gradients`."""
    n = len(logits)
    return (logits.sigmoid() - x) / n, mu / n, (logvar.exp() - 1) / 2 / n


@exercise
def elbo_gradients(student: Student) -> None:
    """The gradients of reconstruction + KL, averaged over images,
    have the right factors 1/N and ½.
    """
    paper = (
        "autograd computes a derivative. Derive the three gradients on paper, and write down "
        "their formulas."
    )
    answer = without_autograd(lambda: call(student, *GIVEN.values()), paper)
    right = three_gradients(*GIVEN.values())
    yours = parts(answer, NAMES, right)
    for value, name, good in zip(yours, NAMES, right, strict=True):
        Table({}, good, wrong_gradients(name, good)).judge(value, name)

    def draw(source: torch.Generator, n: int, pixels: int, codes: int) -> Inputs:
        return {
            "logits": 2 * torch.randn(n, pixels, generator=source),
            "x": torch.rand(n, pixels, generator=source).round(),
            "mu": torch.randn(n, codes, generator=source),
            "logvar": torch.randn(n, codes, generator=source),
        }

    other = 4 + secrets.randbelow(4), 9 + secrets.randbelow(4), 2 + secrets.randbelow(2)
    other_inputs(student, three_gradients, draw, (3, 4, 5), other)
    far = GIVEN | {"logits": 900 * GIVEN["logits"].sign()}
    why = "exp(900) overflows, and infinity divided by infinity is NaN. Use `logits.sigmoid()`."
    answer = call(student, *far.values())
    right_far = three_gradients(*far.values())[0]
    Table({}, right_far, not_finite=why).judge(answer[0], "d_logits for logits of ±900")
    wide = GIVEN | {"mu": 100 * GIVEN["mu"], "logvar": 60 * GIVEN["logvar"].sign()}
    answer = call(student, *wide.values())
    cut = (
        "a value is wrong. Is something clamped or a small number added? The formula is valid "
        "for any mu and logvar."
    )
    for value, name, good in zip(answer, NAMES, three_gradients(*wide.values()), strict=True):
        Table({}, good, otherwise=cut).judge(value, f"{name} for mu near ±100 and logvar of ±60")


def wrong_gradients(name: str, good: Tensor) -> dict[str, Tensor]:
    """Return the wrong results that typical mistakes produce for one of the three gradients."""
    of_its_own = {"d_logits": wrong_d_logits, "d_mu": wrong_d_mu, "d_logvar": wrong_d_logvar}[name]
    mistakes = of_its_own() | wrong_averages(good)
    return {f"in {name}, {says}": wrong for says, wrong in mistakes.items()}


def wrong_averages(good: Tensor) -> dict[str, Tensor]:
    """Return the values produced by mistakes that can occur in any of the three gradients,
    such as a missing factor of 1/N.
    """
    n = len(good)
    missing = "the factor 1/N is missing. The loss is the mean over the images."
    return {
        missing: good * n,
        "the gradient is divided by N twice. The loss is averaged over the images only once.": (
            good / n
        ),
        "the sign is flipped, and the factor 1/N is missing.": -good * n,
        "the gradient is in bits, but the loss is in nats.": good / math.log(2),
        "the gradient is averaged over the images, but each image has its own gradient.": (
            good.mean(0)
        ),
        "the gradient is summed over the images, but each image has its own gradient.": good.sum(0),
        "the result has one number per image, but every element has its own gradient.": good.sum(1),
        "the result is a single number, but every element has its own gradient.": good.sum(),
    }


def wrong_d_logits() -> dict[str, Tensor]:
    """Return the values that typical mistakes produce in place of d_logits = (p − x) / N."""
    logits, x, _, _ = GIVEN.values()
    n, pixels = logits.shape
    p = logits.sigmoid()
    slope = p * (1 - p)  # the derivative of the sigmoid
    return {
        "the sign is flipped. The difference is sigmoid(logits) − x.": (x - p) / n,
        "the sigmoid is missing. Compare probabilities with pixels.": (logits - x) / n,
        "the gradient is averaged over the pixels, but the loss is a sum over pixels.": (
            (p - x) / n / pixels
        ),
        (
            "the gradient is averaged over the pixels instead of the images. The loss is a sum "
            "over pixels."
        ): (p - x) / pixels,
        "there is an extra factor p(1 − p). The derivative with respect to the logit is p − x.": (
            (p - x) * slope / n
        ),
        "the derivative is taken with respect to the probability, not to the logit.": (
            (p - x) / slope / n
        ),
        "x is missing. The gradient must be small where the pixel is predicted well.": p / n,
        "only −x is left. The derivative of log(1 + eᵃ) is missing.": -x / n,
        "the sigmoid is taken of −logits. The difference is sigmoid(logits) − x.": (1 - p - x) / n,
        "there is an extra factor 2. The derivative is p − x.": 2 * (p - x) / n,
        "there is an extra factor ½. The derivative is p − x.": (p - x) / 2 / n,
        "the absolute value of p − x is returned. Keep the sign.": (p - x).abs() / n,
        "the result is the loss of each pixel, not its derivative.": (
            (softplus(logits) - x * logits) / n
        ),
        "the mean pixel is subtracted from the probabilities. Subtract each pixel's own value.": (
            (p - x.mean()) / n
        ),
        "tanh is used in place of the sigmoid.": (logits.tanh() - x) / n,
        "the exponential is used in place of the sigmoid.": (logits.exp() - x) / n,
        "the softplus is used in place of its derivative, the sigmoid.": (softplus(logits) - x) / n,
    }


def wrong_d_mu() -> dict[str, Tensor]:
    """Return the values that typical mistakes produce instead of the correct d_mu = mu / N."""
    _, _, mu, logvar = GIVEN.values()
    n, codes = mu.shape
    std, variance = (logvar / 2).exp(), logvar.exp()
    return {
        "there is an extra factor 2. The KL contains ½ mu², and its derivative is mu.": 2 * mu / n,
        "there is an extra factor ½. The derivative of ½ mu² is mu.": mu / 2 / n,
        "the sign is flipped. The KL increases with mu².": -mu / n,
        "the result contains mu². The derivative is mu.": mu**2 / n,
        "the result contains ½ mu². The derivative is mu.": mu**2 / 2 / n,
        "the gradient is averaged over the dimensions, but the KL is a sum over dimensions.": (
            mu / n / codes
        ),
        "mu is divided by its variance, but the variance of the prior is 1.": mu / variance / n,
        "mu is divided by its standard deviation, but that of the prior is 1.": mu / std / n,
        "1 is subtracted. The derivative of ½ mu² is mu.": (mu - 1) / n,
        "only the sign of mu is used. The derivative of ½ mu² is mu.": mu.sign() / n,
    }


def wrong_d_logvar() -> dict[str, Tensor]:
    """Return the values that typical mistakes produce in place of
    d_logvar = ½ (exp(logvar) − 1) / N.
    """
    _, _, mu, logvar = GIVEN.values()
    n, codes = mu.shape
    std, variance = (logvar / 2).exp(), logvar.exp()
    return {
        "the factor ½ of the KL is missing.": (variance - 1) / n,
        "the factor ½ is applied twice.": (variance - 1) / 4 / n,
        "the term −1 is missing. The gradient is 0 where the variance is 1.": variance / 2 / n,
        "the term −1 and the factor ½ are missing.": variance / n,
        "the sign is flipped. Use ½ (exp(logvar) − 1).": (1 - variance) / 2 / n,
        "the sign of the term −1 is flipped. Use ½ (exp(logvar) − 1).": (variance + 1) / 2 / n,
        "the term −1 is outside the factor ½. Use ½ (exp(logvar) − 1).": (variance / 2 - 1) / n,
        "logvar is treated as the log-std. The variance is exp(logvar).": (
            (variance.square() - 1) / 2 / n
        ),
        "the derivative is taken with respect to the log-std, with the variance exp(2 · logvar).": (
            (variance.square() - 1) / n
        ),
        "the std is used in place of the variance. The variance is exp(logvar).": (std - 1) / 2 / n,
        "the derivative is taken with respect to the standard deviation, not to logvar.": (
            (std - 1 / std) / n
        ),
        "the derivative is taken with respect to the variance, not to logvar.": (
            (1 - 1 / variance) / 2 / n
        ),
        "logvar itself is used in place of the variance. The variance is exp(logvar).": (
            (logvar - 1) / 2 / n
        ),
        "the result contains ½ logvar. The derivative of exp(logvar) is exp(logvar).": (
            logvar / 2 / n
        ),
        "the result is the KL of each dimension, not its derivative.": (
            (variance - 1 - logvar + mu**2) / 2 / n
        ),
        "the result still contains mu², which does not depend on logvar.": (
            (variance - 1 + mu**2) / 2 / n
        ),
        "the result still contains −logvar, but the derivative of −logvar is −1.": (
            (variance - 1 - logvar) / 2 / n
        ),
        "the gradient is averaged over the dimensions, but the KL is a sum over dimensions.": (
            (variance - 1) / 2 / n / codes
        ),
        "only the term −1 is left. The derivative of exp(logvar) is exp(logvar).": (
            torch.full_like(mu, -0.5) / n
        ),
    }
