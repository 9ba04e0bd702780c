"""Wake-ups. They carry hints, never truth."""
