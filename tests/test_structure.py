"""The rules of the tree: who imports whom, how long things get, what is never imported, that tests test."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import ROOT

# The modules of core by package, "" for core itself. Each imports only from those before it, so that packages hold no
# circle either. This list is the one home of the order.
LAYERS = (
    ("", ["errors", "config", "seeding", "runtime"]),
    ("storage", ["artifacts", "database", "store", "records"]),
    ("text", ["files", "wheels", "sources", "corpora", "tokens", "noise", "inputs", "uploads"]),
    ("lstm", ["models", "fitting", "training"]),
    (
        "quantization",
        [
            "calibration",
            "products",
            "kernels",
            "levels",
            "captured",
            "engine",
            "heads",
            "packing",
            "residents",
            "ranges",
            "brevitas_models",
            "ptq",
        ],
    ),
    ("measurement", ["stats", "evaluation", "results"]),
    ("", ["pipeline"]),
    (
        "transformers",
        [
            "transformer_config",
            "published",
            "subwords",
            "fine_tuning",
            "bases",
            "parameter_int8",
            "fake_quantization",
            "linear_methods",
            "transformer_methods",
            "latency",
            "transformer_rows",
            "transformer_pipeline",
        ],
    ),
    ("studies", ["executors", "experiments", "planning", "study"]),
    ("background", ["jobs", "job_steps", "job_worker"]),
    (
        "display",
        [
            "charts",
            "live",
            "previews",
            "curve_charts",
            "live_charts",
            "views",
            "pairs",
            "downloads",
            "report",
            "curves",
            "curve_words",
            "breakdowns",
            "coverage",
            "composer",
            "readings",
            "distributions",
            "distribution_charts",
            "method_charts",
            "methods",
            "method_verdicts",
        ],
    ),
    (
        "verdicts",
        [
            "draws",
            "study_rows",
            "claims",
            "width_table",
            "study_charts",
            "paper_figures",
            "paper_claims",
            "redo_claims",
            "paper",
        ],
    ),
    ("teaching", ["scenes", "lesson_weights", "lesson_results", "lesson_limits", "guide", "lesson", "about"]),
    ("commands", ["tables", "cards", "shipping", "study_command", "transformer_command"]),
    ("", ["__main__"]),
)
ORDER = [module for _, modules in LAYERS for module in modules]
PACKAGES = {package for package, _ in LAYERS}
SHOWN = {"curve_charts", "live_charts", "curves", "curve_words", "breakdowns", "coverage", "composer", "readings"}
OPEN_TO_PAGES = SHOWN | {"pipeline", "charts", "views", "guide", "config", "errors", "corpora"}
OPEN_TO_PAGES |= {"about", "lesson", "lesson_weights", "lesson_results", "lesson_limits", "scenes"}
OPEN_TO_PAGES |= {"pairs", "downloads", "report", "paper", "claims", "paper_figures", "study_rows"}
OPEN_TO_PAGES |= {"distributions", "distribution_charts"}
OPEN_TO_PAGES |= {"methods", "method_charts", "method_verdicts", "published", "transformer_config"}
OPEN_TO_PAGES |= {"files", "jobs", "uploads", "previews"}
CLOSED_TO_PAGES = {"numpy", "torch", "scipy"}
UNSAFE = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
UNSAFE_CALLS = {"torch.load", "torch.save", "pandas.read_pickle", "pd.read_pickle"}
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 350


def listed_python_files() -> list[Path]:
    """Every Python file of the tree that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted({ROOT / name for name in listing.split("\0") if name and (ROOT / name).exists()})


FILES = listed_python_files()
CORE = [path for path in FILES if path.is_relative_to(ROOT / "core")]
MODULES = [path for path in CORE if path.stem != "__init__"]
PAGES = [path for path in FILES if path.parent == ROOT / "pages" or path == ROOT / "app.py"]
TESTS = [path for path in FILES if path.is_relative_to(ROOT / "tests")]


