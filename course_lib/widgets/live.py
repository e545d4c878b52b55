"""The base of the course's live widgets: the browser asks for a batch of frames, the kernel answers once."""

import base64
import io
import json
import re
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure

LIVE = Path(__file__).with_name("live.js")
# The script that a saved widget ends with; no "<" stands in its state.
MOUNTED = re.compile(
    r'<script type="module">\n.*\nmount\("(?P<uid>\w+)", (?P<state>\{[^<]*\}), definition\);\n</script>',
    re.DOTALL,
)


class Live(anywidget.AnyWidget):
    """A canvas in the notebook, played from frames that the kernel computes.

    A subclass names its `script` (one file or several, put behind live.js), computes `frames`, and draws a
    `strip` of a few. The browser sends {tick, frames, steps, ...}; one float32 buffer goes back. No thread,
    no event loop: a closed tab just stops asking. Without a kernel the strip is shown, then a page with the
    same drawing code.
    """

    script: ClassVar[Path | tuple[Path, ...]]
    source: ClassVar[str]
    uid = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "script" in cls.__dict__:
            own = cls.script if isinstance(cls.script, tuple) else (cls.script,)
            cls.source = "".join(path.read_text(encoding="utf-8") for path in (LIVE, *own))
            cls._esm = cls.source  # which a widget, once made, replaces by a trait
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        # Callbacks may run on another thread than the cells do, so whoever touches the state holds this lock.
        self.lock = threading.RLock()
        self.error: Exception | None = None  # the last one: `raise widget.error` shows where it came from
        if unknown := [name for name in traits if not self.has_trait(name)]:
            own = [name for name, trait in vars(type(self)).items() if isinstance(trait, traitlets.TraitType)]
            raise ValueError(f"{type(self).__name__} has no {unknown[0]!r}; it has {', '.join(own)}.")
        super().__init__(uid=uuid.uuid4().hex[:12], **traits)
        self.on_msg(self._answer)

    def frames(self, request: dict[str, Any]) -> np.ndarray:
        """Advance request["frames"] times by request["steps"]; returns (frames, F). Called under the lock."""
        raise NotImplementedError(f"{type(self).__name__} computes no frames")

    def strip(self) -> Figure:
        """A picture of a few frames, made with Figure(): pyplot's global state is not safe in a callback."""
        raise NotImplementedError(f"{type(self).__name__} draws no strip")

    def _answer(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict) or "tick" not in content:
            return
        reply: dict[str, Any] = {"tick": content["tick"], "client": content.get("client")}
        try:
            with self.lock:
                frames = np.ascontiguousarray(self.frames(content), dtype="<f4")  # (frames, F)
            if frames.ndim != 2:
                raise ValueError(f"frames() must return an array of shape (frames, F), not {frames.shape}")
        except Exception as error:  # whatever went wrong, the person at the browser must see it
            self.error = error
            self.send(reply | {"error": sentence(error)})
        else:
            self.send(reply | {"shape": list(frames.shape)}, buffers=[frames.tobytes()])

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        file = io.BytesIO()
        with self.lock:
            self.strip().savefig(file, format="png", bbox_inches="tight")
            state = json.dumps({name: getattr(self, name) for name in self._own(self.keys)})
        picture = base64.b64encode(file.getvalue()).decode()
        data |= {"text/plain": f"{type(self).__name__}(…)", "image/png": picture}
        data["text/html"] = (
            f'<div data-course="{self.uid}"><img style="max-width:100%" alt="a few frames" src="data:'
            f'image/png;base64,{picture}"></div>\n{self._script(self.uid, state)}'
        )
        return data, metadata

    @classmethod
    def _script(cls, uid: str, state: str) -> str:
        """The script that brings the widget to life in a page; state: its traits as JSON."""
        call = f"mount({json.dumps(uid)}, {state}, definition);".replace("<", "\\u003c")
        return f'<script type="module">\n{cls.source}\n{call}\n</script>'

    @classmethod
    def renewed(cls, html: str) -> str:
        """A saved text/html of this class with the script of today: state and picture stay as they are.

        What the class has learnt since it was saved has its default.
        """
        found = MOUNTED.search(html)
        if found is None:
            return html
        uid, saved = found["uid"], json.loads(found["state"])
        traits = cls.class_traits(sync=True)
        missing = {name: trait.default() for name, trait in traits.items() if name in cls._own(traits)}
        return html[: found.start()] + cls._script(uid, json.dumps(missing | saved)) + html[found.end() :]

    @staticmethod
    def _own(names: Iterable[str]) -> list[str]:
        """Those of the synced traits that are the widget's own, and not of every widget."""
        return [name for name in names if name[0] != "_" and name not in ("layout", "tabbable", "tooltip")]


def sentence(error: Exception) -> str:
    """What went wrong, as one line for the browser. A ValueError speaks to people; others need their name."""
    first = str(error).strip().partition("\n")[0][:300]
    return (
        first if first and isinstance(error, ValueError) else f"{type(error).__name__}: {first}".rstrip(": ")
    )
