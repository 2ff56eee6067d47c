"""The pictures of the documentation, drawn from what they say: `make reference` writes them into docs/images."""
