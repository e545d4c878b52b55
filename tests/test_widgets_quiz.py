"""Quiz: its numbers against scipy and by hand; played in a browser, with and without a kernel."""

import base64
import errno
import io
import json
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbconvert
import nbformat
import numpy as np
import pytest
import torch
from browser import WIDGET_VIEW, Page, run_module
from PIL import Image
from scipy.stats import binomtest

from course_lib import files
from course_lib.widgets import Quiz
from course_lib.widgets.quiz import wilson
from course_lib.widgets.sprites import MOST

pytest_plugins = ["browser"]

# An image says what it is: real ones are dark, made ones bright, each grey occurs once.
REAL = (torch.arange(5) * 20 + 5)[:, None, None].repeat(1, 4, 6) / 255
# One more than there are real ones.
MADE = (torch.arange(6) * 20 + 130)[:, None, None].repeat(1, 4, 6) / 255


def grey_of(kind, image):
    return 20 * image + (5 if kind == "real" else 130)


def kind_of(grey):
    return "real" if grey < 130 else "made"


def by_hand(rows, mode):
    """Both (wrong votes, all votes, images) from a list of (greys on the screen, votes)."""
    made, real = [0, 0, 0], [0, 0, 0]
    for greys, votes in rows:
        kinds = [kind_of(grey) for grey in greys]
        if mode == "pairs":
            into, wrong = made, votes[kinds.index("made")]
        else:
            into, wrong = (made, votes[0]) if kinds == ["made"] else (real, votes[1])
        for place, value in enumerate((wrong, sum(votes), 1)):
            into[place] += value
    return made, real


def agrees(found, wanted):
    """Is a score's entry what was counted by hand, its interval scipy's (one vote an image)?"""
    hands, voters, images = wanted
    if images == 0:
        return found is None
    ends = [*binomtest(hands, voters).proportion_ci(method="wilson")] if voters == images else None
    counts = [found[key] for key in ("hands", "voters", "images")]
    return (
        counts == wanted
        and abs(found["share"] - hands / voters) < 1e-12
        and (ends is None or np.allclose(found["interval"], ends, atol=1e-9))
    )


