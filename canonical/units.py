"""Units of measure: UN/ECE Rec 20 codes, what they convert into, and how other worlds write them.

Conversion is exact: pint's factors are taken as fractions, and only the result becomes a decimal number, of
34 significant digits at most. Nothing passes through a float, and nothing is rounded that need not be.
"""

from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from typing import Any, Final

from msgspec import Struct

__all__ = [
    "COUNTS",
    "PACKAGES",
    "UNITS",
    "Unit",
    "UnitError",
    "UnitFinding",
    "convert",
    "from_opcua",
    "normalise",
    "symbol",
    "to_opcua",
]


class UnitError(ValueError):
    """Two units that do not convert into each other, or a code that is none."""


class Unit(Struct, frozen=True, kw_only=True):
    """A physical unit: its Rec 20 code, how people write it, what pint calls it.

    `kind` is the quantity that it measures. Units convert within a kind only: torque and energy, or active
    and apparent power, have one dimension and are not the same.
    """

    code: str
    symbol: str
    kind: str
    pint: str


class UnitFinding(Struct, frozen=True, kw_only=True):
    """Something that a unit's code lacks, for the statistics of data quality.

    `code` is `uom_alias` (it was read as another), or `uom_unknown` (we know nothing of it).
    """

    code: str
    detail: str


