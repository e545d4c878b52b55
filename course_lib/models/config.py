"""Model configurations: dataclasses that validate their fields and are saved with the weights."""

from dataclasses import asdict, dataclass
from typing import Any

from course_lib import require


@dataclass(frozen=True)
class Config:
    """The base class of model configurations.

    `Model(**config.to_json())` creates a model with the same configuration.
    """

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON-serializable values, with tuples converted to lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def of_training(self) -> dict[str, Any]:
        """Return the fields that affect training, as `to_json` does."""
        return self.to_json()

    def _make_tuple(self, name: str) -> None:
        """Convert a field from a sequence of Python or NumPy integers to a tuple of int."""
        value = getattr(self, name)
        object.__setattr__(self, name, tuple(int(number) for number in value))

    def _make_int(self, name: str, least: int, sentence: str) -> None:
        """Convert a field to int.

        Raises ValueError, with a message that begins with `sentence`, unless the field is an
        integer ≥ `least`.
        """
        value = getattr(self, name)
        if not require.is_count(value, least):
            raise ValueError(f"{sentence}, not {value!r}.")
        object.__setattr__(self, name, int(value))
