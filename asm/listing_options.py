"""What a listing shall show, as `-a…` and `--listing-…` choose it."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_FORMS = "hls"
"""What `-a` without letters shows, as in GNU as."""


@dataclass(eq=False, slots=True)
class ListingOptions:
    """`forms` are the letters behind `-a`, of all of them together; without any there is no listing.

    `file` is where it goes (`-`: standard output). The widths are GNU as's: `words` and `continued_words` are how
    many words of four bytes the first and the further lines of a statement show, of which there are up to
    `continuation_lines`; `source_width` is how many characters of the source. `facts` are the lines of `g`.
    """

    forms: frozenset[str] = frozenset()
    file: str = "-"
    words: int = 1
    continued_words: int = 1
    continuation_lines: int = 4
    source_width: int = 100
    facts: tuple[str, ...] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether there shall be a listing."""
        return bool(self.forms)

    @property
    def shows_source(self) -> bool:
        """Whether it has the sources: also where the letters only say how."""
        return "l" in self.forms or not self.forms & {"g", "s"}

    def request(self, forms: str, file: str) -> None:
        """Take an option `-aFORMS=FILE`, either of which may be empty."""
        self.forms |= frozenset(forms or DEFAULT_FORMS)
        if file:
            self.file = file
