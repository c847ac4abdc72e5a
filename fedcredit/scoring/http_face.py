"""The scoring service over HTTP/JSON, on loopback: the same decider, the same token, for callers without gRPC.

``POST /v1/score`` takes ``{"customers": [{"id": …, "values": {feature: number, text or null}}]}`` and answers what the
gRPC service does; ``GET /health`` says whether it serves. A web page in a browser on the same machine cannot ask: a
request needs the content type ``application/json``, which a page may send to its own origin only, and a Host of this
machine. Beyond loopback there is the gRPC service with TLS.
"""

import hmac
import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fedcredit.custodian.address import LOOPBACK, TOKEN_KEY
from fedcredit.errors import ConfigError, DataError
from fedcredit.scoring.json_messages import customers_of, reply_of
from fedcredit.scoring.listening import LARGEST_MESSAGE_BYTES
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.service import NOT_DECIDED, Decider

_MOST_CONNECTIONS = 32
_SILENCE_S = 10.0
_HOSTS = (LOOPBACK, "localhost")
_JSON = "application/json"
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Face(ThreadingHTTPServer):
    """Listens on loopback; a connection beyond so many is closed at once, and one that is silent after a while."""

    daemon_threads = True

    def __init__(self, port: int, decider: Decider, token: str | None, metrics: ScoringMetrics) -> None:
        self.decider, self.token, self.metrics = decider, token, metrics
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__((LOOPBACK, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  (as the base declares it)
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        super().shutdown_request(request)
        self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        _LOG.warning("a connection ended early")


class _Handler(BaseHTTPRequestHandler):
    server: _Face
    protocol_version, server_version, sys_version = "HTTP/1.1", "fedcredit", ""
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        """Answer whether the service serves."""
        known = self.path == "/health"
        self._say(*((HTTPStatus.OK, {"status": "serving"}) if known else _fault(HTTPStatus.NOT_FOUND, "no such page")))

    def do_POST(self) -> None:
        """Decide on customers."""
        begun = time.perf_counter()
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True  # its body is not read
            self._say(*refusal)
            return
        self._say(*self._decided(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.metrics.took(time.perf_counter() - begun)

    def log_message(self, *_: object) -> None:
        """Write nothing: what was asked is in the decision log."""

    def _refusal(self) -> tuple[HTTPStatus, dict[str, Any]] | None:
        token, headers = self.server.token, self.headers
        if token is not None and not hmac.compare_digest(headers.get(TOKEN_KEY, "").encode(), token.encode()):
            self.server.metrics.rejected("token")
            return _fault(HTTPStatus.UNAUTHORIZED, f"no valid token in the header {TOKEN_KEY}")
        host, length = headers.get("Host", "").rpartition(":")[0], headers.get("Content-Length", "")
        n_bytes = int(length) if _DIGITS.fullmatch(length) else -1
        for holds, status, words in (
            (self.path == "/v1/score", HTTPStatus.NOT_FOUND, "the page is /v1/score"),
            (host in _HOSTS, HTTPStatus.FORBIDDEN, f"the Host must be {LOOPBACK} with the port"),
            (headers.get_content_type() == _JSON, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type is {_JSON}"),
            (n_bytes >= 0, HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed"),
            (n_bytes <= LARGEST_MESSAGE_BYTES, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "split the request"),
        ):
            if not holds:
                self.server.metrics.rejected("request")
                return _fault(status, words)
        return None

    def _decided(self, body: bytes) -> tuple[HTTPStatus, dict[str, Any]]:
        decider, metrics = self.server.decider, self.server.metrics
        try:
            decided = decider.decide(customers_of(body))
        except DataError as error:
            metrics.rejected("request")
            return _fault(HTTPStatus.BAD_REQUEST, str(error))
        except ConfigError as error:
            _LOG.warning("nobody is decided on: %s", error)
            metrics.rejected("own")
            return _fault(HTTPStatus.SERVICE_UNAVAILABLE, NOT_DECIDED)
        except Exception:  # noqa: BLE001  (the boundary: the text may hold a value)
            _LOG.exception("a call failed")
            return _fault(HTTPStatus.INTERNAL_SERVER_ERROR, "the call failed; ask the service's operator")
        for one in decided:
            metrics.decided(one.verdict, one.score.flags)
        return HTTPStatus.OK, reply_of(decider.versions, decided)

    def _say(self, status: HTTPStatus, said: Mapping[str, Any]) -> None:
        content = json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", _JSON)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def http_face(decider: Decider, port: int, token: str | None, metrics: ScoringMetrics) -> Iterator[int]:
    """Serve on loopback while the block runs; the value is the port.

    Parameters
    ----------
    port
        0 lets the system choose.
    token
        Hex digits that every request must show; None where the address is enough.

    Raises
    ------
    ConfigError
        If the port is taken.
    """
    try:
        server = _Face(port, decider, token, metrics)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {LOOPBACK} cannot be opened ({error.strerror}); stop what is there, or choose another."
        ) from error
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="http-face", daemon=True
    )
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _fault(status: HTTPStatus, words: str) -> tuple[HTTPStatus, dict[str, Any]]:
    return status, {"error": words}
