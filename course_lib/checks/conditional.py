"""Checks for “Conditional VAE”.

The exercises are about labels as inputs, ten digits in one style, log P(x), and the KL of a learned
prior.
"""

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
# (N, D)
X = tensor([[0.7, 0.2, 0.9, 0.4, 0.1], [0.3, 0.8, 0.5, 0.6, 0.9], [0.2, 0.4, 0.1, 0.7, 0.6]])


def other_labels(n: int, generator: torch.Generator) -> Tensor:
    """Draw n labels, none of which is the label that the example has in the same row."""
    in_example = Y[torch.arange(n) % len(Y)]  # (n,)
    return (in_example + torch.randint(1, LABELS, (n,), generator=generator)) % LABELS


class Half:
    """The encoder or decoder of a conditional VAE, with a single layer.

    It takes `width` numbers and a one-hot label. Rows without a label are also accepted, so that
    the check can say which network received no label.
    """

    def __init__(self, name: str, weight: Tensor, level: float = 0.0) -> None:
        self.name = name
        self.weight = weight  # (width + 10, outputs)
        self.level = level  # the encoder's log-variances differ from the level by at most 2
        self.width = len(weight) - LABELS
        self.is_told = True
        self.is_called = False

    def __call__(self, rows: object) -> Any:
        """Return mu and logvar if this is the encoder, or logits if it is the decoder."""
        if not isinstance(rows, Tensor):
            raise Mistake(
                f"`{self.name}` takes a single tensor. Join the two tensors with `torch.cat`."
            )
        beside = rows.shape[-1] - self.width  # the number of columns left for the label
        says = "the label is a single number. Make it one-hot, because 8 is not twice 4."
        expect(beside != 1, says)
        says = (
            "`one_hot` makes columns only up to the largest label in its input. Pass "
            "`num_classes=10`."
        )
        expect(beside not in range(2, LABELS), says)
        wanted = f"{self.width} numbers and a one-hot label of length 10."
        says = (
            f"`{self.name}` gets rows of {rows.shape[-1]} numbers, but each row must contain "
            f"{wanted}"
        )
        expect(beside in (0, LABELS), says)
        self.is_called = True
        self.is_told &= beside == LABELS
        made = rows @ self.weight[: rows.shape[-1]].to(rows.dtype)
        if self.name == "encode":
            mu, logvar = made.tanh().chunk(2, -1)
            return mu, self.level + 2 * logvar
        return made


def halves(pixels: int, codes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw the weights of an encoder and a decoder, of shapes (D + 10, 2d) and (d + 10, D)."""
    to_codes = torch.randn(pixels + LABELS, 2 * codes, generator=generator)
    to_pixels = torch.randn(codes + LABELS, pixels, generator=generator)
    return to_codes / 2, to_pixels / 2


def conditional_reference(
    encode: Half, decode: Half, x: Tensor, y: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the correct answer to `conditional_forward`."""
    label = one_hot(y, LABELS)  # (N, 10)
    mu, logvar = encode(cat([x, label], 1))  # (N, d) each
    z = mu + (logvar / 2).exp() * noise  # (N, d)
    return decode(cat([z, label], 1)), mu, logvar  # logits (N, D)


@exercise
def conditional_forward(student: Student) -> None:
    """The one-hot label is appended to x for the encoder,
    and to z = mu + std · noise for the decoder.
    """
    weights = halves(5, 2, torch.Generator().manual_seed(0))
    noise = CODES.flip(0) - 0.2  # (N, d)
    encode, decode = Half("encode", weights[0]), Half("decode", weights[1])
    answer = call(student, encode, decode, X, Y, noise)
    expect_told(encode, decode)

    right = conditional_reference(
        Half("encode", weights[0]), Half("decode", weights[1]), X, Y, noise
    )
    yours = parts(answer, ("logits", "mu", "logvar"), right)
    again = call(student, Half("encode", weights[0]), Half("decode", weights[1]), X, Y, noise)
    if isinstance(again[0], Tensor):
        says = (
            "two calls give different results, so your function draws noise. Use the given `noise`."
        )
        expect(same(plain(again[0], "your logits"), yours[0]), says)
    judge_parts(yours, right, encode, decode, noise)

    def draw(generator: torch.Generator, n: int, pixels: int, codes: int) -> Inputs:
        to_codes, to_pixels = halves(pixels, codes, generator)
        return {
            "encode": Half("encode", to_codes),
            "decode": Half("decode", to_pixels),
            "x": torch.rand(n, pixels, generator=generator),
            "y": other_labels(n, generator),
            "noise": torch.randn(n, codes, generator=generator),
        }

    other = 4 + secrets.randbelow(4), 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)
    other_inputs(student, conditional_reference, draw, (3, 5, 2), other)
    expect_any_logvar(student, weights, noise)
    expect_gradients(student, weights, noise)


