"""Weights from a Hugging Face hub over HTTP, resumed with range requests."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import quote

from services.common.model_store.errors import SourceError
from services.common.model_store.fetcher import COPY_BYTES, Report, size_of
from services.common.zoo import HubSource

READ_TIMEOUT_SECONDS = 15.0
CONNECT_TIMEOUT_SECONDS = 8.0
MAX_STALLS = 3
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


class HubFetcher:
    """A file of a hub repository. Broken transfers go on where they broke, as long as they make progress."""

    partial_name = "hub.partial"
    scratch_share = 0.0

    def __init__(
        self, source: HubSource, base_url: str, connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    ) -> None:
        self.origin = f"hub {source.repository}"
        path = f"{source.repository}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
        self._url = f"{base_url.rstrip('/')}/{path}"
        self._connect_timeout_seconds = connect_timeout_seconds

    def fetch(self, partial: Path, report: Report) -> None:
        """See Fetcher. Gives up after 3 transfers in a row that brought no byte."""
        stalls = 0
        while stalls < MAX_STALLS:
            before = size_of(partial)
            response = self._open(before)
            try:
                self._receive(response, partial, report)
                return
            except _NETWORK_ERRORS as error:
                reason = str(error) or type(error).__name__
                stalls = 0 if size_of(partial) > before else stalls + 1
        raise SourceError(self.origin, f"the transfer broke {MAX_STALLS} times without progress: {reason}")

    def _receive(self, response: http.client.HTTPResponse, partial: Path, report: Report) -> None:
        done = _resume_offset(response) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        with response, partial.open("r+b" if partial.exists() else "wb") as file:
            file.seek(done)
            file.truncate()
            while block := response.read(COPY_BYTES):
                file.write(block)
                done += len(block)
                report(done, total)
        if total is not None and done < total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes")

    def _open(self, offset: int) -> http.client.HTTPResponse:
        """The answer from `offset` on; from 0 where the server has nothing there (416)."""
        try:
            return self._open_in_time(offset)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                    return self._open(0)
                raise SourceError(self.origin, f"{self._url} answered {error.code} {error.reason}") from None
        except _NETWORK_ERRORS as error:
            cause = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise SourceError(self.origin, f"cannot be reached: {cause}") from error

    def _open_in_time(self, offset: int) -> http.client.HTTPResponse:
        """Opens within the connect time in all: a socket's own limit holds per address of the hub."""
        result: SimpleQueue[http.client.HTTPResponse | Exception] = SimpleQueue()
        Thread(target=self._request, args=(offset, result), name="hub-connect", daemon=True).start()
        try:
            answer = result.get(timeout=self._connect_timeout_seconds)
        except Empty:
            raise TimeoutError(f"no answer within {self._connect_timeout_seconds:g} s") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _request(self, offset: int, result: "SimpleQueue[http.client.HTTPResponse | Exception]") -> None:
        headers = {"User-Agent": "messplus", **({"Range": f"bytes={offset}-"} if offset else {})}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - settings allow http(s) only
        try:
            result.put(urllib.request.urlopen(request, timeout=READ_TIMEOUT_SECONDS))  # noqa: S310
        except Exception as error:
            result.put(error)


def _resume_offset(response: http.client.HTTPResponse) -> int:
    """Where a 206 answer begins, from "Content-Range: bytes 5-9/10"."""
    value = response.headers.get("Content-Range", "")
    try:
        return int(value.removeprefix("bytes ").split("-", 1)[0])
    except ValueError:
        raise http.client.HTTPException(f"Content-Range {value!r} is not understood") from None
