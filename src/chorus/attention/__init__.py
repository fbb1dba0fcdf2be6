"""How an actor reads: attention over a declared topology, fast and trainable on CPU and GPU."""

from chorus.attention.attend import attend
from chorus.attention.features import Elu1, Favor, FeatureMap, Fourier
from chorus.attention.linear import LinearState, linear_attention
from chorus.attention.lookup import lookup, nadaraya_watson
from chorus.attention.reference import reference
from chorus.attention.rotary import distance, frequencies, phases, rebase, rotate, unrotate
from chorus.attention.scores import Cosine, Dot, Gaussian, Laplace, Score, parse_score
from chorus.attention.select import Entmax, Hard, Select, Soft, Sparsemax, TopK, parse_select

__all__ = [
    "Cosine",
    "Dot",
    "Elu1",
    "Entmax",
    "Favor",
    "FeatureMap",
    "Fourier",
    "Gaussian",
    "Hard",
    "Laplace",
    "LinearState",
    "Score",
    "Select",
    "Soft",
    "Sparsemax",
    "TopK",
    "attend",
    "distance",
    "frequencies",
    "linear_attention",
    "lookup",
    "nadaraya_watson",
    "parse_score",
    "parse_select",
    "phases",
    "rebase",
    "reference",
    "rotate",
    "unrotate",
]
