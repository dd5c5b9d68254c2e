"""One file a runtime; each opens a file and answers with a function from pictures to raw outputs."""
