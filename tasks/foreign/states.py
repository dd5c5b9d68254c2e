"""Tensors of a weights file, read without running what is in it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError, UserError

if TYPE_CHECKING:
    from torch import Tensor

# where training programs put the tensors in what they save, the averaged ones first
INSIDE = ("model_ema", "ema", "state_dict_ema", "state_dict", "model_state_dict", "model", "net", "weights")


def read_state(file: Path) -> dict[str, Tensor]:
    """Name → tensor of a safetensors file or of what `torch.save` wrote of a state dict.

    Raises:
        UserError: a pickled module or other Python objects; loading them would run code.
        DataError: cut off, empty, or no weights at all.
    """
    if file.suffix.lower() == ".safetensors":
        return _safetensors(file)
    import torch

    try:
        whole = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if _names_a_class(str(error)):
            raise _unsafe(file, str(error)) from None
        raise _broken(file, error) from None
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, … for files that are cut off
        raise _broken(file, error) from None
    state = _tensors(whole)
    if not state:
        raise DataError("there are no tensors in it", where=file, mend="torch.save(model.state_dict(), FILE)")
    return state


def _safetensors(file: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        state = safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise _broken(file, error) from None
    if not state:
        raise DataError("there are no tensors in it", where=file, mend="save the model's state dict")
    return state


def _names_a_class(text: str) -> bool:
    return "Unsupported global" in text or "Unsupported class" in text or "not an allowed global" in text


def _unsafe(file: Path, text: str) -> UserError:
    named = text.partition("GLOBAL ")[2].split(" ")[0] or "a class of its own"
    return UserError(f"a pickled object ({named}), no state dict: to load it would run its maker's code", where=file,
                     mend="where the model was made: torch.save(model.state_dict(), 'weights.pth'), or safetensors")


def _broken(file: Path, error: BaseException) -> DataError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return DataError(f"no file of weights, or one that is cut off: {reason}", where=file,
                     mend="fetch it again and compare its size")


def _tensors(whole: Any) -> dict[str, Tensor]:
    """The state dict in what was saved, whatever stands beside it."""
    import torch

    if not isinstance(whole, Mapping):
        return {}
    found = {str(key): value for key, value in whole.items() if isinstance(value, torch.Tensor)}
    if found:
        return found
    return next((state for key in INSIDE if key in whole and (state := _tensors(whole[key]))), {})
