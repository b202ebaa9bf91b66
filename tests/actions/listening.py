"""A service on this machine that takes notifications, as apprise posts them to `json://` addresses."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any


@contextmanager
def service(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(address for apprise, what was posted so far); answers with `status`."""
    posted: list[dict[str, Any]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/", posted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
