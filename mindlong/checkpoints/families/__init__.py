"""The families of networks as files hold them."""
