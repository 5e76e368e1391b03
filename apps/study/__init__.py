"""The comparison study: which of several materials looks most real to people."""