def imported(source: str) -> set[str]:
    """Every dotted name that a source imports, `from a import b` as a.b; relative imports count from core."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, ["core" if node.level else "", node.module or ""]))
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return names


def packages(source: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(source)}


def core_modules(source: str) -> set[str]:
    """The modules of core that a source imports from."""
    parts = (name.split(".")[1:] for name in imported(source) if name.startswith("core."))
    return {next((part for part in names if part not in PACKAGES), names[-1]) for names in parts}


def order_faults(module: str, source: str) -> list[str]:
    above = set(ORDER[: ORDER.index(module)])
    return [f"{module} imports {name}, which is not above it" for name in sorted(core_modules(source) - above)]


def page_faults(source: str) -> list[str]:
    inner = [f"imports core.{name}" for name in sorted(core_modules(source) - OPEN_TO_PAGES)]
    return inner + [f"imports {name}" for name in sorted(packages(source) & CLOSED_TO_PAGES)]


def unsafe_faults(source: str) -> list[str]:
    """Modules and functions that store or load code along with data."""
    called = {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return sorted((packages(source) & UNSAFE) | ((called | imported(source)) & UNSAFE_CALLS))


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length_faults(source: str) -> list[str]:
    lines = len(source.splitlines())
    long_file = [f"the file has {lines} lines"] if lines > MAX_FILE_LINES else []
    sizes = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(source)}
    return long_file + [f"{name} has {size} lines" for name, size in sizes.items() if size > MAX_FUNCTION_LINES]


def idle_tests(source: str) -> list[str]:
    """Test functions that check nothing."""
    return [node.name for node in functions(source) if node.name.startswith("test_") and not _checks(node)]


def _checks(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and re.fullmatch(r"raises|warns|expect|assert_\w+", _name(node.func)))
        for node in ast.walk(function)
    )


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def faults(files: list[Path], rule: Callable[[str], list[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}: {fault}" for path in files for fault in rule(path.read_text())]


def test_every_core_module_has_a_place_in_the_order() -> None:
    placed = {ROOT / "core" / package / f"{module}.py" for package, modules in LAYERS for module in modules}
    assert set(MODULES) == placed
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_core_modules_import_only_from_those_above(path: Path) -> None:
    assert order_faults(path.stem, path.read_text()) == []


def test_core_sources_name_no_streamlit() -> None:
    assert [path.name for path in CORE if "streamlit" in packages(path.read_text())] == []


def test_importing_core_brings_in_no_streamlit() -> None:
    modules = ", ".join(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES)
    script = f"import sys, {modules}; print('streamlit' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("False", 0), result.stderr


def test_pages_stay_above_the_main_path() -> None:
    assert faults(PAGES, page_faults) == []


def test_functions_and_files_stay_short() -> None:
    assert faults(FILES, length_faults) == []


def test_nothing_stores_code_as_data() -> None:
    assert faults(FILES, unsafe_faults) == []


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_core_modules_with_functions_have_a_test_file(path: Path) -> None:
    name = "test_cli.py" if path.stem == "__main__" else f"test_{path.stem}.py"
    wanted = ROOT / "tests" / path.relative_to(ROOT / "core").with_name(name)
    has_functions = any(functions(path.read_text()))
    assert wanted in TESTS or not has_functions


def test_every_test_checks_something() -> None:
    assert faults(TESTS, idle_tests) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from core import storage", ["config imports storage, which is not above it"]),
        ("from core.pipeline import evaluate", ["config imports pipeline, which is not above it"]),
        ("import core.storage.store", ["config imports store, which is not above it"]),
        ("from core.quantization import ptq", ["config imports ptq, which is not above it"]),
        ("def f():\n    from . import ptq", ["config imports ptq, which is not above it"]),
        ("from .ptq import quantize", ["config imports ptq, which is not above it"]),
        ("from core.errors import InputError\nimport corelib.ptq", []),
    ],
)
def test_the_order_rule_sees_every_form_of_import(source: str, found: list[str]) -> None:
    assert order_faults("config", source) == found


@pytest.mark.parametrize(
    ("rule", "source", "found"),
    [
        (
            page_faults,
            "import numpy.linalg as la\nfrom core.quantization import ptq\nfrom core.display import charts",
            ["imports core.ptq", "imports numpy"],
        ),
        (unsafe_faults, "import torch\ntorch.load('weights')", ["torch.load"]),
        (unsafe_faults, "from torch import load", ["torch.load"]),
        (unsafe_faults, "def f():\n    import joblib.memory", ["joblib"]),
        (unsafe_faults, "import json\njson.load(file)", []),
        (length_faults, "def f():\n" + "    pass\n" * 59, []),
        (length_faults, "def f():\n" + "    pass\n" * 60, ["f has 61 lines"]),
        (length_faults, "x = 1\n" * 350, []),
        (length_faults, "x = 1\n" * 351, ["the file has 351 lines"]),
        (idle_tests, "def test_a():\n    run()", ["test_a"]),
        (idle_tests, "class TestA:\n    def test_b(self):\n        lines.expected()", ["test_b"]),
        (idle_tests, "def test_a():\n    with pytest.raises(E):\n        run()", []),
        (idle_tests, "def test_a():\n    np.testing.assert_allclose(a, b)", []),
        (idle_tests, "def test_a(page):\n    expect(page).to_have_title('x')", []),
        (idle_tests, "def helper():\n    run()", []),
    ],
)
def test_the_rules_find_what_they_are_for(rule: Callable[[str], list[str]], source: str, found: list[str]) -> None:
    assert rule(source) == found
