"""The public HTTP API: one module per resource, wire quirks in `wire`."""
