"""A matrix kept as the product of two thin ones: its spectrum costs rank³, not width³.

Letters: M rows, N columns, R rank (inner size), leading letters are batches.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from chorus.errors import InputError


@dataclass(frozen=True)
class FactoredMatrix:
    """left @ right, never multiplied out (as in TransformerLens, Nanda and Bloom 2022).

    Args:
        left: (..., M, R).
        right: (..., R, N).

    Raises InputError when the inner sizes differ.

    >>> m = FactoredMatrix(torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0, 2.0]]))
    >>> m.norm().item(), m.eigenvalues().real.tolist(), m.shape
    (10.0, [8.0], (2, 2))

    """

    left: Float[Tensor, "*b M R"]
    right: Float[Tensor, "*b R N"]

    def __post_init__(self) -> None:
        if self.left.shape[-1] != self.right.shape[-2]:
            raise InputError(f"factors {tuple(self.left.shape)} and {tuple(self.right.shape)} do not multiply")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the product."""
        return (*self.left.shape[:-1], self.columns)

    @property
    def rows(self) -> int:
        """Return M."""
        return self.left.shape[-2]

    @property
    def columns(self) -> int:
        """Return N."""
        return self.right.shape[-1]

    def transpose(self) -> "FactoredMatrix":
        """Return the transpose."""
        return FactoredMatrix(self.right.mT, self.left.mT)

    def __matmul__(self, other: "FactoredMatrix | Tensor") -> "FactoredMatrix":
        """Multiply by a matrix, or by another factored one through the thinner of the two inner sizes."""
        if isinstance(other, Tensor):
            return FactoredMatrix(self.left, self.right @ other)
        middle = self.right @ other.left
        if self.left.shape[-1] <= other.right.shape[-2]:
            return FactoredMatrix(self.left, middle @ other.right)
        return FactoredMatrix(self.left @ middle, other.right)

    def __getitem__(self, index: int) -> "FactoredMatrix":
        return FactoredMatrix(self.left[index], self.right[index])

    @cached_property
    def triangles(self) -> tuple[Float[Tensor, "*b R R"], Float[Tensor, "*b R R"]]:
        """Return R₁ and R₂ of left = Q₁R₁ and rightᵀ = Q₂R₂: all that norms depend on."""
        return torch.linalg.qr(self.left, mode="r")[1], torch.linalg.qr(self.right.mT, mode="r")[1]

    def svd(self) -> tuple[Float[Tensor, "*b M R"], Float[Tensor, "*b R"], Float[Tensor, "*b R N"]]:
        """Return U, the min(M, R, N) singular values, and Vᵀ; U·diag(S)·Vᵀ is the matrix."""
        first, left = torch.linalg.qr(self.left)
        second, right = torch.linalg.qr(self.right.mT)
        u, s, vt = torch.linalg.svd(left @ right.mT, full_matrices=False)
        return first @ u, s, vt @ second.mT

    def eigenvalues(self) -> Complex[Tensor, "*b R"]:
        """Return the R eigenvalues that can differ from zero: those of right @ left, which is R × R.

        Raises InputError when the matrix is not square.
        """
        if self.rows != self.columns:
            raise InputError(f"a matrix of shape {self.shape} has no eigenvalues")
        values: Tensor = torch.linalg.eigvals(self.right @ self.left)
        return values

    def norm(self) -> Float[Tensor, "*b"]:
        """Return the Frobenius norm."""
        first, second = self.triangles
        norm: Tensor = torch.linalg.matrix_norm(first @ second.mT)
        return norm

    def trace(self) -> Float[Tensor, "*b"]:
        """Return the sum of the eigenvalues."""
        total: Tensor = (self.left * self.right.mT).sum((-2, -1))
        return total
