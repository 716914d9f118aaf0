"""Pushes to users who are offline: Web Push to browsers, and a signed HTTP hook to the app's own service."""
