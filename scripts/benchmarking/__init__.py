"""The CPU benchmark's parts: the cases, the peers, the race, the floors, and the report. Entry: `scripts/benchmark.py`."""
