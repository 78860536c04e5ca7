"""What `import mindlong` offers to a program; nothing here is loaded before it is used."""
