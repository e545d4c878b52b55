"""Checks for “Conditional VAE”: where the label enters, one style in ten digits, log P(x) from log P(x|y)."""

import math
import secrets
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, arange, cat, tensor
from torch.nn.functional import one_hot

from course_lib.checks.report import (
    Inputs,
    Mistake,
    Student,
    Table,
    call,
    exercise,
    expect,
    gradients,
    other_inputs,
    other_units,
    parts,
    plain,
    same,
)

LABELS = 10
Y = tensor([4, 0, 7])  # (N,)
CODES = tensor([[1.2, -0.4], [-0.9, 0.7], [0.3, 2.1]])  # (N, d)
X = tensor([[0.7, 0.2, 0.9, 0.4, 0.1], [0.3, 0.8, 0.5, 0.6, 0.9], [0.2, 0.4, 0.1, 0.7, 0.6]])  # (N, D)


class Half:
    """Encoder or decoder of a conditional VAE: one layer for rows of `width` numbers and a one-hot label.

    A row without a label gets an answer, too, so that the check can say which half was not told.
    """

    def __init__(self, name: str, weight: Tensor, level: float = 0.0) -> None:
        self.name = name
        self.weight = weight  # (width + 10, outputs)
        self.level = level  # the encoder's log-variances lie within 2 of it
        self.width = len(weight) - LABELS
        self.is_told = True
        self.is_called = False

    def __call__(self, rows: object) -> Any:  # mu and logvar of the encoder, logits of the decoder
        if not isinstance(rows, Tensor):
            raise Mistake(f"`{self.name}` wants one tensor: join the two with `torch.cat`.")
        beside = rows.shape[-1] - self.width  # how many columns there are for the label
        says = "the label is one number: make it one-hot, because 8 is not twice 4."
        expect(beside != 1, says)
        says = "`one_hot` makes a column only up to the largest label that it sees: pass `num_classes=10`."
        expect(beside not in range(2, LABELS), says)
        wanted = f"{self.width} and a one-hot label of 10 are wanted."
        says = f"`{self.name}` gets rows of {rows.shape[-1]} numbers; {wanted}"
        expect(beside in (0, LABELS), says)
        self.is_called = True
        self.is_told &= beside == LABELS
        made = rows @ self.weight[: rows.shape[-1]].to(rows.dtype)
        if self.name == "encode":
            mu, logvar = made.tanh().chunk(2, -1)
            return mu, self.level + 2 * logvar
        return made


def halves(pixels: int, codes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weights of an encoder (D + 10, 2d) and of a decoder (d + 10, D)."""
    to_codes = torch.randn(pixels + LABELS, 2 * codes, generator=generator)
    to_pixels = torch.randn(codes + LABELS, pixels, generator=generator)
    return to_codes / 2, to_pixels / 2


def conditional_reference(
    encode: Half, decode: Half, x: Tensor, y: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What is wanted of `conditional_forward`."""
    label = one_hot(y, LABELS)  # (N, 10)
    mu, logvar = encode(cat([x, label], 1))  # (N, d) each
    z = mu + (logvar / 2).exp() * noise  # (N, d)
    return decode(cat([z, label], 1)), mu, logvar  # logits (N, D)


@exercise
def conditional_forward(student: Student) -> None:
    """the one-hot label is appended to x for the encoder, and to z = mu + std · noise for the decoder."""
    weights = halves(5, 2, torch.Generator().manual_seed(0))
    noise = CODES.flip(0) - 0.2  # (N, d)
    encode, decode = Half("encode", weights[0]), Half("decode", weights[1])
    answer = call(student, encode, decode, X, Y, noise)
    expect_told(encode, decode)

    label = one_hot(Y, LABELS)
    right_logits, mu, logvar = conditional_reference(
        Half("encode", weights[0]), Half("decode", weights[1]), X, Y, noise
    )
    logits, yours_mu, yours_logvar = parts(answer, ("logits", "mu", "logvar"), (right_logits, mu, logvar))
    again = call(student, Half("encode", weights[0]), Half("decode", weights[1]), X, Y, noise)
    if isinstance(again[0], Tensor):
        says = "two calls differ, so noise is drawn: use the `noise` that is given."
        expect(same(plain(again[0], "your logits"), logits), says)

    z = mu + (logvar / 2).exp() * noise
    label_first = encode(cat([label, X], 1))[0]
    returned = {
        "z comes back in place of mu: return mu itself.": z,
        "the label comes before x: append it after x.": label_first,
    }
    why = "a wrong value. Does `encode` get x and, behind it, the one-hot row of each label?"
    Table({}, mu, returned, otherwise=why).judge(yours_mu, "your mu")
    scales = {
        "the standard deviation comes back in place of logvar: return logvar itself.": (logvar / 2).exp(),
        "the variance comes back in place of logvar: return logvar itself.": logvar.exp(),
        "half of logvar comes back: return logvar itself.": logvar / 2,
    }
    Table({}, logvar, scales).judge(yours_logvar, "your logvar")
    wrong = {
        "apply no sigmoid: return logits.": right_logits.sigmoid(),
        "the label comes before z: append it after z.": decode(cat([label, z], 1)),
    }
    for says, code in wrong_codes(mu, logvar, noise).items():
        wrong[says] = decode(cat([code, label], 1))
    Table({}, right_logits, wrong).judge(logits, "your logits")

    def draw(generator: torch.Generator, n: int, pixels: int, codes: int) -> Inputs:
        to_codes, to_pixels = halves(pixels, codes, generator)
        return {
            "encode": Half("encode", to_codes),
            "decode": Half("decode", to_pixels),
            "x": torch.rand(n, pixels, generator=generator),
            "y": torch.randint(LABELS, (n,), generator=generator),
            "noise": torch.randn(n, codes, generator=generator),
        }

    other = 4 + secrets.randbelow(4), 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)
    other_inputs(student, conditional_reference, draw, (3, 5, 2), other)
    expect_any_logvar(student, weights, noise)
    expect_gradients(student, weights, noise)


