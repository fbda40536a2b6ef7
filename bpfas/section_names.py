"""Sections that compilers, linkers and loaders of BPF know by name.

Most are sections of objects. Some are DATASECs of BTF only, lists of what others have to find. What program type a
name stands for is `bpfas.loader.sections`.
"""

from __future__ import annotations

SUBPROGRAM_SECTION = ".text"
"""Functions that programs call and that are no programs themselves."""

MAPS_SECTION = ".maps"
"""Maps that are described by their types."""

OLD_MAPS_SECTION = "maps"
"""Maps that are described by plain structs, which libbpf takes no longer."""

JUMP_TABLES_SECTION = ".jumptables"
"""Where LLVM puts the tables of computed jumps."""

STRUCT_OPS_SECTION = ".struct_ops"
"""Instances of structs of operations; `.struct_ops.link` those that are registered by a link."""

ARENA_SECTION = ".addr_space.1"
"""Global data in an arena."""

LICENSE_SECTION = "license"
VERSION_SECTION = "version"
"""The kernel's version, which old kernels compare for kprobes."""

BTF_SECTION = ".BTF"
BTF_EXT_SECTION = ".BTF.ext"

KSYMS_SECTION = ".ksyms"
"""The DATASEC of what the kernel or its modules have: functions and variables."""

KCONFIG_SECTION = ".kconfig"
"""The DATASEC of what the kernel was configured with."""

EXTERN_SECTION = ".extern"
"""The DATASEC in which older linkers of libbpf list what they leave undefined."""


def is_subprogram_section(name: str) -> bool:
    """Whether functions of sections called `name` are only called: .text, with -ffunction-sections .text.NAME."""
    return name == SUBPROGRAM_SECTION or name.startswith(f"{SUBPROGRAM_SECTION}.")


def is_struct_ops_section(name: str) -> bool:
    """Whether sections called `name` hold instances of structs of operations, `?` in front or not."""
    return name.removeprefix("?").removesuffix(".link") == STRUCT_OPS_SECTION
