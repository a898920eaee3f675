"""Access control: loopback only, or clients with a token."""

import ipaddress
import re
import secrets

# Visible ASCII (RFC 9110, section 5.5): what every client can send in a header, and arrives as it is. The characters of
# RFC 6750 (b64token) are fewer; a token with others has worked so far.
SENDABLE = re.compile(r"[!-~]+")

# A head with a longer one could be more than the web server takes.
MOST_CHARACTERS = 4096


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearer(authorization: str | None) -> str:
    """The token in an Authorization header; empty if there is none. It comes as latin-1, whatever was sent."""
    scheme, _, given = (authorization or "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def is_token(given: str, token: str) -> bool:
    """Whether what `bearer` has found is a token. How long it takes tells nothing of the token."""
    return secrets.compare_digest(given.encode("latin-1"), token.encode())


def require_sendable(value: str, name: str, most: int = MOST_CHARACTERS) -> str:
    """A value that can be sent in a header, as it is.

    Raises:
        ValueError: it cannot; names what has it, and never says the value, which may be a secret.
    """
    if len(value) > most or not SENDABLE.fullmatch(value):
        has = f"{len(value):,} characters" if len(value) > most else "characters that no header carries as they are"
        allowed = f"1 to {most:,} letters, digits and signs of ASCII, without blanks"
        raise ValueError(f"{name} has {has}; allowed: {allowed}")
    return value
