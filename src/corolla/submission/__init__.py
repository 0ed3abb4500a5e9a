"""Submissions before they are sent in: what is wrong with one, and in what two of them differ.

Takes: CSV files `id,label`, the data they are of. Gives: `check`: `Checked`; `diff`: `Difference`; `diff_page`.
"""

from corolla.submission.checking import Checked, check
from corolla.submission.comparing import Difference, diff, diff_page

__all__ = ["Checked", "Difference", "check", "diff", "diff_page"]
