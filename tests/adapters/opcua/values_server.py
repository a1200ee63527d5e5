"""asyncua's server with values of every kind, in a process of its own: `python values_server.py PORT`.

Prints `ready` once it listens; ends when its stdin ends.
"""

import asyncio
import math
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from asyncua import Server
from asyncua import ua as library

ua: Any = library  # its types are stricter than what it takes
URI = "urn:test:values"
AT = datetime(2026, 3, 31, 6, 0, 0, 123456, tzinfo=UTC)
T = ua.VariantType

VALUES: dict[str, tuple[Any, Any]] = {
    "boolean": (True, T.Boolean),
    "sbyte": (-5, T.SByte),
    "int16": (-12, T.Int16),
    "int32": (-12, T.Int32),
    "int64": (-(2**63), T.Int64),
    "uint64": (2**64 - 1, T.UInt64),
    "float": (0.5, T.Float),
    "double": (-0.1, T.Double),
    "nan": (math.nan, T.Double),
    "infinity": (math.inf, T.Float),
    "text": ("00042", T.String),
    "empty": ("", T.String),
    "datetime": (AT, T.DateTime),
    "guid": (uuid.UUID("12345678-1234-5678-1234-567812345678"), T.Guid),
    "bytes": (b"\x00\xff", T.ByteString),
    "xml": (ua.XmlElement("<a/>"), T.XmlElement),
    "node": (ua.NodeId("x", 2), T.NodeId),
    "name": (ua.QualifiedName("x", 2), T.QualifiedName),
    "localized": (ua.LocalizedText("Öl", "de"), T.LocalizedText),
    "array": ([1, 2, 3], T.Int32),
    "holes": ([1.0, math.nan], T.Double),
    "none": ([], T.Int32),
    "texts": (["a", "b"], T.String),
    "matrix": ([[1, 2, 3], [4, 5, 6]], T.Int32),
    "cube": ([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], T.Int32),
    "struct": (ua.Range(Low=1.0, High=2.0), T.ExtensionObject),
}


async def main(port: int) -> None:
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/values")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    folder = await server.nodes.objects.add_folder(index, "values")
    for name, (value, kind) in VALUES.items():
        node = await folder.add_variable(ua.NodeId(name, index), name, value, kind)
        data = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=AT)
        await node.write_value(data)
    counter = await folder.add_variable(ua.NodeId("counter", index), "counter", 0, T.Int64)
    async with server:
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        counting = asyncio.create_task(count(counter))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        counting.cancel()


async def count(node: Any) -> None:
    """One more every 20 ms."""
    number = 0
    while True:
        number += 1
        await node.write_value(number, T.Int64)
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
