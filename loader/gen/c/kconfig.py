"""The map `.kconfig` in a C header: filled by open() with what the running kernel is, changeable before load().

The rules are those of `bpfas.loader.kernel.kconfig`: what the text of options says comes first, then
/boot/config-RELEASE, else /proc/config.gz. These are unpacked by zlib, which programs with such headers are linked
with (-lz), if there are variables that are options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfas.diag import BpfasError
from bpfas.loader.gen.c.data import quoted
from bpfas.loader.gen.c.files import READ_FILE, READ_PACKED_FILE
from bpfas.loader.gen.c.skeleton import Part
from bpfas.loader.gen.script import Input, Need
from bpfas.loader.spec import KconfigKind
from bpfas.section_names import KCONFIG_SECTION

if TYPE_CHECKING:
    from collections.abc import Collection

    from bpfas.loader.gen.c.skeleton import Skeleton
    from bpfas.loader.spec import KconfigVariable, MapSpec

_VIRTUAL = {"LINUX_KERNEL_VERSION": 1, "LINUX_HAS_BPF_COOKIE": 2, "LINUX_HAS_SYSCALL_WRAPPER": 3}
"""What is no option, but known of the kernel; the numbers are those in the text below."""
_UNKNOWN_FACT = 255
_FOR_OPTIONS = ("unistd.h", "zlib.h")
_KINDS = {
    KconfigKind.BOOL: 0,
    KconfigKind.CHAR: 1,
    KconfigKind.INTEGER: 2,
    KconfigKind.TRISTATE: 3,
    KconfigKind.STRING: 4,
}

_SHARED = """\
#ifndef BPFAS_SKEL_KCONFIG
#define BPFAS_SKEL_KCONFIG
enum bpfas_skel_kconfig_kind {
	BPFAS_SKEL_KCONFIG_BOOL,
	BPFAS_SKEL_KCONFIG_CHAR,
	BPFAS_SKEL_KCONFIG_INTEGER,
	BPFAS_SKEL_KCONFIG_TRISTATE,
	BPFAS_SKEL_KCONFIG_STRING,
};

/* a variable, its place in the map's value, and which fact of the kernel it is (0 for an option) */
struct bpfas_skel_kconfig_variable {
	const char *name;
	const char *failure;
	size_t offset;
	size_t size;
	enum bpfas_skel_kconfig_kind kind;
	unsigned char is_signed;
	unsigned char is_weak;
	unsigned char fact;
};

