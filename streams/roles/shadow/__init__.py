"""The role `shadow`: a share of the uploads, thought by another profile as well and compared with what was published."""
