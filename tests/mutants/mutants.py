"""Try the tests: change one place of the package at a time and see whether a test fails.

    python tests/mutants/mutants.py --sample 200 --seed 0 --work mutants

A mutant is the package with one operator, comparison, number, condition or statement replaced. The places are drawn at
random from kernels, engine, trajectory and learning. First the tests of these folders run once, as plain Python without
compiled loops, to learn which of them execute a line and how long they take; then every mutant is tried on those that
execute its line, the shortest first, up to the first that fails. What is decided when loops are compiled (signatures,
flags, the source of CUDA kernels) is not executed so, and is not drawn. Results are one line of JSON each in
WORK/results.jsonl; a run that is stopped goes on where it was. Needs `coverage`.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("kernels", "engine", "trajectory", "learning")
TEST_SECONDS = 6  # of the processor, for one test without compiled loops; longer ones are left out
WAITING = 6  # times as long may pass
MUTANT_SECONDS = 900  # of all tests of a mutant; one that takes longer is undecided
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}
WORDS = ("refusal", "describe", "TypeVar", "NewType")  # whose arguments are sentences


def replacements(node):
    """Changed copies of a node, each with its name."""

    def changed(name, **fields):
        other = copy.copy(node)
        for field, value in fields.items():
            setattr(other, field, value)
        return name, other

    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield changed("comparison", ops=[COMPARISONS[type(node.ops[0])]()])
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield changed("operator", op=OPERATORS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        value = node.value
        yield changed("number", value=not value if isinstance(value, bool) else value + 1 if value < 2 else value * 2)
    elif isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load):
        yield changed("name", id=NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in NAMES and isinstance(node.ctx, ast.Load):
        yield changed("name", attr=NAMES[node.attr])
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield changed("condition", test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Expr | ast.AugAssign) or (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript | ast.Attribute)
    ):
        yield "statement", ast.Pass()


def places(tree):
    """Nodes that may be replaced: not those of annotations, decorators, docstrings and sentences."""
    found = []

    def walk(node):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in WORDS:
            return
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
            return
        found.append(node)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    walk(child)

    walk(tree)
    return [node for node in found if hasattr(node, "lineno")]


def all_mutants(source):
    """(line, name, what was, what is, first and last byte, text in its place) of a file."""
    lines = source.encode().splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    for node in places(ast.parse(source)):
        begin = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        text = source.encode()[begin:end].decode()
        for name, other in replacements(node):
            if isinstance(node, ast.If | ast.While):  # the body stays as it is written
                test = node.test
                begin = offsets[test.lineno - 1] + test.col_offset
                end = offsets[test.end_lineno - 1] + test.end_col_offset
                text = source.encode()[begin:end].decode()
                new = f"(not ({text}))"
            else:
                new = ast.unparse(ast.fix_missing_locations(other))
                new = new if isinstance(node, ast.stmt) else f"({new})"
            with contextlib.suppress(SyntaxError):
                compile(source.encode()[:begin] + new.encode() + source.encode()[end:], "mutant", "exec")
                yield node.lineno, name, text, new, begin, end


class Patience:
    """A plugin of pytest: a test that takes too long fails; how long each took is written down."""

    def __init__(self, path, record):
        self.path, self.record, self.seconds = path, record, {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Tell coverage whose lines follow."""
        coverage = None
        if self.record:
            from coverage import Coverage

            coverage = Coverage.current()
        if coverage:
            coverage.switch_context(item.nodeid)
        yield
        if coverage:
            coverage.switch_context("")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self, item):
        """Limit the fixtures of a test."""
        with limited():
            yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        """Limit a test."""
        with limited():
            yield

    def pytest_runtest_logreport(self, report):
        """Add up."""
        seconds, passed = self.seconds.get(report.nodeid, (0.0, True))
        good = report.passed or (report.when != "call" and not report.failed)
        self.seconds[report.nodeid] = seconds + report.duration, passed and good

    def pytest_sessionfinish(self):
        """Keep the times of those that passed."""
        passed = {name: seconds for name, (seconds, good) in self.seconds.items() if good}
        Path(self.path).write_text(json.dumps(passed), encoding="utf-8")


class TooLong(BaseException):
    """Of a test; no Exception, since Hypothesis would look for a simpler example that takes too long."""


def too_long(number, frame):
    """Of the signal of a timer."""
    raise TooLong(f"no answer within {TEST_SECONDS} s")


