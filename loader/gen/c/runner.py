"""Running a loader program that was made to be signed, or to work by the right of a token, from a C header.

libbpf's <bpf/skel_internal.h> knows nothing of signatures before libbpf 1.7, then of one way only, and never of
tokens. So these headers bring their own runner, with the kernel's structs as far as they are needed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bpfas.loader.gen.c.data import byte_list
from bpfas.loader.gen.c.skeleton import Part
from bpfas.loader.gen.loader_program import LICENSE, FactKind, Scheme
from bpfas.loader.kinds import MapFlag

if TYPE_CHECKING:
    from bpfas.loader.gen.c.skeleton import Skeleton

_SHARED = """\
#ifndef BPFAS_SKEL_RUN
#define BPFAS_SKEL_RUN
/*
 * By whose right the program is run: the descriptor of a token, 0 for none; the hash of the program that alone may
 * use the data, NULL for any; and what the kernel is to verify, NULL for nothing.
 */
struct bpfas_skel_right {
	int token_fd;
	const unsigned char *hash;
	const unsigned char *signature;
	__u32 signature_size;
	__s32 keyring_id;
	int data_is_signed;
};

/* as far as union bpf_attr and struct bpf_map_info go in kernels that know signatures */
struct bpfas_skel_map_create {
	__u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
	char map_name[16];
	__u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	__aligned_u64 map_extra;
	__s32 value_type_btf_obj_fd, map_token_fd;
	__aligned_u64 excl_prog_hash;
	__u32 excl_prog_hash_size;
};

struct bpfas_skel_map_info {
	unsigned char before[88];
	__aligned_u64 hash;
	__u32 hash_size;
	__u32 reserved;
};

struct bpfas_skel_prog_load {
	__u32 prog_type, insn_cnt;
	__aligned_u64 insns, license;
	__u32 log_level, log_size;
	__aligned_u64 log_buf;
	__u32 kern_version, prog_flags;
	char prog_name[16];
	unsigned char unused[56];
	__aligned_u64 fd_array, core_relos;
	__u32 core_relo_rec_size, log_true_size;
	__s32 prog_token_fd;
	__u32 fd_array_cnt;
	__aligned_u64 signature;
	__u32 signature_size;
	__s32 keyring_id;
};

static inline int bpfas_skel_bpf(enum bpf_cmd command, void *attributes, unsigned int size)
{
	return skel_sys_bpf(command, (union bpf_attr *)attributes, size);
}

/* the map with the data, which nobody else may use or change if it is for one program; or a negative errno */
static inline int bpfas_skel_data_map(struct bpf_load_and_run_opts *opts, const struct bpfas_skel_right *right)
{
	struct bpfas_skel_map_create create = {};
	struct bpfas_skel_map_info info = {};
	unsigned char hash[32];
	union bpf_attr attr;
	int map_fd, key = 0, err;

	create.map_type = BPF_MAP_TYPE_ARRAY;
	create.key_size = 4;
	create.value_size = opts->data_sz;
	create.max_entries = 1;
	memcpy(create.map_name, "__loader.map", sizeof("__loader.map"));
	create.excl_prog_hash = (__u64)(unsigned long)right->hash;
	create.excl_prog_hash_size = right->hash ? 32 : 0;
	if (right->token_fd > 0) {
		create.map_flags = ${token_flag};
		create.map_token_fd = right->token_fd;
	}
	opts->errstr = "failed to create loader map";
	map_fd = bpfas_skel_bpf(BPF_MAP_CREATE, &create,
				offsetofend(struct bpfas_skel_map_create, excl_prog_hash_size));
	if (map_fd < 0)
		return -errno;
	opts->errstr = "failed to update loader map";
	if (skel_map_update_elem(map_fd, &key, opts->data, 0) < 0)
		goto failed;
	if (!right->hash)
		return map_fd;
	opts->errstr = "failed to freeze loader map";
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map_fd;
	if (skel_sys_bpf(BPF_MAP_FREEZE, &attr, offsetofend(union bpf_attr, map_fd)) < 0)
		goto failed;
	if (right->data_is_signed)
		return map_fd;
	/* the program compares the hash that the kernel makes now */
	opts->errstr = "failed to have loader map hashed";
	info.hash = (__u64)(unsigned long)hash;
	info.hash_size = sizeof(hash);
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = map_fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (__u64)(unsigned long)&info;
	if (skel_sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, offsetofend(union bpf_attr, info)) >= 0)
		return map_fd;
