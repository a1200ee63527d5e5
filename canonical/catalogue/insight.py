"""What models say."""

from canonical.catalogue.entry import EventType
from canonical.values import Code, Instant, Revision, Value

__all__ = ["TYPES", "ScorePublished"]


class ScorePublished(Value, frozen=True, kw_only=True):
    """A model scored a target, which is an id that the model's users know.

    `contributions` says how much each feature added to the score. The score no longer counts after `expiry`.
    """

    model: Code
    version: Revision
    target: Code
    score: float
    threshold: float
    contributions: dict[str, float]
    expiry: Instant | None = None


TYPES = (
    EventType(
        suffix="insight.score.published",
        domain="insight",
        key="X",
        model=ScorePublished,
        subject="target",
        summary="A model scored a target.",
    ),
)
