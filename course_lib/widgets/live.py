"""The base class of live widgets, which leave a static image and a working HTML version
in a saved notebook.
"""

import base64
import io
import json
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from course_lib import palette

if TYPE_CHECKING:  # only drawing a strip needs Matplotlib
    from matplotlib.figure import Figure

LIVE = Path(__file__).with_name("live.js")
# The script at the end of a saved widget; its state never contains "<".
MOUNTED = re.compile(
    r'<script type="module">\n.*\n'
    r'mount\("(?P<uid>\w+)", (?P<state>\{[^<]*\}), definition\);\n</script>',
    re.DOTALL,
)


class Live(anywidget.AnyWidget):
    """A notebook canvas whose content is computed in the browser, with or without a kernel.

    A subclass sets `script` (one file or several, appended to live.js) and draws a `strip`. The
    strip is shown where scripts cannot run, and in a saved page until the script has started.
    """

    script: ClassVar[Path | tuple[Path, ...]]
    source: ClassVar[str]
    uid = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "script" in cls.__dict__:
            own = cls.script if isinstance(cls.script, tuple) else (cls.script,)
            cls.source = source(*own)
            cls._esm = cls.source  # an instance replaces this attribute with a trait
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        if unknown := [name for name in traits if not self.has_trait(name)]:
            own = [
                name
                for name, trait in vars(type(self)).items()
                if isinstance(trait, traitlets.TraitType)
            ]
            raise ValueError(
                f"{type(self).__name__} has no trait {unknown[0]!r}. Its traits are "
                f"{', '.join(own)}."
            )
        super().__init__(uid=uuid.uuid4().hex[:12], **traits)

    def strip(self) -> "Figure":
        """Draw a few stages with Figure(), so that pyplot's current figure does not change."""
        raise NotImplementedError(f"{type(self).__name__} does not implement strip()")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        file = io.BytesIO()
        self.strip().savefig(file, format="png", bbox_inches="tight")
        state = json.dumps({name: getattr(self, name) for name in self._own(self.keys)})
        picture = base64.b64encode(file.getvalue()).decode()
        data |= {"text/plain": f"{type(self).__name__}(…)", "image/png": picture}
        data["text/html"] = (
            f'<div data-course="{self.uid}"><img style="max-width:100%" alt="a few frames" '
            f'src="data:image/png;base64,{picture}"></div>\n{self._script(self.uid, state)}'
        )
        return data, metadata

    @classmethod
    def _script(cls, uid: str, state: str) -> str:
        """Return the script that starts the widget in a page; `state` holds the traits as JSON."""
        call = f"mount({json.dumps(uid)}, {state}, definition);".replace("<", "\\u003c")
        return f'<script type="module">\n{cls.source}\n{call}\n</script>'

    @classmethod
    def renewed(cls, html: str) -> str:
        """Replace the script in a widget's saved HTML, but keep the widget's state and picture.

        Traits that were added to the class after the page was saved get their default values.
        """
        found = MOUNTED.search(html)
        if found is None:
            return html
        uid, saved = found["uid"], json.loads(found["state"])
        traits = cls.class_traits(sync=True)
        missing = {
            name: trait.default() for name, trait in traits.items() if name in cls._own(traits)
        }
        before, after = html[: found.start()], html[found.end() :]
        return before + cls._script(uid, json.dumps(missing | saved)) + after

    @staticmethod
    def _own(names: Iterable[str]) -> list[str]:
        """Select the synced traits that are not common to all Jupyter widgets."""
        return [
            name
            for name in names
            if name[0] != "_" and name not in ("layout", "tabbable", "tooltip")
        ]


def source(*scripts: Path) -> str:
    """Join the palette, live.js, and a widget's own scripts into one module."""
    colours = f"const PALETTE = {json.dumps(palette.FOR_SCRIPTS)};\n"
    return colours + "".join(path.read_text(encoding="utf-8") for path in (LIVE, *scripts))
