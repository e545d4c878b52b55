"""CodeLine: distances against scipy, the sprite, and a browser, with and without a kernel."""

import base64
import io
import json
import time

import matplotlib.pyplot as plt
import nbconvert
import numpy as np
import pytest
import torch
from browser import Page
from PIL import Image
from scipy.spatial.distance import cdist

from course_lib.plots import MODEL
from course_lib.widgets import CodeLine

pytest_plugins = ["browser"]


def clean(z):
    """True at every code: an image as grey as the code, from 0 to 1."""
    return z[:, :, None].repeat(1, 5, 8)


def holey(z):
    """True at the ends −10 and 10, half black and half white between them."""
    part = (z[:, :, None] + 10) / 20
    stripes = torch.tensor([0.0, 1.0] * 4).repeat(5, 1)
    hole = 4 * part * (1 - part)
    return (1 - hole) * part + hole * stripes


TRUTH = torch.linspace(0, 1, 51)[:, None, None].repeat(1, 5, 8)
MODELS = {"AE": holey, "VAE": clean}
LIMITS = {"AE": (-10, 10), "VAE": (0, 1)}


@pytest.fixture(scope="module")
def line():
    return CodeLine(MODELS, TRUTH, LIMITS, marks={"AE": torch.tensor([-10.0, 5.0]), "VAE": [0.25]})


def cells(widget):
    kind, data = widget.sprite.split(";base64,")
    assert kind == "data:image/png"  # exact
    positions, height, width, _ = widget.shape
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    return sheet.reshape(-1, height, positions, width).swapaxes(1, 2).reshape(-1, height, width)


def test_colour_stays_colour():
    """Red and blue of equal brightness are one grey; here they are two pictures, and far apart."""

    def red(z):
        return torch.stack(
            [torch.ones(len(z), 5, 8), torch.zeros(len(z), 5, 8), torch.zeros(len(z), 5, 8)], 1
        )

    truth = red(torch.zeros(1, 1)).flip(1)  # blue
    w = CodeLine({"red": red}, truth, {"red": (0, 1)})
    assert w.shape == [101, 5, 8, 1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(w.sprite.split(";base64,")[1]))))
    assert picture[2, 4].tolist() == [255, 0, 0]
    assert picture[7, 4].tolist() == [0, 0, 255]
    assert w.distances[0][0] == pytest.approx(np.sqrt(2 * 40))
    assert len(w.strip().axes) == 2


def test_distances_are_scipys(line):
    for row, (name, decode) in zip(line.distances, MODELS.items(), strict=True):
        images = decode(torch.linspace(*LIMITS[name], 101)[:, None]).flatten(1).double().numpy()
        wanted = cdist(images, TRUTH.flatten(1).double().numpy()).min(1)
        # float32 codes: 1e-7 of grey in each of 40 pixels.
        np.testing.assert_allclose(row, wanted, atol=2e-6)
    assert (
        max(line.distances[0])
        == line.distances[0][50]
        == pytest.approx(np.sqrt(40 * 0.25), abs=1e-6)
    )
    assert max(line.distances[1]) < 0.01 * np.sqrt(40) + 1e-6  # half a step between true greys


def test_the_sprite_holds_every_picture_and_the_nearest_true_one(line):
    all_cells = cells(line)
    truth = np.round(255 * TRUTH.numpy())
    for i, (name, decode) in enumerate(MODELS.items()):
        images = decode(torch.linspace(*LIMITS[name], 101)[:, None])
        bytes_ = np.round(255 * images.numpy())
        np.testing.assert_array_equal(all_cells[101 * i : 101 * (i + 1)], bytes_)
        near = cdist(images.flatten(1).double(), TRUTH.flatten(1).double()).argmin(1)
        shown = all_cells[line.nearest[i]]
        # half way between two true images either is the nearest: they are a step of 1/50 apart
        assert np.abs(shown - truth[near]).max() <= 5 + 1
        assert np.mean((shown == truth[near]).all((1, 2))) > 0.5
    assert line.shape == [101, 5, 8, 51]


def test_marks_are_places_on_each_models_own_line(line):
    assert line.marks == [[0.0, 0.75], [0.25]]  # exact in binary
    # from high to low
    turned = CodeLine({"AE": clean}, limits={"AE": (1, 0)}, marks={"AE": [0.25]})
    assert turned.marks == [[0.75]]
    assert cells(turned)[0, 0, 0] == 255
    assert (turned.distances, turned.nearest) == ([], [])  # no truth, no distances


def test_the_saved_output_is_a_picture_and_a_page(line):
    before = plt.get_fignums()
    figure = line.strip()
    assert plt.get_fignums() == before
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[:, :8], cells(line)[0])
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array()[:, 80:], cells(line)[201])
    curves = figure.axes[2].lines
    assert [c.get_label() for c in curves] == ["AE", "VAE"]
    assert curves[1].get_color() == MODEL
    assert len({c.get_linestyle() for c in curves}) == 2  # colour is not the only sign
    np.testing.assert_array_equal(curves[0].get_ydata(), line.distances[0])
    assert len(CodeLine(MODELS, limits=LIMITS).strip().axes) == 2
    page = line._repr_mimebundle_()[0]["text/html"]
    assert len(page) < 400_000
    assert page.count("<script") == 1
    assert "http" not in page.replace("data:image", "")


