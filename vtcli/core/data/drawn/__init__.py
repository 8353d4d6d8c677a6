"""Drawn people in drawn garments: sample data without a photo of anybody. See `generate`."""
