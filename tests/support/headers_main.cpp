/// @file
/// Carries the precompiled headers that all tests use.
int main() { return 0; }
