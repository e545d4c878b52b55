"""The checks of "Inside the GPU": right answers of any style pass, and each wrong one is named.

The tables were written from the notebook's text. A row of a table of wrong answers reads:
what the student did, the words that the message must contain, the answer.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.functional import softplus

from course_lib import checks

LN2 = math.log(2)
INF = math.inf


# ---------------------------------------------------------------- a tile and its mask


def tile_sum(load, logits, D, program, block):
    """Reference solution."""
    pixel = program * block + torch.arange(block)  # (block,)
    inside = pixel < D
    a = load(logits + pixel, inside)
    return torch.where(inside, softplus(a), 0.0).sum()


def tile(
    start=lambda program, block: program * block,
    inside=lambda pixel, D, block: pixel < D,
    term=softplus,
    result=lambda terms, mask: torch.where(mask, terms, 0.0).sum(),
    other=0.0,
):
    """The reference, one step of it exchanged."""

    def student(load, logits, D, program, block):
        pixel = start(program, block) + torch.arange(block)
        mask = inside(pixel, D, block)
        return result(term(load(logits + pixel, mask, other)), mask)

    return student


def clamped_and_masked(load, logits, D, program, block):
    pixel = torch.arange(program * block, program * block + block)
    inside = pixel < D
    a = load(logits + pixel.clamp(max=D - 1), inside)
    return (softplus(a) * inside).sum()


def lane_by_lane_after_loading(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    a = load(logits + pixel, pixel < D)
    total = 0.0
    for lane in range(block):
        if program * block + lane < D:
            total = total + softplus(a[lane])
    return total


def only_those_inside(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    return softplus(load(logits + pixel, inside)[inside]).sum()


def less_log_2(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    return softplus(load(logits + pixel, inside)).sum() - (~inside).sum() * LN2


def mapped_over_lanes(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    return torch.func.vmap(lambda a, m: softplus(a) * m)(load(logits + pixel, inside), inside).sum()


def loaded_twice(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    positive = load(logits + pixel, inside).clamp(min=0)
    small = torch.exp(-load(logits + pixel, inside).abs())
    return torch.where(inside, positive + torch.log(1 + small), 0.0).sum()


def in_place_on_a_clone(load, logits, D, program, block):
    at = torch.arange(block).add_(program * block)
    inside = at < D
    terms = softplus(load(at.add_(logits), inside)).clone()
    terms[~inside] = 0.0
    return terms.sum()


def masked_sum(terms, mask):
    return (terms * mask).sum()


RIGHT_TILE = {
    "reference": tile_sum,
    "times the mask": tile(result=masked_sum),
    "masked_fill": tile(result=lambda terms, mask: terms.masked_fill(~mask, 0.0).sum()),
    "indexed by the mask": tile(result=lambda terms, mask: terms[mask].sum()),
    "dot product with the mask": tile(result=lambda terms, mask: terms @ mask.float()),
    "einsum": tile(result=lambda terms, mask: torch.einsum("b,b->", terms, mask.float())),
    "other of −∞": tile(other=-INF, result=lambda terms, mask: terms.sum()),
    "other of −1e4": tile(other=-1e4, result=lambda terms, mask: terms.sum()),
    "logaddexp": tile(term=lambda a: torch.logaddexp(a, torch.zeros_like(a))),
    "minus logsigmoid": tile(term=lambda a: -F.logsigmoid(-a)),
    "cross entropy with 0": tile(
        term=lambda a: F.binary_cross_entropy_with_logits(a, torch.zeros_like(a), reduction="none")
    ),
    "as in the kernel": tile(term=lambda a: a.clamp(min=0) + torch.log(1 + torch.exp(-a.abs()))),
    "float64": tile(term=lambda a: softplus(a.double())),
    "a Python float": lambda *given: tile_sum(*given).item(),
    "clamped addresses": clamped_and_masked,
    "lane by lane": lane_by_lane_after_loading,
    "only those inside": only_those_inside,
    "less log 2": less_log_2,
    "vmap": mapped_over_lanes,
    "loaded twice": loaded_twice,
    "in place on a clone": in_place_on_a_clone,
    "mask by keyword": lambda load, logits, D, program, block: tile_sum(
        lambda at, mask: load(at, mask=mask, other=0.0), logits, D, program, block
    ),
    "nansum": tile(other=math.nan, result=lambda terms, mask: terms.nansum()),
}


def no_mask(load, logits, D, program, block):
    return softplus(load(logits + program * block + torch.arange(block))).sum()


def cut_to_the_image(load, logits, D, program, block):
    pixel = torch.arange(program * block, min(program * block + block, D))
    return softplus(load(logits + pixel, pixel < D)).sum()


def one_address_at_a_time(load, logits, D, program, block):
    total = 0.0
    for pixel in range(program * block, min(program * block + block, D)):
        total = total + softplus(load(logits + torch.tensor(pixel), torch.tensor(True)))
    return total


def python_address(load, logits, D, program, block):
    return sum(
        softplus(load(logits + i, True)) for i in range(program * block, program * block + block)
    )


def slice_of_the_address(load, logits, D, program, block):
    return softplus(logits[program * block : (program + 1) * block]).sum()


def no_load(load, logits, D, program, block):
    return torch.zeros(())


def without_the_address(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    return torch.where(inside, softplus(load(pixel, inside)), 0.0).sum()


def mask_on_addresses(load, logits, D, program, block):
    at = logits + program * block + torch.arange(block)
    return torch.where(at < D, softplus(load(at, at < D)), 0.0).sum()


def mask_on_addresses_and_log_2(load, logits, D, program, block):
    at = logits + program * block + torch.arange(block)
    return softplus(load(at, at < D)).sum()


def addresses_in_bytes(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = pixel < D
    return torch.where(inside, softplus(load(logits + 4 * pixel, inside)), 0.0).sum()


def mask_of_lanes(load, logits, D, program, block):
    lane = torch.arange(block)
    return softplus(load(logits + program * block + lane, lane < D)).sum()


def mask_of_ones(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    inside = torch.ones(block, dtype=torch.bool)
    return torch.where(pixel < D, softplus(load(logits + pixel, inside)), 0.0).sum()


def mask_of_numbers(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    return softplus(load(logits + pixel, (pixel < D).float())).sum()


def one_bool(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    return softplus(load(logits + pixel, (pixel < D).all())).sum()


def lists_to_load(load, logits, D, program, block):
    pixels = [program * block + lane for lane in range(block)]
    return softplus(load([logits + p for p in pixels], [p < D for p in pixels])).sum()


def a_list_as_the_mask(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    return softplus(load(logits + pixel, (pixel < D).tolist())).sum()


def float_addresses(load, logits, D, program, block):
    pixel = program * block + torch.arange(block, dtype=torch.float32)
    return softplus(load(logits + pixel, pixel < D)).sum()


def every_program_the_last(load, logits, D, program, block):
    return tile_sum(load, logits, D, D // block, block)


def four_lanes(load, logits, D, program, block):
    pixel = program * 4 + torch.arange(4)
    inside = pixel < D
    return torch.where(inside, softplus(load(logits + pixel, inside)), 0.0).sum()


def ten_pixels(load, logits, D, program, block):
    return tile_sum(load, logits, min(D, 10), program, block)


def log_2_if_small(load, logits, D, program, block):
    return tile_sum(load, logits, D, program, block) + (LN2 if block > D else 0.0)


def masked_by_value(load, logits, D, program, block):
    pixel = program * block + torch.arange(block)
    a = load(logits + pixel, pixel < D)
    return torch.where(a != 0, softplus(a), 0.0).sum()


WRONG_TILE = {
    "masked by value": ("a pixel with logit 0 is left out", masked_by_value),
    "no mask after softplus": (
        "a masked lane loads 0, so log(1 + e⁰) = log 2 is added",
        tile(result=lambda terms, mask: terms.sum()),
    ),
    "log 2 for every lane": (
        "log 2 is subtracted for the whole tile",
        tile(result=lambda terms, mask: masked_sum(terms, mask) - len(terms) * LN2),
    ),
    "one lane too many": ("one lane too many", tile(inside=lambda pixel, D, block: pixel <= D)),
    "one lane too few": (
        "the mask includes one lane too few",
        tile(inside=lambda pixel, D, block: pixel < D - 1),
    ),
    "too few, and log 2": (
        "the mask is one lane short, and log 2 is added for masked lanes",
        tile(inside=lambda pixel, D, block: pixel < D - 1, result=lambda terms, mask: terms.sum()),
    ),
    "mask turned": ("the mask is inverted", tile(inside=lambda pixel, D, block: pixel >= D)),
    "mask by the block": (
        "the mask compares with the block size",
        tile(inside=lambda pixel, D, block: pixel < block),
    ),
    "mask by the block, and log 2": (
        "the mask compares with the block size, and log 2 is added for each lane",
        tile(inside=lambda pixel, D, block: pixel < block, result=lambda terms, mask: terms.sum()),
    ),
    "mask on addresses": ("the mask is False for every lane, even in program 0", mask_on_addresses),
    "mask on addresses, and log 2": (
        "Compare the numbers of the pixels with D, not their addresses",
        mask_on_addresses_and_log_2,
    ),
    "addresses in bytes": ("addresses count numbers, not bytes", addresses_in_bytes),
    "mask of lanes": ("lane 2 reads pixel 10 of an image of 10", mask_of_lanes),
    "mask of ones": ("of an image of", mask_of_ones),
    "mask of two more": ("of an image of", tile(inside=lambda pixel, D, block: pixel < D + 2)),
    "no mask": ("`load` without a mask", no_mask),
    "mask of numbers": ("True or False for each lane", mask_of_numbers),
    "one bool for all": ("one element for each lane", one_bool),
    "slices": ("stops in", slice_of_the_address),
    "cut to the image": ("but the addresses have shape", cut_to_the_image),
    "one address at a time": ("`load` reads 4 addresses at once", one_address_at_a_time),
    "a Python number": ("one for each lane of the program, but got int", python_address),
    "a list of addresses": ("but got list. Use `torch.arange`", lists_to_load),
    "a list as the mask": ("the mask must be a tensor with True or False", a_list_as_the_mask),
    "float addresses": ("`load` takes addresses that are integers", float_addresses),
    "no load": ("`load` is never called", no_load),
    "no address of the image": (
        "an address is before the image, which starts at `logits`",
        without_the_address,
    ),
    "one tile too far": (
        "of an image of",
        tile(
            start=lambda program, block: (program + 1) * block,
            inside=lambda pixel, D, block: pixel < D + block,
        ),
    ),
    "the first tile": (
        "the result is the sum of the first tile",
        tile(start=lambda program, block: 0),
    ),
    "the tile before": (
        "the result is the sum of the previous tile",
        tile(start=lambda program, block: (program - 1) * block),
    ),
    "begins at k": (
        "the tile begins at k, but program k begins at k · block",
        tile(start=lambda program, block: program),
    ),
    "no softplus": ("the softplus is missing", tile(term=lambda a: a)),
    "exp": ("the exponential is summed", tile(term=torch.exp)),
    "exp, and no mask": (
        "the exponential is summed, including masked lanes",
        tile(term=torch.exp, result=lambda terms, mask: terms.sum()),
    ),
    "softplus of the sum": (
        "the softplus of the sum is returned",
        tile(term=lambda a: a, result=lambda terms, mask: softplus(terms.sum())),
    ),
    "logsumexp": (
        "the logarithm of the sum of exponentials",
        tile(other=-INF, term=lambda a: a, result=lambda terms, mask: terms.logsumexp(0)),
    ),
    "sigmoid": ("the sigmoid is summed", tile(term=torch.sigmoid)),
    "logsigmoid": ("the logarithm of the sigmoid", tile(term=F.logsigmoid)),
    "softplus of −a": ("the sign of the logit", tile(term=lambda a: softplus(-a))),
    "relu": ("only max(logit, 0) is summed", tile(term=F.relu)),
    "log1p only": (
        "max(logit, 0) is missing",
        tile(term=lambda a: torch.log1p(torch.exp(-a.abs()))),
    ),
    "minus": ("the sign of the sum", tile(result=lambda terms, mask: -masked_sum(terms, mask))),
    "mean over lanes": (
        "the terms are averaged over the lanes",
        tile(result=lambda terms, mask: (terms * mask).mean()),
    ),
    "mean over lanes, no mask": (
        "averaged over the lanes, with",
        tile(result=lambda terms, mask: terms.mean()),
    ),
    "mean over pixels": (
        "averaged over the pixels",
        tile(result=lambda terms, mask: terms[mask].mean()),
    ),
    "the largest": ("the largest term", tile(result=lambda terms, mask: (terms * mask).max())),
    "one number a lane": (
        "the result has one number per lane",
        tile(result=lambda terms, mask: terms * mask),
    ),
    "one number a lane, no mask": (
        "the result has one number per lane, and log 2 for masked lanes",
        tile(result=lambda terms, mask: terms),
    ),
    "bits": ("is in bits", tile(term=lambda a: softplus(a) / LN2)),
    "log2": ("is in bits", tile(term=lambda a: torch.log2(1 + a.exp()))),
    "log10": ("base 10", tile(term=lambda a: torch.log10(1 + a.exp()))),
    "the square": ("a value is wrong", tile(term=torch.square)),
    "exp first": ("exp(900) overflows", tile(term=lambda a: torch.log(1 + a.exp()))),
    "log1p of exp": ("exp(900) overflows", tile(term=lambda a: torch.log1p(a.exp()))),
    "logarithm of the sigmoid": (
        "the sigmoid of ±900 is 1 or 0, and the logarithm of 0 is minus infinity",
        tile(term=lambda a: -(1 - a.sigmoid()).log()),
    ),
    "a small number inside": (
        "a clamp or a small added number limits the value",
        tile(term=lambda a: -(1 - a.double().sigmoid() + 1e-12).log()),
    ),
    "logits clamped": (
        "a clamp or a small added number limits the value",
        tile(term=lambda a: softplus(a.clamp(-30, 30))),
    ),
    "every program the last": (
        "the last program is right, but a full tile is wrong",
        every_program_the_last,
    ),
    "four lanes": ("Is a size hard-coded", four_lanes),
    "ten pixels": (
        "your function is right on the example but wrong for another input size",
        ten_pixels,
    ),
    "log 2 if the image is small": (
        "a value is wrong if the image is smaller than the tile",
        log_2_if_small,
    ),
    "a list": ("but got list", lambda *given: [tile_sum(*given)]),
    "kept axis": ("the shape is wrong", lambda *given: tile_sum(*given)[None]),
    "no return": ("returns None", lambda *given: None),
}


# ---------------------------------------------------------------- log-sum-exp in one pass


def online_logsumexp(joint, block):
    """Reference solution."""
    largest = torch.full((len(joint),), -INF)
    total = torch.zeros(len(joint))
    for part in joint.split(block, 1):
        new = torch.maximum(largest, part.amax(1))
        total = total * (largest - new).exp() + (part - new[:, None]).exp().sum(1)
        largest = new
    return largest + total.log()


def by_own_maximum(joint, block):
    largest, total = torch.full((len(joint),), -INF), torch.zeros(len(joint))
    for part in joint.split(block, 1):
        own = part.amax(1)
        new = torch.maximum(largest, own)
        total = total * (largest - new).exp() + (part - own[:, None]).exp().sum(1)
        largest = new
    return largest + total.log()


def online(
    rescale=lambda old, new: (old - new).exp(),
    start=-INF,
    stop=None,
    begin=None,
    largest_of=lambda part, old: torch.maximum(old, part.amax(1)),
    relative_to=lambda old, new: new,
    end=lambda largest, total: largest + total.log(),
):
    """The reference, one step of it exchanged; `start` None begins with the first tile."""

    def student(joint, block):
        tiles = joint.split(block, 1)[begin:stop]
        largest = torch.full((len(joint),), 0.0 if start is None else start)
        total = torch.zeros(len(joint))
        if start is None:
            first, *tiles = tiles
            largest = largest_of(first, first[:, 0] - INF)
            total = (first - largest[:, None]).exp().sum(1)
        for part in tiles:
            new = largest_of(part, largest)
            terms = (part - relative_to(largest, new)[:, None]).exp()
            total = total * rescale(largest, new) + terms.sum(1)
            largest = new
        return end(largest, total)

    return student


def in_two_passes(joint, block):
    largest = torch.stack([part.amax(1) for part in joint.split(block, 1)]).amax(0)
    total = sum((part - largest[:, None]).exp().sum(1) for part in joint.split(block, 1))
    return largest + total.log()


def by_logaddexp(joint, block):
    found = torch.full(joint.shape[:1], -INF)
    for begin in range(0, joint.shape[1], block):
        found = torch.logaddexp(found, joint.mT[begin : begin + block].logsumexp(0))
    return found


def tiles_then_all(joint, block):
    return torch.stack([part.logsumexp(1) for part in joint.split(block, 1)]).logsumexp(0)


def of_tiles_by_softmax(joint, block):
    of_tiles = [part.amax(1) - part.log_softmax(1).amax(1) for part in joint.split(block, 1)]
    largest = torch.stack(of_tiles).amax(0)
    return largest + sum((of_tile - largest).exp() for of_tile in of_tiles).log()


def row_by_row(joint, block):
    found = []
    for row in joint:
        largest, total = torch.tensor(-INF), torch.tensor(0.0)
        for part in row.split(block):
            new = torch.maximum(largest, part.max())
            total = total * torch.exp(largest - new) + torch.exp(part - new).sum()
            largest = new
        found.append(largest + total.log())
    return torch.stack(found)


def in_python(joint, block):
    found = []
    for row in joint.tolist():
        largest, total = -INF, 0.0
        for begin in range(0, len(row), block):
            part = row[begin : begin + block]
            new = max(largest, *part)
            total = total * math.exp(largest - new) + sum(math.exp(v - new) for v in part)
            largest = new
        found.append(largest + math.log(total))
    return torch.tensor(found)


def column_by_column(joint, block):
    largest, total = joint[:, 0], torch.ones(len(joint))
    for k in range(1, joint.shape[1]):
        new = torch.maximum(largest, joint[:, k])
        total = total * (largest - new).exp() + (joint[:, k] - new).exp()
        largest = new
    return largest + total.log()


def padded(joint, block):
    n, k = joint.shape
    wide = F.pad(joint, (0, -k % block), value=-INF).view(n, -1, block)
    largest, total = torch.full((n,), -INF), torch.zeros(n)
    for i in range(wide.shape[1]):
        new = torch.maximum(largest, wide[:, i].max(1).values)
        total = total * (largest - new).exp() + (wide[:, i] - new[:, None]).exp().sum(1)
        largest = new
    return largest + torch.log(total)


def only_if_larger(joint, block):
    largest, total = torch.full((len(joint),), -INF), torch.zeros(len(joint))
    for part in torch.split(joint, block, dim=1):
        here = part.max(dim=1).values
        total = torch.where(here > largest, total * torch.exp(largest - here), total)
        largest = torch.where(here > largest, here, largest)
        total = total + torch.exp(part - largest.unsqueeze(1)).sum(dim=1)
    return largest + torch.log(total)


def mapped_over_rows(joint, block):
    def of_row(row):
        largest, total = row[0] - INF, row[0] * 0.0
        for part in row.split(block):
            new = torch.maximum(largest, part.amax())
            total = total * (largest - new).exp() + (part - new).exp().sum()
            largest = new
        return largest + total.log()

    return torch.func.vmap(of_row)(joint)


def in_place(joint, block):
    largest, total = joint[:, 0].clone().fill_(-INF), joint[:, 0].clone().zero_()
    for part in joint.split(block, 1):
        new = torch.maximum(largest, part.amax(1))
        total.mul_(largest.sub_(new).exp_()).add_(part.sub(new[:, None]).exp_().sum(1))
        largest = new
    return total.log_().add_(largest)


def with_einsum(joint, block):
    largest, total = torch.full((len(joint),), -INF), torch.zeros(len(joint))
    for part in joint.split(block, 1):
        new = torch.maximum(largest, part.amax(1))
        total = total * (largest - new).exp() + torch.einsum("nb->n", (part - new[:, None]).exp())
        largest = new
    return largest + total.log()


RIGHT_ONLINE = {
    "reference": online_logsumexp,
    "begins with the first tile": online(start=None),
    "begins at the smallest float": online(start=torch.finfo(torch.float32).min),
    "two passes": in_two_passes,
    "row by row": row_by_row,
    "in Python": in_python,
    "column by column": column_by_column,
    "padded with −∞": padded,
    "rescaled only if larger": only_if_larger,
    "vmap over rows": mapped_over_rows,
    "in place on clones": in_place,
    "einsum": with_einsum,
    "float64": lambda joint, block: online(start=None)(joint.double(), block),
    "log total kept": online(start=None, end=lambda largest, total: torch.log(total) + largest),
    "transposed": lambda joint, block: online_logsumexp(joint.T.contiguous().T, block),
}


def no_maximum(joint, block):
    return sum(part.exp().sum(1) for part in joint.split(block, 1)).log()


def relative_to_its_own(joint, block):
    tiles = joint.split(block, 1)
    totals = sum((part - part.amax(1, keepdim=True)).exp().sum(1) for part in tiles)
    return tiles[0].amax(1) + totals.log()


def relative_to_its_own_largest_added(joint, block):
    tiles = joint.split(block, 1)
    totals = sum((part - part.amax(1, keepdim=True)).exp().sum(1) for part in tiles)
    return torch.stack([part.amax(1) for part in tiles]).amax(0) + totals.log()


def last_maximum_added(joint, block):
    tiles = joint.split(block, 1)
    return (
        online_logsumexp(joint, block)
        - in_two_passes(joint, block)
        + (
            in_two_passes(joint, block)
            - torch.stack([part.amax(1) for part in tiles]).amax(0)
            + tiles[-1].amax(1)
        )
    )


def shifted_by(shift):
    """Every tile relative to one number of each row, or of all rows, that is known beforehand."""

    def student(joint, block):
        s = shift(joint).expand(len(joint))
        return s + sum((part - s[:, None]).exp().sum(1) for part in joint.split(block, 1)).log()

    return student


def of_tiles(play):
    """A function of the tiles' own results (tiles, N)."""
    return lambda joint, block: play(
        torch.stack([part.logsumexp(1) for part in joint.split(block, 1)])
    )


