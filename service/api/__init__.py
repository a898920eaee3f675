"""The REST interface, version 1."""

from service.api.app import create_app

__all__ = ["create_app"]
