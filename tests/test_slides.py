"""Slides: what the metadata of the cells chooses, and what every chapter's deck keeps to."""

from __future__ import annotations

import html
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import build

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools" / "slides"))
import deck as decks  # noqa: E402
import render  # noqa: E402
import vendor  # noqa: E402

NOTEBOOKS = build.all_notebooks()
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def marked(cell, kind, **own):
    cell.metadata["slideshow"] = {"slide_type": kind}
    if own:
        cell.metadata["slide"] = own
    return cell


def shown(*cells):
    return decks.slides_of(new_notebook(cells=list(cells)))


def drawn(source="figure()", alt="a curve"):
    output = new_output(
        "display_data", {"image/png": PICTURE}, metadata={"image/png": {"alt": alt}}
    )
    return new_code_cell(source, outputs=[output])


# ---------------------------------------------------------------- the chapters


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_has_a_deck_that_can_be_read_from_the_last_row(notebook):
    deck = decks.read(notebook)
    assert decks.problems(deck) == []
    assert deck.slides[0].text.startswith("# ")
    assert deck.slides[-1].of("claims")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_widget_of_a_chapter_is_on_a_slide(notebook):
    nb = nbformat.read(notebook, as_version=4)
    saved = [part for cell in nb.cells for part in decks.outputs(cell) if part.kind == "widget"]
    on_slides = [part for slide in decks.read(notebook).slides for part in slide.of("widget")]
    assert len(on_slides) == len(saved)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_for_a_projector_are_those_of_the_figures_that_slides_show(notebook):
    kept = {path.name for path in build.projector.folder_of(notebook).glob("*.png")}
    if not kept:
        pytest.skip(f"not drawn yet: python notebooks/build.py draw {notebook.stem[:2]}")
    slides = decks.read(notebook).slides
    assert kept == {
        build.projector.name_of(part.content) for s in slides for part in s.of("picture")
    }


def test_the_quiz_is_on_a_slide():
    slides = [slide for path in NOTEBOOKS for slide in decks.read(path).slides]
    assert "Quiz" in [part.alt for slide in slides for part in slide.of("widget")]


def test_the_teaching_guide_names_slides_that_exist():
    guide = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \| \d+ \| (\d\d): ([^|]+)\| ([^|]+)\|", guide, re.MULTILINE)
    assert len(rows) >= 6
    sizes = {path.stem[:2]: len(decks.read(path).slides) for path in NOTEBOOKS}
    for chapter, ranges, moment in rows:
        numbers = [int(n) for n in re.findall(r"\d+", ranges)]
        assert numbers == sorted(numbers)
        assert numbers[-1] <= sizes[chapter]
        named = [int(n) for n in re.findall(r"slide (\d+)", moment)]
        assert all(numbers[0] <= n <= numbers[-1] for n in named)


# ---------------------------------------------------------------- which cells, and what of them


def test_only_marked_cells_are_shown():
    slides = shown(
        new_markdown_cell("before"),
        marked(new_markdown_cell("## One"), "slide"),
        new_code_cell("hidden()"),
        marked(new_markdown_cell("more"), "-"),
        marked(new_markdown_cell("later"), "fragment"),
        marked(new_markdown_cell("not this"), "skip"),
        marked(new_markdown_cell("## Two"), "subslide"),
    )
    assert [slide.text for slide in slides] == ["## One\n\nmore\n\nlater", "## Two"]
    assert [part.step for part in slides[0].parts] == [False, False, True]
    assert [slide.below for slide in slides] == [False, True]


def test_a_text_of_its_own_makes_the_cell_a_note():
    (slide,) = shown(marked(new_markdown_cell("The whole story."), "slide", text="## Short"))
    assert slide.text == "## Short"
    assert slide.notes == ["The whole story."]


