"""What each chip can do, measured."""