@contextlib.contextmanager
def limited():
    """Raise TooLong in what takes too long."""
    signal.signal(signal.SIGPROF, too_long)
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_PROF, TEST_SECONDS)
    signal.alarm(WAITING * TEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def inside(arguments):
    """What the child process does: run tests, named in a file, in this folder."""
    names, times, record = arguments
    tests = json.loads(Path(names).read_text(encoding="utf-8"))
    options = ["-n", "0", "-p", "no:cacheprovider", "-q", "--no-header", "-o", "addopts=--import-mode=importlib"]
    options += ["-m", "not slow and not network and not bench and not browser"]
    if not int(record):
        options.append("-x")
    return pytest.main([*options, *tests], plugins=[Patience(times, int(record))])


def environment(tree):
    """Of a child process: loops are not compiled, and the package is that of the tree."""
    return {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1", "DYNSIM_BASELINE": "1", "MPLBACKEND": "agg"}  # fmt: skip


def command(tree, tests, work, name, record=False):
    """What runs the named tests in a tree, under coverage if they are recorded."""
    names, times = work / f"{name}-names.json", work / f"{name}-times.json"
    names.write_text(json.dumps(tests), encoding="utf-8")
    program = [sys.executable]
    if record:
        program += ["-m", "coverage", "run", f"--data-file={work / name}.coverage"]
        program += [f"--source={','.join(str(tree / 'dynsim' / folder) for folder in FOLDERS)}"]
    return [*program, str(tree / "tests/mutants/mutants.py"), "--inside", str(names), str(times), str(int(record))]


def copy_tree(work, name):
    """A copy of the files that Git knows."""
    tree = work / name
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True,
                            check=True).stdout  # fmt: skip
    for path in filter(None, listed.decode().split("\0")):
        if (ROOT / path).is_file():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tree / path)
    return tree


def learn(work, jobs):
    """Run all tests once; returns their times, and the names of those that execute each line of each file."""
    kept = work / "lines.json"
    if kept.exists():
        known = json.loads(kept.read_text(encoding="utf-8"))
        return known["seconds"], {path: {int(k): v for k, v in lines.items()} for path, lines in known["lines"].items()}
    tree = copy_tree(work, "learn")
    files = [str(path) for folder in FOLDERS for path in sorted((tree / "tests" / folder).glob("test_*.py"))]
    left = [path for path in files if not (work / f"{Path(path).stem}-times.json").exists()]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        runs = [
            pool.submit(subprocess.run, command(tree, [path], work, Path(path).stem, True), cwd=tree,
                        env=environment(tree), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            for path in left
        ]  # fmt: skip
        for path, run in zip(left, runs, strict=True):
            print(f"{Path(path).relative_to(tree)}: exit {run.result().returncode}", file=sys.stderr, flush=True)
    from coverage import CoverageData

    seconds, lines = {}, defaultdict(lambda: defaultdict(list))
    for path in files:
        times = work / f"{Path(path).stem}-times.json"
        if times.exists():
            seconds.update(json.loads(times.read_text(encoding="utf-8")))
        data = CoverageData(str(work / f"{Path(path).stem}.coverage"))
        data.read()
        for measured in data.measured_files():
            for line, contexts in data.contexts_by_lineno(measured).items():
                lines[str(Path(measured).relative_to(tree))][line] += [name for name in contexts if name in seconds]
    kept.write_text(json.dumps({"seconds": seconds, "lines": lines}), encoding="utf-8")
    return seconds, lines


def trial(mutant, work, trees):
    """Try a mutant on its tests; returns what became of it."""
    tree = trees.pop()
    path, (line, name, was, new, begin, end) = mutant["file"], mutant["change"]
    source = (ROOT / path).read_bytes()
    try:
        (tree / path).write_bytes(source[:begin] + new.encode() + source[end:])
        call = command(tree, mutant["tests"], work, tree.name)
        with subprocess.Popen(call, cwd=tree, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, start_new_session=True) as child:  # fmt: skip
            try:
                said = child.communicate(timeout=MUTANT_SECONDS)[0]
                fate = {0: "survived", 5: "survived"}.get(child.returncode, "killed")
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                said, fate = "", "undecided"
    finally:
        (tree / path).write_bytes(source)
        trees.append(tree)
    by = [text for text in said.splitlines() if text.startswith(("FAILED", "ERROR", "E  "))][-1:]
    return {"number": mutant["number"], "file": path, "line": line, "name": name, "was": was, "is": new, "fate": fate,
            "tests": len(mutant["tests"]), "by": by}  # fmt: skip


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("mutants"))
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    seconds, lines = learn(work, options.jobs)
    everything = []
    for path, known in sorted(lines.items()):
        source = (ROOT / path).read_text(encoding="utf-8")
        for change in all_mutants(source):
            tests = sorted(set(known.get(change[0], [])), key=lambda test: seconds[test])
            if tests:
                everything.append({"file": path, "change": change, "tests": tests})
    print(f"{len(everything)} mutants of {len(lines)} files, {len(seconds)} tests", file=sys.stderr)
    chosen = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    chosen = [{**mutant, "number": number} for number, mutant in enumerate(chosen)]
    results = work / f"results-{options.seed}.jsonl"
    done = []
    if results.exists():
        done = [json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()]
    tried = {one["number"] for one in done}
    trees = [copy_tree(work, f"tree-{k}") for k in range(options.jobs)]
    with results.open("a", encoding="utf-8") as file, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = {pool.submit(trial, mutant, work, trees) for mutant in chosen if mutant["number"] not in tried}
        for future in concurrent.futures.as_completed(waiting):
            done.append(future.result())
            file.write(json.dumps(done[-1]) + "\n")
            file.flush()
            one = done[-1]
            if one["fate"] != "killed":
                change = f"{one['was']!r} -> {one['is']!r}"
                print(f"{one['file']}:{one['line']}: {change} {one['fate']}, {one['tests']} tests", flush=True)
    killed = sum(one["fate"] == "killed" for one in done)
    print(f"{killed} of {len(done)} mutants killed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(inside(sys.argv[2:]))
    main()
