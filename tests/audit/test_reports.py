"""Five formats: the same findings in each, valid where a standard says what valid is, safe with names from outside."""

import dataclasses
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft4Validator

from chorus.audit import RULES, Report, Subject, Suppression, audit, read_graph, write
from chorus.audit.reports import FORMATS
from chorus.audit.rules import LEVELS

Make = Callable[..., Subject]
# The published schema, unchanged, as the npm package @microsoft/jest-sarif 1.0.0-beta.0 ships it (MIT, Microsoft).
SARIF = Draft4Validator(json.loads((Path(__file__).parent / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8")))
HOSTILE = "<script>alert(1)</script>|`x`\u202e]]&amp;\x1b[31m"


@pytest.fixture
def report(make: Make) -> Report:
    """A report with findings of all three levels."""
    star = [(0, leaf) for leaf in range(1, 9)]
    tail = [(1, 9), (9, 10), (10, 11)]
    found = audit(make(12, [*star, (2, 3), (4, 5), (6, 7), *tail]), null_samples=2)
    assert {finding.level for finding in found.findings} == set(LEVELS)
    return found


def fingerprints(report: Report, level: str) -> list[str]:
    return [finding.fingerprint for finding in report.at_least(level)]


@pytest.mark.parametrize("level", LEVELS)
def test_every_format_shows_the_same_findings(report: Report, level: str) -> None:
    wanted = report.at_least(level)
    assert 0 < len(wanted) <= len(report.findings)
    document = json.loads(write(report, "json", level))
    assert [finding["fingerprint"] for finding in document["findings"]] == fingerprints(report, level)
    results = json.loads(write(report, "sarif", level))["runs"][0]["results"]
    assert [result["partialFingerprints"]["chorusAudit/v1"] for result in results] == fingerprints(report, level)
    rules = [finding.rule for finding in wanted]
    assert re.findall(r"^(?:ERROR|WARNING|NOTE) +(AUD\d+)", write(report, "table", level), re.MULTILINE) == rules
    assert re.findall(r"^- \*\*\w+\*\* (AUD\d+)", write(report, "markdown", level), re.MULTILINE) == rules
    assert re.findall(r"</span> (AUD\d+) ", write(report, "html", level)) == rules


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("worst", [*LEVELS, None])
def test_exit_codes_formats_and_levels(report: Report, worst: str | None, form: str) -> None:
    """Every worst severity × threshold × strictness × level shown: the code depends on the first three alone."""
    rank = {None: 0, "note": 1, "warning": 2, "error": 3, "never": 4}
    each = dataclasses.replace(report, findings=tuple(f for f in report.findings if rank[f.level] <= rank[worst]))
    assert max((rank[finding.level] for finding in each.findings), default=0) == rank[worst]
    assert not each.complete  # n/a is no pass: strict says so
    for fail_on, strict, level in itertools.product((*LEVELS, "never"), (False, True), LEVELS):
        code = each.exit_code(None if fail_on == "never" else fail_on, strict=strict)
        assert code == (1 if rank[worst] >= rank[fail_on] else 3 if strict else 0)
        text = write(each, form, level, exit_code=code)
        shown = [finding.rule for finding in each.findings if rank[finding.level] >= rank[level]]
        if form == "sarif":
            (run,) = json.loads(text)["runs"]
            assert run["invocations"][0]["exitCode"] == code
            assert [result["ruleId"] for result in run["results"]] == shown
        elif form == "json":
            assert [finding["rule"] for finding in json.loads(text)["findings"]] == shown
        else:
            marks = {"table": r"^(?:ERROR|WARNING|NOTE) +(AUD\d+)", "markdown": r"^- \*\*\w+\*\* (AUD\d+)"}
            assert re.findall(marks.get(form, r"</span> (AUD\d+) "), text, re.MULTILINE) == shown


def test_sarif_is_what_the_standard_says(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "four in a row.csv"
    path.write_text("source,target\na,b\nb,c\nc,d\n")
    accepted = report.with_baseline(frozenset(fingerprints(report, "error"))).with_suppressions(
        [Suppression("AUD002", "*", "planned")]
    )
    from_file = audit(read_graph(path))
    for each in (report, accepted, from_file):
        log = json.loads(write(each, "sarif", exit_code=1, baseline=each is accepted))
        SARIF.validate(log)
        (run,) = log["runs"]
        names = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert names == [rule.id for rule in RULES]
        assert all(names[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
        told = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
        assert any("condition 2" in text and "n/a" in text for text in told)
    states = [
        result.get("baselineState")
        for result in json.loads(write(accepted, "sarif", baseline=True))["runs"][0]["results"]
    ]
    assert set(states) == {"new", "unchanged"}
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/four%20in%20a%20row.csv")
    assert place["region"]["startLine"] == 2  # `a,b` is what names b first
    assert place["artifactLocation"]["uri"].endswith("/four%20in%20a%20row.csv")


def test_json_has_a_version_and_no_nan(report: Report) -> None:
    document = json.loads(write(report, "json"), parse_constant=lambda name: pytest.fail(name))
    assert document["schema"] == "chorus-audit/1"
    assert set(document) == {
        "schema", "subject", "seed", "complete", "conditions", "minimum", "figures", "attack_curves", "findings",
        "baseline_findings", "suppressed", "not_listed", "skipped",
    }  # fmt: skip
    assert [condition["number"] for condition in document["conditions"]] == list(range(1, 8))
    assert document["conditions"][1]["score"] is None
    assert document["conditions"][1]["reason"]
    assert document["complete"] is False
    finding = document["findings"][0]
    assert set(finding) == {
        "rule", "level", "elements", "value", "threshold", "message", "line", "witness", "recheck", "remedy",
        "fingerprint",
    }  # fmt: skip


class Tags(HTMLParser):
    """All tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def hostile(make: Make) -> Subject:
    subject = make(4, [(0, 1), (1, 2), (2, 3)])
    return Subject(name=HOSTILE, elements=("a", HOSTILE, "c", "-d"), graph=subject.graph)


def test_html_is_one_page_without_requests(report: Report, make: Make) -> None:
    for each in (report, audit(hostile(make))):
        page = Tags()
        page.feed(write(each, "html"))
        assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "a", "form", "base"}
        assert not [pair for pair in page.attributes if pair[0] in ("src", "href", "onload", "onclick", "style")]
        assert "url(" not in "".join(page.text)
        assert "@import" not in "".join(page.text)
        assert any(value.startswith("default-src 'none'") for _, value in page.attributes)


def test_names_from_outside_stay_text(make: Make) -> None:
    report = audit(hostile(make))
    page = Tags()
    page.feed(write(report, "html"))
    assert "<script>alert(1)</script>" in "".join(page.text)  # as text, not as a tag
    for form in ("table", "markdown", "html"):
        text = write(report, form)
        assert "\x1b" not in text, form
        assert "\u202e" not in text, form
    for line in write(report, "markdown").split("\n"):
        if line.startswith("|") and "\\<script" in line:
            assert re.sub(r"\\.", "", line).count("|") == 3
    assert json.loads(write(report, "json"))["findings"][0]["elements"] == [HOSTILE]


def test_scores_that_do_not_exist_are_not_drawn(report: Report) -> None:
    page = write(report, "html")
    measured = sum(condition.score is not None for condition in report.conditions)
    assert page.count("<circle") == measured
    assert page.count("stroke-dasharray") == 7 - measured
    assert ">2: n/a<" in page


@pytest.fixture
def browser() -> str:
    """A headless Chromium; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


def page_requests(flags: list[str], page: Path, log: Path) -> tuple[str, set[str]]:
    """The DOM after loading, and what the page itself (not the browser in the background) asked the network for."""
    words = [*flags, f"--log-net-log={log}", "--dump-dom", page.as_uri()]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=90, check=True).stdout
    events = re.findall(r"site=file://[^}]*\}\",\"url\":\"(https?://[^\"]*)\"", log.read_text(errors="replace"))
    return shown, set(events)


def test_html_in_a_real_browser(report: Report, browser: str, tmp_path: Path) -> None:
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(write(report, "html"))
    flags = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
    ]  # fmt: skip
    looks = [f"--screenshot={picture}", "--window-size=1000,1400"]
    shown, asked = page_requests([*flags, *looks], page, tmp_path / "net.json")
    assert shown.count("<article") == len(report.findings)
    assert shown.count("<svg") == 2
    assert asked == set()
    # The same look at a page that does ask finds it, so the empty set above means something.
    other = tmp_path / "other.html"
    other.write_text('<img src="http://picture.invalid/x.png">')
    assert page_requests(flags, other, tmp_path / "other.json")[1] == {"http://picture.invalid/x.png"}
    night = tmp_path / "night.png"
    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
    subprocess.run(
        [*flags, *dark, f"--screenshot={night}", "--window-size=1000,1400", page.as_uri()],
        capture_output=True, timeout=90, check=True,
    )  # fmt: skip
    from PIL import Image

    for path, paper in ((picture, (255, 255, 255)), (night, (0x17, 0x19, 0x1C))):
        with Image.open(path) as seen:
            colours = seen.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None
        assert max(colours)[1] == paper  # the page's own colours, not the browser's inverted ones
        blue = sum(count for count, (r, g, b) in colours if b > 140 and b > r + 60)
        red = sum(count for count, (r, g, b) in colours if r > 150 and r > g + 80 and r > b + 80)
        assert blue > 300  # the radar and the random curve
        assert red > 300  # the attack curve and the bars of the errors


def test_markdown_and_table_tell_what_is_missing(report: Report) -> None:
    for form in ("table", "markdown", "html"):
        text = write(report, form)
        assert "n/a" in text
        assert "needs activity over time" in text
        assert "not measurable" in text
    assert set(FORMATS) == {"table", "json", "sarif", "markdown", "html"}
