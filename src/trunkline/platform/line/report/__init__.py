"""The report: one self-contained HTML file a model, and one page over a batch.

`data.py` says what a report holds, `figures.py` and `pictures.py` make its curves and images, `render.py` the HTML.
"""
