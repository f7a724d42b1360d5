"""A server of OpenTelemetry's protocol that keeps the spans it is sent."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EXPORT_SECONDS = 60


class Receiver:
    """Keeps the spans that it is sent."""

    def __init__(self):
        spans = self.spans = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    service = attributes(resource.resource)["service.name"]
                    spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def of(self, name, *, trace_id):
        """The service and the span of that name in that trace, once it has come."""
        span = self.first(lambda span: span.name == name and span.trace_id.hex() == trace_id)
        return next(service for service, one in self.spans if one is span), span

    def first(self, matches):
        """The first span that does, once it has come."""
        deadline = time.monotonic() + EXPORT_SECONDS
        while not (found := [span for _, span in self.spans if matches(span)]):
            assert time.monotonic() < deadline, [span.name for _, span in self.spans]
            time.sleep(0.1)
        return found[0]


def attributes(of):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}
