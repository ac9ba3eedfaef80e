"""Rules of the code base that no type checker knows, read from the syntax tree of every module.

Which package may import which is import-linter's business (`make check`). Each rule here is a function over one module,
and each is shown to catch what it forbids.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "audit", "partners", "gateway")

RECORD_TABLES = {"record", "record_history", "observation", "observation_history"}
_SQL = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)\s+({'|'.join(sorted(RECORD_TABLES))})\b", re.IGNORECASE)

MAY_TOUCH_RECORDS = (
    "gateway/store/",
    "gateway/demo/comparison.py",  # compares whole stores; it serves nobody
)
MAY_COMMIT = (
    "gateway/db.py",
    "audit/heads.py",  # the head store is a database of its own, ahead of the other by design
)
MAY_PRINT = ("gateway/cli/",)
WORKS_AT_IMPORT = {
    "create_engine", "sessionmaker", "Database", "HeadStore", "Settings", "Gateway", "FastAPI", "Client", "AsyncClient",
    "create_partner_app", "create_console_app", "open_home", "load_settings", "connect", "getenv", "open",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of ours by its path below the root, parsed."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def name_of(node: ast.AST) -> str:
    """The last part of a name: `create_engine` of `sqlalchemy.create_engine`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Strings in the code, without docstrings."""
    spoken = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in spoken:
            yield node


def touches_records(tree: ast.Module) -> Iterator[ast.AST]:
    """Tables of records used by themselves, in whatever way they are reached."""
    for node in ast.walk(tree):
        of_tables = isinstance(node, ast.Attribute) and name_of(node.value) == "tables"
        if of_tables and node.attr in RECORD_TABLES:
            yield node
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("store.tables"):
            yield from (node for alias in node.names if alias.name in {*RECORD_TABLES, "*"})
        is_key = isinstance(node, ast.Subscript) and name_of(node.value) == "tables"
        if is_key and isinstance(node.slice, ast.Constant) and node.slice.value in RECORD_TABLES:
            yield node
    yield from (text for text in texts(tree) if _SQL.search(str(text.value)))


def ends_transactions(tree: ast.Module) -> Iterator[ast.AST]:
    """A commit, or a transaction begun where only sessions belong."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"commit", "begin"}
        ):
            yield node
    yield from (
        text for text in texts(tree) if re.fullmatch(r"COMMIT|BEGIN( IMMEDIATE| EXCLUSIVE)?", str(text.value).strip())
    )


def prints(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) == "print":
            yield node


def shows_records_ungranted(tree: ast.Module) -> Iterator[ast.AST]:
    """Records read for somebody without asking what that one may have.

    A function that asks the store for a reader's records has the caller among its parameters, asks `allow` by itself,
    and hands on the extent that it was given. What the store has for the home party's own duties is not for readers.
    """
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            reads = [call for call in calls if name_of(call.func) in READS_FOR_A_READER]
            asks = any(name_of(call.func) == "allow" for call in calls)
            yield from (call for call in reads if not (asks and has_caller(function) and hands_on_extent(call)))
    for node in ast.walk(tree):
        own = isinstance(node, ast.Attribute) and name_of(node.value) in STORE_OF_RECORDS
        if own and node.attr not in NOT_FOR_A_READER_ALONE:
            yield node
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in STORE_OF_RECORDS:
            yield from (alias for alias in node.names if alias.name[0].islower())


