"""The features that the loader adapts to, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.doctor.finding import Finding, Group, Need, State, reason
from bpfas.loader.kernel.features import SINCE, Feature
from bpfas.loader.kernel.probes import probe
from bpfas.loader.kernel.version import release_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def examine_features() -> Iterator[Finding]:
    """Each feature, tried."""
    for feature in Feature:
        found = probe(feature)
        if found.works:
            yield Finding(Group.FEATURES, feature.value, State.WORKS, tried=found.tried, errno=found.errno)
            continue
        why = reason(found.errno, Need(release_text(SINCE[feature])))
        yield Finding(Group.FEATURES, feature.value, State.FAILS, why.cause, why.remedy, found.tried, found.errno)
