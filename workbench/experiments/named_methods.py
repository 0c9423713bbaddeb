"""What experiments share that compare methods which the thesis gives names to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class NamedMethods:
    """Mixed into an experiment: its methods by name, and the name of its own settings."""

    methods: ClassVar[Mapping[str, Mapping[str, Any]]]
    """The methods that the chapter compares, as settings."""

    @classmethod
    def of_method(cls, method: str, profile: str = "laptop", **changes: Any) -> Any:
        """The experiment for one of the chapter's methods at a profile's size."""
        if method not in cls.methods:
            raise ValueError(f"No method {method!r}; there are {', '.join(cls.methods)}.")
        return cls.profile(profile, **{**cls.methods[method], **changes})  # type: ignore[attr-defined]

    @property
    def method(self) -> str:
        """The name of the method in the chapter's tables."""
        for name, fields in self.methods.items():
            if all(getattr(self, f) == v for f, v in fields.items()):
                return name
        return self._unnamed()

    def _unnamed(self) -> str:
        """The name of a combination that the chapter has none for."""
        raise NotImplementedError

    def labels(self) -> dict[str, str]:
        """Derived columns of the records."""
        return {"method": self.method}
