"""Names for a C header: identifiers that compilers of C and C++ take, the same as bpftool's where that has one.

What an object calls its maps, programs and variables need be no identifier, may be a word of C, or two names may
become one. A word that only some compilers or headers take for their own (`class`, `linux`) stays for the others.
"""

from __future__ import annotations

import re

_NOT_IN_IDENTIFIERS = re.compile(r"[^A-Za-z0-9_]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_C_WORDS_TEXT = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "asm typeof _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert "
    "_Thread_local"
)
"""Keywords of C11, and those that compilers add to it by themselves."""

_CPP_WORDS_TEXT = (
    "alignas alignof and and_eq asm bitand bitor bool catch char16_t char32_t char8_t class co_await co_return "
    "co_yield compl concept const_cast consteval constexpr constinit decltype delete dynamic_cast explicit export "
    "false friend mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
    "reinterpret_cast requires static_assert static_cast template this thread_local throw true try typeid "
    "typename using virtual wchar_t xor xor_eq"
)
_C23_WORDS_TEXT = "alignas alignof bool constexpr false nullptr static_assert thread_local true typeof_unqual"
_MACROS_TEXT = (
    "linux unix i386 mips errno NULL EOF stdin stdout stderr assert offsetof offsetofend set_err major minor "
    "makedev"
)
"""What compilers and common headers define."""

_C_WORDS, _CPP_WORDS, _C23_WORDS, _MACROS = (
    frozenset(text.split()) for text in (_C_WORDS_TEXT, _CPP_WORDS_TEXT, _C23_WORDS_TEXT, _MACROS_TEXT)
)
_CONDITIONAL_WORDS = _CPP_WORDS | _C23_WORDS | _MACROS


def identifier(name: str) -> str:
    """`name` with `_` for every character that an identifier cannot have, never empty."""
    text = _NOT_IN_IDENTIFIERS.sub("_", name)
    return f"_{text}" if not text or text[0].isdigit() else text


def skeleton_identifier(name: str) -> str:
    """What begins all names of a header, and is that of its struct: no word of C or C++."""
    text = identifier(name)
    return f"{text}_" if text in _C_WORDS | _CONDITIONAL_WORDS else text


def is_identifier(name: str) -> bool:
    """Whether C takes `name` for the name of something."""
    return bool(_IDENTIFIER.fullmatch(name)) and name not in _C_WORDS


def map_identifier(name: str) -> str:
    """What a skeleton calls a map: `rodata_x` for `.rodata.x`, `lib_data` for the map `.data` of a library."""
    return identifier(name.replace(":.", ":").removeprefix("."))


class Words:
    """The member names of one header.

    A member whose name only some compilers refuse is written by a macro, which is that name where it can be; what
    defines those macros is `definitions`.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._conditional: set[str] = set()
        self._has_booleans = False

    def boolean(self) -> str:
        """The type of booleans, which strict compilers of C++ know by that language's name alone."""
        self._has_booleans = True
        return f"{self.prefix}__word__Bool"

    def member(self, name: str, taken: set[str]) -> str:
        """A name for a member that begins as `name` does, is not in `taken` and is put there."""
        text = identifier(name)
        if text in _C_WORDS:
            text += "_"
        unique, number = text, 2
        while unique in taken:
            unique, number = f"{text}_{number}", number + 1
        taken.add(unique)
        if unique not in _CONDITIONAL_WORDS:
            return unique
        self._conditional.add(unique)
        return f"{self.prefix}__word_{unique}"

    def definitions(self) -> str:
        """The lines that define the macros."""
        lines = []
        for word in sorted(self._conditional):
            conditions = [f"defined({word})"]
            if word in _CPP_WORDS:
                conditions.append("defined(__cplusplus)")
            if word in _C23_WORDS:
                conditions.append("(defined(__STDC_VERSION__) && __STDC_VERSION__ > 201710L)")
            macro = f"{self.prefix}__word_{word}"
            lines += [f"#if {' || '.join(conditions)}", f"#define {macro} {word}_", "#else"]
            lines += [f"#define {macro} {word}", "#endif"]
        if self._has_booleans:
            macro = self.boolean()
            lines += ["#ifdef __cplusplus", f"#define {macro} bool", "#else", f"#define {macro} _Bool", "#endif"]
        return "".join(f"{line}\n" for line in lines)
