#!/usr/bin/env python3
"""Checks the rules of docs/architecture.md and CONTRIBUTING.md that can be seen in the sources.

usage: tests/rules/architecture_test.py     (from anywhere; a second long)

Who may include whom, sources that include the header of their name first, files of at most 400 lines, functions of at
most 60, comments of at most 110 columns. Before the project's own sources come small ones that break each rule, so that a rule that sees nothing any
more is found. Exit code 1: a rule is broken.
"""
import ast
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MOST_LINES_OF_FILE = 400
MOST_LINES_OF_FUNCTION = 60
MOST_COLUMNS_OF_COMMENT = 110

# Each includes itself and what stands before it. Tests and benchmarks include everything but the executable's
# sources.
FLOORS = ["kernels", "core", "models", "train", "train/cli"]
FOLDERS = ["kernels", "core", "models", "train", "bench", "tests", "cmake", "scripts"]
CPP = {".h", ".cpp", ".cu", ".cuh"}

# An operation includes kernels/common, kernels/tiles and itself. Where it needs another operation: who,
# which, and why.
OPERATIONS_THAT_SHARE = {
    ("gemm", "pointwise"): "bias and activation are a part of the product, which names and computes them like pointwise",
    ("tiles", "pointwise"): "the tiles' epilogues apply the activations of pointwise, forward and backward",
    ("contrastive_loss", "pointwise"): "gradients that are summed in f32 are rounded by pointwise's cast at the end",
}
# Who else includes sources of the executable, and why.
INCLUDES_THE_EXECUTABLE = {
    "tests/fuzz/config_fuzz.cpp": "fuzzes the reading of configuration files, and is built with that source",
    "tests/cli/config_file_test.cpp": "tests the same on its own, with texts by the thousand",
}
# Files with a longer function, and why.
LONG_FUNCTIONS = {
    "sins.cu": "main is a table, one mistake per line",
}


def floor_of(path):
    """The place in FLOORS of a path of the library, or None."""
    if path.startswith("train/cli/"):
        return FLOORS.index("train/cli")
    folder = path.split("/")[0]
    return FLOORS.index(folder) if folder in FLOORS else None


def first_include_problems(root, path, text):
    """A source includes the header of its name first, which shows that the header needs nothing before it. Highway compiles
    the sources of the CPU's kernels several times, and they include what is not of one instruction set at the top."""
    header = str(pathlib.PurePosixPath(path).with_suffix(".h"))
    if floor_of(path) is None or path.endswith("_cpu.cpp") or not (root / header).exists():
        return
    first = re.search(r'^\s*#\s*include\s+["<]([^">]+)', text, re.MULTILINE)
    if first is None or first[1] != header:
        yield f"{path}: expected {header} to be included first, found {first[1] if first else 'no include'}"


def include_problems(path, text, shared):
    """What is wrong with the direction of a file's includes; pairs of operations that share are added to `shared`."""
    own = floor_of(path)
    for line, other in ((text.count("\n", 0, match.start()) + 1, match[1])
                        for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)):
        theirs = floor_of(other)
        where = f"{path}:{line}: includes {other}"
        if theirs == FLOORS.index("train/cli") != own and path not in INCLUDES_THE_EXECUTABLE:
            yield f"{where}: train/cli is the executable's, nothing else includes it"
        elif own is not None and theirs is None and other.split("/")[0] in FOLDERS:
            yield f"{where}: the library includes nothing of {other.split('/')[0]}"
        elif own is not None and theirs is not None and theirs > own:
            yield f"{where}: {FLOORS[own]} comes before {FLOORS[theirs]}; includes go {' <- '.join(FLOORS)}"
        elif own == theirs == 0:
            pair = path.split("/")[1], other.split("/")[1]
            if pair[0] == pair[1] or pair[1] == "common" or (pair[1] == "tiles" and pair[0] != "common"):
                continue
            shared.add(pair)
            if pair not in OPERATIONS_THAT_SHARE:
                yield (f"{where}: operations share kernels/common and kernels/tiles only; an exception has its reason in "
                       "OPERATIONS_THAT_SHARE of tests/rules/architecture_test.py")


