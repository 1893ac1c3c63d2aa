"""The relatives' portal: pages over HTTP, the call's talk over a WebSocket (docs/portal-api.md)."""