def test_real_sizes_stay_small():
    from course_lib.data import draw_moon, moon_phases

    truth = moon_phases(201)[0]
    w = CodeLine(
        {"AE": lambda z: draw_moon(z[:, 0]), "VAE": lambda z: draw_moon(z[:, 0] / 2)},
        truth,
        {"AE": (0, 0.5), "VAE": (0, 1)},
    )
    assert max(map(max, w.distances)) < 1e-5  # every half-position is a moon of the 201
    assert w.sprite.startswith("data:image/png")
    assert len(w._repr_mimebundle_()[0]["text/html"]) < 250_000


NAN = float("nan")


def vae(change):
    """The models, with another VAE."""
    return {"decoders": {"AE": holey, "VAE": lambda z: change(clean(z))}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"limits": {"AE": (-10, 10)}},
            r"'VAE' needs two different finite limits, such as limits=\{'VAE': \(low, high\)\}",
        ),
        ({"limits": None}, "'AE' needs two different finite limits"),
        ({"limits": {"AE": (1, 1), "VAE": (0, 1)}}, "'AE' needs two different finite limits"),
        ({"limits": {"AE": (0, NAN), "VAE": (0, 1)}}, "'AE' needs two different finite limits"),
        ({"decoders": {}}, "Pass one to four models, not 0"),
        (
            vae(lambda x: x.flatten(1)),
            r"VAE\(z\) must return images of shape \(101, H, W\).*got \(101, 40\)",
        ),
        (vae(lambda x: x[:, :4]), r"the same size, but got .*\(1, 4, 8\)"),
        (vae(lambda x: x[:, None].repeat(1, 2, 1, 1)), r"the same size.*\(2, 5, 8\)"),
        (vae(lambda x: x + 0.5), r"VAE\(z\) returned pixels from 0.50 to 1.50"),
        (vae(lambda x: x * NAN), r"VAE\(z\) returned NaN or infinity at z = \(0.00\)"),
        ({"truth": TRUTH.flatten(1)}, r"truth must contain images .*got \(51, 40\)"),
        ({"truth": 255 * TRUTH}, r"truth contains pixels from .* outside \[0, 1\]"),
        ({"truth": TRUTH * NAN}, "truth contains NaN or infinity"),
    ],
)
def test_what_cannot_be_drawn_is_named(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        CodeLine(**{"decoders": MODELS, "truth": TRUTH, "limits": LIMITS, **change})
    assert "\n" not in str(caught.value)


# ---- in a browser ----

SOURCE = """
import torch
from course_lib.widgets import CodeLine

def clean(z):
    return z[:, :, None].repeat(1, 5, 8)

def holey(z):
    part = (z[:, :, None] + 10) / 20
    hole = 4 * part * (1 - part)
    return (1 - hole) * part + hole * torch.tensor([0.0, 1.0] * 4).repeat(5, 1)

truth = torch.linspace(0, 1, 51)[:, None, None].repeat(1, 5, 8)
models, limits = {"AE": holey, "VAE": clean}, {"AE": (-10, 10), "VAE": (0, 1)}
line = CodeLine(models, truth, limits, marks={"VAE": [0.25]})
line
"""
LINE = ".course-widget[data-at]"


@pytest.fixture(scope="module")
def book(lab, chromium):
    page = lab.open(chromium, [SOURCE, "print('all ' + 'ran')"])
    page.run_all("all ran")
    yield page
    page.close()


@pytest.fixture(scope="module")
def saved(book, tmp_path_factory):
    """The notebook as an HTML page, without a kernel or saved widget state."""
    html, _ = nbconvert.HTMLExporter().from_notebook_node(book.saved())
    path = tmp_path_factory.mktemp("saved") / "saved.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(params=["notebook", "page of 380", "page of 1200"])
def page(request, chromium):
    """The same tests for the live widget and for exported pages."""
    if request.param == "notebook":
        found = request.getfixturevalue("book")
        found.locator(LINE).first.scroll_into_view_if_needed()
        found.wait("Number(d.loaded) > 0", LINE)
        yield found
        assert found.errors == []
        return
    path = request.getfixturevalue("saved")
    found = Page(chromium, int(request.param.split()[-1]))
    found.goto(path.as_uri(), wait_until="domcontentloaded")
    found.locator(LINE).first.scroll_into_view_if_needed()
    found.wait("Number(d.loaded) > 0", LINE)
    # MathJax and RequireJS, which nbconvert asks a CDN for in vain, are not the widget's fault.
    found.errors[:] = [e for e in found.errors if "MathJax" not in e and "require" not in e]
    yield found
    inside, outside = found.eval_on_selector(LINE, "e => [e.scrollWidth, e.clientWidth]")
    assert inside <= outside  # nothing is cut off
    assert found.errors == []
    found.close()


def grey(page, model, column, dark=False):
    """The grey of a drawn picture, in its first (dark) or second stripe:
    column 0 decoded, 1 nearest true.
    """
    return page.eval_on_selector(
        f"{LINE} canvas",
        """(c, [model, column, stripe]) => {
            const { s } = JSON.parse(c.closest('.course-widget').dataset.box);
            const x = column * (s + 8) + s * (stripe + 0.5) / 8, y = model * (s + 30) + 44 + s / 2;
            const place = [Math.round(x), Math.round(y)];
            return c.getContext('2d').getImageData(...place, 1, 1).data[0]; }""",
        [model, column, 0 if dark else 1],
    )


def expect(page, at):
    """Every picture and number on the screen is that of position `at`."""
    page.wait(f"d.at === '{at}'", LINE)
    part, hole = at / 100, 4 * (at / 100) * (1 - at / 100)
    assert grey(page, 0, 0) == pytest.approx(255 * ((1 - hole) * part + hole), abs=1)
    assert grey(page, 0, 0, dark=True) == pytest.approx(255 * (1 - hole) * part, abs=1)
    assert grey(page, 1, 0) == pytest.approx(255 * part, abs=1)
    # the nearest of 51 true greys
    assert grey(page, 1, 1) == pytest.approx(255 * part, abs=255 / 100 + 1)
    told = json.loads(page.data(LINE)["distances"])
    level = (1 - hole) * part + hole / 2
    near = np.round(level * 50) / 50
    spread = [(1 - hole) * part - near, (1 - hole) * part + hole - near]
    assert told[0] == pytest.approx(np.sqrt(20 * (spread[0] ** 2 + spread[1] ** 2)), abs=1e-5)
    assert told[1] == pytest.approx(np.sqrt(40) * min(part % 0.02, -part % 0.02), abs=1e-5)


def test_the_slider_moves_both_models_along(page):
    slider = page.locator(LINE).first.get_by_label("Timeline: position on the line of codes")
    slider.focus()
    slider.press("Home")
    expect(page, 0)
    slider.press("ArrowRight")
    expect(page, 1)
    slider.press("End")
    expect(page, 100)


def test_keys_move_and_tell_and_leave_the_notebook_alone(page):
    canvas = page.locator(f"{LINE} canvas").first
    canvas.focus()
    canvas.press("Home")
    for key in ("PageUp", "PageUp", "ArrowRight", "ArrowUp", "ArrowLeft"):
        canvas.press(key)
    expect(page, 21)
    said = canvas.get_attribute("aria-label")
    assert "AE at code −5.80 is 2.10 away, VAE at code 0.21 is 0.06 away" in said
    canvas.press("End")
    canvas.press("PageDown")
    expect(page, 90)
    if page.evaluate("typeof jupyterapp") == "object":
        assert page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex") == 0


def test_a_drag_over_the_curves_moves(page):
    canvas = page.locator(f"{LINE} canvas").first
    canvas.scroll_into_view_if_needed()
    box, place = json.loads(page.data(LINE)["box"]), canvas.bounding_box()
    x, y = place["x"] + box["x"], place["y"] + box["y"] + box["h"] / 2
    page.mouse.move(x + 0.2 * box["w"], y)
    page.mouse.down()
    # the middle of the panel is the middle of the line
    page.mouse.move(x + box["w"] / 2, y, steps=6)
    page.mouse.up()
    expect(page, 50)
    distances = json.loads(page.data(LINE)["distances"])
    assert distances[0] > 3 > 0.1 > distances[1]  # the hole, and no hole


def test_playing_walks_to_the_end_and_back(page):
    canvas = page.locator(f"{LINE} canvas").first
    canvas.focus()
    canvas.press("End")
    page.locator(LINE).first.get_by_role("button", name="Play: walk along the line").click()
    page.wait("d.playing === 'true' && d.t > 0.2 && d.t < 0.9", LINE)
    page.locator(LINE).first.get_by_role("button", name="Pause").click()
    page.wait("d.playing === 'false'", LINE)
    at = page.data(LINE)["at"]
    time.sleep(0.5)
    assert page.data(LINE)["at"] == at
    expect(page, int(at))


def test_the_kernel_knows_where_we_are_and_may_say_where_to_go(book):
    book.run_code("line.t = 0.33")
    expect(book, 33)
    canvas = book.locator(f"{LINE} canvas").first
    canvas.focus()
    canvas.press("ArrowRight")
    expect(book, 34)
    told = book.wait_code("print(line.t)", lambda told: float(told) == pytest.approx(0.34))
    assert float(told) == pytest.approx(0.34)
    assert "nearest of 51 true images" in book.locator(f"{LINE} .parts").first.text_content()
    assert book.errors == []
