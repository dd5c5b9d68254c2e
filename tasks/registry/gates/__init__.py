"""May a version become champion: rules, their evidence, and the champion measured again."""
