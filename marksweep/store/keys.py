"""Which keys of a bucket belong to an artifact store: below its root, never the root itself, by segments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from marksweep.errors import StoreRefused
from marksweep.model.uri import Location, UriRefused, locate
from marksweep.model.version import ArtifactStore
from marksweep.store.windows import Listed


class Root:
    """The root of an artifact store in a bucket or container."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._prefix = f"{location.path}/" if location.segments else ""

    def outside(self, location: Location) -> str | None:
        """Why *location* is no place of this store; null when it lies below the root."""
        root = self.location
        below = location.segments[: len(root.segments)] == root.segments
        if (location.scheme, location.bucket) != (root.scheme, root.bucket) or not below:
            return "it lies outside the root of the artifact store"
        return "it is the root of the artifact store" if location.segments == root.segments else None

    def not_listed(self, location: Location) -> StoreRefused | None:
        """What listing *location* is refused with; null when it may be listed."""
        outside = self.outside(location)
        if outside is None:
            return None
        return StoreRefused(
            f"{location.key} is not listed: {outside}", f"Only what lies below {self.location.key} is listed."
        )

    async def listing(
        self,
        locations: Sequence[Location],
        listed: Callable[[Sequence[Location]], AsyncIterator[tuple[Location, Listed]]],
    ) -> AsyncIterator[tuple[Location, Listed]]:
        """Each of *locations*, in order, with what *listed* says of it; what is no place of this store, with its refusal."""
        refusals = [self.not_listed(location) for location in locations]
        found = listed([location for location, refused in zip(locations, refusals, strict=True) if refused is None])
        for location, refused in zip(locations, refusals, strict=True):
            yield (location, refused) if refused is not None else await anext(found)

    def holds(self, key: str) -> bool:
        """Whether *key* names something below the root."""
        return key.startswith(self._prefix) and key not in ("", self._prefix)


def root_of(store: ArtifactStore, scheme: str, kind: str, example: str) -> Root:
    """The root of *store*, which must be a *scheme* location; *kind* and *example* tell the user what would be one.

    Raises StoreRefused.
    """
    remedy = f"Register the store with a plain root such as {example}."
    try:
        location = locate(store.root)
    except UriRefused as refused:
        raise StoreRefused(f"the root of artifact store {store.name} is refused: {refused}", remedy) from None
    if location.scheme != scheme:
        raise StoreRefused(f"the root of artifact store {store.name} is not {kind}", remedy)
    return Root(location)
