"""What all checks share: whatever a student returns, one kind line and no traceback."""

import io
import itertools
import math
import random
import sys
import textwrap

import numpy as np
import pytest
import test_checks_autoencoder as checks_autoencoder
import test_checks_bound as checks_bound
import test_checks_conditional as checks_conditional
import test_checks_gan as checks_gan
import test_checks_gpu as checks_gpu
import test_checks_mixtures as checks_mixtures
import test_checks_start as checks_start
import test_checks_toy_gan as checks_toy_gan
import test_checks_vae as checks_vae
import torch
from IPython.core.interactiveshell import InteractiveShell
from thorough import THOROUGH

from course_lib import checks
from course_lib.checks import report

CHAPTERS = (
    checks_start,
    checks_mixtures,
    checks_bound,
    checks_autoencoder,
    checks_vae,
    checks_conditional,
    checks_toy_gan,
    checks_gan,
    checks_gpu,
)
REFERENCE = {
    name: getattr(c, name) for c in CHAPTERS for name in checks.__all__ if hasattr(c, name)
}
EVERY_CHECK = pytest.mark.parametrize("name", checks.__all__)


def with_each_check(answers):
    """Every answer with every check in a thorough run, else with every third: each meets some."""
    pairs = itertools.product(enumerate(checks.__all__), enumerate(answers))
    # j // 3, so that all pairs of something and one of three things are not cut to one of the three
    return [
        (name, answer) for (i, name), (j, answer) in pairs if THOROUGH or (i + j + j // 3) % 3 == 0
    ]


def not_implemented(*given):
    raise NotImplementedError


def planned(*given):
    """A stub whose error carries a text."""
    step = len(given)
    raise NotImplementedError(f"step {step}")


def endless(*given):
    return endless(*given)


def leaves(*given):
    raise SystemExit


def several_lines(*given):
    raise ValueError("first\n  second")


GARBAGE = {
    "None": lambda *given: None,
    "numpy array": lambda *given: np.ones((2, 3)),
    "list": lambda *given: [[1.0, 2.0], [3.0, 4.0]],
    "nested list of tensors": lambda *given: [torch.ones(2), [torch.ones(1)]],
    "number": lambda *given: 3.0,
    "text": lambda *given: "0.5",
    "dict": lambda *given: {"kl": torch.ones(2)},
    "function": lambda *given: torch.sum,
    "generator": lambda *given: (value for value in given),
    "its own input": lambda *given: given[0],
    "tuple": lambda *given: given,
    "empty": lambda *given: torch.empty(0),
    "no axis": lambda *given: torch.tensor(1.0),
    "five axes": lambda *given: torch.ones(1, 2, 1, 3, 1),
    "integer": lambda *given: torch.ones(2, 3, dtype=torch.int64),
    "bool": lambda *given: torch.ones(2, dtype=torch.bool),
    "half": lambda *given: torch.ones(2, dtype=torch.float16),
    "complex": lambda *given: torch.ones(2, dtype=torch.complex64),
    "sparse": lambda *given: torch.eye(3).to_sparse(),
    "meta": lambda *given: torch.ones(2, device="meta"),
    "with a gradient": lambda *given: torch.ones(2, requires_grad=True) * 2,
    "NaN": lambda *given: torch.full((2,), math.nan),
    "infinite": lambda *given: torch.full((4, 3), math.inf),
    "three texts": lambda *given: ("a", "b", "c"),
    "error": lambda *given: 1 / 0,
    "attribute error": lambda *given: given[0].no_such_method(),
    "shape error": lambda *given: torch.ones(2, 3) @ torch.ones(2, 3),
    "wrong number of arguments": lambda: torch.ones(2),
    "endless recursion": endless,
    "exit": leaves,
    "no function": None,
    "a tensor in place of a function": torch.ones(2),
    "a class": torch.nn.Linear,
    "a builtin": math.sqrt,
}


@pytest.mark.parametrize(("name", "garbage"), with_each_check(GARBAGE))
def test_garbage_gets_one_kind_line(name, garbage, capsys):
    result = getattr(checks, name)(GARBAGE[garbage])
    shown = capsys.readouterr()
    assert result.status == "mistake"
    assert shown.out == f"✗ Not yet: {result.message}\n"
    assert shown.err == ""
    assert "\n" not in result.message
    assert "Traceback" not in result.message
    assert 20 < len(result.message) < 420
    assert result.message.endswith(".")


SENSELESS = list(
    itertools.product(
        [math.nan, math.inf, -math.inf, 0.0, 1e30], [torch.float64, torch.float32, torch.int64]
    )
)


@pytest.mark.parametrize(("name", "senseless"), with_each_check(SENSELESS))
def test_numbers_of_the_right_shape_but_no_sense(name, senseless):
    value, dtype = senseless

    def student(*given):
        right = REFERENCE[name](*given)
        filled = [
            torch.full_like(part, value)
            for part in (right if isinstance(right, tuple) else [right])
        ]
        filled = [
            part.nan_to_num(0, 9, -9).to(dtype) if dtype == torch.int64 else part.to(dtype)
            for part in filled
        ]
        return tuple(filled) if isinstance(right, tuple) else filled[0]

    assert getattr(checks, name)(student).status == "mistake"


@EVERY_CHECK
@pytest.mark.parametrize("stub", [not_implemented, planned])
def test_a_stub_is_not_started(name, stub, capsys):
    assert getattr(checks, name)(stub).status == "not started"
    assert capsys.readouterr().out.startswith("○ Not started: ")


@EVERY_CHECK
def test_the_reference_is_correct_and_keeps_its_gradient(name, capsys):
    result = getattr(checks, name)(REFERENCE[name])
    assert result.status == "correct"
    assert capsys.readouterr().out == f"✓ Correct: {result.message}\n"


@EVERY_CHECK
def test_typical_mistakes_give_different_answers(name, monkeypatch):
    """On the probe inputs no mistake looks like the right answer or like another mistake."""
    seen = []
    judge = report.Table.judge

    def remember(table, *answer):
        seen.append(table)
        judge(table, *answer)

    monkeypatch.setattr(report.Table, "judge", remember)
    assert getattr(checks, name)(REFERENCE[name]).status == "correct"
    assert seen or name in (
        "binarize",
        "sample_mixture",
    )  # these compare distributions, tested by their answers
    for table in seen:
        answers = {"right": table.right, **table.mistakes}
        for one, other in itertools.combinations(answers, 2):
            assert not report.same(answers[one], answers[other]), f"{one} = {other}"
            # ten times the tolerance apart: float32 cannot turn one into the other
            near = answers[one].shape == answers[other].shape and torch.allclose(
                answers[one].double(), answers[other].double(), rtol=1e-3, atol=1e-5
            )
            assert not near, f"{one} ≈ {other}"


def test_an_error_is_told_with_the_students_line():
    def student(mu, logvar):
        scale = logvar.exp()
        return (mu @ scale).sum(1)

    message = checks.kl_to_standard_normal(student).message
    assert "in `return (mu @ scale).sum(1)` with RuntimeError: " in message
    assert "2x3 and 2x3" in message


def test_an_error_inside_torch_still_names_the_students_line():
    def student(mu, logvar):
        return torch.distributions.Normal(mu, logvar).log_prob(mu).sum(1)  # a negative scale

    assert (
        "`return torch.distributions.Normal(mu, logvar)"
        in checks.kl_to_standard_normal(student).message
    )


def test_an_error_of_torch_that_is_called_not_implemented_is_no_stub():
    def student(images):
        return torch.ops.aten.log_normal(images)  # not implemented for uint8

    result = checks.to_points(student)
    assert result.status == "mistake"
    assert "not implemented" in result.message.lower()


def test_several_lines_of_an_error_become_one():
    assert "with ValueError: first second." in checks.to_points(several_lines).message


def test_changing_the_input_in_place_is_named():
    def student(mu, logvar):
        return 0.5 * (logvar.exp() + mu.square_() - 1 - logvar).sum(1)

    assert "changes its input in place" in checks.kl_to_standard_normal(student).message
    assert checks.kl_to_standard_normal(checks_bound.kl_to_standard_normal).status == "correct"


def test_a_decorated_function_is_read_like_its_own():
    assert checks.to_points(torch.no_grad()(checks_start.to_points)).status == "correct"
    assert "in `raise ValueError" in checks.to_points(torch.no_grad()(several_lines)).message


@pytest.fixture
def notebook():
    shell = InteractiveShell.instance()
    shell.user_ns.update(checks=checks, right=checks_start.to_points)
    yield shell
    InteractiveShell.clear_instance()


def test_a_notebook_shows_one_coloured_line_and_nothing_else(notebook, capsys):
    published = []
    notebook.display_pub.publish = lambda data, metadata=None, **more: published.append(data)
    outcome = notebook.run_cell("checks.to_points(lambda images: images / 255 < 2)")
    assert outcome.error_in_exec is None
    assert outcome.result.status == "mistake"
    assert len(published) == 1
    assert published[0]["text/plain"].startswith(
        "✗ Not yet: your result must have dtype torch.float32, not torch.bool"
    )
    assert report.COLOUR["mistake"] in published[0]["text/html"]
    assert "✗ Not yet:" in published[0]["text/html"]
    assert notebook.display_formatter.format(outcome.result) == (
        {},
        {},
    )  # the cell's value adds no second line
    notebook.run_cell("checks.to_points(right)")
    assert report.COLOUR["correct"] in published[1]["text/html"]


def test_what_a_student_wrote_is_shown_as_text_not_as_html(notebook):
    published = []
    notebook.display_pub.publish = lambda data, metadata=None, **more: published.append(data)
    notebook.run_cell("def bold(images):\n    return '<b>' @ images\nchecks.to_points(bold)")
    assert "<code>return &#x27;&lt;b&gt;&#x27; @ images</code>" in published[0]["text/html"]


def test_a_console_without_the_mark_does_not_crash(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(
        sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", write_through=True)
    )
    assert checks.kl_to_standard_normal(
        lambda mu, logvar: 2 * checks_bound.kl_to_standard_normal(mu, logvar)
    ).status
    assert written.getvalue().startswith("? Not yet: the factor ½ is missing.".encode("cp1252"))


def test_the_five_line_example_of_the_package_works():
    example = textwrap.dedent(checks.__doc__[checks.__doc__.index("    import torch") :])
    names = {}
    exec(example, names)
    assert names["square"](lambda x: x * x).status == "correct"
    assert "doubled" in names["square"](lambda x: x + x).message


def test_an_authors_own_error_is_not_the_students():
    x = torch.tensor([1.0, 2.0])

    @report.exercise
    def broken_before(student):
        report.Table({"x": x}, x.summ()).ask(student)

    @report.exercise
    def broken_after(student):
        report.call(student, x)
        raise KeyError("of the author")

    with pytest.raises(AttributeError, match="summ"):
        broken_before(lambda v: v)
    result = broken_after(lambda v: v)
    assert result.status == "mistake"
    assert isinstance(result.error, KeyError)
    assert broken_after(3).message.startswith("pass the function itself")


def test_an_input_that_is_one_number_and_a_wish_for_whole_numbers():
    @report.exercise
    def scaled(student):
        x, b = torch.tensor([1.0, 2.0]), torch.tensor(3.0)
        report.Table({"x": x, "b": b}, x * b, {"added, not multiplied.": x + b}).ask(student)

    result = scaled(lambda x, b: x + b)
    assert (
        result.message
        == "added, not multiplied. For x = 1.0, b = 3.0: your element [0] is 4.0 but should be 3.0."
    )
    assert result.error is None
    assert scaled(lambda x, b: x * b).message == "well done."  # a check without a docstring

    @report.exercise
    def counted(student):
        x = torch.tensor([1, 2, 2])
        report.Table({"x": x}, x.bincount(), dtype=torch.int64).ask(student)

    assert counted(lambda x: x.bincount()).status == "correct"
    assert "must have dtype torch.int64" in counted(lambda x: x.bincount().double()).message


MORE_THAN_ONCE = 25  # 300 runs of each reference were made once by hand: none was refused


@EVERY_CHECK
def test_drawn_inputs_never_refuse_the_reference(name):
    """The second inputs come from the system's entropy: no seed makes this test easier."""
    check = getattr(checks, name)
    assert {check(REFERENCE[name]).message for _ in range(MORE_THAN_ONCE)} == {check.__doc__}


def doubled(x):
    return 2 * x


def draw_row(generator, n):
    x = torch.randn(n, generator=generator)
    x[-1] = -x[-1].abs()  # a lost sign must show on every draw
    return {"x": x}


@report.exercise
def double(student):
    """the double."""
    x = torch.tensor([1.0, -3.0])
    report.Table.of({"x": x}, doubled, lambda x: {"not doubled.": x}).ask(student)
    report.other_inputs(
        student, doubled, draw_row, (2,), (5,), lambda x: {"the sign is lost.": 2 * x.abs()}
    )
    report.gradients(student, doubled, {"x": x}, ["x"])


def table_of_the_example(x):
    return torch.tensor([2.0, -6.0]) if x[0] == 1 else torch.zeros(len(x))


def two_numbers(x):
    return torch.stack([2 * x[0], 2 * x[1]])


def stops_elsewhere(x):
    return 2 * x.reshape(2)


def right_only_for_the_example(x):
    return 2 * x if x[0] == 1 else 2 * x.abs()


def test_a_memorised_answer_and_a_written_size_are_told_apart():
    assert double(doubled).status == "correct"
    assert double(table_of_the_example).message == report.OTHER_NUMBERS
    assert double(two_numbers).message == report.OTHER_SIZE
    assert double(right_only_for_the_example).message == f"the sign is lost.{report.DRAWN_ANEW}"


def test_an_error_on_another_size_says_where():
    message = double(stops_elsewhere).message
    assert message.startswith(
        f"{report.OTHER_SIZE} On that input, your function stops in `return 2 * x.reshape(2)` with"
    )


def test_drawn_inputs_are_other_ones_each_time_and_are_never_shown():
    seen = []

    def watched(x):
        seen.append(x.clone())
        return 2 * x if len(x) == 2 else 3 * x

    messages = {double(watched).message for _ in range(3)}
    assert messages == {report.OTHER_SIZE}
    drawn = [x for x in seen if len(x) == 5]
    assert len(drawn) == 3
    assert not torch.equal(drawn[0], drawn[1])
    assert not any(character.isdigit() for character in report.OTHER_SIZE + report.OTHER_NUMBERS)


def seed_all_generators():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)


def next_numbers():
    return torch.rand(()).item(), np.random.random(), random.random()  # noqa: NPY002


@EVERY_CHECK
def test_random_numbers_of_the_notebook_stay_as_they_were(name):
    seed_all_generators()
    expected = next_numbers()
    seed_all_generators()
    getattr(checks, name)(REFERENCE[name])
    assert next_numbers() == expected


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda x: 2 * x.detach(), "gradient with respect to x is cut"),
        (lambda x: x + x.detach(), "gradient with respect to x is wrong"),
        (lambda x: torch.tensor((2 * x).tolist()), "gradient with respect to x is cut"),
        (lambda x: torch.from_numpy(2 * x.numpy()), "NumPy passes no gradient on"),
        (lambda x: 2 * x + 0 * (x - x).sqrt(), "gradient with respect to x is NaN or infinite"),
        (lambda x: x.exp().mul_(0).add_(2 * x), "An in-place operation"),
    ],
    ids=["cut", "half cut", "new tensor", "NumPy", "NaN", "in place"],
)
def test_gradients_are_compared_and_named(answer, fragment):
    assert fragment in double(answer).message


