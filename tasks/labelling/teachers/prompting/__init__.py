"""Models that are asked in words or with boxes, through `transformers`: their folders, boxes from words, masks."""
