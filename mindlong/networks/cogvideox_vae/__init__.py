"""CogVideoX's causal autoencoder of videos, four images to a latent."""
