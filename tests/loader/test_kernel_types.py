"""What compilers say of types and lines, as the kernel takes it: every function and line of every program."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from bpfas.elf.reader import read_object
from bpfas.loader import syscall
from bpfas.loader.image import build_image
from bpfas.loader.instructions import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader.spec import Image, ProgramSpec

pytestmark = [pytest.mark.kernel, pytest.mark.peer, pytest.mark.usefixtures("no_leaks")]

SOURCE = """
int counter = 3;
static volatile int hidden_count;
const volatile int limit = 7;
int zero;
__attribute__((noinline)) int visible(int x) { return x + counter; }
static __attribute__((noinline)) int own(int x) { hidden_count++; return visible(x) * limit; }
__attribute__((noinline, visibility("hidden"))) int hidden(int *x) { return *x * limit; }
static int each(__u32 i, void *ctx) { int *sum = ctx; *sum += i; return 0; }
SEC("xdp") int first(struct xdp_md *ctx)
{
    int sum = 0;
    bpf_loop(10, each, &sum, 0);
    return (hidden(&sum) + own(sum)) & 1;
}
SEC("tc") int second(struct __sk_buff *ctx) { return own(ctx->len) + zero; }
"""


def read_image(path: str | Path) -> Image:
    with open(path, "rb") as file:
        return build_image(read_object(file.read(), str(path)))


@contextlib.contextmanager
def loaded(image: Image) -> Iterator[dict[str, int]]:
    """The programs of an image whose maps are data maps, loaded with all that the object says of them."""
    with contextlib.ExitStack() as stack:

        def owned(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        assert image.kernel_btf is not None
        btf_fd = owned(syscall.btf_load(image.kernel_btf))
        maps = {}
        for name, spec in image.maps.items():
            sizes = (spec.key_size, spec.value_size, spec.max_entries)
            maps[name] = owned(syscall.map_create(spec.kernel_name, spec.map_type, *sizes, spec.map_flags))
            if spec.contents is not None:
                syscall.map_update_elem(maps[name], bytes(4), spec.contents)
            if spec.frozen:
                syscall.map_freeze(maps[name])
        yield {name: owned(_load(program, image, maps, btf_fd)) for name, program in image.programs.items()}


def _load(program: ProgramSpec, image: Image, maps: dict[str, int], btf_fd: int) -> int:
    code = Code(program.instructions, image.byte_order)
    for reference in program.references:
        code.set_imm(reference.instruction, maps[reference.map_name])
    log = syscall.LogBuffer(1 << 20)
    try:
        return syscall.prog_load(
            syscall.ProgramLoad(
                program.kernel_name,
                program.program_type,
                bytes(code.data),
                program.license,
                expected_attach_type=program.expected_attach_type,
                flags=program.flags,
                btf_fd=btf_fd,
                func_info=program.func_info.tobytes(),
                line_info=program.line_info.tobytes(),
            ),
            log,
        )
    except OSError as error:
        pytest.fail(f"{program.name}: {error}\n{log.text}")


def function_names(program: ProgramSpec, image: Image) -> list[str]:
    assert image.types is not None
    return [image.types.name(type_id) for type_id in program.func_info[1::2]]


def test_functions_and_lines_are_taken(compile_c: Callable[..., str]) -> None:
    image = read_image(compile_c(SOURCE, "-g"))
    first, second = image.programs.values()
    assert function_names(first, image) == ["first", "each", "hidden", "own", "visible"]
    assert function_names(second, image) == ["second", "own", "visible"]
    assert set(first.func_info[::2]) <= set(first.line_info[::4])
    with loaded(image) as fds:
        for name, fd in fds.items():
            info = syscall.prog_info(fd)
            assert info.btf_id, name


def test_a_hidden_function_is_looked_at_where_it_is_called(compile_c: Callable[..., str]) -> None:
    source = """
    __attribute__((noinline, visibility("hidden"))) int hidden(int *x) { return *x; }
    SEC("socket") int prog(void *ctx) { int x = 1; return hidden(&x); }
    """
    with loaded(read_image(compile_c(source, "-g"))):
        pass
    # By itself it would not be safe: the pointer may be null.
    visible = read_image(compile_c(source.replace(', visibility("hidden")', ""), "-g"))
    with pytest.raises(pytest.fail.Exception, match="R1 invalid mem access"), loaded(visible):
        pass


def test_functions_without_types_leave_the_whole_program_without(compile_c: Callable[..., str]) -> None:
    assembly = """
    .text
    .globl answer
    .type answer,@function
    answer: r0 = 42
            exit
    """
    source = f"""
    __asm__(R"({assembly})");
    int answer(void);
    SEC("socket") int prog(void *ctx) {{ return answer(); }}
    SEC("socket") int other(void *ctx) {{ return 1; }}
    """
    image = read_image(compile_c(source, "-g"))
    assert (len(image.programs["prog"].func_info), len(image.programs["other"].func_info)) == (0, 2)
    with loaded(image):
        pass