def test_backward_inside_is_named_by_the_grad_it_leaves():
    def eager(x):
        result = 2 * x
        if result.requires_grad:
            result.sum().backward(retain_graph=True)
        return result

    assert "leave `.grad` alone" in double(eager).message


@report.exercise
def total(student):
    """the sum."""
    x = torch.tensor([1.0, 2.0])
    report.Table({"x": x}, x.sum(), report.other_units(x.sum())).ask(student)


@report.exercise
def differentiable_total(student):
    """the sum."""
    x = torch.tensor([1.0, 2.0])
    report.Table({"x": x}, x.sum(), differentiable=True).ask(student)


@pytest.mark.parametrize(
    "as_number", [float, int, np.float64, np.float32, lambda value: value.double()]
)
def test_one_number_may_be_a_python_float_where_no_gradient_is_wanted(as_number):
    assert total(lambda x: as_number(x.sum())).status == "correct"


@pytest.mark.parametrize("as_number", [float, int, np.float64, np.float32])
def test_a_float_is_refused_with_its_reason_where_a_gradient_is_wanted(as_number):
    message = differentiable_total(lambda x: as_number(x.sum())).message
    is_numpy = issubclass(as_number, np.floating)
    reason = (
        "NumPy passes no gradient on" if is_numpy else "`.item()` and `float()` cut the gradient"
    )
    assert f"because {reason}" in message