# What braces may stand in without being code.
NO_CODE = re.compile(r'R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*(?:.|\n)*?\*/|'
                     r'^\s*#(?:[^\n\\]|\\.|\\\n)*', re.MULTILINE)
OPENS_SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum)\b[^()]*$|=\s*$")


def brace_kind(head):
    """What the brace behind `head` opens: "function", "scope" (a namespace, class or table) or "value", which is a part
    of the declaration that continues behind it, as in `S() : x{1} {}` and `f(Shape shape = {});`."""
    if head.count("(") != head.count(")") or ("(" in head and not head[-1].isspace()):
        return "value"
    return "function" if "(" in head and not OPENS_SCOPE.search(head) else "scope"


def cpp_functions(text):
    """(first line, number of lines) of each function that stands in a namespace or class: from what comes before its
    opening brace to the closing one. A lambda counts as a part of the function that it stands in."""
    text = NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    open_braces = []  # (kind, where the declaration begins)
    begin = 0         # of the declaration that is being read
    for match in re.finditer(r"[{};]", text):
        place = match.start()
        inside = open_braces[-1][0] if open_braces else "scope"
        if match[0] == "{":
            head = text[begin:place]
            kind = brace_kind(head) if inside == "scope" else "value"
            open_braces.append((kind, begin + len(head) - len(head.lstrip())))
            if kind == "scope":
                begin = place + 1
        elif match[0] == "}" and open_braces:
            kind, start = open_braces.pop()
            if kind == "function":
                first = text.count("\n", 0, start)
                yield first + 1, text.count("\n", 0, place) - first + 1
            if kind != "value":
                begin = place + 1
        elif inside == "scope":
            begin = place + 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            yield node.lineno, node.end_lineno - node.lineno + 1


def size_problems(path, text):
    lines = text.count("\n") + (not text.endswith("\n"))
    if lines > MOST_LINES_OF_FILE:
        yield f"{path}: {lines} lines, expected at most {MOST_LINES_OF_FILE}"
    functions = []
    if pathlib.Path(path).suffix in CPP:
        functions = cpp_functions(text)
    elif path.endswith(".py") or re.match(r"#!.*python", text):
        functions = python_functions(text)
    for line, length in functions:
        if length > MOST_LINES_OF_FUNCTION and pathlib.Path(path).name not in LONG_FUNCTIONS:
            yield f"{path}:{line}: a function of {length} lines, expected at most {MOST_LINES_OF_FUNCTION}"


# A line that is a comment and nothing else. Lines that tests read, "// sin: NAME: PATTERN", cannot be broken.
COMMENT = {True: re.compile(r"\s*//(?! (?:bad|sin): )"), False: re.compile(r"\s*#")}


def width_problems(path, text):
    """clang-format keeps C++ code to its width and leaves comments as they are; nothing else looks at scripts."""
    comment = COMMENT[pathlib.Path(path).suffix in CPP]
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MOST_COLUMNS_OF_COMMENT and comment.match(line):
            yield f"{path}:{number}: a comment of {len(line)} columns, expected at most {MOST_COLUMNS_OF_COMMENT}"


def sources(root):
    """(path, text) of what people wrote: C++ and CMake by their names, scripts by their first line."""
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if not file.is_file():
                continue
            if file.suffix not in CPP | {".py", ".sh", ".cmake"} and file.name != "CMakeLists.txt":
                with open(file, "rb") as start:
                    if start.read(2) != b"#!":
                        continue
            yield file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")


def problems(root):
    shared = set()
    for path, text in sources(root):
        if pathlib.Path(path).suffix in CPP:
            yield from include_problems(path, text, shared)
        if path.endswith(".cpp"):
            yield from first_include_problems(root, path, text)
        yield from size_problems(path, text)
        yield from width_problems(path, text)
    for pair in sorted(OPERATIONS_THAT_SHARE.keys() - shared):
        yield (f"tests/rules/architecture_test.py: kernels/{pair[0]} includes nothing of kernels/{pair[1]} any more: remove "
               "the exception")


