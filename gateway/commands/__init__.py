"""What the command line does with the store: lists, shows, follows. Works whether or not the gateway runs."""
