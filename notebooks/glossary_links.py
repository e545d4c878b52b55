"""Link the first use of each glossary term in a chapter to the glossary.

    python notebooks/build.py link [NB]

writes the links into the text twin and the notebook. A test checks that no link is missing. The
site and the slides remove these links, because they have their own links with the explanation in a
tooltip.
"""

import re
import textwrap
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

GLOSSARY = Path(__file__).resolve().parent.parent / "docs" / "glossary.md"
ADDRESS = "../docs/glossary.md#"
LINK_TO = re.compile(rf"\]\({re.escape(ADDRESS)}([^)]*)\)")  # matches the anchors of glossary links

# Parts of a text in which no links are made.
NOT_IN = re.compile(
    "|".join(
        (
            r"```.*?```",  # code
            r"`[^`]*`",
            r"\$\$.*?\$\$",  # formulas
            r"\$[^$]*\$",
            r"!?\[[^]]*\]\([^)]*\)",  # links
            r"https?://\S+",
            r"<[^>]*>",  # HTML
            r"^[#|].*?$",  # headings and tables
            r"(?<!\*)\*[A-Z][^*]{23,}\*(?!\*)",  # the titles of books and papers
        )
    ),
    re.DOTALL | re.MULTILINE,
)
# Terms that have a different meaning in a chapter.
OTHERWISE = {"09": {"generator"}}  # of random numbers
# Parts that must stay on one line when a paragraph is wrapped again.
WHOLE = re.compile(r"`[^`\n]*`|\$[^$\n]*\$|!?\[[^]]*\]\([^)]*\)")
ITEM = re.compile(r"(?:[-*]|\d+\.) +")  # the start of a list item
WIDTH = 118  # the width of a paragraph in a text twin, without the leading "# "


def headings() -> list[str]:
    return re.findall(r"^### (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)


def forms(heading: str) -> list[str]:
    """Split a heading into its terms; `evidence lower bound (ELBO)` has two."""
    return [part.strip() for part in re.split(r"[(),]", heading) if part.strip()]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub generates for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def word_pattern() -> re.Pattern[str]:
    # the longest terms first, because the first alternative that matches is taken
    either = "|".join(sorted(map(re.escape, words()), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])({either})(?:s|es)?(?![\w-])", re.IGNORECASE)


@cache
def words() -> dict[str, str]:
    """Map each term, in lower case, to the anchor of its entry."""
    return {word.lower(): anchor(heading) for heading in headings() for word in forms(heading)}


def link(nb: NotebookNode, chapter: str) -> None:
    """Link the first use of each glossary term in a chapter. chapter: its number, such as "04"."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    wanted = set(words().values()) - OTHERWISE.get(chapter, set())
    wanted -= set(LINK_TO.findall(text))
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            paragraphs = re.split(r"(\n\s*\n)", cell.source)
            cell.source = "".join(link_paragraph(paragraph, wanted) for paragraph in paragraphs)


def link_paragraph(paragraph: str, wanted: set[str]) -> str:
    """Link the first uses of terms in a paragraph to the anchors in `wanted`.

    The linked anchors are removed from `wanted`.
    """
    made = paragraph
    while (match := first_use(made, wanted)) is not None:
        where = words()[match[1].lower()]
        made = f"{made[: match.start()]}[{match[0]}]({ADDRESS}{where}){made[match.end() :]}"
        wanted.remove(where)
    return made if made == paragraph else wrapped(made)


def first_use(text: str, wanted: set[str]) -> re.Match[str] | None:
    """Find the first glossary term in a text whose anchor is wanted.

    In "posterior collapse" the longer term is found, not "posterior".
    """
    closed = [match.span() for match in NOT_IN.finditer(text)]
    for match in word_pattern().finditer(text):
        is_open = not any(start <= match.start() < end for start, end in closed)
        if is_open and words()[match[1].lower()] in wanted:
            return match
    return None


def wrapped(paragraph: str) -> str:
    """Wrap the lines of a paragraph again at WIDTH.

    Headings, tables, formulas and the like are kept.
    """
    filled, open_lines = [], []
    for line in [*paragraph.split("\n"), None]:
        is_apart = line is None or line.startswith(("|", "$$", ">", "<", "#", "![", "```"))
        if open_lines and (is_apart or ITEM.match(line)):
            filled += fill(open_lines)
            open_lines = []
        if is_apart:
            filled += [] if line is None else [line]
        else:
            open_lines.append(line)
    return "\n".join(filled)


def fill(lines: list[str]) -> list[str]:
    item = ITEM.match(lines[0])
    indent = " " * len(item[0]) if item else ""
    paragraph = " ".join(line.strip() for line in lines)
    kept = WHOLE.sub(lambda match: match[0].replace(" ", "\0"), paragraph)
    made = textwrap.wrap(
        kept, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in made]
