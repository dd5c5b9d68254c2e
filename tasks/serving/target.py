"""What a name stands for at a moment: one file or folder, and what is known of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A model that can be opened.

    Attributes:
        name: under which it is asked.
        address: as it was given: `models:/cells@champion`, or a path.
        path: the .onnx file or the model folder.
        sha256: of the file, or over the folder.
        version: in the registry, None for a file.
        artefact: which file of its line a version carries, `pruned/cpu-int8`.
        classes: names in the order of class ids.
        runtime: what runs it.
    """

    name: str
    address: str
    path: str
    sha256: str
    version: str | None
    artefact: str | None
    classes: tuple[str, ...]
    runtime: str

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Equal for what one process can serve."""
        return self.path, self.sha256, self.version

    def facts(self) -> dict[str, Any]:
        """What stands in each answer."""
        return {"model": self.name, "version": self.version, "artefact": self.artefact, "sha256": self.sha256}

    def plain(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> Target:
        """What `plain` gave."""
        return cls(**{**told, "classes": tuple(told["classes"])})
