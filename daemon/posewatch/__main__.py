"""`python -m posewatch` is the `posewatch` command."""

from posewatch.cli.main import main

if __name__ == "__main__":
    main()
