"""Data sets of one's own, in the competition's layout, from public sources or from folders of photos.

Takes: source folders, a folder to write. Gives: shards, a manifest, and lists of what was left out.

The flow: `sources` (what each publishes) -> `mapping` (its names to the 104 labels) -> `work` (parts of some photos,
rendered by `record`, by the threads of `local` or the workers of `beam`) -> `split` (train, val, test; look-alikes stay
together) -> `write` (shards, lists, all or nothing).
"""

from corolla.build.write import Built, build

__all__ = ["Built", "build"]
