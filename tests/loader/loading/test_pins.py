"""Where maps are pinned: never outside of the directory that was asked for."""

from __future__ import annotations

import pytest

from bpfas.loader.kinds import MapType
from bpfas.loader.loading.options import LoadOptions
from bpfas.loader.loading.pins import map_pin_path, path_in
from bpfas.loader.spec import MapSpec, Pinning


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_names_do_not_lead_elsewhere(name: str) -> None:
    spec = MapSpec(name, "x", MapType.ARRAY, 4, 4, 1, pinning=Pinning.BY_NAME)
    for path in (map_pin_path(spec, LoadOptions(pin_root="/pins")), path_in("/pins", name)):
        assert path.rpartition("/")[0] == "/pins"


def test_a_path_that_was_set_is_taken_as_it_is() -> None:
    spec = MapSpec("x", "x", MapType.ARRAY, 4, 4, 1, pinning=Pinning.BY_NAME, pin_path="/other/place")
    assert map_pin_path(spec, LoadOptions(pin_root="/pins")) == "/other/place"


def test_dots_are_not_for_the_file_system() -> None:
    assert path_in("/pins", ".data.x") == "/pins/_data_x"
