"""The sink `pager`: every question to a person as one POST of JSON to one address."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.sinks.pager_questions import Page, PagerQuestions
from connectors.sinks.webhook_sink import JsonPoster
from contracts.errors import Permanent
from contracts.ports import PUBLISHED, Published
from contracts.settings import SinkSettings


class PagerSink:
    """POSTs what people are asked (`pager_questions`), each with the question's name as `Idempotency-Key`.

    What it remembers of questions is gone with the process; a question that is put again then has the same name, by which the
    receiver knows it.
    """

    name = "pager"
    topics = frozenset(PUBLISHED)

    def __init__(self, settings: SinkSettings) -> None:
        self._poster = JsonPoster(settings, self.name)
        self._questions = PagerQuestions()
        self._left: list[Page] = []
        """Pages that are not taken yet."""
        self._taken: set[str] = set()
        """Events of a delivery that was not taken whole: when it comes again, they are known."""

    async def deliver(self, events: Sequence[Published]) -> None:
        """Return once each question was taken. Raises as `JsonPoster.post`; then the same events come again."""
        for event in events:
            if event.id not in self._taken:
                self._taken.add(event.id)
                self._left += self._questions.take(event.event)
        while self._left:
            page = self._left[0]
            try:
                await self._poster.post(page.key, page.body)
            except Permanent:
                self._left.pop(0)  # it will never be taken: it must not keep back others
                raise
            self._left.pop(0)
        self._taken.clear()

    async def close(self) -> None:
        """Close connections."""
        await self._poster.close()