static inline int bpfas_skel_set_number(const struct bpfas_skel_kconfig_variable *variable, unsigned char *value,
					unsigned long long number)
{
	unsigned int bits = 8 * variable->size, i;

	if (bits < 64 && variable->is_signed) {
		if (number + (1ULL << (bits - 1)) >= 1ULL << bits)
			return -1;
	} else if (bits < 64 && number >> bits) {
		return -1;
	}
	for (i = 0; i < variable->size; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		value[variable->offset + i] = number >> 8 * i;
#else
		value[variable->offset + variable->size - 1 - i] = number >> 8 * i;
#endif
	return 0;
}

/* sets a variable to what a configuration says; -1 where it cannot hold that */
static inline int bpfas_skel_set_option(const struct bpfas_skel_kconfig_variable *variable, unsigned char *value,
					const char *text, size_t size)
{
	char digits[64], *end;
	unsigned long long number;

	if (size == 1 && (*text == 'y' || *text == 'n' || *text == 'm')) {
		if (variable->kind == BPFAS_SKEL_KCONFIG_CHAR) {
			value[variable->offset] = *text;
			return 0;
		}
		if (variable->kind == BPFAS_SKEL_KCONFIG_TRISTATE)
			return bpfas_skel_set_number(variable, value, *text == 'm' ? 2 : *text == 'y');
		if (variable->kind == BPFAS_SKEL_KCONFIG_BOOL && *text != 'm')
			return bpfas_skel_set_number(variable, value, *text == 'y');
		return -1;
	}
	if (*text == '"') {
		if (variable->kind != BPFAS_SKEL_KCONFIG_STRING || size < 2 || text[size - 1] != '"')
			return -1;
		size -= 2;
		if (size > variable->size - 1)
			size = variable->size - 1;
		memcpy(value + variable->offset, text + 1, size);
		return 0;
	}
	if (variable->kind != BPFAS_SKEL_KCONFIG_INTEGER && variable->kind != BPFAS_SKEL_KCONFIG_CHAR)
		return -1;
	if (size >= sizeof(digits))
		return -1;
	memcpy(digits, text, size);
	digits[size] = 0;
	errno = 0;
	number = strtoull(digits, &end, 0);
	if (errno || *end || end == digits)
		return -1;
	return bpfas_skel_set_number(variable, value, number);
}

/* takes what lines NAME=VALUE say of variables that are still unset */
static inline void bpfas_skel_read_options(const struct bpfas_skel_kconfig_variable *variables, size_t count,
						unsigned char *unset, unsigned char *bad, unsigned char *value,
						const char *text, size_t size)
{
	const char *end = text + size;

	while (text < end) {
		const char *line_end = (const char *)memchr(text, '\\n', end - text);
		const char *equals;
		size_t i;

		if (!line_end)
			line_end = end;
		equals = (const char *)memchr(text, '=', line_end - text);
		for (i = 0; equals && equals + 1 < line_end && i < count; i++) {
			size_t length = equals - text;

			if (!unset[i] || bad[i] || strlen(variables[i].name) != length ||
				memcmp(variables[i].name, text, length))
				continue;
			if (bpfas_skel_set_option(&variables[i], value, equals + 1, line_end - equals - 1))
				bad[i] = 1;
			else
				unset[i] = 0;
		}
		text = line_end + 1;
	}
}

static inline unsigned int bpfas_skel_kernel_version(void)
{
	unsigned int major = 0, minor = 0, patch = 0;
	struct utsname name;
	char text[256] = "";
	const char *debian;
	FILE *signature;

	if (uname(&name))
		return 0;
	/* distributions with numbers of their own say elsewhere which version of Linux theirs is */
	signature = fopen("/proc/version_signature", "re");
	if (signature) {
		if (!fgets(text, sizeof(text), signature))
			text[0] = 0;
		fclose(signature);
	}
	debian = strstr(name.version, "Debian ");
	if (sscanf(text, "Ubuntu %*s %u.%u.%u", &major, &minor, &patch) < 2 &&
		(!debian || sscanf(debian, "Debian %u.%u.%u", &major, &minor, &patch) < 2))
		sscanf(name.release, "%u.%u.%u", &major, &minor, &patch);
	return major << 16 | minor << 8 | (patch > 255 ? 255 : patch);
}

/* whether a program of the type tracepoint may ask for its cookie */
static inline unsigned int bpfas_skel_has_cookie(void)
{
	struct bpf_insn code[2] = {};
	union bpf_attr attr;
	int fd;

	code[0].code = 0x85;
	code[0].imm = 174;
	code[1].code = 0x95;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_TRACEPOINT;
	attr.insns = (__u64)(unsigned long)code;
	attr.insn_cnt = 2;
	attr.license = (__u64)(unsigned long)"GPL";
	fd = skel_sys_bpf(BPF_PROG_LOAD, &attr, offsetofend(union bpf_attr, prog_name));
	skel_closenz(fd);
	return fd >= 0;
}

/* whether the kernel's functions of system calls have names that begin with the architecture's */
static inline unsigned int bpfas_skel_has_syscall_wrapper(void)
{
	static const char *const names[] = {
		"__x64_sys_bpf", "__ia32_sys_bpf", "__arm64_sys_bpf", "__s390x_sys_bpf", "__riscv_sys_bpf",
		"__powerpc_sys_bpf", "__loongarch_sys_bpf",
	};
	char line[512], name[256];
	unsigned int found = 0;
	size_t i;
	FILE *symbols = fopen("/proc/kallsyms", "re");

	while (symbols && !found && fgets(line, sizeof(line), symbols)) {
		if (sscanf(line, "%*s %*s %255s", name) != 1)
			continue;
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			found |= !strcmp(name, names[i]);
	}
	if (symbols)
		fclose(symbols);
	return found;
}

/* sets variables to facts of the kernel, and to what lines NAME=VALUE say; the others are marked as unset */
static inline void bpfas_skel_read_kconfig(const struct bpfas_skel_kconfig_variable *variables, size_t count,
						unsigned char *unset, unsigned char *bad, unsigned char *value,
						const char *options)
{
	size_t i;

	memset(unset, 1, count);
	bpfas_skel_read_options(variables, count, unset, bad, value, options, strlen(options));
	for (i = 0; i < count; i++) {
		unsigned long long number = 0;

		if (!unset[i] || bad[i])
			continue;
		if (variables[i].fact == 1)
			number = bpfas_skel_kernel_version();
		else if (variables[i].fact == 2)
			number = bpfas_skel_has_cookie();
		else if (variables[i].fact == 3)
			number = bpfas_skel_has_syscall_wrapper();
		else
			continue;
		if ((variables[i].kind == BPFAS_SKEL_KCONFIG_BOOL && number > 1) ||
			variables[i].kind == BPFAS_SKEL_KCONFIG_TRISTATE ||
			variables[i].kind == BPFAS_SKEL_KCONFIG_STRING ||
			bpfas_skel_set_number(&variables[i], value, number))
			bad[i] = 1;
		else
			unset[i] = 0;
	}
}

/* what is weak may stay zero */
static inline void bpfas_skel_excuse_weak(const struct bpfas_skel_kconfig_variable *variables, size_t count,
						unsigned char *unset, const unsigned char *bad)
{
	size_t i;

	for (i = 0; i < count; i++)
		unset[i] &= bad[i] || !variables[i].is_weak;
}

/* the first variable that still has no value, or -1; one that is not zero by now was given one */
static inline int bpfas_skel_unset_kconfig(const struct bpfas_skel_kconfig_variable *variables, size_t count,
						const unsigned char *unset, const unsigned char *value)
{
	size_t i, j;

	for (i = 0; i < count; i++) {
		for (j = 0; j < variables[i].size && !value[variables[i].offset + j]; j++)
			;
		if (unset[i] && j == variables[i].size)
			return (int)i;
	}
	return -1;
}
#endif

"""

_SHARED_FOR_OPTIONS = """\
#ifndef BPFAS_SKEL_KCONFIG_FILES
#define BPFAS_SKEL_KCONFIG_FILES
/* sets variables that are still unset to what the running kernel's configuration says */
static inline void bpfas_skel_read_kconfig_files(const struct bpfas_skel_kconfig_variable *variables, size_t count,
						unsigned char *unset, unsigned char *bad, unsigned char *value)
{
	struct bpfas_skel_bytes config = {};
	size_t i, options_left = 0;
	struct utsname name;
	char path[128];

	for (i = 0; i < count; i++)
		options_left += unset[i] && !bad[i] && !variables[i].fact;
	if (!options_left || uname(&name))
		return;
	snprintf(path, sizeof(path), "/boot/config-%s", name.release);
	if (bpfas_skel_read_packed_file(path, &config) && bpfas_skel_read_packed_file("/proc/config.gz", &config))
		return;
	bpfas_skel_read_options(variables, count, unset, bad, value, (const char *)config.data, config.size);
	free(config.data);
}
#endif

"""
"""For variables that are options: behind READ_PACKED_FILE."""

_HELPERS = """\
static const struct bpfas_skel_kconfig_variable ${X}__kconfig_variables[] = {
${rows}};

"""

_OPENED = """\
	{
		static const char options[] = ${options};
		unsigned char bad[${count}] = {};

		bpfas_skel_read_kconfig(${X}__kconfig_variables, ${count}, skel->runner.kconfig_unset, bad,
					(unsigned char *)skel->${pointer}, options);
${files}		bpfas_skel_excuse_weak(${X}__kconfig_variables, ${count}, skel->runner.kconfig_unset, bad);
	}
"""

_READ_FILES = """\
		bpfas_skel_read_kconfig_files(${X}__kconfig_variables, ${count}, skel->runner.kconfig_unset, bad,
						(unsigned char *)skel->${pointer});
"""

_PREPARED = """\
	err = bpfas_skel_unset_kconfig(${X}__kconfig_variables, ${count}, skel->runner.kconfig_unset,
					(const unsigned char *)skel->${pointer});
	if (err >= 0) {
		skel->runner.failure = ${X}__kconfig_variables[err].failure;
		return -ENODATA;
	}
"""

_STATE = """\
		/* for each variable of .kconfig without a value; set to 0 here, its value is meant to be 0 */
		unsigned char kconfig_unset[${count}];
"""


def kconfig_part(skeleton: Skeleton) -> Part | None:
    """What resolves `.kconfig`, where its value is not fixed."""
    variables = skeleton.program.image.kconfig
    spec = next((spec for spec in skeleton.specs() if spec.section == KCONFIG_SECTION), None)
    if spec is None or not is_resolved_at_run_time(skeleton, spec):
        return None
    if spec.name not in skeleton.pointers:
        raise BpfasError.of(
            f"map {spec.name} cannot be filled by a C header: it is not made to be mapped (map_flags "
            f"{int(spec.map_flags):#x})",
            skeleton.program.name,
            ("leave its map_flags as they are, or give all its options by --kconfig",),
        )
    values = {"count": len(variables), "pointer": skeleton.pointers[spec.name]}
    rows = "".join(_row(variable) for variable in variables)
    has_options = any(not _fact(variable) for variable in variables)
    files = skeleton.fill(_READ_FILES, **values) if has_options else ""
    return Part(
        includes=("stdio.h", "stdlib.h", "string.h", "sys/utsname.h", *(_FOR_OPTIONS if has_options else ())),
        shared=_SHARED + (READ_FILE + READ_PACKED_FILE + _SHARED_FOR_OPTIONS) * has_options,
        helpers=skeleton.fill(_HELPERS, rows=rows),
        state=skeleton.fill(_STATE, **values),
        opened=skeleton.fill(
            _OPENED, options=_options(skeleton.program.kconfig, variables), files=files, **values
        ),
        prepared=skeleton.fill(_PREPARED, **values),
        needs="the kernel's configuration is read from files",
    )


def is_resolved_at_run_time(skeleton: Skeleton, spec: MapSpec) -> bool:
    """Whether the loader program needs to be given the value of `.kconfig`."""
    entry = next(entry for entry in skeleton.program.context.maps if entry.spec.name == spec.name)
    given = Input(entry.offset + 8, 8)
    return any(isinstance(step, Need) and step.given == given for step in skeleton.program.script.numbered_steps())


def _options(text: str, variables: Collection[KconfigVariable]) -> str:
    """The lines that set options which are asked for, as one string constant in several lines."""
    names = {variable.name for variable in variables}
    lines = [line for line in text.splitlines() if "=" in line and line.partition("=")[0] in names]
    return "".join(f"\n\t\t\t{quoted(line + chr(10))}" for line in lines) or '""'


def _row(variable: KconfigVariable) -> str:
    kind = f"BPFAS_SKEL_KCONFIG_{variable.kind.name}"
    failure = (
        f"cannot tell {variable.name}: no configuration of the kernel that can be read here has a value for it "
        "(/boot/config-RELEASE, /proc/config.gz), and it was not set before loading"
    )
    numbers = f"{variable.offset}, {variable.size}, {kind}, {int(variable.is_signed)}, {int(variable.is_weak)}"
    return f"\t{{ {quoted(variable.name)}, {quoted(failure)},\n\t  {numbers}, {_fact(variable)} }},\n"


def _fact(variable: KconfigVariable) -> int:
    """Which fact of the kernel the variable is, 0 for an option."""
    return _VIRTUAL.get(variable.name, _UNKNOWN_FACT if variable.name.startswith("LINUX_") else 0)
