"""How the site of the documentation is made from its pages and from the code: `make docs`."""
