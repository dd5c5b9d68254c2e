"""The page about rounds of labelling: what was picked and why, what it cost, what it brought."""
