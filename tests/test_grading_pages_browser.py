"""The class page and a student's feedback in a browser: complete offline, and accessible to all."""

import math

import pytest
from browser import Page, violations

from course_lib.grading.assignment import Assignment
from course_lib.grading.engine import Result
from course_lib.grading.pages import class_page, feedback_page
from course_lib.grading.question import Design

pytest_plugins = ["browser"]

MIXTURES = Assignment.read("mixtures")
EVIL = '"><img src=x onerror="document.title=`stolen`"><script>document.title="stolen"</script>'
LONG = "A" * 120


def a_class() -> list[Result]:
    """Forty students of all kinds: full marks, nothing, set aside, names that try to be HTML."""
    results = []
    for number in range(40):
        verdicts = {}
        mistake = f"Mistake {number % 5}: the weights are left out; multiply by them first."
        for name, question in MIXTURES.questions.items():
            score = math.sin(number) if isinstance(question, Design) else None
            verdicts[name] = {
                "points": question.points * (number % 5) / 4,
                "most": question.points,
                "sentence": mistake,
                "mistake": None,
                "variant": "",
                "score": score,
                "details": {},
            }
        student = {3: EVIL, 4: LONG, 5: "李 雷 4711"}.get(number, f"Student Number {number}")
        notes = (
            ["The cell that begins with `import numpy` stops with NameError in line 2."]
            if number in (0, 10)
            else []
        )
        results.append(Result(student, "sha", verdicts, {}, notes, set_aside=number == 10))
    return results


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grading")
    results = a_class()
    texts = {
        "class": class_page(MIXTURES, results),
        "feedback": feedback_page(MIXTURES, results[0]),
        "evil": feedback_page(MIXTURES, results[3]),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["class", "feedback", "evil"])
def test_what_an_instructor_and_a_student_open_is_accessible_and_fits(
    pages, chromium, name, width, scheme
):
    page = Page(chromium, width, 844, color_scheme=scheme)
    try:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri(), wait_until="load")
        assert violations(page) == []
        assert page.errors == []
        assert asked == [pages[name].as_uri()]  # nothing else is fetched
        assert page.title() != "stolen"
        fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert fits, "it scrolls sideways"
    finally:
        page.close()


def test_the_class_page_names_mistakes_and_who_needs_a_look(pages, chromium):
    page = Page(chromium, 1280, 844)
    try:
        page.goto(pages["class"].as_uri(), wait_until="load")
        text = page.locator("main").inner_text()
        assert "40" in text
        # not for the design, and not for the written answer, whose comments are for one student
        assert text.count("Mistake 1: the weights are left out") == len(MIXTURES.questions) - 2
        assert "Student Number 10" in text  # it was set aside
        assert "NameError" in text
    finally:
        page.close()
