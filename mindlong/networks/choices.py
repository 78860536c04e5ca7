"""The families of a role as the words that a key allows, looked up whenever they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mindlong.networks.network import Network


class Families(Sequence[str]):
    """A view of the table that grows with it.

    Args:
        role: whose families.
        first: words before them.
        only: which of them; None: all.
    """

    def __init__(
        self,
        role: str,
        first: Sequence[str] = (),
        only: Callable[[Network], bool] | None = None,
    ) -> None:
        self.role, self.first, self.only = role, tuple(first), only

    def _words(self) -> tuple[str, ...]:
        from mindlong.networks import table  # the table imports the modules that have such keys

        found = [n for n in table.networks(self.role) if self.only is None or self.only(n)]
        return (*self.first, *(network.family for network in found))

    def __getitem__(self, place):  # noqa: ANN001  an int or a slice
        return self._words()[place]

    def __len__(self) -> int:
        return len(self._words())
