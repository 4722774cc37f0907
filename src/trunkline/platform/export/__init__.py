"""Models for elsewhere: one stand-alone graph, and what is made of it."""
