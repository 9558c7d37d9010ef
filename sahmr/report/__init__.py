"""The picture that scores are looked at with: surfaces, light, panels, sheet."""
