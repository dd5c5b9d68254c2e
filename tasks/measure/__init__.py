"""What an artefact is worth on this machine: opened honestly, timed in turns, shown in one table and one picture."""
