"""The steps that load the programs of an Image: their code with everything in its place, looked up, and loaded.

Maps are named by their index in the table of descriptors; CO-RE relocations are left to the kernel, which has done
them since Linux 5.17.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from bpfas.isa import SLOT_SIZE
from bpfas.loader.gen.cells import BTF, jump_table_cell, map_cell, program_cell
from bpfas.loader.gen.loader_program import LOG_ADDRESS, LOG_LEVEL, LOG_SIZE, FactKind
from bpfas.loader.gen.lookups import find_extern, find_program_target
from bpfas.loader.gen.script import (
    Address,
    Call,
    Close,
    Input,
    Item,
    Need,
    PatchCall,
    PatchLoad,
    Require,
    UnlessGiven,
)
from bpfas.loader.instructions import ABSENT_CALL, ABSENT_MAP, CALL, Code, LoadSource
from bpfas.loader.kinds import MapType, ProgramFlag
from bpfas.loader.loading.attach_target import target_form
from bpfas.loader.loading.ksyms import KernelSymbol, write_extern
from bpfas.loader.spec import ReferenceKind
from bpfas.loader.syscall.bpf import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bpfas.loader.gen.layout import Inputs
    from bpfas.loader.gen.script import Cell, Step, Value
    from bpfas.loader.loading.struct_ops import StructOpsMember
    from bpfas.loader.spec import Image, JumpTable, ProgramSpec

_BY_INDEX = {
    ReferenceKind.MAP_FD: LoadSource.MAP_BY_INDEX,
    ReferenceKind.MAP_VALUE: LoadSource.VALUE_BY_INDEX,
}
_FUNC_RECORD, _LINE_RECORD, _CORE_RECORD = 8, 16, 16
"""Bytes of a record of each kind."""

LOG_FIELDS: tuple[tuple[str, Input], ...] = (
    ("log_level", Input(*LOG_LEVEL)),
    ("log_size", Input(*LOG_SIZE)),
    ("log_buf", Input(*LOG_ADDRESS)),
)


class ProgramSteps:
    """The steps for programs.

    `table` is the table of descriptors, `strings` where the kernel's BTF has access strings, `operations` the
    member of the kernel's struct that a program of struct_ops is for, where that is known.
    """

    def __init__(
        self,
        image: Image,
        inputs: Inputs,
        table: Sequence[Cell],
        strings: Mapping[str, int],
        ops_types: Mapping[str, str],
        operations: Mapping[str, StructOpsMember],
    ) -> None:
        self.image = image
        self.inputs = inputs
        self.indexes = {cell.name: index for index, cell in enumerate(table)}
        self.strings = strings
        self.ops_types = ops_types
        """The struct of operations that a program is for, by its name without flavour."""
        self.operations = operations
        self._extern_numbers = {name: number for number, name in enumerate(image.numbered_externs)}

    def code(self, program: ProgramSpec) -> Item:
        """The program's instructions, complete but for what is looked up."""
        image = self.image
        code = Code(program.instructions, image.byte_order)
        numbers = {name: number for number, name in enumerate(image.maps)}
        for instruction, name, kind, _ in program.references:
            index = self.indexes.get(map_cell(name).name)
            if index is None:
                for half in (instruction, instruction + 1):
                    code.put_call(half, ABSENT_MAP + numbers[name])
                continue
            code.set_src(instruction, _BY_INDEX[kind])
            code.set_imm(instruction, index)
        for number, table in enumerate(program.jump_tables):
            for load in table.loads:
                code.set_src(load, LoadSource.VALUE_BY_INDEX)
                code.set_imm(load, self.indexes[jump_table_cell(program.name, number).name])
        for instruction, name in program.externs:
            if find_extern(image.externs[name]) is None:
                write_extern(code, instruction, KernelSymbol(), self._extern_numbers[name])
        return Item(f"instructions of {program.name}", bytes(code.data))

    def load(self, program: ProgramSpec) -> Step:
        """The steps that load one program, unless the context has a number for its descriptor."""
        code = self.code(program)
        steps = [*self._patches(program, code), *self._needs(program)]
        for number, table in enumerate(program.jump_tables):
            steps += self._jump_table(program, number, table)
        steps.append(self._load(program, code))
        steps += [Close(jump_table_cell(program.name, number)) for number in range(len(program.jump_tables))]
        return UnlessGiven(self.inputs.program_fd(program.name), None, tuple(steps))

    def _patches(self, program: ProgramSpec, code: Item) -> Iterator[Step]:
        """What is looked up, into the instructions."""
        places: dict[str, list[int]] = {}
        for instruction, name in program.externs:
            places.setdefault(name, []).append(instruction)
        for name, instructions in places.items():
            extern = self.image.externs[name]
            found = find_extern(extern)
            if found is None:
                continue
            if not extern.is_weak:
                yield Require(f"{extern.source.value} {name} of program {program.name}", found)
            calls = [index for index in instructions if code.data[SLOT_SIZE * index] == CALL]
            loads = [index for index in instructions if code.data[SLOT_SIZE * index] != CALL]
            if calls:
                yield PatchCall(code, tuple(calls), found, ABSENT_CALL + self._extern_numbers[name])
            if loads:
                yield PatchLoad(code, tuple(loads), found)

    def _needs(self, program: ProgramSpec) -> Iterator[Step]:
        target, form = find_program_target(program, self.ops_types), target_form(program)
        if target:
            words = form.words if form else "struct"
            yield Require(f"{words} {program.attach_target or target.name} of program {program.name}", target)
        given = self.inputs.fact(FactKind.TARGET, program.name)
        if given:
            yield Need(f"program whose function {program.name} replaces", given)

    def _jump_table(self, program: ProgramSpec, number: int, table: JumpTable) -> Iterator[Step]:
        """A frozen map of the table's targets (struct bpf_insn_array_value)."""
        cell, subject = jump_table_cell(program.name, number), f"jump table {table.name} of program {program.name}"
        prefix = self.image.byte_order.value
        yield Call(
            subject,
            Command.MAP_CREATE,
            (
                ("map_type", MapType.INSN_ARRAY),
                ("key_size", 4),
                ("value_size", 16),
                ("max_entries", len(table.targets)),
                ("map_name", b".jumptables"),
            ),
            cell,
        )
        for index, target in enumerate(table.targets):
            value = struct.pack(f"{prefix}IIII", target, 0, 0, 0)
            yield Call(
                f"{subject}, number {index}",
                Command.MAP_UPDATE_ELEM,
                (
                    ("map_fd", cell),
                    ("key", Address(Item(f"key {index}", struct.pack(f"{prefix}I", index)))),
                    ("value", Address(Item(f"jump to {target}", value))),
                ),
            )
        yield Call(subject, Command.MAP_FREEZE, (("map_fd", cell),))

    def _load(self, program: ProgramSpec, code: Item) -> Call:
        name = program.name
        fields: dict[str, Value] = {
            "prog_type": program.program_type,
            "insn_cnt": program.instruction_count,
            "insns": Address(code),
            "license": Address(Item(f"license {program.license!r}", program.license + b"\0")),
            **dict(LOG_FIELDS),
            "kern_version": program.kernel_version,
            "prog_flags": program.flags,
            "prog_name": program.kernel_name.encode(),
            "prog_ifindex": program.ifindex,
            "expected_attach_type": program.expected_attach_type,
        }
        if self.image.kernel_btf is not None:
            fields |= self._records(program)
        if target := find_program_target(program, self.ops_types):
            fields |= {"attach_btf_id": target.type_id, "attach_btf_obj_fd": target.owner}
        given, given_type = (self.inputs.fact(kind, name) for kind in (FactKind.TARGET, FactKind.TARGET_TYPE))
        if given and given_type:
            fields |= {"attach_btf_id": given_type, "attach_btf_obj_fd": given}
        member = self.inputs.fact(FactKind.MEMBER_INDEX, name)
        if member:
            fields["expected_attach_type"] = member
        elif name in self.operations:
            fields["expected_attach_type"] = self.operations[name].member_index
        if program.references or program.externs or program.jump_tables:
            fields["fd_array"] = Address(None)
        flags_if = []
        token = self.inputs.fact(FactKind.TOKEN)
        if token:
            fields["prog_token_fd"] = token
            flags_if.append(("prog_flags", token, int(ProgramFlag.TOKEN_FD)))
        return Call(
            f"program {name}",
            Command.PROG_LOAD,
            tuple(fields.items()),
            program_cell(name),
            flags_if=tuple(flags_if),
        )

    def _records(self, program: ProgramSpec) -> dict[str, Value]:
        """The records of functions, lines and CO-RE relocations."""
        fields: dict[str, Value] = {}
        order = self.image.byte_order
        core = [
            word
            for slot, type_id, access, kind in program.core
            for word in (SLOT_SIZE * slot, type_id, self.strings[access], kind)
        ]
        for what, size, words, (data, count, record_size) in (
            ("functions", _FUNC_RECORD, program.func_info, ("func_info", "func_info_cnt", "func_info_rec_size")),
            ("lines", _LINE_RECORD, program.line_info, ("line_info", "line_info_cnt", "line_info_rec_size")),
            ("relocations", _CORE_RECORD, core, ("core_relos", "core_relo_cnt", "core_relo_rec_size")),
        ):
            if words:
                records = struct.pack(f"{order.value}{len(words)}I", *words)
                fields |= {
                    "prog_btf_fd": BTF,
                    data: Address(Item(f"{what} of {program.name}", records)),
                    count: len(records) // size,
                    record_size: size,
                }
        return fields