def judge_parts(
    yours: list[Tensor],
    right: tuple[Tensor, Tensor, Tensor],
    encode: Half,
    decode: Half,
    noise: Tensor,
) -> None:
    """Raise Mistake unless mu, logvar and the logits of the small example are right."""
    yours_logits, yours_mu, yours_logvar = yours
    right_logits, mu, logvar = right
    label = one_hot(Y, LABELS)
    z = mu + (logvar / 2).exp() * noise
    label_first = encode(cat([label, X], 1))[0]
    returned = {
        "z is returned in place of mu. Return mu itself.": z,
        "the label comes before x. Append the label after x.": label_first,
    }
    why = "a value is wrong. Does `encode` get x followed by the one-hot row of each label?"
    Table({}, mu, returned, otherwise=why).judge(yours_mu, "your mu")
    scales = {
        "the standard deviation is returned in place of logvar. Return logvar itself.": (
            (logvar / 2).exp()
        ),
        "the variance is returned in place of logvar. Return logvar itself.": logvar.exp(),
        "half of logvar is returned. Return logvar itself.": logvar / 2,
    }
    Table({}, logvar, scales).judge(yours_logvar, "your logvar")
    wrong = {
        "a sigmoid is applied to the logits. Return the logits themselves.": right_logits.sigmoid(),
        "the label comes before z. Append the label after z.": decode(cat([label, z], 1)),
    }
    for says, code in wrong_codes(mu, logvar, noise).items():
        wrong[says] = decode(cat([code, label], 1))
    Table({}, right_logits, wrong).judge(yours_logits, "your logits")


def expect_told(encode: Half, decode: Half) -> None:
    """Raise Mistake unless both networks are called and receive the label in every call."""
    for half in (encode, decode):
        expect(half.is_called, f"`{half.name}` is never called.")
    says = "neither network gets the label. Append the label to x and to z."
    expect(encode.is_told or decode.is_told, says)
    expect(encode.is_told, "only `decode` gets the label. Append the label to x as well.")
    expect(decode.is_told, "only `encode` gets the label. Append the label to z as well.")


