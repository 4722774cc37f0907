"""One frozen type for each boundary between floors; each is validated when it is made."""
