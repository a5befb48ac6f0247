"""Reports of finished runs: a self-contained HTML page, one picture per image, and the tables of a benchmark."""
