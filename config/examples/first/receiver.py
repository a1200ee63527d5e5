"""An HTTP endpoint to try things with: prints every request and answers 201. Ctrl-C ends it."""
# ruff: noqa: INP001 - a script beside a deployment, not a module of a package

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Printer(BaseHTTPRequestHandler):
    """Keeps nothing; a real endpoint would remember the Idempotency-Key."""

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        sys.stdout.write(f"{self.command} {self.path}\n  {body}\n")
        sys.stdout.flush()
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = _take  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing beside what is printed."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    try:
        ThreadingHTTPServer(("127.0.0.1", port), Printer).serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
