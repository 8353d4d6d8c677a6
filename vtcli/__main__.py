"""`python -m vtcli` is `vtcli`."""

from vtcli.cli.app import main

if __name__ == "__main__":
    main()
