"""Refuse NaN and infinity, and say where they are."""

import torch
from torch import Tensor

from chorus.errors import InputError


def refuse_not_finite(**tensors: Tensor) -> None:
    """Raise InputError for the first NaN or infinity on a CPU, looking closer only where a sum is not finite.

    On an accelerator this would wait for the device, so that NaN spreads there as in any kernel.
    """
    for name, x in tensors.items():
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            continue
        if not torch.isfinite(x.detach().sum()) and not torch.isfinite(x).all():
            where = tuple((~torch.isfinite(x)).nonzero()[0].tolist())
            raise InputError(f"{name} holds {x[where].item()} at {where}: attention needs finite numbers")
