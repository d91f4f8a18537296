"""Side by side on one machine: direct, nginx, and spangate. Not part of the product; imports nothing of it."""
