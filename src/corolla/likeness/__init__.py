"""Which photos look alike: scaled, recompressed, mirrored, cropped, lighter or darker copies of each other.

Takes: `Photos`: digests, `thumbnail`s uint8[n, 64, 64], which are small enough to be kept of every photo, and a way to
see some of them large. Gives: `find_twins`: pairs that show the same, and how; `joined`: what hangs together by pairs.

The flow: glances in 20 views propose (`views`, `neighbours`), thumbnails are laid over each other (`alignment`, both
by `comparison`), and where that leaves doubt, a network looks (`twins`). `audit` reports what is found, `build` keeps
it in one split: both by the same limits, so what one has kept together the other does not find apart.
"""

from corolla.likeness.comparison import compare, joined, thumbnail
from corolla.likeness.twins import Photos, Twin, find_twins, groups
from corolla.likeness.views import SIDE

__all__ = ["SIDE", "Photos", "Twin", "compare", "find_twins", "groups", "joined", "thumbnail"]
