"""The AppServer API: twelve POST endpoints at the root, field for field as its document has them."""
