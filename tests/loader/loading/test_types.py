"""What compilers say of types and lines, as the kernel takes it: every function and line of every program."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, cast

import pytest

from bpfas.btf.kinds import Kind, Linkage
from bpfas.btf.reader import read_btf
from bpfas.diag import BpfasError
from bpfas.elf.reader import read_object
from bpfas.loader import syscall
from bpfas.loader.errors import VerifierError
from bpfas.loader.image.build import build_image
from bpfas.loader.kernel.features import SINCE, Feature
from bpfas.loader.loading.arg_ctx import with_context_types
from bpfas.loader.loading.btf_sanitize import sanitize
from bpfas.loader.loading.execute import load_image
from tests.loader.kernel_support import Need, kfunc, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bpfas.loader.kernel.kernel import Kernel
    from bpfas.loader.loading.collection import Collection
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
def loaded(image: Image) -> Iterator[Collection]:
    """An image in the kernel, with all that the object says of its programs."""
    with load_image(image) as app:
        assert not [each for each in app.warnings if "BTF" in each.message]
        for name, program in app.programs.items():
            assert bool(program.info().btf_id) == bool(image.programs[name].func_info), name
        yield app


def function_names(program: ProgramSpec, image: Image) -> list[str]:
    assert image.types is not None
    return [image.types.name(type_id) for type_id in program.func_info[1::2]]


def test_functions_and_lines_are_taken(compile_c: Callable[..., str]) -> None:
    image = read_image(compile_c(SOURCE, "-g"))
    first, second = image.programs.values()
    assert function_names(first, image) == ["first", "each", "hidden", "own", "visible"]
    assert function_names(second, image) == ["second", "own", "visible"]
    assert set(first.func_info[::2]) <= set(first.line_info[::4])
    with loaded(image):
        pass


THROWING = """
extern void bpf_throw(__u64 cookie) __ksym;
#define CALLBACK(name) __attribute__((btf_decl_tag("exception_callback:" #name)))
int count;
__attribute__((noinline)) int helper(int x) { count += x; return 17; }
__attribute__((noinline)) int caught(__u64 cookie) { return helper(cookie); }
__attribute__((noinline)) int other(int x) { return x * 3; }
SEC("tc") CALLBACK(caught) int throws(struct __sk_buff *ctx)
{
    if (ctx->mark == 0) bpf_throw(7);
    return other(ctx->len);
}
SEC("tc") int plain(struct __sk_buff *ctx) { return other(ctx->len); }
"""


@needs(Need.EXCEPTIONS)
def test_an_exception_callback_belongs_to_its_program(compile_c: Callable[..., str]) -> None:
    image = read_image(compile_c(THROWING, "-g"))
    throws, plain = image.programs.values()
    assert [part.name for part in throws.parts] == ["throws", "other", "caught", "helper"]
    assert [part.name for part in plain.parts] == ["plain", "other"]
    with loaded(image) as app:
        assert app.programs["throws"].test_run(bytes(64)).retval == 17


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CALLBACK(caught) int", "CALLBACK(cought) int", "did you mean 'caught'?"),
        ("CALLBACK(caught) int", "CALLBACK(caught) CALLBACK(other) int", "names 2 exception callbacks"),
        (")) int caught", ")) static int caught", "has 'caught' for its exception callback, which is no function"),
        ("(noinline)) int caught", '(noinline, visibility("hidden"))) int caught', "program 'throws' is hidden"),
        ("int caught", "int helper2(__u64 c) { return c; } static int caught", "is static"),
    ],
    ids=["missing", "two", "not compiled", "hidden", "static"],
)
def test_what_is_no_exception_callback_is_told(
    old: str, new: str, message: str, compile_c: Callable[..., str]
) -> None:
    source = THROWING.replace(old, new)
    if message == "is static":
        source = source.replace("static int caught", "static __attribute__((noinline, used)) int caught")
    path = compile_c(source, "-g", "-Wno-unused-function")
    with pytest.raises(BpfasError, match=re.escape(message)):
        read_image(path)


@needs(kfunc("bpf_rcu_read_lock"))
def test_names_of_the_kernel_and_its_configuration_are_taken(compile_c: Callable[..., str]) -> None:
    source = """
    extern int CONFIG_HZ __kconfig __attribute__((weak));
    extern int LINUX_KERNEL_VERSION __kconfig;
    extern const int bpf_prog_active __ksym __attribute__((weak));
    extern const void jiffies __ksym __attribute__((weak));
    extern void bpf_rcu_read_lock(void) __ksym;
    extern void bpf_rcu_read_unlock(void) __ksym;
    extern int no_such_function(int, void *) __ksym __attribute__((weak));
    SEC("xdp") int prog(struct xdp_md *ctx)
    {
        bpf_rcu_read_lock();
        bpf_rcu_read_unlock();
        if (no_such_function) no_such_function(1, ctx);
        return CONFIG_HZ + (long)&jiffies + LINUX_KERNEL_VERSION;
    }
    """
    image = read_image(compile_c(source, "-g"))
    types = image.types
    assert types is not None
    assert {name: types.name(extern.type_id) for name, extern in image.externs.items()} == {
        name: name for name in ("bpf_rcu_read_lock", "bpf_rcu_read_unlock", "no_such_function", "jiffies")
    }
    with loaded(image):
        pass


def test_objects_with_types_are_joined(compile_c: Callable[..., str]) -> None:
    main = """
    extern int shared;
    extern int helper(int x);
    struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, int); __type(value, long); }
        numbers SEC(".maps");
    SEC("tc") int prog(struct __sk_buff *ctx)
    {
        int key = 0;
        return helper(ctx->len) + shared + !bpf_map_lookup_elem(&numbers, &key);
    }
    """
    library = """
    int shared = 2;
    static int each(__u32 i, void *ctx) { int *sum = ctx; *sum += i; return 0; }
    int helper(int x) { bpf_loop(4, each, &x, 0); return x + shared; }
    """
    objects = []
    for name, source in (("main", main), ("library", library)):
        with open(compile_c(source, "-g", name=name), "rb") as file:
            objects.append(read_object(file.read(), name))
    image = build_image(objects[0], objects[1:])
    assert function_names(image.programs["prog"], image) == ["prog", "helper", "each"]
    assert list(image.maps) == ["numbers", "library:.data"]
    assert image.types is not None
    data = image.maps["library:.data"]
    assert image.types.name(data.value_type) == ".data"
    assert [(each.name, image.types.name(each.type_id)) for each in data.variables] == [("shared", "int")]
    with loaded(image) as app:
        assert app.programs["prog"].test_run(bytes(64)).retval == 64 + 6 + 2 + 2


ARENA = """
#define __arena __attribute__((address_space(1)))
struct {
    __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 3);
} arena SEC(".maps");
struct element { struct element __arena *next; int value; };
struct element __arena first SEC(".addr_space.1");
struct element __arena *__arena head SEC(".addr_space.1");
int __arena shared SEC(".addr_space.1") = 40;
static __attribute__((noinline)) void push(struct element __arena *element)
{
    element->next = head;
    head = element;
}
SEC("syscall") int prog(void *ctx)
{
    push(&first);
    head->value = 2;
    __asm__ volatile("" : : "r"(&arena)); /* The verifier has to see which arena it is. */
    return shared + first.value;
}
"""


@needs(Need.ARENA)
def test_global_data_lies_in_the_arena(compile_c: Callable[..., str]) -> None:
    image = read_image(compile_c(ARENA, "-g", "-mcpu=v4"))
    assert image.arena == "arena"
    [first, head, shared] = image.maps["arena"].variables
    found = {reference.offset for reference in image.programs["prog"].references if reference.map_name == "arena"}
    assert {head.offset, shared.offset} <= found <= {0, first.offset, first.offset + 8, head.offset, shared.offset}
    with loaded(image) as app:
        assert app.programs["prog"].test_run(ctx=bytes(8)).retval == 42


def test_data_of_an_object_has_its_types_even_if_none_of_its_code_is_used(compile_c: Callable[..., str]) -> None:
    main = 'extern int shared; SEC("xdp") int prog(struct xdp_md *ctx) { return shared; }'
    objects = []
    for name, source in (("main", main), ("library", "int before = 1; int shared = 2;")):
        with open(compile_c(source, "-g", name=name), "rb") as file:
            objects.append(read_object(file.read(), name))
    image = build_image(objects[0], objects[1:])
    with loaded(image) as app:
        assert not app.warnings
        assert app.programs["prog"].test_run(bytes(64)).retval == 2


def test_a_hidden_program_stays_one(compile_c: Callable[..., str]) -> None:
    source = 'SEC("socket") __attribute__((visibility("hidden"))) int prog(void *ctx) { return 0; }'
    image = read_image(compile_c(source, "-g"))
    assert image.kernel_btf is not None
    types = read_btf(image.kernel_btf, image.byte_order, "app")
    assert [types.linkage(function) for function in types.ids_of_kind(Kind.FUNC)] == [Linkage.GLOBAL]


def test_a_hidden_function_is_looked_at_where_it_is_called(compile_c: Callable[..., str]) -> None:
    source = """
    __attribute__((noinline, visibility("hidden"))) int hidden(int *x) { return *x; }
    SEC("socket") int prog(void *ctx) { int x = 1; return hidden(&x); }
    """
    with loaded(read_image(compile_c(source, "-g"))):
        pass
    # By itself it would not be safe: the pointer may be null.
    visible = read_image(compile_c(source.replace(', visibility("hidden")', ""), "-g"))
    with pytest.raises(VerifierError, match="R1 invalid mem access"), loaded(visible):
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


EVERY_KIND = """
#define TAG(text) __attribute__((btf_type_tag(text)))
enum wide { HUGE = 1ULL << 40, NONE = 0 };
enum narrow { BELOW = -1, ABOVE = 1 };
struct all {
    enum wide wide; enum narrow narrow; double number; int TAG("user") *pointer; union { char c; short s; };
};
struct all *keep;
int state __attribute__((btf_decl_tag("tagged"))) = 3;
int own SEC(".data.own");
__attribute__((noinline)) int helper(void *ctx __attribute__((btf_decl_tag("arg:ctx"))), int x)
{
    return state + own + x + !keep;
}
SEC("xdp") int prog(struct xdp_md *ctx) { return helper(ctx, ctx->ingress_ifindex); }
SEC("tc") int other(struct __sk_buff *ctx) { return helper(ctx, ctx->len); }
"""
AGES = sorted({SINCE[feature] for feature in Feature if feature.name.startswith(("BTF", "ARG"))})


@pytest.mark.parametrize("version", AGES, ids=lambda version: f"{version >> 16}.{version >> 8 & 255}")
def test_types_for_older_kernels_are_taken(version: int, compile_c: Callable[..., str]) -> None:
    """This kernel takes what older ones take, if not the other way round."""
    image = with_context_types(read_image(compile_c(EVERY_KIND, "-g", "-Wno-unused-function")))
    kernel = KernelBefore(version)
    assert image.kernel_btf is not None
    data = sanitize(image.kernel_btf, cast("Kernel", kernel))
    if kernel.has(Feature.BTF_FUNC):
        with loaded(image.with_parts(kernel_btf=data)):
            pass
    else:
        os.close(syscall.btf_load(data))


class KernelBefore:
    """A kernel of the time before a release."""

    def __init__(self, version: int) -> None:
        self.version = version

    def has(self, feature: Feature) -> bool:
        return SINCE[feature] < self.version


def test_tagged_contexts_are_taken_by_their_types(compile_c: Callable[..., str]) -> None:
    """The verifier believes the type's name where there is no tag."""
    image = with_context_types(read_image(compile_c(EVERY_KIND, "-g")))
    assert image.kernel_btf is not None
    data = sanitize(image.kernel_btf, cast("Kernel", KernelBefore(SINCE[Feature.BTF_DECL_TAG])))
    with loaded(image.with_parts(kernel_btf=data)):
        pass
    untouched = read_image(compile_c(EVERY_KIND.replace('btf_decl_tag("arg:ctx")', "unused"), "-g"))
    with pytest.raises(VerifierError, match="arg#0"), loaded(untouched):
        pass
