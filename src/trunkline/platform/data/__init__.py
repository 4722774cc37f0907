"""Data: layouts in and out, snapshots, splits, inspection."""
