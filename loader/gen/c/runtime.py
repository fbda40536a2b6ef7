"""open(), load() and destroy() of a C header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.loader.gen.c.data import constant
from bpfas.loader.gen.c.skeleton import is_arena
from bpfas.loader.kinds import MapFlag

if TYPE_CHECKING:
    from bpfas.loader.gen.c.skeleton import Part, Skeleton
    from bpfas.loader.spec import MapSpec

_LOAD_ATTEMPTS = 5
"""How often a loader program is run in all while the kernel says EAGAIN."""

_DESTROY = """\
static inline void
${X}__destroy(struct $X *skel)
{
	if (!skel)
		return;
	${X}__detach(skel);
${statements}	skel_free(skel);
}

"""

_OPEN = """\
static inline struct $X *
${X}__open(void)
{
	struct $X *skel;

	skel = (struct $X *)skel_alloc(sizeof(*skel));
	if (!skel)
		return NULL;
	skel->ctx.sz = ${context_size};
${statements}	return skel;
}

"""

_FAILED_OPEN = """\
cleanup:
	${X}__destroy(skel);
	return NULL;
}

"""

_PREPARE = """\
/* memory of size bytes, which begins as contents does and goes on with zeros */
static inline void *
${X}__prepare(const void *contents, size_t contents_size, size_t size)
{
#ifdef __KERNEL__
	void *memory = kvzalloc(size, GFP_KERNEL);

	if (memory)
		memcpy(memory, contents, contents_size);
	return memory;
#else
	return skel_prep_map_data(contents, size, contents_size);
#endif
}

"""

_PREPARED_DATA = """\
	{
${definition}		skel->${pointer} = (__typeof__(skel->${pointer}))${X}__prepare(
			${contents}, ${contents_size}, ${size});
	}
	if (!skel->${pointer})
		goto cleanup;
"""

_GIVEN_DATA = """\
	skel->maps.${map}.initial_value = (__u64)(unsigned long)skel->${pointer};
"""

_FINALIZE = """\
	mapped = skel_finalize_map_data(&skel->maps.${map}.initial_value,
					${size}, ${protection}, skel->maps.${map}.map_fd);
	if (!mapped && ${X}__error(0) != -524) {
		skel->runner.failure = "cannot map data into memory";
		return ${X}__error(-ENOMEM);
	}
	skel->${pointer} = (__typeof__(skel->${pointer}))mapped; /* NULL where it has a lock or the like (ENOTSUPP) */
"""

_ERROR = """\
/* the error of a system call that has failed; inside of the kernel, what it would be */
static inline int
${X}__error(int otherwise)
{
#ifdef __KERNEL__
	return otherwise;
#else
	return errno ? -errno : otherwise;
#endif
}

"""

_LOAD = """\
static inline int
${X}__load_all(struct $X *skel)
{
${data}${instructions}	struct bpf_load_and_run_opts opts = {};
${declarations}	int err, attempts = ${attempts};
	__u32 failed_step;
	void *given;

	if (skel->runner.is_loaded) {
		skel->runner.failure = "it is loaded already";
		return -EALREADY;
	}
	skel->runner.failure = NULL;
${prepared}	opts.ctx = &skel->ctx;
	opts.data_sz = ${data_size};
	opts.data = &data;
	opts.insns_sz = ${instructions_size};
	opts.insns = &insns;
	given = skel_alloc(skel->ctx.sz);
	if (!given)
		return -ENOMEM;
	memcpy(given, skel, skel->ctx.sz);
	do { /* again if a signal has come in between */
		skel->loader.failed_step = 0;
		err = ${run};
		if (err < 0) {
			/* what was said before loading stays said */
			failed_step = skel->loader.failed_step;
			memcpy(skel, given, skel->ctx.sz);
			skel->loader.failed_step = failed_step;
		}
	} while (err == -EAGAIN && --attempts);
	skel_free(given);
	if (err < 0) {
		skel->runner.failure = opts.errstr;
		return err;
	}
	skel->runner.is_loaded = 1;
${loaded}	return 0;
}

