"""One criterion a file: a function of a model that returns scores, parameter name -> tensor.

A higher score means the weight is worth more; pruning removes the lowest.
"""
