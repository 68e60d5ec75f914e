"""The formats of plugins: each a function from a kernel's description and a job to what was written."""