# kind: code symbol pint-expression; … (Rec 20 codes as in the OPC Foundation's UNECE_to_OPCUA.csv)
_TABLE: Final = """
mass: KGM kg kilogram; GRM g gram; MGM mg milligram; MC µg microgram; HGM hg hectogram; TNE t metric_ton;
    DTN dt decitonne; KTN kt kilotonne; LBR lb pound; ONZ oz ounce; GRN gr grain; APZ tr_oz troy_ounce;
    STI st stone; CWA cwt_(US) US_hundredweight; CWI cwt_(UK) UK_hundredweight; STN ton_(US) US_ton;
    LTN ton_(UK) UK_ton
length: MTR m meter; DMT dm decimeter; CMT cm centimeter; MMT mm millimeter; 4H µm micrometer;
    C45 nm nanometer; KMT km kilometer; KTM km kilometer; INH in inch; FOT ft foot; YRD yd yard;
    SMI mile mile; 77 mil thou; NMI n_mile nautical_mile
area: MTK m² meter**2; DMK dm² decimeter**2; CMK cm² centimeter**2; MMK mm² millimeter**2;
    KMK km² kilometer**2; HAR ha hectare; ARE a are; INK in² inch**2; FTK ft² foot**2; YDK yd² yard**2;
    ACR acre acre
volume: MTQ m³ meter**3; DMQ dm³ decimeter**3; CMQ cm³ centimeter**3; MMQ mm³ millimeter**3; LTR l liter;
    HLT hl hectoliter; DLT dl deciliter; CLT cl centiliter; MLT ml milliliter; 4G µl microliter;
    K6 kl kiloliter; INQ in³ inch**3; FTQ ft³ foot**3; YDQ yd³ yard**3; GLL gal_(US) gallon;
    GLI gal_(UK) imperial_gallon; OZA fl_oz_(US) fluid_ounce; BLL barrel_(US) oil_barrel;
    QTL liq_qt_(US) liquid_quart; PTL liq_pt_(US) liquid_pint
time: SEC s second; MIN min minute; HUR h hour; DAY d day; WEE wk week; MON mo month; ANN y year;
    C26 ms millisecond; B98 µs microsecond; C47 ns nanosecond
temperature: CEL °C degC; KEL K kelvin; FAH °F degF; A48 °R degR
heating rate: H12 °C/h delta_degC/hour; H13 °C/min delta_degC/minute; H14 °C/s delta_degC/second;
    F10 K/h kelvin/hour; F11 K/min kelvin/minute; F12 K/s kelvin/second
pressure: PAL Pa pascal; A97 hPa hectopascal; KPA kPa kilopascal; MPA MPa megapascal; A89 GPa gigapascal;
    BAR bar bar; MBR mbar millibar; PS lbf/in² psi; ATM atm atmosphere; ATT at technical_atmosphere;
    UA Torr torr; C55 N/m² newton/meter**2; C56 N/mm² newton/millimeter**2; HN mm_Hg millimeter_Hg;
    HBA hbar hectobar
force: NEW N newton; B47 kN kilonewton; B73 MN meganewton; C20 mN millinewton; B37 kgf kilogram_force;
    C78 lbf pound_force
torque: NU N·m newton*meter; B48 kN·m kilonewton*meter; D83 mN·m millinewton*meter;
    J72 cN·m centinewton*meter; M92 lbf·ft pound_force*foot; F21 lbf·in pound_force*inch;
    B38 kgf·m kilogram_force*meter
energy: JOU J joule; KJO kJ kilojoule; 3B MJ megajoule; GV GJ gigajoule; WHR W·h watt_hour;
    KWH kW·h kilowatt_hour; MWH MW·h megawatt_hour; GWH GW·h gigawatt_hour; BTU BtuIT Btu_it;
    E14 kcalIT kilocal_it
power: WTT W watt; KWT kW kilowatt; MAW MW megawatt; A90 GW gigawatt; C31 mW milliwatt;
    HJ hp metric_horsepower; 2I BtuIT/h Btu_it/hour
apparent power: D46 V·A volt*ampere; KVA kV·A kilovolt*ampere; MVA MV·A megavolt*ampere
reactive power: D44 var volt*ampere; KVR kvar kilovolt*ampere; MAR Mvar megavolt*ampere
current: AMP A ampere; 4K mA milliampere; B84 µA microampere; B22 kA kiloampere
voltage: VLT V volt; 2Z mV millivolt; D82 µV microvolt; KVT kV kilovolt; B78 MV megavolt
resistance: OHM Ω ohm; E45 mΩ milliohm; B49 kΩ kiloohm; B75 MΩ megaohm
charge: COU C coulomb; AMH A·h ampere*hour; E09 mA·h milliampere*hour
capacitance: FAR F farad; 4O µF microfarad; C41 nF nanofarad; 4T pF picofarad
conductance: SIE S siemens; C27 mS millisiemens; B99 µS microsiemens
conductivity: D10 S/m siemens/meter; H61 mS/cm millisiemens/centimeter; G42 µS/cm microsiemens/centimeter
magnetic flux density: D33 T tesla; C29 mT millitesla; D81 µT microtesla
illuminance: LUX lx lux; KLX klx kilolux
frequency: HTZ Hz hertz; KHZ kHz kilohertz; MHZ MHz megahertz; A86 GHz gigahertz; C97 s⁻¹ 1/second;
    C94 min⁻¹ 1/minute; H10 1/h 1/hour
rotation: RPM r/min revolution/minute; M46 r/min revolution/minute; RPS r/s revolution/second;
    2A rad/s radian/second; E96 °/s degree/second
angle: C81 rad radian; DD ° degree; M44 rev revolution
speed: MTS m/s meter/second; 2X m/min meter/minute; KMH km/h kilometer/hour; C16 mm/s millimeter/second;
    H81 mm/min millimeter/minute; 2M cm/s centimeter/second; FS ft/s foot/second; FR ft/min foot/minute;
    IU in/s inch/second; HM mile/h mile/hour; KNT kn knot
acceleration: MSK m/s² meter/second**2; M41 mm/s² millimeter/second**2; K40 gn standard_gravity
mass flow: KGS kg/s kilogram/second; F31 kg/min kilogram/minute; E93 kg/h kilogram/hour;
    F29 g/s gram/second; F28 g/min gram/minute; F27 g/h gram/hour; E18 t/h metric_ton/hour;
    4U lb/h pound/hour; K78 lb/min pound/minute
volume flow: MQS m³/s meter**3/second; G53 m³/min meter**3/minute; MQH m³/h meter**3/hour;
    G52 m³/d meter**3/day; G51 l/s liter/second; L2 l/min liter/minute; E92 dm³/h decimeter**3/hour;
    LD l/d liter/day; 40 ml/s milliliter/second; 41 ml/min milliliter/minute;
    2J cm³/s centimeter**3/second; 2L ft³/min foot**3/minute; 2K ft³/h foot**3/hour;
    G2 gal_(US)/min gallon/minute; G3 gal_(UK)/min imperial_gallon/minute
density: KMQ kg/m³ kilogram/meter**3; 23 g/cm³ gram/centimeter**3; GL g/l gram/liter;
    B35 kg/l kilogram/liter; M1 mg/l milligram/liter; GP mg/m³ milligram/meter**3;
    GJ g/ml gram/milliliter; D41 t/m³ metric_ton/meter**3
dynamic viscosity: C65 Pa·s pascal*second; C24 mPa·s millipascal*second; 89 P poise; C7 cP centipoise
kinematic viscosity: S4 m²/s meter**2/second; C17 mm²/s millimeter**2/second; 91 St stokes;
    4C cSt centistokes
linear density: KL kg/m kilogram/meter; GF g/m gram/meter; C12 mg/m milligram/meter;
    KW kg/mm kilogram/millimeter
area density: 28 kg/m² kilogram/meter**2; GM g/m² gram/meter**2
amount: C34 mol mole; C18 mmol millimole; B45 kmol kilomole
specific energy: J2 J/kg joule/kilogram; B42 kJ/kg kilojoule/kilogram; JK MJ/kg megajoule/kilogram
ratio: C62 1 dimensionless; P1 % percent; 59 ppm ppm
sound level: 2N dB decibel
acidity: Q30 pH dimensionless
"""

