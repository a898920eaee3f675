"""What an experiment reads: the data and the encoder that its spec names, opened on this machine."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from search_spaces.spec import ExperimentSpec
from search_spaces.targets import target_languages
from trainers.data.source import RemoteSource
from trainers.data.sources import open_data
from trainers.encoders.by_name import find_encoder
from trainers.encoders.encoder import Encoder, EncoderSize
from trainers.examples import Data
from trainers.trial import DataReference


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """The data and the encoder of a spec; each is looked up once, when it is first asked for.

    Attributes:
        spec: the spec that names them.
        home: the service's folder, where fetched data and encoders lie.
        data_root: the only folder whose contents a spec may name; None if there is none.
    """

    spec: ExperimentSpec
    home: Path
    data_root: Path | None

    @cached_property
    def reference(self) -> DataReference:
        """Where the data lie. DataError if there are none."""
        return self.spec.data.locate(self.home, self.data_root)

    @cached_property
    def data(self) -> Data:
        """The task's examples. DataError if there are none."""
        return open_data(self.reference, self.spec.task, self.home)

    @property
    def targets(self) -> tuple[str, ...]:
        """The target languages, each once; those of remote data before they are fetched. DataError if unknown."""
        source = self.spec.data.source
        if self.spec.target_languages == "all" and isinstance(source, RemoteSource):
            there = source.languages(self.reference.location, self.spec.task)
            return tuple(language for language in there if language != self.spec.source_language)
        return target_languages(self.spec, self.data)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, which has not been looked for yet. EncoderError if no encoder has such a name."""
        return find_encoder(self.spec.encoder, self.home, self.spec.encoder_revision)

    @cached_property
    def encoder_digest(self) -> str:
        """The digest of the encoder's weights and tokenizer. EncoderError if there is no such encoder."""
        return self.encoder.digest

    @cached_property
    def encoder_size(self) -> EncoderSize | None:
        """The encoder's size; None where its configuration does not say. EncoderError if there is no such encoder."""
        return self.encoder.size
