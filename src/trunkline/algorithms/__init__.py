"""What can be computed: trunks, heads, metrics."""
