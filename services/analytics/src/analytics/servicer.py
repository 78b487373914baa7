"""EventService on the wire."""

from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest, IngestEventsResponse
from pismo.analytics.v1.analytics_service_pb2_grpc import EventServiceServicer
from servicekit.errors import CallContext

from analytics.catalogue import read_events
from analytics.operations import Ingestion


class EventServicer(EventServiceServicer):
    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion

    async def IngestEvents(self, request: IngestEventsRequest, context: CallContext) -> IngestEventsResponse:
        ingested = await self._ingestion.ingest(read_events(request.events))
        return IngestEventsResponse(stored=ingested.stored, repeated=ingested.repeated)