def three_tiles_of_three(joint, block):
    tiles = [joint[:, :3], joint[:, 3:6], joint[:, 6:9], joint[:, 9:]]
    return torch.stack([part.logsumexp(1) for part in tiles]).logsumexp(0)


def in_four_chunks(joint, block):
    return torch.stack([part.logsumexp(1) for part in joint.chunk(4, 1)]).logsumexp(0)


def blocks_of_three(joint, block):
    return online_logsumexp(joint, 3)


def whole_blocks(joint, block):
    tiles = joint.shape[1] // block
    return online_logsumexp(joint[:, : tiles * block], block)


def two_rows(joint, block):
    largest, total = torch.full((2,), -INF), torch.zeros(2)
    for part in joint.split(block, 1):
        new = torch.maximum(largest, part.amax(1))
        total = total * (largest - new).exp() + (part - new[:, None]).exp().sum(1)
        largest = new
    return largest + total.log()


def first_two_rows(joint, block):
    return torch.stack([online_logsumexp(joint, block)[row] for row in range(2)])


def at_least_one_block(joint, block):
    return online_logsumexp(joint, block) if joint.shape[1] >= block else joint.amax(1)


WRONG_ONLINE = {
    "not rescaled": ("not rescaled", online(rescale=lambda old, new: 1.0)),
    "factor turned": (
        "factor is inverted",
        online(start=None, rescale=lambda old, new: (new - old).exp()),
    ),
    "factor turned, from −∞": (
        "not by exp(new − old), which is infinite",
        online(rescale=lambda old, new: (new - old).exp()),
    ),
    "factor twice": (
        "the factor is applied twice",
        online(rescale=lambda old, new: (2 * (old - new)).exp()),
    ),
    "relative to the old": (
        "a tile uses the old maximum",
        online(start=None, relative_to=lambda old, new: old),
    ),
    "relative to the old, from −∞": (
        "which is infinite at the first tile",
        online(relative_to=lambda old, new: old),
    ),
    "relative to the tile's own": ("a tile's exponentials use its own maximum", by_own_maximum),
    "maximum not added": ("not added back", online(end=lambda largest, total: total.log())),
    "maximum subtracted": (
        "subtracted at the end",
        online(end=lambda largest, total: total.log() - largest),
    ),
    "last maximum added": ("the maximum of the last tile is added", last_maximum_added),
    "log2": ("log2 of the total", online(end=lambda largest, total: largest + total.log2())),
    "log10": ("log10 of the total", online(end=lambda largest, total: largest + total.log10())),
    "bits": ("is in bits", lambda joint, block: online_logsumexp(joint, block) / LN2),
    "base 10": (
        "the result uses logarithms to base 10",
        lambda joint, block: online_logsumexp(joint, block) / math.log(10),
    ),
    "no logarithm": (
        "the logarithm is missing",
        lambda joint, block: online_logsumexp(joint, block).exp(),
    ),
    "total": ("the total is relative to the maximum", online(end=lambda largest, total: total)),
    "total added": ("added to the total", online(end=lambda largest, total: largest + total)),
    "maximum": ("the result is only the maximum", online(end=lambda largest, total: largest)),
    "last tile": ("the result is only that of the last tile", online(begin=-1)),
    "last tile, total forgotten": (
        "the result is only that of the last tile",
        lambda joint, block: joint.split(block, 1)[-1].logsumexp(1),
    ),
    "last tile left out": ("the last tile is left out", online(stop=-1)),
    "whole blocks": ("the last tile is left out", whole_blocks),
    "first tile left out": ("the first tile is left out", online(begin=1)),
    "first tile": ("the result is only that of the first tile", online(stop=1)),
    "over the rows": ("summed over the rows", lambda joint, block: joint.logsumexp(0)),
    "over both axes": ("rows and columns", lambda joint, block: joint.logsumexp((0, 1))),
    "rows summed": (
        "the rows are summed",
        lambda joint, block: online_logsumexp(joint, block).sum(),
    ),
    "mean of exponentials": (
        "the mean of the exponentials is taken",
        lambda joint, block: online_logsumexp(joint, block) - math.log(joint.shape[1]),
    ),
    "divided by the block": (
        "divided by the block",
        lambda joint, block: online_logsumexp(joint, block) - math.log(block),
    ),
    "divided by the tiles": (
        "divided by the number of tiles",
        lambda joint, block: online_logsumexp(joint, block) - math.log(len(joint.split(block, 1))),
    ),
    "logarithms summed": ("the logarithms of the tiles are summed", of_tiles(lambda t: t.sum(0))),
    "logarithms averaged": (
        "the logarithms of the tiles are averaged",
        of_tiles(lambda t: t.mean(0)),
    ),
    "largest tile": ("the largest result of all tiles is returned", of_tiles(lambda t: t.amax(0))),
    "maxima only": (
        "only the tiles' maxima are exponentiated and added",
        lambda joint, block: torch.stack([t.amax(1) for t in joint.split(block, 1)]).logsumexp(0),
    ),
    "numbers summed": ("the numbers themselves are summed", lambda joint, block: joint.sum(1)),
    "numbers averaged": ("the numbers themselves are averaged", lambda joint, block: joint.mean(1)),
    "each tile by its own": ("the totals are relative to different maxima", relative_to_its_own),
    "each tile by its own, largest added": (
        "the totals of all tiles are relative to different maxima",
        relative_to_its_own_largest_added,
    ),
    "minus": ("the sign is flipped", lambda joint, block: -online_logsumexp(joint, block)),
    "exp first": ("exp(900) overflows", no_maximum),
    "exp first, float64": (
        "exp(900) overflows",
        lambda joint, block: no_maximum(joint.double(), block),
    ),
    "starts at 0": (
        "the running maximum must start below every number, at minus infinity",
        online(start=0.0),
    ),
    "starts at −100": (
        "the running maximum must start below every number, at minus infinity",
        online(start=-100.0),
    ),
    "starts at −1e3": (
        "the running maximum must start below every number, at minus infinity",
        online(start=-1e3),
    ),
    "starts at −1e9": (
        "the running maximum must start below every number, at minus infinity",
        online(start=-1e9),
    ),
    "starts at −1e3, and a small number": (
        "Is something clamped, or does the running maximum not start at minus infinity",
        online(start=-1e3, end=lambda largest, total: largest + (total + 1e-30).log()),
    ),
    "a small number, exp first": (
        "exp(900) overflows",
        lambda joint, block: sum((p.exp() + 1e-30).sum(1) for p in joint.split(block, 1)).log(),
    ),
    "numbers clamped": (
        "Is something clamped, or does the running maximum not start at minus infinity",
        lambda joint, block: online_logsumexp(joint.clamp(min=-1e3), block),
    ),
    "one maximum for all rows": (
        "all rows share one maximum, but each row needs its own",
        online(largest_of=lambda part, old: torch.maximum(old, part.max())),
    ),
    "one maximum of the matrix": (
        "all rows share one maximum, but each row needs its own",
        shifted_by(lambda joint: joint.max()),
    ),
    "smallest of all": ("the smallest of all numbers", shifted_by(lambda joint: joint.min())),
    "the first tile's maximum": (
        "the first tile's maximum is kept",
        online(
            start=None, largest_of=lambda part, old: torch.where(old.isinf(), part.amax(1), old)
        ),
    ),
    "shift by the first": ("the first number of the row", shifted_by(lambda joint: joint[:, 0])),
    "shift by the mean": ("the mean of the row", shifted_by(lambda joint: joint.mean(1))),
    "shift by the smallest": (
        "the smallest number of the row",
        shifted_by(lambda joint: joint.amin(1)),
    ),
    "shift by the median": (
        "the median of the row",
        shifted_by(lambda joint: joint.median(1).values),
    ),
    "mean of a tile": (
        "the largest mean of a tile",
        online(largest_of=lambda part, old: torch.maximum(old, part.mean(1))),
    ),
    "first of a tile": (
        "the first number of a tile",
        online(largest_of=lambda part, old: torch.maximum(old, part[:, 0])),
    ),
    "last of a tile": (
        "the last number of a tile",
        online(largest_of=lambda part, old: torch.maximum(old, part[:, -1])),
    ),
    "smallest of a tile": (
        "the smallest number of a tile",
        online(largest_of=lambda part, old: torch.maximum(old, part.amin(1))),
    ),
    "maximum replaced": (
        "each tile's own maximum replaces the previous one, even if it is smaller",
        online(largest_of=lambda part, old: part.amax(1)),
    ),
    "total clamped": (
        "Is something clamped, or does the running maximum not start at minus infinity",
        online(start=-1e3, end=lambda largest, total: largest + total.clamp(min=1e-20).log()),
    ),
    "all columns at once": ("more columns than a tile", lambda joint, block: joint.logsumexp(1)),
    "all columns at once, by hand": (
        "more columns than a tile",
        lambda joint, block: (
            joint.amax(1) + (joint - joint.amax(1, keepdim=True)).exp().sum(1).log()
        ),
    ),
    "maximum of the whole row": (
        "more columns than a tile",
        shifted_by(lambda joint: joint.amax(1)),
    ),
    "four chunks": ("more columns than a tile", in_four_chunks),
    "tiles written down": ("more columns than a tile", three_tiles_of_three),
    "logaddexp of the tiles": ("`logaddexp` keeps the maximum for you", by_logaddexp),
    "tiles, then all": ("`logsumexp` keeps the maximum for you", tiles_then_all),
    "log_softmax of the tiles": ("`log_softmax` keeps the maximum for you", of_tiles_by_softmax),
    "blocks of three": ("the result is right", blocks_of_three),
    "two rows": ("Is a size hard-coded", two_rows),
    "the first two rows": ("Is a size hard-coded", first_two_rows),
    "few columns": ("the result is wrong if K is smaller than the block", at_least_one_block),
    "kept axis": ("the axes are not", lambda joint, block: online_logsumexp(joint, block)[:, None]),
    "a list": ("but got list", lambda joint, block: online_logsumexp(joint, block).tolist()),
    "largest and total": ("but got tuple", online(end=lambda largest, total: (largest, total))),
    "no return": ("returns None", lambda joint, block: None),
}