# Small trees that break one rule each, and what must be said of them; nothing of those that keep to it.
FAULTY = [
    ({"kernels/gemm/gemm.cpp": '#include "core/tensor.h"\n'}, "kernels/gemm/gemm.cpp:1: includes core/tensor.h"),
    ({"core/tape.h": '#pragma once\n#include "models/clip/clip.h"\n'}, "core/tape.h:2: includes models/clip/clip.h"),
    ({"models/clip/clip.h": '#  include "train/data/loader.h"\n'}, "models comes before train"),
    ({"train/data/loader.cpp": '#include "train/cli/printing.h"\n'}, "nothing else includes it"),
    ({"tests/cli/main_test.cpp": '#include "train/cli/printing.h"\n'}, "nothing else includes it"),
    ({"core/tape.cpp": '#include "tests/support/buffer.h"\n'}, "the library includes nothing of tests"),
    ({"kernels/pool/pool.cu": '#include "kernels/gemm/gemm.h"\n'}, "operations share"),
    ({"kernels/common/check.h": '#include "kernels/tiles/mma_product.cuh"\n'}, "operations share"),
    ({"kernels/contrastive_loss/loss.cu": ""}, "remove the exception"),
    ({"core/tape.cpp": '#include <vector>\n#include "core/tape.h"\n', "core/tape.h": ""}, "core/tape.h to be included first"),
    ({"core/long.cpp": "\n" * 401}, "core/long.cpp: 401 lines"),
    ({"scripts/long": "#!/bin/sh\n" + "\n" * 400}, "scripts/long: 401 lines"),
    ({"core/f.cpp": "namespace n {\nint f(int x) {\n" + "  if (x) { x = '{'; }\n" * 59 + "}\n}\n"},
     "core/f.cpp:2: a function of 61 lines"),
    ({"core/f.h": "struct S : Base {\n  S() : x{1} {\n" + "\n" * 59 + "  }\n  int x;\n};\n"}, "core/f.h:2: a function of 61"),
    ({"core/t_test.cpp": 'TEST_CASE("a } in its name") {\n' + "// }\n" * 59 + "}\n"}, "core/t_test.cpp:1: a function of 61"),
    ({"scripts/f.py": "def f():\n" + "    f()\n" * 60}, "scripts/f.py:1: a function of 61 lines"),
    ({"core/w.cu": "int x;\n  // " + "w" * 106}, "core/w.cu:2: a comment of 111 columns"),
    ({"cmake/w.cmake": "# " + "w" * 109}, "cmake/w.cmake:1: a comment of 111 columns"),
]
GOOD = {
    "train/cli/main.cpp": '#include "train/loop/trainer.h"\n#include "kernels/gemm/gemm.h"\n#include <CLI/CLI.hpp>\n',
    "kernels/gemm/gemm.cu": '#include "kernels/pointwise/activation.cuh"\n#include "kernels/tiles/mma_product.cuh"\n',
    "kernels/contrastive_loss/loss.cu": '#include "kernels/pointwise/pointwise_cuda.h"\n',
    "kernels/tiles/tile.cuh": '#include "kernels/pointwise/activation.cuh"\n#include "kernels/common/vec.cuh"\n',
    "tests/core/tape_test.cpp": '#include "core/tape.h"\n',
    "core/pool.cpp": '#include "core/pool.h"\n#include <vector>\n',
    "core/pool.h": "// " + "ö" * 107 + "\n",
    "tests/emulator/programs/sins.cu": "// sin: name: " + "w" * 110 + "\n",
    "scripts/w.py": 'text = "' + "#" * 110 + '"\n',
    "models/f.cpp": "const char* kText = R\"({)\";\nstruct S {\n" + "  int f(V v = {}) { return 1; }\n" * 100 + "};\nint table[] = {\n"
                    + "  1,\n" * 70 + "};\nint f() {\n" + "\n" * 58 + "}\n",
}


def blind_rules():
    """Rules that do not see what breaks them, or see what does not."""
    for files, expected in [*FAULTY, ({}, None)]:
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **files}.items():
                file = pathlib.Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            found = list(problems(pathlib.Path(root)))
        if expected is None and found:
            yield f"nothing is wrong with the small tree, found: {found}"
        elif expected is not None and (len(found) != 1 or expected not in found[0]):
            yield f"expected one problem with '{expected}' in it, found: {found}"


def main():
    found = list(blind_rules()) + list(problems(ROOT))
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
