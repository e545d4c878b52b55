"""Checks for chapter 08: a tile and its mask, log-sum-exp in one pass, gradients with all their factors."""

from torch import Tensor, arange, inf, stack, tensor
from torch.nn.functional import softplus

from course_lib.checks.report import Student, Table, call, exercise, expect, numbers, plain, same
from course_lib.step_times import passes

LOGITS = tensor([1.3, -0.4, 2.1, 0.7, -1.6, 0.9, 3.2, -2.3, 0.5, 1.8, -0.2])  # (D,): D = 11 pixels


@exercise
def tile_sum(student: Student) -> None:
    """each program sums its own tile, lanes beyond the image count 0, and all sums add up to the image."""
    block, pixels = 4, len(LOGITS)  # tiles of 4, 4 and 3 pixels
    bits = softplus(LOGITS)
    tiles = [bits[k * block : (k + 1) * block] for k in range(3)]
    at = arange(2 * block, 3 * block)  # where the last program looks
    inside = at < pixels
    twice = bits[at.clamp(max=pixels - 1)]
    mistakes = {
        "a masked lane loads 0, and log(1 + e⁰) = log 2 is added: mask the terms, after the softplus.":
            tiles[2].sum() + softplus(tensor(0.0)),
        "one lane too many: the last pixel has number D − 1, so inside is `< D`.": twice.sum(),
        "one lane too few: the last pixel, number D − 1, is inside.": tiles[2][:-1].sum(),
        "the mask is turned: True is inside.": (twice * ~inside).sum(),
        "the mask compares with the block: inside is what lies before D.": tensor(0.0),
        "this is the first tile: program k begins at k · block.": tiles[0].sum(),
        "this is the tile before: program k begins at k · block.": tiles[1].sum(),
        "program k begins at k · block, not at k.": bits[2 : 2 + block].sum(),
        "this is the sum over the whole image: one program has one tile.": bits.sum(),
        "the softplus is missing: this is the sum of the logits.": LOGITS[8:].sum(),
        "the exponential is summed: take log(1 + e^logit) of each pixel first.": LOGITS[8:].exp().sum(),
        "averaged over the lanes: sum.": tiles[2].sum() / block,
        "averaged over the pixels: sum.": tiles[2].mean(),
        "one number a lane: sum the tile.": bits[8:],
    }  # fmt: skip
    Table({}, tiles[2].sum(), mistakes).judge(call(student, LOGITS, 2, block), "the last program's sum")
    for k in (0, 1):
        yours = numbers(call(student, LOGITS, k, block), f"program {k}'s sum", ())
        last = "the last program is right, but a full tile is not: where does program k begin, and end?"
        expect(same(yours, tiles[k].sum()), last)
    yours = numbers(call(student, LOGITS[:3], 0, 8), "the sum of 3 pixels in a tile of 8", ())
    expect(same(yours, bits[:3].sum()), "an image smaller than the tile goes wrong: 5 of 8 lanes are masked.")
    far = 900 * LOGITS.sign()
    why = "exp of 900 is infinity: log(1 + eᵃ) = max(a, 0) + log(1 + e^−|a|), which softplus knows."
    yours = call(student, far, 2, block)
    Table({}, softplus(far[8:]).sum(), not_finite=why).judge(yours, "the sum for logits of ±900")


@exercise
def online_logsumexp(student: Student) -> None:
    """log Σ exp of each row, tile by tile, whatever the size of the numbers, each component counted once."""
    joint = -tensor([[3.0, 1.2, 4.5, 0.3, 2.2, 6.0, 1.1], [0.4, 5.0, 2.0, 3.3, 0.9, 1.5, 4.0]])  # (N, K)
    right, block = joint.logsumexp(1), 3  # K = 7, so tiles of 3, 3 and 1
    tiles = joint.split(block, 1)
    running, never, last = joint[:, 0] * 0 - inf, joint[:, 0] * 0, tiles[-1].logsumexp(1)
    turned = never
    for i, tile in enumerate(tiles):  # a total that is not scaled to the new maximum, or the wrong way
        before, running = running, running.maximum(tile.amax(1))
        total = (tile - running[:, None]).exp().sum(1)
        never, turned = never + total, turned * (running - before).exp() + total if i else total
    first = tiles[0].amax(1, keepdim=True)
    factor = "the total so far is multiplied by exp(old maximum − new maximum), not by exp(new − old)"
    mistakes = {
        "the total so far is not rescaled: multiply it by exp(old maximum − new maximum).":
            running + never.log(),
        f"the factor is turned: {factor}.": running + turned.log(),
        "the maximum is not added back: the result is maximum + log(total).": right - joint.amax(1),
        "the logarithm is missing: this is the total of the exponentials.": right.exp(),
        "this is the total relative to the maximum: take its logarithm, add the maximum.":
            (right - joint.amax(1)).exp(),
        "the maximum is added to the total: take the logarithm of the total first.":
            joint.amax(1) + (right - joint.amax(1)).exp(),
        "this is the maximum only: the exponentials of all count.": joint.amax(1),
        "this is the last tile only: keep the total from tile to tile.": last,
        "the last tile is left out: K need not be a multiple of the block.":
            joint[:, :6].logsumexp(1),
        "this is the first tile only: go on to K.": tiles[0].logsumexp(1),
        "summed over the rows: the components are axis 1.": joint.logsumexp(0),
        "a mean of exponentials: log-sum-exp divides by nothing.": right - tensor(7.0).log(),
        "the logarithms of the tiles are summed: add the exponentials.":
            stack([t.logsumexp(1) for t in tiles]).sum(0),
        "the sum of the numbers themselves: exponentiate first.": joint.sum(1),
        "the tiles' totals are relative to different maxima: subtract one maximum in all.":
            first[:, 0] + sum((t - t.amax(1, keepdim=True)).exp().sum(1) for t in tiles).log(),
    }  # fmt: skip
    nan = f"{factor.capitalize()}, infinite at the first tile; a tile is relative to the new maximum."
    Table({"joint": joint}, right, mistakes, not_finite=nan).judge(call(student, joint, block))
    why = "exp of 900 is infinity, of −900 it is 0: subtract the largest number so far before exp."
    start = "the running maximum must begin below every number, at minus infinity: 0 is above them all."
    for shift in (-900.0, 900.0):
        far = {"joint": joint + shift}
        yours = call(student, far["joint"], block)
        value = plain(yours, "your result")
        if shift < 0 and value.shape == right.shape and value.isinf().all() and (value < 0).all():
            ordinary = plain(call(student, joint + 900, block), "your result").isfinite().all()
            expect(not ordinary, start)
        Table(far, right + shift, not_finite=why).judge(yours)
    apart = tensor([0.0, -900.0])
    yours = plain(call(student, joint + apart[:, None], block), "your result")
    expect(same(yours, right + apart), "one maximum serves all rows: each needs its own, so take `amax(1)`.")
    whole = passes(lambda: student(joint.clone(), block), joint.numel()) - 2  # the clone reads and writes it
    expect(not whole, "right, but an operation takes all K columns at once: visit them in tiles of `block`.")


