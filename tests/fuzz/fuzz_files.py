"""Try changed files on everything that reads files: every reader answers, or says in a sentence what is wrong.

    python tests/fuzz/fuzz_files.py --cases 20000 --seed 0
    python tests/fuzz/fuzz_files.py --kind program --seed 0 --first 117 --cases 1 --keep here

A case is a valid file, changed at random places (mutations.py), read by every function and command that takes such a
file (kinds.py). What is counted as wrong: an error that no line of the package raised on purpose, more than SECONDS of
computing without an answer, more than BUDGET of memory, a process that dies, and code of a file that ran. Case n of a
seed and a kind is always the same. A child process does the work, so that all of this is seen.
"""

import argparse
import contextlib
import io
import json
import linecache
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 20.0  # of a reader's computing, without an answer
PATIENCE = 30 * SECONDS  # of a clock: on a busy machine, computing takes longer
BUDGET = 2**30  # bytes of memory that a reader of these small files may take
LIMIT = 6 * 2**30  # bytes that the process may take at all
RARE = 12  # readers that cost much are tried on every so many-th case
COMPUTING = 3.0  # seconds after which a command that computes is asked to stop, as by Ctrl-C


def wrong(error):
    """What is wrong with an error that a reader raised, or None if it is a sentence of the package."""
    import click

    if isinstance(error, click.ClickException | click.Abort | KeyboardInterrupt):
        return None
    if isinstance(error, SystemExit):
        return None if error.code in (None, 0, 1, 2, 3, 4, 130) else f"exit code {error.code}"
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not isinstance(error, ValueError | TypeError | OSError | ImportError):
        return said
    if isinstance(error, OSError) and error.strerror and error.filename:
        return None  # of the system, with the file's name
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code.co_filename
    if "/dynsim/" in code and linecache.getline(code, innermost.tb_lineno).strip().startswith("raise "):
        return None
    return f"{said} ({code}:{innermost.tb_lineno})"


@contextlib.contextmanager
def stopping(seconds):
    """Interrupt what computes for longer, as Ctrl-C does: how long a valid run takes is its own affair."""

    def stop(number, frame):
        raise KeyboardInterrupt

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGPROF, stop)  # of the processor's time, not the clock's
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def read(reader, path, computes):
    """What went wrong when a reader had the file, or None."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with stopping(COMPUTING) if computes else contextlib.nullcontext():
                reader(path)
    except BaseException as error:
        return wrong(error)
    return None


def case(kind, seed, number, valid, folder):
    """Make a case; yields what was changed, and then (reader, what went wrong or None)."""
    import mutations
    import numpy as np

    name, data = valid
    rng = np.random.default_rng([seed, number, sum(map(ord, kind.name))])
    data, what = kind.change(rng, data, folder)
    path = Path(folder) / name
    path.write_bytes(data)
    yield f"{what} ({len(data)} bytes)", None
    readers = {**kind.readers, **(kind.rare if number % RARE == 0 else {})}
    for reader, function in readers.items():
        computes = kind.name in ("configuration", "recipe") or reader in (
            "resume",
            "simulate",
            "convert",
            "verify",
            "plan",
        )
        yield reader, read(function, path, computes)
        if (Path.cwd() / mutations.MARKER).exists():
            yield reader, "code in the file ran"
            (Path.cwd() / mutations.MARKER).unlink()


def memory():
    """Largest memory of this process so far, in bytes."""
    import resource

    # Linux counts what the parent had when it started this process towards `ru_maxrss`.
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(folder, requests):
    """Do the cases of (kind, seed, number) that come as lines; say a line of JSON for every reader."""
    import resource

    from kinds import KINDS, make

    # Sizes are compared with the memory of the machine: as if it had no more than a reader may take.
    told, pages = os.sysconf, BUDGET // os.sysconf("SC_PAGE_SIZE")
    os.sysconf = lambda name: pages if name == "SC_PHYS_PAGES" else told(name)
    say = os.fdopen(os.dup(1), "w", buffering=1)
    known, valid = {kind.name: kind for kind in KINDS}, {}
    for line in requests:
        name, seed, number = json.loads(line)
        if name not in valid:
            valid[name] = make(known[name], folder)
            path = Path(tempfile.mkdtemp(dir=folder)) / valid[name][0]
            path.write_bytes(valid[name][1])
            for reader, function in {**known[name].readers, **known[name].rare}.items():
                say.write(json.dumps({"reader": f"{reader} (valid)", "wrong": read(function, path, False)}) + "\n")
            with open("/proc/self/statm") as sizes:
                now = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT, resource.RLIM_INFINITY))
        before = memory()
        work = Path(tempfile.mkdtemp(dir=folder))
        os.chdir(work)
        say.write(json.dumps({"case": number, "kind": name}) + "\n")
        for reader, found in case(known[name], seed, number, valid[name], work):
            if memory() - before > BUDGET:
                found, before = f"{(memory() - before) / 2**30:.1f} GiB of memory", memory()
            say.write(json.dumps({"reader": reader, "wrong": found}) + "\n")
        os.chdir(folder)
        shutil.rmtree(work, ignore_errors=True)
        say.write(json.dumps({"done": number}) + "\n")


def computed(process):
    """Seconds of processor that a process has used, or None where that is not told."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None


