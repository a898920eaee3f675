"""What every source of data can do: from the text in a spec to a task's examples."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainers.data.download import Tell
from trainers.examples import Data
from trainers.trial import DataReference

MAX_VALUE_LENGTH = 500


class Source(ABC):
    """A source of data, without state.

    A spec writes it as its bare name (`"sample"`), or, if it takes a value, as `{name: value}`. Another package brings
    one by an entry point of the group `allasprak.sources` that names an instance; the default implementations here are
    for a source whose data are present and which takes no value, or a text.

    Attributes:
        name: as in specs, such as "folder".
        takes: what its value is, such as "path under the data root"; None if it takes none.
        is_published: these are the data of the paper's published results.
    """

    name: str
    takes: str | None = None
    is_published: bool = False

    @property
    def form(self) -> str:
        """How a spec writes it, as a hint in messages: `{"folder": "<path under the data root>"}`."""
        return f'"{self.name}"' if self.takes is None else f'{{"{self.name}": "<{self.takes}>"}}'

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of how a spec writes it."""
        if self.takes is None:
            return {"const": self.name}
        value = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE_LENGTH, "description": self.takes}
        return {
            "type": "object", "properties": {self.name: value}, "required": [self.name], "additionalProperties": False
        }  # fmt: skip

    def parse(self, value: object) -> Any:
        """The value that a spec gives, validated: plain JSON, without looking at any data.

        Args:
            value: as in the body of a request; None where the spec has the bare name.

        Raises:
            ValueError: the message says what is wrong; the forms that are allowed are added to it.
        """
        if self.takes is None:
            if value is not None:
                raise ValueError(f'"{self.name}" takes no value')
        elif not isinstance(value, str) or not 1 <= len(value) <= MAX_VALUE_LENGTH:
            raise ValueError(f'"{self.name}" takes text of 1 to {MAX_VALUE_LENGTH} characters')
        return value

    def locate(self, value: Any, home: Path, data_root: Path | None) -> DataReference:
        """Where the data lie, as plain data that worker processes are given.

        Args:
            value: as `parse` returned it.
            home: the service's folder.
            data_root: the only folder whose contents a spec may name; None if there is none.

        Raises:
            DataError: they are not there.
        """
        return DataReference(self.name, value)

    @abstractmethod
    def open(self, reference: DataReference, task: str, home: Path) -> Data:
        """A task's examples.

        Args:
            reference: as `locate` returned it.
            task: its name.
            home: the service's folder, for caches.

        Raises:
            DataError: there can be no such examples. Missing and malformed splits are reported when they are read.
        """

    def warnings(self, reference: DataReference, task: str, home: Path) -> list[str]:
        """In words, what is odd about a task's data, but taken as it is, such as a language without a test split.

        Args:
            reference: as `locate` returned it.
            task: its name.
            home: the service's folder, for caches.

        Raises:
            DataError: as `open`.
        """
        return []

    def describe(self, home: Path) -> list[dict[str, Any]]:
        """The datasets that a client can choose from: `name`, `kind` and `tasks` of each, as GET /v1/datasets has them.

        Empty for a source whose data only the client knows, such as a folder.
        """
        return []

    def words(self, value: Any) -> str:
        """The data in the `data` column of summaries and reports."""
        return self.title(value)

    def title(self, value: Any) -> str:
        """The data in a sentence, such as the line above a table."""
        return self.name if value is None else f"{self.name} {value}"


class RemoteSource(Source):
    """A source whose data are fetched after an experiment has been accepted; it is planned once they are there.

    `locate` and `open` work before: what has not been fetched is missing from the data.
    """

    @abstractmethod
    def languages(self, location: Any, task: str) -> tuple[str, ...]:
        """Codes of the languages that can be fetched for a task, known without fetching anything.

        Args:
            location: of the reference that `locate` returned.
            task: its name.

        Raises:
            DataError: the source cannot be read.
        """

    def hint(self, location: Any, task: str) -> str:
        """What to do about a language that cannot be fetched, in words, beside choosing another."""
        return ""

    @abstractmethod
    def fetch(self, location: Any, task: str, languages: Iterable[str], home: Path, tell: Tell) -> list[str]:
        """Fetch languages of a task; what is there already is not fetched again.

        Args:
            location: as for `languages`.
            task: its name.
            languages: their codes.
            home: the service's folder.
            tell: is told what is being done. The experiment that needs the data shows it as its reason, and each text
                is an event of it.

        Returns:
            In what the data differ from those that were published under the source's name: the experiment and reports
            say so. Empty if in nothing.

        Raises:
            DataError: something cannot be fetched or is malformed; the next call goes on.
        """
