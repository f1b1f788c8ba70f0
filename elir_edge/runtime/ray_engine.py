"""Pictures through the workers of a Ray cluster, by Ray Data. Lists of any length are streamed, never held."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from elir_edge.core.native import captured_output
from elir_edge.core.storage import storage_errors
from elir_edge.errors import DataError, ElirEdgeError, MissingInputError, UnavailableError, UsageError, missing_package
from elir_edge.runtime.batch import locked_journal
from elir_edge.runtime.ray_worker import SOURCE, TARGET, Job, RayWorker, result_of
from elir_edge.runtime.work import Restored

LIST_SUFFIXES = (".parquet", ".txt")
FAILURES = ".elir-edge-failed.jsonl"
ROWS_A_TASK = 16
TRIES = 2  # of a batch whose worker died, after the first
STARTS = 3
READERS = 1  # processors left to what reads the list
USAGE = "RAY_USAGE_STATS_ENABLED"
QUIET = {
    USAGE: "0",  # nothing is reported to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def is_list(path: Path) -> bool:
    """Whether ``path`` is named like a list of pictures."""
    return path.suffix.lower() in LIST_SUFFIXES


def restore_on_ray(rows: Path | Iterable[tuple[Path, Path]], job: Job, workers: int) -> Generator[Restored, None, None]:
    """Restore pictures in ``workers`` sessions, each held by an actor; one ``Restored`` for each, in any order.

    ``rows``: a .parquet file or folder with a column ``path`` and, if it likes, ``target``; a .txt file with a path a
    line; or (source, target) pairs. Relative paths of a list are below the list's folder, targets below the output
    folder. Runs on the cluster of RAY_ADDRESS or ``ray.init``, else on this machine. What is done already is skipped,
    as everywhere. Pictures that failed are listed in ``FAILURES`` in the output folder.

    Raises UnavailableError where Ray is not installed, MissingInputError, DataError, UsageError for a cluster with too
    few processors, LockedError, StorageError.
    """
    data = _load_ray_data()
    if isinstance(rows, Path) and not rows.exists():
        raise MissingInputError(f"no such list: {rows}", hint="check the name")
    told = replace(job, root=rows.resolve().parent if isinstance(rows, Path) else Path.cwd())
    with locked_journal(job.out) as journal:
        with _cluster(workers, job.threads), _ray_errors():
            found = _dataset(data, rows, job.out).repartition(target_num_rows_per_block=ROWS_A_TASK)
            yield from _record_failures(_map(data, found, told, workers).iter_rows(), job.out / FAILURES)
        journal.gather()


def _map(data: Any, found: Any, job: Job, workers: int) -> Any:
    """The dataset of results of ``found``. A picture that kills its worker is tried ``TRIES`` times more."""
    # Ray drops the function of arguments in 2.64 (pyproject.toml stays below), and nothing else limits the tries.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return found.map_batches(
            RayWorker,
            fn_constructor_args=(job,),
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=job.threads,
            batch_size=None,
            batch_format="numpy",
            ray_remote_args_fn=lambda: {"max_task_retries": TRIES, "max_restarts": TRIES},
        )


def _record_failures(rows: Iterable[Mapping[str, Any]], path: Path) -> Iterator[Restored]:
    """Results of ``rows``; those that failed are written to ``path``, a line each. No file where none did."""
    with storage_errors(path):
        path.unlink(missing_ok=True)
    for row in rows:
        result = result_of(row)
        if result.error:
            line = {"picture": result.source, "error": result.error, "hint": result.hint, "exit_code": result.exit_code}
            with storage_errors(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        yield result


def _load_ray_data() -> Any:
    """The module ray.data, told to be silent. Raises UnavailableError where it is missing."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ or name == USAGE})
    try:
        from ray import data
    except ImportError as error:
        raise missing_package("ray", "ray") from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return data


@contextmanager
def _cluster(workers: int, threads: int) -> Iterator[None]:
    """The cluster that is there, or one of this machine for as long as the block runs."""
    import ray

    wanted = workers * threads + READERS
    mine = not ray.is_initialized()
    if mine:
        local = {"address": "local", "num_cpus": wanted, "include_dashboard": False}
        there = "RAY_ADDRESS" in os.environ
        start_ray(**({} if there else local))
    try:
        there_are = int(ray.cluster_resources().get("CPU", 0))
        if there_are < wanted:
            raise UsageError(
                f"{workers} workers of {threads} threads, and what reads the list, need {wanted} processors; "
                f"the cluster has {there_are}",
                hint="ask for fewer with --jobs or --threads",
            )
        yield
    finally:
        if mine:
            ray.shutdown()


def start_ray(**where: Any) -> None:
    """``ray.init``, again where a busy machine is too slow for Ray's own limit of 30 s. Raises UnavailableError."""
    import ray

    for attempt in range(STARTS):
        try:
            with captured_output():
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
            return
        except Exception as error:  # Ray has no error of its own for this
            ray.shutdown()
            if attempt + 1 == STARTS:
                raise UnavailableError(
                    f"Ray does not start: {str(error).partition(chr(10))[0] or type(error).__name__}",
                    hint="try again when the machine is less busy; with RAY_ADDRESS, check that the cluster runs",
                ) from error


def _dataset(data: Any, rows: Path | Iterable[tuple[Path, Path]], out: Path) -> Any:
    if not isinstance(rows, Path):
        pairs = [{SOURCE: str(source), TARGET: os.path.relpath(target, out)} for source, target in rows]
        return data.from_items(pairs)
    if rows.suffix.lower() == ".txt":
        return data.read_text(str(rows.resolve())).rename_columns({"text": SOURCE})
    names = _columns_of(rows)
    if SOURCE not in names:
        raise DataError(f"{rows}: has no column '{SOURCE}', only {', '.join(names)}", hint="name the column so")
    return data.read_parquet(str(rows.resolve()), columns=[name for name in (SOURCE, TARGET) if name in names])


def _columns_of(path: Path) -> list[str]:
    from pyarrow import ArrowException
    from pyarrow import dataset as tables

    try:
        return list(tables.dataset(path, format="parquet").schema.names)
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: is no Parquet file ({error})", hint="write it again") from error


@contextmanager
def _ray_errors() -> Iterator[None]:
    """Turn what ends a run into an error of this project: a worker's own one, or one that tells what Ray said."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ElirEdgeError):
                raise cause from error
            cause = getattr(cause, "cause", None) or cause.__cause__
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise DataError(
            f"a worker of Ray failed: {lines[-1].strip() if lines else type(error).__name__}",
            hint="what is done is kept: run the command again; a picture that ends its worker shows in ray logs",
        ) from error
