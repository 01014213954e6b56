"""A bill of materials: graphc and everything that it depends on."""

from __future__ import annotations

import re
from email.message import Message
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import cast

REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST_LICENSE = 80


def components(root: str = "graphc") -> list[dict[str, str]]:
    """Name, version, license and package URL of a distribution and its installed requirements.

    Package URLs: https://github.com/package-url/purl-spec.
    """
    found: dict[str, Message] = {}
    waiting = [root]
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = metadata_of(name)
        except PackageNotFoundError:
            continue
        wanted = [r for r in found[name].get_all("Requires-Dist") or [] if "extra ==" not in r]
        waiting += [match.group() for r in wanted if (match := REQUIREMENT.match(r))]
    return [
        {
            "name": name,
            "version": found[name]["Version"],
            "license": license_of(found[name]),
            "purl": f"pkg:pypi/{name}@{found[name]['Version']}",
        }
        for name in sorted(found)
    ]


@cache
def metadata_of(name: str) -> Message:
    """The metadata of a distribution, read once.

    Errors:
        PackageNotFoundError: the distribution is not installed.
    """
    return cast(Message, distribution(name).metadata)


def normal(name: str) -> str:
    """A project's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def license_of(metadata: Message) -> str:
    def field(name: str) -> list[str]:
        return [str(value) for value in metadata.get_all(name) or []]

    stated = [*field("License-Expression"), *field("License")]
    classified = [c.rpartition(" :: ")[2] for c in field("Classifier") if c.startswith("License ::")]
    if stated and stated[0] and len(stated[0]) <= LONGEST_LICENSE:
        return stated[0].strip()
    return ", ".join(classified) or "not stated"