def expect_told(encode: Half, decode: Half) -> None:
    """Raise Mistake unless both networks were called, and with the label."""
    for half in (encode, decode):
        expect(half.is_called, f"`{half.name}` is never called.")
    says = "the label is given to neither network: append it to x and to z."
    expect(encode.is_told or decode.is_told, says)
    expect(encode.is_told, "the label is given to `decode` only: append it to x too.")
    expect(decode.is_told, "the label is given to `encode` only: append it to z too.")


def wrong_codes(mu: Tensor, logvar: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """What typical mistakes make of z."""
    std = (logvar / 2).exp()
    root = "the standard deviation is exp(logvar / 2)."
    return {
        "the noise is not used: z = mu + exp(logvar / 2) · noise.": mu,
        f"the noise is scaled by the variance exp(logvar): {root}": mu + std.square() * noise,
        "mu is missing: z = mu + exp(logvar / 2) · noise.": std * noise,
        f"logvar itself scales the noise: {root}": mu + logvar * noise,
        f"the exponential is missing, logvar / 2 scales the noise: {root}": mu + logvar / 2 * noise,
        f"the noise is not scaled: {root}": mu + noise,
        f"the sign of the exponent is flipped: {root}": mu + noise / std,
        f"logvar is doubled, not halved: {root}": mu + std.pow(4) * noise,
        "the noise is subtracted: z = mu + exp(logvar / 2) · noise.": mu - std * noise,
        "the standard deviation is added, without noise: z = mu + exp(logvar / 2) · noise.": mu + std,
        "mu and noise have changed places: z = mu + exp(logvar / 2) · noise.": noise + std * mu,
        "the noise alone is decoded: z = mu + exp(logvar / 2) · noise.": noise,
        "logvar is decoded: z = mu + exp(logvar / 2) · noise.": logvar,
    }


def expect_any_logvar(student: Student, weights: tuple[Tensor, Tensor], noise: Tensor) -> None:
    """Raise Mistake unless z is right for very small and very large variances, too."""
    for level in (-20.0, 20.0):
        encode, decode = Half("encode", weights[0], level), Half("decode", weights[1])
        logits, _, _ = conditional_reference(encode, decode, X, Y, noise)
        answer = call(student, encode, decode, X, Y, noise)
        says = "a wrong value. Is logvar clamped, or a small number added to the standard deviation?"
        Table({}, logits, otherwise=says).judge(answer[0], f"your logits for logvar near {level:.0f}")


def expect_gradients(student: Student, weights: tuple[Tensor, Tensor], noise: Tensor) -> None:
    """Raise Mistake unless both networks can learn from logits, mu and logvar."""

    def chain(function: Callable[..., object], which: int) -> Callable[[Tensor, Tensor], Tensor]:
        def result(to_codes: Tensor, to_pixels: Tensor) -> Tensor:
            given = Half("encode", to_codes), Half("decode", to_pixels), X.clone(), Y.clone(), noise.clone()
            answer = function(*given)
            assert isinstance(answer, tuple | list)
            return answer[which]

        return result

    inputs = {"the encoder's weights": weights[0], "the decoder's weights": weights[1]}
    for which, what in enumerate(("logits", "mu", "logvar")):
        learners = list(inputs) if what == "logits" else list(inputs)[:1]
        otherwise = f"This is about your {what}: is a part of the way there cut by `detach`?"
        gradients(chain(student, which), chain(conditional_reference, which), inputs, learners, otherwise)


def style_reference(
    encode: Callable[..., tuple[Tensor, Tensor]], decode: Callable[..., Tensor], x: Tensor, y: Tensor
) -> Tensor:
    """What is wanted of `style_rows`."""
    mu, _ = encode(x, y)  # (N, d)
    columns = [decode(mu, torch.full_like(y, label)) for label in range(LABELS)]
    return torch.stack(columns, 1)  # (N, 10, D)


class Encoder:
    """x (…, D) and y (…) to mu and logvar (…, d); counts the images that it is shown."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # (d, D)
        self.images = 0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        says = "`encode` wants images and labels: x (N, D) and y (N,)."
        expect(isinstance(x, Tensor) and isinstance(y, Tensor) and x.shape[:-1] == y.shape, says)
        expect_labels(y)
        self.images += x.shape[:-1].numel()
        code = x @ self.weight.T.to(x.dtype)
        return code + (y + 1.0).sin()[..., None], code - 2


class Decoder:
    """z (…, d) and y (…) to pixels (…, D)."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # (d, D)

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        expect(isinstance(z, Tensor), "`decode` wants one tensor z: `encode` returns two, mu and logvar.")
        says = "`decode` wants one label for each z: y (N,) with z (N, d)."
        expect(isinstance(y, Tensor) and z.ndim >= 1, says)
        # labels (10,) beside z (N, 10, d) are one label for each z as well
        is_one_each = y.ndim <= z.ndim - 1 and y.shape == z.shape[z.ndim - 1 - y.ndim : -1]
        expect(is_one_each and (y.ndim or z.ndim == 1), says)
        expect_labels(y)
        shift = self.weight[1] * (y + 1.0).sin()[..., None]
        return (z @ self.weight.to(z.dtype) + shift).sigmoid()


def expect_labels(y: Tensor) -> None:
    """Raise Mistake unless y holds whole numbers from 0 to 9, as `one_hot` wants them."""
    says = f"the labels have dtype {y.dtype}: a network's one-hot label needs whole numbers, `torch.int64`."
    expect(y.dtype == torch.int64, says)
    try:
        is_digit = bool(((y >= 0) & (y < LABELS)).all())
    except RuntimeError:  # under `torch.func.vmap` no single value can be read
        return
    expect(is_digit, "a label lies outside 0 to 9.")


def style_answers(encode: "Encoder", decode: "Decoder") -> tuple[Tensor, dict[str, Tensor]]:
    """The right rows (N, 10, D), and what typical mistakes give in their place."""
    own = Y[:, None].expand(3, LABELS)  # (N, 10)
    labels = arange(LABELS).expand(3, LABELS)  # (N, 10)
    wide = X[:, None].expand(3, LABELS, 5)  # (N, 10, D)
    mu, logvar = encode(wide, own)  # (N, 10, d)
    right = decode(mu, labels)
    stack = "stack along axis 1."
    mistakes = {
        "every column has the image's own label: column c is label c.": decode(mu, own),
        "encoded with the column's label: use the image's own y.": decode(encode(wide, labels)[0], labels),
        "encoded with label 0: use the image's own y.": decode(encode(wide, 0 * labels)[0], labels),
        "logvar is decoded: `encode` returns mu first.": decode(logvar, labels),
        "z is taken as mu + std: the style is mu alone.": decode(mu + (logvar / 2).exp(), labels),
        f"rows and columns are swapped: {stack}": right.transpose(0, 1),
        f"the ten images of a row stand along the last axis: {stack}": right.transpose(1, 2),
        f"rows and columns are mixed: {stack}": right.transpose(0, 1).reshape(3, LABELS, 5),
        "the sigmoid is applied twice: `decode` gives pixels.": right.sigmoid(),
        "logits come back: `decode` gives pixels, and they are wanted as they are.": right.logit(),
        "the labels run backwards: column c is label c.": right.flip(1),
        "the columns are shifted by one: column c is label c.": right.roll(-1, 1),
        "the columns are shifted by one: column 0 is label 0.": right.roll(1, 1),
        "the images run backwards: row n belongs to x[n].": right.flip(0),
        "all rows show the first image: row n keeps the style of x[n].": right[:1].expand(3, LABELS, 5),
        "all rows show the last image: row n keeps the style of x[n].": right[-1:].expand(3, LABELS, 5),
        "the codes are averaged over the images: each row keeps its own.": decode(
            mu.mean(0, keepdim=True).expand_as(mu), labels
        ),
        "averaged over the images: each row keeps its own.": right.mean(0),
        "the columns are averaged: ten images a row are wanted.": right.mean(1),
        "the ten results are joined along an existing axis: a new axis 1 is wanted, `torch.stack`.": (
            right.transpose(0, 1).flatten(0, 1)
        ),
        "the axes of images and labels are one: (N, 10, D) is wanted.": right.flatten(0, 1),
        "the ten images of a row are joined into one: (N, 10, D) is wanted, `torch.stack`.": right.flatten(1),
        "label 9 is missing: ten columns, from 0 to 9.": right[:, :9],
        "label 0 is missing: ten columns, from 0 to 9.": right[:, 1:],
        "the pixels are binarized: keep them as `decode` gives them.": (right > 0.5).float(),
        "pixels are drawn or scaled to bytes: keep them as `decode` gives them.": right * 255,
    }
    for label in range(LABELS):
        fixed = torch.full_like(labels, label)
        mistakes[f"every column has label {label}: column c is label c."] = decode(mu, fixed)
    return right, mistakes


@exercise
def style_rows(student: Student) -> None:
    """each row keeps the code mu of one image, and its ten columns are the labels 0 to 9: (N, 10, D)."""
    weight = tensor([[1.1, -0.6, 0.3, 0.9, -0.4], [0.4, 0.8, -1.2, 0.2, 0.7]])  # (d, D)
    encode, decode = Encoder(weight), Decoder(weight)
    images = plain(call(student, encode, decode, X, Y), "your images")
    counted = encode.images
    again = plain(call(student, encode, decode, X, Y), "your images")
    expect(same(images, again), "two calls differ, so noise is drawn: one mu serves all ten columns.")

    right, mistakes = style_answers(encode, decode)
    Table({}, right, mistakes).judge(images, "your images")
    expect(counted > 0, "`encode` is never called.")
    says = f"right, but {counted} codes are computed for 3 images: encode each once, before the ten labels."
    expect(counted <= 3, says)

    def draw(generator: torch.Generator, n: int, pixels: int, codes: int) -> Inputs:
        drawn = torch.randn(codes, pixels, generator=generator)
        return {
            "encode": Encoder(drawn),
            "decode": Decoder(drawn),
            "x": torch.rand(n, pixels, generator=generator),
            "y": torch.randint(LABELS, (n,), generator=generator),
        }

    other = 4 + secrets.randbelow(4), 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)
    other_inputs(student, style_reference, draw, (3, 5, 2), other)


