"""How long tests wait for what must come: so long that only what never comes is missed, however slow the machine.

Nobody waits that long where all is well. What is judged by its seconds is marked `timed`, and runs with nothing beside it.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 300.0
"""For one event, answer or end of a process."""
LONG_S: Final = 3600
"""For a whole test that works for more than a minute on a quick machine."""