COUNTS: Final[dict[str, str]] = {
    "EA": "each",
    "H87": "pc",
    "NAR": "article",
    "PR": "pair",
    "DZN": "dozen",
    "CEN": "hundred",
    "MIL": "thousand",
    "SET": "set",
}
"""Codes that count things (C62, one, does too): each is its own, unless a steward declares two equal."""

PACKAGES: Final[dict[str, str]] = {
    "BG": "bag",
    "BX": "box",
    "CR": "crate",
    "CS": "case",
    "CT": "carton",
    "DR": "drum",
    "PK": "package",
    "PX": "pallet",
    "RL": "reel",
    "RO": "roll",
    "SA": "sack",
}
"""Codes of UN/ECE Rec 21 that stand where a unit should: how much is in one depends on the item."""

_ALIASES: Final = {"PCE": "H87"}
# Fractions write numbers out: one of a million digits, from a few characters, must not get that far.
_MAGNITUDE_MAX: Final = 300
_UNIT_ID_MAX: Final = 0x7FFFFFFF


def _parsed(table: str) -> dict[str, Unit]:
    """The units of the table, by code; an underscore in a symbol stands for a space."""
    units: dict[str, Unit] = {}
    for paragraph in table.strip().replace("\n    ", " ").splitlines():
        kind, _, rows = paragraph.partition(": ")
        for row in rows.split(";"):
            code, written, name = row.split()
            units[code] = Unit(code=code, symbol=written.replace("_", " "), kind=kind, pint=name)
    return units


UNITS: Final[dict[str, Unit]] = _parsed(_TABLE)
"""The physical units that can be converted, by Rec 20 code."""


def normalise(code: str) -> tuple[str, UnitFinding | None]:
    """The Rec 20 code that a source meant, and a finding when that is not what it wrote.

    EDI's PCE is not in Rec 20 and is read as H87. A code that we do not know comes back as it is: a crosswalk
    may know it.
    """
    bare = code.strip().upper()
    known = _ALIASES.get(bare, bare)
    if known not in UNITS and known not in COUNTS and known not in PACKAGES:
        return code, UnitFinding(code="uom_unknown", detail=f"unit {code!r} is not one that we know")
    if known == code:
        return code, None
    return known, UnitFinding(code="uom_alias", detail=f"unit {code!r} is read as {known}")


