"""The value types that events are made of: codes, quantities, places, identifiers with check digits.

Events keep the codes that their source used. A field that holds such a code says, by its alias below, in
which crosswalk domain it is translated when the journal is read (`canonical.catalogue.code_domain`).
Decimal numbers are text all the way (`DecimalText`), so that none passes through a float.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct
from stdnum import ean
from stdnum.exceptions import ValidationError

__all__ = [
    "CODE_DOMAINS",
    "EQUIPMENT_LEVELS",
    "STOCK_STATUSES",
    "Code",
    "CodeDomain",
    "CustomerCode",
    "Day",
    "DecimalText",
    "DocumentRef",
    "EquipmentCode",
    "EquipmentPath",
    "Gln",
    "Gtin",
    "Instant",
    "Item",
    "ItemCode",
    "Location",
    "Money",
    "PartnerCode",
    "PlantCode",
    "Quantity",
    "Reason",
    "ReasonCode",
    "Revision",
    "Seconds",
    "Sscc",
    "StatusCode",
    "StorageCode",
    "SupplierCode",
    "Text",
    "UnLocode",
    "UomCode",
    "Value",
    "WorkCentreCode",
    "decimal_text",
    "equipment_path",
    "gln",
    "gtin14",
    "sscc",
]

CodeDomain = Literal[
    "customer",
    "equipment",
    "item",
    "location",
    "partner",
    "plant",
    "reason",
    "stock_status",
    "supplier",
    "uom",
    "work_centre",
]
CODE_DOMAINS: Final[tuple[CodeDomain, ...]] = get_args(CodeDomain)

STOCK_STATUSES: Final = ("unrestricted", "inspection", "blocked", "nonconforming", "scrapped")
"""The canonical values of domain `stock_status`; an unknown one is treated as blocked."""

EQUIPMENT_LEVELS: Final = ("enterprise", "site", "area", "line", "cell")
"""The levels of an equipment path, from the top (ISA-95 part 1, equipment hierarchy)."""

_CODE_SIZE: Final = 128
# Python's `$` also matches before a last line feed, JSON Schema's does not: `(?!\n)` makes them agree.
_END: Final = r"$(?!\n)"


def _codes(domain: CodeDomain, title: str) -> Meta:
    """The constraint of a code field, and the crosswalk domain that translates it."""
    return Meta(
        min_length=1,
        max_length=_CODE_SIZE,
        title=title,
        extra={"codes": domain},
        extra_json_schema={"x-codes": domain},
    )


Code = Annotated[str, Meta(min_length=1, max_length=_CODE_SIZE, title="code")]
"""An identifier that no crosswalk translates: an order, a lot, a document, a status of the source's own."""

CustomerCode = Annotated[str, _codes("customer", "customer code")]
EquipmentCode = Annotated[str, _codes("equipment", "equipment code")]
ItemCode = Annotated[str, _codes("item", "item code")]
PartnerCode = Annotated[str, _codes("partner", "partner code")]
PlantCode = Annotated[str, _codes("plant", "plant code")]
ReasonCode = Annotated[str, _codes("reason", "reason code")]
StatusCode = Annotated[str, _codes("stock_status", "stock status")]
StorageCode = Annotated[str, _codes("location", "storage location code")]
SupplierCode = Annotated[str, _codes("supplier", "supplier code")]
WorkCentreCode = Annotated[str, _codes("work_centre", "work centre code")]
UomCode = Annotated[str, _codes("uom", "unit of measure")]
"""A UN/ECE Rec 20 code, or the source's own unit until a crosswalk of domain `uom` translates it."""

Text = str
"""Free text for people."""

Revision = int | str
"""A revision or version: a whole number where the source counts, else its text."""

DecimalText = Annotated[
    str,
    Meta(
        pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?" + _END,
        max_length=64,
        title="decimal number as text",
        examples=["12.50"],
    ),
]
Instant = Annotated[datetime, Meta(tz=True, title="date and time with zone (RFC 3339)")]
Day = Annotated[date, Meta(title="date (RFC 3339 full-date)", examples=["2026-03-31"])]
"""A calendar day in the zone of the plant, or of the partner, that it concerns."""

Seconds = Annotated[
    float, Meta(ge=0, title="duration in seconds", examples=[90], extra_json_schema={"x-unit": "s"})
]
"""A duration in seconds, whole or fractional: durations are measured, so a float does them no harm."""

Gtin = Annotated[
    str, Meta(pattern="^[0-9]{14}" + _END, title="text of 14 digits (GTIN)", examples=["04012345000009"])
]
Gln = Annotated[
    str, Meta(pattern="^[0-9]{13}" + _END, title="text of 13 digits (GLN)", examples=["4012345000009"])
]
Sscc = Annotated[
    str, Meta(pattern="^[0-9]{18}" + _END, title="text of 18 digits (SSCC)", examples=["340123450000000000"])
]
UnLocode = Annotated[str, Meta(pattern="^[A-Z]{2}[A-Z2-9]{3}" + _END, title="UN/LOCODE", examples=["DEHAM"])]

