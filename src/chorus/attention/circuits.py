"""What attention heads compute, read off their weights: QK and OV circuits, subspaces, composition.

Vectors are rows: head h scores x_q·W_Q·W_Kᵀ·x_kᵀ and writes x_k·W_V·W_O into the residual stream (Elhage et al. 2021,
"A Mathematical Framework for Transformer Circuits"). Both products have rank d_head and are kept as factors.

Letters: H heads, M features of the residual stream, D features of a head.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chorus.attention.checks import FULL_PRECISION, at_hand, broadcastable, refuse_not_finite, refuse_unlike, shapes
from chorus.attention.factored import FactoredMatrix
from chorus.errors import InputError
from chorus.topology.topology import whole

TOLERANCE = 1e-3  # of the products of columns that are called orthonormal: far above rounding in float32


@dataclass(frozen=True, kw_only=True)
class HeadWeights:
    """The weights of one attention layer, head by head; heads that share keys repeat them.

    Args:
        query: (H, M, D).
        key: (H, M, D).
        value: (H, M, D).
        output: (H, D, M).

    Circuits of half-precision weights are in float32. Raises InputError when shapes, dtypes or devices do not fit.

    """

    query: Float[Tensor, "H M D"]
    key: Float[Tensor, "H M D"]
    value: Float[Tensor, "H M D"]
    output: Float[Tensor, "H D M"]

    def __post_init__(self) -> None:
        weights = {"query": self.query, "key": self.key, "value": self.value, "output": self.output}
        refuse_unlike(**weights)
        if (
            any(x.dim() != 3 for x in weights.values())
            or self.query.shape != self.key.shape
            or self.value.shape != self.output.mT.shape
            or self.query.shape[:2] != self.value.shape[:2]
        ):
            raise InputError(
                f"weights do not fit: query, key and value are (heads, M, D) and output (heads, D, M), not "
                f"{shapes(**weights)}"
            )

    @property
    def heads(self) -> int:
        """Return H."""
        return self.query.shape[0]

    def qk(self, head: int | None = None) -> FactoredMatrix:
        """Return W_Q W_Kᵀ of one head, or of all: which residual vectors attend to which."""
        return self._circuit(self.query, self.key.mT, head)

    def ov(self, head: int | None = None) -> FactoredMatrix:
        """Return W_V W_O of one head, or of all: what is written where it attends."""
        return self._circuit(self.value, self.output, head)

    def write_subspace(self, head: int) -> Float[Tensor, "M D"]:
        """Return an orthonormal basis of everything the head can write: the row space of W_O."""
        return orthonormal(_in_full(self.output)[self._number(head)].mT)

    def _circuit(self, left: Tensor, right: Tensor, head: int | None) -> FactoredMatrix:
        circuit = FactoredMatrix(_in_full(left), _in_full(right))
        return circuit if head is None else circuit[self._number(head)]

    def _number(self, head: int) -> int:
        return whole("head", head, -self.heads, self.heads - 1)


def _in_full(x: Tensor) -> Tensor:
    """Return x in float32 where it is in half precision, which no decomposition takes."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def orthonormal(columns: Float[Tensor, "*b M D"]) -> Float[Tensor, "*b M D"]:
    """Return an orthonormal basis of the space that the columns span, of full column rank.

    Raises InputError for half precision, more columns than rows, and a number on the CPU that is not finite.
    """
    refuse_unlike(FULL_PRECISION, columns=columns)
    if columns.dim() < 2 or columns.shape[-1] > columns.shape[-2]:
        raise InputError(f"columns (..., M, D) of full rank need D ≤ M, not {shapes(columns=columns)}")
    refuse_not_finite(columns=columns)
    basis: Tensor = torch.linalg.qr(columns)[0]
    return basis


def principal_angles(a: Float[Tensor, "*b M D"], b: Float[Tensor, "*b M E"]) -> Float[Tensor, "*b K"]:
    """Return the K = min(D, E) principal angles between two subspaces, ascending, in radians.

    From cosines where they are large angles and from sines where they are small, since arccos near 1 loses half of the
    digits (Björck and Golub 1973; Knyazev and Argentati 2002).

    Args:
        a: orthonormal columns.
        b: orthonormal columns.

    Raises InputError when shapes, dtypes or devices do not fit, for half precision, and for columns on the CPU that are
    not orthonormal.

    >>> e = torch.eye(3)
    >>> principal_angles(e[:, :2], e[:, 1:]).tolist()
    [0.0, 1.5707963705062866]

    """
    _refuse_unfit_bases(a, b)
    if b.shape[-1] > a.shape[-1]:
        a, b = b, a
    inside = a.mT @ b
    cosines = torch.linalg.svdvals(inside)
    sines = torch.linalg.svdvals(b - a @ inside).flip(-1)
    return torch.where(cosines**2 < 0.5, cosines.clamp(0, 1).arccos(), sines.clamp(0, 1).arcsin())


def subspace_overlap(a: Float[Tensor, "*b M D"], b: Float[Tensor, "*b M E"]) -> Float[Tensor, "*b"]:
    """Return the mean squared cosine of the principal angles: 1 when one subspace holds the other, 0 when orthogonal.

    Two random subspaces of D of M dimensions overlap by D/M on average. Raises InputError as `principal_angles` does.
    """
    _refuse_unfit_bases(a, b)
    return _overlap(a, b)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    shared = torch.linalg.matrix_norm(a.mT @ b) ** 2
    overlap: Tensor = shared / min(a.shape[-1], b.shape[-1])
    return overlap


