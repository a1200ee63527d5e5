"""Process instances and the decisions that they wait for."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from canonical.catalogue.entry import EventType
from canonical.values import Code, Instant, Revision, Text, Value

__all__ = ["TYPES", "ApprovalDecided", "ApprovalRequested", "InstanceChanged"]


class InstanceChanged(Value, frozen=True, kw_only=True):
    """A process instance took a step; its id is the subject unless `instance` gives it."""

    workflow: Code
    version: Revision
    step: Code
    status: Code
    error: Text | None = None
    instance: Code | None = None


class ApprovalRequested(Value, frozen=True, kw_only=True):
    """Someone with one of `roles` must decide until `due_at`; silence never approves.

    `alternatives` are what can be chosen from, as the workflow describes them; `score` rates the proposal.
    """

    approval: Code
    action: Code
    roles: tuple[Code, ...]
    due_at: Instant
    alternatives: tuple[dict[str, Any], ...] | None = None
    score: float | None = None


class ApprovalDecided(Value, frozen=True, kw_only=True):
    """Someone decided, and said why in 20 characters at least."""

    approval: Code
    decision: Literal["approved", "rejected"]
    by: Code
    rationale: Annotated[str, Meta(min_length=20, title="rationale")]
    at: Instant
    delegated_from: Code | None = None


TYPES = (
    EventType(
        suffix="workflow.instance.changed",
        domain="workflow",
        key="X",
        model=InstanceChanged,
        subject="instance",
        summary="A process instance took a step.",
    ),
    EventType(
        suffix="workflow.approval.requested",
        domain="workflow",
        key="X",
        model=ApprovalRequested,
        subject="approval",
        summary="A decision is needed.",
    ),
    EventType(
        suffix="workflow.approval.decided",
        domain="workflow",
        key="X",
        model=ApprovalDecided,
        subject="approval",
        summary="A decision was made.",
    ),
)
