"""Files in a folder of this machine or a mounted share. watchdog loads with the first source."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.files.config import FilesConfig
from canonical.exchange.options import FileTarget
from canonical.ports import Sink, Source
from canonical.probing import Step
from canonical.spec import AdapterContext, AdapterSpec, Guarantees, SinkTraits

__all__ = ["SPEC"]


def _source(settings: FilesConfig, context: AdapterContext) -> Source:
    from adapters.files.source import FilesSource

    return FilesSource(settings, context)


def _sink(settings: FilesConfig, context: AdapterContext) -> Sink:
    from adapters.files.sink import files_sink

    return files_sink(settings, context)


def _probe(settings: FilesConfig, context: AdapterContext) -> AsyncIterator[Step]:
    from adapters.files.local import LocalFolder
    from canonical.probing import by_folder

    folder = LocalFolder(settings.path, context.name, stall_s=settings.timeout, makes=())
    return by_folder(folder, str(settings.path), settings.pick_up, context)


SPEC = AdapterSpec(
    kind="files",
    summary="Files in a folder: picked up whole and archived after the commit; delivered by rename",
    config=FilesConfig,
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
  coventry-stock:                       # a source
    kind: files
    plant: coventry
    path: /srv/exchange/coventry/out
    format:
      kind: json
      events:
        - type: inventory.adjusted
          each: payload.rows
          data:
            location: {plant: '"coventry"', storage: item.bin}
            item: item.material
            delta: {value: item.quantity, uom: item.unit}
            reason: {code: '"count"'}
            posted_at: payload.posted_at
    pick_up:
      match: ["stock_*.json"]
      ready: {kind: stable, checks: 3, interval: 2s}   # or done_file, or renamed
  coventry-orders:                      # a sink
    kind: files
    plant: coventry
    path: /srv/exchange/coventry/in
routes:
  orders-to-coventry:
    on: [production.order.released]
    to: {adapter: coventry-orders, name: "{data.order}.json"}
""",
)
