"""Models from elsewhere: what their files take and say, as data, and how they become files of our own contract."""
