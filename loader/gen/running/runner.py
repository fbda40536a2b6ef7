"""Run a LoaderProgram on the running kernel: a Collection, as loading the object itself would have given.

The program does what bpf(2) lets it do; the rest is done here: descriptors of pins, tokens and targets, the memory
of arenas, new pins. On any failure nothing stays: no descriptor, no pin. The calls themselves are
`bpfas.loader.gen.running.invocation`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from bpfas.diag import BpfasError, Diagnostics
from bpfas.loader.errors import KernelError, LoadError, Step
from bpfas.loader.gen.loader_program import CONTENTS_OFFSET, ENTRIES_OFFSET, FactKind
from bpfas.loader.gen.running.descriptors import check_distinct, check_map, check_program, close_all
from bpfas.loader.gen.running.inputs import check_byte_order, inputs_of
from bpfas.loader.gen.running.invocation import ContextMemory, invoke
from bpfas.loader.kernel.running import RunningKernel
from bpfas.loader.kinds import MapType, ProgramType
from bpfas.loader.loading.attach_target import open_target
from bpfas.loader.loading.collection import Collection
from bpfas.loader.loading.options import NO_OPTIONS
from bpfas.loader.loading.pins import map_pin_path, pin_new_map, reuse_pinned_map
from bpfas.loader.loading.program_choice import check_targets
from bpfas.loader.loading.program_loading import FIRST_LOG_SIZE, LOAD_ATTEMPTS
from bpfas.loader.loading.session import LARGEST_LOG_SIZE, Session, open_token
from bpfas.loader.privilege import Explanation
from bpfas.loader.runtime.maps import Map
from bpfas.loader.runtime.pinning import unpin
from bpfas.loader.runtime.programs import Program
from bpfas.loader.syscall.memory import reserve, unmap
from bpfas.loader.syscall.programs import LogBuffer

if TYPE_CHECKING:
    from collections.abc import Collection as Collection_
    from collections.abc import Mapping

    from bpfas.loader.gen.loader_program import LoaderProgram
    from bpfas.loader.gen.running.failure import Failure
    from bpfas.loader.gen.running.inputs import Inputs
    from bpfas.loader.loading.options import LoadOptions
    from bpfas.loader.spec import MapSpec

_FIRST_USER_NAMESPACE = "user:[4026531837]"
"""The user namespace of the system itself, in which there are no tokens."""
_FOUR_GIB = 1 << 32
_RUNS_FOR_OTHERS = 4
"""How often a program is run in all while other processes are in its way."""

_NOT_LOADED = -1
"""A descriptor that a program has in the context if it is not to be loaded."""


def run(
    program: LoaderProgram,
    options: LoadOptions = NO_OPTIONS,
    *,
    values: Mapping[str, Any] | None = None,
    max_entries: Mapping[str, int] | None = None,
    keyring: str | int | None = None,
) -> Collection:
    """Have `program` load its maps and programs into the running kernel.

    `values` are what global variables start with, by their names (`{"threshold": 5}`), `max_entries` the sizes of
    maps; what is not given is as it was when the program was made. Of `options`, all count but `btf`. The log of
    `log_level` is that of the program which is loaded last. The signature of a signed program is verified with the
    keys of `keyring` (a name or serial number, see `bpfas.loader.gen.signing.keyring.keyring_id`), if one is
    given. Raises BpfasError for what the program or this machine cannot do, before anything is done; VerifierError
    for a program that the verifier refuses; LoadError for everything else that the kernel refuses, with the step
    that failed.
    """
    check_byte_order(program)
    keyring_id = _keyring_id(program, keyring)
    with contextlib.ExitStack() as until_run:
        token_fd = open_token(options, until_run) if _wants_token(program, options) else 0
        kernel = until_run.enter_context(RunningKernel(token_fd))
        inputs = inputs_of(program, kernel, options, values or {}, max_entries or {})
        for _ in range(_RUNS_FOR_OTHERS):
            collection = _Run(program, inputs, options, kernel, token_fd, keyring_id).collection()
            if collection:
                return collection
    raise BpfasError.of("others pin and unpin the same maps all the time", program.name, ("try again",))


def _keyring_id(program: LoaderProgram, keyring: str | int | None) -> int | None:
    if keyring is None:
        return None
    if program.signature is None:
        message = "the loader program has no signature, which a keyring could be looked into for"
        raise BpfasError.of(message, program.name, ("sign it, or leave the keyring out",))
    from bpfas.loader.gen.signing.keyring import keyring_id  # few programs are signed

    return keyring_id(keyring)


def _wants_token(program: LoaderProgram, options: LoadOptions) -> bool:
    """Whether to look for a token: if one is asked for, or if there may be one."""
    if not any(fact.kind is FactKind.TOKEN for fact in program.context.facts):
        if options.token:
            message = "the loader program is not made to be run by the right of a token"
            raise BpfasError.of(message, program.name, ("generate it for one: bpf-load gen --token",))
        return False
    if options.is_token_required:
        return True
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/user") != _FIRST_USER_NAMESPACE
    return True


class _Run:
    """One attempt to run a program.

    `pinned` are the descriptors of maps that are there already, `arenas` the addresses and sizes that are kept
    free, both by the names of the maps, `facts` what the context says of the machine.
    """

    def __init__(
        self,
        program: LoaderProgram,
        inputs: Inputs,
        options: LoadOptions,
        kernel: RunningKernel,
        token_fd: int,
        keyring: int | None,
    ) -> None:
        self.program = program
        self.inputs = inputs
        self.plan = inputs.plan
        self.options = options
        self.kernel = kernel
        self.token_fd = token_fd
        self.keyring = keyring
        self.pinned: dict[str, int] = {}
        self.arenas: dict[str, tuple[int, int]] = {}
        self.facts = dict(inputs.facts)

    def collection(self) -> Collection | None:
        """What was loaded; None if another process was in the way, and it is to be run again."""
        with (
            contextlib.ExitStack() as owner,
            contextlib.ExitStack() as undo,
            contextlib.ExitStack() as until_run,
        ):
            types = [ProgramType.SYSCALL, *(each.spec.program_type for each in self.plan.programs.values())]
            session = Session(self.kernel, self.options, owner, undo, types, token_fd=self.token_fd)
            paths = {
                name: path
                for name, each in self.plan.maps.items()
                if (path := map_pin_path(each.spec, self.options))
            }
            self._open_pinned(paths, until_run)
            self._open_targets(until_run)
            self._reserve_arenas(until_run)
            context, log = self._context_after_run(session)
            known = set(self.pinned)
            maps, programs = self._take_over(context, session)
            new = {name: map_ for name, map_ in maps.items() if name not in known}
            if not (
                self._fill_arenas(new, session)
                and all(_pin(map_, paths[name], undo) for name, map_ in new.items() if name in paths)
            ):
                return None
            if log and programs:
                programs[next(reversed(programs))].log = log
            undo.pop_all()
            return Collection(self.plan, maps, programs, self.plan.warnings, owner.pop_all())

    # Before the run.

    def _open_pinned(self, paths: Mapping[str, str], until_run: contextlib.ExitStack) -> None:
        until_run.callback(self._close_pinned)
        for name, path in paths.items():
            fd = reuse_pinned_map(self.plan.maps[name].spec, path)
            if fd is not None:
                self.pinned[name] = fd

    def _close_pinned(self) -> None:
        while self.pinned:
            os.close(self.pinned.popitem()[1])

    def _open_targets(self, until_run: contextlib.ExitStack) -> None:
        diagnostics = Diagnostics()
        check_targets(self.plan.image, self.options, diagnostics)
        diagnostics.raise_if_errors()
        subjects = {fact.subject for fact in self.program.context.facts if fact.kind is FactKind.TARGET}
        at = self.program.name
        for name, each in self.plan.programs.items():
            spec, target = each.spec, self.options.target_of(each.spec)
            if target is None:
                if spec.program_type == ProgramType.EXT:
                    message = f"program '{name}' replaces function '{spec.attach_target}' of a loaded program"
                    remedy = "say of which: --target ID or --target /sys/fs/bpf/PATH"
                    raise BpfasError.of(message, at, (remedy,))
                continue
            if name not in subjects:
                message = f"program '{name}' is not made to be loaded for a function of another program"
                remedy = "load the object itself: of the programs of loader programs only freplace/FUNCTION can be"
                raise BpfasError.of(message, at, (remedy,))
            opened = until_run.enter_context(open_target(target))
            self.facts[FactKind.TARGET, name] = opened.fd
            self.facts[FactKind.TARGET_TYPE, name] = opened.function(spec.attach_target, name)

    def _reserve_arenas(self, until_run: contextlib.ExitStack) -> None:
        """Keep addresses free at which the arenas will lie: programs are loaded for these."""
        subjects = {fact.subject for fact in self.program.context.facts if fact.kind is FactKind.ARENA_ADDRESS}
        until_run.callback(self._release_arenas)
        for name, each in self.plan.maps.items():
            if name in subjects and name not in self.pinned and not each.spec.map_extra:
                size = each.spec.max_entries * self.kernel.page_size
                try:
                    self.arenas[name] = reserve(size, _FOUR_GIB), size
                except OSError as error:
                    explanation = Explanation(
                        f"there is no room for its {size} bytes among this process's addresses"
                    )
                    number = error.errno or 0
                    raise LoadError(Step.MAP_MEMORY, f"map {name}", number, explanation) from error
                self.facts[FactKind.ARENA_ADDRESS, name] = self.arenas[name][0]

    def _release_arenas(self) -> None:
        while self.arenas:
            unmap(*self.arenas.popitem()[1])

    def _context(self, left_out: Collection_[str] = ()) -> ContextMemory:
        """What the program is given; `left_out` are programs that it is not to load."""
        layout, inputs = self.program.context, self.inputs
        context = ContextMemory(layout.size)
        for entry in layout.maps:
            name, offset = entry.spec.name, entry.offset
            if name in self.pinned:
                context.put(offset, 4, self.pinned[name])
            if name in inputs.entries:
                context.put(offset + ENTRIES_OFFSET, 4, inputs.entries[name])
            if name in inputs.contents:
                context.put_address(offset + CONTENTS_OFFSET, inputs.contents[name])
        for program in layout.programs:
            if program.spec.name in inputs.left_out or program.spec.name in left_out:
                context.put(program.offset, 4, _NOT_LOADED & 0xFFFFFFFF)
        for fact in layout.facts:
            is_token = fact.kind is FactKind.TOKEN
            context.put(
                fact.offset, 8, self.token_fd if is_token else self.facts.get((fact.kind, fact.subject), 0)
            )
        return context

    # The run.

    def _context_after_run(self, session: Session) -> tuple[bytes, str]:
        """The context as the program has left it, and the log if it was asked for. Raises LoadError.

        What fails is run again for a log that is whole.
        """
        level = self.options.log_level
        log = LogBuffer(FIRST_LOG_SIZE, level=level) if level else None
        attempts_left = LOAD_ATTEMPTS
        while True:
            result, context = invoke(self.program, self._context(), session, log, self.keyring)
            if result >= 0:
                return context, log.text if log else ""
            from bpfas.loader.gen.running.failure import Failure  # only for what fails

            failure = Failure(
                self.program, self.inputs, -result, _number(context, self.program.context.failed_step)
            )
            attempts_left -= 1
            if result == -errno.EAGAIN and attempts_left:
                continue  # a signal came
            if failure.has_log and log is None:
                log = LogBuffer(FIRST_LOG_SIZE)
            elif failure.has_log and log and result == -errno.ENOSPC and log.size < LARGEST_LOG_SIZE:
                log.size *= 2
            else:
                text = self._log_of(failure, log, session) if log and failure.has_log else ""
                raise failure.exception(session, self.kernel, self.options, text)

    def _log_of(self, failure: Failure, log: LogBuffer, session: Session) -> str:
        """What the kernel has said of the step that failed; empty if it has said nothing of it.

        There is one buffer for all steps: what is in it without the program that failed is of others.
        """
        if failure.program_name not in self.plan.programs:
            return log.text
        names = list(self.plan.programs)
        before = LogBuffer(log.size, level=log.level)
        left_out = names[names.index(failure.program_name) :]
        result, context = invoke(self.program, self._context(left_out), session, before, self.keyring)
        if result >= 0:
            layout = self.program.context
            offsets = [*(entry.offset for entry in layout.maps), *(entry.offset for entry in layout.programs)]
            found = {_number(context, offset) for offset in offsets}
            close_all(sorted(found - set(self.pinned.values())))
        return "" if before.text == log.text else log.text

    # After the run.

    def _take_over(self, context: bytes, session: Session) -> tuple[dict[str, Map], dict[str, Program]]:
        """The maps and programs whose descriptors the context holds, which the session closes."""
        layout = self.program.context
        found = {entry.spec.name: _number(context, entry.offset) for entry in layout.maps}
        map_fds = {name: found[name] for name in self.plan.maps}
        found = {entry.spec.name: _number(context, entry.offset) for entry in layout.programs}
        program_fds = {name: found[name] for name in self.plan.programs}
        waiting = [*program_fds.values(), *map_fds.values()]
        for name in self.pinned:
            waiting.remove(map_fds[name])
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(close_all, waiting)
            check_distinct((*map_fds.values(), *program_fds.values()))
            maps, programs = {}, {}
            for name, fd in map_fds.items():
                check_map(self.plan.maps[name].spec, fd)
                maps[name] = map_ = Map(self._spec_of_map(name), fd, self.plan.image.types)
                session.owner.callback(map_.close)
                if self.pinned.pop(name, None) is None:
                    waiting.remove(fd)
            for name, fd in program_fds.items():
                check_program(self.plan.programs[name].spec, fd)
                programs[name] = program = Program(self.plan.programs[name].spec, fd)
                session.owner.callback(program.close)
                waiting.remove(fd)
            return maps, programs

    def _spec_of_map(self, name: str) -> MapSpec:
        spec = self.plan.maps[name].spec
        return spec._replace(map_extra=self.arenas[name][0]) if name in self.arenas else spec

    def _fill_arenas(self, maps: Mapping[str, Map], session: Session) -> bool:
        """Put arenas where they were promised to be; whether nothing else has come to lie there meanwhile."""
        for name, map_ in maps.items():
            if map_.type != MapType.ARENA:
                continue
            is_reserved = name in self.arenas
            if is_reserved:
                unmap(*self.arenas.pop(name))
            contents = map_.spec.contents or b""
            fill = partial(map_.fill_arena, map_.spec.data_offset, contents)
            try:
                session.attempt(Step.FILL_MAP, f"map {name}", fill)
            except LoadError as error:
                if is_reserved and error.errno == errno.EEXIST:
                    return False  # another thread of this process was faster
                raise
        return True


def _pin(map_: Map, path: str, undo: contextlib.ExitStack) -> bool:
    """Pin a new map; whether it is this one that is pinned there now."""
    copy = os.dup(map_.fd)
    other = pin_new_map(map_.spec, path, copy)
    os.close(copy)
    if other is None:
        undo.callback(_unpin, path, map_.name)
        return True
    os.close(other)
    return False


def _unpin(path: str, name: str) -> None:
    with contextlib.suppress(KernelError):  # somebody else may have done it
        unpin(path, f"map {name}")


def _number(context: bytes, offset: int) -> int:
    return int.from_bytes(context[offset : offset + 4], sys.byteorder, signed=True)
