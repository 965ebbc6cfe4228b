"""Every figure, drawn from tables and arrays; nothing here trains, loads or saves."""
