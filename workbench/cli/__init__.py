"""The command line, one file a command. Importing any of it loads no heavy library."""
