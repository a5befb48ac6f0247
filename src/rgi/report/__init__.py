"""What people look at after a run: one self-contained HTML page, and a picture per image."""
