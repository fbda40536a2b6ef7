"""The maps of an Image as one kernel is to have them: sizes for the machine, `.kconfig` filled, room checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.kernel.features import Feature
from bpfas.loader.kinds import RING_BUFFER_MAP_TYPES, MapType
from bpfas.loader.loading.plan import MapPlan
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bpfas.diag import Diagnostics
    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.loading.struct_ops import StructOpsValue
    from bpfas.loader.spec import Image, MapSpec, Slot

_VERSION_OF_GLOBAL_DATA = 5 << 16 | 2 << 8
"""From this version of Linux on nobody has to try whether there is global data."""

_NO_VALUE_BY_ADDRESS = "this kernel has no global data (Linux before 5.2), so the map is left out"


def plan_maps(
    image: Image,
    programs: Collection[str],
    kernel: Kernel,
    options: LoadOptions,
    struct_ops: Mapping[str, StructOpsValue],
    diagnostics: Diagnostics,
) -> dict[str, MapPlan]:
    """The maps that are created, by name; `programs` are the names of those that are loaded.

    What is wrong goes to `diagnostics`.
    """
    has_global_data = kernel.version >= _VERSION_OF_GLOBAL_DATA or kernel.has(Feature.GLOBAL_DATA)
    maps = {}
    for name, spec in image.maps.items():
        if not spec.autocreate:
            continue
        if spec.section and not has_global_data:
            diagnostics.warning(_NO_VALUE_BY_ADDRESS, f"{image.name}:({spec.section})")
            continue
        if spec.section == KCONFIG_SECTION:
            from bpfas.loader.kernel.kconfig import kconfig_contents

            contents = kconfig_contents(
                image.kconfig,
                spec.value_size,
                kernel,
                options.kconfig,
                diagnostics,
                order=image.byte_order,
            )
            spec = spec._replace(contents=contents)
        value = struct_ops.get(name)
        if value:
            # Elements are the kernel's struct, not the object's.
            spec = spec._replace(value_size=value.value_size, value_type=0)
        spec = _for_machine(spec, kernel)
        check_room(spec, kernel, image.name, diagnostics)
        if spec.exclusive_program and spec.exclusive_program not in programs:
            message = f"map '{name}' is exclusive to program '{spec.exclusive_program}', which is not loaded"
            diagnostics.error(
                message, image.name, ("have it loaded (autoload), or the map not created (autocreate)",)
            )
        maps[name] = MapPlan(spec, value)
    return maps


def check_room(spec: MapSpec, kernel: Kernel, at: str, diagnostics: Diagnostics) -> None:
    """Whether a map has room for what it is to be filled with."""
    entries, subject = spec.max_entries, f"map '{spec.name}' has {spec.max_entries}"
    if spec.map_type == MapType.ARENA and spec.contents:
        pages = -(-len(spec.contents) // kernel.page_size)
        if pages > entries:
            message = f"{subject} pages of {kernel.page_size} bytes, but the data in it takes {pages}"
            diagnostics.error(message, at, (f"give it max_entries of {pages} at least",))
    elif spec.map_type == MapType.HASH_OF_MAPS:
        if len(spec.slots) > entries:
            message = f"{subject} entries, but {len(spec.slots)} maps are put into it"
            diagnostics.error(message, at, (f"give it max_entries of {len(spec.slots)} at least",))
    elif spec.slots and (last := max(spec.slots, key=_index_of)).index >= entries:
        message = f"{subject} entries, but '{last.name}' is put into it as number {last.index}"
        diagnostics.error(message, at, (f"give it max_entries of {last.index + 1} at least",))


def _index_of(slot: Slot) -> int:
    return slot.index


def _for_machine(spec: MapSpec, kernel: Kernel) -> MapSpec:
    """`spec` with what depends on the machine: its entries, and where an arena has its data."""
    spec = with_entries(spec, kernel)
    if spec.map_type == MapType.ARENA and spec.contents and kernel.has(Feature.LDIMM64_FULL_RANGE_OFF):
        # At the end, so that the program's own allocations begin where the arena does.
        pages = -(-len(spec.contents) // kernel.page_size)
        spec = spec._replace(data_offset=max(0, spec.max_entries - pages) * kernel.page_size)
    return spec


def with_entries(spec: MapSpec, kernel: Kernel) -> MapSpec:
    """`spec` with the entries that depend on the machine: those of ring buffers, and one for each CPU."""
    inner = spec.inner and with_entries(spec.inner, kernel)
    entries = spec.max_entries
    if spec.map_type in RING_BUFFER_MAP_TYPES:
        # A power of two, and whole pages.
        entries = max(kernel.page_size, 1 << (entries - 1).bit_length()) if entries else 0
    elif spec.map_type == MapType.PERF_EVENT_ARRAY and not entries:
        entries = kernel.possible_cpus
    return spec._replace(max_entries=entries, inner=inner)