failed:
	err = -errno;
	close(map_fd);
	return err;
}

/* as bpf_load_and_run */
static inline int bpfas_skel_run(struct bpf_load_and_run_opts *opts, const struct bpfas_skel_right *right)
{
	struct bpfas_skel_prog_load load = {};
	union bpf_attr attr;
	int map_fd, prog_fd, err = 0;

	map_fd = bpfas_skel_data_map(opts, right);
	if (map_fd < 0)
		return map_fd;
	load.prog_type = BPF_PROG_TYPE_SYSCALL;
	load.insns = (__u64)(unsigned long)opts->insns;
	load.insn_cnt = opts->insns_sz / sizeof(struct bpf_insn);
	load.license = (__u64)(unsigned long)"${license}";
	memcpy(load.prog_name, "__loader.prog", sizeof("__loader.prog"));
	load.fd_array = (__u64)(unsigned long)&map_fd;
	load.log_level = opts->ctx->log_level;
	load.log_size = opts->ctx->log_size;
	load.log_buf = opts->ctx->log_buf;
	load.prog_flags = BPF_F_SLEEPABLE;
	if (right->token_fd > 0) {
		load.prog_flags |= ${token_flag};
		load.prog_token_fd = right->token_fd;
	}
	if (right->signature) {
		load.signature = (__u64)(unsigned long)right->signature;
		load.signature_size = right->signature_size;
		load.keyring_id = right->keyring_id;
		load.fd_array_cnt = right->data_is_signed;
	}
	opts->errstr = "failed to load loader prog";
	prog_fd = bpfas_skel_bpf(BPF_PROG_LOAD, &load, sizeof(load));
	if (prog_fd < 0) {
		err = -errno;
		goto out;
	}
	opts->errstr = "failed to execute loader prog";
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = prog_fd;
	attr.test.ctx_in = (__u64)(unsigned long)opts->ctx;
	attr.test.ctx_size_in = opts->ctx->sz;
	if (skel_sys_bpf(BPF_PROG_RUN, &attr, offsetofend(union bpf_attr, test)) < 0)
		err = -errno;
	else if ((int)attr.test.retval < 0)
		err = (int)attr.test.retval;
	close(prog_fd);
out:
	close(map_fd);
	errno = -err;
	return err;
}
#endif

"""

_HELPERS = """\
static inline int
${X}__run(struct $X *skel, struct bpf_load_and_run_opts *opts)
{
${constants}	struct bpfas_skel_right right = {};

	(void)skel;
${given}	return bpfas_skel_run(opts, &right);
}

"""

_HASH = """\
	static const unsigned char hash[] = {
${hash}	};
"""

_SIGNATURE = """\
	static const unsigned char signature[] = {
${signature}	};
"""

_DELEGATED = """\
	right.token_fd = (int)skel->loader.${fact};
"""

_BY_HASH = """\
	right.hash = hash;
	right.data_is_signed = ${data_is_signed};
"""

_BY_SIGNATURE = """\
	right.signature = signature;
	right.signature_size = sizeof(signature);
	right.keyring_id = skel->keyring_id;
"""


def runner_part(skeleton: Skeleton) -> Part | None:
    """The runner of a program that was made to be signed, or that takes a token."""
    program = skeleton.program
    token = skeleton.fact(FactKind.TOKEN, "")
    if program.scheme is None and token is None:
        return None
    constants = given = ""
    if token:
        given += skeleton.fill(_DELEGATED, fact=token)
    if program.scheme is not None:
        constants += skeleton.fill(_HASH, hash=byte_list(hashlib.sha256(program.instructions).digest(), "\t\t"))
        given += skeleton.fill(_BY_HASH, data_is_signed=int(program.scheme is Scheme.INSTRUCTIONS_AND_DATA))
    if program.signature is not None:
        constants += skeleton.fill(_SIGNATURE, signature=byte_list(program.signature.data, "\t\t"))
        given += _BY_SIGNATURE
    return Part(
        includes=("string.h", "unistd.h"),
        shared=skeleton.fill(_SHARED, license=LICENSE, token_flag=f"{int(MapFlag.TOKEN_FD):#x}"),
        helpers=skeleton.fill(_HELPERS, constants=constants, given=given),
        runner=f"{skeleton.name}__run(skel, &opts)",
        needs="signatures and tokens are for programs of user space",
    )
