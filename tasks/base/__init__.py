"""What every room needs: errors, files, parameters, presets, progress."""
