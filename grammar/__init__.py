"""The assembly language as Lark grammars."""
