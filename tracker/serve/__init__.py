"""A page to try the program, an HTTP API, and a handler for function services; needs the extra `serve`."""