def test_prose_up_to_the_next_section_is_said():
    slides = shown(
        marked(new_markdown_cell("## One"), "slide"),
        new_markdown_cell("Say this."),
        marked(new_markdown_cell("not this"), "skip"),
        new_markdown_cell("## A section that is not shown"),
        new_markdown_cell("Do not say this."),
        marked(new_markdown_cell("but this"), "notes"),
    )
    assert slides[0].notes == ["Say this.", "but this"]


def test_a_slide_without_prose_is_introduced_by_what_stands_before_it():
    slides = shown(
        marked(new_markdown_cell("## One"), "slide"),
        new_markdown_cell("Look at this."),
        marked(drawn(), "slide", text="## Figure"),
    )
    assert slides[1].notes == ["Look at this.", "*In the figure:* a curve"]


def test_a_figure_is_shown_without_its_code_unless_asked_for():
    (slide,) = shown(marked(drawn("a()\nb()\nc()"), "slide", text="## Figure"))
    assert [part.kind for part in slide.parts] == ["text", "picture"]
    (slide,) = shown(marked(drawn("a()\nb()\nc()"), "slide", show="both", lines="1, 3"))
    assert [part.kind for part in slide.parts] == ["code", "picture"]
    assert slide.parts[0].content == "a()\nc()"


def test_an_excerpt_loses_what_all_its_lines_are_indented_by():
    cell = new_code_cell("def f(x):\n    y = x + 1\n    return y")
    (slide,) = shown(marked(cell, "slide", lines="2-3"))
    assert slide.parts[0].content == "y = x + 1\nreturn y"


def test_a_long_line_loses_its_comment_and_then_is_broken():
    assert decks.readable("x = 1  # " + "words " * 20) == "x = 1"
    broken = decks.readable("result = function(" + ", ".join(["argument"] * 9) + ")")
    assert max(map(len, broken.splitlines())) <= decks.CODE_WIDTH


def test_a_line_of_dashes_begins_another_slide():
    slides = shown(marked(new_markdown_cell("All of it."), "slide", text="## One\n\n---\n\n## Two"))
    assert [slide.title for slide in slides] == ["One", "Two"]
    assert all(slide.notes == ["All of it."] for slide in slides)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"texts": "## No"}, "'texts'"),
        ({"show": "all"}, "'all'"),
        ({"lines": "7-9"}, "no lines 7-9"),
    ],
)
def test_what_a_cell_says_wrongly_is_named(own, words):
    with pytest.raises(decks.SlideError, match=words):
        shown(marked(new_code_cell("f()"), "slide", **own))


def test_a_slide_type_that_does_not_exist_is_named():
    with pytest.raises(decks.SlideError, match="'slides'"):
        shown(
            marked(new_markdown_cell("## One"), "slide"),
            marked(new_markdown_cell("more"), "slides"),
        )


def test_claims_take_as_many_slides_as_they_need_and_figures_are_said():
    rows = "\n".join(f"| {n} | claim {n} | {n} nats | {'a long verdict ' * 12} |" for n in range(9))
    table = f"| # | the lecture | measured here | verdict |\n|---|---|---|---|\n{rows}\n\nSeed 0."
    cell = new_code_cell("claims", outputs=[new_output("display_data", {"text/markdown": table})])
    cell.metadata["tags"] = ["claims"]
    slides = shown(marked(cell, "slide", text="## Claims"))
    more = ["Claims, continued"] * (len(slides) - 1)
    assert [slide.title for slide in slides] == ["Claims", *more]
    assert len(slides) > 1
    rows = [slide.of("claims")[0].content.count("claim ") for slide in slides]
    assert sum(rows) == 9
    assert len(rows) > 2
    assert set(rows[:-1]) == {rows[0]}  # rows of one height fill each slide but the last alike
    assert 1 < rows[0] >= rows[-1]
    assert "nats" not in "".join(slide.text + slide.of("claims")[0].content for slide in slides)
    assert slides[0].notes[0] == "*claim 0:* 0 nats"