def marginal_reference(log_px_y: Tensor) -> Tensor:
    """What is wanted of `log_marginal`."""
    return log_px_y.logsumexp(1) - math.log(LABELS)


@exercise
def log_marginal(student: Student) -> None:
    """log P(x|y) (N, 10) gives log P(x) (N,), all ten labels equally likely, however small P(x|y) is."""
    log_p = -tensor([[1, 4, 2, 3, 5, 2.5, 6, 3.5, 7, 4.5], [3, 1.5, 6, 0.8, 2, 5, 2.2, 4, 8, 3.1]])  # (N, 10)
    total, ten = log_p.logsumexp(1), math.log(10)
    right = total - ten
    minus = "a factor 1/10 becomes − ln 10 in a logarithm"
    tiny = log_p.exp()
    mistakes = {
        "ln 10 is forgotten: each label has probability 1/10.": total,
        f"the sign of ln 10 is flipped: {minus}.": total + ten,
        f"divided by 10 after the logarithm: {minus}.": total / 10,
        f"10 itself is subtracted: {minus}.": total - 10,
        f"1/10 itself is subtracted: {minus}.": total - 0.1,
        f"multiplied by 10 or by 1/10 in front of the logarithm: {minus}.": total * 10,
        f"ln 10 is a factor here: {minus}.": total * ten,
        f"divided by ln 10: {minus}.": total / ten,
        f"ln 10 is subtracted twice: {minus}.": total - 2 * ten,
        "ln 10 is subtracted from every label of a sum that adds logarithms: add probabilities.": (
            log_p - ten
        ).sum(1),
        "log2(10) is subtracted from a sum in nats: bits and nats are mixed, ln 10 is wanted.": (
            total - math.log2(10)
        ),
        "log10(10) = 1 is subtracted from a sum in nats: ln 10 is wanted.": total - 1,
        "a mean of logs: the logarithm of the mean probability is wanted.": log_p.mean(1),
        "a sum of logs is a product of probabilities: the logarithm of their mean is wanted.": log_p.sum(1),
        "only the likeliest label counts: `logsumexp` adds all ten.": log_p.amax(1),
        "only the likeliest label counts, `logsumexp` adds all ten; ln 10 is right.": log_p.amax(1) - ten,
        "summed over the images (axis 0): the labels are axis 1.": log_p.logsumexp(0) - ten,
        "averaged over the images (axis 0): the labels are axis 1.": log_p.logsumexp(0) - math.log(2),
        "summed over the images (axis 0), without ln 10: the labels are axis 1.": log_p.logsumexp(0),
        "summed over the batch too: one number per image is wanted.": right.sum(),
        "averaged over the batch too: one number per image is wanted.": right.mean(),
        "summed over labels and images together: the labels are axis 1.": log_p.logsumexp((0, 1)) - ten,
        "the logarithm is missing: this is P(x) itself.": right.exp(),
        "the logarithm is missing, and so is the 1/10: this is the sum of P(x|y).": total.exp(),
        "the sign is flipped: log P(x), not −log P(x).": -right,
        "this is log P(y|x): the label is to be summed away.": log_p - total[:, None],
        "this is P(y|x): the label is to be summed away.": tiny / tiny.sum(1, keepdim=True),
        "this is log P(x, y) of each label: sum over the labels.": log_p - ten,
        f"averaged over the number of images in place of the ten labels: {minus}.": total - math.log(2),
    }
    why = "exp of a large number is infinity, and of a small one 0: use `logsumexp`."
    Table({"log_px_y": log_p}, right, mistakes | other_units(right), not_finite=why).ask(student)

    def draw(generator: torch.Generator, n: int) -> Inputs:
        return {"log_px_y": -3 - torch.randn(n, LABELS, generator=generator)}

    other_inputs(student, marginal_reference, draw, (2,), (3 + secrets.randbelow(9),))
    expect_no_underflow(student, log_p - 900)
    expect_own_maximum(student)


