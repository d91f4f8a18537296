"""What a user wrote: read, merged, expanded and checked as a whole. Starts nothing."""
