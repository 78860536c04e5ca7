"""The UNet of the latent families: sizes, names, costs, and its cells."""
