"""A few rated clips of a corpus -> the model on that corpus: what changes is its output layer."""