# ---------------------------------------------------------------- gradients with all their factors


def elbo_gradients(logits, x, mu, logvar):
    """Reference solution."""
    n = len(logits)
    return (logits.sigmoid() - x) / n, mu / n, 0.5 * (logvar.exp() - 1) / n


def gradients(d_logits=None, d_mu=None, d_logvar=None, result=tuple):
    """The reference, one of its results exchanged; the new one is divided by N, too."""

    def student(logits, x, mu, logvar):
        given, n = (logits, x, mu, logvar), len(logits)
        right = elbo_gradients(*given)
        changed = (d_logits, d_mu, d_logvar)
        return result([f(*given) / n if f else r for f, r in zip(changed, right, strict=True)])

    return student


def image_by_image(logits, x, mu, logvar):
    n = len(logits)
    rows = []
    for a, t, m, v in zip(logits, x, mu, logvar, strict=True):
        rows.append(((a.sigmoid() - t) / n, m / n, (v.exp() - 1) / (2 * n)))
    return tuple(torch.stack(part) for part in zip(*rows, strict=True))


def in_chunks(logits, x, mu, logvar):
    n = len(logits)
    parts = []
    for part in zip(*(v.split(2) for v in (logits, x, mu, logvar)), strict=True):
        share = len(part[0]) / n
        parts.append([share * g for g in elbo_gradients(*part)])
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def in_place(logits, x, mu, logvar):
    n = len(logits)
    d_logits = logits.clone().sigmoid_().sub_(x).div_(n)
    return d_logits, mu.clone().div_(n), logvar.clone().exp_().sub_(1).div_(2 * n)


