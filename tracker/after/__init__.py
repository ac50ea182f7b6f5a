"""What is done with people once they are tracked: smoothing, and of whole results stitching, gaps, edits, suggestions.

No pictures are needed.
"""
