"""Networks: torch modules only. What recipes name of them without torch stands here."""

# How the decoder of PoseLiteHRNet doubles the resolution.
UPSAMPLINGS = ("bilinear", "deconvolution")
