"""Near-duplicates: pictures that show the same after re-encoding, resizing, a slight crop, other light or a watermark.

Three steps, each cheaper than the next is exact: equal bytes by digest; candidates by the nearest vectors of what a
picture looks like (`embedding`, `search`); and pixels, since vectors alone take one scene for another (`verify`).
"""
