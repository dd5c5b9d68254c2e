"""The page of a drift look: one self-contained HTML file."""
