"""What every part needs: errors, files, parameters, presets, progress."""
