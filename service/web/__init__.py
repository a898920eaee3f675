"""Pages for people: rendered on the server from what the REST routes answer, and kept up to date by htmx."""

from service.web.pages import add_pages

__all__ = ["add_pages"]
