"""Where work runs and what it sees: chips, runtimes."""