def test_other_bases_of_the_logarithm_are_named():
    assert "bits (logarithms to base 2)" in total(lambda x: x.sum() / math.log(2)).message
    assert "base 10" in total(lambda x: x.sum() / math.log(10)).message


@report.exercise
def mean_and_rows(student):
    """the mean, and the rows."""
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    report.parts(report.call(student, x), ("mean", "rows"), (x.mean(0), x.sum(1)))


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (lambda x: (x.sum(1), x.mean(0)), "in the wrong order. Return mean, rows"),
        (lambda x: (x.sum(1) + 1, x.mean(0)), "in the wrong order. Return mean, rows"),
        (lambda x: x.mean(0), "return 2 tensors: mean, rows"),
        (lambda x: (x.mean(0), x.sum(1), x), "return 2 tensors: mean, rows"),
        (
            lambda x: (x.mean(0), 3.0),
            "your rows must be a torch tensor of real numbers, but got float",
        ),
    ],
    ids=[
        "swapped",
        "swapped and wrong",
        "all dimensions of a row share one noise value",
        "three",
        "a float",
    ],
)
def test_results_in_another_order_are_named(answer, fragment):
    assert fragment in mean_and_rows(answer).message
    assert mean_and_rows(lambda x: [x.mean(0), x.sum(1)]).status == "correct"


