"""Drift: whether unlabelled pictures that arrive are like those that the model was trained on.

Each look asks several questions (embeddings, light, sharpness, size, predictions). Each one is a permutation test,
whose p-value is exact whatever the number of pictures; Holm's correction keeps the rate of false alarms of the whole
look below the one asked. Near-duplicates, such as frames of one film, count once: tests want independent pictures.
"""
