"""Watch a student's operations: their sizes, the first numerical failure, and use of autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.checks.report import Mistake

# These operations only create tensors.
MAKE = {
    "arange",
    "empty",
    "empty_like",
    "fill",
    "fill_",
    "full",
    "full_like",
    "lift_fresh",
    "new_empty",
    "new_full",
    "new_zeros",
    "ones_like",
    "zeros_like",
}
# These operations only move numbers, or change their dtype or shape.
MOVE = {
    "_to_copy",
    "alias",
    "cat",
    "clone",
    "constant_pad_nd",
    "copy",
    "copy_",
    "detach",
    "gather",
    "index",
    "index_select",
    "repeat",
    "split",
    "split_with_sizes",
    "stack",
    "unbind",
}


class Watch(TorchDispatchMode):
    """A mode that records operations, the size of their largest input,
    and the first operation that fails numerically.

    An operation fails numerically if its inputs are finite but its result is infinite or undefined.
    """

    def __init__(self) -> None:
        super().__init__()
        # the first operation with finite inputs and an infinite or undefined result
        self.broken_by = ""
        self.most = 0  # the size of the largest tensor that an operation has read
        self.names = set[str]()  # the names of all operations, such as "add"

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        given = real_tensors((args, kwargs))
        made = real_tensors(result)
        name = function.__name__.split(".")[0]
        self.names.add(name)
        is_computed = given and name not in MAKE | MOVE and not function.is_view
        if is_computed:
            self.most = max(self.most, *(part.numel() for part in given))
            if not self.broken_by and all(map(finite, given)) and not all(map(finite, made)):
                self.broken_by = name
        return result


def real_tensors(values: Any) -> list[Tensor]:
    """Return the floating-point tensors in a nested structure; indices and masks are left out."""
    return [
        part
        for part in tree_leaves(values)
        if isinstance(part, Tensor) and part.is_floating_point()
    ]


def finite(value: Tensor) -> bool:
    """Return whether all numbers in the tensor are finite."""
    return bool(value.isfinite().all())


def watched(work: Callable[[], object]) -> Watch:
    """Run work() and return what was recorded.

    An error in work() ends the recording but is not passed on to the caller.
    """
    watch = Watch()
    try:
        with torch.no_grad(), watch:
            work()
    except Exception:  # some operations, such as those of `torch.func`, cannot be recorded
        pass
    return watch


def without_autograd(work: Callable[[], Any], says: str) -> Any:
    """Return the result of work(), or raise Mistake(says) if it uses autograd.

    Both reverse-mode and forward-mode differentiation are detected.
    """
    was_used = False

    def note(saved: Tensor) -> Tensor:  # called for each tensor saved for the backward pass
        nonlocal was_used
        was_used = True
        return saved

    def dual(*given: Any, **named: Any) -> Any:
        nonlocal was_used
        was_used = True
        return make_dual(*given, **named)

    make_dual = forward_ad.make_dual
    forward_ad.make_dual = dual
    try:
        with saved_tensors_hooks(note, lambda saved: saved):
            answer = work()
    except Mistake as stopped:
        # `torch.func.grad` and similar functions raise an error under these hooks
        raise Mistake(says if "saved tensor hooks" in str(stopped) else str(stopped)) from None
    finally:
        forward_ad.make_dual = make_dual
    if was_used:
        raise Mistake(says)
    return answer
