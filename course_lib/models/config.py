"""What a model is made of, as a dataclass: checked when it is made, kept in a file beside the weights."""

from dataclasses import asdict, dataclass
from typing import Any

from course_lib import require


@dataclass(frozen=True)
class Config:
    """The base of every model's configuration. `Model(**config.to_json())` builds an equal model."""

    def to_json(self) -> dict[str, Any]:
        """The fields as what JSON has: tuples become lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    def _make_tuple(self, name: str) -> None:
        """Turn a sequence of whole numbers, such as NumPy's, into a tuple of int."""
        value = getattr(self, name)
        object.__setattr__(self, name, tuple(int(number) for number in value))

    def _make_int(self, name: str, least: int, sentence: str) -> None:
        """Turn a whole number into an int. Raise ValueError, with this sentence, if it is below `least`."""
        value = getattr(self, name)
        if not require.is_count(value, least):
            raise ValueError(f"{sentence}, not {value!r}.")
        object.__setattr__(self, name, int(value))
