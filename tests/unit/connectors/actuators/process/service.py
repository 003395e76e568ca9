"""A small service for the process manager to run: answers /healthz with its version, unless it is a bad one."""

import http.server
import os
import signal
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """200 with version and instance; /exit ends the process."""

    def do_GET(self) -> None:
        if self.path == "/exit":
            os._exit(3)
        body = " ".join(sys.argv[2:4]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    port, version = int(sys.argv[1]), sys.argv[2]
    if version == "crashes":
        sys.exit("this version can't start")
    if version == "deaf":
        time.sleep(60)
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


main()
