"""The competition's data, fetched with `kagglehub`: on Kaggle itself they are mounted, elsewhere downloaded.

Takes: a competition, perhaps a folder. Gives: the folder that `corolla train` takes. Every refusal is one line, which
says what to do at Kaggle.
"""

import errno
import logging
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from corolla.errors import DataError, RunError, WishError
from corolla.records.shards import data_folder
from corolla.reporter import SILENT, Reporter

Competition = Literal["tpu-getting-started", "flower-classification-with-tpus"]

ATTEMPTS, FIRST_WAIT_SECONDS = 5, 2.0

COPIES = 2
"""The archive and what is unpacked from it lie side by side for a while."""

CREDENTIALS = (
    "make a token on https://www.kaggle.com/settings and set KAGGLE_API_TOKEN to it, or save kaggle.json from there as "
    "~/.kaggle/kaggle.json, or set KAGGLE_USERNAME and KAGGLE_KEY to what it holds"
)


def fetch(
    out: Path | None = None, competition: Competition = "tpu-getting-started", reporter: Reporter = SILENT
) -> Path:
    """Fetch a competition's data; return the folder.

    out: a folder that holds nothing yet; by default kagglehub's cache, where a download that broke off goes on when it
    is asked for again. (In `out` it begins anew; what had come is removed.) Notebooks on Kaggle and Colab, where the
    data are mounted, ignore `out`.
    Raises WishError (kagglehub is not installed, `out` holds something), RunError (no credentials, rules not accepted,
    no network, no room) and DataError (what came is no data set of this kind).
    """
    hub = _kagglehub()
    fresh = out is not None and not (out.exists() and (out.is_file() or any(out.iterdir())))
    try:
        _refuse_too_little_room(hub, competition, out)
        found = Path(_patiently(lambda: _download(hub, competition, out, fresh), reporter))
    except RunError:
        raise
    except BaseException as error:
        if fresh and out is not None:
            shutil.rmtree(out, ignore_errors=True)
        if not isinstance(error, Exception):
            raise
        raise _told(error, competition, out) from error
    data_folder(found)
    return found


def _kagglehub() -> Any:
    try:
        import kagglehub  # pyright: ignore
    except ImportError as error:
        raise WishError("fetch wants kagglehub, which is not installed: pip install 'corolla[kaggle]'") from error
    logging.getLogger("kagglehub").setLevel(logging.WARNING)  # it reports on standard output, where the path belongs
    return kagglehub


def _download(hub: Any, competition: str, out: Path | None, fresh: bool) -> str:
    if fresh and out is not None:
        shutil.rmtree(out, ignore_errors=True)  # of an attempt before: kagglehub goes on only in its own cache
    return hub.competition_download(competition, output_dir=str(out) if out else None)


def _refuse_too_little_room(hub: Any, competition: str, out: Path | None) -> None:
    """Compare the disk with the sizes that Kaggle lists; where it refuses to, the download says why."""
    place = (out or Path(hub.config.get_cache_folder())).absolute()
    try:
        needed = COPIES * _listed_bytes(hub, competition, out)
    except Exception:
        return
    free = shutil.disk_usage(next(one for one in (place, *place.parents) if one.exists())).free
    if free < needed:
        raise RunError(
            f"{place}: {free / 1e9:.1f} GB are free, archive and data together want {needed / 1e9:.1f} GB: make room"
        )


def _listed_bytes(hub: Any, competition: str, out: Path | None) -> int:
    """What Kaggle says all files are together; 0 where kagglehub has the data already."""
    from kagglesdk.competitions.types.competition_api_service import ApiListDataFilesRequest  # pyright: ignore

    cache = hub.cache.Cache(override_dir=str(out) if out else None)
    if cache.load_from_cache(hub.handle.parse_competition_handle(competition)):
        return 0
    request, total = ApiListDataFilesRequest(), 0
    request.competition_name, request.page_size = competition, 200
    with hub.clients.build_kaggle_client() as client:
        for _ in range(100):  # pages, of which there are two or three
            answer = client.competitions.competition_api_client.list_data_files(request)
            total += sum(file.total_bytes for file in answer.files or [])
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
    return total


def _patiently(work: Callable[[], str], reporter: Reporter) -> str:
    """Try again, after a random wait that grows, where the connection broke."""
    import requests  # pyright: ignore

    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            if _never_connected(error):
                raise
            wait = random.SystemRandom().uniform(0, FIRST_WAIT_SECONDS * 2**attempt)
            reporter.warn(f"the connection broke ({type(error).__name__}); again in {wait:.0f} s")
            time.sleep(wait)
    return work()


def _never_connected(error: Exception) -> bool:
    """Whether the host's name is unknown, or nobody answers: there is no network, and waiting brings none."""
    return "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)


def _told(error: Exception, competition: str, out: Path | None) -> Exception:
    """One line for a person."""
    page = f"https://www.kaggle.com/competitions/{competition}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if type(error).__name__ == "UnauthenticatedError":
        return RunError(f"Kaggle gives these data to its users only: {CREDENTIALS}")
    if status == 401:
        return RunError(f"Kaggle does not know these credentials: {CREDENTIALS}")
    if status == 403:
        return RunError(f"Kaggle refuses (403): log in, accept the rules on {page}/rules, then fetch again")
    if isinstance(error, FileExistsError):
        return WishError(f"{out} holds something already: name a new folder")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"{error.filename or out}: the disk is full: make room, then fetch again")
    if type(error).__module__.startswith(("requests", "urllib3")):
        return RunError(f"www.kaggle.com cannot be reached ({type(error).__name__}): is there a network?")
    line = next(iter(str(error).splitlines()), "")[:200]
    if type(error).__name__ == "DataCorruptionError" or isinstance(error, ValueError | EOFError):
        return DataError(f"what Kaggle sent, or kaggle.json, is damaged ({line}): fetch again")
    return RunError(f"Kaggle's data cannot be fetched ({type(error).__name__}: {line}): see {page}/data")
