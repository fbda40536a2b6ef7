"""Sources with macros, one statement a line, that GNU as assembles to bytes in .data."""

from __future__ import annotations

import re


def macro(body: str, *calls: str, heading: str = "m a, b") -> str:
    """A macro and calls of it."""
    name = heading.split()[0]
    return f".macro {heading}\n{body}\n.endm\n" + "".join(f"{name} {text}\n" for text in calls)


def calls(parameters: str, *arguments: str) -> str:
    """A macro that writes its arguments in brackets, and calls of it."""
    names = [re.split("[:=]", parameter)[0] for parameter in parameters.split(",")]
    body = "".join(f"[\\{name}]" for name in names)
    return macro(f'.ascii "{body}"', *arguments, heading=f"m {parameters}")


def loops(directive: str, body: str, *headings: str) -> str:
    """Blocks that begin with `directive`."""
    return "".join(f"{directive} {heading}\n{body}\n.endr\n" for heading in headings)


_ARGUMENTS = {
    "commas and blanks": calls("a,b,c", "1,2,3", "1 2 3", "1, 2 3", "1 ,2 , 3", "1\t2 \t 3", "  1  2  ", ""),
    "expressions": calls("a,b,c", "x + y", "x +y, z", "x+ y z", "1 -1", "-1 -1", "x ~1", "x !1", "~ 1 - 2 3"),
    "no word behind the blank": calls("a,b", "%r1 %r2", "r1 %r2", "x @y", "x {y}", "x ?y", "x : y", "< x y >"),
    "words with signs": calls("a,b", "1 $2", "x$ .y", "0x10 010b", "x. _y", "é è"),
    "brackets": calls("a,b,c", "(1 2) 3", "(1,2) 3", "[1, 2]", "( 1 , 2 )", "f(1 + 2) x", "x (1)", "x(1)y z"),
    "brackets that do not match": calls("a,b,c", "( [ ) 1 2", ") 1 2", "[1 2) 3] 4", "] 1 )2"),
    "empty arguments": calls("a,b,c", ",2", "1,,3", ", ,", ",,3", '"",2', "1,", "1,2,3,"),
    "strings": calls("a,b,c", '"x y" z', '"x" "y"', 'x "y"', '"x"y', r'"x\"y" z', '"it\'s" x', '"x  ,"'),
    "strings in strings": macro(r".ascii \a", '"""x y"""', 'a="""x"" , ""y"""'),
    "characters": calls(
        "a,b", "'a'", "'a','b'", "'a' 'b'", "','", "' '", "1 'a'", "'a", r"'\n' , '\\'", "''' '\"'"
    ),
    "characters that nothing closes": calls("a,b", "'a b", "x'a b", "'a, 'b"),
    "backslashes": calls("a,b", r"x \n", r"\n \t", r"\n + \t", r"1\n"),
    "keywords": calls("a,b,c", "b=1", "1, b=2", "a=1 c=2", "c = 1", "a==1", "b=", "a=1,a=2", "b=x + y, c=(1 2)"),
    "defaults": calls("a=9,b=(1 2),c=x + y", "", "1", ",2", "b=5", "a=,c=3", '"",5', "1 2 3"),
    "defaults that are strings": calls('a="x y",b="",c="+"', "", "1", ",2"),
    "defaults that are characters": calls("a='x',b=' ',c='+", "", "1", ",2"),
    "defaults with a second =": calls("a=x=y,b==", "", "1", ",2"),
    "required": calls("a:req,b:req,c", "1,2", "b=1 a=2", "1 b=2"),
    "required with a default": calls("a:req=5,b", "1", "1,2"),
    "vararg": calls(
        "a,b:vararg", "1", "1,2", "1,2 , 3  4", "1, 2 + 3 (x y)", "1,,2,", "1 ,, 2", "1, b=2", "1 2 3"
    ),
    "vararg alone": calls("a:vararg", "", "1, 2", " 1 ,  2   (x + y) ", "a=5", ", 1"),
    "vararg with a default": calls("a,b:vararg=5", "1", "1,2,3", "1,"),
    "vararg as operands": macro(r".byte \a, \b", "1, 2, 3", "1, 2 + 3, 4", heading="m a, b:vararg"),
    "vararg with strings": macro(r".ascii \b", '1, "x", "y  z"', heading="m a, b:vararg"),
    "vararg passed on": calls("a,b,c") + macro(r"m \x", "1, 2 , 3", "1 2", "1, (2 3)", heading="n x:vararg"),
    "headings": "".join(
        macro(r'.ascii "[\a][\b]"', "1,2", "1", heading=f"m{number} {parameters}")
        for number, parameters in enumerate(["a, b", "a b", ",a,b", " , a , b", "a:req b", "a : req , b", "a\tb"])
    ),
    "names": macro(r'.ascii "\a.x \$b \_ \c1"', "1,2,3,4", heading="m a.x, $b _, c1"),
    "upper and lower case": macro(r'.ascii "\A\B"', "1", heading="MAC A") + "mac 2\nMac 3\n",
    "no blank before the arguments": calls("a,b") + "m(1 2)\nm,2\nm -1\nm%1\n",
    "no parameters": macro(".byte 1", "", " ", heading="m"),
    "passing on": macro(r".byte \a, \b")
    + macro("m \\x, \\y\nm \\y \\x\nm \\x - 1 \\y", "1 2", "3+4, 5", heading="n x, y"),
    "passing on strings": calls("a,b") + macro(r'm "\x", \y', '"p q", r', '"p  q" "r"', heading="n x, y"),
}

