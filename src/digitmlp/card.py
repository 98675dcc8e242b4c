"""What a model file says of itself, in its own metadata."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from digitmlp import config, files
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.errors import ModelError

KEY = "digitmlp"  # of the metadata entry that holds the card
FORMAT = 6  # raised when files written from then on can no longer be read by older versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """The facts that travel with the weights.

    data         SHA-256 of the labelled digits that the run was given (see Digits.digest)
    also         SHA-256 of each further set of labelled digits that it learned
    temperature  divides the logits (of a committee: the log probabilities) before the softmax
                 (Guo et al. 2017); fitted on validation rows
    threshold    a score below it is no digit: 1 in 400 of the validation digits scores lower
    threshold_of_views  the same of the best score among an image and its views: 1 in 250; None
                 without an output for nothing and before format 6: no views are looked at
    held_out     what the network, before weights were rounded, read of the validation rows: count,
                 accuracy (0 to 1); None where there were none, and of a committee of several runs
    extra        of a training state: what more it needs to go on
    """

    model: ModelConfig
    training: TrainConfig
    data: str
    also: tuple[str, ...] = ()
    temperature: float = 1.0
    threshold: float = 0.0
    threshold_of_views: float | None = None
    held_out: dict[str, float] | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def split(self) -> tuple[str, int, float]:
        """What decides which digits were held out: equal ones held out the same."""
        return self.data, self.training.of_the_split, self.training.validation

    def to_text(self) -> str:
        """Return the metadata entry: one line of JSON with room for the seal."""
        facts = {"format": FORMAT, "seal": files.UNSEALED, **dataclasses.asdict(self)}
        return json.dumps(facts, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_text(text: str | None, where: object) -> "Card":
        """Return the card of such an entry; raises ModelError naming `where`."""
        try:
            facts = json.loads(text or "")
            version = facts.pop("format")
            if version > FORMAT:
                raise ModelError(
                    f"{where}: written in format {version}, this version of digitmlp reads up to "
                    f"{FORMAT}; install a newer one"
                )
            del facts["seal"]
            model = config.from_dict(ModelConfig, facts.pop("model"))
            training = config.from_dict(TrainConfig, facts.pop("training"))
            also = tuple(facts.pop("also", ()))  # format 1 has none
            return Card(model=model, training=training, also=also, **facts)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ModelError(f"{where}: its metadata is not digitmlp's: {what}") from error
