"""How an actor reads: attention over a declared topology, fast and trainable on CPU and GPU."""

from chorus.attention.attend import attend
from chorus.attention.blocks import (
    Indexer,
    SelectedBlocks,
    Selection,
    bound_summary,
    mean_summary,
    select_blocks,
)
from chorus.attention.circuits import (
    HeadWeights,
    composition,
    copying,
    effective_rank,
    orthonormal,
    principal_angles,
    subspace_overlap,
    write_overlaps,
    write_shares,
)
from chorus.attention.decode import KeyValueCache, last_readers
from chorus.attention.factored import FactoredMatrix
from chorus.attention.features import Elu1, Favor, FeatureMap, Fourier
from chorus.attention.huggingface import read_heads, register
from chorus.attention.linear import LinearState, linear_attention
from chorus.attention.lookup import lookup, nadaraya_watson
from chorus.attention.multihead import MultiHeadAttention
from chorus.attention.reference import reference
from chorus.attention.rotary import distance, frequencies, phases, rebase, rotate, unrotate
from chorus.attention.scores import Cosine, Dot, Gaussian, Laplace, Score, parse_score
from chorus.attention.select import Entmax, Hard, Select, Soft, Sparsemax, TopK, parse_select

__all__ = [
    "Cosine",
    "Dot",
    "Elu1",
    "Entmax",
    "FactoredMatrix",
    "Favor",
    "FeatureMap",
    "Fourier",
    "Gaussian",
    "Hard",
    "HeadWeights",
    "Indexer",
    "KeyValueCache",
    "Laplace",
    "LinearState",
    "MultiHeadAttention",
    "Score",
    "Select",
    "SelectedBlocks",
    "Selection",
    "Soft",
    "Sparsemax",
    "TopK",
    "attend",
    "bound_summary",
    "composition",
    "copying",
    "distance",
    "effective_rank",
    "frequencies",
    "last_readers",
    "linear_attention",
    "lookup",
    "mean_summary",
    "nadaraya_watson",
    "orthonormal",
    "parse_score",
    "parse_select",
    "phases",
    "principal_angles",
    "read_heads",
    "rebase",
    "reference",
    "register",
    "rotate",
    "select_blocks",
    "subspace_overlap",
    "unrotate",
    "write_overlaps",
    "write_shares",
]
