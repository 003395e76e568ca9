"""What outcomes teach: P(success) per playbook, cause and service, forgetting with time. Values; the shell keeps them."""

from playbooks.learning.calibration import Prediction, surprise
from playbooks.learning.posteriors import Counts, Learning, Posteriors, from_json, learning_of

__all__ = ["Counts", "Learning", "Posteriors", "Prediction", "from_json", "learning_of", "surprise"]
