"""What a fit starts from, found in a dry and a wet recording: no gradient descent from a lucky place."""

from diffapf.identification.phaser import PhaserStart, identify_phaser

__all__ = ["PhaserStart", "identify_phaser"]