def problems_of(*cells):
    return "\n".join(decks.problems(decks.Deck("00_test", "", shown(*cells))))


def test_a_question_comes_before_its_answer_and_before_the_figure():
    ask = marked(new_markdown_cell("## Q\n\n**Predict.** What?"), "slide")
    tell = marked(new_markdown_cell("## A\n\n**Answer.** This."), "slide")
    assert "question" not in problems_of(ask, tell)
    assert "answer without a question" in problems_of(tell, ask)
    assert "the last question has no answer" in problems_of(ask)
    beside = marked(drawn(), "-")
    assert "is visible together with its question" in problems_of(ask, beside, tell)


# ---------------------------------------------------------------- both twins carry it


def test_the_twins_keep_slides_in_whatever_order_their_keys_are(tmp_path):
    notebook = tmp_path / "01_test.ipynb"
    source = build.source_of(notebook)
    source.parent.mkdir()
    own = '{"text": "## Title\\n\\nwords", "show": "output", "lines": "1"}'
    source.write_text(f'# %% slideshow={{"slide_type": "slide"}} slide={own}\nprint(1)\n')
    build.pair(notebook)
    for _ in range(2):  # the second time nothing has changed
        text, saved = source.read_text(), notebook.read_bytes()
        build.pair(notebook)
        assert (source.read_text(), notebook.read_bytes()) == (text, saved)
    cell = nbformat.read(notebook, as_version=4).cells[0]
    assert cell.metadata["slide"] == {"lines": "1", "show": "output", "text": "## Title\n\nwords"}
    assert cell.metadata["slideshow"] == {"slide_type": "slide"}
    changed = nbformat.read(notebook, as_version=4)  # as an instructor does in JupyterLab
    changed.cells[0].metadata["slide"]["text"] = "## Another"
    nbformat.write(changed, notebook)
    build.pair(notebook)
    assert "## Another" in source.read_text()


# ---------------------------------------------------------------- what is vendored


