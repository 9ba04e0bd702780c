"""The daemon: the only place that builds real things out of the other rooms."""
