"""Published claims about attention patterns beside exact results: `docs/claims.md` is written from here.

Each claim carries the commands that settle it and what they print. Writing the page runs every command, and refuses
when one prints anything else, so the page cannot say what the code does not.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from chorus.errors import ChorusError


@dataclass(frozen=True)
class Claim:
    """A claim, the verdict on it, and one-line programs with what each prints."""

    claim: str
    verdict: str
    because: str
    shown: tuple[tuple[str, str], ...]


_TOPOLOGY = "from chorus.topology import *; "
_NUMPY = "import numpy as np; r = np.random.default_rng(0); "

CLAIMS = (
    Claim(
        "Logarithmic attention reaches every earlier token in one layer.",
        "False",
        "Hops are the one bits of the distance, so token t (counted from 1) needs floor(log2 t) layers. With itself it "
        "reads floor(log2(t - 1)) + 2 tokens. To distance 2^m - 1 in m layers there are m! paths.",
        (
            (
                _TOPOLOGY + "print([coverage(logarithmic(), n, 48).layers for n in (2, 1000, 1024, 2**20)])",
                "[1, 9, 10, 20]",
            ),
            (
                _TOPOLOGY + "f = receptive_field(logarithmic(), 1000, 1001, 10); "
                "print(all(sum(1000 - d not in s for s in f) == d.bit_count() for d in range(1001)))",
                "True",
            ),
            (
                _TOPOLOGY + "print(all(len(logarithmic().neighbors(t - 1, 0, t)) == (t - 1).bit_length() + 1 for t in "
                "range(2, 999)))",
                "True",
            ),
            (
                _TOPOLOGY + "t = logarithmic() - sliding_window(1); "
                "print([count_paths(t, 1024, m, 1023, 1024 - 2**m) for m in range(1, 8)])",
                "[1, 2, 6, 24, 120, 720, 5040]",
            ),
        ),
    ),
    Claim(
        "A sliding window of w reaches L w tokens after L layers.",
        "Nearly: 1 + L (w - 1)",
        "The window counts the token itself, which is the same one in every layer.",
        (
            (
                _TOPOLOGY + "print([len(f) for f in receptive_field(sliding_window(512), 2**20 - 1, 2**20, 4)])",
                "[1, 512, 1023, 1534, 2045]",
            ),
        ),
    ),
    Claim(
        "Dilated attention reaches exponentially many tokens.",
        "True only if the dilation grows with the layer",
        "Dilation w^l reaches w^L tokens, each by exactly one path; doubling reaches the last 1 + (w - 1)(2^L - "
        "1) without "
        "a gap; a constant dilation d never leaves the residue class mod d.",
        (
            (
                _TOPOLOGY + "t = dilated(3, lambda l: 3**l); "
                "print(len(receptive_field(t, 999, 1000, 6)[-1]), set(path_counts(t, 729, 6, 728)))",
                "729 {1}",
            ),
            (
                _TOPOLOGY
                + "print(receptive_field(dilated(4, lambda l: 2**l), 999, 1000, 8)[-1], 999 - 3 * (2**8 - 1))",
                "{234-999} 234",
            ),
            (
                _TOPOLOGY + "c = coverage(dilated(9, 7), 5000, 1000); print(c.layers, c.never)",
                "None True",
            ),
        ),
    ),
    Claim(
        "Attention to the p-th powers back covers everything in a number of layers that does not depend on length.",
        "True",
        "The number is Waring's g(p): 4 for squares (Lagrange; 7 needs four), 9 for cubes (23 needs nine), 19, "
        "37. Each "
        "token reads about T^(1/p) keys.",
        (
            (
                _TOPOLOGY + "print([coverage(power(p), 50000, 48).layers for p in (2, 3, 4, 5)])",
                "[4, 9, 19, 37]",
            ),
            (
                _TOPOLOGY + "print([len(power(p).neighbors(10**6, 0, 10**6 + 1)) for p in (2, 3, 4, 5)])",
                "[1001, 101, 32, 16]",
            ),
        ),
    ),
    Claim(
        "r random earlier tokens each give full coverage, with high probability, in logarithmically many layers.",
        "False when causal",
        "Token t - 1 reaches token t only by a direct edge, with probability 1 - (1 - r/t)^L. A union with a "
        "small window "
        "repairs it. Printed: how often it happened and the formula; for 4,096 tokens, the layers to coverage "
        "and the pairs "
        "still missing after 48; the same with a window.",
        (
            (
                _TOPOLOGY
                + "r, t, L, s = 4, 60, 6, 2000; hits = sum(any(t - 1 in random(r, seed=k).neighbors(t, l, t + 1) "
                "for l in range(L)) for k in range(s)); print(hits / s, round(1 - (1 - r / t)**L, 4))",
                "0.3325 0.339",
            ),
            (
                _TOPOLOGY + "c = coverage(random(16), 4096, 48); print(c.layers, c.allowed - c.reached[-1])",
                "None 38774",
            ),
            (
                _TOPOLOGY + "print(coverage(random(16) | sliding_window(64), 4096, 48).layers)",
                "3",
            ),
        ),
    ),
    Claim(
        "Global tokens at the front give every pair a two-hop route and full reach.",
        "False when causal, true when hubs read both ways",
        "A causal hub at position g has read only what comes before it, so hubs at the front reach exactly what "
        "sinks do. "
        "Hubs spread through the sequence relay what comes before them.",
        (
            (
                _TOPOLOGY
                + "n, w = 4096, sliding_window(64); hubs = (global_tokens(4) | w).causal(); sinks = sink_tokens(4) "
                "| w; print([len(receptive_field(t, n - 1, n, 8)[-1]) for t in (hubs, sinks, w)])",
                "[509, 509, 505]",
            ),
            (_TOPOLOGY + "print(coverage(global_tokens(4) | sliding_window(64), 4096, 8).layers)", "2"),
            (_TOPOLOGY + "print(receptive_field(star(hub=500).causal(), 999, 1000, 8)[-1])", "{0-500, 999}"),
        ),
    ),
    Claim(
        "There are C(p + q, p) paths over distance p through q layers.",
        "True under one convention",
        "It holds when q + 1 rows each make one displacement. With L attention layers there are C(p + L - 1, "
        "p); with a "
        "separate residual edge, the sum over k of C(L, k) C(p + k - 1, p).",
        (
            (
                _TOPOLOGY
                + "print([count_paths(causal(), 9, 3, 8, 4, c) for c in ('displacement', 'attention', 'residual')])",
                "[35, 15, 33]",
            ),
            (
                "from math import comb; print(comb(4 + 3, 4), comb(4 + 2, 4), sum(comb(3, k) * comb(4 + k - 1, 4) "
                "for k in range(1, 4)))",
                "35 15 33",
            ),
        ),
    ),
    Claim(
        "Paths through windows have a closed form.",
        "True",
        "The sum over k of (-1)^k C(L, k) C(p - k w + L - 1, L - 1).",
        (
            (
                "from math import comb; "
                + _TOPOLOGY
                + "n, L, w = 2048, 12, 64; "
                + "counts = path_counts(sliding_window(w), n, L, n - 1)[::-1]; "
                + "print(all(counts[p] == sum((-1)**k * comb(L, k) * comb(p - k * w + L - 1, L - 1) "
                + "for k in range(L + 1) if p >= k * w) for p in range(n)))",
                "True",
            ),
        ),
    ),
    Claim(
        "Path counts can be kept in floating point.",
        "False",
        "Over a distance of a million, 100 layers have C(10^6 + 99, 99) paths, 1,456 bits; a double keeps 53 "
        "and ends at "
        "2^1024.",
        ((_TOPOLOGY + "print(count_paths(causal(), 10**6 + 1, 100, 10**6, 0).bit_length())", "1456"),),
    ),
    Claim(
        "Concatenating heads and projecting equals summing the heads' own projections.",
        "True, exactly",
        "A product of block matrices; shown on integers, where no rounding hides a difference.",
        (
            (
                _NUMPY + "h = r.integers(-9, 9, (4, 7, 8)); w = r.integers(-9, 9, (4, 8, 5)); "
                "print((np.concatenate(list(h), 1) @ np.concatenate(list(w)) == sum(h @ w)).all())",
                "True",
            ),
        ),
    ),
    Claim(
        "Attention is linear given its pattern, and its only nonlinearity is the softmax.",
        "The first half is exact, the second is not",
        "With the pattern held, doubling the input doubles the output. Without the softmax the map is cubic: "
        "doubling the "
        "input gives eight times the output.",
        (
            (
                _NUMPY + "x, q, k, v, a = (r.integers(-9, 9, s) for s in [(6, 4)] + 3 * [(4, 4)] + [(6, 6)]); "
                "f = lambda x: (x @ q) @ (x @ k).T @ (x @ v); "
                "print((a @ (2 * x) @ v == 2 * (a @ x @ v)).all(), (f(2 * x) == 8 * f(x)).all())",
                "True True",
            ),
        ),
    ),
    Claim(
        "Softmax attention is kernel regression with a Gaussian kernel.",
        "True if and only if all keys have the same norm",
        "Otherwise the Gaussian weights need a factor exp(|k|^2 / 2) for each key. Printed: the largest difference for "
        "equal norms, for unequal norms, and for unequal norms with the factor.",
        (
            (
                _NUMPY
                + "q, k = r.normal(size=(5, 4)), r.normal(size=(9, 4)); u = k / np.linalg.norm(k, axis=1)[:, None]; "
                "soft = lambda k: (e := np.exp(q @ k.T)) / e.sum(1, keepdims=True); "
                "gauss = lambda k, b: (e := b * np.exp(-((q[:, None] - k)**2).sum(-1) / 2)) / e.sum(1, keepdims=True); "
                "print(*[f'{abs(x).max():.0e}' if abs(x).max() > 1e-9 else '0' for x in (soft(u) - gauss(u, 1), "
                "soft(k) - gauss(k, 1), soft(k) - gauss(k, np.exp((k**2).sum(1) / 2)))])",
                "0 3e-01 0",
            ),
        ),
    ),
    Claim(
        "A sparse pattern makes a layer shallower.",
        "Hardly: sparsity buys work, not depth",
        "The critical path of a layer is O(log n + log d). At a million tokens, a window of 512 does a "
        "thousandth of the "
        "work and shortens the chain of operations by less than half. Printed: depth and pairs of a layer.",
        (
            (
                _TOPOLOGY + "print([(a.costs[0].depth, a.costs[0].edges) for t in (causal(), sliding_window(512)) "
                "for a in [analyze(t, 2**20, 1)]])",
                "[(93, 549756338176), (60, 536740096)]",
            ),
        ),
    ),
    Claim(
        "Attention sinks extend the context of a windowed model.",
        "False",
        "They keep its cache usable (arXiv 2309.17453), and add themselves to what is reached: 4 tokens.",
        (
            (
                _TOPOLOGY + "n, w = 2**20, sliding_window(512); "
                "print([len(receptive_field(t, n - 1, n, 48)[-1]) for t in (w, w | sink_tokens(4))])",
                "[24529, 24533]",
            ),
        ),
    ),
    Claim(
        "A window of W means the same everywhere.",
        "False",
        "FlashAttention's (W, 0) reads W + 1 keys; Hugging Face's sliding_window=W reads W, itself included.",
        (
            (
                _TOPOLOGY + "print(from_flash(4096, 0), from_hf(4096))",
                "sliding_window(4097) sliding_window(4096)",
            ),
        ),
    ),
)


def run(code: str) -> str:
    """Run a one-line program of this file and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    return printed.getvalue().strip()


def page() -> str:
    """Write the page of claims, running every command.

    Raises:
        ChorusError: a command printed something else than the verdict rests on.

    """
    lines = [
        "# Claims and exact results",
        "",
        "What is said of attention patterns, and what an exact computation says. Every result below was printed by the",
        "command above it when this page was written, by `chorus topology --claims docs/claims.md`; the tests "
        "hold that",
        "the page is what that command writes.",
        "",
        "| | claim | verdict |",
        "|---|---|---|",
    ]
    lines += [f"| {i} | {c.claim} | {c.verdict} |" for i, c in enumerate(CLAIMS, 1)]
    for i, c in enumerate(CLAIMS, 1):
        lines += ["", f"## {i}. {c.claim}", "", f"**{c.verdict}.** {c.because}"]
        for code, expected in c.shown:
            result = run(code)
            if result != expected:
                raise ChorusError(f"claim {i}: {code!r} printed {result!r}, and the verdict rests on {expected!r}")
            lines += ["", "```console", f'$ python -c "{code}"', result, "```"]
    return "\n".join(lines) + "\n"