def test_without_npm_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(vendor, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert vendor.available() == (
        "The slides need reveal.js from npm, but npm was not found. Install Node.js."
    )


def test_a_package_that_is_not_the_known_one_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(vendor, "CACHE", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/npm")

    def deliver(command, **options):
        (Path(command[-1]) / "reveal.js-6.0.2.tgz").write_bytes(b"something else")

    monkeypatch.setattr(vendor.subprocess, "run", deliver)
    assert "does not have the expected hash" in vendor.available()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A chapter's file of slides."""
    if reason := vendor.available():
        pytest.skip(reason)
    from make import page

    chapter = next(path for path in NOTEBOOKS if path.stem.endswith("toy_gan"))
    return page(decks.read(chapter))


def test_a_file_of_slides_asks_for_nothing(whole):
    markup = re.sub(r"<script.*?</script>", "", whole, flags=re.DOTALL)
    assert not re.search(r"<link(?! rel=\"icon\")|<script src|@import|url\((?!data:)", markup)
    assert not re.search(r'\ssrc="(?!data:)', markup)


def test_a_script_in_a_page_cannot_end_it():
    from make import in_script

    script = 'const a = "</script><script>"; // <!-- no comment'
    made = in_script(script)
    assert "</script" not in made
    assert "<!--" not in made
    assert made.replace("<\\", "<") == script  # in JavaScript's strings \/ and \! are / and !


def test_a_file_of_slides_has_notes_formulas_and_fonts(whole):
    assert whole.count('<aside class="notes">') == whole.count('<div class="sheet ')
    assert "<math" in whole
    assert "STIX Two Math" in whole
    assert "RevealNotes" in whole


def test_a_handout_holds_all_slides_with_their_notes_and_the_chapter_at_rest(whole):
    import handout

    chapter = next(path for path in NOTEBOOKS if path.stem.endswith("toy_gan"))
    made = handout.page(chapter)
    deck = decks.read(chapter)
    assert made.count("<article>") == len(deck.slides)
    assert made.count('<figure class="strip">') == 2  # the widget on its slide, and in the chapter
    assert "<script" not in made
    assert "Further reading" in made
    assert "google.colab" not in made


def test_the_words_for_a_picture_may_hold_any_sign():
    words = 'L_b < log P(x), the "gap" & its end'
    made = render.picture(decks.Part("picture", PICTURE, alt=words), "00_test")
    (alt,) = re.findall(r' alt="([^"]*)" src=', made)
    assert html.unescape(alt) == words


def test_the_bars_of_a_norm_keep_their_height_however_they_are_written():
    plain = render.formula(r"\|x\|^2")
    for left, right in ((r"\lVert ", r"\rVert"), (r"\Vert ", r"\Vert")):
        assert render.formula(f"{left}x{right}^2") == plain


def test_questions_stand_in_a_frame():
    made = render.asked("Before.\n\n**Predict.** What?")
    assert made.index("Before") < made.index('class="ask"') < made.index("Predict")


# ---------------------------------------------------------------- figures for the projector


def test_a_figure_is_drawn_anew_with_type_for_the_last_row():
    import io

    import matplotlib.pyplot as plt
    import projector
    from PIL import Image

    from course_lib import plots

    with plt.rc_context():
        plots.use_style()
        figure, axes = plt.subplots(1, 4, figsize=(13, 2.8))
        for ax in axes:
            ax.set(title="a panel", xlabel="x", ylabel="y")
        picture = Image.open(io.BytesIO(projector.redrawn(figure)))
        plt.close(figure)
    assert picture.width / picture.height > 1
    scale = min(projector.WIDE / picture.width, projector.HIGH / picture.height)
    assert float(picture.text[projector.TYPE]) * scale >= 18


def test_numbers_in_a_grid_that_has_no_room_for_them_are_not_drawn():
    import matplotlib.pyplot as plt
    import projector

    for cells, is_shown in ((3, True), (30, False)):
        figure, ax = plt.subplots(figsize=(5, 4))
        ax.imshow([[0] * cells] * cells)
        numbers = [ax.annotate("0.50", (i, i)) for i in range(cells)]
        numbers += [ax.annotate("0.50", (i + 1, i)) for i in range(cells - 1)]
        projector.redrawn(figure)
        plt.close(figure)
        assert all(number.get_visible() == is_shown for number in numbers)


def test_what_follows_a_formula_stays_on_its_line():
    import render

    made = render.prose("Will $G$'s loss fall, or $D$?")
    assert re.findall(r"</math></span>([^<]+)</span>", made) == ["’s", "?"]
    assert made.count('<span class="together">') == 2


def test_pictures_are_kept_under_the_name_of_what_the_notebook_holds(tmp_path):
    import projector

    folder = projector.folder_of(tmp_path / "01_test.ipynb")
    old = folder / "old.png"
    folder.mkdir(parents=True)
    old.touch()
    (tmp_path / projector.name_of("c2VudA==")).write_bytes(b"drawn anew")
    assert projector.store(tmp_path, {"c2VudA==": "c2F2ZWQ=", "b3RoZXI=": "b3RoZXI="}, folder) == 1
    (kept,) = folder.iterdir()
    assert kept.name == projector.name_of("c2F2ZWQ=")
    assert kept.read_bytes() == b"drawn anew"


def test_a_run_keeps_a_second_picture_of_each_figure(tmp_path):
    source = (
        "import matplotlib.pyplot as plt\n"
        "figure, axes = plt.subplots(1, 4, figsize=(13, 2.8), layout='constrained')\n"
        "axes[0].set_xlabel('x');"
    )
    nb = new_notebook(cells=[marked(new_code_cell(source), "slide")])
    build.execute(nb, "01_test", tmp_path, kept=tmp_path)
    (sent,) = build.shown_on_slides(nb)
    assert (tmp_path / build.projector.name_of(sent)).exists()
