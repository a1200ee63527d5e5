"""Rates as text: what is taken, what is refused and with which advice, and back to text."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from canonical.rate import Rate, format_rate, parse_rate


class Model(BaseModel):
    rate: Rate | None = None


@pytest.mark.parametrize(
    ("text", "per_s"),
    [("50/s", 50.0), ("0.5/s", 0.5), ("600/m", 10.0), (" 7200 / h ", 2.0), ("1/h", 1 / 3600)],
)
def test_a_rate_is_a_number_per_unit(text: str, per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (50, "write 50/s if you mean that"),
        ("50", "is not a rate"),
        ("50/d", "write it like 50/s"),
        ("-1/s", "is not a rate"),
        ("0/s", "less than one a day"),
        (True, "is not a rate"),
    ],
)
def test_what_is_no_rate_is_refused_with_advice(wrong: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Model(rate=wrong)


@pytest.mark.parametrize("text", ["50/s", "30/m", "1/h", "2000/s", "7/m"])
def test_a_rate_goes_back_to_the_text_that_it_was(text: str) -> None:
    assert format_rate(parse_rate(text)) == text
    assert Model(rate=text).model_dump(mode="json") == {"rate": text}
