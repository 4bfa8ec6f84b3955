"""The only room that imports nats: subjects, streams, facts, nudges, bytes."""
