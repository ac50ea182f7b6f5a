"""Networks as files for other engines: an ONNX graph of any that loads, or the two files in which ours are shipped."""
