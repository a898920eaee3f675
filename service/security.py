"""Access control: loopback only, or clients with the token."""

import ipaddress
import secrets


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_authorised(authorization: str | None, token: str | None) -> bool:
    """Whether an Authorization header carries the token; without a token, everyone may."""
    if token is None:
        return True
    # Header values come as latin-1, whatever was sent.
    scheme, _, given = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode("latin-1"), token.encode())
