"""The work of a build by Apache Beam: on one machine, or on Dataflow, Flink or Spark.

Takes: Beam's own options as words of a command line. Gives: a driver of the very tasks that `local` does. What they
give back is a file in the draft, so the sources and the folder must lie on a disk that all workers see under the same
path. Results come when all tasks are done.

https://beam.apache.org/documentation/sdks/python-pipeline-dependencies: workers on other machines need Corolla.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from corolla.build.work import Driver
from corolla.errors import RunError, WishError


def workers(options: Sequence[str] = ()) -> Driver:
    """A driver that runs a pipeline for each kind of tasks. options: such as --runner=FlinkRunner; by default Beam's
    own runner for one machine. Raises WishError where Beam is not installed; the driver raises RunError where a
    pipeline fails.
    """
    beam = _beam()

    def drive(work: Callable[[Any], int], tasks: Iterable[Any]) -> Iterator[int]:
        given = list(tasks)
        if given:
            _run(beam, work, given, options)
        yield from map(len, given)

    return drive


def _beam() -> Any:
    try:
        import apache_beam  # pyright: ignore
        import apache_beam.options.pipeline_options  # pyright: ignore
    except ImportError as error:
        raise WishError("--runner beam wants Apache Beam, which is missing: pip install 'corolla[beam]'") from error
    return apache_beam


def _run(beam: Any, work: Callable[[Any], int], given: list[Any], options: Sequence[str]) -> None:
    """Reshuffle lets the tasks be divided over workers; else they are fused with the list that they come from."""
    try:
        with beam.Pipeline(options=beam.options.pipeline_options.PipelineOptions(list(options))) as pipeline:
            tasks = pipeline | "tasks" >> beam.Create(given, reshuffle=False)
            _ = tasks | "divide" >> beam.Reshuffle() | "work" >> beam.Map(work)
    except Exception as error:  # runners raise anything
        last = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise RunError(f"the pipeline failed ({last.strip()}): the same command goes on where it stopped") from error
