"""The one consume loop: Faust on Kafka. The only package of the pipeline that knows Faust."""

from streams.worker.loop import Worker
from streams.worker.parts import Handler, HandlerSpec, WorkerWiring, handlers_of

__all__ = ["Handler", "HandlerSpec", "Worker", "WorkerWiring", "handlers_of"]
