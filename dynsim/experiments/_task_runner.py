"""Run the tasks of an experiment, here or on a Dask cluster; finished ones are not repeated."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from dynsim._check import as_count, refusal
from dynsim._files import making_folder
from dynsim.trajectory import TrainingProgress

REPORTS = (
    "report.md",
    "report.json",
    "layers.md",
    "noise.png",
    "training.png",
    "bits.png",
    "accuracy*.png",
    "neurons-*.png",
    "sweep.*",
)


def run(
    recipe: Any,
    folder: str | Path,
    *,
    data_dir: str | Path | None = None,
    scheduler: str | None = None,
    processes: int = 1,
    progress: Callable | None = None,
    training: Callable | None = None,
) -> dict[str, Any]:
    """Run what is not finished; returns {task name: result}.

    Parameters
    ----------
    recipe : Recipe
    folder : path
        Each task leaves a folder in `folder/runs`; a task that is finished there is taken as it is, one that was
        interrupted goes on from its last epoch.
    data_dir : path, optional
    scheduler : str, optional
        Address of a Dask scheduler; its workers need the folder and the data under the same paths.
    processes : int
        So many tasks at once, each in a process of its own with its share of the threads; 1 is this process.
    progress : callable, optional
        Called as progress(done, total, task=name) before each task, with the number of those that are finished, and
        at the end with task=None. If it returns true, KeyboardInterrupt is raised.
    training : callable, optional
        What it returns for a task is the `progress` of its training (see `dynsim.train`); in this process only.

    Raises
    ------
    ImportError
        If a scheduler is given and Dask is not installed.
    OSError
        If another process runs an experiment in this folder, or it holds no experiment and a file that the report of
        one would replace.
    """
    folder, processes = Path(folder), as_count(processes, "processes")
    if scheduler is not None and processes > 1:
        raise refusal("processes", f"{processes} and a scheduler", "one of them")
    _expect_reports(folder)
    with making_folder(folder / "runs"), TrainingProgress(folder):
        return _run(recipe, folder, data_dir, scheduler, processes, progress, training)


def _expect_reports(folder):
    found = [] if (folder / "runs").is_dir() else [path for pattern in REPORTS for path in folder.glob(pattern)]
    if found:
        what = f"{found[0]} exists and is no experiment's (there is no {folder / 'runs'})"
        raise FileExistsError(f"{what}; choose another folder, or give the file another name.")


def _run(recipe, folder, data_dir, scheduler, processes, progress, training):
    recipe.check(data_dir)
    tasks = recipe.tasks()
    results = {task.name: task.result(folder) for task in tasks}
    left = [task for task in tasks if results[task.name] is None]

    def report_progress(task=None):
        done = sum(result is not None for result in results.values())
        if progress is not None and progress(done, len(tasks), task=None if task is None else task.name):
            raise KeyboardInterrupt

    if scheduler is not None:
        _on_cluster(recipe.kinds, left, folder, data_dir, scheduler, results, report_progress)
    elif processes > 1:
        _in_processes(recipe.kinds, left, folder, data_dir, processes, results, report_progress)
    else:
        for task in left:
            report_progress(task)
            results[task.name] = task.run(folder, data_dir, progress=None if training is None else training(task))
    report_progress()
    return results


def _in_processes(kinds, tasks, folder, data_dir, processes, results, report_progress):
    # Spawned: the threads of a parallel loop do not live on in a forked process.
    context, threads = get_context("spawn"), max(1, (os.cpu_count() or 1) // processes)
    others = set(active_children())  # of whoever calls
    options = {"mp_context": context, "initializer": _begin_process, "initargs": (threads,)}
    with ProcessPoolExecutor(processes, **options) as executor:
        for kind in kinds:
            some = [task for task in tasks if task.kind == kind]
            futures = {executor.submit(_work, task, str(folder.resolve()), data_dir): task for task in some}
            try:
                for future in as_completed(futures):
                    results[futures[future].name] = future.result()
                    report_progress(futures[future])
            except BaseException:
                # What is left of a task goes on from its checkpoint: nothing is waited for.
                executor.shutdown(wait=False, cancel_futures=True)
                for process in set(active_children()) - others:
                    process.terminate()
                raise


def _begin_process(threads):
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def _on_cluster(kinds, tasks, folder, data_dir, scheduler, results, report_progress):
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise refusal("scheduler", "an address", "Dask", "pip install 'dynsim[sweep]'", error=ImportError) from None
    with Client(scheduler) as client:
        # Kind after kind: some begin with the networks of others.
        for kind in kinds:
            some = [task for task in tasks if task.kind == kind]
            futures = {
                client.submit(_work, task, str(folder.resolve()), data_dir, key=task.name, pure=False): task
                for task in some
            }
            for future in completed(list(futures)):
                results[futures[future].name] = future.result()
                report_progress(futures[future])


def _work(task, folder, data_dir):
    return task.run(folder, data_dir)
