"""The catalogue: every type of event that Crossplant speaks, one module per domain.

A name of a type is its suffix (`procurement.asn.received`), the suffix with its version, or the full
CloudEvents type (`com.crossplant.procurement.asn.received.v1`); every function here takes any of them and
raises UnknownType for others.
"""

from canonical.catalogue.entry import STABLE, Domain, EventType, Key, Stability
from canonical.catalogue.keys import default_subject, partition_key, subject_fields
from canonical.catalogue.paths import FieldKind, FieldType, code_domain, code_fields, field_type, has_field
from canonical.catalogue.registry import UnknownType, all_types, full_name, get
from canonical.catalogue.schema import event_json_schema, json_schema
from canonical.catalogue.validation import Violation, validate

__all__ = [
    "STABLE",
    "Domain",
    "EventType",
    "FieldKind",
    "FieldType",
    "Key",
    "Stability",
    "UnknownType",
    "Violation",
    "all_types",
    "code_domain",
    "code_fields",
    "default_subject",
    "event_json_schema",
    "field_type",
    "full_name",
    "get",
    "has_field",
    "json_schema",
    "partition_key",
    "subject_fields",
    "validate",
]
