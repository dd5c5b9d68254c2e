"""Who is at work here, where nothing better is known than the login."""

from __future__ import annotations

import getpass
import os


def login() -> str:
    """The name of the user, or the number where it has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