def sigmoid_by_hand(a):
    small = torch.exp(-a.abs())
    return torch.where(a >= 0, 1.0, small) / (1 + small)


def mapped(logits, x, mu, logvar):
    n = len(logits)
    one = torch.func.vmap(lambda a, t, m, v: (a.sigmoid() - t, m, torch.expm1(v) / 2))
    return tuple(g / n for g in one(logits, x, mu, logvar))


RIGHT_GRADIENTS = {
    "reference": elbo_gradients,
    "a list": lambda *given: list(elbo_gradients(*given)),
    "float64": lambda *given: elbo_gradients(*(v.double() for v in given)),
    "image by image": image_by_image,
    "in chunks": in_chunks,
    "in place on clones": in_place,
    "vmap": mapped,
    "sigmoid by hand": gradients(lambda a, x, m, v: sigmoid_by_hand(a) - x),
    "sigmoid from 1 + exp(−a)": gradients(lambda a, x, m, v: 1 / (1 + torch.exp(-a)) - x),
    "tanh": gradients(lambda a, x, m, v: 0.5 * (1 + torch.tanh(a / 2)) - x),
    "exp of logsigmoid": gradients(lambda a, x, m, v: F.logsigmoid(a).exp() - x),
    "one less the sigmoid of −a": gradients(lambda a, x, m, v: 1 - torch.sigmoid(-a) - x),
    "by the value of the pixel": gradients(
        lambda a, x, m, v: torch.where(x > 0.5, -torch.sigmoid(-a), torch.sigmoid(a))
    ),
    "expm1": gradients(d_logvar=lambda a, x, m, v: torch.expm1(v) / 2),
    "a square": gradients(d_logvar=lambda a, x, m, v: ((v / 2).exp() ** 2 - 1) / 2),
    "terms apart": gradients(d_logvar=lambda a, x, m, v: v.exp() / 2 - 0.5),
    "einsum": gradients(d_mu=lambda a, x, m, v: torch.einsum("nd,->nd", m, torch.tensor(1.0))),
    "weights of a mean": lambda a, x, m, v: tuple(
        torch.full((len(a), 1), 1 / len(a)) * g for g in (a.sigmoid() - x, m, (v.exp() - 1) / 2)
    ),
    "under no_grad": torch.no_grad()(elbo_gradients),
}


