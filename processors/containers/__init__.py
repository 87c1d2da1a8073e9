"""How image files are built, a module a format; `processors.image_parts` is the way in."""
