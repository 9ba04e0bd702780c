"""Who works on which video: lock records, leases, take-over, release."""