class Worker:
    """A child process and what it says."""

    def __init__(self, folder):
        command = [sys.executable, __file__, "--child", "--keep", str(folder)]
        threads = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.errors = open(Path(folder) / "errors.txt", "w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **threads},
        )  # fmt: skip
        self.lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def ask(self, *case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()

    def answers(self):
        """What it says of a case, one line after another; ends with a hang or the end of the process, if one comes."""
        while True:
            began, used = time.monotonic(), computed(self.process)
            while True:
                try:
                    line = self.lines.get(timeout=1.0)
                    break
                except queue.Empty:
                    now = computed(self.process)
                    busy = now - used if None not in (now, used) else time.monotonic() - began
                    if busy > SECONDS or time.monotonic() - began > PATIENCE:
                        self.end()
                        yield {"reader": "after the last one", "wrong": f"no answer within {SECONDS:g} s"}
                        return
            if line is None:
                self.process.wait()
                self.errors.seek(0)
                last = self.errors.read().strip().splitlines()[-1:]
                yield {"reader": "after the last one", "wrong": f"the process ended: {self.process.returncode} {last}"}
                return
            yield line
            if "done" in line:
                return

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.errors.close()


def run(cases, folder, tell=None):
    """Try cases (kind, seed, number); returns the findings as [(kind, seed, number, what was done, reader, what)]."""
    findings, worker, worked = [], None, 0
    try:
        for tried, one in enumerate(cases, 1):
            if worker is None or worked > 400:  # memory that the process keeps would hide what a case takes
                if worker is not None:
                    worker.end()
                worker, worked = Worker(folder), 0
            worker.ask(*one)
            worked += 1
            done, last = None, "the start"  # the first answer of a case says what was done
            for line in worker.answers():
                if "case" in line:
                    done = None
                if "reader" not in line:
                    continue
                if done is None and line["wrong"] is None:
                    done = line["reader"]
                    continue
                if line["wrong"] is not None:
                    reader = line["reader"].replace("the last one", last)
                    findings.append((*one, done, reader, line["wrong"]))
                    if tell:
                        tell(findings[-1])
                last = line["reader"]
            if worker.process.poll() is not None:
                worker = None
            if tell:
                tell(tried)
    finally:
        if worker is not None:
            worker.end()
    return findings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kind", action="append", help="try files of this kind only; may be given again")
    parser.add_argument("--keep", help="folder for the files; otherwise a temporary one")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    if options.child:
        child(options.keep, sys.stdin)
        return 0
    from kinds import KINDS

    names = options.kind or [kind.name for kind in KINDS if kind.available()]

    def tell(what):
        if isinstance(what, int):
            if what % 500 == 0:
                print(f"{what} cases", file=sys.stderr, flush=True)
        else:
            print(" | ".join(map(str, what)), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary).absolute()
        folder.mkdir(exist_ok=True)
        numbers = range(options.first, options.first + options.cases)
        found = run([(names[n % len(names)], options.seed, n) for n in numbers], folder, tell)
    print(f"{options.cases} cases of seed {options.seed}, {len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
