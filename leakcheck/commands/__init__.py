"""One file per command: its help, its options, and what carries it out. `register` adds it to the command line."""
