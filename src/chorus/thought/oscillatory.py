"""An alternative processor: the cells of a thought are coupled oscillators on spheres.

N-dimensional Kuramoto units (Chandra, Girvan, Ott 2019; as a network layer: AKOrN, Miyato et al. 2025). A cell's C
channels are C / D unit vectors in D dimensions. They rotate with learned natural frequencies, are pulled by the context
(conditioning) and by what the cell reads over each relation (coupling), and never leave their spheres.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chorus.dynamics.sphere_torch import flow, project
from chorus.thought.config import MindConfig
from chorus.thought.processor import RelationalRead


class OscillatoryProcessor(nn.Module):
    """ẋ = Ωx + P_x(conditioning + coupling), one step of `dt` at a time.

    conditioning = context + broadcast
    coupling = W_o · attention(x; topologies) + W_2 · relu(W_1 x + W_m · mean over symbols of x)
    """

    def __init__(self, config: MindConfig) -> None:
        super().__init__()
        self.dims = config.oscillator_dims
        self.read = RelationalRead(config)
        self.up = nn.Linear(config.channels, config.hidden)
        self.up_mean = nn.Linear(config.channels, config.hidden, bias=False) if config.symbols > 1 else None
        self.down = nn.Linear(config.hidden, config.channels, bias=False)
        self.omega = nn.Parameter(0.1 * torch.randn(config.channels // self.dims, self.dims // 2))
        self.log_dt = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        h: Float[Tensor, "R N S C"],
        context: Float[Tensor, "R N S C"],
        broadcast: Float[Tensor, "R N S C"] | None = None,
    ) -> Float[Tensor, "R N S C"]:
        """Return the next phases; whatever comes in is first projected onto the spheres."""
        x = project(h.float().unflatten(-1, (-1, self.dims)))
        flat = x.flatten(-2).to(h.dtype)
        hidden = self.up(flat)
        if self.up_mean is not None:
            hidden = hidden + self.up_mean(flat.mean(2, keepdim=True))
        pull = context + self.read(flat) + self.down(F.relu(hidden))
        if broadcast is not None:
            pull = pull + broadcast
        turned = flow(x, pull.float().unflatten(-1, (-1, self.dims)), self.omega.float(), self.log_dt.exp())
        return turned.flatten(-2).to(h.dtype)