def with_autograd(logits, x, mu, logvar):
    leaves = [t.clone().requires_grad_() for t in (logits, mu, logvar)]
    a, m, v = leaves
    terms = (softplus(a) - a * x).sum(1) + 0.5 * (v.exp() - 1 - v + m**2).sum(1)
    return torch.autograd.grad(terms.mean(), leaves)


def with_backward(logits, x, mu, logvar):
    a, m, v = (t.clone().requires_grad_() for t in (logits, mu, logvar))
    loss = F.binary_cross_entropy_with_logits(a, x, reduction="sum") / len(x)
    (loss + 0.5 * (v.exp() - 1 - v + m**2).sum() / len(x)).backward()
    return a.grad, m.grad, v.grad


def with_func_grad(logits, x, mu, logvar):
    def loss(a, m, v):
        return ((softplus(a) - a * x).sum() + 0.5 * (v.exp() - 1 - v + m**2).sum()) / len(x)

    return torch.func.grad(loss, argnums=(0, 1, 2))(logits, mu, logvar)


def one_by_autograd(logits, x, mu, logvar):
    v = logvar.clone().requires_grad_()
    (slope,) = torch.autograd.grad(0.5 * (v.exp() - v).sum() / len(v), v)
    return (logits.sigmoid() - x) / len(x), mu / len(x), slope


