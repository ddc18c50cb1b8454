"""The repository that a proof pushes: a Dockerfile and a server of a few lines, each version another text."""

from __future__ import annotations

from collections.abc import Mapping

_DOCKERFILE = """\
FROM public.ecr.aws/docker/library/python:3.13-slim
COPY server.py /server.py
USER 1000
EXPOSE 8080
CMD ["python", "/server.py"]
"""
_SERVER = """\
import http.server


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{word}")


http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def version(word: str) -> Mapping[str, bytes]:
    """The files of one version."""
    return {"Dockerfile": _DOCKERFILE.encode(), "server.py": _SERVER.format(word=word).encode()}
