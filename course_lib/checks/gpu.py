"""Checks for “Inside the GPU”: a tile and its mask, log-sum-exp in one pass, each factor of a gradient."""

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
    """A GPU's memory: one image's logits, with numbers of others before and behind. `load` reads it.

    A program reads `block` addresses at once. It may read no address outside the image, and the mask is how
    it says so.
    """

    def __init__(self, logits: Tensor, block: int, first: int = 20) -> None:
        self.size = len(logits)
        self.block = block
        self.first = first  # the address of the image's first logit
        self.was_read = False
        others = 5.0 + arange(first + block + self.size) % 3  # of images that are not ours
        self.numbers = torch.cat([others[:first], logits, others])

    def load(self, addresses: object, mask: object = None, other: float = 0.0) -> Tensor:
        """The numbers at addresses (block,) where the mask is True, and `other` elsewhere."""
        self.was_read = True
        says = "`load` wants addresses as whole numbers: `logits` plus the numbers of your pixels."
        if not isinstance(addresses, Tensor):
            raise Mistake(says)
        expect(not addresses.is_floating_point() and addresses.dtype != torch.bool, says)
        lanes = f"`load` reads {self.block} addresses at once, one for each lane of the program"
        says = f"{lanes}, and gets {tuple(addresses.shape)}: lanes are masked, never cut off."
        expect(addresses.shape == (self.block,), says)
        says = "`load` without a mask also reads what lies behind the image: pass `load(addresses, mask)`."
        if not isinstance(mask, Tensor):
            raise Mistake(says)
        expect(mask.dtype == torch.bool, "the mask is True or False for each lane: compare pixels with D.")
        expect(mask.shape == (self.block,), f"the mask has shape {tuple(mask.shape)}: one for each lane.")
        self.expect_inside(addresses, mask)
        known = addresses.clamp(0, len(self.numbers) - 1)
        return torch.where(mask, self.numbers[known], other)

    def expect_inside(self, addresses: Tensor, mask: Tensor) -> None:
        """Raise Mistake if a lane that is not masked reads outside the image."""
        pixels = addresses - self.first  # (block,), counted from the image's first
        inside = (pixels >= 0) & (pixels < self.size)
        strays = mask & ~inside
        if not strays.any():
            return
        expect(not torch.equal(mask, ~inside), "the mask is inverted: True means inside.")
        pixel = int(pixels[strays][0])
        says = "one lane too many: the last pixel has number D − 1, so inside is `< D`."
        expect(not (pixel == self.size and strays.sum() == 1 and inside.any() and not mask.all()), says)
        before = "an address lies before the image: its first logit is at `logits`"
        expect(pixel >= 0, f"{before}, so pixel i is at `logits + i`.")
        lane = int(strays.nonzero()[0, 0])
        raise Mistake(
            f"lane {lane} reads pixel {pixel} of an image of {self.size}, which belongs to somebody else: "
            "the mask must be False there."
        )


def sum_of_tile(load: Callable[..., Tensor], logits: int, D: int, program: int, block: int) -> Tensor:
    """What is wanted of `tile_sum`."""
    pixel = program * block + arange(block)  # (block,)
    inside = pixel < D
    return torch.where(inside, softplus(load(logits + pixel, inside)), 0.0).sum()


def tile(student: Student, logits: Tensor, program: int, block: int) -> object:
    """What the student's program returns; `load` must be how it reads."""
    memory = Memory(logits, block)
    answer = call(student, memory.load, memory.first, len(logits), program, block)
    expect(memory.was_read, "`load` is never called, but it is the only way to read memory.")
    return answer


