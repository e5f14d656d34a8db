"""A small order system of two servers: see ``__main__``."""
