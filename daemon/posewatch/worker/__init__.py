"""One job from end to end: claim, fetch, run the stages, publish, release."""
