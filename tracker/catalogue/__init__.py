"""Published networks that come by name: what they are, from where, and where they are kept once fetched."""

from tracker.catalogue.store import find_network as find_network
