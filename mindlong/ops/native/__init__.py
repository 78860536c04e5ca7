"""C++ operators for the CPU."""
