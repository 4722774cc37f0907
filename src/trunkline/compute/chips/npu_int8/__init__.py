"""`npu-int8`: a bit-exact model of an INT8 accelerator; docs/npu-int8.md has its arithmetic in formulas."""
