"""What the product is compared with, as programs of their own."""