@exercise
def elbo_gradients(student: Student) -> None:
    """the gradients of the mean over images of reconstruction + KL, each with its factors 1/N and ½."""
    logits = tensor([[1.3, -0.4, 2.1, 0.7], [-1.6, 0.9, 3.2, -2.3], [0.5, 1.8, -0.2, 1.1]])  # (N, D)
    x = tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])  # (N, D)
    mu = tensor([[0.8, -1.1], [0.3, 1.7], [-0.4, 0.6]])  # (N, d): N, D and d differ
    logvar = tensor([[-0.5, 0.9], [0.4, -1.3], [1.1, 0.7]])  # (N, d)
    answer = call(student, logits, x, mu, logvar)
    expect(
        isinstance(answer, tuple | list) and len(answer) == 3, "return the tuple d_logits, d_mu, d_logvar."
    )
    p, n = logits.sigmoid(), 3
    factor = "the factor 1/N is missing: the loss is the mean over the images."
    square = "divided by N twice: the loss is the mean over the images once."
    right = {"d_logits": (p - x) / n, "d_mu": mu / n, "d_logvar": (logvar.exp() - 1) / 2 / n}
    mistakes: dict[str, dict[str, Tensor]] = {
        "d_logits": {
            "the sign is turned: it is sigmoid(logits) − x.": (x - p) / n,
            "the sigmoid is missing: compare probabilities with pixels.": (logits - x) / n,
            "averaged over the pixels: the loss is their sum.": (p - x) / n / 4,
            "a factor p(1 − p) too much: the derivative by the logit is plainly p − x.":
                (p - x) * p * (1 - p) / n,
            "this is the derivative by the probability, not by the logit.": (p - x) / (p * (1 - p)) / n,
            "x is missing: where the pixel is right, the gradient is small.": p / n,
        },
        "d_mu": {
            "a factor 2 too much: the KL has ½ mu², whose derivative is mu.": 2 * mu / n,
            "a factor ½ too much: the derivative of ½ mu² is mu.": mu / 2 / n,
            "the sign is turned: the KL grows with mu².": -mu / n,
            "this is mu², the derivative is mu.": mu**2 / n,
        },
        "d_logvar": {
            "the factor ½ of the KL is missing.": (logvar.exp() - 1) / n,
            "the −1 is missing: the gradient is 0 where the variance is 1.": logvar.exp() / 2 / n,
            "the sign is turned: it is ½ (exp(logvar) − 1).": (1 - logvar.exp()) / 2 / n,
            "logvar is taken as log-std: the variance is exp(logvar).": ((2 * logvar).exp() - 1) / 2 / n,
            "the std stands for the variance: it is exp(logvar).": ((logvar / 2).exp() - 1) / 2 / n,
        },
    }  # fmt: skip
    for yours, (name, good) in zip(answer, right.items(), strict=True):
        value = plain(yours, name)
        for other, there in right.items():
            swapped = value.shape == there.shape != good.shape or (other != name and same(value, there))
            expect(not swapped, f"{name} looks like {other}: return d_logits, d_mu, d_logvar, in this order.")
        both = {factor: good * n, square: good / n}
        Table({}, good, mistakes[name] | both).judge(yours, name)
    far = 900 * logits.sign()
    why = "exp of 900 is infinity, and infinity by infinity no number: `logits.sigmoid()` knows how."
    answer = call(student, far, x, mu, logvar)
    Table({}, (far.sigmoid() - x) / n, not_finite=why).judge(answer[0], "d_logits of logits of ±900")
