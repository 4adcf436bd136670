"""The neighbours that a step talks to, in one frozen bundle. No methods: what is done with them is the steps' business."""

from __future__ import annotations

import dataclasses

from production import clock, layout, lease, room, settings
from production import run as runs
from production.batch import base as batch
from production.catalogue import base as catalogue
from production.outputs import base as outputs
from production.transfer import base as transfer


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """One manager's surroundings."""

    settings: settings.Settings
    layout: layout.Layout
    wanted: runs.Wanted
    lease: lease.Lease
    catalogue: catalogue.Catalogue
    batch: batch.BatchSystem
    porter: transfer.Porter
    room: room.Room
    inspector: outputs.Inspector
    clock: clock.Clock