# ---- without a browser ----


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000])
def test_the_interval_is_scipys(n):
    for k in {0, 1, n // 3, n - 1, n}:
        ends = binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
        np.testing.assert_allclose(wilson(k / n, n), [ends.low, ends.high], atol=1e-12)


def test_hands_of_a_class_count_as_one_image_each():
    quiz = Quiz(REAL, MADE, mode="pairs")
    quiz.classroom = True
    votes = [[12, 8], [5, 15], [20, 0]]  # left, right
    quiz.answers = [
        {"mode": "pairs", "class": True, "seed": 0, "image": i, "left": left, "votes": v}
        for i, (left, v) in enumerate(zip(["made", "real", "real"], votes, strict=True))
    ]
    taken = quiz.score()["made_taken_for_real"]
    assert [taken[k] for k in ("hands", "voters", "images")] == [12 + 15 + 0, 60, 3]
    # 27 of 60 hands are 0.45; with n = 3 that is as wide as 1.35 of 3 would be.
    z = 1.959963984540054
    centre, half = (0.45 + z**2 / 6) / (1 + z**2 / 3), z * np.sqrt(0.45 * 0.55 / 3 + z**2 / 36)
    assert taken["interval"] == pytest.approx(
        [centre - half / (1 + z**2 / 3), centre + half / (1 + z**2 / 3)]
    )
    assert quiz.score(classroom=False)["made_taken_for_real"] is None
    assert quiz.score("one")["made_taken_for_real"] is None


def played(seed, n=60):
    """Answers of every kind of round, in any order, and what they are to be counted from."""
    draw = np.random.default_rng(seed)
    answers = []
    for _ in range(n):
        mode, hall = ("one", "pairs")[draw.integers(2)], bool(draw.integers(2))
        votes = draw.integers(1, 30, 2).tolist() if hall else [[1, 0], [0, 1]][draw.integers(2)]
        kind = ("real", "made")[draw.integers(2)]
        where = {"one": "shown", "pairs": "left"}[mode]
        row = {
            "mode": mode,
            "class": hall,
            "seed": int(draw.integers(2)),
            "image": int(draw.integers(5)),
        }
        answers.append({**row, where: kind, "votes": votes})
    return answers


@pytest.mark.parametrize("mode", ["one", "pairs"])
@pytest.mark.parametrize("hall", [False, True])
def test_the_score_is_counted_from_the_answers_of_its_round(mode, hall):
    quiz = Quiz(REAL, MADE, seed=1)
    quiz.answers = played(3)
    rows = []
    for a in quiz.answers:
        if (a["mode"], a["class"], a["seed"]) == (mode, hall, 1):
            first = a.get("left", a.get("shown"))
            kinds = [first] if mode == "one" else [first, {"real": "made", "made": "real"}[first]]
            rows.append(([grey_of(kind, a["image"]) for kind in kinds], a["votes"]))
    assert len(rows) > 4
    found = quiz.score(mode, hall)
    made, real = by_hand(rows, mode)
    assert agrees(found["made_taken_for_real"], made)
    assert agrees(found["real_called_made"], real)
    assert (found["mode"], found["class"], found["seed"]) == (mode, hall, 1)


def cells(quiz):
    kind, data = quiz.sprite.split(";base64,")
    assert kind == "data:image/png"  # exact
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    n, height, width, columns = quiz.shape
    grid = sheet.reshape(-1, height, columns, width).swapaxes(1, 2).reshape(-1, height, width)
    return grid[: 2 * n]


def test_the_sprite_holds_all_real_images_then_all_made_ones():
    quiz = Quiz(REAL, MADE)
    assert quiz.shape[:3] == [5, 4, 6]  # the smaller count
    wanted = [grey_of("real", i) for i in range(5)] + [grey_of("made", i) for i in range(5)]
    np.testing.assert_array_equal(
        cells(quiz), np.array(wanted)[:, None, None].repeat(4, 1).repeat(6, 2)
    )
    # rows of pixels of square images
    flat = torch.rand(3, 49, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(
        cells(Quiz(flat, 1 - flat))[1], np.round(255 * flat[1].reshape(7, 7).numpy())
    )


def test_the_saved_output_is_a_picture_of_unsolved_pairs_and_a_page():
    quiz, before = Quiz(REAL, MADE, seed=2), plt.get_fignums()
    figure = quiz.strip()
    assert plt.get_fignums() == before
    shown = [np.round(255 * np.asarray(a.images[0].get_array())) for a in figure.axes if a.images]
    assert len(shown) == 5
    seen = [tuple(int(picture[0, x]) for x in (2, -3)) for picture in shown]
    assert {frozenset(pair) for pair in seen} == {
        frozenset((grey_of("real", i), grey_of("made", i))) for i in range(5)
    }
    assert {kind_of(left) for left, _ in seen} == {"real", "made"}  # not always on the same side
    page = quiz._repr_mimebundle_()[0]["text/html"]
    assert page.count("<script") == 1
    assert "http" not in page.replace("data:image", "")


def test_a_real_size_stays_small():
    # noise: nothing compresses worse
    x = torch.rand(100, 28, 28, generator=torch.Generator().manual_seed(0))
    assert len(Quiz(x, x).sprite) < 1.4 * MOST


NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"real": REAL[0]},
            r"real must contain images of shape \(N, H, W\), .*\(N, H·W\) if .* square, "
            r"but got \(4, 6\)",
        ),
        ({"real": REAL.flatten(1)}, r"real must contain images .*but got \(5, 24\)"),
        ({"made": MADE[:0]}, r"made must contain images .*but got \(0, 4, 6\)"),
        ({"made": MADE[:, None, None]}, r"made must contain images .*but got \(6, 1, 1, 4, 6\)"),
        (
            {"made": None},
            r"made must be an array of images with shape \(N, H, W\).*but got NoneType",
        ),
        (
            {"real": [[1.0], [1.0, 0.5]]},
            r"real must be an array of images with shape \(N, H, W\).*but got list",
        ),
        ({"made": MADE[:, :3]}, "same size, but got 4 × 6 and 3 × 6"),
        ({"real": 255 * REAL}, r"real contains pixels from 5.00 to 85.00, outside \[0, 1\].*bytes"),
        ({"made": MADE * 4 - 2}, r"made contains pixels from .*logits"),
        ({"made": MADE.where(MADE < 0.9, NAN)}, "made contains NaN or infinity in image 5"),
        ({"mode": "two"}, 'mode must be "one" or "pairs", not \'two\''),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"seed": 1.5}, "seed must be an integer from 0"),
        (
            {"real": torch.zeros(400, 28, 28), "made": torch.zeros(400, 28, 28)},
            "400 pairs .* at most 318",
        ),
    ],
)
def test_what_cannot_be_shown_is_named(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        Quiz(**{"real": REAL, "made": MADE, **change})
    assert "\n" not in str(caught.value)


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """A quiz with answers, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    quiz = Quiz(REAL, MADE, seed=1)
    quiz.answers = played(5)
    return quiz


def test_save_writes_everything_and_only_over_its_own_file(answered):
    path = answered.save()
    told = json.loads(Path("quiz_answers.json").read_text())
    assert path == Path("quiz_answers.json")
    assert told["answers"] == answered.answers
    assert {k: v for k, v in told.items() if k not in ("date", "answers")} == answered.score()
    assert told["seed"] == 1
    assert told["date"].startswith("20")
    answered.answers = answered.answers[:1]
    assert answered.save() == path  # its own file: the newer answers
    assert json.loads(path.read_text())["answers"] == answered.answers
    other = Quiz(REAL, MADE)
    assert other.save() == Path("quiz_answers_2.json")
    assert other.save() == Path("quiz_answers_2.json")
    assert len(json.loads(path.read_text())["answers"]) == 1
    assert sorted(os.listdir()) == [
        "quiz_answers.json",
        "quiz_answers_2.json",
    ]  # nothing half-written is left


@pytest.mark.parametrize("file", ["missing/answers.json", "a_file/answers.json"])
def test_a_folder_that_cannot_be_written_is_one_sentence(answered, file):
    Path("a_file").write_text("")
    answered.file, before = file, list(answered.answers)
    with pytest.raises(
        ValueError,
        match=r"answers.json cannot be written \(.*No answers have been lost. Set .*\.file",
    ):
        answered.save()
    assert answered.answers == before
    answered.file = "elsewhere.json"
    assert json.loads(answered.save().read_text())["answers"] == before


def test_a_tilde_in_the_file_is_the_home_folder(answered, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    answered.file = "~/mine.json"
    assert answered.save() == answered.save() == tmp_path / "mine.json"
    assert os.listdir() == ["mine.json"]


def test_two_quizzes_that_save_at_once_both_keep_their_answers(answered, monkeypatch):
    """Both saw that there is no file; the second is told, and saves again under the next name."""
    other, real = Quiz(REAL, MADE), os.fsync

    def fsync(file):
        monkeypatch.setattr(files.os, "fsync", real)
        other.save()
        real(file)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(ValueError, match=r"quiz_answers.json cannot be written \(File exists\)"):
        answered.save()
    assert other.written == Path("quiz_answers.json")
    assert answered.save() == Path("quiz_answers_2.json")
    assert json.loads(other.written.read_text())["answers"] == []
    assert json.loads(answered.written.read_text())["answers"] == answered.answers


def test_a_full_disk_keeps_the_old_file(answered, monkeypatch):
    old = answered.save().read_text()

    def full(file):
        os.ftruncate(file, 20)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    answered.answers = answered.answers[:2]
    with pytest.raises(ValueError, match="No space left on device"):
        answered.save()
    assert Path("quiz_answers.json").read_text() == old
    assert os.listdir() == ["quiz_answers.json"]


# ---- the numbers in the browser's language ----

SCRIPT = Quiz._esm + "\nexport { wilson, score, order, count, stillNeeded, ENOUGH };"


def test_both_languages_count_alike(chromium):
    quiz = Quiz(REAL, MADE, seed=1)
    quiz.answers = played(7, 200)
    cases = [(k / n, n) for n in (1, 3, 80, 1000) for k in range(0, n + 1, max(1, n // 7))]
    rounds = [(mode, hall) for mode in ("one", "pairs") for hall in (False, True)]
    picked = [
        [mode, [a for a in quiz.answers if (a["mode"], a["class"], a["seed"]) == (mode, hall, 1)]]
        for mode, hall in rounds
    ]
    intervals, scores = run_module(
        chromium,
        SCRIPT,
        "(m, [cases, rounds]) => "
        "[cases.map(c => m.wilson(...c)), rounds.map(([how, a]) => m.score(a, how))]",
        [cases, picked],
    )
    np.testing.assert_allclose(intervals, [wilson(*case) for case in cases], atol=1e-9)
    for (mode, hall), found in zip(rounds, scores, strict=True):
        wanted = quiz.score(mode, hall)
        for name, row in found.items():
            ends, mine = (row or {}).pop("interval", []), dict(wanted[name] or {})
            assert ends == pytest.approx(mine.pop("interval", []), abs=1e-9)
            assert (row or {}) == mine


def test_a_seed_gives_one_order_and_both_sides(chromium):
    asked = run_module(
        chromium,
        SCRIPT,
        "m => [0, 0, 1, 2].map(seed => ['pairs', 'one'].map(mode => m.order(80, mode, seed)))",
        None,
    )
    assert asked[0] == asked[1]
    assert asked[0][0] != asked[2][0] != asked[3][0] != asked[0][0]
    for pairs, one in asked:
        assert sorted(q["image"] for q in pairs) == list(range(80))
        # a coin's 40 ± 3.4 standard deviations
        assert 25 < sum(q["left"] == "real" for q in pairs) < 55
        assert sorted((q["image"], q["shown"]) for q in one) == [
            (i, kind) for i in range(80) for kind in ("made", "real")
        ]
        half = sum(q["shown"] == "real" for q in one[:80])
        assert 25 < half < 55
        assert [q["image"] for q in pairs] != list(range(80))


@pytest.mark.parametrize(
    ("mode", "texts", "told"),
    [
        ("pairs", ["12", "9", ""], [12, 9]),
        ("pairs", ["0", "9", "30"], [0, 9]),
        ("pairs", ["12", "", ""], "Enter the number of hands for left and for right."),
        ("pairs", ["0", "0", "30"], "Nobody has voted"),
        ("pairs", ["-1", "9", ""], "not “-1”"),
        ("pairs", ["1", "2.5", ""], "not “2.5”"),
        ("pairs", ["1", "two", ""], "not “two”"),
        ("pairs", ["20", "11", "30"], "There are more hands (31) than people (30). Count again."),
        ("pairs", ["1", "1", "-3"], "not “-3”"),
        ("one", ["7", "", "30"], [7, 23]),
        ("one", ["0", "", "30"], [0, 30]),  # nobody says real: an answer
        ("one", ["30", "", "30"], [30, 0]),
        ("one", ["7", "", ""], "the number of people"),
        ("one", ["", "", "30"], "Enter the number of hands for “real”"),
        ("one", ["0", "", "0"], "Nobody has voted"),
        ("one", ["31", "", "30"], "more hands (31) than people (30)"),
        ("one", ["1e1", "", "30"], "not “1e1”"),
    ],
)
def test_hands_are_counted_or_one_sentence_says_why_not(chromium, mode, texts, told):
    code = (
        "(m, args) => { try { return m.count(...args); } catch (error) { return error.message; } }"
    )
    found = run_module(chromium, SCRIPT, code, [mode, texts])
    assert found == told if isinstance(told, list) else told in found


def test_colour_stays_colour():
    # (4, 3, 5, 6)
    red, blue = (torch.eye(3)[[k]][:, :, None, None].repeat(4, 1, 5, 6) for k in (0, 2))
    quiz = Quiz(red, blue)
    assert quiz.shape == [4, 5, 6, 3]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(quiz.sprite.split(";base64,")[1]))))
    assert picture.shape == (3 * 5, 3 * 6, 3)
    assert picture[2, 2].tolist() == [255, 0, 0]
    assert picture[-2, 2].tolist() == [0, 0, 255]
    assert len(quiz.strip().axes) == 6
    with pytest.raises(ValueError, match="same size, but got 5 × 6 in colour and 5 × 6"):
        Quiz(red, blue[:, 0])


def test_it_says_how_many_more_images_are_enough(chromium):
    """As many as make the 95 % interval narrower than 25 points, counted here one by one."""
    answered = [(0.5, 1), (0.21, 10), (0.0, 3), (1.0, 40), (0.4, 200), (0.5, 57), (0.5, 58)]
    got = [{"share": share, "images": n} for share, n in answered]
    code = "(m, got) => [m.ENOUGH, m.stillNeeded(null), ...got.map(m.stillNeeded)]"
    enough, at_first, *more = run_module(chromium, SCRIPT, code, got)
    assert enough == 0.25

    def narrow(share, n):
        low, high = wilson(share, n)
        return high - low < enough

    for (share, n), wanted in zip([(0.5, 0), *answered], [at_first, *more], strict=True):
        assert narrow(share, max(n, 1) if wanted == 0 else n + wanted)
        assert wanted == 0 or not narrow(share, max(n + wanted - 1, 1))
    # so that the chapter's eighty images of each kind are enough for any share
    assert at_first <= 80


# ---- played ----

SOURCE = """
import torch
from course_lib.widgets import Quiz

real = (torch.arange(5) * 20 + 5)[:, None, None].repeat(1, 4, 6) / 255
made = (torch.arange(6) * 20 + 130)[:, None, None].repeat(1, 4, 6) / 255
quiz = Quiz(real, made)
quiz
"""
QUIZ = ".course-widget[data-quiz]"
RESET = (
    "quiz.mode, quiz.classroom, quiz.seed, quiz.revealed, quiz.answers = "
    "'one', False, 0, False, []; "
    "quiz.file, quiz.written = 'quiz_answers.json', None; print(quiz.answers)"
)


@pytest.fixture(scope="module")
def book(lab, chromium):
    page = lab.open(chromium, [SOURCE, "print('all ' + 'ran')"])
    page.run_all("all ran")
    yield page
    page.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The notebook's cell with a saved output as an HTML page, made without a kernel."""
    space = {}
    exec(SOURCE, space)
    data = space["quiz"]._repr_mimebundle_()[0]
    data.pop(WIDGET_VIEW, None)
    cell = nbformat.v4.new_code_cell(
        SOURCE, outputs=[nbformat.v4.new_output("execute_result", data=data)]
    )
    html, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    path = tmp_path_factory.mktemp("saved") / "saved.html"
    path.write_text(html, encoding="utf-8")
    return path


def from_disk(chromium, path, width=1100):
    page = Page(chromium, width)
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    ready(page)
    # MathJax and RequireJS, which nbconvert asks a CDN for in vain, are not the widget's fault.
    page.errors[:] = [e for e in page.errors if "MathJax" not in e and "require" not in e]
    return page


def ready(page):
    page.locator(QUIZ).first.scroll_into_view_if_needed()
    page.wait("Number(d.loaded) > 0", QUIZ)


def begin_anew(page):
    """The quiz as it was made, whatever an earlier test left; nothing is on its way any more."""
    page.run_code("quiz.answers = [{}]; " + RESET)
    fresh = "d.quiz === 'one' && d.classroom === 'false' && d.seed === '0' && d.answers === '0'"
    page.wait(fresh, QUIZ)
    page.locator(QUIZ).first.scroll_into_view_if_needed()
    for input_ in page.locator(f"{QUIZ} input.count").all():
        input_.evaluate("e => { e.value = ''; }")
    page.errors.clear()


@pytest.fixture(params=["notebook", "page"])
def page(request, chromium):
    """The same tests for the live widget and for the exported page, each from the start."""
    if request.param == "notebook":
        found = request.getfixturevalue("book")
        ready(found)
        begin_anew(found)
        yield found
        assert found.errors == []
        return
    found = from_disk(chromium, request.getfixturevalue("saved"))
    yield found
    assert found.errors == []
    found.close()


def cards(page, selector, code):
    """code(element) of each element of the first view that is to be seen."""
    shown = f"all => all.filter(e => e.offsetParent).map({code})"
    return page.locator(QUIZ).first.locator(selector).evaluate_all(shown)


def greys(page):
    """The greys of the images on the screen, from left to right."""
    return cards(
        page,
        ".cards canvas",
        """c => {
             const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
             if (data.some((v, i) => i % 4 < 3 && v !== data[0])) throw Error('not one grey');
             return data[0]; }""",
    )


def words(page):
    return cards(page, ".cards span", "e => e.textContent")


def frames(page):
    return cards(page, ".frame", "e => getComputedStyle(e).borderTopStyle")


def status(page):
    return page.locator(f"{QUIZ} [role=status]").first.text_content()


def press(page, name, exact=True):
    page.locator(QUIZ).first.get_by_role("button", name=name, exact=exact).click()


def ask(page, mode, hall=False):
    page.locator(QUIZ).first.get_by_label("One image at a time, or pairs").select_option(mode)
    page.locator(QUIZ).first.get_by_label("class mode: count hands").set_checked(hall)
    page.wait(f"d.quiz === '{mode}' && d.classroom === '{str(hall).lower()}'", QUIZ)


def key(page, name):
    page.locator(f"{QUIZ} .stage").first.press(name)


def go_on(page):
    at = int(page.data(QUIZ)["at"])
    key(page, "Enter")
    page.wait(f"d.revealed === 'false' && d.at === '{at + 1}'", QUIZ)


def unveiled(page, answers):
    """The truth is on the screen, and it is what the pixels say. Returns the greys."""
    page.wait(f"d.revealed === 'true' && d.answers === '{answers}'", QUIZ)
    shown = greys(page)
    kinds = [kind_of(grey) for grey in shown]
    assert words(page) == [{"real": "real ✓", "made": "made ✗"}[kind] for kind in kinds]
    assert frames(page) == [{"real": "solid", "made": "dashed"}[kind] for kind in kinds]
    labels = cards(page, ".cards canvas", "e => e.ariaLabel")
    assert [label.split(": ")[1] for label in labels] == kinds
    return shown


def veiled(page):
    """Nothing on the screen, or read from it, tells the truth. Returns the greys."""
    page.wait("d.revealed === 'false'", QUIZ)
    assert set(words(page)) == {""}
    assert set(frames(page)) == {"solid"}
    text = cards(page, ".cards canvas", "e => e.ariaLabel + e.title")
    assert not any("real" in t or "made" in t for t in text)
    return greys(page)


def scored(page, rows, mode):
    """The score on the page is that of (greys, votes), counted by hand."""
    found = json.loads(page.data(QUIZ)["score"])
    made, real = by_hand(rows, mode)
    assert agrees(found["made_taken_for_real"], made)
    assert agrees(found["real_called_made"], [0, 0, 0] if mode == "pairs" else real)
    return found


def test_one_at_a_time_reveals_the_truth_and_keeps_the_score(page):
    rows = []
    for k in range(6):
        shown = veiled(page)
        assert len(shown) == 1
        said = "rmmrrm"[k]
        if k % 2:
            key(page, said)
        else:
            press(page, {"r": "Real (R)", "m": "Made (M)"}[said])
        assert unveiled(page, k + 1) == shown
        rows.append((shown, [1, 0] if said == "r" else [0, 1]))
        right = kind_of(shown[0]).startswith(said)
        assert status(page) == (
            f"Right. This image is {kind_of(shown[0])}."
            if right
            else "This image is real. You called it made."
            if said == "m"
            else "This image is made. You took the made image for real."
        )
        scored(page, rows, "one")
        go_on(page)
    told = page.locator(f"{QUIZ} .parts").first.text_content()
    taken = json.loads(page.data(QUIZ)["score"])["made_taken_for_real"]
    assert f"{taken['hands']} of {taken['voters']} made images" in told
    low, high = taken["interval"]
    side = "is above" if low > 0.21 else "is below" if high < 0.21 else "contains"
    assert f"{100 * low:.1f} to {100 * high:.1f}\u00a0%, {side} the lecture’s 21\u00a0%" in told
    assert "compare it with the mean of both shares" in told
    assert re.search(
        r"enough answers when the 95 % interval is narrower than 25 percentage points, "
        r"after about \d+",
        told,
    )
    assert "add up to 100\u00a0%" in told


def test_pairs_reveal_the_truth_and_keep_the_score(page):
    ask(page, "pairs")
    rows = []
    for k in range(4):
        shown = veiled(page)
        assert abs(shown[0] - shown[1]) == 125  # the two of one pair
        left = k != 1
        if k == 0:
            page.locator(f"{QUIZ} .frame").nth(0).click()  # a picture may be clicked, too
        elif k == 1:
            press(page, "The right one is real")
        else:
            key(page, "ArrowLeft")
        assert unveiled(page, k + 1) == shown
        rows.append((shown, [1, 0] if left else [0, 1]))
        side = "left" if kind_of(shown[0]) == "real" else "right"
        fooled = (side == "left") != left
        truth = f"The {side} image is real, and the other one is made."
        assert status(page) == (
            f"{truth} You took the made image for real." if fooled else f"Right. {truth}"
        )
        scored(page, rows, "pairs")
        go_on(page)
    told = page.locator(f"{QUIZ} .parts").first.text_content()
    low, high = json.loads(page.data(QUIZ)["score"])["made_taken_for_real"]["interval"]
    side = "is above" if low > 0.5 else "is below" if high < 0.5 else "contains"
    assert f"{side} the 50\u00a0% that guessing gives." in told
    assert "Do not compare this share with the lecture’s 21\u00a0%" in told


def hands(page, *texts):
    for input_, text in zip(page.locator(f"{QUIZ} input.count").all(), texts, strict=True):
        if input_.is_visible():
            input_.fill(text)


def test_a_class_raises_its_hands_for_pairs(page):
    small = page.locator(f"{QUIZ} .frame").first.bounding_box()["width"]
    ask(page, "pairs", hall=True)
    assert page.locator(f"{QUIZ} .frame").first.bounding_box()["width"] > 1.4 * small
    assert page.eval_on_selector(QUIZ, "e => parseFloat(getComputedStyle(e).fontSize)") >= 20
    first = veiled(page)
    page.locator(f"{QUIZ} .frame").nth(0).click()  # no one alone decides here
    key(page, "ArrowLeft")
    for texts, sentence in [
        (("", "", ""), "Enter the number of hands for left"),
        (("-3", "4", ""), "not “-3”"),
        (("3.5", "4", ""), "not “3.5”"),
        (("0", "0", ""), "Nobody has voted"),
        (("20", "15", "30"), "more hands (35) than people (30)"),
    ]:
        hands(page, *texts)
        press(page, "Reveal the truth")
        page.locator(f"{QUIZ} .status.wrong", has_text=sentence).first.wait_for()
        typed = [e.input_value() for e in page.locator(f"{QUIZ} input.count").all()]
        assert typed == list(texts)  # to be mended, not typed again
    assert veiled(page) == first
    assert page.data(QUIZ)["answers"] == "0"
    rows = []
    for k, votes in enumerate([[12, 18], [25, 0], [7, 9]]):
        shown = veiled(page)
        hands(page, str(votes[0]), str(votes[1]), "30")
        page.locator(f"{QUIZ} input.count").nth(1).press("Enter")
        assert unveiled(page, k + 1) == shown
        rows.append((shown, votes))
        wrong, voters = votes[[kind_of(g) for g in shown].index("made")], sum(votes)
        assert f"{wrong} of {voters} votes took the made image for real." in status(page)
        scored(page, rows, "pairs")
        go_on(page)
    taken = json.loads(page.data(QUIZ)["score"])["made_taken_for_real"]
    assert taken["interval"] == pytest.approx(wilson(taken["share"], 3))
    told = page.locator(f"{QUIZ} .parts").first.text_content()
    assert "not independent, so n is the number of images" in told
    assert f"{taken['hands']} of 71 votes on 3 pairs" in told
    inputs = [e.input_value() for e in page.locator(f"{QUIZ} input.count").all()]
    assert inputs == ["", "", "30"]  # new hands, the same people


def test_a_class_says_real_or_made(page):
    ask(page, "one", hall=True)
    rows = []
    for k, real in enumerate([0, 24, 10, 17]):
        shown = veiled(page)
        hands(page, str(real), "", "24")
        press(page, "Reveal the truth")
        assert unveiled(page, k + 1) == shown
        rows.append((shown, [real, 24 - real]))
        wrong = real if kind_of(shown[0]) == "made" else 24 - real
        assert f"{wrong} of 24 votes" in status(page)
        scored(page, rows, "one")
        go_on(page)


def test_keys_play_and_leave_the_notebook_alone(page):
    stage = page.locator(f"{QUIZ} .stage").first
    stage.focus()
    page.keyboard.press("ArrowLeft")  # not a key of this mode
    assert page.data(QUIZ)["answers"] == "0"
    page.locator(QUIZ).first.get_by_role("button", name="Made (M)", exact=True).focus()
    page.keyboard.press("Enter")
    unveiled(page, 1)
    page.wait_for_function(
        "() => document.activeElement.textContent === 'Next'"
    )  # the button pressed is gone
    # to be seen
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("r")  # the answer stands
    page.keyboard.press(" ")
    page.wait("d.revealed === 'false' && d.at === '1'", QUIZ)
    page.wait_for_function("() => document.activeElement.classList.contains('stage')")
    page.keyboard.press("R")
    unveiled(page, 2)
    page.keyboard.press("Enter")
    page.wait("d.revealed === 'false' && d.at === '2'", QUIZ)
    ask(page, "pairs")
    stage.focus()
    for name in ("m", "r", "ArrowRight"):
        page.keyboard.press(name)
    unveiled(page, 3)
    if page.evaluate("typeof jupyterapp") == "object":
        kinds = "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)"
        assert page.evaluate(kinds) == ["code", "code"]  # m and r are JupyterLab's for text and raw
        assert page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex") == 0


def test_everything_has_a_name(page):
    used = f"{QUIZ} :is(button, input, select, canvas, .stage)"
    unnamed = f"""() => [...document.querySelectorAll('{used}')]
        .filter(e => e.offsetParent && !(e.ariaLabel || e.labels?.[0]?.textContent.trim()))
        .map(e => e.outerHTML)"""
    for mode in ("one", "pairs"):
        for hall in (False, True):
            ask(page, mode, hall)
            veiled(page)
            assert page.evaluate(unnamed) == []
    assert page.locator(f"{QUIZ} [role=status]").count() == 1
    assert page.locator(QUIZ).first.get_by_label("hands for left").is_visible()


def test_clear_asks_once_more(page):
    press(page, "Clear: delete all answers")
    page.locator(f"{QUIZ} [role=status]", has_text="There is no answer to delete.").first.wait_for()
    key(page, "r")
    unveiled(page, 1)
    press(page, "Clear: delete all answers")
    page.locator(QUIZ).first.get_by_role("button", name="Delete 1 answer?").wait_for()
    go_on(page)  # whoever goes on has not meant it
    page.locator(QUIZ).first.get_by_role("button", name="Clear: delete all answers").wait_for()
    assert page.data(QUIZ)["answers"] == "1"
    press(page, "Clear: delete all answers")
    press(page, "Delete 1 answer?")
    page.wait("d.answers === '0' && d.at === '0' && d.revealed === 'false'", QUIZ)
    assert "1 answer deleted." in status(page)
    if page.evaluate("typeof jupyterapp") == "object":
        assert (
            page.wait_code("print(quiz.answers)", lambda told: told.strip() == "[]").strip() == "[]"
        )


def test_after_the_last_image_it_begins_again_with_the_next_seed(page):
    ask(page, "pairs")
    orders = []
    for seed in range(2):
        order = []
        for k in range(5):
            order.append(tuple(veiled(page)))
            key(page, "ArrowLeft")
            unveiled(page, 5 * seed + k + 1)
            key(page, "Enter")
            page.wait(f"d.revealed === 'false' && d.at === '{k + 1}'", QUIZ)
        orders.append(order)
        assert page.data(QUIZ)["over"] == "true"
        assert "All 5 pairs have been shown." in page.locator(f"{QUIZ} .sum").first.text_content()
        found = scored(page, [(pair, [1, 0]) for pair in order], "pairs")
        assert found["made_taken_for_real"]["images"] == 5  # of this round only
        press(page, f"Start again with seed {seed + 1}")
        page.wait(f"d.seed === '{seed + 1}' && d.at === '0' && d.over === 'false'", QUIZ)
        assert "another order" in status(page)
    assert orders[0] != orders[1]
    assert {frozenset(pair) for pair in orders[0]} == {frozenset(pair) for pair in orders[1]}
    assert page.data(QUIZ)["answers"] == "10"  # none was lost


def play(page, answers):
    for k, said in enumerate(answers):
        veiled(page)
        key(page, said)
        unveiled(page, k + 1)
        if k + 1 < len(answers):
            go_on(page)


@pytest.mark.parametrize("width", [380, 680, 1100])
def test_nothing_is_cut_off(saved, chromium, width):
    page = from_disk(chromium, saved, width)
    for mode in ("one", "pairs"):
        for hall in (False, True):
            ask(page, mode, hall)
            for revealed in (False, True):
                if revealed and hall:
                    hands(page, "12", "9" if mode == "pairs" else "", "99")
                    press(page, "Reveal the truth")
                elif revealed:
                    key(page, {"one": "m", "pairs": "ArrowLeft"}[mode])
                page.wait(f"d.revealed === '{str(revealed).lower()}'", QUIZ)
                inside = page.eval_on_selector(
                    QUIZ,
                    """e => { const edge = e.getBoundingClientRect();
                      return [...e.querySelectorAll('*')].filter(c => c.offsetParent).map(c => {
                        const box = c.getBoundingClientRect(), name = c.outerHTML.slice(0, 80);
                        return [name, box.left - edge.left, edge.right - box.right];
                      }).filter(([name, left, right]) => left < 0 || right < 0); }""",
                )
                assert inside == []
                assert page.eval_on_selector(QUIZ, "e => e.scrollWidth <= e.clientWidth")
    assert page.errors == []
    page.close()


def test_a_saved_page_remembers_and_downloads(saved, chromium):
    page = from_disk(chromium, saved)
    press(page, "Save the answers to a file")
    page.locator(
        f"{QUIZ} [role=status]", has_text="There is no answer to save yet."
    ).first.wait_for()
    play(page, "rmr")
    before, shown = page.data(QUIZ), greys(page)
    page.reload(wait_until="domcontentloaded")
    ready(page)
    assert unveiled(page, 3) == shown
    assert page.data(QUIZ)["score"] == before["score"]
    with page.expect_download() as download:
        press(page, "Save the answers to a file")
    assert download.value.suggested_filename == "quiz_answers.json"
    told = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    twin = Quiz(REAL, MADE)  # the kernel's file, from the same answers
    twin.answers = told["answers"]
    assert list(told) == ["date", *twin.score(), "answers"]
    assert twin.score() == {k: told[k] for k in twin.score()}
    assert [a["votes"] for a in told["answers"]] == [[1, 0], [0, 1], [1, 0]]
    assert grey_of(told["answers"][2]["shown"], told["answers"][2]["image"]) == shown[0]
    page.evaluate("localStorage.setItem(Object.keys(localStorage)[0], '{damaged')")
    page.reload(wait_until="domcontentloaded")
    ready(page)
    assert page.data(QUIZ)["answers"] == "0"
    page.errors[:] = [e for e in page.errors if "MathJax" not in e and "require" not in e]
    assert page.errors == []
    page.close()


# ---- with a kernel ----


@pytest.fixture
def live(book):
    ready(book)
    begin_anew(book)
    yield book
    assert book.errors == []


def test_python_reads_the_answers_and_sets_the_quiz(live):
    play(live, "rrm")
    shown = live.data(QUIZ)["score"]
    told = json.loads(
        live.wait_code(
            "import json; print(json.dumps([quiz.answers, quiz.score(), quiz.revealed]))",
            lambda told: len(json.loads(told)[0]) == 3,
        )
    )
    assert [a["votes"] for a in told[0]] == [[1, 0], [1, 0], [0, 1]]
    assert {k: told[1][k] for k in ("made_taken_for_real", "real_called_made")} == json.loads(shown)
    assert told[2] is True
    live.run_code("quiz.mode = 'pairs'; quiz.revealed = False; quiz.answers = quiz.answers[:1]")
    live.wait("d.quiz === 'pairs' && d.answers === '1' && d.at === '0'", QUIZ)
    assert len(veiled(live)) == 2


def test_the_kernel_saves_next_to_the_notebook(live):
    folder = live.path.parent
    for old in folder.glob("quiz_answers*"):
        old.unlink()
    play(live, "rm")
    press(live, "Save the answers to a file")
    live.locator(
        f"{QUIZ} [role=status]", has_text="Saved: quiz_answers.json, next to the notebook."
    ).first.wait_for()
    told = json.loads((folder / "quiz_answers.json").read_text())
    assert [a["votes"] for a in told["answers"]] == [[1, 0], [0, 1]]
    assert json.loads(live.data(QUIZ)["score"]) == {
        k: told[k] for k in ("made_taken_for_real", "real_called_made")
    }
    live.run_code("quiz.file = 'nowhere/answers.json'")
    press(live, "Save the answers to a file")
    live.locator(
        f"{QUIZ} .status.wrong", has_text="nowhere/answers.json cannot be written"
    ).first.wait_for()
    assert live.data(QUIZ)["answers"] == "2"
    live.run_code("quiz.file = 'again.json'")
    press(live, "Save the answers to a file")
    live.locator(f"{QUIZ} [role=status]", has_text="Saved: again.json").first.wait_for()
    assert json.loads((folder / "again.json").read_text())["answers"] == told["answers"]


def test_a_second_view_shows_the_same_and_a_reload_loses_nothing(lab, chromium):
    page = lab.open(chromium, [SOURCE, "quiz", "print('all ' + 'ran')"])
    page.run_all("all ran")
    ready(page)
    page.wait_for_function(f"() => document.querySelectorAll('{QUIZ}').length === 2")
    play(page, "mr")
    page.locator(QUIZ).nth(1).scroll_into_view_if_needed()
    page.wait_for_function(
        f"""() => {{ const [a, b] = [...document.querySelectorAll('{QUIZ}')].map(e => e.dataset);
                     return b.answers === '2' && b.revealed === 'true' && a.score === b.score; }}"""
    )
    second = page.locator(QUIZ).nth(1)
    second.get_by_role("button", name="Next image (Enter)").click()
    second.get_by_role("button", name="Real (R)", exact=True).click()
    page.wait_for_function(f"() => document.querySelectorAll('{QUIZ}')[1].dataset.answers === '3'")
    page.locator(QUIZ).nth(0).scroll_into_view_if_needed()
    page.wait("d.answers === '3' && d.revealed === 'true'", QUIZ)
    shown, before = unveiled(page, 3), page.data(QUIZ)
    page.wait_code("print(len(quiz.answers))", lambda told: told.strip() == "3")
    page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => 0)")
    page.reload(wait_until="domcontentloaded")
    page.locator(QUIZ).first.wait_for()
    ready(page)
    page.wait("d.answers === '3' && d.revealed === 'true'", QUIZ)
    assert greys(page)[:1] == shown[:1]
    assert page.data(QUIZ)["score"] == before["score"]
    page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()")
    with page.expect_download() as download:  # no kernel that could write: the browser does
        press(page, "Save the answers to a file")
    told = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [a["votes"] for a in told["answers"]] == [[0, 1], [1, 0], [1, 0]]
    page.close()
