"""Run the tasks of an experiment, here or on a Dask cluster; finished ones are not repeated."""

from __future__ import annotations

from pathlib import Path


def run(recipe, folder, *, data_dir=None, scheduler=None, progress=None, training=None):
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
    progress : callable, optional
        Called with (task, number of finished tasks, number of tasks) before each task and at the end.
    training : callable, optional
        What it returns for a task is the `progress` of its training (see `dynsim.train`); not on a cluster.

    Raises
    ------
    ImportError
        If a scheduler is given and Dask is not installed.
    """
    folder = Path(folder)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    recipe.check(data_dir)
    tasks = recipe.tasks()
    results = {task.name: task.result(folder) for task in tasks}
    left = [task for task in tasks if results[task.name] is None]

    def tell(task):
        if progress is not None:
            progress(task, sum(result is not None for result in results.values()), len(tasks))

    if scheduler is not None:
        _on_cluster(recipe.kinds, left, folder, data_dir, scheduler, results, tell)
    else:
        for task in left:
            tell(task)
            results[task.name] = task.run(folder, data_dir, None if training is None else training(task))
    tell(None)
    return results


def _on_cluster(kinds, tasks, folder, data_dir, scheduler, results, tell):
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise ImportError("A scheduler needs Dask: pip install 'dynsim[sweep]'.") from None
    with Client(scheduler) as client:
        # Kind after kind: some begin with the networks of others.
        for kind in kinds:
            some = [task for task in tasks if task.kind == kind]
            futures = {
                client.submit(_work, task, str(folder.resolve()), data_dir, key=task.name, pure=False): task
                for task in some
            }
            for future in as_completed(list(futures)):
                results[futures[future].name] = future.result()
                tell(futures[future])


def _work(task, folder, data_dir):
    return task.run(folder, data_dir)
