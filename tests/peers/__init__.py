"""Real peers for tests, the demo and the benches: phones, browsers, what they send, and how they are run."""