def with_jvp(logits, x, mu, logvar):
    _, slope = torch.func.jvp(softplus, (logits,), (torch.ones_like(logits),))
    return (slope - x) / len(x), mu / len(x), (logvar.exp() - 1) / 2 / len(x)


def three_images(logits, x, mu, logvar):
    return (logits.sigmoid() - x) / 3, mu / 3, (logvar.exp() - 1) / 6


def range_three(logits, x, mu, logvar):
    rows = [
        image_by_image(logits[i : i + 1], x[i : i + 1], mu[i : i + 1], logvar[i : i + 1])
        for i in range(3)
    ]
    return tuple(torch.cat(part) / 3 for part in zip(*rows, strict=True))


def five_codes(logits, x, mu, logvar):
    return (
        (logits.sigmoid() - x) / len(x),
        mu / len(x),
        (logvar.exp() - torch.ones(3, 5)) / 2 / len(x),
    )


def scaled(factor):
    return lambda *given: tuple(factor(given) * g for g in elbo_gradients(*given))


WRONG_GRADIENTS = {
    "no 1/N": ("the factor 1/N is missing", scaled(lambda given: len(given[0]))),
    "1/N twice": ("divided by N twice", scaled(lambda given: 1 / len(given[0]))),
    "minus, no 1/N": ("the sign is flipped, and the factor", scaled(lambda given: -len(given[0]))),
    "bits": ("is in bits", scaled(lambda given: 1 / LN2)),
    "minus": ("the sign is flipped", scaled(lambda given: -1)),
    "mean over images": (
        "averaged over the images",
        lambda *given: tuple(g.mean(0) for g in elbo_gradients(*given)),
    ),
    "sum over images": (
        "summed over the images",
        lambda *given: tuple(g.sum(0) for g in elbo_gradients(*given)),
    ),
    "one number an image": (
        "the result has one number per image",
        lambda *given: tuple(g.sum(1) for g in elbo_gradients(*given)),
    ),
    "one number": (
        "the result is a single number",
        lambda *given: tuple(g.sum() for g in elbo_gradients(*given)),
    ),
    "x less p": (
        "The difference is sigmoid(logits) − x",
        gradients(lambda a, x, m, v: x - a.sigmoid()),
    ),
    "no sigmoid": ("the sigmoid is missing", gradients(lambda a, x, m, v: a - x)),
    "mean over pixels": (
        "averaged over the pixels, but the loss is a sum",
        gradients(lambda a, x, m, v: (a.sigmoid() - x) / a.shape[1]),
    ),
    "mean over pixels, no 1/N": (
        "the gradient is averaged over the pixels instead of the images",
        gradients(lambda a, x, m, v: (a.sigmoid() - x) / a.shape[1] * len(a)),
    ),
    "times p(1 − p)": (
        "a factor p(1 − p)",
        gradients(lambda a, x, m, v: (a.sigmoid() - x) * a.sigmoid() * (1 - a.sigmoid())),
    ),
    "with respect to p": (
        "with respect to the probability",
        gradients(lambda a, x, m, v: (a.sigmoid() - x) / (a.sigmoid() * (1 - a.sigmoid()))),
    ),
    "no x": ("x is missing", gradients(lambda a, x, m, v: a.sigmoid())),
    "no p": ("only −x is left", gradients(lambda a, x, m, v: -x)),
    "sigmoid of −a": (
        "the sigmoid is taken of −logits",
        gradients(lambda a, x, m, v: (-a).sigmoid() - x),
    ),
    "twice": (
        "there is an extra factor 2",
        gradients(lambda a, x, m, v: 2 * (a.sigmoid() - x)),
    ),
    "half": ("there is an extra factor ½", gradients(lambda a, x, m, v: (a.sigmoid() - x) / 2)),
    "no sign": (
        "the absolute value of p − x is returned",
        gradients(lambda a, x, m, v: (a.sigmoid() - x).abs()),
    ),
    "the loss": ("the loss of each pixel", gradients(lambda a, x, m, v: softplus(a) - x * a)),
    "less the mean pixel": (
        "the mean pixel is subtracted from the probabilities",
        gradients(lambda a, x, m, v: a.sigmoid() - x.mean()),
    ),
    "tanh for sigmoid": (
        "tanh is used in place of the sigmoid",
        gradients(lambda a, x, m, v: a.tanh() - x),
    ),
    "exp for sigmoid": (
        "the exponential is used in place of the sigmoid",
        gradients(lambda a, x, m, v: a.exp() - x),
    ),
    "softplus for sigmoid": (
        "the softplus is used in place of its derivative, the sigmoid",
        gradients(lambda a, x, m, v: softplus(a) - x),
    ),
    "2 mu": ("there is an extra factor 2", gradients(d_mu=lambda a, x, m, v: 2 * m)),
    "½ mu": ("there is an extra factor ½", gradients(d_mu=lambda a, x, m, v: m / 2)),
    "−mu": ("the sign is flipped", gradients(d_mu=lambda a, x, m, v: -m)),
    "mu²": ("the result contains mu²", gradients(d_mu=lambda a, x, m, v: m**2)),
    "½ mu²": ("the result contains ½ mu²", gradients(d_mu=lambda a, x, m, v: m**2 / 2)),
    "mean over codes": (
        "averaged over the dimensions",
        gradients(d_mu=lambda a, x, m, v: m / m.shape[1]),
    ),
    "mu over the variance": (
        "mu is divided by its variance",
        gradients(d_mu=lambda a, x, m, v: m / v.exp()),
    ),
    "mu less 1": ("1 is subtracted", gradients(d_mu=lambda a, x, m, v: m - 1)),
    "sign of mu": ("only the sign of mu is used", gradients(d_mu=lambda a, x, m, v: m.sign())),
    "no ½": (
        "the factor ½ of the KL is missing",
        gradients(d_logvar=lambda a, x, m, v: v.exp() - 1),
    ),
    "¼": (
        "the factor ½ is applied twice",
        gradients(d_logvar=lambda a, x, m, v: (v.exp() - 1) / 4),
    ),
    "no −1": ("the term −1 is missing", gradients(d_logvar=lambda a, x, m, v: v.exp() / 2)),
    "no −1, no ½": (
        "the term −1 and the factor ½ are missing",
        gradients(d_logvar=lambda a, x, m, v: v.exp()),
    ),
    "1 − exp": (
        "Use ½ (exp(logvar) − 1)",
        gradients(d_logvar=lambda a, x, m, v: (1 - v.exp()) / 2),
    ),
    "exp + 1": (
        "the sign of the term −1 is flipped",
        gradients(d_logvar=lambda a, x, m, v: (v.exp() + 1) / 2),
    ),
    "½ exp − 1": (
        "the term −1 is outside the factor ½",
        gradients(d_logvar=lambda a, x, m, v: v.exp() / 2 - 1),
    ),
    "log-std": (
        "logvar is treated as the log-std",
        gradients(d_logvar=lambda a, x, m, v: ((2 * v).exp() - 1) / 2),
    ),
    "std": (
        "the std is used in place of the variance",
        gradients(d_logvar=lambda a, x, m, v: ((v / 2).exp() - 1) / 2),
    ),
    "with respect to std": (
        "with respect to the standard deviation",
        gradients(d_logvar=lambda a, x, m, v: (v / 2).exp() - (-v / 2).exp()),
    ),
    "with respect to the variance": (
        "with respect to the variance",
        gradients(d_logvar=lambda a, x, m, v: (1 - (-v).exp()) / 2),
    ),
    "no exp": (
        "logvar itself is used in place of the variance",
        gradients(d_logvar=lambda a, x, m, v: (v - 1) / 2),
    ),
    "½ logvar": ("the result contains ½ logvar", gradients(d_logvar=lambda a, x, m, v: v / 2)),
    "the KL": (
        "the KL of each dimension",
        gradients(d_logvar=lambda a, x, m, v: (v.exp() - 1 - v + m**2) / 2),
    ),
    "mu² in it": (
        "the result still contains mu², which does not depend on logvar",
        gradients(d_logvar=lambda a, x, m, v: (v.exp() - 1 + m**2) / 2),
    ),
    "logvar in it": (
        "the result still contains −logvar",
        gradients(d_logvar=lambda a, x, m, v: (v.exp() - 1 - v) / 2),
    ),
    "a cube": ("d_logvar: a value is wrong", gradients(d_logvar=lambda a, x, m, v: v**3)),
    "one result": ("return 3 tensors", gradients(result=lambda parts: parts[0])),
    "two results": ("return 3 tensors", gradients(result=lambda parts: parts[:2])),
    "logits last": (
        "the wrong order",
        gradients(result=lambda parts: (parts[1], parts[2], parts[0])),
    ),
    "logvar before mu": (
        "the wrong order",
        gradients(result=lambda parts: (parts[0], parts[2], parts[1])),
    ),
    "logvar before mu, no 1/N": (
        "the wrong order",
        lambda *given: (lambda g: (g[2] * 3, g[0] * 3, g[1] * 3))(elbo_gradients(*given)),
    ),
    "autograd.grad": ("autograd computes a derivative", with_autograd),
    "backward": ("autograd computes a derivative", with_backward),
    "torch.func.grad": ("autograd computes a derivative", with_func_grad),
    "autograd for one": ("autograd computes a derivative", one_by_autograd),
    "jvp": ("autograd computes a derivative", with_jvp),
    "exp over 1 + exp": (
        "exp(900) overflows",
        gradients(lambda a, x, m, v: a.exp() / (1 + a.exp()) - x),
    ),
    "logvar clamped": (
        "Is something clamped or a small number added?",
        gradients(d_logvar=lambda a, x, m, v: (v.clamp(-30, 20).exp() - 1) / 2),
    ),
    "variance clamped": (
        "Is something clamped or a small number added?",
        gradients(d_logvar=lambda a, x, m, v: (v.exp().clamp(max=1e6) - 1) / 2),
    ),
    "mu clamped": (
        "Is something clamped or a small number added?",
        gradients(d_mu=lambda a, x, m, v: m.clamp(-10, 10)),
    ),
    "three images": ("Is a size hard-coded", three_images),
    "range of three": ("Is a size hard-coded", range_three),
    "five codes": ("Is a size hard-coded", five_codes),
    "no return": ("returns None", lambda *given: None),
}

