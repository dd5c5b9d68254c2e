"""What picking from a pool needs: what is known already, what looks alike, blocks, mistakes, and what is told."""
