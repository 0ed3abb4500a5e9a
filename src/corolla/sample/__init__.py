"""A sample data set to try everything with: 104 kinds of flowers, painted, in the competition's layout.

Takes: a folder to write, a size, a number of images, a seed. Gives: the folder, and `contact_sheet`, its picture.

The flow: `herbarium` (the 104 kinds, in the words of `traits`) -> `organs` (`clouds` of points, in `colours`)
-> `blooms` (heads) -> `scenes` (heads, `leaves` and `backgrounds`, through `painting` and `camera`)
-> `plan`, `workers`, `folder` (shards). No photo and no network is involved: the pictures are Corolla's own.
"""

from corolla.sample.folder import Summary, write_sample
from corolla.sample.scenes import paint_photo
from corolla.sample.sheet import contact_sheet, write_contact_sheet

__all__ = ["Summary", "contact_sheet", "paint_photo", "write_contact_sheet", "write_sample"]
