"""MLflow runs, lineage, gates and registered versions; the one room that imports mlflow, and only inside functions."""
