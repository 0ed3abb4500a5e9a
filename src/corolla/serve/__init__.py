"""A web page and an API that name the flowers in photos.

Takes: a run folder, or nothing for the model inside the package. Gives: `serve`, until it is told to stop; `make_app`,
for who has a server already.

The flow: `server` (a socket) -> `guard` (headers, counts) -> `api` (addresses) -> `bodies` (bytes, within limits)
-> `service` (decoding) -> `batching` -> `engine` (the predict step) -> `naming`.
"""

from corolla.serve.api import make_app
from corolla.serve.server import serve

__all__ = ["make_app", "serve"]