@exercise
def tile_sum(student: Student) -> None:
    """each program sums its own tile, and lanes beyond the image are neither read nor counted."""
    block = 4  # tiles of 4, 4 and 2 pixels
    last, right = tile(student, LOGITS, 2, block), softplus(LOGITS[8:]).sum()
    Table({}, right, wrong_tiles() | other_units(right)).judge(last, "the last program's sum")
    for k in (0, 1):
        right = softplus(LOGITS[k * block : (k + 1) * block]).sum()
        yours = tile(student, LOGITS, k, block)
        says = "the last program is right, but a full tile is not: where does program k begin, and end?"
        Table({}, right, otherwise=says).judge(yours, f"program {k}'s sum")

    def draw(source: torch.Generator, pixels: int, width: int) -> Inputs:
        first = int(torch.randint(30, 90, (), generator=source))
        memory = Memory(torch.randn(pixels, generator=source), width, first)
        # Never program 0: an answer that reads the first pixels only would be right there.
        program = int(torch.randint(1, -(-pixels // width), (), generator=source))
        return {"load": memory.load, "logits": first, "D": pixels, "program": program, "block": width}

    other_inputs(student, sum_of_tile, draw, (10, 4), (30 + secrets.randbelow(20), 7))
    right = softplus(LOGITS[:3]).sum()
    says = "an image smaller than the tile goes wrong: 5 of 8 lanes are masked."
    Table({}, right, otherwise=says).judge(tile(student, LOGITS[:3], 0, 8), "the sum of 3 pixels")
    expect_large_logits(student, block)
    expect_a_zero_logit(student, block)


def wrong_tiles() -> dict[str, Tensor]:
    """What typical mistakes give for the last of three programs."""
    block, bits = 4, softplus(LOGITS)
    mine, terms = LOGITS[8:], bits[8:]  # 2 pixels, beside 2 masked lanes
    right, log_2 = terms.sum(), softplus(tensor(0.0))
    return {
        "a masked lane loads 0, and log(1 + e⁰) = log 2 is added: mask the terms, after the softplus.": (
            right + 2 * log_2
        ),
        "log 2 is subtracted for the whole tile: mask the terms, after the softplus.": right - block * log_2,
        "one lane too few: the last pixel, number D − 1, is inside.": terms[:-1].sum(),
        "one lane too few, and log 2 is added for a masked one: the last pixel has number D − 1.": (
            terms[:-1].sum() + 3 * log_2
        ),
        "the mask compares with the block: inside is what lies before D.": tensor(0.0),
        "the mask compares with the block, and log 2 is added for each lane: compare with D.": block * log_2,
        "this is the first tile: program k begins at k · block.": bits[:4].sum(),
        "this is the tile before: program k begins at k · block.": bits[4:8].sum(),
        "program k begins at k · block, not at k.": bits[2 : 2 + block].sum(),
        "this is the sum over the whole image: one program has one tile.": bits.sum(),
        "this is the sum up to the end of the tile before: one program has one tile.": bits[:8].sum(),
        "the softplus is missing: this is the sum of the logits.": mine.sum(),
        "the exponential is summed: take log(1 + e^logit) of each pixel first.": mine.exp().sum(),
        "the exponential is summed, of masked lanes as well: take log(1 + e^logit) first.": (
            mine.exp().sum() + 2
        ),
        "the softplus is taken of the sum: take it of each pixel.": softplus(mine.sum()),
        "the logarithm of the sum of exponentials comes back: take log(1 + e^logit) of each pixel.": (
            mine.logsumexp(0)
        ),
        "the sigmoid is summed: take log(1 + e^logit).": mine.sigmoid().sum(),
        "the logarithm of the sigmoid is summed: take log(1 + e^logit).": (mine - terms).sum(),
        "the sign of the logit is flipped: log(1 + e^logit).": softplus(-mine).sum(),
        "this is max(logit, 0) alone: log(1 + e^−|logit|) is missing.": mine.relu().sum(),
        "max(logit, 0) is missing: it is added to log(1 + e^−|logit|).": softplus(-mine.abs()).sum(),
        "the sign of the sum is flipped.": -right,
        "averaged over the lanes: sum.": right / block,
        "averaged over the lanes, with log 2 for a masked one: sum, and mask.": (right + 2 * log_2) / block,
        "averaged over the pixels: sum.": terms.mean(),
        "the largest term comes back: sum the tile.": terms.max(),
        "one number a lane: sum the tile.": torch.cat([terms, tensor([0.0, 0.0])]),
        "one number a lane, log 2 for a masked one: mask them, and sum.": torch.cat([terms, log_2.expand(2)]),
    }


def expect_large_logits(student: Student, block: int) -> None:
    """Raise Mistake unless logits of ±900 give a finite and right sum."""
    far = 900 * LOGITS.sign()
    memory = Memory(far, block)
    what = "the sum for logits of ±900"
    yours = number_or_tensor(tile(student, far, 2, block), what, False)
    knows = "log(1 + eᵃ) = max(a, 0) + log(1 + e^−|a|), which softplus knows."
    if not yours.isfinite().all():
        watch = watched(lambda: student(memory.load, memory.first, len(far), 2, block))
        by_log = "a sigmoid of ±900 is 0 or 1, and the logarithm of 0 is minus infinity"
        cause = by_log if watch.broken_by.startswith("log") else "exp of 900 is infinity"
        raise Mistake(f"{what} is not finite: {cause}. {knows}")
    cut = f"a clamp or a small number cuts it off. {knows}"
    Table({}, softplus(far[8:]).sum(), otherwise=cut).judge(yours, what)


def expect_a_zero_logit(student: Student, block: int) -> None:
    """Raise Mistake if a pixel whose logit is 0 is left out, as if it were a masked lane."""
    logits = torch.cat([LOGITS[:8], tensor([0.0, 1.8])])
    right = softplus(logits[8:]).sum()
    says = "a logit may be 0 itself: leave lanes out by the mask, not by their value."
    wrong = {says: right - math.log(2)}
    Table({}, right, wrong).judge(tile(student, logits, 2, block), "the sum with a logit of 0")


# ---------------------------------------------------------------- log-sum-exp in one pass


def logsumexp_of(joint: Tensor, block: int) -> Tensor:
    """What is wanted of `online_logsumexp`, by another way."""
    return joint.logsumexp(1)


def one_pass(
    joint: Tensor,
    block: int,
    largest_of: Callable[[Tensor, Tensor], Tensor],
    rescale: Callable[[Tensor, Tensor], Tensor] = lambda old, new: (old - new).exp(),
    relative_to: Callable[[Tensor, Tensor], Tensor] = lambda old, new: new,
    start: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The running reference (N,) and the total (N,) after all tiles; `start` None: that of the first tile."""
    joint = joint.double()
    running, total = torch.full_like(joint[:, 0], start or 0.0), torch.zeros_like(joint[:, 0])
    for i, part in enumerate(joint.split(block, 1)):
        old = largest_of(part, part[:, 0] * 0 - inf) if start is None and i == 0 else running
        new = largest_of(part, old)
        total = total * rescale(old, new) + (part - relative_to(old, new)[:, None]).exp().sum(1)
        running = new
    return running, total


def own_largest(part: Tensor, old: Tensor) -> Tensor:
    """Each row's largest so far."""
    return part.amax(1).maximum(old)


@exercise
def online_logsumexp(student: Student) -> None:
    """log Σ exp of each row, tile by tile, whatever the size of the numbers, each component counted once."""
    joint = -tensor(
        [
            [3.0, 1.2, 4.5, 0.3, 2.2, 6.0, 1.1, 2.7, 0.8, 3.9],
            [0.4, 5.0, 2.0, 3.3, 0.9, 1.5, 4.0, 0.2, 2.8, 1.7],
        ]
    )  # (N, K)
    right, block = joint.logsumexp(1), 3  # K = 10, so tiles of 3, 3, 3 and 1
    nan = f"{FACTOR.capitalize()}, infinite at the first tile; a tile is relative to the new maximum."
    mistakes = wrong_sums(joint, block) | other_units(right)
    Table({"joint": joint}, right, mistakes, not_finite=nan).judge(call(student, joint, block))

    def draw(source: torch.Generator, n: int, k: int, width: int) -> Inputs:
        return {"joint": 2 * torch.randn(n, k, generator=source) - 4, "block": width}

    other_inputs(student, logsumexp_of, draw, (2, 10, 3), (4 + secrets.randbelow(3), 23, 5))
    says = "right, but K smaller than the block goes wrong: the only tile is narrower than `block`."
    few = call(student, joint[:, :2], block)
    expect(agrees(few, joint[:, :2].logsumexp(1)), says)
    expect_any_size(student, joint, block)
    expect_own_maximum(student)
    expect_tiles(student)


FACTOR = "the total so far is multiplied by exp(old maximum − new maximum), not by exp(new − old)"


def wrong_sums(joint: Tensor, block: int) -> dict[str, Tensor]:
    """What typical mistakes give in place of log Σ exp."""
    right = joint.logsumexp(1)
    largest = joint.amax(1)
    tiles = joint.split(block, 1)
    of_tiles = stack([part.logsumexp(1) for part in tiles])  # (4, N)
    maxima = stack([part.amax(1) for part in tiles])  # (4, N)
    total = (joint - largest[:, None]).exp().sum(1)

    def run(**changes: Any) -> Tensor:
        running, total = one_pass(joint, block, own_largest, **changes)
        return running + total.log()

    def keep(old: Tensor, new: Tensor) -> Tensor:
        return torch.ones_like(old)

    return {
        "the total so far is not rescaled: multiply it by exp(old maximum − new maximum).": run(rescale=keep),
        f"the factor is inverted: {FACTOR}.": run(rescale=lambda old, new: (new - old).exp()),
        "the factor is there twice: the total is multiplied by exp(old maximum − new maximum) once.": (
            run(rescale=lambda old, new: (2 * (old - new)).exp())
        ),
        "a tile is relative to the old maximum: subtract the new one.": run(relative_to=lambda old, new: old),
        "the maximum is not added back: the result is maximum + log(total).": total.log(),
        "the maximum is subtracted at the end: the result is maximum + log(total).": total.log() - largest,
        "the maximum of the last tile is added: it is the largest of all that counts.": (
            maxima[-1] + total.log()
        ),
        "log2 of the total: the logarithm is the natural one, as exp is.": largest + total.log2(),
        "log10 of the total: the logarithm is the natural one, as exp is.": largest + total.log10(),
        "the logarithm is missing: this is the total of the exponentials.": right.exp(),
        "this is the total relative to the maximum: take its logarithm, add the maximum.": total,
        "the maximum is added to the total: take the logarithm of the total first.": largest + total,
        "this is the maximum only: the exponentials of all count.": largest,
        "this is the last tile only: keep the total from tile to tile.": of_tiles[-1],
        "the last tile is left out: K need not be a multiple of the block.": joint[:, :9].logsumexp(1),
        "the first tile is left out.": joint[:, 3:].logsumexp(1),
        "this is the first tile only: go on to K.": of_tiles[0],
        "summed over the rows: the components are axis 1.": joint.logsumexp(0),
        "summed over rows and columns: one number for each row is wanted.": joint.logsumexp((0, 1)),
        "the rows are summed in the end: one number for each row is wanted.": right.sum(),
        "a mean of exponentials: log-sum-exp divides by nothing.": right - math.log(joint.shape[1]),
        "divided by the block: log-sum-exp divides by nothing.": right - math.log(block),
        "divided by the number of tiles: log-sum-exp divides by nothing.": right - math.log(len(tiles)),
        "the logarithms of the tiles are summed: add the exponentials.": of_tiles.sum(0),
        "the logarithms of the tiles are averaged: add the exponentials.": of_tiles.mean(0),
        "the largest of the tiles' results comes back: add their exponentials.": of_tiles.amax(0),
        "the maxima of the tiles are added up as exponentials: the others count, too.": maxima.logsumexp(0),
        "the sum of the numbers themselves: exponentiate first.": joint.sum(1),
        "the mean of the numbers themselves: exponentiate first.": joint.mean(1),
        "the tiles' totals are relative to different maxima: subtract one maximum in all.": (
            maxima[0] + (of_tiles - maxima).exp().sum(0).log()
        ),
        "the tiles' totals are relative to different maxima: subtract one maximum in all tiles.": (
            largest + (of_tiles - maxima).exp().sum(0).log()
        ),
        "the sign is flipped.": -right,
    }


def expect_any_size(student: Student, joint: Tensor, block: int) -> None:
    """Raise Mistake unless numbers far from 0, all of one size, come out right."""
    why = "exp of 900 is infinity: subtract the largest number so far before exp."
    Table({"joint": joint + 900}, joint.logsumexp(1) + 900, not_finite=why).judge(
        call(student, joint + 900, block)
    )
    start = "the running maximum must begin below every number, at minus infinity: "
    # float32 resolves 1e12 to 65,536 only, so that there the largest number is the result
    for far in (joint - 5000, torch.full_like(joint, -1e12)):
        right = far.logsumexp(1)
        yours = plain(call(student, far, block), "your result")
        near = float(right.max())
        says = f"{start}numbers near {near:.0e} lie below yours, and their exponentials round to 0."
        is_lost = yours.shape == right.shape and not yours.isfinite().all()
        expect(not is_lost, says)
        cut = "Is there a clamp, or does the maximum begin too high? It must begin at minus infinity."
        Table({}, right, otherwise=f"wrong for numbers near {near:.0e}. {cut}").judge(yours)


def scattered_rows() -> Tensor:
    """Rows (8, 23) for which any maximum but the row's own largest so far overflows or underflows somewhere.

    The tiles have 10, 10 and 3 columns.
    """
    near, far = -0.1 * (arange(23) % 7), -4000.0
    rows = near.repeat(8, 1)
    rows[0, 1:] = far  # the first is the largest
    rows[1, :22] = far  # the last is the largest
    rows[1, 14] = -1.0  # and before it one inside the second tile
    rows[2] = far  # the largest stand inside their tiles
    rows[2, 1], rows[2, 14] = -1.0, -2.0
    rows[3] -= 3000  # far below the other rows
    rows[4, 4] = -800.0  # the mean of the tile is still near the largest, its smallest is not
    rows[5, 13:19] = far  # the median of the row is near the largest, its mean is not
    rows[6] = far  # the largest stands last in its tile
    rows[6, 9] = 0.0
    rows[7, :10] = far  # the first tile lies far below the others
    return rows


def expect_own_maximum(student: Student) -> None:
    """Raise Mistake unless every row is measured from its own largest number so far."""
    rows, block = scattered_rows(), 10
    right = rows.logsumexp(1)

    def fixed(shift: Tensor) -> Tensor:
        return shift + (rows.double() - shift[:, None]).exp().sum(1).log()

    def running(largest_of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        reference, total = one_pass(rows, block, largest_of)
        return reference + total.log()

    wanted = "subtract each row's own largest number so far, `amax(1)` of the tile and the one before."
    same_for_all = torch.ones(len(rows), dtype=torch.float64)
    mistakes = {
        "one maximum serves all rows: each needs its own, so take `amax(1)`.": running(
            lambda part, old: old.maximum(part.amax())
        ),
        f"the smallest of all numbers is subtracted: {wanted}": fixed(same_for_all * rows.min()),
        f"the first tile's maximum is kept: {wanted}": fixed(rows[:, :block].amax(1)),
        f"the first number of the row is subtracted: {wanted}": fixed(rows[:, 0]),
        f"the mean of the row is subtracted: {wanted}": fixed(rows.double().mean(1)),
        f"the smallest number of the row is subtracted: {wanted}": fixed(rows.amin(1)),
        f"the median of the row is subtracted: {wanted}": fixed(rows.median(1).values),
        f"the largest mean of a tile so far is subtracted: {wanted}": (
            running(lambda part, old: old.maximum(part.mean(1)))
        ),
        f"the first number of a tile stands for its maximum: {wanted}": (
            running(lambda part, old: old.maximum(part[:, 0]))
        ),
        f"the last number of a tile stands for its maximum: {wanted}": (
            running(lambda part, old: old.maximum(part[:, -1]))
        ),
        f"the smallest number of a tile stands for its maximum: {wanted}": (
            running(lambda part, old: old.maximum(part.amin(1)))
        ),
        f"each tile's own maximum replaces the one before, even if it is smaller: {wanted}": (
            running(lambda part, old: part.amax(1))
        ),
    }
    why = f"Some numbers of a row lie far below others: {wanted}"
    cut = f"a row whose numbers lie far apart goes wrong, perhaps by a clamp: {wanted}"
    Table({"joint": rows}, right, mistakes, not_finite=why, otherwise=cut).judge(call(student, rows, block))


def expect_tiles(student: Student) -> None:
    """Raise Mistake unless the widest operation takes one tile."""
    n, block, k = 2, 7, 91  # 13 tiles
    joint = -(arange(n * k) % 17.0).reshape(n, k)
    watch = watched(lambda: student(joint.clone(), block))
    # twice a tile of all rows: room for the 13 tiles' results, but not for a row, nor for a third of one
    says = "right, but one operation takes more columns than a tile has: visit them in tiles of `block`."
    expect(watch.most <= 2 * n * block, says)
    # column by column is finer than any tile, and fine
    says = "right, but the tiles do not have `block` columns: is their width written into your code?"
    expect(watch.most <= n or watch.most >= block, says)


# ---------------------------------------------------------------- gradients with all their factors

# logits and x (N, D), mu and logvar (N, d); N, D and d differ
GIVEN = {
    "logits": tensor([[1.3, -0.4, 2.1, 0.7], [-1.6, 0.9, 3.2, -2.3], [0.5, 1.8, -0.2, 1.1]]),
    "x": tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]]),
    "mu": tensor([[0.8, -1.1, 0.5, 1.4, -0.9], [0.3, 1.7, -0.6, 2.1, 0.2], [-0.4, 0.6, 1.2, -1.8, 0.7]]),
    "logvar": tensor([[-0.5, 0.9, 0.3, -0.8, 1.2], [0.4, -1.3, 0.6, 1.0, -0.2], [1.1, 0.7, -0.9, 0.5, -1.6]]),
}
NAMES = ("d_logits", "d_mu", "d_logvar")


def three_gradients(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is wanted of `elbo_gradients`."""
    n = len(logits)
    return (logits.sigmoid() - x) / n, mu / n, (logvar.exp() - 1) / 2 / n


@exercise
def elbo_gradients(student: Student) -> None:
    """the gradients of the mean over images of reconstruction + KL, each with its factors 1/N and ½."""
    paper = "a derivative is computed by autograd: derive the three on paper, and write down their formulas."
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
    why = "exp of 900 is infinity, and infinity divided by infinity is not a number: use `logits.sigmoid()`."
    answer = call(student, *far.values())
    right_far = three_gradients(*far.values())[0]
    Table({}, right_far, not_finite=why).judge(answer[0], "d_logits of logits of ±900")
    wide = GIVEN | {"mu": 100 * GIVEN["mu"], "logvar": 60 * GIVEN["logvar"].sign()}
    answer = call(student, *wide.values())
    cut = "is a clamp or a small number in it? The formula holds for any mu and logvar."
    for value, name, good in zip(answer, NAMES, three_gradients(*wide.values()), strict=True):
        Table({}, good, otherwise=cut).judge(value, f"{name} of mu near ±100 and logvar of ±60")


def wrong_gradients(name: str, good: Tensor) -> dict[str, Tensor]:
    """What typical mistakes give in place of one of the three gradients."""
    of_its_own = {"d_logits": wrong_d_logits, "d_mu": wrong_d_mu, "d_logvar": wrong_d_logvar}[name]
    return of_its_own() | wrong_averages(good)


def wrong_averages(good: Tensor) -> dict[str, Tensor]:
    """Mistakes that can be made with each of the gradients: a sum or a mean in the wrong place, a sign."""
    n = len(good)
    missing = "the factor 1/N is missing: the loss is the mean over the images."
    return {
        missing: good * n,
        "divided by N twice: the loss is the mean over the images once.": good / n,
        "the sign is flipped, and the factor 1/N is missing.": -good * n,
        "these are bits: the loss is in nats.": good / math.log(2),
        "averaged over the images: each image has a gradient of its own.": good.mean(0),
        "summed over the images: each image has a gradient of its own.": good.sum(0),
        "one number for each image: every element has a gradient of its own.": good.sum(1),
        "one number: every element has a gradient of its own.": good.sum(),
    }


def wrong_d_logits() -> dict[str, Tensor]:
    """What typical mistakes give in place of the gradient with respect to the logits, (p − x) / N."""
    logits, x, _, _ = GIVEN.values()
    n, pixels = logits.shape
    p = logits.sigmoid()
    slope = p * (1 - p)  # of the sigmoid
    return {
        "the sign is flipped: it is sigmoid(logits) − x.": (x - p) / n,
        "the sigmoid is missing: compare probabilities with pixels.": (logits - x) / n,
        "averaged over the pixels: the loss is their sum.": (p - x) / n / pixels,
        "averaged over the pixels, and not over the images: the loss is a sum over pixels.": (p - x) / pixels,
        "an extra factor p(1 − p): the derivative with respect to the logit is plainly p − x.": (
            (p - x) * slope / n
        ),
        "this is the derivative with respect to the probability, not to the logit.": (p - x) / slope / n,
        "x is missing: where the pixel is right, the gradient is small.": p / n,
        "this is −x alone: the derivative of log(1 + eᵃ) is missing.": -x / n,
        "the sigmoid of the other sign stands here: it is sigmoid(logits) − x.": (1 - p - x) / n,
        "an extra factor 2: the derivative is p − x.": 2 * (p - x) / n,
        "an extra factor ½: the derivative is p − x.": (p - x) / 2 / n,
        "the pixel's probability of its own value stands here, with no sign.": (p - x).abs() / n,
        "this is the loss of each pixel, not its derivative.": (softplus(logits) - x * logits) / n,
        "these are probabilities less the mean pixel: subtract each pixel.": (p - x.mean()) / n,
        "the tanh stands for the sigmoid.": (logits.tanh() - x) / n,
        "the exponential stands for the sigmoid.": (logits.exp() - x) / n,
        "the softplus stands for its derivative, the sigmoid.": (softplus(logits) - x) / n,
    }


def wrong_d_mu() -> dict[str, Tensor]:
    """What typical mistakes give in place of the gradient with respect to mu, mu / N."""
    _, _, mu, logvar = GIVEN.values()
    n, codes = mu.shape
    std, variance = (logvar / 2).exp(), logvar.exp()
    return {
        "an extra factor 2: the KL has ½ mu², whose derivative is mu.": 2 * mu / n,
        "an extra factor ½: the derivative of ½ mu² is mu.": mu / 2 / n,
        "the sign is flipped: the KL grows with mu².": -mu / n,
        "this is mu², the derivative is mu.": mu**2 / n,
        "this is ½ mu², the derivative is mu.": mu**2 / 2 / n,
        "averaged over the dimensions: the KL is their sum.": mu / n / codes,
        "mu is divided by the variance: that of the prior is 1.": mu / variance / n,
        "mu is divided by the standard deviation: that of the prior is 1.": mu / std / n,
        "1 is subtracted: the derivative of ½ mu² is mu.": (mu - 1) / n,
        "the sign of mu alone stands here: the derivative of ½ mu² is mu.": mu.sign() / n,
    }


def wrong_d_logvar() -> dict[str, Tensor]:
    """What typical mistakes give in place of the gradient with respect to logvar, ½ (exp(logvar) − 1) / N."""
    _, _, mu, logvar = GIVEN.values()
    n, codes = mu.shape
    std, variance = (logvar / 2).exp(), logvar.exp()
    return {
        "the factor ½ of the KL is missing.": (variance - 1) / n,
        "the factor ½ counts twice.": (variance - 1) / 4 / n,
        "the −1 is missing: the gradient is 0 where the variance is 1.": variance / 2 / n,
        "the −1 is missing, and so is the factor ½.": variance / n,
        "the sign is flipped: it is ½ (exp(logvar) − 1).": (1 - variance) / 2 / n,
        "the sign of the −1 is flipped: it is ½ (exp(logvar) − 1).": (variance + 1) / 2 / n,
        "−1 stands outside the factor ½: it is ½ (exp(logvar) − 1).": (variance / 2 - 1) / n,
        "logvar is taken as log-std: the variance is exp(logvar).": (variance.square() - 1) / 2 / n,
        "the derivative is taken with respect to log-std, with the variance exp(2 · logvar).": (
            (variance.square() - 1) / n
        ),
        "the std stands for the variance: it is exp(logvar).": (std - 1) / 2 / n,
        "this is the derivative with respect to the standard deviation, not to logvar.": (std - 1 / std) / n,
        "this is the derivative with respect to the variance, not to logvar.": (1 - 1 / variance) / 2 / n,
        "logvar itself stands for the variance: it is exp(logvar).": (logvar - 1) / 2 / n,
        "this is ½ logvar: the derivative of exp(logvar) is exp(logvar).": logvar / 2 / n,
        "this is the KL of each dimension, not its derivative.": (variance - 1 - logvar + mu**2) / 2 / n,
        "mu² is still in it: it does not depend on logvar.": (variance - 1 + mu**2) / 2 / n,
        "−logvar is still in it: its derivative is −1.": (variance - 1 - logvar) / 2 / n,
        "averaged over the dimensions: the KL is their sum.": (variance - 1) / 2 / n / codes,
        "only the −1 is left: the derivative of exp(logvar) is exp(logvar).": torch.full_like(mu, -0.5) / n,
    }
