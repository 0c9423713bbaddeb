"""What is measured: numbers and arrays from tensors or numpy arrays. One file per family."""