_BODIES = {
    "pasting": macro(r"x\a\()y: .byte \b\()1, \a\()\b", "4,5", "6,7"),
    "pasted directives": macro(".\\a 1\n\\b 2", "byte,.byte", "short .long"),
    "statements as arguments": macro(r"\a", '".byte 9"', '".byte 9, 8"', '".ascii ""x y"""'),
    "names that begin alike": macro(r'.ascii "[\a][\ab][\abc][\abcd]"', "1,2,3", heading="m abc, ab, a"),
    "names that go on": macro(r'.ascii "\ab \a.b \a$b \a1 \a-b \a\()b \a\b"', "1,2"),
    "literal text": macro(r'.ascii "\a\(b c)x \(x\y) \()"', "1,2"),
    "counts": macro(r".byte \@, \@", "1", "2", "3") + macro(r".byte \@", "1", heading="n a") + "m 1\n",
    "counts in nested calls": macro(r".byte \a, \@")
    + macro(".byte \\@\nm 7\n.byte \\@\nm 8", "", heading="n")
    + "m 9\nn\n",
    "escapes": macro(r'.ascii "\n\t\x41 \\a \\\a \"\a\" \&a \1 \é"', "1,2"),
    "escapes beside parameters": macro(r'.ascii "\n\b\t"', "1,2", "1"),
    "ampersands": macro('.ascii "&a&b &a b& &c&d& &a& &&a a&&b"', "1,2"),
    "ampersands outside of strings": macro(".set q, 7\n.byte &a, &b&, q&q, \\a&3, 3&1, 7&&q", "1,2"),
    "apostrophes in strings": macro(r""" .ascii "\a'\b \a'x 'y'" """, "1,2"),
    "characters": macro(r""".byte '\a', 'a', '&, '"', \a, '\\'""", "1,2"),
    "macros that define macros": macro(".macro n\\a c\n.byte \\a, \\c, \\b\n.endm\nn\\a 5", "3,4", "6,7"),
    "macros that define macros of the same parameter": macro(".macro n a\n.byte \\a\n.endm\nn 5", "3"),
    "macros that define macros by name": macro(".macro \\a x\n.byte \\x, \\a\\()1\n.endm", "q")
    + ".set q1, 9\nq 4\n",
}

