"""The border of the house: a core that is read by itself, satellites that only import downward."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "course_lib"

# In reading order: a room imports itself and what stands before it.
CORE = [
    "require",
    "files",
    "device",
    "palette",
    "data",
    "probability",
    "models",
    "plots",
    "training",
    "evaluation",
]
SATELLITES = [
    "mixtures",
    "toy_gan",
    "kernels",
    "recipes",
    "shipped",
    "figures",
    "widgets",
    "checks",
    "grading",
]
DEVELOPERS_FOLDERS = ("tests", "benchmarks", "tools", "notebooks")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules that a file imports, in functions too;
    `from course_lib import x` is course_lib.x.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; the course writes the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported(path)]
    return {name[1] for name in parts if name[0] == "course_lib" and len(name) > 1}


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_room_has_its_place_in_the_order():
    assert {room_of(path) for path in FILES} == {*CORE, *SATELLITES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_run_downward(path):
    """So the core never imports a satellite, and no two rooms import each other."""
    order = CORE + SATELLITES
    room = room_of(path)
    allowed = set(order[: order.index(room) + 1]) | {"__version__"}
    assert rooms_imported(path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_imports_nothing_of_its_developers(path):
    assert not {name.split(".")[0] for name in imported(path)} & set(DEVELOPERS_FOLDERS)


@pytest.mark.parametrize("room", [name for name in CORE + SATELLITES if (PACKAGE / name).is_dir()])
def test_every_room_says_what_lives_there(room):
    doc = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
    assert doc is not None
    first, *rest = doc.split("\n\n")
    assert "\n" not in first, "the first line says what lives in the room"
    assert rest, "a second paragraph says what may be touched"


def test_the_package_s_own_text_names_all_rooms_in_their_order():
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    core, satellites = text.split("The satellites", 1)
    for names, part in ((CORE, core.split("reading order")[1]), (SATELLITES, satellites)):
        places = [part.index(name) for name in names]
        assert places == sorted(places)


def test_the_map_names_every_file_of_the_core_and_every_satellite():
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    for path in FILES:
        if room_of(path) in CORE and path.name != "__init__.py":
            assert path.stem in text, f"docs/house.md does not say what {path.stem} is"
    assert all(name in text for name in SATELLITES)
    assert len(text.splitlines()) <= 90, "the map is one screen, or two at most"


def test_what_is_to_be_read_in_an_evening_is_there_and_short_enough():
    """The list leads to files that exist, and the page says how long they are together."""
    page = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    listed = page.partition("## An evening's reading")[2].partition("\n## ")[0]
    lines = 0
    for room, names in re.findall(r"From\s+`(\w+)/`: ([^.]+)\.", listed):
        for name in re.findall(r"`(\w+)`", names):
            lines += len((PACKAGE / room / f"{name}.py").read_text(encoding="utf-8").splitlines())
    (stated,) = re.findall(r"Some ([\d,]+) of them", listed)
    assert lines == pytest.approx(int(stated.replace(",", "")), abs=60)
    assert lines < 3_000
