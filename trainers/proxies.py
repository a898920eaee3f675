"""Proxies that the environment names (`http_proxy`, `https_proxy`, `all_proxy`): none of them is for this machine."""

from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")

SOCKS = (
    "the environment names a SOCKS proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY), which is not supported; allowed: an"
    " HTTP proxy (http://host:port), and NO_PROXY with the hosts that need none"
)


# Which one it is may have a password in it.
NO_PROXY_URL = (
    "the environment names a proxy by what is no URL of one (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY); allowed: an HTTP"
    " proxy (http://host:port)"
)


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Have no library of this process and its children ask a proxy for this machine.

    gRPC, which Ray speaks, reads `no_proxy` alone; others read either.
    """
    named = (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(",")
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(dict.fromkeys([*filter(None, named), *LOOPBACK]))


def is_socks(error: BaseException) -> bool:
    """Whether httpx2 says so that the environment names a SOCKS proxy.

    For SOCKS 5 it lacks a package; others, such as socks4 and the `socks` of desktops' settings, it does not know.
    """
    words = str(error)
    is_unknown = isinstance(error, ValueError) and "scheme for proxy" in words and "socks" in words
    return is_unknown or (isinstance(error, ImportError) and "SOCKS" in words)
