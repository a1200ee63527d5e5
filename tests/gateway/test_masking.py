"""No secret and no name of a message gets into the case that is made of it; what is read stays as it was."""

from __future__ import annotations

import json

import pytest

from gateway.masking import masked_attributes, masked_body

ISA = (
    "ISA*03*AUTHCODE99*01*SECRETPASS*ZZ*NORDSTAHL      *ZZ*ACME           "
    "*260302*0715*U*00401*000000042*0*T*>~"
)


def test_json_of_any_depth_and_json_a_line() -> None:
    body = {
        "order": "4711",
        "created_by": "Jan Novák",
        "changedBy": "jn",
        "operators": ["Ada", {"badge": "77"}],
        "vorname": "Jürgen",
        "machine": {"Passwort": "geheim1", "speed": 12},
        "note": "call ada@acme.example",
    }
    lines = "".join(json.dumps(body, ensure_ascii=False) + "\r\n" for _ in range(2))
    masked = masked_body(lines)
    assert masked.count("\r\n") == 2
    assert json.loads(masked.splitlines()[1]) == {
        "order": "4711",
        "created_by": "XXX XXXXX",
        "changedBy": "XX",
        "operators": ["XXX", {"badge": "00"}],
        "vorname": "XXXXXX",
        "machine": {"Passwort": "XXXXXX0", "speed": 12},
        "note": "call XXX@XXXX.XXXXXXX",
    }


@pytest.mark.parametrize(
    ("secret", "kept"),
    [
        ("Bearer abcdefgh12345", "Bearer XXXXXXXX00000"),
        ("Basic dXNlcjpwYXNz", "Basic XXXXXXXXXXXX"),
        ("https://ann:pw@host/x", "https://XXX:XX@host/x"),
        ("GET /x?order=1&token=abc123&n=2", "GET /x?order=1&token=XXX000&n=2"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "XXXXXXXXXXXXXX0XXX0.XXXXXXXXXXXXXXXX0.X0XX"),
    ],
)
def test_proofs_wherever_they_stand(secret: str, kept: str) -> None:
    masked = masked_body(json.dumps({"log": secret}))
    told = json.loads(masked)["log"]
    assert len(told) == len(secret)
    if not secret.startswith("eyJ"):
        assert told == kept
    else:
        assert not any(part in told for part in secret.split("."))


def test_a_private_key_is_not_kept() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
    assert "MIIEvQ" not in masked_body(f"config\n{key}\n")


def test_edifact_by_its_own_separators() -> None:
    body = (
        "UNA:+.? 'UNB+UNOC:3+NORDSTAHL:14+ACME:14+260302:0715+42+PASSWORD1'UNH+1+ORDERS:D:96A:UN'"
        "NAD+BY+4012345000009::9++Acme Werk?+Co:Abt 3+Weg 7+Aachen++52062+DE'CTA+OC+:Ada Lovelace'"
        "COM+ada?:x@acme.example:EM'LIN+1++PUMP:SA'UNT+6+1'UNZ+1+42'"
    )
    masked = masked_body(body)
    assert masked == (
        "UNA:+.? 'UNB+UNOC:3+NORDSTAHL:14+ACME:14+260302:0715+42+XXXXXXXX0'UNH+1+ORDERS:D:96A:UN'"
        "NAD+BY+4012345000009::9++XXXX XXXX?+XX:XXX 0+XXX 0+XXXXXX++00000+DE'CTA+OC+:XXX XXXXXXXX'"
        "COM+XXX?:X@XXXX.XXXXXXX:EM'LIN+1++PUMP:SA'UNT+6+1'UNZ+1+42'"
    )
    other = "UNA|*.! ~UNB*UNOC|3*A*B*260302|0715*42~CTA*OC*|Ada Lovelace~LIN*1~"
    assert masked_body(other) == "UNA|*.! ~UNB*UNOC|3*A*B*260302|0715*42~CTA*OC*|XXX XXXXXXXX~LIN*1~"


def test_x12_by_its_own_separators() -> None:
    body = ISA + "N1*BT*Acme Works*92*4711~N3*Mill Road 7~PER*OC*Ada Lovelace*TE*5551234567~PO1*1*5~"
    masked = masked_body(body)
    head = ISA.replace("AUTHCODE99", "XXXXXXXX00").replace("SECRETPASS", "XXXXXXXXXX")
    tail = "N1*BT*XXXX XXXXX*92*4711~N3*XXXX XXXX 0~PER*OC*XXX XXXXXXXX*TE*0000000000~PO1*1*5~"
    assert masked == head + tail
    piped = (ISA + "PER*OC*Ada Lovelace~").replace("*", "|").replace("~", "\n")
    assert masked_body(piped).endswith("PER|OC|XXX XXXXXXXX\n")
    assert "SECRETPASS" not in masked_body(piped)


def test_xml_elements_within_and_attributes() -> None:
    body = (
        '<?xml version="1.0"?><o:order xmlns:o="urn:x" approvedBy="Ada"><id>4711</id>'
        '<operator role="line"><first>Jan</first><last>Novák</last></operator>'
        "<o:Password>x1</o:Password><line user='jn' no=\"1\"><item>PUMP</item></line></o:order>"
    )
    assert masked_body(body) == (
        '<?xml version="1.0"?><o:order xmlns:o="urn:x" approvedBy="XXX"><id>4711</id>'
        '<operator role="line"><first>XXX</first><last>XXXXX</last></operator>'
        "<o:Password>X0</o:Password><line user='XX' no=\"1\"><item>PUMP</item></line></o:order>"
    )


def test_tables_by_their_headings() -> None:
    body = 'zakázka;obsluha;kusů\r\n4711;"Novák; Jan";12\r\n4712;Ada;7\r\n'
    assert masked_body(body) == 'zakázka;obsluha;kusů\r\n4711;"XXXXX; XXX";12\r\n4712;XXX;7\r\n'
    plain = "order,item\n4711,Ada\n"
    assert masked_body(plain) == plain


def test_what_the_transport_knew() -> None:
    sent = {
        "topic": "a/b",
        "Authorization": "Bearer x",
        "user": "ada",
        "qos": 1,
        "file": "ada@x.example",
    }
    assert masked_attributes(sent) == {"topic": "a/b", "user": "XXX", "qos": 1, "file": "XXX@X.XXXXXXX"}
