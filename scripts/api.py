"""Writes docs/api.md: the functions behind the commands, their settings and results, as the code says them.

Takes: the sources of the package, which are read and not imported. Gives: one page; `--check` only says whether it is
up to date, by exit code 1.

    python scripts/api.py

What is public follows from the code: the functions that a command of `cli` calls, the classes that these take and give,
the settings of `config`, the errors.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, PAGE = ROOT / "src" / "corolla", ROOT / "docs" / "api.md"

AROUND = {"console", "compiled", "hosts", "checkpoint", "storage", "config", "errors"}
"""Modules that commands use on the way, but that do not make them."""

ASIDE = ("print_", "refuse_")
"""How functions begin that show what others give, or look ahead."""

ALSO = (("reporter", "Reporter"), ("run", "RunFolder"), ("sinks", "Sinks"), ("storage", "any_path"))
"""What these functions are given, or what is made of what they give."""

Part = ast.FunctionDef | ast.ClassDef

HEAD = """# Corolla as a library

Every command is a function of the same words; what an option says, an argument says. This page is made from the code by
`python scripts/api.py`. Paths (`AnyPath`) are `pathlib.Path` or what `any_path` makes of `gs://...`; `reporter` is told
what the command shows. Functions raise `WishError`, `DataError` or `RunError` with one line that is fit to be shown.
"""


# Reading the sources ----------------------------------------------------------------------------------------------


@functools.cache
def parsed(module: str) -> ast.Module:
    """A module of the package by its dotted name in it."""
    path = PACKAGE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8"))


def found(module: str, name: str) -> tuple[str, Part] | None:
    """Where a function or class of that name is defined, as seen from a module; None for what is not Corolla's."""
    tree = parsed(module)
    for node in tree.body:
        if isinstance(node, Part) and node.name == name:
            return module, node
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("corolla."):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return found(str(node.module).removeprefix("corolla."), alias.name)
    return None


def commands() -> Iterator[tuple[str, list[tuple[str, Part]]]]:
    """Each command in its order, with the functions of the library that it calls."""
    tree = parsed("cli")
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    (union,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and _is(node.targets[0], "Command"))
    for name in re.findall(r"\w+", ast.unparse(union)):
        command = classes[name]
        inside = [command, *(classes[each] for each in re.findall(r"\w+", _fields(command)) if each in classes)]
        yield name.lower(), list(_called(inside))


