"""Arguments, tables and progress bars. No logic."""