RIGHT = {
    "tile_sum": RIGHT_TILE,
    "online_logsumexp": RIGHT_ONLINE,
    "elbo_gradients": RIGHT_GRADIENTS,
}
WRONG = {
    "tile_sum": WRONG_TILE,
    "online_logsumexp": WRONG_ONLINE,
    "elbo_gradients": WRONG_GRADIENTS,
}
RIGHT_CASES = [
    pytest.param(name, answer, id=f"{name}: {style}")
    for name, answers in RIGHT.items()
    for style, answer in answers.items()
]
WRONG_CASES = [
    pytest.param(name, words, answer, id=f"{name}: {what}")
    for name, answers in WRONG.items()
    for what, (words, answer) in answers.items()
]


@pytest.mark.parametrize(("name", "answer"), RIGHT_CASES)
def test_right_answers_pass(name, answer):
    for _ in range(3):  # some inputs are drawn anew
        result = getattr(checks, name)(answer)
        assert result.status == "correct", result.message


# torch.func.jvp makes torch itself warn of a function that it still uses
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize(("name", "words", "answer"), WRONG_CASES)
def test_wrong_answers_are_named(name, words, answer):
    result = getattr(checks, name)(answer)
    assert result.status == "mistake"
    assert words in result.message


@pytest.mark.parametrize("name", RIGHT)
def test_no_drawn_input_ever_refuses_the_reference(name):
    for _ in range(100):
        result = getattr(checks, name)(RIGHT[name]["reference"])
        assert result.status == "correct", result.message


@pytest.mark.parametrize("name", RIGHT)
def test_there_are_many_styles_and_many_mistakes(name):
    assert len(RIGHT[name]) >= 15
    assert len(WRONG[name]) >= 30


@pytest.mark.parametrize(("place", "name"), [(0, "d_logits"), (1, "d_mu"), (2, "d_logvar")])
def test_the_wrong_gradient_is_named(place, name):
    def student(*given):
        return tuple(g * (3 if i == place else 1) for i, g in enumerate(elbo_gradients(*given)))

    assert f"in {name}, the factor 1/N is missing" in checks.elbo_gradients(student).message


def test_two_passes_are_not_praised_as_one():
    message = checks.online_logsumexp(in_two_passes).message
    assert "tile by tile" in message
    assert "one pass" not in message


@pytest.mark.parametrize("name", RIGHT)
def test_a_stub_is_not_started(name):
    def stub(*given):
        raise NotImplementedError

    assert getattr(checks, name)(stub).status == "not started"
