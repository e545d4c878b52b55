"""Checks for chapter 05: where the label enters, one style in ten digits, log P(x) from log P(x|y)."""

from torch import Tensor, arange, cat, tensor
from torch.nn.functional import one_hot

from course_lib.checks.report import Network, Student, Table, call, exercise, expect, plain, same

Y, CODES = tensor([4, 0, 7]), tensor([[1.2, -0.4], [-0.9, 0.7], [0.3, 2.1]])  # (N,), (N, d)
WEIGHT = tensor([[1.1, -0.6, 0.3, 0.9, -0.4], [0.4, 0.8, -1.2, 0.2, 0.7]])  # (d, D)
X = (CODES @ WEIGHT).sigmoid()  # (N, D)


@exercise
def conditional_forward(student: Student) -> None:
    """the one-hot label is appended to x for the encoder, and to z = mu + std · noise for the decoder."""
    mu, logvar, noise, label = CODES, 1 - CODES.flip(1), CODES.flip(0) - 0.2, one_hot(Y, 10)
    logits, std = noise @ WEIGHT, (logvar / 2).exp()
    encode, decode = Network("encode", (mu, logvar)), Network("decode", (logits,))
    answer, _ = (call(student, encode, decode, X, Y, noise) for _ in range(2))
    expect(len(encode.seen) == len(decode.seen) == 2, "call `encode` once, then `decode` once.")
    codes = {
        "the noise is not used: z = mu + exp(logvar / 2) · noise.": mu,
        "std is taken as variance: exp(logvar) is the variance, multiply by its root.": mu + std**2 * noise,
        "mu is missing: z = mu + exp(logvar / 2) · noise.": std * noise,
    }
    wrong = {says: cat([code, label], 1) for says, code in codes.items()}
    for own, other, of, first in (encode, "decode", "x", X), (decode, "encode", "z", z := mu + std * noise):
        says = f"the label is given to `{other}` only, or to neither: append it to {of} too."
        expect(own.seen[0].shape != first.shape, says)
        expect(same(*own.seen), "two calls differ, so noise is drawn: use the `noise` that is given.")
        labels = {
            f"the label stands before {of}: append it behind.": cat([label, first], 1),
            "the label is one number: make it one-hot, 8 is not twice 4.": cat([first, Y[:, None]], 1),
            "`one_hot` counts only labels that it sees: `num_classes=10`.": cat([first, label[:, :8]], 1),
        }
        Table({}, cat([first, label], 1), labels | wrong).judge(own.seen[0], f"what `{own.name}` gets")
    expect(isinstance(answer, tuple | list) and len(answer) == 3, "return the tuple logits, mu, logvar.")
    Table({}, logits, {"apply no sigmoid: return logits.": logits.sigmoid()}).judge(answer[0], "your logits")
    Table({}, mu, {"z comes back: return mu itself.": z}).judge(answer[1], "your mu")
    Table({}, logvar, {"the std comes back: return logvar.": std}).judge(answer[2], "your logvar")


@exercise
def style_rows(student: Student) -> None:
    """each row keeps the code mu of one image, and its ten columns are the labels 0 to 9: (N, 10, D)."""

    def encode(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x @ WEIGHT.T + (y + 1.0).sin()[..., None], x @ WEIGHT.T - 2  # (N, d)

    def decode(z: Tensor, y: Tensor) -> Tensor:
        expect(isinstance(z, Tensor), "`decode` wants one tensor z: `encode` returns two, mu and logvar.")
        fits = isinstance(y, Tensor) and y.shape == z.shape[:-1]
        expect(fits, "`decode` wants one label for each z: y (N,) with z (N, d).")
        return (z @ WEIGHT + WEIGHT[1] * (y + 1.0).sin()[..., None]).sigmoid()  # (N, D)

    images, again = (plain(call(student, encode, decode, X, Y), "your images") for _ in range(2))
    expect(same(images, again), "two calls differ, so noise is drawn: one mu serves all ten columns.")
    own, labels, wide = Y[:, None].expand(3, 10), arange(10).expand(3, 10), X[:, None].expand(3, 10, 5)
    mu, logvar = encode(wide, own)  # (N, 10, d)
    right = decode(mu, labels)
    mistakes = {
        "every column has the image's own label: column c is label c.": decode(mu, own),
        "encoded with the column's label: use the image's own y.": decode(encode(wide, labels)[0], labels),
        "encoded with label 0: use the image's own y.": decode(encode(wide, 0 * labels)[0], labels),
        "logvar is decoded: `encode` returns mu first.": decode(logvar, labels),
        "rows and columns are swapped: stack along axis 1.": right.transpose(0, 1),
        "rows and columns are mixed: stack along axis 1.": right.transpose(0, 1).reshape(3, 10, 5),
        "the sigmoid is applied twice: `decode` gives pixels.": right.sigmoid(),
    }
    Table({}, right, mistakes).judge(images, "your images")


@exercise
def log_marginal(student: Student) -> None:
    """log P(x|y) (N, 10) gives log P(x) (N,), all ten labels equally likely, however small P(x|y) is."""
    log_p = -tensor([[1, 4, 2, 3, 5, 2.5, 6, 3.5, 7, 4.5], [3, 1.5, 6, 0.8, 2, 5, 2.2, 4, 8, 3.1]])
    total, ten = log_p.logsumexp(1), tensor(10.0).log()
    mistakes = {
        "ln 10 is forgotten: each label has probability 1/10.": total,
        "a mean of logs: the logarithm of the mean probability is wanted.": log_p.mean(1),
        "only the likeliest label counts: `logsumexp` adds all ten.": log_p.amax(1),
        "summed over the images (axis 0): the labels are axis 1.": log_p.logsumexp(0) - ten,
        "summed over the batch too: one number per image is wanted.": (total - ten).sum(),
    }
    Table({"log_px_y": log_p}, total - ten, mistakes).ask(student)
    far, why = {"log_px_y": log_p - 900}, "exp of −900 rounds to 0: use `logsumexp`."
    Table(far, total - ten - 900, {}, {why: lambda log_px: log_px < -800}, why).ask(student)