def test_a_broken_law_is_shown_where_it_breaks():
    @report.exercise
    def positive(student):
        x = torch.tensor([1.0, 2.0, 3.0])
        laws = {"never negative.": lambda y: y >= 0}
        report.Table({"x": x}, x, laws=laws).ask(student)

    message = positive(lambda x: torch.tensor([0.5, -2.0, 3.0])).message
    assert message == "never negative. For x = 2.0: your element [1] is -2.0 but should be 2.0."


def gaussian(z, mean=0.0, std=1.0):
    """What expect_gaussian says of z (N, d)."""
    try:
        report.expect_gaussian(
            z, torch.full((z.shape[1],), mean), torch.full((z.shape[1],), std), {}
        )
    except report.Mistake as found:
        return str(found)
    return ""


def test_a_wrong_spread_is_not_called_a_wrong_mean():
    z = torch.randn(6000, 3, generator=torch.Generator().manual_seed(0))
    assert gaussian(z) == ""
    assert "column 1 of z has the right mean but a wrong spread" in gaussian(
        z * torch.tensor([1.0, 1.3, 1.0])
    )
    assert "column 2 of z has a wrong mean" in gaussian(z + torch.tensor([0.0, 0.0, 0.4]))
    assert "the noise is cut off" in gaussian(z.clamp(-3, 3))
    assert "rows share their noise" in gaussian(torch.cat([z[:3000], z[:3000]]))
