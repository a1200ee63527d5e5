"""What tags and qualifiers mean, in a few words of our own, for people who read an interchange.

No code list: those that purchasing and logistics meet, for EDIFACT (names after the UN directory) and X12.
"""

from __future__ import annotations

from typing import Final

from adapters.edi.interchange import Standard
from adapters.edi.segment import Segment

__all__ = ["meaning"]


def _words(text: str) -> dict[str, str]:
    """``CODE words; CODE words`` as a mapping."""
    pairs = (entry.strip().partition(" ") for entry in " ".join(text.split()).split(";"))
    return {code: words.strip() for code, _, words in pairs if code}


_TAGS: Final[dict[Standard, dict[str, str]]] = {
    "edifact": _words(
        """UNH message header; BGM beginning of message; DTM date or time; PAI payment; ALI additional
        information; IMD item description; FTX free text; LOC place; GIS processing; RFF reference; NAD
        party; CTA contact; COM communication; FII bank; TAX duty or tax; CUX currency; PAT terms of
        payment; PCD percentage; TDT transport; TOD terms of delivery; PAC package; MEA measurement; EQD
        equipment; SEL seal; SCC schedule; PCI marks of packages; GIN goods identity; GIR related
        identities; HAN handling; LIN line item; PIA additional product id; QTY quantity; QVR quantity
        variance; PRI price; MOA amount of money; ALC allowance or charge; RNG range; RTE rate; CPS
        packing level; SGP split of goods; DGS dangerous goods; UNS section; CNT control total; AUT
        authentication; INV inventory movement; STS status; DLM delivery limits; APR additional price;
        DOC document; GEI processing; QLT quality; UCI answer to interchange; UCM answer to message; UCF
        answer to group; UCS segment at fault; UCD element at fault; ERC error; UNT message trailer"""
    ),
    "x12": _words(
        """ST transaction set header; SE transaction set trailer; BEG purchase order; BSN ship notice; BIA
        inventory advice; BAK order acknowledgement; BCH order change; BFR forecast; BSS shipping
        schedule; BIG invoice; BPR payment; BGN beginning; BCT catalogue; CUR currency; REF reference;
        PER contact; FOB delivery terms; ITD terms of sale; DTM date or time; TD1 packages and weight;
        TD3 equipment; TD4 special handling; TD5 carrier; N1 party; N2 more of the name; N3 street; N4
        town; N9 reference; MSG message; MTX text; PO1 line item; LIN item identity; PID description;
        PO4 packing; MEA measurement; SN1 shipped quantity; PRF order reference; MAN marks and numbers;
        PAL pallet; PKG packaging; HL level; SCH schedule; FST forecast; SDP delivery pattern; ATH
        authorisation; SHP shipped or received; QTY quantity; CTP price; SAC allowance or charge; TAX
        tax; TXI tax; AMT amount of money; IT1 invoice line; TDS total; CAD carrier; CTT totals; ISS
        shipped total; UIT unit; ACK line acknowledgement; AK1 answer to group; AK2 answer to set; AK3
        segment at fault; AK4 element at fault; AK5 set's outcome; AK9 group's outcome; TA1 answer to
        interchange; OTI original transaction; TED error; SLN component; CLD load; LDT lead time; RCD
        received quantity; BRA receipt"""
    ),
}

