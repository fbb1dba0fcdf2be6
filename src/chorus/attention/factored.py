"""A matrix kept as the product of two thin ones: its spectrum costs rank³, not width³.

Letters: M rows, N columns, R rank (inner size), leading letters are batches.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from chorus.attention.checks import FULL_PRECISION, broadcastable, refuse_not_finite, refuse_unlike, shapes
from chorus.errors import InputError


@dataclass(frozen=True)
class FactoredMatrix:
    """left @ right, never multiplied out (as in TransformerLens, Nanda and Bloom 2022).

    Args:
        left: (..., M, R).
        right: (..., R, N).

    Raises InputError when the inner sizes, the batches, the dtypes or the devices differ, and for half precision.

    >>> m = FactoredMatrix(torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0, 2.0]]))
    >>> m.norm().item(), m.eigenvalues().real.tolist(), m.shape
    (10.0, [8.0], (2, 2))

    """

    left: Float[Tensor, "*b M R"]
    right: Float[Tensor, "*b R N"]

    def __post_init__(self) -> None:
        _refuse_unfit(self.left, self.right)

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
        """Multiply by a matrix, or by another factored one through the thinner of the two inner sizes.

        Raises InputError for anything else, and where sizes, batches, dtypes or devices do not fit.
        """
        if not isinstance(other, FactoredMatrix):
            _refuse_unfit(self.right, other)
            return FactoredMatrix(self.left, self.right @ other)
        _refuse_unfit(self.right, other.left)
        middle = self.right @ other.left
        if self.left.shape[-1] <= other.right.shape[-2]:
            return FactoredMatrix(self.left, middle @ other.right)
        return FactoredMatrix(self.left @ middle, other.right)

    def __getitem__(self, index: int) -> "FactoredMatrix":
        return FactoredMatrix(self.left[index], self.right[index])

    @cached_property
    def triangles(self) -> tuple[Float[Tensor, "*b R R"], Float[Tensor, "*b R R"]]:
        """Return R₁ and R₂ of left = Q₁R₁ and rightᵀ = Q₂R₂: all that norms depend on."""
        return _triangle(self.left), _triangle(self.right.mT)

    def svd(self) -> tuple[Float[Tensor, "*b M R"], Float[Tensor, "*b R"], Float[Tensor, "*b R N"]]:
        """Return U, the min(M, R, N) singular values, and Vᵀ; U·diag(S)·Vᵀ is the matrix.

        Raises InputError when the product on the CPU is not finite.
        """
        first, left = torch.linalg.qr(self.left)
        second, right = torch.linalg.qr(self.right.mT)
        core = left @ right.mT
        refuse_not_finite(**{"the product of the factors": core})
        u, s, vt = torch.linalg.svd(core, full_matrices=False)
        return first @ u, s, vt @ second.mT

    def eigenvalues(self) -> Complex[Tensor, "*b R"]:
        """Return the R eigenvalues that can differ from zero: those of right @ left, which is R × R.

        Raises InputError when the matrix is not square, or the product on the CPU is not finite.
        """
        if self.rows != self.columns:
            raise InputError(f"a matrix of shape {self.shape} has no eigenvalues")
        core = self.right @ self.left
        refuse_not_finite(**{"the product of the factors": core})
        values: Tensor = torch.linalg.eigvals(core)
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


def _refuse_unfit(left: Tensor, right: Tensor) -> None:
    refuse_unlike(FULL_PRECISION, left=left, right=right)
    matrices = min(left.dim(), right.dim()) > 1 and left.shape[-1] == right.shape[-2]
    if not matrices or not broadcastable(left.shape[:-2], right.shape[:-2]):
        raise InputError(f"factors {shapes(left=left, right=right)} do not multiply")


def _triangle(x: Tensor) -> Tensor:
    """Return R of x = QR; Q is left out where no gradient needs it."""
    triangle: Tensor = torch.linalg.qr(x, mode="reduced" if x.requires_grad else "r")[1]
    return triangle