_LOOPS = {
    "irp": loops(
        ".irp",
        r'.ascii "[\x]"',
        *("x,1,2,3", "x 1 2 3", "x,p + q", "x,1,,3", "x", "x,", "x , 1 , 2", 'x,"p q" r', "x,1 2,", "x,1,2,,"),
        *("x=1", "x:1,2", "x,(1 2),3", "x,%1", "x -1", "x,-1 -2", "x,<1 2>,3", 'x,"",1', "x,,", "x,,1", "x,'a'"),
        *("x(1 2)", "x+1"),
    ),
    "irpc": loops(
        ".irpc",
        r'.ascii "[\x]"',
        *("x,123", "x,1 2", "x,p q r", 'x,"p q"', "x", "x,", "x 123", "x,1,2", "x,'a'", 'x,""', "x,  12  "),
        *("x,p + q", 'x,"p, q"', "x=12", "x,<1 2>", 'x, "p q" ', 'x "p  q"', 'x,"p+q - r"'),
    ),
    "other names of loops": loops(".irep", r".byte \x", "x,1,2")
    + loops(".irepc", r".byte \x", "x,12")
    + loops(".rep", ".byte 1", "2"),
    "what loops replace": loops(".irp", r'.ascii "\@ \y \() \(x) &x& \x\x \xy"', "x,1,2"),
    "counts in loops": macro(".byte 1", "", "", heading="m") + loops(".irp", ".byte \\@", "x,1,2"),
    "loops in macros": macro('.irp x, \\a, 9\n.ascii "\\x\\b|"\n.endr', "5,6", "7,8")
    + macro(loops(".irp", r".byte \y", r"y, \x"), "1, 2 ,3", "4", heading="n x:vararg"),
    "loops in loops": loops(".irp", loops(".irp", loops(".irpc", r'.ascii "\x\y\z|"', "z,56"), "y,3,4"), "x,1,2"),
    "loops of one parameter": loops(".irp", loops(".irp", r'.ascii "\x|"', "x,3,4"), "x,1,2"),
    "repetitions": loops(".rept", ".byte 1", "0", "1", "3", " 1 + 1 ") + ".byte 9\n",
    "repetitions in loops": loops(".irp", loops(".rept", r".byte \x", r"\x + 1"), "x,1,2"),
    "repetitions replace nothing": loops(".rept", r'.ascii "\@ \n \y &x"', "2"),
    "repetitions of loops": loops(".rept", loops(".irp", r'.ascii "\x|"', "x,3,4") + ".byte 1", "2"),
    "calls in repetitions": macro(r".byte \a, \@") + loops(".rept", "m 5", "3") + "m 6\n",
}

_ENDS = {
    "labels before blocks": "p: .rept 2\n.byte 4\n.endr\nr: .irp x,1,2\n.byte \\x\n.endr\n.byte r-p\n",
    "labels before the end": ".macro m\n.byte 1\np: .endm\nm\n.byte 5 + p - p\n",
    "labels before blocks in blocks": macro("p: r : .rept 2\n.byte 4\n.endr\n.byte r-p", "", heading="m")
    + ".rept 1\ns: .rept 2\n.byte 5\n.endr\n.byte 6\n.endr\n",
    "strings that look like ends": macro('.ascii ".endm"\n.ascii "\\".endm `.endm` .macro"', "1"),
    "names that look like ends": ".macro .endmx\n.endm\n.macro m\n.endmx\n.byte 4\n.endm\nm\n",
    "ends in capitals": ".MACRO m\n.byte 1\n.Endm\nm\n.REPT 2\n.byte 2\n.ENDR\n",
    "other blocks": macro(loops(".rept", ".byte 1", "2") + loops(".irp", r".byte \x", "x,5"), "", heading="m"),
    "a text behind the end": ".macro m\n.byte 1\n.endm m\nm\n.rept 2\n.byte 2\n.endr foo\n",
}

