"""The HTTP door: an OpenAI-compatible endpoint before one node of the mesh.

`create_app` is the ASGI application for a running node, `Door` serves it by a configuration.
"""

from chorus.mesh.server.app import create_app
from chorus.mesh.server.door import Door

__all__ = ["Door", "create_app"]
