"""What the slides take from npm: reveal.js and three fonts, each in one version whose bytes are known.

A package is downloaded once, by npm, into build/npm.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "build" / "npm"
SECONDS = 180  # that npm may take for one package

# name -> (version, the hash that npm's registry states for it)
PACKAGES = {
    "reveal.js": (
        "6.0.2",
        "sha512-JYIg5D9aoxoaLeb84O+OvAwsKWdIavVgEDScxtYEXFCT6t6TQrhNtSgogcjdCpdLsWglhJn3zyE3fUOwiH5KEg==",
    ),
    "@fontsource/source-sans-3": (
        "5.3.1",
        "sha512-O3YxvbotUOgYI2Zx0bBcEMNjnwitRf9P2+9pd54sMoux1NHrdXnMwZusw2P78lFhEzOPN4glOEQmX0ASaS68uA==",
    ),
    "@fontsource/source-code-pro": (
        "5.3.1",
        "sha512-qsJEkwJWXYP/9clmtt3BsIlZ+Lr4cuRgNAgu0vyZdCgESMRMhRkAmEFFHHNM81VdeURqg5D5+Rr3bALDFav78A==",
    ),
    "@fontsource/stix-two-math": (
        "5.3.0",
        "sha512-negoeozw6VSXjZMozwKRSm/dhCQT62csZcuea9I8KYqPaZq/8KbbBBrA02ZHF7AyuR5mVML/p+q0bwFuSIf2GQ==",
    ),
}
# The files of fonts that the slides use; of each font, the scripts that the course is written in.
STYLES = {
    "@fontsource/source-sans-3": ("400", "400-italic", "600"),
    "@fontsource/source-code-pro": ("400",),
    "@fontsource/stix-two-math": ("400",),
}
SCRIPTS = ("latin", "latin-ext", "greek")
FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
FILE = re.compile(r"url\(\./(files/[^)]+\.woff2)\)")


class VendorError(Exception):
    """Why a package cannot be had, in one sentence."""


def package(name: str) -> Path:
    """The folder of a package, downloaded if it is not there yet."""
    version, known = PACKAGES[name]
    folder = CACHE / f"{name.replace('/', '+')}-{version}"
    if folder.is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError("The slides need reveal.js from npm, and npm was not found: install Node.js.")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        command = [npm, "pack", f"{name}@{version}", "--silent", "--pack-destination", work]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise VendorError(
                f"npm could not download {name} {version}, which the slides need: is there a network?"
            ) from error
        archive = next(Path(work).glob("*.tgz"))
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != known:
            raise VendorError(f"What npm delivered as {name} {version} is not the package that is known.")
        unpack(archive, Path(work))
        (Path(work) / "package").replace(folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive; early releases of Python 3.11 know no safe `filter` for this."""
    with tarfile.open(archive) as packed:
        for member in packed:
            path = (folder / member.name).resolve()
            content = packed.extractfile(member) if member.isfile() else None
            if content is None or not path.is_relative_to(folder.resolve()):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def available() -> str:
    """Empty if everything is there or can be had; else why not."""
    try:
        for name in PACKAGES:
            package(name)
    except VendorError as error:
        return str(error)
    return ""


def reveal(path: str) -> str:
    """The text of a file of reveal.js, as dist/reveal.css."""
    return (package("reveal.js") / path).read_text(encoding="utf-8")


def fonts() -> str:
    """All fonts as CSS that holds them: nothing is left to be fetched."""
    faces = []
    for name, styles in STYLES.items():
        folder = package(name)
        for style in styles:
            for face in FACE.findall((folder / f"{style}.css").read_text(encoding="utf-8")):
                file = FILE.search(face)
                if file is None or not any(f"-{script}-{style[:3]}" in file[1] for script in SCRIPTS):
                    continue
                data = base64.b64encode((folder / file[1]).read_bytes()).decode()
                source = f"src: url(data:font/woff2;base64,{data}) format('woff2');"
                face = re.sub(r"src:.*?;\n", source + "\n", face)
                if name.endswith("-math"):  # its file holds all signs, whatever the style sheet says
                    face = re.sub(r"unicode-range:.*?;\n", "", face)
                faces.append(face)
    return "\n".join(faces)
