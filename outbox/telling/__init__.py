"""How things stand, in sentences: what the terminal and the dashboard say alike. It reads nothing by itself."""
