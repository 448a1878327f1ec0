"""From recordings to histories of products with a sheet."""