def has_caller(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return any(one.annotation is not None and name_of(one.annotation) in CALLERS for one in arguments)


def hands_on_extent(call: ast.Call) -> bool:
    return any(name_of(one) == "extent" for one in (*call.args, *(keyword.value for keyword in call.keywords)))


def says_nothing(tree: ast.Module) -> Iterator[ast.AST]:
    if not (ast.get_docstring(tree) or "").strip():
        yield tree


def works_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Engines, settings, applications, connections or the environment, made or read when a module is imported."""
    for node in at_import(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in WORKS_AT_IMPORT:
            yield node
        if isinstance(node, ast.Attribute) and node.attr == "environ":
            yield node


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for outside in (*child.decorator_list, child.args):
                yield from ast.walk(outside)
        elif not isinstance(child, ast.Lambda) and not is_main(child):
            yield from at_import(child)


def is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


SERVING = ("gateway/api/", "gateway/console/")
READS_FOR_A_READER = {"read_statements", "visible_series"}
STORE_OF_RECORDS = {"records", "observations", "history"}
NOT_FOR_A_READER_ALONE = {"marks_of"}  # judges values that are shown anyway; no mark is shown
CALLERS = {"Caller", "Principal", "Asked"}  # `Asked` has a caller in it

Rule = Callable[[ast.Module], Iterator[ast.AST]]

RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "records are read and written in the store alone": (touches_records, MAY_TOUCH_RECORDS),
    "only the edge commits, through the sessions of gateway/db.py": (ends_transactions, MAY_COMMIT),
    "only the command line prints": (prints, MAY_PRINT),
    "every module says what it is for": (says_nothing, ()),
    "nothing is opened, read or made when a module is imported": (works_at_import, ()),
}


@pytest.mark.parametrize("name", RULES)
def test_the_code_keeps_the_rule(name: str) -> None:
    rule, exceptions = RULES[name]
    broken = [
        f"{path}:{getattr(node, 'lineno', 1)}"
        for path, tree in modules()
        if not path.startswith(exceptions)
        for node in rule(tree)
    ]
    assert broken == []


def test_what_serves_readers_shows_no_record_without_their_grant() -> None:
    served = [(path, tree) for path, tree in modules() if path.startswith(SERVING)]
    assert [
        f"{path}:{getattr(node, 'lineno', 1)}" for path, tree in served for node in shows_records_ungranted(tree)
    ] == []
    reading = {path for path, tree in served for node in ast.walk(tree) if name_of(node) in READS_FOR_A_READER}
    assert reading == {"gateway/api/records.py", "gateway/api/observations.py"}


@pytest.mark.parametrize("path", [path for _, paths in RULES.values() for path in paths])
def test_an_exception_that_nothing_needs_any_more_is_taken_out(path: str) -> None:
    rules = [rule for rule, paths in RULES.values() if path in paths]
    assert any(next(rule(tree), None) for rule in rules for found, tree in modules() if found.startswith(path))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (touches_records, "select(tables.observation)"),
        (touches_records, "session.execute(store.tables.record_history.delete())"),
        (touches_records, "from gateway.store.tables import observation as o"),
        (touches_records, "metadata.tables['record']"),
        (touches_records, "session.execute(text('SELECT value FROM observation'))"),
        (ends_transactions, "def f(session):\n    session.commit()"),
        (ends_transactions, "with engine.begin() as session: pass"),
        (ends_transactions, "connection.execute('COMMIT')"),
        (prints, "def f():\n    print(1)"),
        (shows_records_ungranted, "def f(session, extent):\n    return read_statements(session, extent)"),
        (shows_records_ungranted, "def f(s, caller: Caller):\n    return read_statements(s, Extent(everything=True))"),
        (
            shows_records_ungranted,
            "def f(s, caller: Caller):\n    allow(s, caller)\n    return read_statements(s, Extent(everything=True))",
        ),
        (
            shows_records_ungranted,
            "def f(s):\n    extent = allow(s, somebody).extent\n    return visible_series(s, extent)",
        ),
        (shows_records_ungranted, "def f(s, caller: Caller):\n    return records.read_page(s, 'site')"),
        (shows_records_ungranted, "from gateway.store.observations import fetch"),
        (says_nothing, "from __future__ import annotations"),
        (works_at_import, "engine = sqlalchemy.create_engine('sqlite://')"),
        (works_at_import, "app: FastAPI = FastAPI()"),
        (works_at_import, "if True:\n    HOME = os.environ['HOME']"),
        (works_at_import, "class A:\n    settings = Settings()"),
        (works_at_import, "def f(settings=Settings()): ..."),
    ],
)
def test_the_rule_catches_what_it_forbids(rule: Rule, source: str) -> None:
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (touches_records, "select(tables.batch)"),
        (touches_records, "'''Reads FROM observation.'''"),
        (
            shows_records_ungranted,
            "def f(s, caller: Caller):\n    grant = allow(s, caller)\n    return read_statements(s, grant.extent, 'x')",
        ),
        (shows_records_ungranted, "from gateway.store.observations import Key, Row"),
        (works_at_import, "def create(settings):\n    return FastAPI()"),
        (works_at_import, "if __name__ == '__main__':\n    Database('')"),
    ],
)
def test_the_rule_lets_pass_what_it_does_not_forbid(rule: Rule, source: str) -> None:
    assert not list(rule(ast.parse(source)))
