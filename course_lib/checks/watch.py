"""Looks over a student's shoulder: which operations run, on how many numbers, and where one breaks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib.checks.report import Mistake

# operations that make new tensors, and those that only move numbers to another place, type or shape
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
    """Notes what PyTorch computes: the first operation that breaks, and the largest input to any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.broken_by = ""  # the first operation with finite inputs and an infinite or undefined result
        self.most = 0  # the most numbers that one operation has taken to compute with

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        given = real_tensors((args, kwargs))
        made = real_tensors(result)
        name = function.__name__.split(".")[0]
        is_computed = given and name not in MAKE | MOVE and not function.is_view
        if is_computed:
            self.most = max(self.most, *(part.numel() for part in given))
            if not self.broken_by and all(map(finite, given)) and not all(map(finite, made)):
                self.broken_by = name
        return result


def real_tensors(values: Any) -> list[Tensor]:
    """The tensors of real numbers among them, however they are nested; indices and masks are left out."""
    return [part for part in tree_leaves(values) if isinstance(part, Tensor) and part.is_floating_point()]


def finite(value: Tensor) -> bool:
    """No number of it is infinite or undefined."""
    return bool(value.isfinite().all())


def watched(work: Callable[[], object]) -> Watch:
    """What happened while work() ran; an error in it ends the watching, and is not passed on."""
    watch = Watch()
    try:
        with torch.no_grad(), watch:
            work()
    except Exception:  # some ways of computing, such as `torch.func`, cannot be watched: then nobody knows
        pass
    return watch


def without_autograd(work: Callable[[], Any], says: str) -> Any:
    """The result of work(); Mistake(says) if a derivative was computed by PyTorch, forwards or backwards."""
    was_used = False

    def note(saved: Tensor) -> Tensor:  # PyTorch calls it for what the backward pass will need
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
        # `torch.func.grad` and its kin refuse to run under hooks
        raise Mistake(says if "saved tensor hooks" in str(stopped) else str(stopped)) from None
    finally:
        forward_ad.make_dual = make_dual
    if was_used:
        raise Mistake(says)
    return answer
