"""The whole of Pismo on one machine: embedded stores, the four services, the sandbox, and their supervisor."""
