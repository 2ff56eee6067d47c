"""The parts of the screen: each module turns a scene into lines of a width."""