def expect_no_underflow(student: Student, log_p: Tensor) -> None:
    """Raise Mistake unless log P(x) is right where every P(x|y) rounds to 0."""
    yours = plain(call(student, log_p), "your result")
    if same(yours, marginal_reference(log_p)):
        return
    zero = "exp of −900 rounds to 0"
    says = f"{zero}, and the logarithm of 0 is minus infinity: use `logsumexp`."
    expect(yours.isfinite().all(), says)
    value = float(yours.flatten()[0])
    says = f"{zero}, and a clamp or a small number inside the logarithm hides it: for log P(x|y) near −900 "
    raise Mistake(f"{says}you return {value:.1f}. Use `logsumexp`.")


def expect_own_maximum(student: Student) -> None:
    """Raise Mistake unless every row is measured from its own largest number before exp."""
    near, far = [0.0, -1.0, -2.0], [-4000.0]
    rows = tensor(
        [
            near[:1] + 9 * far,  # the first is the largest
            5 * far + near + far + near[:1],  # the last is the largest, and more than half are far below it
            [value - 3000 for value in 3 * near + near[:1]],  # all far below the other rows
            3 * far + near + near + near[:1],  # the last is the largest, and more than half are near it
            [*near, -800.0, *near, *near],  # the mean is still near the largest, the smallest is not
        ]
    )  # (5, 10)
    right = marginal_reference(rows)
    shifts = {
        "the mean of the row": rows.mean(1, keepdim=True),
        "the smallest number of the row": rows.amin(1, keepdim=True),
        "the first number of the row": rows[:, :1],
        "the last number of the row": rows[:, -1:],
        "the median of the row": rows.median(1, keepdim=True).values,
        "the largest number of all rows": rows.max(),
        "the mean of all rows": rows.mean(),
        "the smallest number of all rows": rows.min(),
    }
    wanted = "subtract each row's own largest number, or use `logsumexp`"
    mistakes = {}
    for name, shift in shifts.items():
        total = shift + (rows.double() - shift).exp().sum(1, keepdim=True).log()  # (5, 1), some infinite
        mistakes[f"{name} is subtracted before exp: {wanted}."] = total[:, 0] - math.log(LABELS)
    why = f"Some numbers of a row lie far below others, so {wanted}."
    cut = f"a row whose numbers lie far apart goes wrong, perhaps by a clamp: {wanted}."
    table = Table({"log_px_y": rows}, right, mistakes, not_finite=why, otherwise=cut)
    table.judge(call(student, rows))
