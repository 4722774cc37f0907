"""How models are made and run: data, engine, line, registry."""
