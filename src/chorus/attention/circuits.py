"""What attention heads compute, read off their weights: QK and OV circuits, subspaces, composition.

Vectors are rows: head h scores x_q·W_Q·W_Kᵀ·x_kᵀ and writes x_k·W_V·W_O into the residual stream (Elhage et al. 2021,
"A Mathematical Framework for Transformer Circuits"). Both products have rank d_head and are kept as factors.

Letters: H heads, M features of the residual stream, D features of a head.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.factored import FactoredMatrix
from chorus.errors import InputError


@dataclass(frozen=True, kw_only=True)
class HeadWeights:
    """The weights of one attention layer, head by head; heads that share keys repeat them.

    Args:
        query: (H, M, D).
        key: (H, M, D).
        value: (H, M, D).
        output: (H, D, M).

    Raises InputError when the shapes do not fit.

    """

    query: Float[Tensor, "H M D"]
    key: Float[Tensor, "H M D"]
    value: Float[Tensor, "H M D"]
    output: Float[Tensor, "H D M"]

    def __post_init__(self) -> None:
        if self.query.shape != self.key.shape or self.value.shape != self.output.mT.shape:
            shapes = [tuple(x.shape) for x in (self.query, self.key, self.value, self.output)]
            raise InputError(f"query, key, value and output weights do not fit: {shapes}")

    @property
    def heads(self) -> int:
        """Return H."""
        return self.query.shape[0]

    def qk(self, head: int | None = None) -> FactoredMatrix:
        """Return W_Q W_Kᵀ of one head, or of all: which residual vectors attend to which."""
        circuit = FactoredMatrix(self.query, self.key.mT)
        return circuit if head is None else circuit[head]

    def ov(self, head: int | None = None) -> FactoredMatrix:
        """Return W_V W_O of one head, or of all: what is written where it attends."""
        circuit = FactoredMatrix(self.value, self.output)
        return circuit if head is None else circuit[head]

    def write_subspace(self, head: int) -> Float[Tensor, "M D"]:
        """Return an orthonormal basis of everything the head can write: the row space of W_O."""
        return orthonormal(self.output[head].mT)


def orthonormal(columns: Float[Tensor, "*b M D"]) -> Float[Tensor, "*b M D"]:
    """Return an orthonormal basis of the space that the columns span, of full column rank."""
    basis: Tensor = torch.linalg.qr(columns)[0]
    return basis


def principal_angles(a: Float[Tensor, "*b M D"], b: Float[Tensor, "*b M E"]) -> Float[Tensor, "*b K"]:
    """Return the K = min(D, E) principal angles between two subspaces, ascending, in radians.

    From cosines where they are large angles and from sines where they are small, since arccos near 1 loses half of the
    digits (Björck and Golub 1973; Knyazev and Argentati 2002).

    Args:
        a: orthonormal columns.
        b: orthonormal columns.

    >>> e = torch.eye(3)
    >>> principal_angles(e[:, :2], e[:, 1:]).tolist()
    [0.0, 1.5707963705062866]

    """
    if b.shape[-1] > a.shape[-1]:
        a, b = b, a
    inside = a.mT @ b
    cosines = torch.linalg.svdvals(inside)
    sines = torch.linalg.svdvals(b - a @ inside).flip(-1)
    return torch.where(cosines**2 < 0.5, cosines.clamp(0, 1).arccos(), sines.clamp(0, 1).arcsin())


def subspace_overlap(a: Float[Tensor, "*b M D"], b: Float[Tensor, "*b M E"]) -> Float[Tensor, "*b"]:
    """Return the mean squared cosine of the principal angles: 1 when one subspace holds the other, 0 when orthogonal.

    Two random subspaces of D of M dimensions overlap by D/M on average.
    """
    shared = torch.linalg.matrix_norm(a.mT @ b) ** 2
    overlap: Tensor = shared / min(a.shape[-1], b.shape[-1])
    return overlap


def write_overlaps(layers: list[HeadWeights]) -> Float[Tensor, "N N"]:
    """Return the overlap of write subspaces for every two of the N heads of all layers, in order."""
    bases = torch.cat([orthonormal(layer.output.mT) for layer in layers])
    rows = [subspace_overlap(basis, bases) for basis in bases]
    return torch.stack(rows)


def composition(earlier: FactoredMatrix, later: FactoredMatrix) -> Float[Tensor, "*pairs"]:
    """Return how much of what earlier heads write later heads read: ‖A·B‖ / (‖A‖·‖B‖), Frobenius, for every pair.

    With A the OV circuit of an earlier head, B is a later head's QK circuit for composition as queries, its transpose
    for keys, or its OV circuit for values (Elhage et al. 2021). Random circuits in M dimensions give about 1/√M; a
    circuit of zeros (a pruned head's) composes with nothing, 0.

    Args:
        earlier: one circuit or a batch (a).
        later: one circuit or a batch (b).

    """
    first, last = earlier.triangles[0], later.triangles[1]
    middle = torch.tensordot(earlier.right, later.left, dims=([-1], [-2]))  # (*a, R, *b, S)
    middle = middle.movedim(earlier.right.dim() - 2, -2)
    for _ in range(later.left.dim() - 2):
        first = first.unsqueeze(-3)
    norm = torch.linalg.matrix_norm(first @ middle @ last.mT)
    sizes = earlier.norm().reshape((*earlier.shape[:-2], *[1] * (len(later.shape) - 2))) * later.norm()
    scores: Tensor = norm / sizes.masked_fill(sizes == 0, 1.0)
    return scores


def copying(ov: FactoredMatrix) -> Float[Tensor, "*b"]:
    """Return Σλ / Σ|λ| of an OV circuit's eigenvalues: 1 when it writes back what it reads, −1 when it negates it.

    A circuit of zeros (a pruned head's) does neither: 0.
    """
    values = ov.eigenvalues()
    size = values.abs().sum(-1)
    share: Tensor = values.real.sum(-1) / size.masked_fill(size == 0, 1.0)
    return share


def effective_rank(x: Float[Tensor, "N M"]) -> float:
    """Return in how many dimensions x lies: exp of the entropy of its singular values (Roy and Vetterli 2007).

    Zeros lie in one, as a single point does.

    >>> round(effective_rank(torch.eye(5)), 3)
    5.0
    """
    values = torch.linalg.svdvals(x.double())
    p = values / values.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return float(torch.special.entr(p).sum().exp())


def write_shares(writes: Float[Tensor, "C N M"], stream: Float[Tensor, "N M"]) -> Float[Tensor, "C"]:
    """Return the share ⟨w, x⟩ / ⟨x, x⟩ of the residual stream that each component wrote.

    When the components add up to the stream their shares add up to one; one that cancels others has a negative share.

    Args:
        writes: what each of C components added to the stream of N tokens.
        stream: the stream.

    """
    shares: Tensor = (writes * stream).sum((1, 2)) / stream.square().sum()
    return shares