def _refuse_unfit_bases(a: Tensor, b: Tensor) -> None:
    refuse_unlike(FULL_PRECISION, a=a, b=b)
    bases = min(a.dim(), b.dim()) > 1 and a.shape[-2] == b.shape[-2] and a.shape[-1] and b.shape[-1]
    if not bases or not broadcastable(a.shape[:-2], b.shape[:-2]):
        raise InputError(f"bases (..., M, D) and (..., M, E) of subspaces of one space do not fit: {shapes(a=a, b=b)}")
    refuse_not_finite(a=a, b=b)
    for name, x in (("a", a), ("b", b)):
        products = x.detach().mT @ x.detach()
        if at_hand(x) and ((products - torch.eye(x.shape[-1])).abs() > TOLERANCE).any():
            raise InputError(f"the columns of {name} are not orthonormal: pass orthonormal({name})")


def write_overlaps(layers: list[HeadWeights]) -> Float[Tensor, "N N"]:
    """Return the overlap of write subspaces for every two of the N heads of all layers, in order.

    Raises InputError for no layers, and for layers whose outputs differ in width, dtype or device.
    """
    if not isinstance(layers, list | tuple) or not layers or not all(isinstance(x, HeadWeights) for x in layers):
        raise InputError("write overlaps are those of a list of HeadWeights, one at least: as read_heads gives them")
    outputs = {f"layers[{i}].output": layer.output for i, layer in enumerate(layers)}
    refuse_unlike(**outputs)
    if len({x.shape[1:] for x in outputs.values()}) > 1:
        raise InputError(f"layers differ in the features of a head or of the stream: {shapes(**outputs)}")
    bases = torch.cat([orthonormal(_in_full(x).mT) for x in outputs.values()])
    rows = [_overlap(basis, bases) for basis in bases]
    return torch.stack(rows)


def composition(earlier: FactoredMatrix, later: FactoredMatrix) -> Float[Tensor, "*pairs"]:
    """Return how much of what earlier heads write later heads read: ‖A·B‖ / (‖A‖·‖B‖), Frobenius, for every pair.

    With A the OV circuit of an earlier head, B is a later head's QK circuit for composition as queries, its transpose
    for keys, or its OV circuit for values (Elhage et al. 2021). Random circuits in M dimensions give about 1/√M; a
    circuit of zeros (a pruned head's) composes with nothing, 0.

    Args:
        earlier: one circuit or a batch (a).
        later: one circuit or a batch (b).

    Raises InputError when the circuits' widths, dtypes or devices differ.

    """
    _refuse_not_circuits(earlier=earlier, later=later)
    refuse_unlike(FULL_PRECISION, earlier=earlier.right, later=later.left)
    if earlier.columns != later.rows:
        raise InputError(f"an earlier circuit {earlier.shape} and a later one {later.shape} do not multiply")
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

    A circuit of zeros (a pruned head's) does neither: 0. Raises InputError when the circuit is not square.
    """
    _refuse_not_circuits(ov=ov)
    values = ov.eigenvalues()
    size = values.abs().sum(-1)
    share: Tensor = values.real.sum(-1) / size.masked_fill(size == 0, 1.0)
    return share


def _refuse_not_circuits(**given: FactoredMatrix) -> None:
    for name, circuit in given.items():
        if not isinstance(circuit, FactoredMatrix):
            raise InputError(
                f"{name} must be a FactoredMatrix, as HeadWeights.ov() gives, not {type(circuit).__name__}"
            )


def effective_rank(x: Float[Tensor, "N M"]) -> float:
    """Return in how many dimensions x lies: exp of the entropy of its singular values (Roy and Vetterli 2007).

    Zeros lie in one, as a single point does. Raises InputError when x is no matrix, holds nothing, or a number on the
    CPU is not finite.

    >>> round(effective_rank(torch.eye(5)), 3)
    5.0
    """
    refuse_unlike(x=x)
    if x.dim() != 2 or not x.numel():
        raise InputError(f"x must be (N, M), one vector at least, not {shapes(x=x)}")
    refuse_not_finite(x=x)
    values = torch.linalg.svdvals(x.double())
    p = values / values.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return float(torch.special.entr(p).sum().exp())


def write_shares(writes: Float[Tensor, "C N M"], stream: Float[Tensor, "N M"]) -> Float[Tensor, "C"]:
    """Return the share ⟨w, x⟩ / ⟨x, x⟩ of the residual stream that each component wrote.

    When the components add up to the stream their shares add up to one; one that cancels others has a negative share.
    Half precision is computed in float32, and shares are in it.

    Args:
        writes: what each of C components added to the stream of N tokens.
        stream: the stream.

    Raises InputError when shapes, dtypes or devices do not fit, and for a stream of zeros, which has no shares.

    """
    refuse_unlike(writes=writes, stream=stream)
    if stream.dim() != 2 or writes.dim() != 3 or writes.shape[1:] != stream.shape:
        raise InputError(f"writes (C, N, M) and stream (N, M) are needed, not {shapes(writes=writes, stream=stream)}")
    writes, stream = _in_full(writes), _in_full(stream)
    energy = stream.square().sum()
    if at_hand(stream) and not energy:
        raise InputError(f"stream {tuple(stream.shape)} is all zeros, or empty: nothing can be shared")
    shares: Tensor = (writes * stream).sum((1, 2)) / energy
    return shares
