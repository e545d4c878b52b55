"""Real or generated? A quiz that keeps score,
for one person or a class voting by a show of hands.
"""

import json
import math
from datetime import datetime
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.files import reason, write_whole
from course_lib.widgets.asking import ASKING, Asking
from course_lib.widgets.sprites import data_url, image_stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PIXELS = 500_000  # in all images together, enough for 318 pairs of 28×28


class Quiz(Asking):
    """Ask whether images are real or generated:
    one at a time, as in the lecture's study, or in pairs.

    real, made: images of shape (N, H, W), (N, 3, H, W) in colour, or (N, H·W) if they are square,
    with pixels in [0, 1]; real[i] and made[i] form a pair. If there are more images of one kind
    than of the other, the extra ones are not used. seed: determines the order of the pairs and the
    side on which the real image appears. mode: "one" or "pairs". file: the name of the file that
    `save` writes.

    `answers` is updated by the browser. It is a list of dicts, each with the keys "mode", "class",
    "seed", "image" and "votes", plus one additional key: "shown" for a single image, or "left" for
    a pair. The votes are counts: [real, generated] for a single image and [left, right] for a pair;
    a person playing alone has one vote. Raises ValueError for invalid arguments.
    """

    script = (ASKING, *(Path(__file__).with_name(name) for name in ("quiz_score.js", "quiz.js")))
    mode = traitlets.Enum(["one", "pairs"], "one").tag(sync=True)
    classroom = traitlets.Bool(False).tag(sync=True)  # large type, and hands are counted
    seed = traitlets.Int(0, min=0).tag(sync=True)
    answers: Any = traitlets.List().tag(sync=True)
    # the truth about the last answer is on the screen
    revealed = traitlets.Bool(False).tag(sync=True)
    file = traitlets.Unicode("quiz_answers.json").tag(sync=True)
    shape: Any = traitlets.List().tag(sync=True)  # [pairs, H, W, images in a row of the sprite]
    sprite = traitlets.Unicode().tag(sync=True)  # all real images, then all made ones

    def __init__(
        self,
        real: Any,
        made: Any,
        seed: Any = 0,
        mode: str = "one",
        file: str | Path = "quiz_answers.json",
    ):
        if mode not in ("one", "pairs"):
            raise ValueError(f'mode must be "one" or "pairs", not {mode!r}.')
        if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**31:
            raise ValueError(f"seed must be an integer from 0 to 2³¹ − 1, not {seed!r}.")
        both = image_stack(real, "real"), image_stack(made, "made")
        if both[0].shape[1:] != both[1].shape[1:]:
            kinds = (f"{x.shape[1]} × {x.shape[2]}{' in colour' * (x.shape[3] == 3)}" for x in both)
            sizes = " and ".join(kinds)
            raise ValueError(
                f"Real and generated images must have the same size, but got {sizes}. "
                "A difference in size would give the answer away."
            )
        n = min(map(len, both))
        self.pairs = np.stack([x[:n] for x in both])  # (2, N, H, W, C)
        if self.pairs.size > MOST_PIXELS:
            raise ValueError(
                f"{n:,} pairs are too many for one page. Pass at most "
                f"{MOST_PIXELS * n // self.pairs.size:,}."
            )
        columns = math.ceil(math.sqrt(2 * n))
        cells = self.pairs.reshape(2 * n, *self.pairs.shape[2:])
        cells = np.pad(cells, ((0, -2 * n % columns), (0, 0), (0, 0), (0, 0)))
        self.written: Path | None = None
        super().__init__(
            mode=mode,
            seed=int(seed),
            file=str(file),
            shape=[*self.pairs.shape[1:4], columns],
            sprite=data_url(cells.reshape(-1, columns, *cells.shape[1:])),
        )

    def score(self, mode: str | None = None, classroom: bool | None = None) -> dict[str, Any]:
        """Return the score of the answers given in one mode, with the current seed.

        mode, classroom: the mode, and whether the answers were given in class; None selects the
        current setting of the widget. "made_taken_for_real" and "real_called_made" each contain the
        number of "images", the number of "voters", the number of "hands" that were wrong, the
        "share" of wrong hands, and the 95 % "interval" of this share, for which each image counts
        as one trial. Each of the two is None until an image of its kind has been judged. For pairs,
        "real_called_made" is always None, because it would repeat the other result.
        """
        which = {"mode": mode or self.mode, "seed": self.seed}
        which["class"] = self.classroom if classroom is None else classroom
        rows = [a for a in self.answers if all(a[key] == value for key, value in which.items())]
        found: dict[str, Any] = {}
        for name, kind in (("made_taken_for_real", "made"), ("real_called_made", "real")):
            if which["mode"] == "pairs":
                votes = [
                    (a["votes"][a["left"] != "made"], sum(a["votes"]))
                    for a in rows
                    if kind == "made"
                ]
            else:
                votes = [
                    (a["votes"][kind == "real"], sum(a["votes"]))
                    for a in rows
                    if a["shown"] == kind
                ]
            found[name] = rate(votes)
        return which | found

    def save(self) -> Path:
        """Write the score and the answers as JSON, without overwriting another quiz's file.

        Raises ValueError if the file cannot be written; an existing file is then left unchanged.
        """
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        with self.lock:
            text = json.dumps({"date": date, **self.score(), "answers": self.answers}, indent=1)
            path = Path(self.file).expanduser()
            try:
                own = path == self.written
                path = path if own else free(path)
                write_whole(path, f"{text}\n".encode(), replace=own)
            except OSError as error:
                raise ValueError(
                    f"{path} cannot be written ({reason(error)}). No answers have been lost. "
                    "Set the quiz's .file to another name, and save again."
                ) from error
            self.written, self.file = path, str(path)
        return path

    def answer(self, question: dict[str, Any]) -> np.ndarray:
        """Save the browser's answers, which are in question["save"], and return a message.

        The message is returned as an array with a single row, which contains one number per byte.
        """
        self.answers = question["save"]
        path = self.save()
        where = "" if path.is_absolute() else ", next to the notebook"
        return np.frombuffer(f"Saved: {path}{where}.".encode(), np.uint8)[None]

    def strip(self) -> "Figure":
        """Draw six pairs, without revealing which images are real."""
        from matplotlib.figure import Figure

        draw = np.random.default_rng(self.seed)
        figure = Figure(figsize=(11, 2), dpi=72, layout="constrained")
        figure.suptitle("One image of each pair is real, one is made. Which is which?")
        axes = figure.subplots(1, 6)
        for place in axes:
            place.axis("off")
        for place, i in zip(axes, draw.permutation(self.shape[0]), strict=False):
            gap = np.pad(self.pairs[:, i], ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=1)
            # (2, H, W + 2, C)
            place.imshow(np.hstack(list(draw.permutation(gap))), "gray", vmin=0, vmax=1)
        return figure


def rate(votes: list[tuple[int, int]]) -> dict[str, Any] | None:
    """Summarize `votes`, a list of (wrong votes, voters) pairs, one per image.

    The votes on one image are not independent, so the interval is based on the number of images.
    """
    if not votes:
        return None
    hands, voters = (sum(column) for column in zip(*votes, strict=True))
    share = hands / voters
    found = {"images": len(votes), "hands": hands, "voters": voters, "share": share}
    return found | {"interval": wilson(share, len(votes))}


def wilson(share: float, n: int, z: float = 1.959963984540054) -> list[float]:
    """Return the 95 % confidence interval for a proportion, `share`, observed in n trials.

    Source: Wilson 1927, without a continuity correction.
    """
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    scale = 1 + z * z / n
    return [max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)]


def free(path: Path) -> Path:
    """Return the path, with a number appended to the file name if the file already exists."""
    names = (path.with_stem(f"{path.stem}_{k}") for k in range(2, 10_000))
    return next((name for name in names if not name.exists()), path) if path.exists() else path
