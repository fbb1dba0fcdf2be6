"""Traces of what a node does, for OpenTelemetry: rounds, model calls, commits.

A round is one trace on all nodes, without a header on the wire: the trace's identity is the first 16 bytes of the
round's, and the asker's span is the 8 bytes that follow. The span `round` is the asker's; `propose` and `judge` are
model calls; `commit` lasts from when an entry goes to the disk until it was read back from the log; `append` is one
call of the log's engine, a trace of its own that links to the rounds whose entries it carries. No span holds a
question, an answer, or a member's words.

Needs the extra `otel`; without `[tracing]` in a node's configuration nothing here is imported.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from chorus.mesh.effects import Append, Call, Closed, Committed, Effect, Persist, Stop
from chorus.mesh.entries import AnyPayload, Ask, Membership, Name, Vote, identity, open_record
from chorus.mesh.fold import Fold
from chorus.mesh.member import Answer, Failure, Outcome

PARTING = 2.0  # seconds in which the last spans must be taken


class _Ids(RandomIdGenerator):
    """Random identities, but for the one span that is to have those of its round."""

    def __init__(self) -> None:
        self.ahead: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.ahead[0] if self.ahead else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.ahead[1] if self.ahead else super().generate_span_id()


class Tracing:
    """Turns one node's effects, and what came of them, into spans.

    What is sampled, what the service is called, and what else is said of it follow OpenTelemetry's environment
    variables (`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`). All nodes sample the same rounds
    when they sample by trace identity.

    Args:
        node: the node's name, which becomes `service.instance.id`.
        exporter: where finished spans go, in batches, from a thread of its own.

    """

    def __init__(self, node: str, exporter: SpanExporter) -> None:
        self._ids = _Ids()
        self._exporter = exporter
        resource = Resource.create({"service.instance.id": node})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "chorus"}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("chorus.mesh")
        self._rounds: dict[bytes, Span] = {}
        self._calls: dict[bytes, Span] = {}
        self._commits: dict[bytes, Span] = {}
        self._append: Span | None = None

    def effect(self, effect: Effect, fold: Fold) -> None:
        """Take note of an effect that is about to be carried out."""
        if isinstance(effect, Persist):
            for kind, _, value in effect.writes:
                if kind == "entry":
                    self._said(value, fold)
        elif isinstance(effect, Append):
            self._appends(effect)
        elif isinstance(effect, Committed) and effect.id in self._commits:
            self._read_back(effect)
        elif isinstance(effect, Call):
            self._begins(effect)
        elif isinstance(effect, Stop):
            self.finished(effect.key, Failure("it was given up"))
        elif isinstance(effect, Closed) and effect.round.id in self._rounds:
            span, round_ = self._rounds.pop(effect.round.id), effect.round
            span.set_attribute("chorus.round.outcome", round_.outcome)
            span.set_attribute("chorus.round.proposals", len(round_.candidates))
            if round_.outcome == "undecided":
                span.set_status(Status(StatusCode.ERROR, "the members agreed on no answer"))
            span.end()

    def finished(self, key: bytes, outcome: Outcome) -> None:
        """Take note of what a call brought; only the first word on it counts."""
        span = self._calls.pop(key, None)
        if span is None:
            return
        if isinstance(outcome, Failure):
            span.set_status(Status(StatusCode.ERROR, outcome.reason.split(":")[0]))  # no more: it may quote the model
        elif isinstance(outcome, Answer):
            span.set_attribute("chorus.call.tokens", outcome.tokens)
        else:
            span.set_attribute("chorus.call.score", outcome.score)
            span.set_attribute("chorus.call.approve", outcome.approve)
        span.end()

    def appended(self, unknown: str) -> None:
        """Take note of the log's answer."""
        span, self._append = self._append, None
        if span is not None:
            if unknown:
                span.set_status(Status(StatusCode.ERROR, f"unknown: {unknown}"))
            span.end()

    def close(self) -> None:
        """Send what is finished, and stop; a collector that does not answer is waited for `PARTING` seconds."""
        giving_up = threading.Timer(PARTING, self._exporter.shutdown)  # ends its retries
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()

    def _said(self, record: bytes, fold: Fold) -> None:
        own = identity(record)
        if own in self._commits:  # the disk had refused it, and is tried again
            return
        payload = open_record(record).payload
        if isinstance(payload, Ask):
            self._ids.ahead = _ids_of(own)
            self._rounds[own] = self._tracer.start_span("round", Context(), attributes={"chorus.round": own.hex()})
            self._ids.ahead = None
        attributes = {"chorus.entry": own.hex(), "chorus.entry.kind": type(payload).__name__.lower()}
        round_ = _round_of(own, payload, fold)
        context = Context() if round_ is None else self._within(round_)
        self._commits[own] = self._tracer.start_span("commit", context, attributes=attributes)

    def _read_back(self, committed: Committed) -> None:
        span = self._commits.pop(committed.id)
        span.set_attribute("chorus.entry.place", committed.index)
        if committed.note:
            span.set_attribute("chorus.entry.note", committed.note)
        span.end()

    def _appends(self, append: Append) -> None:
        spans = {identity(record): self._commits.get(identity(record)) for record in append.records}
        self._append = self._tracer.start_span(
            "append",
            Context(),
            SpanKind.CLIENT,
            {
                "chorus.append.entries": len(append.records),
                "chorus.append.bytes": sum(map(len, append.records)),
            },
            [Link(span.get_span_context()) for span in spans.values() if span is not None],
        )

    def _begins(self, call: Call) -> None:
        name = "propose" if call.answer is None else "judge"
        self._calls[call.key] = self._tracer.start_span(name, self._within(call.round), SpanKind.CLIENT)

    def _within(self, round_: bytes) -> Context:
        """Return the context of a round's trace, sampled as the asker's span is, whose identity it names."""
        trace, span = _ids_of(round_)
        decision = self._provider.sampler.should_sample(None, trace, "round").decision
        flags = TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
        asker = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))
        return set_span_in_context(NonRecordingSpan(asker))


def _ids_of(round_: bytes) -> tuple[int, int]:
    return int.from_bytes(round_[:16], "big"), int.from_bytes(round_[16:24], "big")


def _round_of(own: bytes, payload: AnyPayload, fold: Fold) -> bytes | None:
    if isinstance(payload, Ask):
        return own
    if isinstance(payload, Membership | Name):
        return None
    if isinstance(payload, Vote):
        found = fold.candidates.get(payload.proposal)
        return None if found is None else found[0].id
    return payload.round