_QUALIFIERS: Final[dict[Standard, dict[str, dict[str, str]]]] = {
    "edifact": {
        "BGM": _words(
            """105 purchase order; 220 order; 221 blanket order; 224 rush order; 230 order change; 231
            order response; 241 delivery schedule; 242 just in time; 35 inventory report; 351 despatch
            advice; 380 invoice; 381 credit note; 632 goods receipt; 312 acknowledgement"""
        ),
        "DTM": _words(
            """2 delivery requested; 4 order; 10 shipment requested; 11 despatch; 17 delivery estimated; 35
            delivered; 37 ship not before; 38 ship not later; 50 goods receipt; 51 cumulative from; 52
            cumulative to; 61 cancel if not delivered by; 63 delivery latest; 64 delivery earliest; 69
            delivery promised; 76 delivery planned; 132 arrival estimated; 137 document; 157 valid from;
            158 horizon from; 159 horizon to; 171 reference; 194 start; 206 end; 364 period; 366 stock"""
        ),
        "NAD": _words(
            """BY buyer; SU supplier; SE seller; DP delivery party; ST ship to; SF ship from; CN consignee;
            CZ consignor; CA carrier; IV invoicee; II issuer of invoice; GY stock keeper; WH warehouse;
            UC ultimate consignee; MF manufacturer; MR message recipient; MS message sender; PE payee;
            PR payer; FW forwarder; DQ freight payer"""
        ),
        "QTY": _words(
            """1 discrete; 3 cumulative; 11 split; 12 despatched; 17 on hand; 21 ordered; 22 unit; 33
            available; 47 invoiced; 48 received; 52 per pack; 59 consumer units; 61 returned; 66
            committed; 70 cumulative received; 78 cumulative scheduled; 79 previous cumulative; 83
            backorder; 113 to be delivered; 119 short shipped; 124 damaged; 145 stock; 156 movement; 192
            free goods; 194 accepted; 195 returned; 196 destroyed; 198 transit"""
        ),
        "RFF": _words(
            """ON order; CO buyer's order; VN supplier's order; CT contract; DQ delivery note; AAK despatch
            advice; AAN delivery schedule; AAU despatch note; AAS transport document; BM bill of lading;
            CN carrier's; CR customer's; IV invoice; LI line; PL price list; SI shipper's; VA VAT; UC
            ultimate customer's; ACE related document; ACW previous message; BC buyer's contract; IT
            internal customer; IA internal supplier"""
        ),
        "LOC": _words(
            "7 delivery; 5 departure; 8 destination; 9 loading; 11 discharge; 18 warehouse; 159 dock"
        ),
        "PRI": _words("AAA net; AAB gross; AAE information; INV invoiced; CAL calculation; CON contract"),
        "MOA": _words(
            """9 due; 38 invoice line; 77 invoice; 79 lines; 86 message total; 124 tax; 125 taxable; 128
            total; 131 charges; 203 line; 204 allowance; 176 taxes; 8 allowance or charge; 23 charge;
            260 allowances"""
        ),
        "PIA": _words("1 additional; 5 this product; 3 substituted by; 4 substitute for"),
        "GIN": _words("BJ SSCC; AW SSCC; BN serial number; BX batch; EE serial number; ML marks"),
        "CNT": _words("1 sum of quantities; 2 lines; 3 line references; 11 packages; 7 weight; 15 volume"),
        "TDT": _words("10 pre-carriage; 12 at departure; 20 main carriage; 30 on-carriage; 25 delivery"),
        "ALC": _words("A allowance; C charge"),
        "SCC": _words("1 firm; 2 manufacture and material; 3 material; 4 forecast; 10 immediate"),
        "UNS": _words("D header ends; S lines end"),
        "CUX": _words("2 reference; 1 charge; 3 target"),
    },
    "x12": {
        "BEG": _words("00 original; 01 cancellation; 04 change; 05 replacement; 06 confirmation"),
        "BSN": _words("00 original; 01 cancellation; 04 change; 05 replacement"),
        "BIA": _words("00 original; 08 status"),
        "DTM": _words(
            """002 delivery requested; 003 invoice; 004 order; 007 effective; 010 ship requested; 011
            shipped; 017 delivery estimated; 035 delivered; 037 ship not before; 038 ship not later; 050
            received; 063 not later; 064 not earlier; 067 delivery scheduled; 071 delivery from; 074
            delivery to; 106 required by; 118 pick-up; 193 from; 194 to; 405 produced; 514 transferred"""
        ),
        "REF": _words(
            """BM bill of lading; CN carrier's; CO customer's order; CR customer's; DP department; IA
            internal vendor; IV invoice; MR merchandise type; OQ order; PK packing list; PO order; SI
            shipper's; VN vendor's order; CT contract; ZZ as agreed; 2I tracking; LI line; IL internal
            order; VR vendor; DK dock; LU location; MB master bill"""
        ),
        "N1": _words(
            """BY buyer; SU supplier; SE seller; ST ship to; SF ship from; BT bill to; RE remit to; VN
            vendor; WH warehouse; CN consignee; CA carrier; MF manufacturer; SH shipper; MI planner; II
            issuer; PE payee; PR payer; BS bill and ship to; Z7 mark for; LW customer; OB ordered by; RI
            remit to"""
        ),
        "QTY": _words(
            """17 on hand; 33 available; 20 unusable; 02 cumulative received; 38 original; 63 on order; 29
            projected; 01 discrete"""
        ),
        "MAN": _words("GM SSCC; CP carrier's; UP UPC; CA case; AA SSCC; SM shipper"),
        "PER": _words(
            "BD buyer; OC order contact; IC information; SU supplier; CN general; DC delivery; AA any"
        ),
        "ATH": _words("FI finished goods; MT material; LB labour and material"),
        "SHP": _words("01 discrete; 02 cumulative"),
    },
}
_LEVELS: Final = _words("S shipment; O order; T tare; P pack; I item; Q subpack; E equipment; D description")


def meaning(standard: Standard, segment: Segment) -> str:
    """What a segment says, as far as its tag and its qualifier tell; empty for a tag that is not known."""
    name = _TAGS[standard].get(segment.tag, "")
    if standard == "x12" and segment.tag == "HL":
        told = _LEVELS.get(segment.text(3), "")
    else:
        told = _QUALIFIERS[standard].get(segment.tag, {}).get(segment.text(1).strip(), "")
    return f"{name}: {told}" if name and told else name
