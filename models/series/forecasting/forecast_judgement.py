"""Numbers of judgement of forecasts by libraries, in bins of half an hour."""

from __future__ import annotations

from typing import Final

BETTER: Final = 0.8
"""Share of the error of the better of plain level and own profile below which a forecaster is used, as a season is believed against the level. Of
.7 to 1.0 by a prototype with three origins on Microsoft's and Numenta's series: what passed .8 erred less than the profile on the next day as
well in 7 of 10 cases; at 1.0 it was 6 of 10."""
LEAST_BINS: Final = 240
"""Bins of history from which forecasters are tried: three days before the two that are held back. By hand: a profile knows a day after one."""
MEASURED: Final = 0.45
GAP_BINS: Final = 12
"""Share of its bins that must be measured (a series with a point an hour fills every other), and the most that may be missing in a row. By hand."""
TRUSTED_BINS: Final = 96.0
"""Half-life of the plain level that forecasters are compared with: as that of series with a point each five minutes (`SLOW_POINTS`), two days."""
SPANS: Final = 2.0
"""Ranges of its history by which a forecast may leave it: what goes further has exploded. By hand."""
MOST_S: Final = 60.0
"""Seconds after which a model's forecast is given up. By hand: river's take milliseconds, statsforecast's automatic ones seconds."""
GRACE_S: Final = 30.0
"""Seconds more after which a worker is ended whose model can't be interrupted. By hand."""
