"""Download reveal.js and three fonts for the slides from npm, in fixed versions with known hashes.

Each package is downloaded once, with npm, into build/npm.
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
SECONDS = 180  # the time limit for the download of one package

# name -> (version, its hash in npm's registry)
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
# The styles of each font that the slides use, and the scripts in which the course is written.
STYLES = {
    "@fontsource/source-sans-3": ("400", "400-italic", "600"),
    "@fontsource/source-code-pro": ("400",),
    "@fontsource/stix-two-math": ("400",),
}
SCRIPTS = ("latin", "latin-ext", "greek")
FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
FILE = re.compile(r"url\(\./(files/[^)]+\.woff2)\)")


class VendorError(Exception):
    """Raised with one sentence that says why a package is not available."""


def package(name: str) -> Path:
    """Return the folder of a package, which is downloaded if necessary. Raises VendorError."""
    version, known = PACKAGES[name]
    folder = CACHE / f"{name.replace('/', '+')}-{version}"
    if folder.is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise VendorError(
            "The slides need reveal.js from npm, but npm was not found. Install Node.js."
        )
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        command = [npm, "pack", f"{name}@{version}", "--silent", "--pack-destination", work]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise VendorError(
                f"npm could not download {name} {version}, which the slides need. "
                "Check the network."
            ) from error
        archive = next(Path(work).glob("*.tgz"))
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != known:
            raise VendorError(
                f"The package that npm delivered as {name} {version} "
                "does not have the expected hash."
            )
        unpack(archive, Path(work))
        (Path(work) / "package").replace(folder)
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Extract an archive safely.

    Early releases of Python 3.11 have no `filter` in tarfile for this.
    """
    with tarfile.open(archive) as packed:
        for member in packed:
            path = (folder / member.name).resolve()
            content = packed.extractfile(member) if member.isfile() else None
            if content is None or not path.is_relative_to(folder.resolve()):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())


def available() -> str:
    """Return "" if all packages are available or can be downloaded, and otherwise the reason."""
    try:
        for name in PACKAGES:
            package(name)
    except VendorError as error:
        return str(error)
    return ""


def reveal(path: str) -> str:
    """Read a text file of reveal.js, such as dist/reveal.css."""
    return (package("reveal.js") / path).read_text(encoding="utf-8")


def fonts() -> str:
    """The CSS of all fonts, with the font files embedded."""
    faces = []
    for name, styles in STYLES.items():
        folder = package(name)
        for style in styles:
            wanted = [f"-{script}-{style[:3]}" for script in SCRIPTS]
            for face in FACE.findall((folder / f"{style}.css").read_text(encoding="utf-8")):
                file = FILE.search(face)
                if file is None or not any(part in file[1] for part in wanted):
                    continue
                data = base64.b64encode((folder / file[1]).read_bytes()).decode()
                source = f"src: url(data:font/woff2;base64,{data}) format('woff2');"
                face = re.sub(r"src:.*?;\n", source + "\n", face)
                # the file contains all characters, despite the range in its style sheet
                if name.endswith("-math"):
                    face = re.sub(r"unicode-range:.*?;\n", "", face)
                faces.append(face)
    return "\n".join(faces)
