"""`python -m poseact` is the `poseact` command."""

from poseact.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