def symbol(code: str) -> str:
    """How people write a unit: °C for CEL; the code itself when we do not know it."""
    unit = UNITS.get(code)
    return unit.symbol if unit else COUNTS.get(code) or PACKAGES.get(code) or code


def convert(value: Decimal, from_uom: str, to_uom: str, *, delta: bool = False) -> Decimal:
    """The value in another unit, exact to 34 significant digits; the same code gives the value untouched.

    `delta`: the value is a difference, to which the offset of a temperature scale does not apply. Raises
    UnitError, which names both codes, for units of different kinds, for counts and packages, whose factors
    belong to the item, and for codes that are not in UNITS.
    """
    if from_uom == to_uom:
        return value
    if not value.is_finite() or abs(value.adjusted()) > _MAGNITUDE_MAX:
        raise UnitError(f"{value} {from_uom} is no number to convert to {to_uom}")
    factor, offset = _conversion(from_uom, to_uom)
    exact = Fraction(value) * factor + (0 if delta else offset)
    # A context of its own: the caller's precision and traps must not change what a conversion gives.
    return Context(prec=34).divide(Decimal(exact.numerator), Decimal(exact.denominator))


@cache
def _conversion(from_uom: str, to_uom: str) -> tuple[Fraction, Fraction]:
    """Factor and offset from one unit to another; raises UnitError, which is not cached."""
    source, target = UNITS.get(from_uom), UNITS.get(to_uom)
    if source is None or target is None or source.kind != target.kind:
        raise UnitError(f"{from_uom} does not convert to {to_uom}: {_obstacle(from_uom, to_uom)}")
    zero, one = (_through_pint(Fraction(number), source.pint, target.pint) for number in (0, 1))
    return one - zero, zero


def _obstacle(from_uom: str, to_uom: str) -> str:
    """Why two units do not convert, in words."""
    for code in (from_uom, to_uom):
        if code in PACKAGES:
            return f"{code} is a package ({PACKAGES[code]}), it needs the item's own factor"
        if code not in UNITS and code not in COUNTS:
            return f"{code} is no unit that we know"
    for code in (from_uom, to_uom):
        if code in COUNTS:
            return f"{code} counts things ({COUNTS[code]}), a steward must say what it equals"
    return f"{from_uom} measures {UNITS[from_uom].kind}, {to_uom} measures {UNITS[to_uom].kind}"


def _through_pint(number: Fraction, source: str, target: str) -> Fraction:
    """A number in another of pint's units, exactly."""
    registry = _registry()
    converted: Fraction = registry.convert(number, registry.parse_units(source), registry.parse_units(target))
    return converted


@cache
def _registry() -> Any:
    """pint's units with exact factors; made at the first conversion, since that takes a third of a second."""
    from pint import UnitRegistry

    return UnitRegistry(non_int_type=Fraction)


def from_opcua(unit_id: int) -> str:
    """The Rec 20 code of an OPC UA `unitId`: its ASCII bytes, big-endian (OPC 10000-8, EUInformation).

    Raises UnitError for a number that spells no code, such as -1, a server's word for "no unit".
    """
    if not 0 < unit_id <= _UNIT_ID_MAX:
        raise UnitError(f"OPC UA unitId {unit_id} spells no unit code")
    text = unit_id.to_bytes(4, "big").lstrip(b"\0")
    if not (text.isalnum() and text == text.upper()):
        raise UnitError(f"OPC UA unitId {unit_id} spells no unit code")
    return text.decode("ascii")


def to_opcua(code: str) -> int:
    """The OPC UA `unitId` of a Rec 20 code; raises UnitError unless it has one to three characters."""
    if not (1 <= len(code) <= 3 and code.isascii() and code.isalnum() and code == code.upper()):
        raise UnitError(f"{code!r} is no unit code")
    return int.from_bytes(code.encode("ascii"), "big")
