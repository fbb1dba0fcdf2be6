"""A report as one HTML file: no script, no outside request, pictures drawn as SVG in the page."""

from __future__ import annotations

import html
import math

from chorus.audit.conditions import NAMES
from chorus.audit.report import Report
from chorus.audit.reports.tables import effect, figure, remarks, summary, visible
from chorus.audit.rules import BY_ID

STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--paper:#fff;--faint:#6b7280;--line:#d8dbe0;--bar:#3566a8;
--error:#b3261e;--warning:#8a5a00;--note:#3566a8}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ec;--paper:#17191c;--faint:#9aa3af;--line:#3a3f46;--bar:#7aa7e6;
--error:#ff8a80;--warning:#f0b455;--note:#7aa7e6}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;max-width:62rem;
padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
.model,.small{color:var(--faint)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}th{font-weight:600}
.score{font-variant-numeric:tabular-nums;white-space:nowrap}
.pictures{display:flex;flex-wrap:wrap;gap:2rem;align-items:center}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
article{border-left:4px solid var(--line);padding:.1rem 1rem;margin:1rem 0}
article.error{border-color:var(--error)}article.warning{border-color:var(--warning)}article.note{border-color:var(--note)}
.level{font-weight:700;text-transform:uppercase;font-size:.8rem}
.error .level{color:var(--error)}.warning .level{color:var(--warning)}.note .level{color:var(--note)}
code{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.4rem 0}dt{color:var(--faint)}dd{margin:0}
@media(max-width:36rem){.conditions tr{display:grid;grid-template-columns:2rem 1fr max-content;
border-bottom:1px solid var(--line)}.conditions td,.conditions th{border:0}.conditions th:last-child{display:none}
.conditions td:last-child{grid-column:2/4;padding-top:0;color:var(--faint)}}
"""


def escape(text: str) -> str:
    """Text that stays text in HTML."""
    return html.escape(visible(text))


def _radar(report: Report) -> str:
    """Return the seven scores as a radar; an axis without a score is dashed and has no corner."""
    size, radius = 340, 110
    centre = size / 2

    def at(number: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * (number - 1) / 7 - math.pi / 2
        return centre + radius * value * math.cos(angle), centre + radius * value * math.sin(angle)

    parts = [
        f'<svg viewBox="0 0 {size} {size}" width="{size}" role="img" aria-label="the seven conditions as a radar">'
    ]
    for ring in (0.25, 0.5, 0.75, 1.0):
        corners = " ".join("{:.1f},{:.1f}".format(*at(number, ring)) for number in range(1, 8))
        parts.append(f'<polygon points="{corners}" fill="none" stroke="var(--line)"/>')
    for condition in report.conditions:
        x, y = at(condition.number, 1)
        dash = ' stroke-dasharray="3 4"' if condition.score is None else ""
        parts.append(f'<line x1="{centre}" y1="{centre}" x2="{x:.1f}" y2="{y:.1f}" stroke="var(--faint)"{dash}/>')
        x, y = at(condition.number, 1.22)
        label = f"{condition.number}: {'n/a' if condition.score is None else f'{condition.score:.2f}'}"
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" dominant-baseline="middle">{label}</text>')
    scores = {c.number: c.score for c in report.conditions if c.score is not None}
    for number, score in scores.items():
        following = number % 7 + 1
        if following in scores:  # an axis without a score leaves a gap
            (x1, y1), (x2, y2) = at(number, score), at(following, scores[following])
            parts.append(
                f'<path d="M{centre} {centre}L{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}Z" fill="var(--bar)" '
                f'fill-opacity=".2"/><line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                'stroke="var(--bar)" stroke-width="2"/>'
            )
    parts += [
        '<circle cx="{:.1f}" cy="{:.1f}" r="3.5" fill="var(--bar)"/>'.format(*at(*corner)) for corner in scores.items()
    ]
    return "".join([*parts, "</svg>"])


def _curves(report: Report) -> str:
    """Return the attack curves: share removed against the share in the largest component."""
    width, height, left, bottom = 400, 300, 50, 45
    colours = {"degree": "var(--warning)", "adaptive": "var(--error)", "random": "var(--note)"}
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="attack curves">']
    across, up = width - left - 15, height - bottom - 15
    for tick in (0, 0.5, 1):
        x, y = left + across * tick, 15 + up * (1 - tick)
        parts.append(f'<line x1="{left}" y1="{y}" x2="{left + across}" y2="{y}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text x="{x}" y="{15 + up + 16}" text-anchor="middle">{tick:g}</text>')
    for row, (name, curve) in enumerate(report.curves.items()):
        last = max(len(curve) - 1, 1)
        points = " ".join(
            f"{left + across * k / last:.1f},{15 + up * (1 - share):.1f}" for k, share in enumerate(curve)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        y = 28 + 17 * row
        parts.append(f'<line x1="{width - 112}" y1="{y - 4}" x2="{width - 92}" y2="{y - 4}" stroke="{colours[name]}" '
                     f'stroke-width="2"/><text x="{width - 86}" y="{y}">{name}</text>')  # fmt: skip
    parts.append(
        f'<text x="{left + across / 2}" y="{height - 8}" text-anchor="middle">share of elements removed</text>'
    )
    parts.append(
        f'<text transform="translate(13 {15 + up / 2}) rotate(-90)" text-anchor="middle">largest component</text>'
    )
    return "".join([*parts, "</svg>"])


def _findings(report: Report, level: str) -> list[str]:
    parts = []
    for finding in report.at_least(level):
        rule = BY_ID[finding.rule]
        where = f" · line {finding.line}" if finding.line else ""
        parts.append(
            f'<article class="{finding.level}"><p><span class="level">{finding.level}</span> '
            f"{finding.rule} {rule.name}: <strong>{escape(', '.join(finding.elements))}</strong>{where}<br>"
            f"{escape(finding.message)}.</p><dl><dt>value</dt><dd>{figure(finding.value)} (threshold "
            f"{figure(finding.threshold)}): {escape(rule.value)}</dd><dt>check</dt><dd><code>{escape(finding.recheck)}"
            f"</code></dd><dt>remedy</dt><dd>{escape(effect(finding))}</dd></dl></article>"
        )
    return parts or ["<p>None of this severity.</p>"]


def write_html(report: Report, level: str = "note") -> str:
    """Return the report as one HTML page; findings of `level` and worse."""
    subject = report.subject
    rows = []
    for condition in report.conditions:
        parts = ", ".join(f"{name} {figure(value)}" for name, value in condition.parts.items())
        told = condition.reason if condition.score is None else f"{condition.basis} ({parts})"
        z = report.significance.get(condition.number, {}).get("z")
        more = (
            f"<br><span class=small>z {z:+.1f} against random graphs of the same degrees</span>"
            if z is not None
            else ""
        )
        rows.append(f"<tr><td>{condition.number}</td><td>{NAMES[condition.number - 1]}</td>"
                    f'<td class="score">{figure(condition.score)}</td><td>{escape(told)}{more}</td></tr>')  # fmt: skip
    figures = "".join(
        f'<tr><td>{escape(name)}</td><td class="score">{escape(figure(value))}</td></tr>'
        for name, value in report.figures.items()
    )
    body = [
        f"<h1>Audit of {escape(subject.name)}</h1><p class=model>{escape(subject.model)} · seed {report.seed}</p>",
        f"<p><strong>{escape(summary(report))}</strong></p>",
        f'<div class="pictures">{_radar(report)}{_curves(report)}</div>',
        "<h2>Seven conditions</h2><table class=conditions>"
        "<tr><th></th><th>condition</th><th>score</th><th>made of</th></tr>",
        *rows,
        "</table><p class=small>1 is best, 0 worst; n/a means not measurable with what is known, and is never a pass."
        "</p><h2>Findings</h2>",
        *_findings(report, level),
        *(f"<p class=small>{escape(line)}</p>" for line in remarks(report)),
        f"<h2>Figures</h2><table>{figures}</table>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Audit of {escape(subject.name)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )
