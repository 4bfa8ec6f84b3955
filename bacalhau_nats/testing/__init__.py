"""For authors of plugins, and for our own tests: conformance suites and a private NATS server.

Import what you need from its module: ``testing.server`` (NatsServer), ``testing.records``
(check_records) and one per plugin family. Nothing here is needed to run a node.
"""
