"""The command line: typer and rich, nothing else; one file a command."""
