"""The account: what is safe and not shown is lost, whatever the order in which things become known."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.ledger import Document, Fact, Ledger, identity
from simulator.moments import Moments, rfc3339
from tests.simulator.fakehub import event

NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


def fact(key: str = "AAC-1", document: Document | None = None, at: datetime = NOON) -> Fact:
    return Fact(
        adapter="mes",
        protocol="rest",
        format="json",
        type="production.order.released",
        key=key,
        at=at,
        documents=(document,) if document else (),
    )


def shown(key: str = "AAC-1") -> dict[str, object]:
    return event("mes", "production.order.released", {"order": key})


def test_a_safe_fact_is_lost_until_the_hub_shows_it() -> None:
    ledger = Ledger()
    ledger.record_sent(fact())
    assert ledger.lost == []
    ledger.record_safe(fact())
    assert [one.key for one in ledger.lost] == ["AAC-1"]
    ledger.record_shown(shown())
    assert ledger.lost == []


def test_a_fact_may_be_shown_before_it_is_known_to_be_safe() -> None:
    ledger = Ledger()
    ledger.record_sent(fact())
    ledger.record_shown(shown())
    ledger.record_safe(fact())
    report = ledger.report()
    assert (report["safe"], report["shown"], report["lost"]) == (1, 1, 0)


def test_the_same_fact_twice_is_a_duplicate_and_a_stranger_is_unexpected() -> None:
    ledger = Ledger()
    ledger.record_sent(fact())
    ledger.record_shown(shown())
    ledger.record_shown(shown())
    ledger.record_shown(shown("AAC-2"))
    ledger.record_shown(event("mes", "masterdata.mapping.unresolved", {"value": "x"}))
    assert (ledger.duplicated, ledger.unexpected) == (1, 1)


def test_a_dead_letter_is_not_lost() -> None:
    ledger = Ledger()
    ledger.record_sent(fact())
    ledger.record_safe(fact())
    ledger.record_excused(fact())
    assert ledger.report()["dead_lettered"] == 1
    assert ledger.lost == []


def test_a_document_is_undelivered_until_somebody_accounts_for_it() -> None:
    document = Document(system="wms", kind="pick-lists", reference="AAC-1")
    ledger = Ledger()
    ledger.record_sent(fact(document=document))
    assert ledger.undelivered == []
    ledger.record_safe(fact(document=document))
    assert ledger.undelivered == [document]
    ledger.record_documents([document, Document(system="erp", kind="other", reference="AAC-1")])
    assert ledger.undelivered == []


def test_only_what_nobody_called_safe_is_forgotten() -> None:
    ledger = Ledger()
    old, safe = fact("AAC-1", at=NOON - timedelta(hours=1)), fact("AAC-2", at=NOON - timedelta(hours=1))
    for one in (old, safe, fact("AAC-3")):
        ledger.record_sent(one)
    ledger.record_safe(safe)
    ledger.forget_unconfirmed(before=NOON)
    ledger.record_shown(shown("AAC-1"))
    assert ledger.unexpected == 1
    assert ledger.lost == [safe]
    ledger.record_shown(shown("AAC-3"))
    assert ledger.shown_total == 1


@given(st.data())
def test_lost_is_what_is_safe_less_what_is_shown(data: st.DataObject) -> None:
    ledger = Ledger()
    safe, seen = set[str](), set[str]()
    for number in range(data.draw(st.integers(0, 12))):
        key = f"AAC-{number}"
        ledger.record_sent(fact(key))
        for step in data.draw(st.permutations(["safe", "shown"])):
            if not data.draw(st.booleans()):
                continue
            if step == "safe":
                ledger.record_safe(fact(key))
                safe.add(key)
            else:
                ledger.record_shown(shown(key))
                seen.add(key)
    assert {one.key for one in ledger.lost} == safe - seen
    assert ledger.report()["lost"] == len(safe - seen)
    assert (ledger.duplicated, ledger.unexpected) == (0, 0)


@pytest.mark.parametrize(
    "written", ["2026-03-29T12:00:00.5Z", "2026-03-29T12:00:00.500000+00:00", "2026-03-29T14:00:00.500+02:00"]
)
def test_times_are_one_key_however_they_are_written(written: str) -> None:
    made = event("brno-floor", "telemetry.measurement.recorded", {"source_time": written})
    assert identity(made) == ("brno-floor", "telemetry.measurement.recorded", "2026-03-29T12:00:00.500Z")


def test_an_event_without_its_key_is_told_apart_and_unexpected() -> None:
    made = event("brno-floor", "inventory.moved", {"at": "noon"}, id="x1")
    assert identity(made) == ("brno-floor", "inventory.moved", "unreadable: x1")
    assert identity(event("brno-floor", "inventory.adjusted", {})) is None


def test_moments_are_given_once_and_never_go_back() -> None:
    clock = iter([NOON, NOON, NOON - timedelta(seconds=5), NOON + timedelta(seconds=1, microseconds=999)])
    moments = Moments(lambda: next(clock))
    given_out = [rfc3339(moments.next()) for _ in range(4)]
    assert given_out == [
        "2026-03-29T12:00:00.000Z",
        "2026-03-29T12:00:00.001Z",
        "2026-03-29T12:00:00.002Z",
        "2026-03-29T12:00:01.000Z",
    ]
