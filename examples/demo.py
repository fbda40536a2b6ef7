"""The main job from end to end: assemble, link, build the image, load, run on packets, read the results back.

Two examples do it: one whose two sources are assembled here, and one that clang wrote, half as assembly and half
as an object. Where the kernel does not let this process use bpf(2), all up to the image is done all the same.
"""

from __future__ import annotations

import errno
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bpfas.asm import assemble
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.link.linker import link
from bpfas.loader import KernelError, build_image, load_image
from bpfas.loader.kinds import MapType

if TYPE_CHECKING:
    from bpfas.loader import Collection
    from bpfas.objfile import ObjectFile

HERE = Path(__file__).parent
XDP_DROP, XDP_PASS = 1, 2

ETHERNET = bytes.fromhex("ffffffffffff 020000000001")
IPV4 = ETHERNET + b"\x08\x00" + bytes(46)
ARP = ETHERNET + b"\x08\x06" + bytes(28)
PACKETS = ((IPV4, XDP_PASS), (IPV4, XDP_PASS), (ARP, XDP_PASS))
EXPECTED = {"bytes of 0x0800 (IPv4)": 2 * len(IPV4), "bytes of 0x0806 (ARP)": len(ARP), "packets": len(PACKETS)}


def assembled(path: Path) -> ObjectFile:
    """The object that a source gives."""
    return assemble(path.read_text(), str(path.relative_to(HERE)))


def compiled(path: Path) -> ObjectFile:
    """The object in a file."""
    return read_object(path.read_bytes(), str(path.relative_to(HERE)))


def results(app: Collection) -> dict[str, int]:
    """Run the program on the packets; the values that it left in its maps."""
    program = app.programs["xdp_count"]
    for packet, verdict in PACKETS:
        returned = program.test_run(packet).retval
        if returned != verdict:
            raise BpfasError.of(f"the program returned {returned} for a packet, not {verdict}")
    counts = {
        struct.unpack("=Q", key)[0]: struct.unpack("=Q", value)[0]
        for key, value in app.maps["hashmap_def"].raw.items()
    }
    section = ".data" if ".data" in app.maps else ".bss"
    (packets,) = struct.unpack("=Q", app.maps[section].raw[struct.pack("=I", 0)])
    return {
        "bytes of 0x0800 (IPv4)": counts.get(0x0800, 0),
        "bytes of 0x0806 (ARP)": counts.get(0x0806, 0),
        "packets": packets,
    }


def show(title: str, objects: list[ObjectFile]) -> bool:
    """Do one example and print what came of it; whether that is what was expected."""
    print(f"\n{title}")
    app = link(objects, "app.o")
    image = build_image(app)
    print(f"  linked {' + '.join(obj.name for obj in objects)}")
    for program in image.programs.values():
        print(f"  program {program.name}: {len(program.instructions) // 8} instructions")
    for definition in image.maps.values():
        sizes = f"key {definition.key_size}, value {definition.value_size} bytes"
        print(f"  map {definition.name}: {MapType(definition.map_type).name.lower()}, {sizes}")
    try:
        with load_image(image) as collection:
            found = results(collection)
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            print("\n".join(f"  {line}" for line in str(error).splitlines()))
            return False
        print("  not loaded, so not run; everything before that has been done:")
        print("\n".join(f"    {line}" for line in str(error).splitlines()))
        return True
    for name, expected in EXPECTED.items():
        print(f"  {name}: {found[name]}, expected {expected}{'' if found[name] == expected else '  <- WRONG'}")
    return found == EXPECTED


def main() -> int:
    """Both examples; 0 if the kernel gave the expected values, or could not be asked."""
    own, clangs = HERE / "xdp_count", HERE / "from_clang"
    fine = [
        show("Two sources, assembled here:", [assembled(own / "prog.s"), assembled(own / "length.s")]),
        show(
            "From clang, -S assembled here and -c as it is:",
            [assembled(clangs / "count.s"), compiled(clangs / "length.o")],
        ),
    ]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