static inline int
${X}__load(struct $X *skel)
{
#ifdef __KERNEL__
	return ${X}__load_all(skel);
#else
	int standard_input = -1, err;

	/* a descriptor 0 would be taken for none */
	if (fcntl(0, F_GETFD) < 0)
		standard_input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	err = ${X}__load_all(skel);
	if (!standard_input)
		close(standard_input);
	return err;
#endif
}

static inline struct $X *
${X}__open_and_load(void)
{
	struct $X *skel;

	skel = ${X}__open();
	if (!skel)
		return NULL;
	if (${X}__load(skel)) {
		${X}__destroy(skel);
		return NULL;
	}
	return skel;
}

"""


def destroy_function(skeleton: Skeleton, parts: list[Part]) -> str:
    """The function __destroy."""
    lines = [f"\tskel_closenz(skel->progs.{name}.prog_fd);\n" for name in skeleton.programs.values()]
    lines += [part.destroyed for part in parts]
    for spec in skeleton.specs():
        member = skeleton.maps[spec.name]
        if spec.name in skeleton.pointers and not is_arena(spec):
            pointer = skeleton.pointers[spec.name]
            arguments = f"skel->{pointer}, skel->maps.{member}.initial_value, {spec.value_size}"
            lines.append(f"\tif (skel->{pointer})\n\t\tskel_free_map_data({arguments});\n")
        lines.append(f"\tskel_closenz(skel->maps.{member}.map_fd);\n")
    return skeleton.fill(_DESTROY, statements="".join(lines))


def open_function(skeleton: Skeleton, parts: list[Part]) -> str:
    """The function __open, with what it takes to give memory its first contents."""
    data = "".join(_prepared_data(skeleton, spec) for spec in _mapped(skeleton))
    statements = data + "".join(part.opened for part in parts)
    text = skeleton.fill(_OPEN, context_size=skeleton.program.context.size, statements=statements)
    if "goto cleanup" in statements:
        text = text.removesuffix("}\n\n") + skeleton.fill(_FAILED_OPEN)
    return (skeleton.fill(_PREPARE) if data else "") + text


def load_functions(skeleton: Skeleton, parts: list[Part]) -> str:
    """The functions __load and __open_and_load."""
    program = skeleton.program
    finalized = "".join(_finalized(skeleton, spec) for spec in _mapped(skeleton) if not is_arena(spec))
    text = skeleton.fill(
        _LOAD,
        data=constant("data", program.data, program.byte_order, 1),
        instructions=constant("insns", program.instructions, program.byte_order, 1),
        data_size=len(program.data),
        instructions_size=len(program.instructions),
        attempts=_LOAD_ATTEMPTS,
        declarations="\tvoid *mapped;\n" if finalized else "",
        prepared="".join(part.prepared for part in parts),
        loaded=finalized + "".join(part.loaded for part in parts),
        run=next((part.runner for part in parts if part.runner), "bpf_load_and_run(&opts)"),
    )
    return (skeleton.fill(_ERROR) if f"{skeleton.name}__error(" in text else "") + text


def _mapped(skeleton: Skeleton) -> list[MapSpec]:
    return [spec for spec in skeleton.specs() if spec.name in skeleton.pointers]


def _prepared_data(skeleton: Skeleton, spec: MapSpec) -> str:
    contents = skeleton.contents(spec).rstrip(b"\0")
    size = len(spec.contents or b"") if is_arena(spec) else spec.value_size
    if not size:
        return ""
    definition = constant("contents", contents, skeleton.program.byte_order, 2) + "\n" if contents else ""
    return skeleton.fill(
        _PREPARED_DATA + ("" if is_arena(spec) else _GIVEN_DATA),
        definition=definition,
        pointer=skeleton.pointers[spec.name],
        map=skeleton.maps[spec.name],
        contents="&contents" if contents else '""',
        contents_size=len(contents),
        size=size,
    )


def _finalized(skeleton: Skeleton, spec: MapSpec) -> str:
    is_read_only = spec.frozen or bool(spec.map_flags & MapFlag.RDONLY_PROG)
    return skeleton.fill(
        _FINALIZE,
        map=skeleton.maps[spec.name],
        pointer=skeleton.pointers[spec.name],
        size=spec.value_size,
        protection="PROT_READ" if is_read_only else "PROT_READ | PROT_WRITE",
    )
