"""The role `edit`: a garment of a photo becomes what words say, by the look of garments of the catalogue."""
