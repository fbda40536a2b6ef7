"""`bpf-load progs`: the programs that are in the kernel: listed, and dumped with the lines of their source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bpfas.cli import write_output
from bpfas.diag import BpfasError
from bpfas.loader.cli.common import command_parser, print_json, split_action
from bpfas.loader.cli.machine_code import disassembled
from bpfas.loader.cli.messages import DONE, is_colored
from bpfas.loader.cli.pins import pins_by_id
from bpfas.loader.cli.reference import FORMS, open_program
from bpfas.loader.cli.table import table
from bpfas.loader.kernel.kallsyms import read_kallsyms
from bpfas.loader.kinds import program_type_name
from bpfas.loader.runtime.listing import list_programs
from bpfas.loader.runtime.opening import ObjectKind
from bpfas.loader.runtime.program_text import instructions, machine_functions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from bpfas.loader.runtime.program_text import ShownInstruction, SourceLine
    from bpfas.loader.runtime.programs import Program
    from bpfas.loader.syscall import ProgramCode, ProgramInfo

_DESCRIPTION = f"""\
Programs in the kernel. PROGRAM is {FORMS}.

  bpf-load progs [list] [PROGRAM...]    all programs, or these
  bpf-load progs dump PROGRAM           its instructions after verification, with the lines of the source
  bpf-load progs dump --jited PROGRAM   its machine code (as text, where objdump is installed)
"""
_EPILOG = "Exit status: 0 done, 1 refused, 2 there is no such program."

_SOURCE_STYLE, _FUNCTION_STYLE = "36", "1"
"""Of lines of the source and names of functions: cyan, bold (ECMA-48, SGR)."""


def main(name: str, arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    action, rest = split_action(arguments, _ACTIONS, "list")
    parser = command_parser(
        f"{name} [{action}]" if action == "list" else f"{name} {action}", _DESCRIPTION, _EPILOG
    )
    if action == "list":
        parser.add_argument("programs", metavar="PROGRAM", nargs="*", help="which programs (default: all)")
    else:
        parser.add_argument("program", metavar="PROGRAM", help=FORMS)
        parser.add_argument("--jited", action="store_true", help="the machine code")
        parser.add_argument("--opcodes", action="store_true", help="show the bytes of BPF instructions, too")
        parser.add_argument("--output", metavar="FILE", help="write the bytes to a file instead")
    return _ACTIONS[action](parser.parse_intermixed_args(rest))


_COLUMNS = {
    "id": "ID",
    "name": "PROGRAM",
    "type": "TYPE",
    "tag": "TAG",
    "xlated_size": "XLATED",
    "jited_size": "JITED",
    "map_count": "MAPS",
    "loaded_at": "LOADED",
    "pinned": "PINNED",
}


def _list(options: argparse.Namespace) -> int:
    if options.programs:
        infos = []
        for reference in options.programs:
            with open_program(reference) as program:
                infos.append(program.info())
    else:
        infos = list_programs()
    pins = pins_by_id(ObjectKind.PROGRAM)
    rows = [_info_json(info, pins.get(info.id, ())) for info in infos]
    if options.json:
        print_json(rows)
    elif rows:
        print(table(_COLUMNS, [row | {"pinned": ",".join(row["pinned"]) or "-"} for row in rows]))
    return DONE


def _info_json(info: ProgramInfo, pins: Sequence[str]) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "type": program_type_name(info.type),
        "tag": info.tag,
        "xlated_size": info.xlated_size,
        "jited_size": info.jited_size,
        "verified_instructions": info.verified_instructions,
        "map_count": info.map_count,
        "btf_id": info.btf_id,
        "loaded_at": _time_since_boot(info.load_time),
        "uid": info.created_by_uid,
        "run_time_ns": info.run_time_ns,
        "run_count": info.run_count,
        "pinned": list(pins),
    }


def _time_since_boot(nanoseconds: int) -> str:
    """A time of the clock that counts since boot, as ISO 8601 has it, of this place."""
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    boot = datetime.now(UTC) - timedelta(seconds=uptime)
    return (boot + timedelta(microseconds=nanoseconds // 1000)).astimezone().isoformat(timespec="seconds")


def _dump(options: argparse.Namespace) -> int:
    with open_program(options.program) as program:
        code = program.code()
        what = "machine code" if options.jited else "instructions"
        data = code.jited if options.jited else code.xlated
        if not data:
            reason = "the kernel does not show them" if program.info().xlated_size else "it has none"
            if options.jited and not program.info().jited_size:
                reason = "it is interpreted"
            raise BpfasError.of(f"program {program.name} has no {what} to show: {reason}")
        if options.output:
            write_output(options.output, data)
        elif options.jited:
            _dump_machine_code(program, code, options)
        else:
            _dump_instructions(program, code, options)
    return DONE


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"list": _list, "dump": _dump}


def _dump_instructions(program: Program, code: ProgramCode, options: argparse.Namespace) -> None:
    shown = instructions(code, program.types(), read_kallsyms())
    if options.json:
        print_json([_instruction_json(each) for each in shown])
        return
    for each in shown:
        print("\n".join(_instruction_lines(each, options)))


def _instruction_json(shown: ShownInstruction) -> dict[str, object]:
    data: dict[str, object] = {"index": shown.slot, "bytes": shown.data.hex(), "text": shown.text}
    if shown.function:
        data["function"] = shown.function
    if shown.source:
        data["source"] = shown.source._asdict()
    return data


def _instruction_lines(shown: ShownInstruction, options: argparse.Namespace) -> Iterator[str]:
    if shown.function:
        yield _painted(f"{shown.function}:", _FUNCTION_STYLE, options)
    if shown.source:
        yield _source_text(shown.source, options)
    yield f"{shown.slot:5}: {shown.text}"
    if options.opcodes:
        yield f"{'':7}{shown.data.hex(' ')}"


def _dump_machine_code(program: Program, code: ProgramCode, options: argparse.Namespace) -> None:
    functions = machine_functions(code, program.types(), program.name)
    texts = [disassembled(function.data, function.address, function.lines) for function in functions]
    if options.json:
        print_json(
            [
                {
                    "name": function.name,
                    "address": f"{function.address:#x}",
                    "bytes": function.data.hex(),
                    "instructions": [{"address": f"{at:#x}", "text": text} for at, text in lines],
                    "lines": [{"address": f"{at:#x}", **line._asdict()} for at, line in function.lines.items()],
                }
                for function, lines in zip(functions, texts, strict=True)
            ]
        )
        return
    for function, lines in zip(functions, texts, strict=True):
        print(_painted(f"{function.name}: # {function.address:#x}", _FUNCTION_STYLE, options))
        for at, text in lines:
            if at in function.lines:
                print(_source_text(function.lines[at], options))
            print(f"{at - function.address:5x}: {text}")


def _source_text(source: SourceLine, options: argparse.Namespace) -> str:
    return _painted(f"; {source}", _SOURCE_STYLE, options)


def _painted(text: str, style: str, options: argparse.Namespace) -> str:
    return f"\33[{style}m{text}\33[0m" if is_colored(options.color) else text
