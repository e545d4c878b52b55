"""The figures show the numbers that they were given: read back from the axes, not from the eye."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse

from course_lib import plots
from course_lib.probability.elbo import Bound


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def bound(reconstruction: float, kl: float, log_px: float) -> Bound:
    return Bound(*(torch.tensor(v) for v in (reconstruction, kl, log_px, 0.0)))


def test_digits_stand_in_rows_with_their_pixels_unchanged():
    images = torch.rand(7, 5, 4)
    sheet = plots.digits(images, columns=3).images[0].get_array()
    assert sheet.shape == (3 * 7, 3 * 6)  # three rows of three, a frame of one pixel round each
    row, column = divmod(4, 3)
    shown = sheet[row * 7 + 1 : row * 7 + 6, column * 6 + 1 : column * 6 + 5]
    np.testing.assert_array_equal(shown, images[4])
    assert (sheet[2 * 7 :, 6:] == 1).all()  # the two places left over are blank


def test_flat_digits_become_square_and_others_are_refused():
    flat = plots.digits(torch.rand(2, 9), columns=1).images[0].get_array()
    square = plots.digits(torch.rand(1, 3, 3), columns=1).images[0].get_array()
    assert flat.shape == (2 * square.shape[0], square.shape[1])
    with pytest.raises(ValueError, match="10 pixels do not form a square greyscale or RGB image"):
        plots.digits(torch.rand(2, 10))


def shown(images, place, columns=3, **options):
    """What stands at one place of the sheet, without its frame."""
    sheet = plots.digits(images, columns=columns, **options).images[0].get_array()
    height, width = sheet.shape[0] // -(-len(images) // columns), sheet.shape[1] // columns
    row, column = divmod(place, columns)
    return sheet[
        row * height + 1 : (row + 1) * height - 1, column * width + 1 : (column + 1) * width - 1
    ]


def test_bytes_are_grey_levels():
    images = torch.arange(5 * 12, dtype=torch.uint8).reshape(5, 4, 3) * 4
    np.testing.assert_allclose(shown(images, 3), images[3] / 255, atol=1e-7)
    grey = plots.digits(torch.full((1, 2, 2), 128, dtype=torch.uint8), 1).images[0].get_array()
    assert grey[1, 1] == pytest.approx(128 / 255)
    np.testing.assert_array_equal(shown(images > 100, 4), images[4] > 100)  # bits


def test_colour_is_drawn_in_colour():
    images = torch.rand(5, 3, 6, 4)
    expected = images[4].permute(1, 2, 0)  # (H, W, 3), as matplotlib has it
    for same in (images, images.double(), images.numpy()):
        np.testing.assert_allclose(shown(same, 4), expected, atol=1e-7)
    np.testing.assert_allclose(shown(images.flatten(1), 4, shape=(3, 6, 4)), expected, atol=1e-7)
    square = torch.rand(5, 3, 6, 6)
    np.testing.assert_allclose(shown(square.flatten(1), 2), square[2].permute(1, 2, 0), atol=1e-7)
    red = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    red[:, 0] = 255
    assert shown(red, 0, columns=1)[0, 0].tolist() == [1, 0, 0]


def test_one_channel_is_grey_and_any_size_can_be_told():
    images = torch.rand(5, 1, 6, 4)
    for same, options in (
        (images, {}),
        (images, {"shape": (6, 4)}),
        (images[:, 0], {}),
        (images.flatten(1), {"shape": (6, 4)}),
        (images.flatten(1), {"shape": (1, 6, 4)}),
        (images.requires_grad_(), {}),
    ):
        found = shown(same, 4, **options)
        np.testing.assert_array_equal(found, images[4, 0].detach())


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (
            torch.rand(2, 3, 3) * 255,
            {},
            r"Pixels must be in \[0, 1\], but these range from .*. Divide bytes by 255",
        ),
        (torch.rand(2, 3, 3) * 2 - 1, {}, r"or clip the values with .clamp\(0, 1\)"),
        (torch.full((2, 3, 3), torch.nan), {}, r"these range from nan to nan"),
        (
            torch.zeros(2, 3, 3).long(),
            {},
            r"bytes \(uint8, 0 to 255\) or floats in \[0, 1\], but got torch.int64",
        ),
        (torch.zeros(2, 3, 3).to(torch.complex64), {}, r"but got torch.complex64"),
        (
            torch.rand(2, 2, 5, 5),
            {},
            r"Images must have 1 channel \(grey\) or 3 channels \(RGB\), not 2",
        ),
        (torch.rand(2, 5, 5, 3), {}, r"Use images.permute\(0, 3, 1, 2\)"),
        (
            torch.rand(2, 32),
            {},
            r"32 pixels do not form a square greyscale or RGB image. Pass shape=",
        ),
        (torch.rand(2, 32), {"shape": (4, 4)}, r"which does not match shape=\(4, 4\)"),
        (torch.rand(0, 3, 3), {}, r"There are no images to draw. Pass at least one"),
        (torch.rand(2, 3, 3), {"columns": 0}, r"columns must be a positive integer, not 0"),
        (torch.rand(2, 3, 3), {"columns": 2.0}, r"columns must be a positive integer, not 2.0"),
        ("digits.png", {}, r"Images must be a tensor or an array, but got str"),
        (object(), {}, r"Images must be a tensor or an array, but got object"),
    ],
)
def test_what_cannot_be_drawn_is_named(images, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        plots.digits(images, **options)
    assert plt.get_fignums() == []  # no figure is begun


def test_rounding_is_drawn():
    assert shown(torch.full((1, 3, 3), 1 + 1e-6), 0, columns=1).max() == 1


@pytest.mark.parametrize("classes", [3, 10, 26])
def test_a_plane_shows_every_class(classes):
    labels = torch.arange(60) % classes
    ax = plots.latent_plane(torch.randn(60, 2), labels)
    assert sum(len(c.get_offsets()) for c in ax.collections) == 60
    assert len(ax.collections) == classes


def test_points_that_no_plane_can_show_are_named():
    z, labels = torch.randn(5, 2), torch.zeros(5).long()
    for wrong in ((z[:, :1], labels), (z, labels[:4]), (z[0], labels)):
        with pytest.raises(
            ValueError, match=r"The codes must have shape \(N, 2\), with one label each"
        ):
            plots.latent_plane(*wrong)
    with pytest.raises(ValueError, match="Labels must be integers"):
        plots.latent_plane(z, labels.float())


def test_the_first_curve_is_the_truth_in_black():
    x = torch.linspace(0, 1, 5)
    ax = plots.density(x, {"truth": x, "model": x**2})
    assert [line.get_color() for line in ax.lines] == [plots.DATA, plots.MODEL]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), x**2)


def test_a_point_wears_the_mixed_colour_of_its_components():
    resp = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    first, second = (np.array(to_rgb(c)) for c in plots.COMPONENTS[:2])
    np.testing.assert_allclose(plots.blend(resp), [first, 0.25 * first + 0.75 * second], atol=1e-12)


def test_component_colours_differ_in_lightness_or_hue_for_everyone():
    # Okabe & Ito's eight: distinct even in two of the three channels, as for a colour-blind eye
    rgb = np.array([to_rgb(c) for c in plots.COMPONENTS])
    # deuteranopia, roughly
    seen = rgb @ np.array([[0.625, 0.7, 0.0], [0.375, 0.3, 0.3], [0.0, 0.0, 0.7]])
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(8)
    assert apart.min() > 0.1


def test_ellipses_have_the_axes_of_the_covariance():
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])  # by 36.87 degrees
    covariance = turn @ torch.diag(torch.tensor([9.0, 1.0])) @ turn.T
    ax = plots.mixture_2d(torch.randn(5, 2), torch.tensor([[1.0, 2.0]]), covariance[None])
    one, two = (patch for patch in ax.patches if isinstance(patch, Ellipse))
    assert one.center == pytest.approx((1, 2))
    assert (one.width, one.height) == pytest.approx((6, 2), rel=1e-5)  # twice one sigma; float32
    assert (two.width, two.height) == pytest.approx((12, 4), rel=1e-5)
    assert one.angle % 180 == pytest.approx(36.87, abs=0.01)


def test_the_weighted_components_add_up_to_the_mixture():
    x, weights = torch.linspace(-2, 2, 9), torch.tensor([0.3, 0.7])
    ax = plots.mixture_1d(
        x, weights, torch.tensor([-1.0, 1.0]), torch.ones(2), torch.full((9, 2), 0.5)
    )
    first, second, total = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(first + second, total, rtol=1e-6)
    step = np.diff(ax.lines[0].get_xdata()).mean()
    # the grid ends two sigma outside
    assert float(np.sum(total) * step) == pytest.approx(0.97, abs=0.02)


def test_bars_stack_the_gap_on_the_bound_up_to_log_px():
    ax = plots.bound_bars({"start": bound(-3.0, 2.0, -1.0), "after": bound(-1.5, 0.5, -1.0)})
    lower, upper = ax.containers
    for low, high, elbo in zip(lower, upper, (-5.0, -2.0), strict=True):
        assert low.get_y() + low.get_height() == pytest.approx(elbo)
        assert high.get_y() == pytest.approx(elbo)
        assert high.get_y() + high.get_height() == pytest.approx(-1.0)
    assert {text.get_text() for text in ax.texts} >= {"$L_b$ = -5.000", "log P = -1.000"}


def test_a_history_shades_between_bound_and_log_px():
    ax = plots.bound_history([bound(-3.0, 2.0, -1.0), bound(-1.5, 0.5, -1.0)], steps=[0, 10])
    log_px, elbo = ax.lines
    np.testing.assert_allclose(log_px.get_ydata(), [-1, -1])
    np.testing.assert_allclose(elbo.get_ydata(), [-5, -2])
    assert list(elbo.get_xdata()) == [0, 10]
    assert len(ax.collections) == 1


def test_histories_stand_side_by_side_with_their_gaps_below():
    # the last gap is 0
    history = [bound(-3.0, 2.0, -1.0), bound(-1.5, 0.5, -1.0), bound(-0.5, 0.5, -1.0)]
    plots.bound_histories({"EM": history, "encoder": history})
    top, _, below, _ = plt.gcf().axes
    assert top.get_title() == "EM"
    np.testing.assert_allclose(
        below.lines[0].get_ydata(), [4, 1, 1e-16]
    )  # a closed gap stays on the log axis
    # dots after the q-steps only
    np.testing.assert_allclose(below.lines[1].get_ydata(), [4, 1e-16])


def test_parts_show_reconstruction_and_kl():
    ax = plots.bound_parts([bound(-3.0, 2.0, -1.0), bound(-1.5, 0.5, -1.0)], steps=[0, 1])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [-3, -1.5])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [2, 0.5])


@pytest.mark.parametrize(
    ("log", "said"), [(False, ["0.10", "0.30", "0.70", "0.90"]), (True, ["0", "0", "1", "1"])]
)
def test_the_map_of_rates_says_its_numbers_where_they_belong(log, said):
    found = torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])
    ax = plots.rate_map(found, (1e-4, 1e-2, 1e-1), "here", log)
    words = {text.get_position(): text for text in ax.texts}
    corners = [(0, 0), (2, 0), (0, 1), (2, 1)]  # (2, 0): D's third rate, G's first
    assert [words[place].get_text() for place in corners] == said
    assert [words[place].get_color() for place in corners][::3] == ["black", "white"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.0001", "0.01", "0.1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("D's learning rate", "G's learning rate")
    assert ax.images[0].origin == "lower"
