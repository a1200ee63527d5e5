"""Units of X12 (element 355) as UN/ECE Rec 20 codes, and back.

The two lists share codes for many units; here are those that differ, or mean something else in Rec 20.
"""

from __future__ import annotations

from typing import Final

__all__ = ["from_rec20", "to_rec20"]

_TO_REC20: Final = {
    "CA": "CS",
    "CF": "FTQ",
    "CI": "INQ",
    "CM": "CMT",
    "CY": "YDQ",
    "DA": "DAY",
    "DM": "DMT",
    "DZ": "DZN",
    "FT": "FOT",
    "GA": "GLL",
    "GR": "GRM",
    "HR": "HUR",
    "IN": "INH",
    "KG": "KGM",
    "KT": "KTM",
    "LB": "LBR",
    "LT": "LTR",
    "MJ": "MIN",
    "ML": "MLT",
    "MM": "MMT",
    "MO": "MON",
    "MR": "MTR",
    "OZ": "ONZ",
    "PC": "H87",
    "PL": "PX",
    "PT": "PTL",
    "QT": "QTL",
    "SF": "FTK",
    "SI": "INK",
    "SM": "MTK",
    "ST": "SET",
    "SY": "YDK",
    "TM": "MIL",
    "TN": "STN",
    "UN": "C62",
    "WK": "WEE",
    "YD": "YRD",
    "YR": "ANN",
}
_FROM_REC20: Final = {rec20: x12 for x12, rec20 in _TO_REC20.items()}
_SHARED: Final = frozenset({"EA", "PR", "BX", "CT", "PK", "RL", "BG", "DR", "CR", "2N", "P1", "4G", "C8"})


def to_rec20(code: str) -> str | None:
    """The Rec 20 code of an X12 unit; None when it is not one of those that differ."""
    return _TO_REC20.get(code)


def from_rec20(code: str) -> str | None:
    """The X12 code of a Rec 20 unit; None when X12 has none that we know."""
    return code if code in _SHARED else _FROM_REC20.get(code)