EquipmentPath = Annotated[
    str,
    Meta(
        pattern=r"^[^/+#\s]+(/[^/+#\s]+){0,4}" + _END,
        max_length=512,
        title="equipment path enterprise/site/area/line/cell",
        examples=["acme/aachen/press-shop/line-1/press-3"],
    ),
]
"""The canonical name of a piece of equipment: one to five ISA-95 levels.

A segment has no white space and none of `/ + #`, so that the path is also an MQTT topic.
"""


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An immutable value: refuses fields it does not know, leaves out those at their default.

    Subclasses repeat `frozen=True, kw_only=True`: type checkers and msgspec do not inherit them.
    """


class Quantity(Value, frozen=True, kw_only=True):
    """An amount with its unit; the unit is a UN/ECE Rec 20 code once a crosswalk has been applied."""

    value: DecimalText
    uom: UomCode


class Money(Value, frozen=True, kw_only=True):
    """An amount of money; the currency is an ISO 4217 code."""

    value: DecimalText
    currency: Annotated[
        str, Meta(pattern="^[A-Z]{3}" + _END, title="currency code (ISO 4217)", examples=["EUR"])
    ]


class Reason(Value, frozen=True, kw_only=True):
    """Why something happened: a code that statistics can count, and words where the source has them."""

    code: ReasonCode
    text: Text | None = None


class Item(Value, frozen=True, kw_only=True):
    """A material, part or product by the codes it is known under."""

    item: ItemCode
    plant_item: Code | None = None
    gtin: Gtin | None = None
    revision: Revision | None = None


class Location(Value, frozen=True, kw_only=True):
    """A place where stock lies: a storage location of a plant, down to the bin where that is known."""

    plant: PlantCode
    storage: StorageCode
    bin: Code | None = None


class DocumentRef(Value, frozen=True, kw_only=True):
    """A document of a business system, or one line of it."""

    system: Code
    type: Code
    number: Code
    line: Code | None = None


def decimal_text(value: str | int | Decimal) -> str:
    """The canonical text of a decimal number: no exponent, no plus sign, no superfluous leading zero.

    Digits after the point are kept as they are: 12.50 stays 12.50. Raises ValueError for what is no finite
    decimal number, and TypeError for a float, which has already lost what its source wrote.
    """
    if isinstance(value, bool | float):
        raise TypeError(f"a decimal number comes from text, int or Decimal, not from {type(value).__name__}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is no decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is no finite number")
    return format(number, "f")


def equipment_path(text: str) -> tuple[str, ...]:
    """The levels of an equipment path, top first, as EQUIPMENT_LEVELS names them; raises ValueError."""
    levels = tuple(text.split("/"))
    most = len(EQUIPMENT_LEVELS)
    if len(levels) > most:
        raise ValueError(f"equipment path {text!r} has {len(levels)} levels, at most {most} exist")
    for name, level in zip(EQUIPMENT_LEVELS, levels, strict=False):
        if not level:
            raise ValueError(f"equipment path {text!r} has an empty {name}")
        if any(char in "+#" or char.isspace() for char in level):
            raise ValueError(f"equipment path {text!r}: {name} {level!r} has white space, + or #")
    return levels


def gtin14(text: str) -> str:
    """The GTIN as 14 digits, from a GTIN-8, -12, -13 or -14; spaces and hyphens are ignored.

    Raises ValueError when the length or the check digit is wrong (GS1 General Specifications, mod 10).
    """
    return _checked("GTIN", text, lengths=(8, 12, 13, 14)).zfill(14)


def gln(text: str) -> str:
    """The GLN as 13 digits; raises ValueError when the length or the check digit is wrong."""
    return _checked("GLN", text, lengths=(13,))


def sscc(text: str) -> str:
    """The SSCC as 18 digits, without the application identifier 00 that labels and MAN segments may carry.

    Raises ValueError when the length or the check digit is wrong.
    """
    digits = ean.compact(text).replace("(00)", "00", 1)
    if len(digits) == 20:
        digits = digits.removeprefix("00")
    return _checked("SSCC", digits, lengths=(18,))


def _checked(name: str, text: str, *, lengths: tuple[int, ...]) -> str:
    """The bare digits of a GS1 key whose length, digits and check digit are right."""
    digits = ean.compact(text)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{name} {text!r} has characters other than digits")
    if len(digits) not in lengths:
        wanted = " or ".join(str(length) for length in lengths)
        raise ValueError(f"{name} {text!r} has {len(digits)} digits, not {wanted}")
    if not digits.strip("0"):
        raise ValueError(f"{name} {text!r} is all zeros")
    _check_digit(name, text, digits)
    return digits


def _check_digit(name: str, text: str, digits: str) -> None:
    """Raises ValueError unless the last digit is the mod-10 check digit of those before it."""
    calculate: Callable[[str], str] = ean.calc_check_digit
    try:
        expected = calculate(digits[:-1])
    except ValidationError as error:
        raise ValueError(f"{name} {text!r}: {error}") from error
    if expected != digits[-1]:
        raise ValueError(f"{name} {text!r} has check digit {digits[-1]}, {expected} is right")
