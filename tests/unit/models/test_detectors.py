"""Every built-in detector passes the suite that ships for all of them."""

import pytest

from contracts.checks import detector as suite
from contracts.errors import UnknownName
from contracts.settings import DetectSettings
from models.detectors import DETECTORS, create
from tests.representatives import representatives

pytestmark = pytest.mark.slow


CASES = [(name, check) for name in sorted(DETECTORS.built_in) for check in suite.CHECKS]
"""A forest costs ten times what the others do: of its checks `make test` tries one."""


@pytest.mark.parametrize(
    ("name", "check"),
    representatives(CASES, *(c for c in CASES if c[0] != "iforest" or c[1] is suite.CHECKS[0])),
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_detector(name, check):
    check(lambda: DETECTORS.open(name, DetectSettings()))


def test_an_unknown_detector_is_refused_with_the_valid_names():
    with pytest.raises(UnknownName, match=r"did you mean 'river'\?.*bank, iforest, pyod, river"):
        create(DetectSettings(detectors=("rivr",)))


def test_nothing_heavy_is_imported_before_it_is_used():
    import subprocess
    import sys

    code = "import sys, models.engine; print([m for m in ('river', 'pyod', 'sklearn', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
