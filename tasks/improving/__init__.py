"""The data loop: rounds of mining, labelling, training and comparing, and what they need."""
