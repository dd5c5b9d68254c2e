"""How an INT8 file stays within its budget: section `export.int8`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.base.params import Params


class Int8(Params):
    """What an INT8 file may lose, and what is done when it loses more.

    Attributes:
        max_ap_loss: validation AP that it may lose against torch, 0..1; a file that loses more is not admissible.
        float_layers: `auto` puts the layers that hurt back into float, worst first, as few as the budget needs; `none`
            leaves all in 8 bits; or a list of patterns of layer names, for instance [head.*].
        qat_epochs: epochs of fine-tuning with rounded convolutions, when the budget is not met otherwise; 0 for never.
            The weights that it ends with are for this file alone.
        qat_lr: peak rate of that training.
        qat_batch_size: pictures a step.
    """

    max_ap_loss: float = Field(0.01, ge=0, le=1)
    float_layers: Literal["auto", "none"] | list[str] = "auto"
    qat_epochs: int = Field(0, ge=0)
    qat_lr: float = Field(1e-4, gt=0)
    qat_batch_size: int = Field(4, ge=1)