def wrong_codes(mu: Tensor, logvar: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Return the values of z that typical mistakes produce."""
    std = (logvar / 2).exp()
    root = "The standard deviation is exp(logvar / 2)."
    return {
        "the noise is not used. Compute z = mu + exp(logvar / 2) · noise.": mu,
        f"the noise is scaled by the variance exp(logvar). {root}": mu + std.square() * noise,
        "mu is missing. Compute z = mu + exp(logvar / 2) · noise.": std * noise,
        f"the noise is scaled by logvar itself. {root}": mu + logvar * noise,
        f"the exponential is missing, so the noise is scaled by logvar / 2. {root}": (
            mu + logvar / 2 * noise
        ),
        f"the noise is not scaled. {root}": mu + noise,
        f"the sign of the exponent is flipped. {root}": mu + noise / std,
        f"logvar is doubled, not halved. {root}": mu + std.pow(4) * noise,
        "the noise is subtracted. Compute z = mu + exp(logvar / 2) · noise.": mu - std * noise,
        (
            "the standard deviation is added without noise. Compute z = mu + exp(logvar / 2) · "
            "noise."
        ): mu + std,
        "mu and noise are swapped. Compute z = mu + exp(logvar / 2) · noise.": noise + std * mu,
        "the noise alone is decoded. Compute z = mu + exp(logvar / 2) · noise.": noise,
        "logvar is decoded. Compute z = mu + exp(logvar / 2) · noise.": logvar,
    }


def expect_any_logvar(student: Student, weights: tuple[Tensor, Tensor], noise: Tensor) -> None:
    """Raise Mistake unless the logits are also right for very small and very large variances."""
    for level in (-20.0, 20.0):
        encode, decode = Half("encode", weights[0], level), Half("decode", weights[1])
        logits, _, _ = conditional_reference(encode, decode, X, Y, noise)
        answer = call(student, encode, decode, X, Y, noise)
        says = (
            "a value is wrong. Is logvar clamped, or is a small number added to the standard "
            "deviation?"
        )
        what = f"your logits for logvar near {level:.0f}"
        Table({}, logits, otherwise=says).judge(answer[0], what)


def expect_gradients(student: Student, weights: tuple[Tensor, Tensor], noise: Tensor) -> None:
    """Raise Mistake unless the networks receive the right gradients
    through the logits, mu and logvar.
    """

    def chain(function: Callable[..., object], which: int) -> Callable[[Tensor, Tensor], Tensor]:
        def result(to_codes: Tensor, to_pixels: Tensor) -> Tensor:
            encode, decode = Half("encode", to_codes), Half("decode", to_pixels)
            answer = function(encode, decode, X.clone(), Y.clone(), noise.clone())
            assert isinstance(answer, tuple | list)
            return answer[which]

        return result

    inputs = {"the encoder's weights": weights[0], "the decoder's weights": weights[1]}
    for which, what in enumerate(("logits", "mu", "logvar")):
        learners = list(inputs) if what == "logits" else list(inputs)[:1]
        otherwise = f"The problem is in your {what}. Is the gradient cut by `detach` along the way?"
        yours, right = chain(student, which), chain(conditional_reference, which)
        gradients(yours, right, inputs, learners, otherwise)


def style_reference(
    encode: Callable[..., tuple[Tensor, Tensor]],
    decode: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """Return the correct answer to `style_rows`."""
    mu, _ = encode(x, y)  # (N, d)
    columns = [decode(mu, torch.full_like(y, label)) for label in range(LABELS)]
    return torch.stack(columns, 1)  # (N, 10, D)


class Encoder:
    """An encoder that maps x of shape (…, D) and y of shape (…) to mu and logvar of shape (…, d).

    The attribute `images` counts the images encoded so far.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # (d, D)
        self.images = 0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        says = "`encode` takes images and labels: x of shape (N, D) and y of shape (N,)."
        expect(isinstance(x, Tensor) and isinstance(y, Tensor) and x.shape[:-1] == y.shape, says)
        expect_labels(y)
        self.images += x.shape[:-1].numel()
        code = x @ self.weight.T.to(x.dtype)
        return code + (y + 1.0).sin()[..., None], code - 2


class Decoder:
    """A decoder that maps z of shape (…, d) and y of shape (…) to pixels of shape (…, D)."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight  # (d, D)

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        expect(
            isinstance(z, Tensor),
            "`decode` takes a single tensor z, but `encode` returns two tensors, mu and logvar.",
        )
        says = "`decode` takes one label for each z: y of shape (N,) with z of shape (N, d)."
        expect(isinstance(y, Tensor) and z.ndim >= 1, says)
        # labels of shape (10,) with z of shape (N, 10, d) also provide one label for each z
        is_one_each = y.ndim <= z.ndim - 1 and y.shape == z.shape[z.ndim - 1 - y.ndim : -1]
        expect(is_one_each and (y.ndim or z.ndim == 1), says)
        expect_labels(y)
        shift = self.weight[1] * (y + 1.0).sin()[..., None]
        return (z @ self.weight.to(z.dtype) + shift).sigmoid()


def expect_labels(y: Tensor) -> None:
    """Raise Mistake unless y contains integers from 0 to 9, as `one_hot` requires."""
    says = f"the labels have dtype {y.dtype}, but `one_hot` accepts only `torch.int64`."
    expect(y.dtype == torch.int64, says)
    try:
        is_digit = bool(((y >= 0) & (y < LABELS)).all())
    except RuntimeError:  # under `torch.func.vmap`, individual values cannot be read
        return
    expect(is_digit, "a label is not between 0 and 9.")


def style_answers(encode: "Encoder", decode: "Decoder") -> tuple[Tensor, dict[str, Tensor]]:
    """Return the correct rows and the results that typical mistakes produce.

    The rows have the shape (N, 10, D).
    """
    own = Y[:, None].expand(3, LABELS)  # (N, 10)
    labels = arange(LABELS).expand(3, LABELS)  # (N, 10)
    wide = X[:, None].expand(3, LABELS, 5)  # (N, 10, D)
    mu, logvar = encode(wide, own)  # (N, 10, d)
    right = decode(mu, labels)
    mistakes = {
        "every column has the image's own label. Column c must have label c.": decode(mu, own),
        "the images are encoded with the column's label. Use the image's own y.": (
            decode(encode(wide, labels)[0], labels)
        ),
        "the images are encoded with label 0. Use the image's own y.": (
            decode(encode(wide, 0 * labels)[0], labels)
        ),
        "logvar is decoded. The first result of `encode` is mu.": decode(logvar, labels),
        "z is computed as mu + std. The style is mu alone.": (
            decode(mu + (logvar / 2).exp(), labels)
        ),
    }
    originals = right.clone()
    originals[arange(3), Y] = X
    says = "the column of the image's own label shows the original. Decode its code there, too."
    mistakes[says] = originals
    mistakes |= misplaced_images(right)
    shared = mu.mean(0, keepdim=True).expand_as(mu)
    says = "the codes are averaged over the images. Each row must keep its own code."
    mistakes[says] = decode(shared, labels)
    mistakes |= wrong_columns(right)
    for label in range(LABELS):
        fixed = torch.full_like(labels, label)
        mistakes[f"every column has label {label}. Column c must have label c."] = decode(mu, fixed)
    return right, mistakes


def misplaced_images(right: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by changing the pixels or by showing the right images
    in the wrong places.
    """
    stack = "Stack along axis 1."
    return {
        f"rows and columns are swapped. {stack}": right.transpose(0, 1),
        f"the ten images of a row are along the last axis. {stack}": right.transpose(1, 2),
        f"rows and columns are mixed. {stack}": right.transpose(0, 1).reshape(3, LABELS, 5),
        "the sigmoid is applied twice. The result of `decode` already contains pixels.": (
            right.sigmoid()
        ),
        "logits are returned. Return the pixels that `decode` returns, unchanged.": right.logit(),
        "the labels are in reverse order. Column c must have label c.": right.flip(1),
        "the columns are shifted by one. Column c must have label c.": right.roll(-1, 1),
        "the columns are shifted by one. Column 0 must have label 0.": right.roll(1, 1),
        "the images are in reverse order. Row n belongs to x[n].": right.flip(0),
        "all rows show the first image. Row n must keep the style of x[n].": (
            right[:1].expand(3, LABELS, 5)
        ),
        "all rows show the last image. Row n must keep the style of x[n].": (
            right[-1:].expand(3, LABELS, 5)
        ),
    }


def wrong_columns(right: Tensor) -> dict[str, Tensor]:
    """Return the results obtained by averaging, joining or omitting columns,
    or by changing the pixels.
    """
    ten = "Return ten columns, for labels 0 to 9."
    return {
        "the result is averaged over the images. Each row must keep its own image.": right.mean(0),
        "the columns are averaged. Return ten images per row.": right.mean(1),
        (
            "the ten results are joined along an existing axis. Use `torch.stack` to create a new "
            "axis 1."
        ): right.transpose(0, 1).flatten(0, 1),
        "the axes of images and labels are merged. Return the shape (N, 10, D).": (
            right.flatten(0, 1)
        ),
        "the ten images of a row are joined. Use `torch.stack` to return shape (N, 10, D).": (
            right.flatten(1)
        ),
        f"only the labels that occur in y get a column. {ten}": right[:, Y.unique()],
        f"the columns have the labels of y, in the order of y. {ten}": right[:, Y],
        f"the columns end at the largest label in y. {ten}": right[:, : Y.max() + 1],
        f"label 9 is missing. {ten}": right[:, :9],
        f"label 0 is missing. {ten}": right[:, 1:],
        "the pixels are binarized. Return them as `decode` returns them.": (right > 0.5).float(),
        "the pixels are scaled to bytes. Return them as `decode` returns them.": right * 255,
    }


@exercise
def style_rows(student: Student) -> None:
    """Each row uses the code mu of a single image, and its ten columns show the labels 0 to 9."""
    weight = tensor([[1.1, -0.6, 0.3, 0.9, -0.4], [0.4, 0.8, -1.2, 0.2, 0.7]])  # (d, D)
    encode, decode = Encoder(weight), Decoder(weight)
    images = plain(call(student, encode, decode, X, Y), "your images")
    counted = encode.images
    again = plain(call(student, encode, decode, X, Y), "your images")
    expect(
        same(images, again),
        "two calls give different results, so your function draws noise. Use the same mu for all "
        "ten columns.",
    )

    right, mistakes = style_answers(encode, decode)
    Table({}, right, mistakes).judge(images, "your images")
    expect(counted > 0, "`encode` is never called.")
    says = (
        f"the result is right, but {counted} codes are computed for 3 images. Encode each image "
        "once."
    )
    expect(counted <= 3, says)

    def draw(generator: torch.Generator, n: int, pixels: int, codes: int) -> Inputs:
        drawn = torch.randn(codes, pixels, generator=generator)
        return {
            "encode": Encoder(drawn),
            "decode": Decoder(drawn),
            "x": torch.rand(n, pixels, generator=generator),
            "y": other_labels(n, generator),
        }

    other = 4 + secrets.randbelow(4), 6 + secrets.randbelow(4), 3 + secrets.randbelow(3)
    other_inputs(student, style_reference, draw, (3, 5, 2), other)


def marginal_reference(log_px_y: Tensor) -> Tensor:
    """Return the correct answer to `log_marginal`."""
    return log_px_y.logsumexp(1) - math.log(LABELS)


@exercise
def log_marginal(student: Student) -> None:
    """The result is log P(x) for ten equally likely labels,
    and it is accurate no matter how small P(x|y) is.
    """
    # (N, 10)
    log_p = -tensor([[1, 4, 2, 3, 5, 2.5, 6, 3.5, 7, 4.5], [3, 1.5, 6, 0.8, 2, 5, 2.2, 4, 8, 3.1]])
    right = marginal_reference(log_p)
    mistakes = wrong_tens(log_p) | wrong_label_sums(log_p) | other_units(right)
    why = (
        "exp of a large number overflows, and exp of a very negative number is 0. Use `logsumexp`."
    )
    Table({"log_px_y": log_p}, right, mistakes, not_finite=why).ask(student)

    def draw(generator: torch.Generator, n: int) -> Inputs:
        return {"log_px_y": -3 - torch.randn(n, LABELS, generator=generator)}

    other_inputs(student, marginal_reference, draw, (2,), (3 + secrets.randbelow(9),))
    expect_no_underflow(student, log_p - 900)
    expect_own_maximum(student)


MINUS = "A factor of 1/10 becomes − ln 10 in the logarithm"


def wrong_tens(log_p: Tensor) -> dict[str, Tensor]:
    """Return the results obtained if the probability of 1/10 is missing or misplaced."""
    total, ten = log_p.logsumexp(1), math.log(10)
    return {
        "ln 10 is not subtracted. Each label has probability 1/10.": total,
        f"the sign of ln 10 is flipped. {MINUS}.": total + ten,
        f"the result is divided by 10 after the logarithm. {MINUS}.": total / 10,
        f"10 itself is subtracted. {MINUS}.": total - 10,
        f"1/10 itself is subtracted. {MINUS}.": total - 0.1,
        f"the logarithm is multiplied by 10 or by 1/10. {MINUS}.": total * 10,
        f"the logarithm is multiplied by ln 10. {MINUS}.": total * ten,
        f"the logarithm is divided by ln 10. {MINUS}.": total / ten,
        f"ln 10 is subtracted twice. {MINUS}.": total - 2 * ten,
        (
            "ln 10 is subtracted from each label, and the logarithms are added. Add probabilities "
            "instead."
        ): (log_p - ten).sum(1),
        "log2(10) is subtracted from a sum in nats, so bits and nats are mixed. Subtract ln 10.": (
            total - math.log2(10)
        ),
        "log10(10) = 1 is subtracted from a sum in nats. Subtract ln 10.": total - 1,
    }


def wrong_label_sums(log_p: Tensor) -> dict[str, Tensor]:
    """Return the results obtained with a wrong sum over the labels,
    or without the sum or the logarithm.
    """
    total, ten = log_p.logsumexp(1), math.log(10)
    right = total - ten
    tiny = log_p.exp()
    return {
        "the mean of the logs is taken. Take the logarithm of the mean probability.": log_p.mean(1),
        "the sum of the logs is taken. Take the logarithm of the mean probability.": log_p.sum(1),
        "only the most likely label counts. Use `logsumexp` to add all ten labels.": log_p.amax(1),
        "only the most likely label counts. Use `logsumexp` for the sum; ln 10 is right.": (
            log_p.amax(1) - ten
        ),
        "the sum is over the images (axis 0), but the labels are along axis 1.": (
            log_p.logsumexp(0) - ten
        ),
        "the mean is over the images (axis 0), but the labels are along axis 1.": (
            log_p.logsumexp(0) - math.log(2)
        ),
        "the sum is over the images (axis 0), without ln 10. The labels are axis 1.": (
            log_p.logsumexp(0)
        ),
        "the result is also summed over the batch. Return one number per image.": right.sum(),
        "the result is also averaged over the batch. Return one number per image.": right.mean(),
        "labels and images are summed together. The labels are along axis 1.": (
            log_p.logsumexp((0, 1)) - ten
        ),
        "the logarithm is missing. The result is P(x) itself.": right.exp(),
        "the logarithm and the factor 1/10 are missing. The result is the sum of P(x|y).": (
            total.exp()
        ),
        "the sign is flipped. Return log P(x), not −log P(x).": -right,
        "the result is log P(y|x). Sum P(x, y) over the labels.": log_p - total[:, None],
        "the result is P(y|x). Sum P(x, y) over the labels.": tiny / tiny.sum(1, keepdim=True),
        "the result is log P(x, y) for each label. Sum P(x, y) over the labels.": log_p - ten,
        f"the sum is divided by the number of images, not by 10. {MINUS}.": total - math.log(2),
    }


def expect_no_underflow(student: Student, log_p: Tensor) -> None:
    """Raise Mistake unless log P(x) is right where every P(x|y) rounds to 0."""
    yours = plain(call(student, log_p), "your result")
    if same(yours, marginal_reference(log_p)):
        return
    zero = "exp(−900) rounds to 0"
    says = f"{zero}, and the logarithm of 0 is minus infinity: use `logsumexp`."
    expect(yours.isfinite().all(), says)
    value = float(yours.flatten()[0])
    says = (
        f"{zero}, and a clamp or a small number inside the logarithm hides this. For log P(x|y) "
        "near −900, "
    )
    raise Mistake(f"{says}you return {value:.1f}. Use `logsumexp`.")


def expect_own_maximum(student: Student) -> None:
    """Raise Mistake unless the largest number in each row is subtracted from the row before exp is
    taken.
    """
    near, far = [0.0, -1.0, -2.0], [-4000.0]
    rows = tensor(
        [
            near[:1] + 9 * far,  # the first number is the largest
            # the last is the largest, and most numbers are far below it
            5 * far + near + far + near[:1],
            # all are far below those in the other rows
            [value - 3000 for value in 3 * near + near[:1]],
            # the last is the largest, and most numbers are near it
            3 * far + near + near + near[:1],
            # the mean is still near the largest, but the smallest is not
            [*near, -800.0, *near, *near],
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
    wanted = "Subtract each row's own largest number, or use `logsumexp`"
    mistakes = {}
    for name, shift in shifts.items():
        # some totals are infinite
        total = shift + (rows.double() - shift).exp().sum(1, keepdim=True).log()  # (5, 1)
        mistakes[f"{name} is subtracted before exp. {wanted}."] = total[:, 0] - math.log(LABELS)
    why = f"Some numbers of a row are far below others. {wanted}."
    cut = (
        "a value is wrong in a row with numbers that are far apart. Is something clamped? "
        f"{wanted}."
    )
    table = Table({"log_px_y": rows}, right, mistakes, not_finite=why, otherwise=cut)
    table.judge(call(student, rows))


def kl_between_reference(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> Tensor:
    """Return the correct KL(q(z|x, y) ‖ P(z|y)) of each image in nats."""
    return kl_terms(mu, logvar, prior_mu, prior_logvar).sum(1)  # (N,)


def kl_terms(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    """Return the KL divergence between two diagonal Gaussians in each dimension, shape (N, d)."""
    square = (mu - prior_mu) ** 2
    return ((logvar.exp() + square) / prior_logvar.exp() - 1 - logvar + prior_logvar) / 2


def kl_between_mistakes(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> dict[str, Tensor]:
    """Return the result of each typical mistake, keyed by the sentence that names the mistake."""
    each = kl_terms(mu, logvar, prior_mu, prior_logvar)  # (N, d)
    right, zero = each.sum(1), torch.zeros_like(mu)
    var, prior_var, square = logvar.exp(), prior_logvar.exp(), (mu - prior_mu) ** 2
    wrong = {
        "the result has one number per dimension. Sum over the dimensions of z.": each,
        "the result is averaged over dimensions. Sum over the dimensions of z.": each.mean(1),
        "the result is also summed over the images. Return one number per image.": each.sum(),
        "the result is averaged over the images. Return one number per image.": right.mean(),
        "the result is summed over the images. Sum over the dimensions, axis 1.": each.sum(0),
        "the sign is flipped. A KL divergence is never negative.": -right,
        "the factor ½ is missing. The result is twice the KL.": 2 * right,
        "the prior is not used. The formula holds only for a standard normal prior.": (
            kl_terms(mu, logvar, zero, zero).sum(1)
        ),
        "prior_logvar is not used. The formula holds only for a prior of variance 1.": (
            kl_terms(mu, logvar, prior_mu, zero).sum(1)
        ),
        "prior_mu is not used. The formula holds only for a prior of mean 0.": (
            kl_terms(mu, logvar, zero, prior_logvar).sum(1)
        ),
        "the direction is reversed. The result is KL(P‖q) instead of KL(q‖P).": (
            kl_terms(prior_mu, prior_logvar, mu, logvar).sum(1)
        ),
        "logvar is treated as the log-std. The variance is exp(logvar).": (
            kl_terms(mu, 2 * logvar, prior_mu, 2 * prior_logvar).sum(1)
        ),
    }
    terms = {
        "the −1 is missing. If q equals the prior, the KL must be 0.": each + 0.5,
        "−logvar is missing.": each + logvar / 2,
        "prior_logvar is not added. The ratio of the variances enters the logarithm, too.": (
            each - prior_logvar / 2
        ),
        "the sign of log(σ²/σ_P²) is flipped.": each + logvar - prior_logvar,
        "the squared difference of the means is not divided by the variance of the prior.": (
            each + square * (1 - 1 / prior_var) / 2
        ),
        "the variance of q is not divided by the variance of the prior.": (
            each + var * (1 - 1 / prior_var) / 2
        ),
        "the squared difference of the means is missing.": each - square / prior_var / 2,
        "the difference of the means is not squared.": (
            each + (mu - prior_mu - square) / prior_var / 2
        ),
    }
    wrong |= {says: value.sum(1) for says, value in terms.items()}
    return wrong | other_units(right)


@exercise
def kl_between(student: Student) -> None:
    """The result is KL(q(z|x, y) ‖ P(z|y)) in nats, one number for each image."""
    inputs = {
        "mu": tensor([[1.0, -0.5, 0.3], [0.2, 2.0, -1.5]]),
        "logvar": tensor([[0.4, -1.0, 0.7], [-0.6, 0.3, 1.1]]),
        "prior_mu": tensor([[-0.7, 0.6, 1.4], [0.9, 0.4, -0.2]]),
        "prior_logvar": tensor([[0.9, 0.5, -0.4], [-1.2, 0.8, 0.6]]),
    }
    laws = {"a KL divergence is never negative.": lambda kl: kl >= 0}
    table = Table.of(inputs, kl_between_reference, kl_between_mistakes, laws=laws)
    table.ask(student)

    def draw(generator: torch.Generator, n: int, codes: int) -> Inputs:
        drawn = 2 * torch.rand(4, n, codes, generator=generator) - 1
        return dict(zip(inputs, drawn, strict=True))

    other_inputs(student, kl_between_reference, draw, (2, 3), (5, 4), kl_between_mistakes)
    gradients(student, kl_between_reference, inputs, list(inputs))
