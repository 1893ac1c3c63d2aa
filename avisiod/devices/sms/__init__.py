"""The routes by which codes leave beside a single modem: providers, several modems, their health and their limits."""