def _is(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name


def _fields(command: ast.ClassDef) -> str:
    return " ".join(ast.unparse(node.annotation) for node in command.body if isinstance(node, ast.AnnAssign))


def _called(classes: list[ast.ClassDef]) -> Iterator[tuple[str, Part]]:
    for node in (node for one in classes for node in ast.walk(one)):
        module = str(getattr(node, "module", "")).removeprefix("corolla.")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("corolla.") and _first(module):
            for alias in node.names:
                place = None if alias.name.startswith(ASIDE) else found(module, alias.name)
                if place and isinstance(place[1], ast.FunctionDef):
                    yield module, place[1]  # by the name it is imported under


def _first(module: str) -> bool:
    return module.split(".")[0] not in AROUND | {"run", "presets"}


def told(module: str, function: Part) -> Iterator[tuple[str, ast.ClassDef]]:
    """Classes in the signature of a function, and in the fields of those."""
    for annotation in _annotations(function):
        for name in re.findall(r"[A-Z]\w+", ast.unparse(annotation)):
            place = found(module, name)
            if place and isinstance(place[1], ast.ClassDef):
                yield place[0], place[1]


def _annotations(part: Part) -> list[ast.expr]:
    if isinstance(part, ast.ClassDef):
        return [node.annotation for node in part.body if isinstance(node, ast.AnnAssign)]
    given = [*part.args.args, *part.args.kwonlyargs]
    return [each for each in (*(one.annotation for one in given), part.returns) if each is not None]


def public(functions: list[tuple[str, Part]]) -> list[tuple[str, ast.ClassDef]]:
    """The classes that functions take and give, and those inside of these, each once, by modules."""
    seen: dict[tuple[str, str], ast.ClassDef] = {}
    waiting = list(functions)
    while waiting:
        for module, one in told(*waiting.pop()):
            if (module, one.name) not in seen and not one.name.startswith("_"):
                seen[module, one.name] = one
                waiting.append((module, one))
    return [(module, one) for (module, _), one in sorted(seen.items(), key=lambda item: item[0])]


def classes_of(module: str) -> list[tuple[str, ast.ClassDef]]:
    """The public classes of a module, in its order."""
    return [(module, one) for one in parsed(module).body if isinstance(one, ast.ClassDef) and one.name[0] != "_"]


def bodies(module: str, one: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """A class and those that it is made of, the last one first: as a dataclass orders its fields."""
    for base in reversed(one.bases):
        place = found(module, ast.unparse(base))
        if place and isinstance(place[1], ast.ClassDef):
            yield from bodies(place[0], place[1])
    yield one


# Writing the page -------------------------------------------------------------------------------------------------


def page() -> str:
    """The whole page."""
    listed = list(commands())
    functions = list({(module, one.name): (module, one) for _, each in listed for module, one in each}.values())
    also = [place for module, name in ALSO if (place := found(module, name))]
    errors, settings = classes_of("errors"), classes_of("config")
    known = {(module, one.name) for module, one in (*also, *errors, *settings)}
    results = [(module, one) for module, one in public(functions) if (module, one.name) not in known]
    parts = [HEAD, "## Commands\n", *_commands(listed)]
    longest_first = sorted(settings, key=lambda each: -len(each[1].bases))
    for title, classes in (
        ("Settings", longest_first),
        ("Results", results),
        ("Around them", also),
        ("Errors", errors),
    ):
        rows: set[str] = set()
        parts += [f"## {title}\n", *(_part(module, one, "###", rows) for module, one in classes)]
    return "\n".join(parts)


def _commands(listed: list[tuple[str, list[tuple[str, Part]]]]) -> Iterator[str]:
    """Each function once, under the first command that calls it."""
    shown = set()
    for command, functions in listed:
        new = [(module, one) for module, one in functions if (module, one.name) not in shown]
        shown |= {(module, one.name) for module, one in new}
        if new:
            yield f"### corolla {command}\n"
        yield from (_part(module, one, "####", set()) for module, one in new)


def _part(module: str, one: Part, level: str, rows: set[str]) -> str:
    """A function or class. rows: fields of the section so far, which are told once."""
    lines = [f"{level} `corolla.{module}.{one.name}`\n"]
    if isinstance(one, ast.FunctionDef):
        lines.append(f"```python\n{_signature(one)}\n```\n")
    lines.append(f"{ast.get_docstring(one)}\n")
    if isinstance(one, ast.ClassDef):
        lines += _members(module, one, rows)
    return "\n".join(lines)


def _signature(one: ast.FunctionDef) -> str:
    start, arguments = f"def {one.name}(", ast.unparse(one.args)
    end = f") -> {ast.unparse(one.returns)}" if one.returns else ")"
    if len(start + arguments + end) <= 100:
        return start + arguments + end
    return "\n".join([start, *(f"    {each}," for each in _arguments(one.args)), end])


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    plain = ast.arguments([], arguments.args, None, [], [], None, arguments.defaults)
    defaults = [None] * (len(plain.args) - len(plain.defaults)) + list(plain.defaults)
    yield from (_argument(one, default) for one, default in zip(plain.args, defaults, strict=True))
    if arguments.kwonlyargs:
        yield "*"
    yield from (_argument(*each) for each in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    written = f"{one.arg}: {ast.unparse(one.annotation)}" if one.annotation else one.arg
    return written if default is None else f"{written} = {ast.unparse(default)}"


def _members(module: str, one: ast.ClassDef, known: set[str]) -> Iterator[str]:
    """Fields with what stands below them, and methods by their first lines."""
    fields = {name: row for each in bodies(module, one) for name, row in _field_rows(each)}
    again = [f"`{name}`" for name, row in fields.items() if row in known]
    rows = [row for row in fields.values() if row not in known]
    known |= set(rows)
    rows += [f"- as above: {', '.join(again)}"] if again else []
    rows += _method_rows(one)
    if rows:
        yield "\n".join(rows) + "\n"


def _field_rows(one: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node, after in zip(one.body, [*one.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
            says = _text(after)
            default = f" = {ast.unparse(node.value)}" if node.value else ""
            name = ast.unparse(node.target)
            yield name, f"- `{name}: {ast.unparse(node.annotation)}{default}`" + (says and f": {says}")


def _text(node: ast.stmt | None) -> str:
    """A string that stands by itself, on one line."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _method_rows(one: ast.ClassDef) -> Iterator[str]:
    for node in one.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = ", ".join(each.arg for each in (*node.args.args, *node.args.kwonlyargs) if each.arg != "self")
            says = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            yield f"- `.{node.name}({given})`: {says}"


def main() -> None:
    written = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.is_file() and PAGE.read_text("utf-8") == written
        print(f"{PAGE} {'is up to date' if current else 'is not what the code says: python scripts/api.py'}")
        sys.exit(0 if current else 1)
    PAGE.write_text(written, "utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
