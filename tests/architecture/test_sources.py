"""What a reviewer would otherwise have to look for in every change."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_nats.messaging import document as subjects_document
from bacalhau_nats.messaging.subjects import CATALOGUE, FACT
from bacalhau_nats.settings import document as settings_document

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "bacalhau_nats").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40

# Not subjects: Bacalhau's reserved meta keys and the file `serve` writes.
NO_SUBJECTS = ("bacalhau.org", "bacalhau.run")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def statements(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give every string literal that is no docstring, with its line."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def misplaced_subjects(path: Path) -> list[str]:
    """Find literals that spell a subject outside the room for it."""
    room = name_of(path) if path.is_relative_to(ROOT) else path.name
    if room == "bacalhau_nats/messaging/subjects.py":
        return []
    found = []
    for line, text in texts(statements(path)):
        ours = text.startswith("bacalhau.") and not text.startswith(NO_SUBJECTS)
        servers = text.startswith(("$JS", "$KV", "$SYS")) and not room.startswith("bacalhau_nats/messaging/")
        if ours or servers:
            found.append(f"{room}:{line}: {text!r}")
    return found


def test_subjects_are_spelled_in_one_place():
    assert [found for path in MODULES for found in misplaced_subjects(path)] == []


@pytest.mark.parametrize(
    ("source", "misplaced"),
    [
        ("x = 'bacalhau.main.job'", True),
        ("x = f'bacalhau.{cell}.job'", True),
        ("x = '$JS.API.INFO'", True),
        ("x = '$KV.a'", True),
        ('"""bacalhau.main is in a docstring."""', False),
        ("x = 'bacalhau.org/requester'", False),
        ("x = 'bacalhau_nats.executors'", False),
    ],
)
def test_the_search_for_subjects_finds_what_it_should(tmp_path, source, misplaced):
    module = tmp_path / "module.py"
    module.write_text(source)
    assert bool(misplaced_subjects(module)) is misplaced


def test_modules_fit_on_a_few_screens():
    long = {
        name_of(path): size
        for path in MODULES
        if (size := len(path.read_text().splitlines())) > MAX_MODULE_LINES
    }
    assert long == {}


def test_functions_fit_on_one_screen():
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": size
        for path in MODULES
        for node in ast.walk(statements(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - body_start(node) + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def body_start(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Give the line after the docstring: explaining a function must not make it too long."""
    return (
        function.body[1].lineno if ast.get_docstring(function) and len(function.body) > 1 else function.lineno
    )


def shared_files() -> Iterator[Path]:
    for folder in ("bacalhau_nats", "cli", "tests", "docs", "benchmarks", "wasm"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".conf", ".wat", ".sh"}:
                yield path
    yield from (path for path in ROOT.glob("*") if path.is_file() and path.suffix != ".pyc")


def test_no_file_names_a_path_of_this_machine():
    """The checkout, what lies beside it and the home of its writer mean nothing to a reader."""
    private = {str(folder) for folder in (ROOT, ROOT.parent, Path.home()) if folder != Path("/")}
    found = [
        f"{name_of(path)} names {folder}"
        for path in shared_files()
        for folder in private
        if f"{folder}/" in path.read_text(errors="replace")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("page", "document"),
    [("settings.md", settings_document.document), ("subjects.md", subjects_document.document)],
)
def test_generated_pages_are_up_to_date(page, document):
    module = document.__module__
    assert (ROOT / "docs" / page).read_text() == document(), f"run: python -m {module} > docs/{page}"


def test_every_message_on_the_bus_has_an_example_that_survives_the_wire():
    for subject in CATALOGUE:
        if subject is FACT:
            continue
        for name in subjects_document.message_names(subject):
            example = subjects_document.EXAMPLES[name]
            assert example.to_wire(), f"the example of {name} is empty"
            assert type(example).model_validate_json(example.to_json()) == example