_ALTERNATE = {
    "brackets": calls(
        "a,b,c",
        *("<x y>", "<x,y> z", "<x<y>z>", "<x!>y>", "<x!!y>", "x<y>", "<x>y", "<x><y>", "<x> <y>", "<>", "<%1>"),
        *("<x>,<y>", "(<x y>)", "(x <y>)", "<x  y>", "<x + y>", "<'a'>"),
    ),
    "expressions": ".set q, 7\n"
    + calls(
        "a,b,c",
        *(
            "%1+2",
            "%(1+2) 3",
            "%1+2 3",
            "%1 + 2, 3",
            "% 5",
            "x%5",
            "%q",
            "%q,%q*2",
            "%-1",
            "%0x10",
            "%'a'",
            "%q b",
        ),
        *("1 %2", "1,%2", "%1,", "%1==1", "%q%3", "%(q)%3", "%(q)b", "%((q) + 1) b c", "%1>>1", "%1<<4 2"),
    ),
    "no keywords": calls("a,b,c", "a=5", "b = 5 1", "a=<x y>, b=%1"),
    "signs": calls("a,b", "!x", "x!y", "x !y", "x>y", "x > y z", ">x"),
    "strings": macro(".ascii a", '"x y"', '<"x y">', '"x"', '"x!!y"', '"x"<y>', r'"x\"y"', '"<x>"', heading="m a"),
    "defaults": macro('.ascii "a b"', "", "1", heading="m a=%3*3, b=<x y>"),
    "names": macro('.byte a,b,\\a,&b\n.ascii "a b c a.b _a $a a$ a-b"', "1,2", "3 4"),
    "names and digits": macro(".byte 0xa, 0b, 1a, b\\()1", "1,2"),
    "names and ampersands": macro('.byte a&b, &a&b, \\a&3\n.ascii "a&b &a& &b& %a a&& &a&& \\a&\\b&a"', "1,2"),
    "names and apostrophes": macro(""" .ascii "a'b \\a&' &a&& b&'" """, "1,2"),
    "characters": macro(".byte 'a', 'b', a", "1", "'a'"),
    "escapes": macro('.ascii "\\b\\n\\@\\(b)b"', "1,2"),
    "statements": macro("a: b 5", "lab,.byte"),
    "LOCAL": macro('LOCAL x,y\n.byte a\nx: .byte y-x\ny: .ascii "x y \\x \\y &x&y& xy"', "1,2", "3"),
    "LOCAL in the middle": macro(
        '.ascii "x y"\n  local x y\n.ascii "x y z"\np\\@: Local\tz , v \n.ascii "z v"', "1", "3"
    ),
    "LOCAL with a comma too many": macro('LOCAL x, \n.ascii "x"', "1"),
    "LOCAL of nothing": macro('LOCAL \n.ascii "x"', "1"),
    "LOCAL in strings": macro('.ascii "LOCAL x"\n.ascii "x"', "1"),
    "LOCAL in macros in macros": macro('.macro n c\nLOCAL k\n.ascii "k c"\n.endm\nn 4\nn 5', "1"),
    "loops": loops(".irp", '.ascii "[x]"', "x,<p q>,r,%1+2", "x <p,q> r")
    + loops(".irpc", '.ascii "[x]"', "x,p!q", "x,<p q>", "x,%1"),
    "loops in macros": macro(".irp z,a,b\n.byte z, a\n.endr", "1,2"),
    "off again": macro('.byte \\a\n.ascii "a"', "1") + ".noaltmacro\nm 1\nm a=1\n.altmacro\nm 1\n",
}

_KINDS = {"arguments": _ARGUMENTS, "body": _BODIES, "loop": _LOOPS, "end": _ENDS}

SOURCES = {f"{kind}: {name}": text for kind, table in _KINDS.items() for name, text in table.items()}
SOURCES |= {f"alternate mode: {name}": f".altmacro\n{text}" for name, text in _ALTERNATE.items()}
