"""Files on an SFTP server: picked up and delivered. paramiko loads with the first source or sink."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.sftp.config import SftpConfig
from canonical.exchange.options import FileTarget
from canonical.ports import Sink, Source
from canonical.probing import Step
from canonical.spec import AdapterContext, AdapterSpec, Guarantees, SinkTraits

__all__ = ["SPEC"]


def _source(settings: SftpConfig, context: AdapterContext) -> Source:
    from adapters.sftp.source import SftpSource

    return SftpSource(settings, context)


def _sink(settings: SftpConfig, context: AdapterContext) -> Sink:
    from adapters.sftp.sink import SftpSink

    return SftpSink(settings, context)


async def _probe(settings: SftpConfig, context: AdapterContext) -> AsyncIterator[Step]:
    from adapters.sftp.remote import RemoteFolder
    from canonical.probing import by_folder

    folder = RemoteFolder(settings, context.name, ())
    await folder.prepare()
    async for step in by_folder(folder, settings.url, settings.pick_up, context):
        yield step


SPEC = AdapterSpec(
    kind="sftp",
    summary="Files on an SFTP server: picked up whole and archived after the commit; uploaded by rename",
    config=SftpConfig,
    source=_source,
    sink=_sink,
    target=FileTarget,
    # A file stays where it is until it is committed, and keeps its id as long as it is not written.
    guarantees=Guarantees(redelivers=True, back_pressure=True, stable_ids=True),
    traits=SinkTraits(
        ordered=True,
        max_batch=100,
        lookup=True,
        forgets="a file that the receiver has taken away already",
    ),
    probe=_probe,
    example="""\
adapters:
  nordstahl-inbox:                      # a source
    kind: sftp
    partner: nordstahl
    url: sftp://edi@sftp.nordstahl.example.com/out
    host_key: ${file:secrets/nordstahl.pub}       # a line of `ssh-keyscan`, or SHA256:…
    key: ${file:secrets/nordstahl-key}            # or password
    format: {kind: edifact}
    pick_up:
      match: ["*.edi"]
      every: 1m
  nordstahl-outbox:                     # a sink
    kind: sftp
    partner: nordstahl
    url: sftp://edi@sftp.nordstahl.example.com/in
    host_key: ${file:secrets/nordstahl.pub}
    key: ${file:secrets/nordstahl-key}
routes:
  orders-to-nordstahl:
    on: [procurement.order.issued]
    to: {adapter: nordstahl-outbox, name: "{data.purchase_order}.json"}
""",
)
